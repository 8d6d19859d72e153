//! The fuzz bodies of AMF, commands and shared objects, over seeds and what chance makes of them.

#[path = "../../fuzz/bodies/amf.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets include the same file")]
mod bodies;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// The stack that decoding has to do with.
const STACK: usize = 256 * 1024;

/// How many inputs are made of the seeds.
const MUTATIONS: usize = 8_000;

/// AMF0 values of every marker, references and a switch to AMF3 among them.
const AMF0: &[&[u8]] = &[
    b"\x00\x3f\xf0\0\0\0\0\0\0\x01\x01\x02\0\x01a\x03\0\x01a\x05\0\0\x09\x04\x05\x06",
    b"\x0a\0\0\0\x03\x03\0\x01a\x07\0\0\0\0\x09\x07\0\x01\x05\x07\0\0",
    b"\x08\0\0\0\x01\0\x01a\x01\0\0\0\x09\x0b\0\0\0\0\0\0\0\0\0\0\x0c\0\0\0\x01a\x0d\x0e",
    b"\x0f\0\0\0\x04<a/>\x10\0\x01C\0\x01a\x06\0\0\x09\x11\x0a\x0b\x01\x03a\x06\0\x01\x07\0\0",
    b"\x0a\0\0\0\x02\x11\x0a\x0b\x01\x03a\x01\x01\x11\x0a\x00\x07\0\0\x0a\0\0\0\x01\x11\x0a\0",
];

/// AMF3 values of every marker.
const AMF3: &[&[u8]] = &[
    b"\x00\x01\x02\x03\x04\xff\xff\xff\xff\x05\x3f\xf0\0\0\0\0\0\0\x06\x03a\x06\x00",
    b"\x07\x03a\x08\x01\0\0\0\0\0\0\0\0\x0b\x03a\x0c\x03a\x07\x00\x08\x02\x0b\x04\x0c\x06",
    b"\x09\x05\x03a\x04\x01\x01\x09\x00\x0a\x0b\x01\x03b\x0a\x02\x01\x0a\x02",
    b"\x0a\x33\x03C\x03a\x03b\x04\x01\x04\x02\x03c\x04\x03\x01\x0a\x01\x01\x01\x01",
    b"\x0d\x03\x01\0\0\0\x01\x0e\x03\x00\0\0\0\x01\x0f\x03\x00\0\0\0\0\0\0\0\0\x10\x03\x00\x03*\x01",
    b"\x11\x05\x00\x06\x03k\x11\x00\x04\x01\x0a\x0b\x01\x01",
    b"\x0a\x07\x43flex.messaging.io.ArrayCollection\x09\x03\x01\x0a\x00\x0a\x01\x0a\x00",
    b"\x0a\x07\x03Cabc",
];

const COMMANDS: &[&[u8]] = &[
    b"\x02\0\x07connect\x00\x3f\xf0\0\0\0\0\0\0\x03\0\x03app\x02\0\x04live\0\0\x09",
    b"\x00\x02\0\x04play\x00\0\0\0\0\0\0\0\0\x05\x02\0\x01s\x00\xc0\0\0\0\0\0\0\0",
    b"\x00\x02\0\x04echo\x00\x40\0\0\0\0\0\0\0\x05\x11\x0c\x07abc\x11\x0c\x00",
    b"\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x08\0\0\0\x01\0\x01w\x01\x01\0\0\x09",
    b"\x00\x02\0\x0aonTextData\x11\x0a\x0b\x01\x03t\x06\x05hi\x01",
];

/// Inputs that a fuzzer has found.
const FOUND: &[&[u8]] = &[
    // An object that holds values of AMF3, one of them in a member with an empty name.
    b"\x00\x02\x00\x23\x00\x04\x04\x04\x04\x04\x04\x04\x0e\x11\x09\x11\x09\x03\x00\x00\x00\x01\
      \x00\x04\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x04\x04\x04\x04\x00\x04\x00\x04\
      \x00\x04\x04\x04\x04\x04\x0e\x11\x09\x09\x03\x00\x11\x07\x01\x11\x07\x01\x11\x07\x01\x00\
      \x00\x00\x01\x00\x04\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x04\x04\x04\x04\x04\
      \x0e\x04\x0e\x04\x04\x04\x04\x04\x04\x01\xff\x03\x00\x00\x11\x0e\x07\x11\x00\x00\x00\x01\
      \x00\x37\x21\xef\xbf\xbd\x2a\x04\x00\x00\x09\x00\x00\x00\x01\x04\x04\x04\x04\x00\x04\x00\
      \x04\x00\x04\x04\x04\x04\x04\x0e\x11\x09\x09\x03\x00\x11\x07\x01\x11\x07\x01\x11\x07\x01\
      \x00\x00\x00\x01\x00\x04\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x04\x00\x00\x00\
      \x00\x00\x00\x04\x00\x00\x5f\x00\x04\x04\x00\x04\x03\x00\x04\x05\x0e\x04\x04",
];

const SHARED_OBJECTS: &[&[u8]] = &[
    b"\0\x02so\0\0\0\x01\0\0\0\x02\0\0\0\0\x01\0\0\0\0\x03\0\0\0\x05\0\x01k\x01\x01",
    b"\0\x02so\0\0\0\x01\0\0\0\x10\0\0\0\0\x04\0\0\0\x09\0\x01k\x01\x01\0\x01l\x05\x0c\0\0\0\x07\0\x01k\0\0\0\x01",
    b"\0\0\x02so\0\0\0\x01\0\0\0\0\0\0\0\0\x06\0\0\0\x09\x02\0\x01h\x11\x0c\x03a\x05",
    b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\x06\0\x01c\0\x01l\x63\0\0\0\x02??",
];

#[test]
fn amf0_holds() {
    run(bodies::amf0, AMF0, 1);
}

#[test]
fn amf3_holds() {
    run(bodies::amf3, AMF3, 2);
}

#[test]
fn commands_hold() {
    run(bodies::command, COMMANDS, 3);
}

#[test]
fn inputs_that_were_found_hold() {
    for input in FOUND {
        bodies::command(input);
    }
}

#[test]
fn shared_object_messages_hold() {
    run(bodies::shared_object_message, SHARED_OBJECTS, 4);
}

/// Runs a body over the seeds, their prefixes and their mutations, on a small stack.
fn run(body: fn(&[u8]), seeds: &'static [&'static [u8]], random_seed: u64) {
    let thread = std::thread::Builder::new().stack_size(STACK);
    let thread = thread.spawn(move || {
        for seed in seeds {
            (0..=seed.len()).for_each(|end| body(&seed[..end]));
        }
        let mut random = StdRng::seed_from_u64(random_seed);
        for _ in 0..MUTATIONS {
            let input = mutate(seeds, &mut random);
            if std::panic::catch_unwind(|| body(&input)).is_err() {
                panic!("it does not hold for {}", input.escape_ascii());
            }
        }
    });
    thread.expect("a thread").join().expect("it holds");
}

/// One or two seeds spliced, with some bytes changed, removed, repeated or inserted.
fn mutate(seeds: &[&[u8]], random: &mut StdRng) -> Vec<u8> {
    let seed = |random: &mut StdRng| seeds[random.random_range(0..seeds.len())];
    let mut bytes = seed(random).to_vec();
    if random.random_ratio(1, 2) {
        bytes.extend_from_slice(seed(random));
    }
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=bytes.len());
        let end = random.random_range(at..=bytes.len());
        match random.random_range(0..5) {
            0 if at < bytes.len() => bytes[at] = random.random(),
            1 if at < bytes.len() => bytes[at] = random.random_range(0..0x14),
            2 => drop(bytes.drain(at..end.min(at + 8))),
            3 => {
                let part = bytes[at..end].to_vec();
                let to = random.random_range(0..=bytes.len());
                bytes.splice(to..to, part);
            }
            _ => bytes.insert(at, random.random_range(0..0x14)),
        }
    }
    bytes
}
