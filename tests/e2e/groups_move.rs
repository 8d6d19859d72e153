//! Groups move between the origins of a cluster under their clients: no status, no call lost or carried out
//! twice, streams go on.

use std::{fs, path::Path, thread, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{
    clients::{
        callers::{Callers, ECHO},
        driven::{Driven, Kind},
        replica::everyone,
        wired::{PATIENCE, Wired},
    },
    cluster::{Cluster, stop},
    synthetic::{Codec, Synthetic},
    wait,
    wire::{self, Amf, Message},
};

/// Origins in a cluster, with the applications `room`, `table` and `board`.
pub(super) fn cluster(origins: usize, edges: usize) -> Cluster {
    let write = |apps: &Path| {
        for (name, script) in [("room", ECHO), ("table", TABLE), ("board", BOARD)] {
            let folder = apps.join(name);
            fs::create_dir(&folder).expect("a directory");
            fs::write(folder.join("main.asc"), script).expect("a script");
        }
    };
    let cluster = Cluster::of_origins(origins, edges, write);
    for origin in 0..origins {
        wait::until("origins have links to each other", PATIENCE, || {
            let status = status(&cluster, origin);
            let others = status["origins"].as_array().expect("a list");
            others.len() == origins - 1 && others.iter().all(|it| it["is_linked"] == true)
        });
    }
    cluster
}

/// It hands its count over.
const TABLE: &str = "
    var count = 0, how = 'started';
    application.onHandover = function () { return { count: count }; };
    application.onRestore = function (info) { how = info.how; if (info.state) count = info.state.count; };
    application.onConnect = function (client) {
        client.add = function () { return ++count; };
        client.how = function () { return how + ' ' + this.restored; };
        return true;
    };
";

/// It keeps a persistent object.
const BOARD: &str = "
    application.onAppStart = function () {
        this.board = SharedObject.get('board', true);
        this.board.setProperty('title', 'kept');
    };
    application.onConnect = function (client) {
        client.title = function () { return application.board.getProperty('title'); };
        return true;
    };
";

pub(super) fn order(cluster: &Cluster, origin: usize, arguments: &[&str]) -> Result<Value, String> {
    let arguments = [&["--json"], arguments].concat();
    let (good, said) = cluster.command(origin, &arguments);
    match good {
        true => {
            // Progress is there as well.
            let line = said.lines().find(|line| line.starts_with('{'));
            Ok(line
                .and_then(|line| serde_json::from_str(line).ok())
                .expect("JSON"))
        }
        false => Err(said),
    }
}

fn status(cluster: &Cluster, origin: usize) -> Value {
    order(cluster, origin, &["status"]).expect("a status")
}

/// The number of the origin that has a group.
pub(super) fn place(cluster: &Cluster, group: &str) -> usize {
    let has = |origin: &usize| order(cluster, *origin, &["status", group]).is_ok();
    (0..cluster.origins.len())
        .find(has)
        .expect("an origin has it")
}

fn move_to(cluster: &Cluster, group: &str, from: usize, to: usize) -> Value {
    let moved = order(
        cluster,
        from,
        &["move", group, "--to", &format!("origin{to}")],
    );
    let moved = moved.unwrap_or_else(|error| panic!("{group}: {error}"));
    eprintln!("{moved}");
    moved
}

#[test]
fn every_call_is_carried_out_once_while_a_group_moves() {
    let cluster = cluster(2, 2);
    let callers = Callers::start(8, |number| cluster.rtmp(number % 2), "room/one");
    let mut at = place(&cluster, "room/one");
    for _ in 0..6 {
        thread::sleep(Duration::from_millis(400));
        let moved = move_to(&cluster, "room/one", at, 1 - at);
        assert_eq!(moved["sessions"], 8);
        at = 1 - at;
        assert_eq!(place(&cluster, "room/one"), at);
    }
    callers.finish(10);
}

#[test]
fn streams_go_on_while_their_group_moves() {
    let cluster = cluster(2, 2);
    let publisher = Synthetic::start(cluster.rtmp(0), "live", "cam", Codec::Avc, 1000);
    let mut viewers = [0, 1].map(|edge| Wired::viewer(cluster.rtmp(edge), "live", "cam").0);
    for viewer in &mut viewers {
        viewer.wait_code("NetStream.Play.Start");
        viewer.pictures(40);
    }
    let mut at = place(&cluster, "live/_definst_");
    for _ in 0..3 {
        move_to(&cluster, "live/_definst_", at, 1 - at);
        at = 1 - at;
        for viewer in &mut viewers {
            let messages = viewer.pictures(60);
            for kind in [wire::VIDEO, wire::AUDIO] {
                let of_it = messages.iter().filter(|it| it.header.kind == kind);
                let times: Vec<_> = of_it.map(|it| it.header.timestamp).collect();
                assert!(times.is_sorted(), "{times:?}");
                let gap = times.windows(2).map(|pair| pair[1] - pair[0]).max();
                assert!(gap <= Some(120), "a gap of {gap:?} ms of kind {kind}");
            }
            let said: Vec<_> = messages.iter().filter_map(Message::code).collect();
            assert!(said.is_empty(), "{said:?}");
        }
        // A new viewer finds the stream.
        let (mut other, _) = Wired::viewer(cluster.rtmp(1), "live", "cam");
        other.wait_code("NetStream.Play.Start");
        other.pictures(5);
    }
    publisher.finish();
    for viewer in &mut viewers {
        viewer.wait_code("NetStream.Play.UnpublishNotify");
    }
}

#[test]
fn a_script_hands_over_what_it_knows() {
    let mut cluster = cluster(2, 1);
    let mut client = Wired::session(cluster.rtmp(0), "table/one");
    for count in 1..=5 {
        assert_eq!(
            result(&client.call("add", &[])),
            Some(f64::from(count).into())
        );
    }
    let at = place(&cluster, "table/one");
    move_to(&cluster, "table/one", at, 1 - at);
    assert_eq!(result(&client.call("add", &[])), Some(6.0.into()));
    assert_eq!(
        result(&client.call("how", &[])),
        Some("handover handover".into())
    );
    // At the next process of its origin as well, if no other takes it.
    cluster.stop_origin(at);
    cluster.stop_and_restart_origin(1 - at);
    assert_eq!(result(&client.call("add", &[])), Some(7.0.into()));
    assert_eq!(
        result(&client.call("how", &[])),
        Some("handover handover".into())
    );
}

#[test]
fn a_drained_origin_is_not_missed() {
    let mut cluster = cluster(2, 2);
    let callers = Callers::start(6, |number| cluster.rtmp(number % 2), "room/one");
    let mut tables: Vec<_> = (0..12)
        .map(|number| {
            let mut table = Wired::session(cluster.rtmp(number % 2), &format!("table/t{number}"));
            table.call("add", &[]);
            table
        })
        .collect();
    let mut board = Wired::session(cluster.rtmp(0), "board/one");
    let title = result(&board.call("title", &[]));
    assert_eq!(title, Some("kept".into()));
    for drained in [0, 1] {
        let other = 1 - drained;
        let before = status(&cluster, drained);
        assert_eq!(before["state"], "up");
        let within = ["drain", &format!("origin{drained}"), "--within", "2 s"];
        let after = order(&cluster, drained, &within).expect("a drain");
        assert_eq!(after["state"], "drained", "{after}");
        let has_board = place(&cluster, "board/one") == drained;
        let staying = after["staying"].as_array().expect("a list");
        assert_eq!(staying.len(), usize::from(has_board), "{after}");
        assert_eq!(after["groups"], u64::from(has_board));
        // New groups start at the other one.
        let name = format!("table/new{drained}");
        let mut new = Wired::session(cluster.rtmp(0), &name);
        new.call("add", &[]);
        assert_eq!(place(&cluster, &name), other);
        for table in &mut tables {
            table.call("add", &[]);
        }
        assert_eq!(result(&board.call("title", &[])), title);
        // Its end is not seen either.
        cluster.stop_and_restart_origin(drained);
        cluster.await_links();
        wait::until("origins have links to each other", PATIENCE, || {
            status(&cluster, drained)["origins"][0]["takes_groups"] == true
                && status(&cluster, other)["origins"][0]["takes_groups"] == true
        });
        assert_eq!(result(&board.call("title", &[])), title);
    }
    for table in &mut tables {
        assert_eq!(result(&table.call("add", &[])), Some(4.0.into()));
    }
    let drained = order(&cluster, 0, &["drain", "--no-wait"]).expect("a drain");
    assert_ne!(drained["state"], "up");
    let again = order(&cluster, 0, &["undrain"]).expect("its end");
    assert_eq!(again["state"], "up");
    callers.finish(10);
}

/// A group that a drain leaves alone is the one that new clients of every edge join.
#[test]
fn a_group_that_stays_in_a_drain_is_not_started_elsewhere() {
    let cluster = cluster(2, 2);
    let mut first = Wired::session(cluster.rtmp(0), "room/one");
    first.call("now", &[1.0.into()]);
    let at = place(&cluster, "room/one");
    order(&cluster, at, &["drain", "--within", "1 min", "--no-wait"]).expect("a drain");
    wait::until("the group stays", PATIENCE, || {
        let staying = &status(&cluster, at)["staying"];
        staying[0]["why"] == "its application does not expect to be moved"
    });
    let mut second = Wired::session(cluster.rtmp(1), "room/one");
    second.call("now", &[1.0.into()]);
    let group = order(&cluster, at, &["status", "room/one"]).expect("a group");
    assert_eq!(group["sessions"], 2, "{group}");
    assert!(order(&cluster, 1 - at, &["status", "room/one"]).is_err());
    order(&cluster, at, &["undrain"]).expect("its end");
    assert!(first.call("now", &[2.0.into()]).name().is_some());
    assert!(second.call("now", &[2.0.into()]).name().is_some());
}

/// An edge that could not be reached while a group moved, and its origin ended, finds the group.
#[test]
fn an_edge_that_comes_back_late_finds_the_group_where_it_is() {
    let mut cluster = cluster(2, 2);
    let mut here = Wired::session(cluster.rtmp(0), "table/one");
    let mut late = Wired::session(cluster.rtmp(1), "table/one");
    here.call("add", &[]);
    late.call("add", &[]);
    let at = place(&cluster, "table/one");
    stop(&cluster.edges[1]);
    let link = cluster.stop_origin(at);
    cluster.start_stopped_origin(at, &link);
    cluster.edges[1].signal(Signal::CONT);
    cluster.await_links();
    assert_eq!(result(&here.call("add", &[])), Some(3.0.into()));
    assert_eq!(result(&late.call("add", &[])), Some(4.0.into()));
    assert_eq!(place(&cluster, "table/one"), 1 - at);
    wait::until("all sessions are there", PATIENCE, || {
        let group = order(&cluster, 1 - at, &["status", "table/one"]);
        group.is_ok_and(|group| group["sessions"] == 2)
    });
}

/// An edge without a link does not keep a group where it was: the group moves on and back meanwhile.
#[test]
fn a_group_moves_twice_while_an_edge_is_away() {
    let cluster = cluster(2, 2);
    let mut here = Wired::session(cluster.rtmp(0), "table/one");
    let mut late = Wired::session(cluster.rtmp(1), "table/one");
    let mut alone = Wired::session(cluster.rtmp(1), "table/alone");
    for client in [&mut here, &mut late, &mut alone] {
        client.call("add", &[]);
    }
    let at = place(&cluster, "table/one");
    let home = place(&cluster, "table/alone");
    stop(&cluster.edges[1]);
    wait::until("origins have lost the edge", PATIENCE, || {
        let has_lost = |origin| {
            let status = status(&cluster, origin);
            let edges = status["edges"].as_array().expect("a list").clone();
            let mut edges = edges.iter().filter(|edge| edge["name"] == "edge1");
            edges.all(|edge| edge["is_linked"] == false)
        };
        has_lost(at) && has_lost(1 - at)
    });
    for from in [at, 1 - at] {
        move_to(&cluster, "table/one", from, 1 - from);
        let left = order(&cluster, from, &["status", "table/one"]);
        assert!(left.is_err(), "{left:?}");
    }
    let to = format!("origin{}", 1 - home);
    let refused = order(&cluster, home, &["move", "table/alone", "--to", &to]);
    let refused = refused.expect_err("a refusal");
    assert!(refused.contains("none of the edges"), "{refused}");
    assert_eq!(result(&here.call("add", &[])), Some(3.0.into()));
    cluster.edges[1].signal(Signal::CONT);
    assert_eq!(result(&late.call("add", &[])), Some(4.0.into()));
    assert_eq!(result(&alone.call("add", &[])), Some(2.0.into()));
    let group = order(&cluster, at, &["status", "table/one"]).expect("it is back");
    assert_eq!(group["sessions"], 2, "{group}");
    assert!(order(&cluster, 1 - at, &["status", "table/one"]).is_err());
}

/// A drain that gets less time does not wait for the pause of a group that it has tried before.
#[test]
fn a_drain_that_is_shortened_tries_all_groups_again() {
    let cluster = cluster(2, 1);
    let mut client = Wired::session(cluster.rtmp(0), "room/one");
    client.call("now", &[1.0.into()]);
    let at = place(&cluster, "room/one");
    order(&cluster, at, &["drain", "--within", "1 h", "--no-wait"]).expect("a drain");
    // Its pauses have grown by then.
    thread::sleep(Duration::from_secs(4));
    assert!(order(&cluster, at, &["status", "room/one"]).is_ok());
    let drained = order(&cluster, at, &["drain", "--within", "0 s"]).expect("a drain");
    assert_eq!(drained["state"], "drained", "{drained}");
    assert_eq!(drained["groups"], 0, "{drained}");
    assert_eq!(place(&cluster, "room/one"), 1 - at);
    let answer = client.call("now", &[2.0.into()]);
    assert_eq!(answer.name().as_deref(), Some("_result"));
}

/// Clients of every independent implementation follow their group through a move, a kill and a stop.
#[test]
fn independent_clients_follow_their_group() {
    let mut cluster = cluster(2, 2);
    let group = "counter/so";
    let mut members = everyone(&cluster, group, "shared");
    let mut librtmp = Driven::session(Kind::Librtmp, cluster.rtmp(0), group);
    let mut share = |round: u32| {
        let value = json!({"round": round, "text": "语"});
        for number in 0..members.len() {
            let slot = format!("of{number}");
            members[number].set("shared", &slot, value.clone());
            for member in &mut members {
                member.until_slot("shared", &slot, &value);
            }
            let answer = members[number].call("echo", json!([round]));
            assert_eq!(answer, Ok(json!(round)), "{:?}", members[number].kind());
        }
        assert_eq!(librtmp.call("echo", json!(["here"])), Ok(json!("here")));
    };
    share(0);
    let at = place(&cluster, group);
    move_to(&cluster, group, at, 1 - at);
    share(1);
    cluster.restart_origin(1 - at);
    share(2);
    cluster.await_links();
    cluster.stop_and_restart_origin(1 - at);
    share(3);
    assert_eq!(place(&cluster, group), at);
}

/// All origins are exchanged, twice round, under calls and streams: as a rolling upgrade does.
#[test]
fn origins_are_exchanged_twice_round() {
    let mut cluster = cluster(3, 2);
    let callers = Callers::start(6, |number| cluster.rtmp(number % 2), "room/one");
    let publisher = Synthetic::start(cluster.rtmp(0), "live", "cam", Codec::Avc, 1000);
    let (mut viewer, _) = Wired::viewer(cluster.rtmp(1), "live", "cam");
    viewer.wait_code("NetStream.Play.Start");
    let mut board = Wired::session(cluster.rtmp(0), "board/one");
    board.call("title", &[]);
    for origin in [0, 1, 2, 0, 1, 2] {
        cluster.stop_and_restart_origin(origin);
        cluster.await_links();
        wait::until("the origin takes groups again", PATIENCE, || {
            let takes = |at: usize| {
                let status = status(&cluster, at);
                let others = status["origins"].as_array().expect("a list").clone();
                others.iter().all(|it| it["takes_groups"] == true)
            };
            (0..3).all(takes)
        });
        let messages = viewer.pictures(25);
        let said: Vec<_> = messages.iter().filter_map(Message::code).collect();
        assert!(said.is_empty(), "{said:?}");
        assert_eq!(result(&board.call("title", &[])), Some("kept".into()));
    }
    callers.finish(30);
    publisher.finish();
}

/// Origins are drained one after the other; each drain ends with all groups at the other.
#[test]
#[ignore = "takes a minute: just drains"]
fn fifty_drains_are_not_noticed() {
    let cluster = cluster(2, 2);
    let callers = Callers::start(6, |number| cluster.rtmp(number % 2), "room/one");
    let tables: Vec<_> = (0..20)
        .map(|number| Wired::session(cluster.rtmp(number % 2), &format!("table/t{number}")))
        .collect();
    for drain in 0..50 {
        let origin = drain % 2;
        let after = order(&cluster, origin, &["drain", "--within", "0 s"]).expect("a drain");
        assert_eq!(after["groups"], 0, "{after}");
        order(&cluster, origin, &["undrain"]).expect("its end");
    }
    for mut table in tables {
        assert_eq!(result(&table.call("add", &[])), Some(1.0.into()));
    }
    callers.finish(100);
}

/// SIGTERM of an origin moves its groups to the others.
#[test]
fn an_origin_that_stops_leaves_its_groups_to_another() {
    let mut cluster = cluster(2, 1);
    let callers = Callers::start(4, |_| cluster.rtmp(0), "room/one");
    let mut table = Wired::session(cluster.rtmp(0), "table/one");
    table.call("add", &[]);
    for origin in [0, 1] {
        let link = cluster.stop_origin(origin);
        for group in ["room/one", "table/one"] {
            assert!(
                order(&cluster, 1 - origin, &["status", group]).is_ok(),
                "{group}"
            );
        }
        table.call("add", &[]);
        cluster.start_stopped_origin(origin, &link);
        cluster.await_links();
        wait::until("origins have links to each other", PATIENCE, || {
            let linked = |origin| status(&cluster, origin)["origins"][0]["takes_groups"] == true;
            linked(0) && linked(1)
        });
    }
    assert_eq!(result(&table.call("add", &[])), Some(4.0.into()));
    callers.finish(10);
}

/// Either end of a move is killed at one moment of it or another, and starts again.
#[test]
fn a_move_outlives_the_death_of_either_end() {
    kill_movers(10);
}

#[test]
#[ignore = "takes three minutes: just movers"]
fn a_hundred_moves_outlive_the_death_of_either_end() {
    kill_movers(100);
}

fn kill_movers(rounds: u64) {
    let mut cluster = cluster(2, 2);
    let callers = Callers::start(6, |number| cluster.rtmp(number % 2), "room/one");
    for round in 0..rounds {
        let at = place(&cluster, "room/one");
        let victim = if round % 2 == 0 { at } else { 1 - at };
        let to = format!("origin{}", 1 - at);
        let moving = cluster.spawn(at, &["move", "room/one", "--to", &to]);
        thread::sleep(Duration::from_millis(8 + 3 * (round / 2 % 5)));
        cluster.origins[victim].kill();
        moving.join().expect("the command ends");
        cluster.restart_origin(victim);
        cluster.await_links();
        wait::until("origins have links to each other", PATIENCE, || {
            let linked = |origin| status(&cluster, origin)["origins"][0]["is_linked"] == true;
            linked(0) && linked(1)
        });
        wait::until("one origin has the group", PATIENCE, || {
            let has = |origin| order(&cluster, origin, &["status", "room/one"]).is_ok();
            has(0) != has(1)
        });
        let mut new = Wired::session(cluster.rtmp(0), "room/one");
        let answer = new.call("now", &[0.0.into()]);
        assert_eq!(answer.name().as_deref(), Some("_result"));
        thread::sleep(Duration::from_millis(300));
    }
    let failed = callers.finish_after_kills();
    eprintln!("{failed} calls failed");
}

#[test]
fn orders_that_make_no_sense_are_refused_with_a_reason() {
    let cluster = cluster(2, 1);
    let mut board = Wired::session(cluster.rtmp(0), "board/one");
    board.call("title", &[]);
    let mut client = Wired::session(cluster.rtmp(0), "room/one");
    client.call("now", &[1.0.into()]);
    let at = place(&cluster, "room/one");
    let (own, other) = (format!("origin{at}"), format!("origin{}", 1 - at));
    let home = place(&cluster, "board/one");
    let home_other = format!("origin{}", 1 - home);
    for (origin, arguments, reason) in [
        (
            at,
            ["move", "room/one", "--to", "origin9"],
            "no link to an origin \"origin9\"",
        ),
        (
            at,
            ["move", "room/one", "--to", &own],
            "it is at this origin already",
        ),
        (
            1 - at,
            ["move", "room/one", "--to", &own],
            "it has no clients at this origin",
        ),
        (
            at,
            ["move", "room/nobody", "--to", &other],
            "it has no clients at this origin",
        ),
        (
            home,
            ["move", "board/one", "--to", &home_other],
            "it has stored data",
        ),
    ] {
        let refused = order(&cluster, origin, &arguments).expect_err("a refusal");
        assert!(refused.contains(reason), "{arguments:?}: {refused}");
    }
    let wrong = order(&cluster, at, &["drain", &other]).expect_err("a refusal");
    assert!(
        wrong.contains(&format!("is the admin address of {own}, not of {other}")),
        "{wrong}"
    );
    assert_eq!(
        client.call("now", &[2.0.into()]).name().as_deref(),
        Some("_result")
    );
    let (good, said) = cluster.command(at, &["status"]);
    assert!(
        good && said.contains(&own) && said.contains("edge0"),
        "{said}"
    );
}

fn result(answer: &Message) -> Option<Amf> {
    answer.values().get(3).cloned()
}
