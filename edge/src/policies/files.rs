//! The files that the settings of applications name.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use rand::RngCore;
use tributary_gate::{Key, MAX_KEY_FILE, MAX_USERS_FILE, SharedKey, TokenKey, Users};
use tributary_node::config::{At, Mistakes};

/// The users of encoders.
pub(super) fn users(file: &Path, at: &At, mistakes: &mut Mistakes) -> Option<Users> {
    let bytes = read(file, MAX_USERS_FILE, at, mistakes)?;
    let Ok(text) = String::from_utf8(bytes) else {
        add(file, "not UTF-8; write a text file", at, mistakes);
        return None;
    };
    let wrong = match Users::read(&text) {
        Ok(users) => return Some(users),
        Err(wrong) => wrong,
    };
    for mistake in wrong {
        add(file, &mistake.to_string(), at, mistakes);
    }
    None
}

/// A secret of this process alone behind the challenges of encoders.
pub(super) fn own_key() -> SharedKey {
    let mut secret = [0; 32];
    rand::rng().fill_bytes(&mut secret);
    SharedKey::new(&secret).expect("the secret is long enough")
}

/// The secret behind the challenges of encoders, which edges share.
pub(super) fn shared_key(file: &Path, at: &At, mistakes: &mut Mistakes) -> Option<SharedKey> {
    let bytes = read(file, MAX_KEY_FILE, at, mistakes)?;
    let key = SharedKey::read(&bytes);
    key.map_err(|error| add(file, &error.to_string(), at, mistakes))
        .ok()
}

/// A key of tokens.
pub(super) fn token_key(setting: &TokenKey, at: &At, mistakes: &mut Mistakes) -> Option<Key> {
    let bytes = read(&setting.file, MAX_KEY_FILE, at, mistakes)?;
    let key = Key::read(setting, &bytes);
    key.map_err(|error| add(&setting.file, &error.to_string(), at, mistakes))
        .ok()
}

/// Reads one byte more than a file may have, so that its reader sees that it is too long.
fn read(file: &Path, most: usize, at: &At, mistakes: &mut Mistakes) -> Option<Vec<u8>> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut open = File::open(file)?.take(most as u64 + 1);
        open.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read()
        .map_err(|error| {
            let what = format!("cannot be read: {error}; name a file that this user may read");
            add(file, &what, at, mistakes);
        })
        .ok()
}

/// Adds a mistake whose text has the remedy behind a semicolon.
fn add(file: &Path, text: &str, at: &At, mistakes: &mut Mistakes) {
    let (what, remedy) = text.split_once("; ").unwrap_or((text, ""));
    mistakes.add(at.clone(), format!("{}: {what}", file.display()), remedy);
}
