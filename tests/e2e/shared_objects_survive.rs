//! Persistent shared objects and the deaths of their origin.

use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    net::SocketAddr,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    clients::wired::{Nothing, PATIENCE, Wired},
    cluster::{Cluster, LINKS_UP, TRIBUTARY},
    program,
    shared_object::{PERSISTENT, Told, change, message, slot},
    wait,
    wire::Message,
};

/// All applications store their clients' objects, at any rate.
const SETTINGS: &str = "shared_objects = \"all\"\nshared_object_rate = 100000\n";

/// Kills of the origin.
const KILLS: u32 = 50;

#[test]
fn what_was_acknowledged_survives_fifty_kills_under_load() {
    let mut cluster = Cluster::with_data(1, 1, SETTINGS);
    let mut author = Replica::default();
    let mut reader = Replica::default();
    let began = Instant::now();
    for kill in 0..KILLS {
        if kill > 0 {
            cluster.restart_origin(0);
            cluster.restart_edge(0);
        }
        let mut client = author.come_back(cluster.rtmp(0));
        let mut other = reader.come_back(cluster.rtmp(0));
        author.has_what_was_acknowledged();
        assert_eq!(
            author.slots, reader.slots,
            "both see the same after {kill} kills"
        );
        // The origin is killed while changes are under way, at a different moment each time.
        let until = Instant::now() + Duration::from_millis(40 + u64::from(kill * 37 % 120));
        while Instant::now() < until {
            for _ in 0..20 {
                author.write(&mut client);
            }
            author.hear(&mut client, Duration::from_millis(1));
        }
        cluster.origins[0].kill();
        author.hear(&mut client, Duration::from_millis(20));
        reader.hear(&mut other, Duration::from_millis(20));
    }
    println!(
        "{} changes were acknowledged, {} more were seen, in {:?}",
        author.acknowledgements,
        author.written - author.acknowledgements,
        began.elapsed()
    );
    assert!(author.acknowledgements > 1_000);
}

#[test]
fn a_group_with_stored_data_waits_for_its_home() {
    let mut cluster = Cluster::with_data(2, 1, &format!("grace_time = \"2 s\"\n{SETTINGS}"));
    // Groups are made until each origin has one with stored data.
    let mut stored = BTreeMap::new();
    for number in 0.. {
        let group = format!("counter/stored{number}");
        let mut client = Wired::session(cluster.rtmp(0), &group);
        let origin = (0..2).find(|&origin| {
            let living = cluster
                .origin_metrics(origin)
                .sum("tributary_origin_sessions");
            living > 0.0
        });
        let replica = Replica::with_something_stored(&mut client);
        drop(client);
        wait::until("the session is gone", PATIENCE, || {
            (0..2).all(|origin| {
                cluster
                    .origin_metrics(origin)
                    .sum("tributary_origin_sessions")
                    == 0.0
            })
        });
        stored.insert(origin.expect("one has it"), (group, replica));
        if stored.len() == 2 {
            break;
        }
    }
    let lost = 0;
    cluster.origins[lost].kill();
    wait::until("the link is declared lost", PATIENCE, || {
        cluster.edge_metrics(0).sum(LINKS_UP) < 2.0
    });
    // A connect to its group waits for the grace time and is then refused.
    let (group, replica) = stored.get_mut(&lost).expect("it has a group");
    let mut client = Wired::open(cluster.rtmp(0)).expect("a handshake");
    assert_eq!(
        client.connect(group).code().as_deref(),
        Some("NetConnection.Connect.Failed")
    );
    // A group without stored data starts at the other origin, and so does a group at home there.
    for number in 0..8 {
        Wired::session(cluster.rtmp(0), &format!("counter/nothing{number}"));
    }
    cluster.restart_origin(lost);
    cluster.await_links();
    let mut client = Wired::session(cluster.rtmp(0), group);
    replica.use_object(&mut client);
    replica.has_what_was_acknowledged();
    assert_eq!(replica.slots.len(), 1);
}

#[test]
fn a_group_whose_data_is_purged_may_start_elsewhere() {
    let write = |apps: &Path| {
        fs::create_dir_all(apps.join("board")).expect("a folder");
        fs::write(apps.join("board/main.asc"), "").expect("a script");
    };
    let mut cluster = Cluster::with_applications(2, 1, write);
    let mut client = Wired::session(cluster.rtmp(0), "board/room");
    let sessions = |origin| {
        let metrics = cluster.origin_metrics(origin);
        metrics.sum("tributary_origin_sessions")
    };
    let home = (0..2).find(|&origin| sessions(origin) > 0.0);
    let home = home.expect("one has it");
    Replica::with_something_stored(&mut client);
    drop(client);
    // The restarted edge has no lane of the group; frame Kept reports the group to it.
    cluster.restart_edge(0);
    cluster.await_links();
    let kept = |cluster: &Cluster| {
        cluster
            .edge_metrics(0)
            .sum("tributary_edge_link_groups_kept")
    };
    wait::until("it is bound to its home", PATIENCE, || {
        kept(&cluster) == 1.0
    });

    let directory = cluster.directory();
    let admin = cluster.origins[home].address("admin").to_string();
    let token = directory.join(format!("origin{home}-data/admin-token"));
    let mut remove = Command::new(TRIBUTARY);
    remove.args(["apps", "remove", "board", "--purge", "--admin", &admin]);
    program::run(remove.arg("--token").arg(token));
    write(&directory.join("apps"));
    wait::until("it is bound no more", PATIENCE, || kept(&cluster) == 0.0);
    cluster.origins[home].kill();
    wait::until("the link is declared lost", PATIENCE, || {
        cluster.edge_metrics(0).sum(LINKS_UP) < 2.0
    });
    let mut replica = Replica::default();
    replica.use_object(&mut Wired::session(cluster.rtmp(0), "board/room"));
    assert_eq!(replica.slots, BTreeMap::new());
}

/// The object's name in its group.
const NAME: &str = "board";

/// A client's copy of the object, across its connections.
#[derive(Default)]
struct Replica {
    version: u32,
    slots: BTreeMap<String, f64>,
    /// Values without an answer, by slot; and the last acknowledged value of each slot.
    asked: BTreeMap<String, VecDeque<f64>>,
    acknowledged: BTreeMap<String, f64>,
    acknowledgements: u64,
    written: u64,
}

impl Replica {
    /// Uses the object, writes, and waits for the acknowledgement.
    fn with_something_stored(client: &mut Wired) -> Self {
        let mut replica = Self::default();
        replica.use_object(client);
        replica.write(client);
        while replica.acknowledgements == 0 {
            replica.hear(client, Duration::from_millis(20));
        }
        replica
    }

    fn come_back(&mut self, server: SocketAddr) -> Wired {
        let deadline = Instant::now() + PATIENCE;
        let mut client = loop {
            // The edge may still dial its origin.
            let mut client = Wired::open(server).expect("a handshake");
            if client.connect("counter/room").name().as_deref() == Some("_result") {
                break client;
            }
            assert!(Instant::now() < deadline, "no client is let in");
            thread::sleep(Duration::from_millis(20));
        };
        self.asked.clear();
        self.use_object(&mut client);
        client
    }

    fn use_object(&mut self, client: &mut Wired) {
        let told = self.version;
        client
            .shared_object(&message(NAME, self.version, PERSISTENT, &[(1, Vec::new())]))
            .expect("an open connection");
        let answer = client
            .wait(PATIENCE, |message| {
                Told::read(message).is_some_and(|told| told.events[0].0 == 11)
            })
            .expect("an answer to use");
        let version = Told::read(&answer).map(|told| told.version);
        let version = version.expect("a shared object's message");
        assert!(version >= told, "version {version} after {told}");
        self.apply(&answer);
    }

    fn write(&mut self, client: &mut Wired) {
        self.written += 1;
        let slot = format!("slot{}", self.written % 7);
        let value = self.written as f64;
        let change = (3, change(&slot, value));
        if client
            .shared_object(&message(NAME, self.version, PERSISTENT, &[change]))
            .is_ok()
        {
            self.asked.entry(slot).or_default().push_back(value);
        }
    }

    /// Applies the messages that come within this time.
    fn hear(&mut self, client: &mut Wired, at_most: Duration) {
        let deadline = Instant::now() + at_most;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match client.next(left) {
                Ok(message) => self.apply(&message),
                Err(Nothing::Late | Nothing::Closed) => return,
            }
        }
    }

    fn apply(&mut self, message: &Message) {
        let Some(Told {
            version, events, ..
        }) = Told::read(message)
        else {
            return;
        };
        assert!(version >= self.version, "{version} after {}", self.version);
        self.version = version;
        for (kind, data) in events {
            match kind {
                4 => {
                    let (slot, value) = slot(&data);
                    let value = f64::from_be_bytes(value[1..9].try_into().expect("a number"));
                    self.slots.insert(slot, value);
                }
                5 => {
                    let (slot, _) = slot(&data);
                    let value = self.asked.get_mut(&slot).and_then(VecDeque::pop_front);
                    let value = value.expect("it was asked for");
                    self.acknowledgements += 1;
                    self.acknowledged.insert(slot.clone(), value);
                    self.slots.insert(slot, value);
                }
                7 => panic!("{:?}", String::from_utf8_lossy(&data)),
                8 => self.slots.clear(),
                9 => {
                    self.slots.remove(&slot(&data).0);
                }
                _ => {}
            }
        }
    }

    /// A slot holds the acknowledged value or a later one.
    fn has_what_was_acknowledged(&self) {
        for (slot, value) in &self.acknowledged {
            let now = self.slots.get(slot);
            assert!(now >= Some(value), "{slot} holds {now:?} after {value}");
        }
    }
}
