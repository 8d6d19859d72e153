//! Measurements of a client's bandwidth.

use std::time::Duration;

use tributary_protocol::command::Command;

use super::stage::{Lane, Stage, live_settings, pass, play};

/// The last call that the client got: its method, transaction id, and bytes.
async fn last_call(lane: &mut Lane) -> (Command, usize) {
    lane.heard(1).await;
    let (_, message) = lane.messages.last().expect("a message");
    let command = Command::decode(message.kind, &message.payload).expect("a command");
    (command, message.payload.len())
}

fn figures(command: &Command) -> Vec<f64> {
    let numbers = command.arguments.iter().map(|value| value.as_number());
    numbers.map(Option::unwrap_or_default).collect()
}

#[test]
fn a_client_is_measured_by_what_it_answers() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.client(1).await;
        lane.call(1, 0, "checkBandwidth", 2.0, &[]);
        let mut bytes = 0;
        // 40 ms of latency; the payloads take 20 and 200 ms more.
        for (round, took) in [40, 60, 240].into_iter().enumerate() {
            let (call, length) = last_call(&mut lane).await;
            assert_eq!(call.name, "onBWCheck", "round {round}");
            bytes += if round > 0 { length } else { 0 };
            pass(Duration::from_millis(took)).await;
            let how = if round == 1 { "_error" } else { "_result" };
            lane.call(1, 0, how, call.transaction.0, &[]);
        }
        let (done, _) = last_call(&mut lane).await;
        assert_eq!(done.name, "onBWDone");
        let kilobits = bytes as f64 * 8.0 / 1000.0;
        let expected = [(kilobits / 0.22).round(), kilobits, 0.22, 40.0];
        assert_eq!(figures(&done), expected);
        assert!(bytes > 110_000, "{bytes}");
    });
}

#[test]
fn a_slow_client_gets_one_payload_and_nobody_is_measured_all_the_time() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = stage.lane("live");
        lane.client(1).await;
        lane.call(1, 0, "checkBandwidth", 2.0, &[]);
        for round in 0..2 {
            let (call, _) = last_call(&mut lane).await;
            assert_eq!(call.name, "onBWCheck", "round {round}");
            pass(Duration::from_millis(600 + 400 * round)).await;
            lane.call(1, 0, "_result", call.transaction.0, &[]);
            // An answer counts once.
            lane.call(1, 0, "_result", call.transaction.0, &[]);
        }
        let (done, _) = last_call(&mut lane).await;
        assert_eq!(done.name, "onBWDone");
        assert_eq!(figures(&done)[2..], [0.4, 600.0]);

        lane.clear().await;
        lane.call(1, 0, "checkBandwidth", 3.0, &[]);
        assert_eq!(lane.heard(1).await, ["_result 3 undefined"]);
        pass(Duration::from_secs(10)).await;
        lane.call(1, 0, "checkBandwidth", 0.0, &[]);
        let (call, _) = last_call(&mut lane).await;
        assert_eq!(call.name, "onBWCheck");
    });
}
