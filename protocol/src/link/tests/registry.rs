//! `docs/link.md` has the numbers of all frames and all feature bits, each once.

use std::collections::BTreeMap;

use crate::link::features;

const DOCUMENT: &str = include_str!("../../../../docs/link.md");

/// The files that name types of frames.
const SOURCES: &[&str] = &[
    include_str!("../hello.rs"),
    include_str!("../move_frame.rs"),
    include_str!("../lane_frame.rs"),
    include_str!("../feed.rs"),
];

fn section(heading: &str) -> impl Iterator<Item = Vec<&'static str>> + use<> {
    let (_, rest) = DOCUMENT.split_once(heading).expect("the section is there");
    let rows = rest.lines().skip_while(|line| !line.starts_with("|---"));
    rows.skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

fn number(text: &str) -> u64 {
    let digits = text.strip_prefix("0x").expect("hexadecimal");
    u64::from_str_radix(digits, 16).expect("a number")
}

/// The numbers of a cell: `0x01-0x0a, 0x22` or `0x0b Node; 0x0c Owner`.
fn numbers(cell: &str) -> Vec<u64> {
    let words = cell.split([',', ' ', ';', ':']);
    words
        .filter(|word| word.starts_with("0x"))
        .flat_map(|word| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            number(first)..=number(last)
        })
        .collect()
}

#[test]
fn no_number_of_a_frame_has_two_meanings_and_the_code_has_those_in_use() {
    let mut known = BTreeMap::new();
    let mut in_use = Vec::new();
    for row in section("## Numbers of frames") {
        in_use.extend(numbers(row[1]));
        for number in numbers(row[1]).into_iter().chain(numbers(row[2])) {
            let before = known.insert(number, row[0]);
            assert_eq!(before, None, "{number:#x} stands twice");
        }
    }
    let lines = SOURCES.iter().flat_map(|source| source.lines());
    let declared = lines.filter_map(|line| {
        let (name, value) = line.strip_prefix("const ")?.split_once(": u64 = 0x")?;
        let value = format!("0x{}", value.trim_end_matches(';'));
        Some((name, number(&value)))
    });
    let mut code = Vec::new();
    for (name, number) in declared {
        code.push(number);
        let name = name.replace('_', "").to_lowercase();
        let row = DOCUMENT.lines().find(|line| {
            let line = line.replace(", Pong", "").replace("0x03, 0x04", "0x03");
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            cells.len() > 3 && cells[1] == format!("{number:#04x}") && {
                let named = cells[2].split([',', ' ']).next().unwrap_or_default();
                named.to_lowercase() == name
            }
        });
        assert!(row.is_some() || name == "pong", "{name} is {number:#x}");
    }
    code.sort_unstable();
    in_use.sort_unstable();
    assert_eq!(code, in_use);
}

#[test]
fn no_feature_bit_has_two_meanings_and_the_code_has_those_in_use() {
    let code = BTreeMap::from([
        ("CLAIMS", features::CLAIMS),
        ("RESTORE", features::RESTORE),
        ("MOVE", features::MOVE),
        ("PEER", features::PEER),
        ("PUBLICATION", features::PUBLICATION),
        ("COUNTED", features::COUNTED),
        ("UNREAD", features::UNREAD),
        ("NAMED", features::NAMED),
        ("TAKEOVER", features::TAKEOVER),
        ("RELAYS", features::RELAYS),
        ("REPEATS", features::REPEATS),
    ]);
    let mut bits = Vec::new();
    let mut in_use = BTreeMap::new();
    for row in section("### Features") {
        let bit: u32 = row[0].parse().expect("a bit");
        bits.push(bit);
        if row[2] != "reserved" {
            in_use.insert(row[1], 1_u64 << bit);
        }
    }
    assert!(bits.is_sorted_by(|one, other| one < other), "{bits:?}");
    assert_eq!(in_use, code);
}
