//! Applications that change while their groups run.

use std::time::Duration;

use tributary_node::config;
use tributary_protocol::{amf::Value, link::CloseReason};

use super::stage::{Lane, Stage, live_settings, pass, play, settle};
use crate::{
    app::{Answer, Application, Applications, Call, Context},
    group::OpenRefused,
    session::LaneKey,
};

/// Answers every call with its version, or fails.
struct Versioned(&'static str);

impl Application for Versioned {
    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        assert_ne!(call.name, "panic", "on demand");
        context.log(crate::app::Level::Info, self.0);
        Answer::Result(Value::from(self.0))
    }
}

fn deploy(applications: &Applications, version: &'static str) -> u64 {
    applications.replace("app", live_settings(), move |_| {
        Box::new(Versioned(version))
    })
}

fn stage() -> (Stage, Applications) {
    let applications = Applications::new();
    deploy(&applications, "one");
    (Stage::with(applications.clone()), applications)
}

async fn version(lane: &mut Lane, session: u64) -> String {
    lane.call(session, 0, "version", 9.0, &[]);
    lane.heard(session).await.join(",")
}

const RESTARTED: [&str; 3] = [
    "0 NetConnection.Connect.AppShutdown",
    "close",
    "Close shutdown",
];

#[test]
fn a_running_group_keeps_its_version_and_a_new_one_takes_the_newest() {
    play(async {
        let (mut stage, applications) = stage();
        let mut old = stage.lane("app");
        old.client(1).await;
        assert_eq!(deploy(&applications, "two"), 2);
        let mut new = stage.lane("app/other");
        new.client(1).await;
        old.client(2).await;
        assert_eq!(version(&mut old, 2).await, "_result 9 one");
        assert_eq!(version(&mut new, 1).await, "_result 9 two");
        let summary = applications.summary("app").unwrap();
        assert_eq!(summary.version, Some(2));
        assert_eq!(
            (summary.groups, summary.older_groups, summary.sessions),
            (2, 1, 3)
        );
        let log = summary.log.after(0, 10);
        let said: Vec<_> = log
            .iter()
            .map(|line| (line.instance.as_deref(), line.text.as_str()))
            .collect();
        assert_eq!(
            said,
            [(Some("_definst_"), "one"), (Some("other"), "two")],
            "one log for all"
        );
    });
}

#[test]
fn a_restart_ends_sessions_cleanly_and_starts_the_newest() {
    play(async {
        let (mut stage, applications) = stage();
        let mut lane = stage.lane("app");
        lane.client(1).await;
        lane.publish(1, "cam", 1);
        lane.clear().await;
        deploy(&applications, "two");
        assert_eq!(stage.groups.restart("app"), 1);
        assert_eq!(lane.heard(1).await, RESTARTED);
        let summary = applications.summary("app").unwrap();
        assert_eq!((summary.groups, summary.sessions), (0, 0));
        // On the same lane, in the same group.
        lane.client(2).await;
        assert_eq!(version(&mut lane, 2).await, "_result 9 two");
        assert_eq!(applications.summary("app").unwrap().older_groups, 0);
        assert_eq!(stage.groups.restart("other"), 0);
        // A group that was restarted and has no clients ends.
        stage.groups.restart("app");
        settle().await;
        drop(lane);
        pass(Duration::from_secs(1)).await;
        assert_eq!(stage.groups.count(), 0);
    });
}

#[test]
fn a_removed_application_runs_out() {
    play(async {
        let (mut stage, applications) = stage();
        let mut lane = stage.lane("app");
        lane.client(1).await;
        assert!(applications.remove("app"));
        assert!(!applications.remove("app"));
        let refused = stage.groups.open(&"app/new".parse().unwrap(), LaneKey(9));
        assert_eq!(refused.unwrap_err(), OpenRefused::InvalidApp);
        lane.client(2).await;
        assert_eq!(version(&mut lane, 2).await, "_result 9 one");
        let summary = applications.summary("app").unwrap();
        assert_eq!((summary.version, summary.older_groups), (None, 1));
        assert!(applications.names().is_empty());
        stage.groups.restart("app");
        assert_eq!(lane.heard(1).await, RESTARTED);
        assert!(applications.summary("app").is_none(), "only a lane is left");
        lane.open(3);
        let refused = [
            "_error 1 NetConnection.Connect.InvalidApp",
            "close",
            "Close invalid_app",
        ];
        assert_eq!(lane.heard(3).await, refused);
        drop(lane);
        pass(Duration::from_secs(1)).await;
        assert_eq!(stage.groups.count(), 0);
        deploy(&applications, "again");
        assert_eq!(
            applications.summary("app").unwrap().version,
            Some(1),
            "nobody remembers the first"
        );
    });
}

#[test]
fn a_new_version_ends_the_hold_off() {
    play(async {
        let (mut stage, applications) = stage();
        let mut lane = stage.lane("app");
        for session in 1..=3 {
            lane.client(session).await;
            lane.call(session, 0, "panic", 4.0, &[]);
            lane.clear().await;
        }
        lane.open(4);
        assert_eq!(
            lane.heard(4).await[0],
            "_error 1 NetConnection.Connect.AppShutdown"
        );
        deploy(&applications, "two");
        lane.client(5).await;
        assert_eq!(version(&mut lane, 5).await, "_result 9 two");
        let log = applications.summary("app").unwrap().log.after(0, 10);
        assert!(log[0].text.contains("on demand"), "{log:?}");
    });
}

#[test]
fn the_groups_of_one_application_are_bounded() {
    play(async {
        let mut applications = Applications::new();
        let settings = config::Application {
            max_groups: 2,
            ..live_settings()
        };
        applications.add_builtin("live", settings);
        applications.add("app", live_settings(), |_| Box::new(Versioned("one")));
        let mut stage = Stage::with(applications);
        let first = stage.lane("live/1");
        let mut second = stage.lane("live/2");
        let third = stage.groups.open(&"live/3".parse().unwrap(), LaneKey(9));
        assert_eq!(third.unwrap_err(), OpenRefused::Limit);
        stage.lane("app").client(1).await;
        second.client(1).await;
        drop(first);
        settle().await;
        let mut third = stage.lane("live/3");
        third.client(1).await;
        third.closed(1, CloseReason::Client);
    });
}
