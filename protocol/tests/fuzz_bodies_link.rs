//! The fuzz bodies of the link, over seeds and what chance makes of them.

#[path = "../../fuzz/bodies/link.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets include the same file")]
mod bodies;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// Frames of every kind, as `docs/link.md` shows them.
const FRAMES: &[&[u8]] = &[
    b"\x01\x20\x01\x05edge1\0\0\0\0\0\0\0\x07\x03\0\0\x02eu\x40\x64\x07origin1\0",
    b"\x02\x02\x05\x01\x03\x01\x07\x04\x01\x07\x05\x01\x09",
    b"\x06\x0a\x01\x01\x06live/a\0\x07\x0a\x01o\x01\x06live/a\x08\x03\x01o\x01",
    b"\x10\x0c\x07\x06live/a\x01o\0\0\x11\x02\0\x05\x11\x02\x02\x40\xfa",
    b"\x12\x01\x07\x20\x10\x05\x04\xc0\0\x02\x01\x1f\x90\x04rtmp\x02\0\x07",
    b"\x21\x0d\x05\x01\x14\x01\0\0\x03\xe8\x03\x02abc\x21\x04\x05\0bc",
    b"\x21\x0d\x05\x03\x14\x01\0\0\0\0\x01\0\x40\x40a\x22\x02\x05\0\x23\x03\x05\x01\x01\x24\0",
    b"\x13\x05\x05\x80\0\x40\0\x30\x01\x05\x31\x03\x05\x01\x09\x32\x02\x05\x01",
    b"\x33\x05\x05\x01\x02\x09\x04\x34\x03\x05\x01\x02\x35\x03\x05\x01\x05",
    b"\x36\x08\x07\x01\x05board\x37\x0b\x07\x05\0\0\0\x02\0\0\0\0\0\x38\x02\x07\x05",
    b"\x39\x07\x07\x03\x05\x03abc\x39\x04\x07\x05\x01a\x39\x04\x07\0bc\x3a\x01\x07",
    b"\x21\x15\x05\x05\x13\0\0\0\0\0\x01\0\x07\0\0\0\x02\0\0\0\0\x02a\x3b\x01\x05\x3d\x01\x05",
    b"\x3c\x04\x05\x50\0\0\x25\x0a\x05\x40\x64\x40\xc8\x01\x02\0\0\x0d",
    b"\x40\x40\x03\x01\x01\0\x40\x41\x07\x08\0\0\0\0\x01\xaf",
];

#[test]
fn link_frames_hold() {
    let mut random = seeded(1);
    for _ in 0..8_000 {
        let mut input = vec![random.random()];
        for _ in 0..random.random_range(1..4) {
            input.extend_from_slice(FRAMES[random.random_range(0..FRAMES.len())]);
        }
        for _ in 0..random.random_range(0..4) {
            let place = random.random_range(0..input.len());
            match random.random_range(0..3) {
                0 => input[place] = random.random(),
                1 => input.insert(place, random.random()),
                _ => input.truncate(place.max(1)),
            }
        }
        bodies::link_frame(&input);
    }
}

#[test]
fn sessions_hold_whatever_the_link_does() {
    for seed in 0..300 {
        let mut random = seeded(seed);
        let count = random.random_range(30..600);
        // Opens are few and deliveries many, or little would happen.
        let ops = [
            0, 1, 1, 1, 2, 3, 3, 4, 5, 5, 5, 6, 6, 6, 7, 8, 9, 9, 10, 11, 11, 11, 12, 12, 12, 13,
            14, 15,
        ];
        let rare = [2, 4, 7];
        let mut input = Vec::new();
        for session in 0..12 {
            input.extend([0, session, 0, 5, 0, 255]);
        }
        for _ in 0..count {
            let mut op: u8 = ops[random.random_range(0..ops.len())];
            if rare.contains(&op) && random.random_bool(0.8) {
                op = 5;
            }
            input.extend([op, random.random_range(0..24), random.random()]);
        }
        bodies::session_ops(&input);
    }
}

fn seeded(seed: u64) -> StdRng {
    println!("seed {seed}");
    StdRng::seed_from_u64(seed)
}
