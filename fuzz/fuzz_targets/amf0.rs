#![no_main]

#[path = "../bodies/amf.rs"]
#[expect(dead_code, reason = "each target uses one body")]
mod amf;

libfuzzer_sys::fuzz_target!(|data: &[u8]| amf::amf0(data));
