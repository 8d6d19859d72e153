//! Challenges that no edge has to remember: each is signed with the key that the edges share.

use std::collections::BTreeSet;

use data_encoding::{BASE64, BASE64URL_NOPAD};

use crate::secret::SharedKey;

/// A challenge that a client has brought back: the time and the random bytes in it, which are its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Nonce {
    /// Seconds of UNIX time.
    time: u32,
    random: [u8; RANDOM],
}

/// Random bytes of a challenge.
pub const RANDOM: usize = 6;
/// Bytes of a challenge's signature. Reason: a description has the challenge twice, within 199 bytes; a
/// guess has to be right within a minute, over connections.
const SIGNATURE: usize = 8;
const TIME: usize = 4;

impl Nonce {
    /// A new challenge for a user at `now`, in seconds of UNIX time: 24 characters that need no escape.
    pub(super) fn make(key: &SharedKey, user: &str, now: u64, random: [u8; RANDOM]) -> String {
        let time = now as u32;
        let nonce = Self { time, random };
        let named = [&nonce.time.to_be_bytes()[..], &nonce.random].concat();
        let sign = nonce.sign(key, user);
        BASE64URL_NOPAD.encode(&[&named[..], &sign].concat())
    }

    /// The challenge in a text, if an edge has made it for this user.
    pub(super) fn read(key: &SharedKey, user: &str, text: &str) -> Option<Self> {
        if text.len() != LENGTH {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (time, rest) = bytes.split_first_chunk::<TIME>()?;
        let (random, sign) = rest.split_first_chunk::<RANDOM>()?;
        let nonce = Self {
            time: u32::from_be_bytes(*time),
            random: *random,
        };
        let is_ours = subtle::ConstantTimeEq::ct_eq(sign, &nonce.sign(key, user)[..]);
        bool::from(is_ours).then_some(nonce)
    }

    /// Whether the challenge may still be answered at `now`.
    pub(super) fn is_fresh(self, now: u64) -> bool {
        let age = now as i64 - i64::from(self.time);
        (-CLOCKS..VALID).contains(&age)
    }

    fn sign(self, key: &SharedKey, user: &str) -> [u8; SIGNATURE] {
        let tag = key.sign(&[
            b"challenge\0",
            &self.time.to_be_bytes(),
            &self.random,
            user.as_bytes(),
        ]);
        let mut sign = [0; SIGNATURE];
        sign.copy_from_slice(&tag.as_ref()[..SIGNATURE]);
        sign
    }
}

/// The salt of a user whose password is known, or who does not exist: always the same one.
pub(super) fn salt(key: &SharedKey, user: &str) -> String {
    let tag = key.sign(&[b"salt\0", user.as_bytes()]);
    BASE64.encode(&tag.as_ref()[..8])
}

/// The challenges that have been answered rightly at this edge, for as long as they could be answered
/// again. An edge has one for all its workers and applications.
#[derive(Debug, Default)]
pub struct UsedNonces(BTreeSet<Nonce>);

impl UsedNonces {
    /// Notes a challenge; `false` if it has been noted before, or there is no room for it. Only the
    /// owner of a password can fill the room.
    pub(super) fn note(&mut self, nonce: Nonce, now: u64) -> bool {
        while let Some(oldest) = self.0.first()
            && (now as i64) - i64::from(oldest.time) >= VALID
        {
            self.0.pop_first();
        }
        self.0.len() < MAX_USED && self.0.insert(nonce)
    }
}

/// Characters of a challenge.
pub(super) const LENGTH: usize = (TIME + RANDOM + SIGNATURE) * 4 / 3;
/// Seconds for which a challenge may be answered: an encoder does it at once.
const VALID: i64 = 60;
/// Seconds by which the clocks of two edges may differ.
const CLOCKS: i64 = 10;
/// Challenges that are noted at a time: 1,000 logins a second, all of which bring the right password.
pub const MAX_USED: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(byte: u8) -> SharedKey {
        SharedKey::new(&[byte; 32]).unwrap()
    }

    #[test]
    fn a_challenge_is_for_its_user_and_its_minute() {
        let text = Nonce::make(&key(1), "alice", 1000, [7; RANDOM]);
        assert_eq!(text.len(), LENGTH);
        let nonce = Nonce::read(&key(1), "alice", &text).unwrap();
        for (now, is_fresh) in [
            (1000, true),
            (1059, true),
            (1060, false),
            (990, true),
            (989, false),
        ] {
            assert_eq!(nonce.is_fresh(now), is_fresh, "{now}");
        }
        assert_eq!(Nonce::read(&key(2), "alice", &text), None);
        assert_eq!(Nonce::read(&key(1), "bob", &text), None);
        for place in 0..LENGTH {
            let mut other = text.clone().into_bytes();
            other[place] = if other[place] == b'A' { b'B' } else { b'A' };
            let other = String::from_utf8(other).unwrap();
            assert_eq!(Nonce::read(&key(1), "alice", &other), None, "{place}");
        }
        for other in ["", "AAAA", &format!("{text}AAAA"), &text[..20]] {
            assert_eq!(Nonce::read(&key(1), "alice", other), None, "{other}");
        }
    }

    #[test]
    fn a_challenge_counts_once_and_is_forgotten_when_it_is_old() {
        let nonce = |time, random| Nonce {
            time,
            random: [random; RANDOM],
        };
        let mut used = UsedNonces::default();
        assert!(used.note(nonce(1000, 1), 1000));
        assert!(!used.note(nonce(1000, 1), 1001));
        assert!(used.note(nonce(1000, 2), 1001));
        assert!(used.note(nonce(1059, 3), 1059));
        assert!(used.note(nonce(1060, 4), 1060));
        assert_eq!(used.0.len(), 2);
    }

    #[test]
    fn there_is_room_for_so_many() {
        let mut used = UsedNonces::default();
        for index in 0..MAX_USED as u64 + 10 {
            let mut random = [0; RANDOM];
            random.copy_from_slice(&index.to_be_bytes()[2..]);
            let noted = used.note(Nonce { time: 1000, random }, 1000);
            assert_eq!(noted, index < MAX_USED as u64);
        }
        let later = Nonce {
            time: 1060,
            random: [0; RANDOM],
        };
        assert!(used.note(later, 1060));
        assert_eq!(used.0.len(), 1);
    }

    #[test]
    fn a_salt_is_stable_and_each_users_own() {
        assert_eq!(salt(&key(1), "alice"), salt(&key(1), "alice"));
        assert_ne!(salt(&key(1), "alice"), salt(&key(1), "bob"));
        assert_ne!(salt(&key(1), "alice"), salt(&key(2), "alice"));
        assert_eq!(salt(&key(1), "alice").len(), 12);
    }
}
