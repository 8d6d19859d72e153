//! The arithmetic of the handshake with digests.

use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::PACKET;

pub(super) const DIGEST: usize = 32;

/// The position of a packet's digest, by the position of its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// The digest block comes first: offset at 8. Most players.
    DigestFirst,
    /// The key block comes first: offset at 772.
    KeyFirst,
}

/// The side that made a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Client,
    Server,
}

impl Scheme {
    /// The position of the digest in `packet`: at most 1503, so that the digest always fits.
    pub(super) fn offset(self, packet: &[u8; PACKET]) -> usize {
        let base = match self {
            Self::DigestFirst => 8,
            Self::KeyFirst => 772,
        };
        let sum: usize = packet[base..base + 4]
            .iter()
            .map(|&byte| usize::from(byte))
            .sum();
        base + 4 + sum % 728
    }

    /// The scheme by which `packet`'s digest verifies, and the digest.
    pub(super) fn of(packet: &[u8; PACKET], maker: Role) -> Option<(Self, [u8; DIGEST])> {
        [Self::DigestFirst, Self::KeyFirst]
            .into_iter()
            .find_map(|scheme| {
                let offset = scheme.offset(packet);
                let digest = digest(packet, offset, maker);
                let given = &packet[offset..offset + DIGEST];
                bool::from(digest.ct_eq(given)).then_some((scheme, digest))
            })
    }

    /// Writes the digest into `packet` and returns it.
    pub(super) fn sign(self, packet: &mut [u8; PACKET], maker: Role) -> [u8; DIGEST] {
        let offset = self.offset(packet);
        let digest = digest(packet, offset, maker);
        packet[offset..offset + DIGEST].copy_from_slice(&digest);
        digest
    }
}

/// Signs C2 or S2 in its last 32 bytes, for the peer whose C1 or S1 had `peer_digest`.
pub(super) fn sign_answer(packet: &mut [u8; PACKET], peer_digest: &[u8; DIGEST], maker: Role) {
    let key = hmac(maker.full_key(), &[peer_digest]);
    let (body, signature) = packet.split_at_mut(PACKET - DIGEST);
    signature.copy_from_slice(&hmac(&key, &[body]));
}

/// Whether C2 or S2 is signed for the peer whose C1 or S1 had `peer_digest`.
pub(super) fn verify_answer(
    packet: &[u8; PACKET],
    peer_digest: &[u8; DIGEST],
    maker: Role,
) -> bool {
    let key = hmac(maker.full_key(), &[peer_digest]);
    let (body, signature) = packet.split_at(PACKET - DIGEST);
    hmac(&key, &[body]).ct_eq(signature).into()
}

impl Role {
    /// The key of this side's C1 or S1 digest: the readable part.
    fn short_key(self) -> &'static [u8] {
        match self {
            Self::Client => &CLIENT_KEY[..CLIENT_KEY.len() - SECRET],
            Self::Server => &SERVER_KEY[..SERVER_KEY.len() - SECRET],
        }
    }

    /// The key of this side's C2 or S2 signature.
    fn full_key(self) -> &'static [u8] {
        match self {
            Self::Client => CLIENT_KEY,
            Self::Server => SERVER_KEY,
        }
    }
}

/// The digest of a packet without the 32 bytes at `offset`, its own position.
fn digest(packet: &[u8; PACKET], offset: usize, maker: Role) -> [u8; DIGEST] {
    hmac(
        maker.short_key(),
        &[&packet[..offset], &packet[offset + DIGEST..]],
    )
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; DIGEST] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// The count of bytes at the end of both keys that are not text.
const SECRET: usize = 32;

const CLIENT_KEY: &[u8; 62] = b"Genuine Adobe Flash Player 001\
    \xf0\xee\xc2\x4a\x80\x68\xbe\xe8\x2e\x00\xd0\xd1\x02\x9e\x7e\x57\
    \x6e\xec\x5d\x2d\x29\x80\x6f\xab\x93\xb8\xe6\x36\xcf\xeb\x31\xae";

const SERVER_KEY: &[u8; 68] = b"Genuine Adobe Flash Media Server 001\
    \xf0\xee\xc2\x4a\x80\x68\xbe\xe8\x2e\x00\xd0\xd1\x02\x9e\x7e\x57\
    \x6e\xec\x5d\x2d\x29\x80\x6f\xab\x93\xb8\xe6\x36\xcf\xeb\x31\xae";
