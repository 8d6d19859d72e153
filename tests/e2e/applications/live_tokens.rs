//! The example application `live-tokens`.

use serde_json::json;

use super::example;
use crate::support::{
    clients::{
        driven::{Driven, Kind},
        endless_publisher,
    },
    media,
};

#[test]
fn only_the_holder_of_a_token_publishes() {
    let cluster = example("live-tokens");
    let app = "live-tokens";
    let mut viewer = Driven::session(Kind::Amf3, cluster.rtmp(1), app);
    for name in [
        "cam1",
        "cam1?token=wrong",
        "cam1?token=",
        "other?token=change-me",
    ] {
        let mut stranger = Driven::session(Kind::Amf0, cluster.rtmp(0), app);
        let stream = stranger.create_stream();
        stranger.command(stream, "publish", json!([name, "live"]));
        let status = stranger.status("NetStream.Publish.BadName");
        assert_eq!(status["description"], "The token is wrong.", "{name}");
    }
    assert_eq!(viewer.call("list", json!([])), Ok(json!([])));

    let url = cluster.url(0, app, "cam1?token=change-me");
    let ffmpeg = endless_publisher(&url, media::clip(), cluster.directory());
    assert_eq!(viewer.called("onLive"), json!(["cam1"]));
    let live = viewer.call("list", json!([])).expect("a list");
    assert_eq!(live[0]["name"], "cam1", "{live}");
    viewer.play("cam1");
    viewer.status("NetStream.Play.Start");
    viewer.event("media", |media| media["kind"] == 9);
    for process in cluster.origins.iter().chain(&cluster.edges) {
        assert!(!process.log().contains("change-me"), "a token is logged");
    }
    ffmpeg.signal(rustix::process::Signal::INT);
    assert_eq!(viewer.called("onOver"), json!(["cam1"]));
    viewer.status("NetStream.Play.UnpublishNotify");
}
