//! The fuzz bodies over the inputs that the fuzz targets have found, one in hexadecimal on each line
//! of `fuzz/corpora`. `scripts/fuzz.sh` renews them.

#[path = "../../fuzz/bodies/amf.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets include the same file")]
mod amf;
#[path = "../../fuzz/bodies/chunk.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets include the same file")]
mod chunk;
#[path = "../../fuzz/bodies/door.rs"]
mod door;
#[path = "../../fuzz/bodies/link.rs"]
#[allow(unreachable_pub, reason = "the fuzz targets include the same file")]
mod link;
#[path = "../../fuzz/bodies/parcels.rs"]
mod parcels;
#[path = "../../fuzz/bodies/tunnel.rs"]
mod tunnel;

use std::{fs, path::Path, thread};

/// The stack of a parser: less than that of any thread the program starts.
const STACK: usize = 256 * 1024;

type Body = fn(&[u8]);

const TARGETS: [(&str, Body); 15] = [
    ("amf0", amf::amf0),
    ("amf3", amf::amf3),
    ("chunk_reader", chunk::chunk_reader),
    ("chunk_roundtrip", chunk::chunk_roundtrip),
    ("command", amf::command),
    ("flv_aggregate", chunk::flv_aggregate),
    ("handshake", chunk::handshake),
    ("http_request", door::http_request),
    ("link_frame", link::link_frame),
    ("parcels", parcels::parcels),
    ("proxy_header", door::proxy_header),
    ("session_ops", link::session_ops),
    ("shared_object_message", amf::shared_object_message),
    ("tunnel_requests", tunnel::tunnel_requests),
    ("websocket_frames", door::websocket_frames),
];

#[test]
fn every_kept_input_holds() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpora");
    for (target, body) in TARGETS {
        let text = fs::read_to_string(corpora.join(format!("{target}.txt")));
        let text = text.unwrap_or_else(|error| panic!("{target}: {error}"));
        let hold = move || {
            for line in text.lines() {
                let held = std::panic::catch_unwind(|| body(&unhex(line)));
                assert!(held.is_ok(), "{target}: {line}");
            }
        };
        let thread = thread::Builder::new().stack_size(STACK).spawn(hold);
        let held = thread.expect("a thread starts").join();
        assert!(held.is_ok(), "{target}");
    }
}

fn unhex(line: &str) -> Vec<u8> {
    let digits = line.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let pair = str::from_utf8(pair).expect("hexadecimal");
        u8::from_str_radix(pair, 16).expect("hexadecimal")
    };
    digits.map(byte).collect()
}
