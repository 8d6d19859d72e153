//! Test vectors made by others, which stand beside the project and are not part of it.

use std::path::Path;

/// A file of them; `None`, said aloud, where they are missing, unless CI demands them.
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
