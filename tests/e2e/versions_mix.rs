//! Nodes of this version beside nodes of an older one, whose program is in the variable `OLDER`.

use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rustix::process::Signal;

use crate::support::{
    clients::{
        callers::{Callers, ECHO},
        wired::{PATIENCE, Wired},
    },
    cluster::{Cluster, await_links},
    program::Program,
    synthetic::{Codec, Synthetic},
    wait,
};

fn older() -> PathBuf {
    let path = env::var("OLDER").expect("OLDER is the program of an older version: just upgrade");
    PathBuf::from(path)
}

fn room(apps: &Path) {
    let folder = apps.join("room");
    fs::create_dir(&folder).expect("a directory");
    fs::write(folder.join("main.asc"), ECHO).expect("a script");
}

/// An edge of the older version, with the certificate of edge 0, at the origins of a cluster.
fn older_edge(cluster: &Cluster) -> Program {
    let file = cluster.directory().join("node.toml");
    let settings = fs::read_to_string(file).expect("the configuration");
    let (before, _) = settings.split_once("[cluster]").expect("a table");
    fs::write(cluster.directory().join("older.toml"), before).expect("a configuration file");
    let mut arguments = cluster.edge_arguments("127.0.0.1:0", "older.toml");
    arguments.push(format!("--origin=origin1@{}", cluster.relays[1].address()));
    let edge = Program::tributary("older", &older(), cluster.directory(), &arguments);
    await_links(&edge, 2);
    edge
}

/// A client that connects again whenever its connection ends, until it is served.
struct Returning {
    edge: std::net::SocketAddr,
    client: Option<Wired>,
    returns: usize,
}

impl Returning {
    fn is_served(&mut self) {
        wait::until("the client is served", PATIENCE, || {
            let client = self.client.take();
            let mut client = client.or_else(|| self.connect());
            let is_served = client.as_mut().is_some_and(|client| {
                client.send_call("now", &[1.0.into()]).is_ok_and(|call| {
                    let answered = client.wait(Duration::from_secs(2), |message| {
                        message.values().get(1).and_then(|it| it.number()) == Some(call)
                    });
                    answered.is_ok()
                })
            });
            self.client = client.filter(|_| is_served);
            is_served
        });
    }

    fn connect(&mut self) -> Option<Wired> {
        self.returns += 1;
        let mut client = Wired::open(self.edge).ok()?;
        let answer = client.connect("room/one");
        (answer.name().as_deref() == Some("_result")).then_some(client)
    }
}

/// Origins are exchanged twice round. Clients of the edge of this version notice nothing; those of the older
/// edge, which cannot bring them elsewhere, are served again at once.
#[test]
#[ignore = "needs a program of an older version: just upgrade"]
fn an_older_edge_goes_on_beside_a_newer_one() {
    let mut cluster = Cluster::of_origins(2, 2, room);
    cluster.edges[0].kill();
    let older = older_edge(&cluster);
    let callers = Callers::start(4, |_| cluster.rtmp(1), "room/one");
    let mut returning = Returning {
        edge: older.address("rtmp"),
        client: None,
        returns: 0,
    };
    for origin in [0, 1, 0, 1] {
        returning.is_served();
        cluster.stop_and_restart_origin(origin);
        await_links(&cluster.edges[1], 2);
        await_links(&older, 2);
        returning.is_served();
        thread::sleep(Duration::from_millis(500));
    }
    callers.finish(20);
    eprintln!(
        "the older edge's client has connected {} times",
        returning.returns
    );
    assert!(returning.returns <= 5, "{}", returning.returns);
}

/// A service of the older version becomes a cluster of this one: edges first, then the origins.
#[test]
#[ignore = "needs a program of an older version: just upgrade"]
fn an_older_service_becomes_a_cluster() {
    let mut cluster = Cluster::of_origins(2, 1, room);
    let links = [0, 1].map(|origin| cluster.stop_origin(origin));
    let file = cluster.directory().join("node.toml");
    let settings = fs::read_to_string(&file).expect("the configuration");
    let (before, _) = settings.split_once("[cluster]").expect("a table");
    fs::write(cluster.directory().join("older.toml"), before).expect("a configuration file");
    let mut origins = [0, 1].map(|origin| {
        let arguments = [
            "origin".to_owned(),
            format!("--link={}", links[origin]),
            "--admin=127.0.0.1:0".to_owned(),
            "--config=older.toml".to_owned(),
            format!("--cert=origin{origin}"),
            "--apps=apps".to_owned(),
            format!("--data=origin{origin}-data"),
        ];
        let name = format!("older-origin{origin}");
        Program::tributary(&name, &older(), cluster.directory(), &arguments)
    });
    cluster.edges[0].kill();
    let mut edge = older_edge(&cluster);
    let mut returning = Returning {
        edge: edge.address("rtmp"),
        client: None,
        returns: 0,
    };
    returning.is_served();
    edge.signal(Signal::TERM);
    edge.wait_exit(PATIENCE);
    cluster.restart_edge(0);
    returning.edge = cluster.rtmp(0);
    returning.is_served();
    for (origin, link) in links.iter().enumerate() {
        origins[origin].signal(Signal::TERM);
        origins[origin].wait_exit(PATIENCE);
        cluster.start_stopped_origin(origin, link);
        returning.is_served();
    }
    cluster.await_links();
    // From here on nobody notices an exchange.
    let callers = Callers::start(4, |_| cluster.rtmp(0), "room/one");
    let publisher = Synthetic::start(cluster.rtmp(0), "live", "cam", Codec::Avc, 1000);
    let (mut viewer, _) = Wired::viewer(cluster.rtmp(0), "live", "cam");
    for origin in [0, 1] {
        viewer.pictures(25);
        cluster.stop_and_restart_origin(origin);
        cluster.await_links();
        thread::sleep(Duration::from_millis(500));
    }
    viewer.pictures(25);
    callers.finish(10);
    publisher.finish();
}
