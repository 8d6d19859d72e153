//! Figures, limits and pings of clients' connections.

use std::time::Duration;

use tributary_protocol::{
    amf::Value,
    link::{Bandwidth, FromSession, Statistics},
};

use super::stage::{Lane, Stage, pass, play, settle};
use crate::{
    app::{Answer, Application, Call},
    group::Context,
    session::Mail,
};

/// Looks after its clients.
struct Warden;

impl Application for Warden {
    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        let client = call.responder.client;
        match call.name.as_str() {
            "watch" => context.request_statistics(client),
            "limit" => context.limit_bandwidth(
                client,
                Bandwidth {
                    to_client: Some(1_000),
                    from_client: None,
                },
            ),
            "ping" => assert!(context.ping(client)),
            "send" => {
                let payload = Value::from("x".repeat(11_000));
                let sent = context.call(client, "take", &[payload], None);
                assert!(sent);
            }
            "all" => {
                let now = context.now();
                let client = context.client(client).expect("it calls");
                let all = client.statistics(now).map(|it| {
                    let counts = [it.bytes_in, it.bytes_out, it.messages_in, it.messages_out];
                    counts.map(|count| count.to_string()).join(" ")
                });
                return Answer::Result(all.unwrap_or_default().into());
            }
            _ => {
                let now = context.now();
                let client = context.client(client).expect("it calls");
                let bytes = client.statistics(now).map(|figures| figures.bytes_in);
                let limit = client.bandwidth().to_client;
                let rates = client.rates(now);
                let rates = (rates.from_client, rates.to_client);
                return Answer::Result(format!("{bytes:?} {limit:?} {rates:?}").into());
            }
        }
        Answer::Result(Value::Undefined)
    }
}

#[test]
fn an_application_watches_and_limits_its_clients() {
    play(async {
        let mut stage = Stage::app(|| Warden);
        let mut lane = stage.lane("app");
        lane.client(1).await;
        lane.clear().await;
        for name in ["watch", "watch", "limit", "limit", "ping", "ping"] {
            lane.call(1, 0, name, 0.0, &[]);
        }
        let limit = "Bandwidth { to_client: Some(1000), from_client: None }";
        let told = ["Watch", limit, "Ping", "Ping"];
        assert_eq!(lane.heard(1).await, told);
        lane.call(1, 0, "figures", 2.0, &[]);
        settle().await;
        for (transaction, bytes_in, bytes_out) in [(3.0, 1_077, 1_000), (4.0, 11_077, 501_000)] {
            let statistics = Statistics {
                bytes_in,
                bytes_out,
                // The report includes all that the lane has carried before.
                received: Some(100),
                ..Statistics::default()
            };
            lane.handle.send(Mail::Session {
                session: lane.key(1),
                event: FromSession::Statistics(statistics),
            });
            lane.call(1, 0, "figures", transaction, &[]);
            pass(Duration::from_secs(5)).await;
        }
        let heard = lane.heard(1).await;
        assert!(heard[0].contains("None Some(1000) (0, 0)"), "{heard:?}");
        assert!(
            heard[1].contains("Some(1097) Some(1000) (0, 0)"),
            "{heard:?}"
        );
        let rates = "Some(11097) Some(1000) (2004, 100000)";
        assert!(heard[2].contains(rates), "{heard:?}");
    });
}

/// The answer of `all`: bytes in and out, messages in and out.
async fn figures(lane: &mut Lane) -> [u64; 4] {
    lane.clear().await;
    lane.call(1, 0, "all", 9.0, &[]);
    let heard = lane.heard(1).await;
    let answer = heard
        .last()
        .and_then(|line| line.strip_prefix("_result 9 "));
    let counts = answer.expect("an answer").trim_matches('"').split(' ');
    let counts: Vec<_> = counts.map(|count| count.parse().unwrap()).collect();
    counts.try_into().unwrap()
}

fn report(lane: &Lane, bytes_out: u64, messages_out: u64, received: Option<u64>) {
    let statistics = Statistics {
        bytes_in: 4_000,
        bytes_out,
        messages_in: 5,
        messages_out,
        received,
        ..Statistics::default()
    };
    lane.handle.send(Mail::Session {
        session: lane.key(1),
        event: FromSession::Statistics(statistics),
    });
}

/// A client's figures go on between the edge's reports by what its lane carries, and never go back:
/// the bandwidth check of Flash Media Server looks at them before and after a call.
#[test]
fn figures_go_on_between_reports_and_never_back() {
    for counts in [true, false] {
        play(async {
            let mut stage = Stage::app(|| Warden);
            let mut lane = stage.lane("app");
            lane.client(1).await;
            lane.call(1, 0, "watch", 0.0, &[]);
            lane.clear().await;
            // The answers to connect and createStream.
            report(&lane, 5_000, 4, counts.then_some(2));
            let first = figures(&mut lane).await;
            assert_eq!(first[1], 5_000, "{first:?}");
            lane.call(1, 0, "send", 0.0, &[]);
            let second = figures(&mut lane).await;
            let more = second[1] - first[1];
            assert!((11_000..11_200).contains(&more), "{more} bytes");
            // The call, and the answer to the first question.
            assert_eq!(second[3] - first[3], 2);
            assert_eq!(second[2] - first[2], 2, "send and the question");
            assert!(second[0] > first[0]);
            // This report was under way when the call left: it does not include the call.
            report(&lane, 5_100, 5, counts.then_some(3));
            let third = figures(&mut lane).await;
            assert!(third[1] >= second[1], "{third:?} after {second:?}");
            // This report includes the call.
            report(&lane, 16_500, 8, counts.then_some(5));
            let fourth = figures(&mut lane).await;
            assert!((16_500..16_700).contains(&fourth[1]), "{fourth:?}");
            // This report is less than the figures shown before.
            report(&lane, 16_400, 8, counts.then_some(5));
            let fifth = figures(&mut lane).await;
            for (before, after) in [
                (first, second),
                (second, third),
                (third, fourth),
                (fourth, fifth),
            ] {
                assert!(
                    before
                        .iter()
                        .zip(after)
                        .all(|(before, after)| *before <= after)
                );
            }
        });
    }
}

#[test]
fn rates_move_with_what_the_lane_carries() {
    play(async {
        let mut stage = Stage::app(|| Warden);
        let mut lane = stage.lane("app");
        lane.client(1).await;
        lane.call(1, 0, "watch", 0.0, &[]);
        lane.clear().await;
        report(&lane, 5_000, 4, Some(2));
        lane.clear().await;
        pass(Duration::from_secs(2)).await;
        lane.call(1, 0, "send", 0.0, &[]);
        lane.clear().await;
        lane.call(1, 0, "figures", 4.0, &[]);
        let heard = lane.heard(1).await;
        let rate: u64 = heard[0]
            .rsplit(", ")
            .next()
            .unwrap()
            .trim_end_matches([')', '"'])
            .parse()
            .unwrap();
        assert!((5_500..5_600).contains(&rate), "{heard:?}");
    });
}

/// The memory for messages to a client that is watched is bounded.
#[test]
fn thousands_of_messages_between_reports_are_remembered_as_a_few() {
    play(async {
        let mut stage = Stage::app(|| Warden);
        let mut lane = stage.lane("app");
        lane.client(1).await;
        lane.call(1, 0, "watch", 0.0, &[]);
        lane.clear().await;
        report(&lane, 5_000, 4, Some(2));
        for _ in 0..1_000 {
            lane.call(1, 0, "send", 0.0, &[]);
        }
        let all = figures(&mut lane).await;
        assert_eq!(all[3], 4 + 1_000);
        report(&lane, 5_000 + 300 * 11_010, 304, Some(302));
        let then = figures(&mut lane).await;
        assert!(then[1] >= all[1] && then[3] >= all[3]);
        report(&lane, 5_000 + 1_000 * 11_010, 1_006, Some(1_004));
        let then = figures(&mut lane).await;
        assert!(then[3] >= 1_006, "{then:?}");
    });
}
