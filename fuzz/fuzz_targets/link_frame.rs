#![no_main]

#[path = "../bodies/link.rs"]
#[expect(dead_code, reason = "each target uses one body")]
mod link;

libfuzzer_sys::fuzz_target!(|data: &[u8]| link::link_frame(data));
