//! Streams of a client on py3amf: data messages in both encodings, and the commands that encoders
//! send before they publish.

use serde_json::{Value, json};

use crate::support::{
    clients::{
        driven::{Driven, Kind},
        endless_publisher, reader,
        wired::PATIENCE,
    },
    cluster::Cluster,
    media, wait,
};

#[test]
fn metadata_and_send_of_an_amf3_publisher_reach_ffmpeg_and_both_encodings() {
    let cluster = Cluster::start(1, 2);
    let mut publisher = Driven::session(Kind::Amf3, cluster.rtmp(0), "live");
    let stream = publisher.publish("forms", media::clip());
    let bytes = json!({"$": "bytes", "hex": "00ff7f"});
    let metadata = json!({"title": "from py3amf", "width": 480, "raw": bytes});
    let send = |publisher: &mut Driven, args: Value| {
        publisher.order(json!({"do": "data", "stream": stream, "args": args}));
    };
    send(
        &mut publisher,
        json!(["@setDataFrame", "onMetaData", metadata]),
    );
    let mut amf0 = Driven::session(Kind::Amf0, cluster.rtmp(1), "live");
    let mut amf3 = Driven::session(Kind::Amf3, cluster.rtmp(1), "live");
    let played = [amf0.play("forms"), amf3.play("forms")];
    let directory = tempfile::tempdir().expect("a temporary directory");
    let ffmpeg = reader(&cluster.url(1, "live", "forms"), directory.path());

    let named = |name: &'static str| move |data: &Value| data["args"][0] == name;
    let seen = [
        amf0.event("data", named("onMetaData")),
        amf3.event("data", named("onMetaData")),
    ];
    for (data, stream) in seen.iter().zip(played) {
        let got = &data["args"][1];
        assert_eq!(data["stream"], stream, "on the player's message stream");
        assert_eq!(got["title"], "from py3amf");
        assert_eq!(got["width"], 480);
    }
    assert_eq!(seen[0]["kind"], 18, "AMF0 for a client of AMF0");
    assert_eq!(seen[1]["kind"], 15, "it holds what only AMF3 has");
    assert_eq!(seen[1]["args"][1]["raw"], bytes);
    for (client, kind) in [(&mut amf0, "an AMF0"), (&mut amf3, "an AMF3")] {
        client.event("media", |media| media["kind"] == 9);
        client.event("media", |media| media["kind"] == 8);
        println!("{kind} client plays");
    }

    wait::until("ffmpeg gets metadata and text", PATIENCE, || {
        let text = json!(["onTextData", {"text": "spoken", "raw": bytes}]);
        send(&mut publisher, text);
        let log = ffmpeg.log();
        log.contains("from py3amf") && log.contains("OnTextData")
    });
    let sent = amf0.event("data", named("onTextData"));
    assert_eq!(sent["args"][1]["text"], "spoken");
    let sent = amf3.event("data", named("onTextData"));
    assert_eq!(sent["args"][1], json!({"text": "spoken", "raw": bytes}));
}

#[test]
fn an_encoder_is_answered_before_it_publishes() {
    let cluster = Cluster::start(1, 1);
    for kind in [Kind::Amf0, Kind::Amf3] {
        let mut encoder = Driven::session(kind, cluster.rtmp(0), "live");
        let name = format!("{kind:?}");
        let released = encoder.call("releaseStream", json!([name]));
        assert_eq!(released, Ok(json!({"$": "undefined"})), "{kind:?}");
        encoder.call("FCPublish", json!([name])).expect("an answer");
        let told = encoder.called("onFCPublish");
        assert_eq!(told[0]["code"], "NetStream.Publish.Start", "{told}");
        let measured = encoder.call("_checkbw", json!([]));
        measured.expect("an answer");
        encoder.called("onBWDone");
        let stream = encoder.publish(&name, media::clip());
        encoder
            .call("FCUnpublish", json!([name]))
            .expect("an answer");
        let told = encoder.called("onFCUnpublish");
        assert_eq!(told[0]["code"], "NetStream.Unpublish.Success", "{told}");
        encoder.command(stream, "closeStream", json!([]));
        encoder.status("NetStream.Unpublish.Success");
    }
}

#[test]
fn a_client_in_python_plays_what_ffmpeg_publishes() {
    let cluster = Cluster::start(1, 2);
    let url = cluster.url(0, "live", "clip");
    let _ffmpeg = endless_publisher(&url, media::clip(), cluster.directory());
    for kind in [Kind::Amf0, Kind::Amf3] {
        let mut player = Driven::session(kind, cluster.rtmp(1), "live");
        player.play("clip");
        player.status("NetStream.Play.Start");
        let metadata = player.event("data", |data| data["args"][0] == "onMetaData");
        assert_eq!(metadata["kind"], 18, "AMF0 is enough for ffmpeg's metadata");
        player.event("media", |media| media["kind"] == 9);
        player.event("media", |media| media["kind"] == 8);
    }
}
