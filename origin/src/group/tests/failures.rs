//! An application that panics takes down its own group, and not for ever.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tributary_protocol::{
    amf::Value,
    command::{Connect, ObjectEncoding},
    link::CloseReason,
};

use super::stage::{Stage, live_settings, pass, play};
use crate::app::{
    Admission, Answer, AppStartError, Application, Applications, Call, ClientId, Context,
};

/// Panics on demand, even while it is dropped.
struct Fragile {
    dropped: bool,
}

impl Application for Fragile {
    fn connect(&mut self, context: &mut Context<'_>, client: ClientId, _: &Connect) -> Admission {
        match context.client(client).unwrap().peer().port() {
            1 => Admission::Pending,
            2 => panic!("at connect"),
            _ => Admission::Accept,
        }
    }

    fn call(&mut self, _: &mut Context<'_>, call: &Call) -> Answer {
        match call.name.as_str() {
            "panic" => panic!("on demand"),
            "panic twice" => {
                self.dropped = true;
                panic!("on demand")
            }
            _ => Answer::Result(Value::Null),
        }
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        assert!(!self.dropped, "in drop");
    }
}

fn stage() -> Stage {
    let mut applications = Applications::new();
    applications.add("app", live_settings(), |_| {
        Box::new(Fragile { dropped: false })
    });
    applications.add_builtin("live", live_settings());
    Stage::with(applications)
}

const SHUTDOWN: [&str; 3] = [
    "0 NetConnection.Connect.AppShutdown",
    "close",
    "Close disconnected_by_application",
];
const REFUSED: [&str; 3] = [
    "_error 1 NetConnection.Connect.AppShutdown",
    "close",
    "Close shutdown",
];

#[test]
fn a_panic_ends_the_sessions_of_its_group_alone() {
    play(async {
        let mut stage = stage();
        let mut broken = stage.lane("app");
        let mut neighbour = stage.lane("app/other");
        let mut live = stage.lane("live");
        for lane in [&mut broken, &mut neighbour, &mut live] {
            lane.client(1).await;
        }
        broken.client(2).await;
        broken.publish(2, "cam", 1);
        broken.open_from(3, "10.0.0.1:1", ObjectEncoding::Amf0);
        broken.clear().await;
        broken.call(1, 0, "panic", 4.0, &[]);
        assert_eq!(broken.heard(1).await, SHUTDOWN);
        assert_eq!(broken.heard(2).await, SHUTDOWN);
        assert_eq!(
            broken.heard(3).await,
            [
                "_error 1 NetConnection.Connect.AppShutdown",
                "close",
                "Close disconnected_by_application"
            ]
        );
        for lane in [&mut neighbour, &mut live] {
            lane.call(1, 0, "createStream", 5.0, &[]);
            assert_eq!(lane.heard(1).await, ["_result 5 2"]);
        }
        // Mail of the dead sessions that is still under way is dropped.
        broken.call(1, 0, "anything", 6.0, &[]);
        broken.closed(1, CloseReason::Client);
        broken.client(9).await;
        broken.publish(9, "cam", 1);
        assert_eq!(
            broken.heard(9).await.last().unwrap(),
            "1 NetStream.Publish.Start"
        );
    });
}

#[test]
fn an_application_that_keeps_failing_is_held_off() {
    play(async {
        let mut stage = stage();
        let mut lane = stage.lane("app");
        for (session, call) in [(1, "panic"), (2, "panic twice"), (3, "panic")] {
            lane.client(session).await;
            lane.call(session, 0, call, 4.0, &[]);
            assert_eq!(lane.heard(session).await, SHUTDOWN);
            pass(Duration::from_secs(50)).await;
        }
        lane.open(4);
        assert_eq!(lane.heard(4).await, REFUSED);
        // The lane goes and comes back: the group remembers.
        let name = "app";
        drop(lane);
        pass(Duration::from_secs(100)).await;
        let mut lane = stage.lane(name);
        lane.open(5);
        assert_eq!(lane.heard(5).await, REFUSED);
        // 300 s after the first failure.
        pass(Duration::from_secs(50)).await;
        lane.client(6).await;
    });
}

#[test]
fn a_panic_at_connect_and_a_failed_start_refuse_the_client() {
    play(async {
        let mut stage = stage();
        let mut lane = stage.lane("app");
        lane.open_from(1, "10.0.0.1:2", ObjectEncoding::Amf0);
        assert_eq!(
            lane.heard(1).await,
            [
                "_error 1 NetConnection.Connect.AppShutdown",
                "close",
                "Close disconnected_by_application"
            ]
        );

        struct Broken(Arc<AtomicUsize>);
        impl Application for Broken {
            fn start(&mut self, _: &mut Context<'_>) -> Result<(), AppStartError> {
                self.0.fetch_add(1, Ordering::Relaxed);
                Err(AppStartError("syntax error in line 1".to_owned()))
            }
        }
        let starts = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&starts);
        let mut stage = Stage::app(move || Broken(Arc::clone(&count)));
        let mut lane = stage.lane("app");
        for session in 1..=10 {
            lane.open(session);
            assert_eq!(lane.heard(session).await, REFUSED);
        }
        assert_eq!(
            starts.load(Ordering::Relaxed),
            3,
            "two restarts, then no more"
        );
    });
}
