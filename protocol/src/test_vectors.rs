//! Test vectors from other projects, which are kept beside this one.

use std::path::Path;

/// A file of them. `None`, with a message, if it is missing; a panic with `CI=true`.
pub(crate) fn load(file: &str) -> Option<serde_json::Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared/vectors")
        .join(file);
    match std::fs::read(&path) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).expect("the vectors are JSON")),
        Err(error) if std::env::var("CI").is_ok_and(|value| value == "true") => {
            panic!("{}: {error}", path.display())
        }
        Err(error) => {
            eprintln!("skipped: {}: {error}", path.display());
            None
        }
    }
}

/// Bytes from their hexadecimal form.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u32> = text
        .chars()
        .map(|c| c.to_digit(16).expect("a digit"))
        .collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}
