#![no_main]

#[path = "../bodies/door.rs"]
#[expect(dead_code, reason = "each target uses one body")]
mod door;

libfuzzer_sys::fuzz_target!(|data: &[u8]| door::websocket_frames(data));
