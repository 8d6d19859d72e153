//! The connection of an encoder whose publish is refused or lost, the places of tokens, and players
//! that ask for live streams as if they were recordings.

use std::time::Duration;

use tributary_node::config::{Application, PublishFrom, SecondPublisher, Secret};
use tributary_protocol::{
    amf::{Object, Value},
    link::TakeoverKey,
    shared_object::{Event, Flags},
};

use super::stage::{Lane, Stage, live_settings, pass, play};

const REFUSED: [&str; 2] = ["StopPublish 1 generation 1", "1 NetStream.Publish.BadName"];
const PARTED: &str = "Close publish_over";

/// Properties by which encoders are known, and those of other clients.
const AGENTS: [(&str, &str, &str, bool); 4] = [
    ("type", "nonprivate", "OBS", true),
    ("flashVer", "FMLE/3.0 (compatible; FMSc/1.0)", "FMLE", true),
    ("flashVer", "LNX 9,0,124,2", "a player", false),
    ("type", "private", "another type", false),
];

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

/// Connects with a property besides `app`, makes a message stream, and drops the messages so far.
async fn connect(lane: &mut Lane, session: u64, properties: Object) {
    lane.open_with(session, properties);
    lane.call(session, 0, "createStream", 2.0, &[]);
    let heard = lane.heard(session).await;
    assert!(heard.iter().any(|line| line == "_result 2 1"), "{heard:?}");
}

fn agent((property, value): (&str, &str)) -> Object {
    Object::new().with("app", "live").with(property, value)
}

#[test]
fn an_encoder_whose_publish_is_refused_is_parted_with_after_a_second() {
    for (property, value, name, is_encoder) in AGENTS {
        play(async {
            let mut stage = Stage::live(live_settings());
            let mut holder = stage.lane("live");
            holder.client(1).await;
            holder.publish(1, "cam", 1);
            let mut lane = stage.lane("live");
            connect(&mut lane, 1, agent((property, value))).await;
            lane.publish(1, "cam", 1);
            assert_eq!(lane.heard(1).await, REFUSED, "{name}");
            pass(seconds(0.9)).await;
            assert!(lane.heard(1).await.is_empty(), "{name}: it may read that");
            pass(seconds(0.2)).await;
            let parted: &[&str] = if is_encoder { &[PARTED] } else { &[] };
            assert_eq!(lane.heard(1).await, parted, "{name}");
        });
    }
}

#[test]
fn an_encoder_that_finds_another_name_stays() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut holder = stage.lane("live");
        holder.client(1).await;
        holder.publish(1, "cam", 1);
        let mut lane = stage.lane("live");
        connect(&mut lane, 1, agent(("type", "nonprivate"))).await;
        lane.publish(1, "cam", 1);
        lane.publish(1, "cam2", 2);
        lane.clear().await;
        pass(seconds(0.5)).await;
        // The first refusal is forgotten: it ends nothing a second later.
        lane.call(1, 1, "closeStream", 0.0, &[]);
        lane.clear().await;
        pass(seconds(3.0)).await;
        assert!(lane.heard(1).await.is_empty());
        // Vain attempts do not keep the connection.
        lane.publish(1, "cam", 3);
        pass(seconds(0.7)).await;
        lane.publish(1, "cam", 4);
        lane.clear().await;
        pass(seconds(0.4)).await;
        assert_eq!(lane.heard(1).await, [PARTED]);
    });
}

/// A session that plays, uses a shared object or calls a method is more than an encoder.
#[test]
fn a_session_that_does_more_than_publish_is_never_parted_with() {
    for does in ["plays", "shares", "publishes", "says what encoders say"] {
        play(async {
            let mut stage = Stage::live(live_settings());
            let mut holder = stage.lane("live");
            holder.client(1).await;
            holder.publish(1, "cam", 1);
            let mut lane = stage.lane("live");
            connect(&mut lane, 1, agent(("type", "nonprivate"))).await;
            match does {
                "plays" => {
                    lane.play(1, "other");
                    lane.call(1, 1, "closeStream", 0.0, &[]);
                }
                "shares" => lane.object(1, "board", 0, Flags::default(), [Event::Use]),
                "publishes" => {
                    lane.call(1, 0, "createStream", 3.0, &[]);
                    let own = [Value::from("own"), "live".into()];
                    lane.call_at(1, 2, "publish", 0.0, &own, 1);
                }
                _ => lane.call(1, 0, "FCPublish", 4.0, &[Value::Null, "cam".into()]),
            }
            lane.publish(1, "cam", 1);
            lane.clear().await;
            pass(seconds(2.0)).await;
            let heard = lane.heard(1).await;
            let is_parted = heard.iter().any(|line| line == PARTED);
            assert_eq!(
                is_parted,
                does == "says what encoders say",
                "{does}: {heard:?}"
            );
        });
    }
}

#[test]
fn an_encoder_whose_name_is_taken_over_is_parted_with() {
    let settings = Application {
        second_publisher: SecondPublisher::Takeover,
        ..live_settings()
    };
    play(async {
        let mut stage = Stage::live(settings);
        let mut old = stage.lane("live");
        connect(&mut old, 1, agent(("type", "nonprivate"))).await;
        old.publish(1, "cam?k=1", 1);
        old.clear().await;
        let mut new = stage.lane("live");
        new.client(1).await;
        new.publish(1, "cam?k=1", 1);
        assert_eq!(old.heard(1).await, REFUSED);
        pass(seconds(1.1)).await;
        assert_eq!(old.heard(1).await, [PARTED]);
    });
}

/// Properties of a connect with these queries.
fn queries(app: &str, tc_url: &str) -> Object {
    Object::new()
        .with("app", format!("live{app}"))
        .with("tcUrl", format!("rtmp://edge/live{tc_url}"))
}

fn with_token() -> Application {
    Application {
        publish_from: PublishFrom::Loopback,
        publish_token: Some(Secret::new("right")),
        second_publisher: SecondPublisher::Takeover,
        ..live_settings()
    }
}

#[test]
fn the_first_token_of_name_app_and_url_decides() {
    for (name, app, tc_url, admitted) in [
        ("cam?token=right", "", "", true),
        ("cam", "?token=right", "", true),
        ("cam", "", "?token=right", true),
        ("cam", "?x=1&token=right", "?token=wrong", true),
        ("cam?a=b", "", "?b=c&token=right", true),
        ("cam?token=wrong", "?token=right", "?token=right", false),
        ("cam", "?token=wrong", "?token=right", false),
        ("cam?token=", "", "?token=right", false),
        ("cam", "", "", false),
    ] {
        play(async {
            let mut stage = Stage::live(with_token());
            let mut lane = stage.lane("live");
            connect(&mut lane, 1, queries(app, tc_url)).await;
            lane.publish(1, name, 1);
            let heard = lane.heard(1).await;
            let started = heard.iter().any(|line| line == "1 NetStream.Publish.Start");
            assert_eq!(started, admitted, "{name} {app} {tc_url}: {heard:?}");
        });
    }
}

/// A publisher whose edge leaves gets its names at another edge, once, with `second_publisher = "reject"`.
#[test]
fn a_publisher_with_the_key_of_its_edge_takes_its_own_names_over() {
    let settings = Application {
        second_publisher: SecondPublisher::Reject,
        publish_token: None,
        publish_from: PublishFrom::Anywhere,
        ..with_token()
    };
    let (key, other) = (TakeoverKey::new([7; 16]), TakeoverKey::new([8; 16]));
    let bring = |key: TakeoverKey, place: &str| match place {
        "app" => queries(&key.in_url(""), ""),
        _ => queries("", &key.in_url("")),
    };
    play(async {
        let mut stage = Stage::live(settings);
        let mut old = stage.lane("live");
        old.client(1).await;
        old.publish(1, "cam", 1);
        old.clear().await;
        let started = |heard: &[String]| heard.iter().any(|it| it == "1 NetStream.Publish.Start");
        let taken = |heard: &[String]| heard.iter().any(|it| it == "1 NetStream.Publish.BadName");

        // Before the edge has told of it, and with another key, the name is taken.
        let mut early = stage.lane("live");
        connect(&mut early, 1, bring(key, "app")).await;
        early.publish(1, "cam", 1);
        assert!(taken(&early.heard(1).await));
        old.reconnects(1, key);
        let mut guess = stage.lane("live");
        connect(&mut guess, 1, bring(other, "app")).await;
        guess.publish(1, "cam", 1);
        assert!(taken(&guess.heard(1).await));

        let mut new = stage.lane("live");
        connect(&mut new, 1, bring(key, "tcUrl")).await;
        new.publish(1, "cam", 1);
        assert!(started(&new.heard(1).await));
        assert!(
            taken(&old.heard(1).await),
            "it is told that its name is gone"
        );

        // The key was good for one session.
        let mut again = stage.lane("live");
        connect(&mut again, 1, bring(key, "tcUrl")).await;
        again.publish(1, "cam", 1);
        assert!(taken(&again.heard(1).await));
    });
}

/// An encoder that comes back takes its own half-dead stream over, wherever its token stands.
#[test]
fn a_token_anywhere_makes_the_same_publisher() {
    let places = [
        ("cam?token=right", "", ""),
        ("cam", "?token=right", ""),
        ("cam", "", "?token=right"),
    ];
    for (first, second) in places
        .iter()
        .flat_map(|a| places.iter().map(move |b| (a, b)))
    {
        play(async {
            let mut stage = Stage::live(with_token());
            let mut old = stage.lane("live");
            connect(&mut old, 1, queries(first.1, first.2)).await;
            old.publish(1, first.0, 1);
            old.clear().await;
            let mut new = stage.lane("live");
            connect(&mut new, 1, queries(second.1, second.2)).await;
            new.publish(1, second.0, 1);
            let heard = new.heard(1).await;
            let started = heard.iter().any(|line| line == "1 NetStream.Publish.Start");
            assert!(started, "{first:?} {second:?}: {heard:?}");
            assert_eq!(old.heard(1).await, REFUSED, "{first:?} {second:?}");
        });
    }
}

#[test]
fn the_user_that_an_edge_states_is_the_publisher() {
    for (first, second, continues) in [
        (Some("alice"), Some("alice"), true),
        (Some("alice"), Some("bob"), false),
        (Some("alice"), None, false),
        (None, Some("alice"), false),
    ] {
        play(async {
            let mut stage = Stage::live(Application {
                second_publisher: SecondPublisher::Takeover,
                ..live_settings()
            });
            let properties = || Object::new().with("app", "live");
            let mut lane = stage.lane("live");
            let mut heard = Vec::new();
            // The query of the name does not count beside a user.
            for (session, user, name) in [(1, first, "cam?a"), (2, second, "cam?a=b")] {
                lane.open_of(session, properties(), user);
                lane.call(session, 0, "createStream", 2.0, &[]);
                lane.clear().await;
                lane.publish(session, name, 1);
                heard = lane.heard(session).await;
            }
            let started = heard.iter().any(|line| line == "1 NetStream.Publish.Start");
            assert_eq!(started, continues, "{first:?} {second:?}: {heard:?}");
        });
    }
}

#[test]
fn a_play_from_a_place_plays_the_live_stream() {
    for start in [0.0, 10.0] {
        play(async {
            let mut stage = Stage::live(live_settings());
            let mut publisher = stage.lane("live");
            publisher.client(1).await;
            publisher.publish(1, "cam", 1);
            let mut lane = stage.lane("live");
            lane.client(1).await;
            lane.call(1, 1, "play", 0.0, &["cam".into(), start.into()]);
            let heard = lane.heard(1).await;
            assert!(
                heard.iter().any(|line| line.starts_with("Attach 1")),
                "{start}: {heard:?}"
            );
        });
    }
}
