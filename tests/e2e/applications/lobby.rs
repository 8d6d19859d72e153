//! The example application `lobby`.

use serde_json::{Value, json};

use super::example;
use crate::support::{
    clients::driven::{Driven, Kind},
    cluster::Cluster,
};

#[test]
fn players_are_paired_and_play_by_the_rules() {
    let cluster = example("lobby");
    let mut ann = enter(Kind::Amf0, &cluster, 0, "Ann");
    let mut bob = enter(Kind::Npm, &cluster, 1, "Bob");

    // The first call of `find` is answered when a second client calls it.
    let found = ann.send(json!({"do": "call", "name": "find", "args": []}));
    bob.until("Ann waits", |bob| {
        bob.slot("players", "Ann")
            .is_some_and(|ann| ann["state"] == "waiting")
    });
    let bobs = bob.call("find", json!([])).expect("a game");
    let anns = ann.answer(found).expect("a game");
    assert_eq!(bobs, json!({"game": 1, "mark": "O", "opponent": "Ann"}));
    assert_eq!(anns, json!({"game": 1, "mark": "X", "opponent": "Bob"}));
    for player in [&mut ann, &mut bob] {
        player.join("games/1");
        player.until_slot("games/1", "turn", &json!("Ann"));
    }

    let error = bob.call("game.move", json!([0])).expect_err("not his turn");
    assert_eq!(error["code"], "NetConnection.Call.Failed");
    for (cell, by_ann) in [(0, true), (3, false), (1, true), (4, false)] {
        let player = if by_ann { &mut ann } else { &mut bob };
        let cells = player.call("game.move", json!([cell])).expect("the board");
        for watcher in [&mut ann, &mut bob] {
            watcher.until_slot("games/1", "cells", &cells);
        }
    }
    let error = ann.call("game.move", json!([4])).expect_err("it is taken");
    assert_eq!(error["code"], "NetConnection.Call.Failed");
    ann.call("game.move", json!([2])).expect("the last move");
    for player in [&mut ann, &mut bob] {
        let over = player.called("onGameOver");
        assert_eq!(over, json!([{"winner": "Ann", "why": "line"}]));
    }
    let free = json!({"state": "free", "wins": 1});
    bob.until_slot("players", "Ann", &free);
    let error = ann.call("game.move", json!([5])).expect_err("it is over");
    assert_eq!(error["code"], "NetConnection.Call.Failed");
}

#[test]
fn a_player_challenges_another_who_may_decline() {
    let cluster = example("lobby");
    let mut ann = enter(Kind::Amf3, &cluster, 0, "Ann");
    let mut bob = enter(Kind::Npm, &cluster, 1, "Bob");
    let mut eve = enter(Kind::Amf0, &cluster, 1, "Eve");
    bob.order(json!({"do": "answer", "name": "onChallenge", "value": true}));
    eve.order(json!({"do": "answer", "name": "onChallenge", "value": false}));

    assert_eq!(ann.call("challenge", json!(["Eve"])), Ok(Value::Null));
    assert_eq!(eve.called("onChallenge"), json!(["Ann"]));
    let game = ann.call("challenge", json!(["Bob"])).expect("a game");
    assert_eq!(game["opponent"], "Bob");
    assert_eq!(game["mark"], "X");
    let match_ = bob.called("onMatch");
    assert_eq!(match_[0]["opponent"], "Ann");
    let error = eve.call("challenge", json!(["Bob"])).expect_err("he plays");
    assert_eq!(error["code"], "NetConnection.Call.Failed");
    let error = eve.call("challenge", json!(["Nobody"])).expect_err("gone");
    assert_eq!(error["code"], "NetConnection.Call.Failed");

    // A player that leaves loses the game.
    drop(bob);
    let over = ann.called("onGameOver");
    assert_eq!(over, json!([{"winner": "Ann", "why": "left"}]));
    eve.until_there("players", "Bob", false);

    let mut second = Driven::start(Kind::Amf0);
    let refused = second.connect(cluster.rtmp(0), "lobby", json!(["Ann"]));
    let info = refused.expect_err("the name is taken");
    assert_eq!(info["application"]["code"], "name", "{info}");
}

fn enter(kind: Kind, cluster: &Cluster, edge: usize, name: &str) -> Driven {
    let mut client = Driven::session_with(kind, cluster.rtmp(edge), "lobby", json!([name]));
    client.hears(&["onGameOver", "onMatch"]);
    client.join("players");
    client.until_there("players", name, true);
    client
}
