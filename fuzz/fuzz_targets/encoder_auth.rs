#![no_main]

#[path = "../bodies/gate.rs"]
#[expect(dead_code, reason = "each target uses one body")]
mod gate;

libfuzzer_sys::fuzz_target!(|data: &[u8]| gate::encoder_auth(data));
