#![no_main]

#[path = "../bodies/tunnel.rs"]
mod tunnel;

libfuzzer_sys::fuzz_target!(|data: &[u8]| tunnel::tunnel_requests(data));
