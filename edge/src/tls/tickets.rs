//! Session tickets (RFC 8446, 4.6.1; RFC 5077) that are good at every edge with the same keys.
//!
//! ```text
//!   ticket: name of the key (8) ‖ nonce (12) ‖ AES-256-GCM of rustls's state, the name as its data
//! ```

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    digest,
    rand::{SecureRandom, SystemRandom},
};
use rustls::server::ProducesTickets;

use super::pair::Print;

/// The keys of tickets.
pub(super) struct Tickets {
    keys: RwLock<Keys>,
    random: SystemRandom,
}

/// Keys that are good for tickets; the first one makes them.
pub(super) type Keys = Arc<[Key]>;

pub(super) struct Key {
    name: [u8; NAME],
    key: LessSafeKey,
}

/// The bytes of a key.
const KEY: usize = 32;
const NAME: usize = 8;

/// Keys in a file. Reason: the present one, the one before, and one that edges learn before it is used.
const MOST_KEYS: usize = 8;

/// The time for which a ticket is good.
const LIFETIME_SECONDS: u32 = 12 * 60 * 60;

impl Tickets {
    /// One key, which lasts as long as this process.
    pub(super) fn own() -> Result<Self, TicketKeysError> {
        let random = SystemRandom::new();
        let mut key = [0; KEY];
        random.fill(&mut key).map_err(|_| {
            TicketKeysError::new(Path::new("random numbers"), TicketKeysFlaw::NoKey)
        })?;
        Ok(Self {
            keys: RwLock::new([Key::new(&key)].into()),
            random,
        })
    }

    /// Puts other keys in force.
    pub(super) fn replace(&self, keys: Keys) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn keys(&self) -> Keys {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_SECONDS
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let keys = self.keys();
        let key = keys.first()?;
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut ticket = [&key.name[..], &nonce, plain].concat();
        let (_, sealed) = ticket.split_at_mut(NAME + NONCE_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key
            .key
            .seal_in_place_separate_tag(nonce, Aad::from(key.name), sealed)
            .ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (name, rest) = ticket.split_at_checked(NAME)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let keys = self.keys();
        let key = keys.iter().find(|key| key.name == name)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut plain = sealed.to_vec();
        let length = key
            .key
            .open_in_place(nonce, Aad::from(key.name), &mut plain)
            .ok()?
            .len();
        plain.truncate(length);
        Some(plain)
    }
}

impl Key {
    fn new(bytes: &[u8; KEY]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, bytes).expect("the key has 32 bytes");
        let mut name = [0; NAME];
        name.copy_from_slice(&digest::digest(&digest::SHA256, bytes).as_ref()[..NAME]);
        Self {
            name,
            key: LessSafeKey::new(key),
        }
    }
}

/// The digest of a file that can be read.
pub(super) fn print(file: &Path) -> Option<Print> {
    fs::read(file).ok().map(|bytes| digest(&bytes))
}

fn digest(bytes: &[u8]) -> Print {
    let mut print = [0; 32];
    print.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    print
}

/// Reads the keys of a file; returns a digest of the file too.
pub(super) fn read(file: &Path) -> Result<(Keys, Print), TicketKeysError> {
    let failed = |flaw| TicketKeysError::new(file, flaw);
    let text = fs::read_to_string(file).map_err(|error| failed(TicketKeysFlaw::Read(error)))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut keys = Vec::new();
    for (index, line) in lines.enumerate() {
        let bytes = data_encoding::BASE64.decode(line.as_bytes()).ok();
        let key = bytes.and_then(|bytes| <[u8; KEY]>::try_from(bytes).ok());
        keys.push(Key::new(
            &key.ok_or_else(|| failed(TicketKeysFlaw::Line(index + 1)))?,
        ));
    }
    match keys.len() {
        0 => Err(failed(TicketKeysFlaw::NoKey)),
        1..=MOST_KEYS => Ok((keys.into(), digest(text.as_bytes()))),
        _ => Err(failed(TicketKeysFlaw::TooMany)),
    }
}

/// The reason for which the file of ticket keys cannot be used.
#[derive(Debug)]
pub struct TicketKeysError {
    pub file: PathBuf,
    flaw: TicketKeysFlaw,
}

#[derive(Debug)]
enum TicketKeysFlaw {
    Read(io::Error),
    Line(usize),
    NoKey,
    TooMany,
}

impl TicketKeysError {
    fn new(file: &Path, flaw: TicketKeysFlaw) -> Self {
        Self {
            file: file.to_owned(),
            flaw,
        }
    }
}

impl fmt::Display for TicketKeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const REMEDY: &str = "`openssl rand -base64 32` writes one; the first line encrypts, the others still decrypt";
        write!(f, "{}: ", self.file.display())?;
        match &self.flaw {
            TicketKeysFlaw::Read(error) => write!(f, "cannot be read: {error}"),
            TicketKeysFlaw::Line(line) => {
                write!(f, "key {line} is not 32 bytes in base64; {REMEDY}")
            }
            TicketKeysFlaw::NoKey => write!(f, "has no key; {REMEDY}"),
            TicketKeysFlaw::TooMany => write!(f, "has more than {MOST_KEYS} keys; remove old ones"),
        }
    }
}

impl std::error::Error for TicketKeysError {}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(hidden)")
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys().len();
        f.debug_struct("Tickets")
            .field("keys", &keys)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
