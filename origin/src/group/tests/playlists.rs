//! Plays of a client that do not replace the present one.

use std::time::Duration;

use tributary_protocol::amf::Value;

use super::stage::{Lane, Stage, live_settings, pass, play};
use crate::group::message_stream::MAX_PLAYLIST;

impl Lane {
    /// Queues a play behind the present play of session 9.
    fn behind(&self, name: &str, length: Value) {
        let with = [name.into(), (-2.0).into(), length, false.into()];
        self.call(9, 1, "play", 0.0, &with);
    }
}

/// A lane where session 9 may play and the others publish `a` and `b`.
async fn stage() -> (Stage, Lane) {
    let mut stage = Stage::live(live_settings());
    let mut lane = stage.lane("live");
    for session in [1, 2, 9] {
        lane.client(session).await;
    }
    lane.publish(1, "a", 1);
    lane.publish(2, "b", 1);
    lane.clear().await;
    (stage, lane)
}

const MEDIA: [&str; 1] = ["1 data |RtmpSampleAccess false"];

fn begins(live: &str) -> Vec<String> {
    let start = ["StreamBegin 1", "1 NetStream.Play.Start"];
    let parts = [&start[..], &MEDIA, &[live]].concat();
    parts.into_iter().map(str::to_owned).collect()
}

#[test]
fn a_play_follows_when_the_one_before_has_had_its_time() {
    play(async {
        let (_stage, mut lane) = stage().await;
        let with = ["a".into(), (-1.0).into(), 2.0.into()];
        lane.call(9, 1, "play", 0.0, &with);
        lane.clear().await;
        lane.behind("b", Value::Null);
        assert_eq!(lane.heard(9).await.len(), 0);
        pass(Duration::from_secs(2)).await;
        let over = ["Detach 1 live 1", "1 NetStream.Play.Stop", "StreamEof 1"];
        let over = over.map(str::to_owned);
        assert_eq!(
            lane.heard(9).await,
            [&over[..], &begins("Attach 1 live 2")].concat()
        );
    });
}

#[test]
fn a_play_follows_when_the_stream_before_ends() {
    play(async {
        let (_stage, mut lane) = stage().await;
        lane.play(9, "a");
        lane.behind("b", Value::Null);
        lane.clear().await;
        lane.call(1, 1, "closeStream", 0.0, &[]);
        let over = [
            "1 NetStream.Play.UnpublishNotify",
            "StreamEof 1",
            "Detach 1 live 1",
        ]
        .map(str::to_owned);
        assert_eq!(
            lane.heard(9).await,
            [&over[..], &begins("Attach 1 live 2")].concat()
        );
        // No play waits: the stream is waited for again, until a play is queued behind it.
        lane.call(2, 1, "closeStream", 0.0, &[]);
        lane.clear().await;
        lane.publish(1, "a", 5);
        lane.clear().await;
        lane.behind("a", Value::Null);
        let heard = lane.heard(9).await;
        assert_eq!(heard.last().unwrap(), "Attach 1 live 3", "{heard:?}");
    });
}

#[test]
fn what_cannot_be_played_gives_way() {
    play(async {
        let (_stage, mut lane) = stage().await;
        lane.play(9, "a");
        lane.behind("../x", Value::Null);
        let recorded = ["a".into(), 5.0.into(), Value::Null, 0.0.into()];
        lane.call(9, 1, "play", 0.0, &recorded);
        lane.behind("b", Value::Null);
        lane.clear().await;
        lane.call(1, 1, "closeStream", 0.0, &[]);
        let heard = lane.heard(9).await;
        assert!(heard.contains(&"1 NetStream.Play.Failed".to_owned()));
        assert!(heard.contains(&"1 NetStream.Play.StreamNotFound".to_owned()));
        assert_eq!(heard.last().unwrap(), "Attach 1 live 2", "{heard:?}");
    });
}

#[test]
fn a_reset_and_a_close_empty_the_list_and_it_is_bounded() {
    play(async {
        let (_stage, mut lane) = stage().await;
        for reset in ["play", "closeStream"] {
            lane.play(9, "a");
            lane.behind("b", Value::Null);
            lane.call(9, 1, reset, 0.0, &["a".into()]);
            lane.clear().await;
            lane.call(1, 1, "closeStream", 0.0, &[]);
            let heard = lane.heard(9).await;
            assert!(
                !heard.iter().any(|line| line.contains("Start")),
                "{heard:?}"
            );
            lane.publish(1, "a", 3);
        }
        lane.play(9, "a");
        for _ in 0..MAX_PLAYLIST {
            lane.behind("b", Value::Null);
        }
        lane.clear().await;
        lane.behind("b", Value::Null);
        assert_eq!(lane.heard(9).await, ["1 NetStream.Play.Failed"]);
    });
}
