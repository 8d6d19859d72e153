//! Figures, limits and pings of clients' connections.

use std::time::Duration;

use tributary_protocol::{
    amf::Value,
    link::{Bandwidth, Statistics},
};

use super::stage::{Stage, pass, play, settle};
use crate::{
    app::{Answer, Application, Call},
    group::Context,
    link::handle::Mail,
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
            _ => {
                let client = context.client(client).expect("it calls");
                let bytes = client.statistics().map(|figures| figures.bytes_in);
                let limit = client.bandwidth().to_client;
                let rates = client.rates();
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
        let told = ["RequestStatistics", limit, "Ping", "Ping"];
        assert_eq!(lane.heard(1).await, told);
        lane.call(1, 0, "figures", 2.0, &[]);
        settle().await;
        for (transaction, bytes_in, bytes_out) in [(3.0, 77, 1_000), (4.0, 10_077, 501_000)] {
            let statistics = Statistics {
                bytes_in,
                bytes_out,
                ..Statistics::default()
            };
            lane.handle.send(Mail::Statistics {
                session: lane.key(1),
                statistics,
            });
            lane.call(1, 0, "figures", transaction, &[]);
            pass(Duration::from_secs(5)).await;
        }
        let heard = lane.heard(1).await;
        assert!(heard[0].contains("None Some(1000) (0, 0)"), "{heard:?}");
        assert!(heard[1].contains("Some(77) Some(1000) (0, 0)"), "{heard:?}");
        let rates = "Some(10077) Some(1000) (2000, 100000)";
        assert!(heard[2].contains(rates), "{heard:?}");
    });
}
