#![no_main]

#[path = "../bodies/chunk.rs"]
#[expect(dead_code, reason = "each target uses one body")]
mod chunk;

libfuzzer_sys::fuzz_target!(|data: &[u8]| chunk::chunk_reader(data));
