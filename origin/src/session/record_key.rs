//! The key by which an origin knows its own records again.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use tributary_protocol::{GroupName, SessionId, link::Record};

/// A key that the origins of a cluster share and no edge has. Edges keep records of their sessions; with
/// this key an origin tells those that it, or another origin of the cluster, has made.
#[derive(Clone)]
pub(crate) struct RecordKey(Hmac<Sha256>);

/// The owner of a record: a record of one session is none of another's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordOwner<'a> {
    pub(crate) group: &'a GroupName,
    pub(crate) edge: &'a str,
    pub(crate) session: SessionId,
}

/// Bytes of the code behind a record. Reason: half of SHA-256's, as RFC 2104 (5) permits.
const CODE: usize = 16;

impl RecordKey {
    /// The key of these secret bytes.
    pub(crate) fn new(secret: &[u8]) -> Self {
        Self(Hmac::new_from_slice(secret).expect("HMAC takes keys of any length"))
    }

    /// The bytes with their code; empty bytes, which end a part, have none.
    pub(crate) fn sign(&self, owner: RecordOwner<'_>, part: u32, bytes: &Bytes) -> Record {
        let bytes = match bytes.is_empty() {
            true => Bytes::new(),
            false => {
                let mut signed = BytesMut::with_capacity(bytes.len() + CODE);
                signed.put_slice(bytes);
                let code = self.mac(owner, part, bytes).finalize().into_bytes();
                signed.put_slice(&code[..CODE]);
                signed.freeze()
            }
        };
        Record { part, bytes }
    }

    /// The bytes of a record, if this key has signed them for this owner.
    pub(crate) fn verify(&self, owner: RecordOwner<'_>, record: &Record) -> Option<Bytes> {
        let length = record.bytes.len().checked_sub(CODE)?;
        let (bytes, code) = record.bytes.split_at(length);
        let mac = self.mac(owner, record.part, bytes);
        mac.verify_truncated_left(code).ok()?;
        Some(record.bytes.slice(..length))
    }

    /// The proof by which an origin shows that it has the key, in hexadecimal; it discloses nothing of it, and
    /// no other node can use it.
    pub(crate) fn proof(&self, cluster: &str, origin: &str, epoch: u64) -> String {
        let mut mac = self.0.clone();
        for text in ["proof of an origin", cluster, origin] {
            mac.update(&(text.len() as u64).to_be_bytes());
            mac.update(text.as_bytes());
        }
        mac.update(&epoch.to_be_bytes());
        let code = mac.finalize().into_bytes();
        let hex = code[..CODE].iter().map(|byte| format!("{byte:02x}"));
        hex.collect()
    }

    fn mac(&self, owner: RecordOwner<'_>, part: u32, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        let mut name = |text: &str| {
            mac.update(&(text.len() as u64).to_be_bytes());
            mac.update(text.as_bytes());
        };
        name(owner.group.application());
        name(owner.group.instance());
        name(owner.edge);
        mac.update(&owner.session.0.to_be_bytes());
        mac.update(&part.to_be_bytes());
        mac.update(bytes);
        mac
    }
}

/// Not the key: it is secret.
impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_of_one_session_one_part_and_one_key() {
        let key = RecordKey::new(b"a secret of the cluster");
        let group: GroupName = "live/room".parse().unwrap();
        let other: GroupName = "live/hall".parse().unwrap();
        let owner = RecordOwner {
            group: &group,
            edge: "edge1",
            session: SessionId(7),
        };
        let bytes = Bytes::from_static(b"it publishes");
        let record = key.sign(owner, 3, &bytes);
        assert_eq!(key.verify(owner, &record), Some(bytes));
        assert_eq!(RecordKey::new(b"another").verify(owner, &record), None);
        for wrong in [
            RecordOwner {
                group: &other,
                ..owner
            },
            RecordOwner {
                edge: "edge2",
                ..owner
            },
            RecordOwner {
                session: SessionId(8),
                ..owner
            },
        ] {
            assert_eq!(key.verify(wrong, &record), None, "{wrong:?}");
        }
        let moved = Record {
            part: 4,
            ..record.clone()
        };
        assert_eq!(key.verify(owner, &moved), None);
        for place in 0..record.bytes.len() {
            let mut changed = record.bytes.to_vec();
            changed[place] ^= 1;
            let changed = Record {
                part: 3,
                bytes: changed.into(),
            };
            assert_eq!(key.verify(owner, &changed), None, "byte {place}");
        }
        for length in 0..record.bytes.len() {
            let cut = Record {
                part: 3,
                bytes: record.bytes.slice(..length),
            };
            assert_eq!(key.verify(owner, &cut), None, "{length} bytes");
        }
    }
}
