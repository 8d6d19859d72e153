//! The example application `conference`.

use serde_json::json;

use super::example;
use crate::support::{
    clients::driven::{Driven, Kind},
    cluster::Cluster,
    media,
};

#[test]
fn everybody_in_a_room_sees_everybody() {
    let cluster = example("conference");
    let mut people = [
        enter(Kind::Amf0, &cluster, 0, "Ann"),
        enter(Kind::Amf3, &cluster, 1, "Bob"),
        enter(Kind::Amf0, &cluster, 1, "Eve"),
    ];
    for (client, id) in &mut people {
        client.publish(&format!("{id}/camera"), media::clip());
    }
    let (bob, id) = &mut people[1];
    bob.publish(&format!("{id}/screen"), media::clip());
    let streams = [
        ("p1", json!(["p1/camera"])),
        ("p2", json!(["p2/camera", "p2/screen"])),
        ("p3", json!(["p3/camera"])),
    ];
    for (client, own) in &mut people {
        for (id, names) in &streams {
            client.until(&format!("the streams of {id}"), |client| {
                let person = client.slot("people", id);
                person.is_some_and(|person| person["streams"] == *names)
            });
            for name in names.as_array().into_iter().flatten() {
                if own != id {
                    let name = name.as_str().unwrap_or_default();
                    let stream = client.play(name);
                    client.event("media", |media| {
                        media["stream"] == stream && media["kind"] == 9
                    });
                }
            }
        }
    }
    // A client cannot publish for another one.
    let (eve, _) = &mut people[2];
    let stream = eve.create_stream();
    eve.command(stream, "publish", json!(["p1/screen", "live"]));
    eve.status("NetStream.Publish.BadName");

    eve.call("mute", json!([true])).expect("it is muted");
    eve.call("tell", json!(["p1", {"hand": "up"}]))
        .expect("it is delivered");
    let (ann, _) = &mut people[0];
    assert_eq!(ann.called("onTold"), json!(["p3", {"hand": "up"}]));
    ann.until("Eve is muted", |ann| {
        ann.slot("people", "p3")
            .is_some_and(|eve| eve["muted"] == true)
    });

    let (eve, _) = &mut people[2];
    let error = eve.call("kick", json!(["p1"])).expect_err("she may not");
    assert_eq!(error["code"], "NetConnection.Call.Failed");
    let (ann, _) = &mut people[0];
    ann.call("kick", json!(["p3"])).expect("she may");
    let (eve, _) = &mut people[2];
    eve.event("closed", |_| true);
    let (ann, _) = &mut people[0];
    ann.until_there("people", "p3", false);
    ann.status("NetStream.Play.UnpublishNotify");
}

#[test]
fn a_room_has_a_moderator_and_an_end() {
    let cluster = example("conference");
    let mut people: Vec<_> = (0..8)
        .map(|number| enter(Kind::Amf0, &cluster, number % 2, &format!("n{number}")))
        .collect();
    let mut ninth = Driven::start(Kind::Npm);
    let refused = ninth.connect(cluster.rtmp(0), "conference/room", json!(["ninth"]));
    let info = refused.expect_err("the room is full");
    assert_eq!(info["application"]["code"], "full", "{info}");
    assert_eq!(info["application"]["most"], 8, "{info}");
    drop(people.remove(0));
    let (second, id) = &mut people[0];
    assert_eq!(id, "p2");
    second.called("onModerator");
    second.call("kick", json!(["p3"])).expect("it may now");
    people[1].0.event("closed", |_| true);
}

fn enter(kind: Kind, cluster: &Cluster, edge: usize, name: &str) -> (Driven, String) {
    let mut client =
        Driven::session_with(kind, cluster.rtmp(edge), "conference/room", json!([name]));
    let entered = client.called("onEnter");
    client.join("people");
    let id = entered[0]["id"].as_str().expect("an id").to_owned();
    client.until_there("people", &id, true);
    (client, id)
}
