//! The client's side: writes C0, C1 and C2, reads S0, S1 and S2.

use bytes::BytesMut;

use super::{
    Error, HandshakeKind, PACKET, RANDOM, VERSION, check_version,
    digest::{Role, Scheme, sign_answer, verify_answer},
    fill,
};

/// The version in C1 of a digest handshake: a Flash Player 9.0.124.
const CLIENT_VERSION: [u8; 4] = [9, 0, 124, 2];

/// The client's side of one handshake.
///
/// ```text
/// (out: C0 C1) Version ──S0──► S1 ──S1, out: C2──► S2 ──S2──► Done
///                 └──other version: Error
/// ```
#[derive(Debug)]
pub struct ClientHandshake {
    state: State,
    /// The digest of this client's C1 in a digest handshake.
    digest: Option<[u8; 32]>,
    verified: bool,
}

#[derive(Debug)]
enum State {
    Version,
    S1 {
        packet: Box<[u8; PACKET]>,
        filled: usize,
    },
    S2 {
        packet: Box<[u8; PACKET]>,
        filled: usize,
    },
    Done,
}

impl ClientHandshake {
    /// Appends C0 and C1 to `out`; S0 is next. `random` goes into C1.
    pub fn new(kind: HandshakeKind, random: &[u8; RANDOM], out: &mut BytesMut) -> Self {
        let mut c1 = [0; PACKET];
        c1[PACKET - RANDOM..].copy_from_slice(random);
        let digest = (kind == HandshakeKind::Digest).then(|| {
            c1[4..8].copy_from_slice(&CLIENT_VERSION);
            Scheme::DigestFirst.sign(&mut c1, Role::Client)
        });
        out.reserve(1 + PACKET);
        out.extend_from_slice(&[VERSION]);
        out.extend_from_slice(&c1);
        Self {
            state: State::Version,
            digest,
            verified: false,
        }
    }

    /// Consumes bytes from `input` and appends C2 to `out`; true once S2 is complete. Bytes behind
    /// S2 stay in `input`.
    pub fn read(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Result<bool, Error> {
        loop {
            let next = match std::mem::replace(&mut self.state, State::Done) {
                State::Version => {
                    let Some((&version, rest)) = input.split_first() else {
                        self.state = State::Version;
                        return Ok(false);
                    };
                    check_version(version)?;
                    *input = rest;
                    State::S1 {
                        packet: Box::new([0; PACKET]),
                        filled: 0,
                    }
                }
                State::S1 {
                    mut packet,
                    mut filled,
                } => {
                    if !fill(&mut *packet, &mut filled, input) {
                        self.state = State::S1 { packet, filled };
                        return Ok(false);
                    }
                    if let Some((_, digest)) = self.server_digest(&packet) {
                        sign_answer(&mut packet, &digest, Role::Client);
                    } else {
                        self.digest = None;
                    }
                    out.extend_from_slice(&*packet);
                    State::S2 { packet, filled: 0 }
                }
                State::S2 {
                    mut packet,
                    mut filled,
                } => {
                    if !fill(&mut *packet, &mut filled, input) {
                        self.state = State::S2 { packet, filled };
                        return Ok(false);
                    }
                    self.verified = self
                        .digest
                        .is_some_and(|digest| verify_answer(&packet, &digest, Role::Server));
                    State::Done
                }
                State::Done => return Ok(true),
            };
            self.state = next;
        }
    }

    /// Whether the server uses the digest handshake and has signed S2 for this client's C1. It is
    /// no proof of identity: the keys are public.
    pub fn is_verified(&self) -> bool {
        self.verified
    }

    fn server_digest(&self, s1: &[u8; PACKET]) -> Option<(Scheme, [u8; 32])> {
        self.digest.and_then(|_| Scheme::of(s1, Role::Server))
    }
}
