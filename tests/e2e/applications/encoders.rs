//! Encoders whose commands a script answers itself.

use serde_json::json;

use super::old_scripts;
use crate::support::{
    clients::{
        driven::{Driven, Kind},
        endless_publisher,
    },
    media,
};

#[test]
fn a_script_hears_what_encoders_say_before_they_publish() {
    let cluster = old_scripts();
    let mut watcher = Driven::session_with(Kind::Amf0, cluster.rtmp(1), "calls", json!(["watch"]));
    let url = cluster.url(0, "calls", "cam");
    let ffmpeg = endless_publisher(&url, media::clip(), cluster.directory());
    watcher.play("cam");
    watcher.event("media", |media| media["kind"] == 9);
    let said = watcher.call("encoders_", json!([])).expect("a list");
    assert_eq!(
        said,
        json!(["releaseStream cam", "FCPublish cam", "onPublish cam"])
    );
    ffmpeg.signal(rustix::process::Signal::INT);
    watcher.status("NetStream.Play.UnpublishNotify");
    let said = watcher.call("encoders_", json!([])).expect("a list");
    assert_eq!(said[3], "FCUnpublish cam", "{said}");
    assert_eq!(said[4], "onUnpublish cam", "{said}");

    let mut encoder = Driven::session_with(Kind::Amf3, cluster.rtmp(0), "calls", json!(["fmle"]));
    let name = "cam?key=1";
    let released = encoder.call("releaseStream", json!([name]));
    assert_eq!(released, Ok(json!({"$": "undefined"})));
    encoder.call("FCPublish", json!([name])).expect("an answer");
    let told = encoder.called("onFCPublish");
    assert_eq!(told[0]["code"], "NetStream.Publish.Start", "{told}");
    assert_eq!(told[0]["description"], name, "{told}");
    encoder.publish(name, media::clip());
    watcher.status("NetStream.Play.PublishNotify");
}
