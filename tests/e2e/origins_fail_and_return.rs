//! Two origins: one is killed and returns, or is stopped for a while. A group moves as a whole or
//! stays.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::support::{
    clients::wired::{PATIENCE, Wired},
    cluster::{Cluster, LINKS_UP, await_links, stop},
    wait,
    wire::Amf,
};

#[test]
fn a_killed_origin_is_routed_around_and_its_groups_come_home_whole() {
    let mut cluster = Cluster::with_settings(2, 2, "grace_time = \"6 s\"\n");
    let mut homes = Homes::find(&cluster, 0);
    let lost = 0;
    let own = homes.group_at(lost);
    cluster.origins[lost].kill();
    wait::until("the link is declared lost", PATIENCE, || {
        cluster.edge_metrics(0).sum(LINKS_UP) < 2.0
    });

    let declared = Instant::now();
    let mut moved = Vec::new();
    for number in 0..8 {
        let group = format!("counter/moved{number}");
        moved.push((Wired::session(cluster.rtmp(0), &group), group));
        let elapsed = declared.elapsed();
        println!("new group {number} is open {elapsed:?} after the loss");
    }

    // A new session of a group that lived there waits until the grace time is over.
    let mut waiting = Wired::session(cluster.rtmp(0), &own);
    println!(
        "its own group is open {:?} after the loss",
        declared.elapsed()
    );
    assert_eq!(members(&mut waiting), 1, "{own} began anew");
    for (client, group) in homes.at(lost) {
        assert!(
            client.wait_closed(PATIENCE),
            "the sessions of {group} are closed with the origin"
        );
    }
    for (client, group) in homes.at(1 - lost) {
        assert!(members(client) >= 1, "{group} lives on where it was");
    }

    cluster.restart_origin(lost);
    for edge in &cluster.edges {
        await_links(edge, 2);
    }
    // A displaced group is at the same origin for the other edge, and not at its home.
    for (client, group) in &mut moved {
        let mut other = Wired::session(cluster.rtmp(1), group);
        let seen = (members(client), members(&mut other));
        assert_eq!(seen, (2, 2), "{group} is in one piece");
    }
    // New groups get the returned origin as their home.
    wait::until("the origin that returned gets groups", PATIENCE, || {
        let group = format!("counter/fresh{}", fresh_number());
        let client = Wired::session(cluster.rtmp(1), &group);
        let sessions = cluster.origin_metrics(lost).sum(SESSIONS);
        drop(client);
        sessions >= 1.0
    });
}

#[test]
fn a_stopped_origin_leaves_no_group_in_two_places() {
    let cluster = Cluster::start(2, 2);
    let mut homes = Homes::find(&cluster, 0);
    let stopped = 0;
    let groups: Vec<_> = homes.at(stopped).map(|(_, group)| group.clone()).collect();
    let before = cluster.origin_metrics(1 - stopped).sum(SESSIONS);
    stop(&cluster.origins[stopped]);
    let late = thread::scope(|scope| {
        let joining: Vec<_> = groups
            .iter()
            .map(|group| {
                let server = cluster.rtmp(1);
                scope.spawn(move || {
                    // These clients use the edge that has no session of the group, after the link
                    // is lost.
                    thread::sleep(Duration::from_secs(5));
                    let mut client = Wired::open(server).expect("a handshake");
                    client.set_read_patience(Duration::from_secs(40));
                    let answer = client.connect(group);
                    let accepted =
                        answer.code().as_deref() == Some("NetConnection.Connect.Success");
                    accepted.then_some(client)
                })
            })
            .collect();
        thread::sleep(Duration::from_secs(9));
        cluster.origins[stopped].signal(Signal::CONT);
        let joined = joining
            .into_iter()
            .map(|thread| thread.join().expect("an answer"));
        joined.collect::<Vec<_>>()
    });
    for (late, (client, group)) in late.into_iter().zip(homes.at(stopped)) {
        let seen = members(client);
        match late {
            Some(mut late) => {
                assert_eq!(
                    (members(client), members(&mut late)),
                    (2, 2),
                    "{group} is in one piece"
                );
            }
            None => assert_eq!(seen, 1, "{group} is where it was"),
        }
    }
    let after = cluster.origin_metrics(1 - stopped).sum(SESSIONS);
    assert_eq!(before, after, "nothing moved to the other origin");
}

/// Sessions in groups of both origins, opened one after the other to find the origin of each.
struct Homes(Vec<(usize, Wired, String)>);

impl Homes {
    fn find(cluster: &Cluster, edge: usize) -> Self {
        let mut homes = Vec::new();
        let sessions = || [0, 1].map(|origin| cluster.origin_metrics(origin).sum(SESSIONS));
        for number in 0..40 {
            let group = format!("counter/home{number}");
            let before = sessions();
            let client = Wired::session(cluster.rtmp(edge), &group);
            let origin = wait::some(PATIENCE, || {
                let now = sessions();
                (0..2).find(|origin| now[*origin] > before[*origin])
            });
            homes.push((origin.expect("one origin has it"), client, group));
            let at = |origin| homes.iter().filter(|(home, ..)| *home == origin).count();
            if at(0) >= 3 && at(1) >= 3 {
                return Self(homes);
            }
        }
        panic!("forty groups, and nearly all at one origin");
    }

    fn at(&mut self, origin: usize) -> impl Iterator<Item = (&mut Wired, &String)> {
        self.0
            .iter_mut()
            .filter(move |(home, ..)| *home == origin)
            .map(|(_, client, group)| (client, &*group))
    }

    fn group_at(&mut self, origin: usize) -> String {
        self.at(origin).next().expect("at least three").1.clone()
    }
}

/// The number of clients that this client's instance has counted.
fn members(client: &mut Wired) -> u64 {
    let answer = client.call("report", &[]);
    let values = answer.values();
    let group = values.get(3).and_then(|report| report.field("group"));
    let clients = group.and_then(|group| group.field("clients"));
    clients
        .and_then(Amf::number)
        .expect("counter reports its clients") as u64
}

fn fresh_number() -> u32 {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The metric of the sessions of a process.
const SESSIONS: &str = "tributary_origin_sessions";
