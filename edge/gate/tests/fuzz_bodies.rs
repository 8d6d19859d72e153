//! The fuzz bodies of the gate, over the inputs in `fuzz/corpora` and what chance makes of them.

#[path = "../../../fuzz/bodies/gate.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets include the same file")]
mod bodies;

use std::{fs, path::Path};

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};

type Body = fn(&[u8]);

/// The kept inputs of a target, one in hexadecimal on each line.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpora");
    let text = fs::read_to_string(corpora.join(format!("{target}.txt")));
    let text = text.unwrap_or_else(|error| panic!("{target}: {error}"));
    let decode = |line: &str| data_encoding::HEXLOWER.decode(line.as_bytes()).unwrap();
    text.lines().map(decode).collect()
}

/// One of the inputs, changed at a few places.
fn changed(inputs: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let places = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4), 0..6);
    (prop::sample::select(inputs), places).prop_map(|(mut input, places)| {
        for (place, byte, how) in places {
            let place = place.index(input.len() + 1);
            match how {
                0 => input.truncate(place),
                1 => input.insert(place, byte),
                2 if place < input.len() => drop(input.remove(place)),
                _ if place < input.len() => input[place] = byte,
                _ => input.push(byte),
            }
        }
        input
    })
}

fn hold(target: &str, body: Body) {
    let inputs = corpus(target);
    inputs.iter().for_each(|input| body(input));
    let mut runner = TestRunner::new(Config {
        cases: 4000,
        failure_persistence: None,
        ..Config::default()
    });
    let run = runner.run(&changed(inputs), |input| {
        body(&input);
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{target}: {error}"));
}

#[test]
fn tokens_hold() {
    hold("token", bodies::token);
}

#[test]
fn logins_of_encoders_hold() {
    hold("encoder_auth", bodies::encoder_auth);
}

#[test]
fn answers_of_hooks_hold() {
    hold("hook_answer", bodies::hook_answer);
}
