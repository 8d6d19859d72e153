//! The fuzz bodies for handshake, chunk streams and FLV, over seeds, mutations of them and noise.

#[path = "../../fuzz/bodies/chunk.rs"]
mod bodies;

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

/// The stack of a parser: less than that of any thread the program starts.
const STACK: usize = 256 * 1024;

/// Runs a body over seeds and mutations of them; the failing input is printed.
fn run(body: fn(&[u8]), seeds: &[Vec<u8>], mutations: usize) {
    let seeds = seeds.to_vec();
    let thread = std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || {
            let mut random = StdRng::seed_from_u64(0x7269_7665_7221);
            for n in 0..seeds.len() + mutations {
                let mut input = seeds[n % seeds.len()].clone();
                if n >= seeds.len() {
                    mutate(&mut input, &seeds, &mut random);
                }
                let result = std::panic::catch_unwind(|| body(&input));
                assert!(result.is_ok(), "input {n}: {input:02x?}");
            }
        });
    let result = thread.expect("a thread starts").join();
    assert!(result.is_ok());
}

fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut StdRng) {
    for _ in 0..random.random_range(1..6) {
        let place = random.random_range(0..=input.len());
        match random.random_range(0..6) {
            0 => input.truncate(place),
            1 => input.insert(place, random.random()),
            2 if place < input.len() => input[place] = random.random(),
            3 if place < input.len() => input[place] ^= 1 << random.random_range(0..8),
            4 if place < input.len() => input[place] = [0, 1, 0x7f, 0x80, 0xff][place % 5],
            _ => {
                let other = &seeds[random.random_range(0..seeds.len())];
                let from = random.random_range(0..=other.len());
                let until = random.random_range(from..=other.len()).min(from + 400);
                input.splice(place..place, other[from..until].iter().copied());
            }
        }
    }
}

fn noise(lengths: &[usize]) -> Vec<Vec<u8>> {
    let mut random = StdRng::seed_from_u64(1);
    lengths
        .iter()
        .map(|&length| (0..length).map(|_| random.random()).collect())
        .collect()
}

#[test]
fn handshake() {
    let mut seeds = noise(&[0, 1, 100, 1537, 3073, 3500]);
    for seed in &mut seeds {
        if let Some(version) = seed.get_mut(1) {
            *version = 3;
        }
    }
    let mut zero = vec![0; 4000];
    zero[1] = 3;
    seeds.push(zero);
    run(bodies::handshake, &seeds, 500);
}

#[test]
fn chunk_reader() {
    let mut seeds = noise(&[0, 1, 50, 2000]);
    let full = [7, 3, 0, 0, 5, 0, 0, 3, 20, 1, 0, 0, 0, b'a', b'b', b'c'];
    seeds.push(full.to_vec());
    seeds.push(
        [
            &full[..],
            &[
                0x43, 0, 0, 1, 0, 0, 1, 8, b'a', 0x83, 0, 0, 2, b'b', 0xc3, b'c',
            ],
        ]
        .concat(),
    );
    seeds.push(
        [
            &full[..7],
            &[1, 44, 9, 1, 0, 0, 0],
            &[0; 128],
            &[0xc3],
            &[1; 128],
            &[0xc3],
            &[2; 44],
        ]
        .concat(),
    );
    let extended = [9, 3, 0xff, 0xff, 0xff, 0, 0, 200, 9, 1, 0, 0, 0, 1, 2, 3, 4];
    seeds.push([&extended[..], &[5; 128], &[0xc3, 1, 2, 3, 4], &[6; 72]].concat());
    seeds.push([&extended[..], &[5; 128], &[0xc3], &[6; 72]].concat());
    seeds.push(vec![
        0, 2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0xc2, 0, 0xc2, 1,
    ]);
    seeds.push(vec![0, 2, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 3]);
    seeds.push(vec![1, 0x42, 0, 0, 0, 0, 0, 6, 4, 0, 6, 0, 0, 0x0d, 0x0f]);
    run(bodies::chunk_reader, &seeds, 4000);
}

#[test]
fn chunk_roundtrip() {
    run(
        bodies::chunk_roundtrip,
        &noise(&[0, 10, 50, 200, 200, 500, 500, 500]),
        1000,
    );
}

#[test]
fn flv_aggregate() {
    let mut file = b"\x05FLV\x01\x05\0\0\0\x09\0\0\0\0".to_vec();
    let tag = b"\x09\0\0\x05\0\0\x07\0\0\0\0\x17\x01\0\0\0\0\0\0\x10";
    let sound = b"\x08\0\0\x03\0\0\x09\0\0\0\0\xaf\x01x\0\0\0\x0e";
    file.extend_from_slice(tag);
    file.extend_from_slice(sound);
    let mut seeds = noise(&[0, 30, 300]);
    seeds.push(file);
    seeds.push([b"\x01", &tag[..], sound].concat());
    seeds.push(b"\x01\x96\x10hvc1\x02\0\0\x01a\x05\0\0\x02bc".to_vec());
    seeds.push(b"\x01\x97\x02\x01\x02\x03\x06\x20hvc1\x02\0\0\x01aav01\x05\0\0\x02bc".to_vec());
    seeds.push(b"\x01\x95\x20Opus\x01\0\0\x01amp4a\x02\0\0\x02bc".to_vec());
    seeds.push(b"\x01\x02\0\x0d@setDataFrame\x02\0\x0aonMetaData\x08".to_vec());
    run(bodies::flv_aggregate, &seeds, 4000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any message set, any chunk size, any interleaving, any split of the bytes.
    #[test]
    fn any_legal_chunk_stream_reads_back(decisions in prop::collection::vec(any::<u8>(), 0..600)) {
        bodies::chunk_roundtrip(&decisions);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        bodies::chunk_reader(&bytes);
        bodies::flv_aggregate(&bytes);
    }
}
