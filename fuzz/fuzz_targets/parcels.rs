#![no_main]

#[path = "../bodies/parcels.rs"]
mod parcels;

libfuzzer_sys::fuzz_target!(|data: &[u8]| parcels::parcels(data));
