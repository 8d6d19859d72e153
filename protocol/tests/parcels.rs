//! Machines that move to another process: golden parcels, hostile parcels, and work that goes on.

#[path = "../../fuzz/bodies/parcels.rs"]
mod bodies;
#[path = "parcels/machines.rs"]
mod machines;
#[path = "parcels/refused.rs"]
mod refused;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::Path,
    time::Instant,
};

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tributary_protocol::parcel::{ParcelError, VERSION};

use machines::{Sample, samples};

/// Parcels of each version that is read, a name and hexadecimal bytes on each line.
const GOLDEN: [(u16, &str); 1] = [(1, include_str!("parcels/version-1.txt"))];

/// Input for a machine that a hostile parcel has made.
const INPUT: &[u8] = b"\x03\0\0\0\0\0\x02\x14\0\0\0\0ab\xc3cd\x12\x01\x02\x30\x01\x01";

#[expect(
    clippy::disallowed_methods,
    reason = "a test needs some instant to start from"
)]
fn now() -> Instant {
    Instant::now()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("memory");
        text
    })
}

fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("hexadecimal") as u8;
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

fn golden(text: &str) -> BTreeMap<&str, Vec<u8>> {
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.map(|(name, bytes)| (name, unhex(bytes))).collect()
}

/// A change of the format needs a new version (`docs/replace.md`): the files here stay as they are.
#[test]
fn the_bytes_of_a_version_stay() {
    let now = now();
    let samples = samples(now);
    let lines = samples
        .iter()
        .map(|sample| format!("{} {}\n", sample.name, hex(&sample.parcel)));
    let made: String = lines.collect();
    let (version, text) = GOLDEN[GOLDEN.len() - 1];
    assert_eq!(version, VERSION);
    assert_eq!(
        made, text,
        "protocol/tests/parcels/version-{version}.txt:\n{made}"
    );
}

#[test]
fn every_version_in_use_is_read() {
    let now = now();
    for (version, text) in GOLDEN {
        assert!(VERSION - version <= 1);
        let golden = golden(text);
        for Sample { name, again, .. } in samples(now) {
            let parcel = golden.get(name).map(|bytes| again(bytes, now));
            let parcel = parcel.expect("a line").expect("it fits");
            assert!(version < VERSION || *parcel == golden[name], "{name}");
        }
    }
}

#[test]
fn a_parcel_of_another_version_is_refused() {
    let now = now();
    for Sample {
        name,
        parcel,
        again,
        ..
    } in samples(now)
    {
        for version in [0, VERSION + 1, u16::MAX] {
            let mut other = parcel.to_vec();
            other[..2].copy_from_slice(&version.to_be_bytes());
            assert_eq!(
                again(&other, now),
                Err(ParcelError::Version { version }),
                "{name}"
            );
        }
    }
}

/// The tags of a file, as its constants state them.
fn tags(text: &str) -> BTreeSet<(String, String)> {
    let constants = text.lines().filter_map(|line| line.strip_prefix("const "));
    let tags = constants.filter_map(|line| line.split_once(": u16 = "));
    tags.map(|(name, tag)| (name.to_owned(), tag.trim_end_matches(';').to_owned()))
        .collect()
}

/// Files of the crate with tags, and their text.
fn tagged(directory: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            tagged(&path, found);
            continue;
        }
        let text = fs::read_to_string(&path).expect("text");
        if text.contains("ParcelWriter) {") {
            found.push((path.to_str().expect("text").to_owned(), text));
        }
    }
}

#[test]
fn every_tag_is_documented() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("../docs/replace.md")).expect("the document");
    let mut files = Vec::new();
    tagged(&root.join("src"), &mut files);
    tagged(&root.join("../edge/gate/src/hooks"), &mut files);
    tagged(&root.join("../edge/src/link"), &mut files);
    // The module itself has an example of the trait, and no tags.
    files.retain(|(path, _)| !path.contains("/src/parcel/"));
    assert!(files.len() > 10);
    for (path, text) in files {
        let (_, file) = path.split_once("protocol/").expect("a source");
        let file = file.trim_start_matches("src/").trim_start_matches("../");
        let section = document.split_once(&format!("\n`{file}`"));
        let (_, section) = section.unwrap_or_else(|| panic!("docs/replace.md has no {file}"));
        let table = section.split("\n\n").nth(1).expect("a table");
        let rows = table.lines().filter_map(|row| row.strip_prefix("| "));
        let cells = rows.map(|row| row.split(" | ").collect::<Vec<_>>());
        let named = cells.filter(|cells| cells[1].starts_with('`'));
        let documented: BTreeSet<_> = named
            .map(|cells| (cells[1].trim_matches('`').to_owned(), cells[0].to_owned()))
            .collect();
        assert_eq!(documented, tags(&text), "docs/replace.md, {file}");
    }
}

/// A field of an unknown tag at the end, and the parcel's last field twice.
#[test]
fn a_field_too_many_is_refused() {
    let now = now();
    for sample in samples(now) {
        let other = [&sample.parcel[..], &[0xff, 0xff, 0, 0, 0, 0]].concat();
        let refused = (sample.again)(&other, now);
        assert!(
            matches!(refused, Err(ParcelError::Unknown { tag: 0xffff, .. })),
            "{}: {refused:?}",
            sample.name
        );
        let doubled = [&sample.parcel[..], &sample.parcel[2..]].concat();
        let refused = (sample.again)(&doubled, now);
        assert!(refused.is_err(), "{}", sample.name);
    }
}

/// The input of the fuzz body.
fn hold(which: u8, parcel: &[u8]) {
    let length = (parcel.len() as u16).to_be_bytes();
    bodies::parcels(&[&[which], &length[..], parcel, INPUT].concat());
}

#[test]
fn a_cut_parcel_makes_no_other_machine() {
    let now = now();
    for sample in samples(now) {
        for end in 0..sample.parcel.len() {
            hold(sample.which, &sample.parcel[..end]);
            let part = (sample.again)(&sample.parcel[..end], now);
            // A part can only be whole where it lacks optional fields.
            assert!(
                part.is_err() || part.as_deref() == Ok(&sample.parcel[..end]),
                "{} up to {end}",
                sample.name
            );
        }
    }
}

#[test]
fn changed_parcels_hold() {
    for sample in samples(now()) {
        for place in 0..sample.parcel.len() {
            for bit in 0..8 {
                let mut parcel = sample.parcel.to_vec();
                parcel[place] ^= 1 << bit;
                hold(sample.which, &parcel);
            }
            for value in [0, 1, 0x7fff_ffff, u32::MAX] {
                let mut parcel = sample.parcel.to_vec();
                let end = (place + 4).min(parcel.len());
                parcel[place..end].copy_from_slice(&value.to_be_bytes()[..end - place]);
                hold(sample.which, &parcel);
            }
        }
    }
}

#[test]
fn mixed_parcels_hold() {
    let samples = samples(now());
    let mut random = StdRng::seed_from_u64(0x7061_7263_656c);
    for _ in 0..60_000 {
        let sample = &samples[random.random_range(0..samples.len())];
        let mut parcel = sample.parcel.to_vec();
        for _ in 0..random.random_range(1..4) {
            let place = random.random_range(0..=parcel.len());
            match random.random_range(0..4) {
                0 => parcel.truncate(place),
                1 => parcel.insert(place, random.random()),
                2 if place < parcel.len() => parcel[place] = random.random(),
                _ => {
                    let other = &samples[random.random_range(0..samples.len())].parcel;
                    let from = random.random_range(0..other.len());
                    let end = random.random_range(from..=other.len());
                    parcel.splice(place..place, other[from..end].iter().copied());
                }
            }
        }
        let held = std::panic::catch_unwind(|| hold(sample.which, &parcel));
        assert!(held.is_ok(), "{}: {}", sample.name, hex(&parcel));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A machine that moves at any point does from there what one that stays does.
    #[test]
    fn a_move_changes_nothing(which in 7_u8..11, decisions in prop::collection::vec(any::<u8>(), 0..300)) {
        bodies::parcels(&[&[which], &decisions[..]].concat());
    }
}
