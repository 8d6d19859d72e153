//! The server's side: reads C0, C1 and C2, writes S0, S1 and S2.

use bytes::BytesMut;

use super::{
    Error, HandshakeKind, PACKET, RANDOM, VERSION, check_version,
    digest::{Role, Scheme, sign_answer},
    fill, skip,
};

/// The version in S1 for peers with the digest handshake: a Flash Media Server 4.5.
const SERVER_VERSION: [u8; 4] = [4, 5, 0, 1];

/// The server's side of one handshake.
///
/// ```text
/// Version ──C0──► C1 ──C1, out: S0 S1 S2──► C2 ──C2──► Done
///    └──other version: Error
/// ```
///
/// A handshake that is half open holds one allocation of 3,073 bytes, until S2 has left.
#[derive(Debug)]
pub struct ServerHandshake {
    state: State,
    kind: HandshakeKind,
}

#[derive(Debug)]
enum State {
    Version(Box<Packets>),
    C1 {
        packets: Box<Packets>,
        filled: usize,
    },
    C2 {
        left: usize,
    },
    Done,
}

/// S0, S1 and S2 as they are sent. C1 is read into S2, where its echo belongs.
#[derive(Debug)]
struct Packets {
    s0: u8,
    s1: [u8; PACKET],
    s2: [u8; PACKET],
}

impl ServerHandshake {
    /// A handshake that waits for C0. `random` goes into S1.
    pub fn new(random: &[u8; RANDOM]) -> Self {
        let mut packets = Box::new(Packets {
            s0: VERSION,
            s1: [0; PACKET],
            s2: [0; PACKET],
        });
        packets.s1[PACKET - RANDOM..].copy_from_slice(random);
        Self {
            state: State::Version(packets),
            kind: HandshakeKind::Simple,
        }
    }

    /// Consumes bytes from `input` and appends the answer to `out`; true once C2 is complete. Bytes
    /// behind C2 stay in `input`.
    pub fn read(&mut self, input: &mut &[u8], out: &mut BytesMut) -> Result<bool, Error> {
        loop {
            let next = match std::mem::replace(&mut self.state, State::Done) {
                State::Version(packets) => {
                    let Some((&version, rest)) = input.split_first() else {
                        self.state = State::Version(packets);
                        return Ok(false);
                    };
                    check_version(version)?;
                    *input = rest;
                    State::C1 { packets, filled: 0 }
                }
                State::C1 {
                    mut packets,
                    mut filled,
                } => {
                    if !fill(&mut packets.s2, &mut filled, input) {
                        self.state = State::C1 { packets, filled };
                        return Ok(false);
                    }
                    self.kind = packets.answer();
                    out.reserve(1 + 2 * PACKET);
                    out.extend_from_slice(&[packets.s0]);
                    out.extend_from_slice(&packets.s1);
                    out.extend_from_slice(&packets.s2);
                    State::C2 { left: PACKET }
                }
                State::C2 { mut left } => {
                    if !skip(&mut left, input) {
                        self.state = State::C2 { left };
                        return Ok(false);
                    }
                    State::Done
                }
                State::Done => return Ok(true),
            };
            self.state = next;
        }
    }

    /// The kind of the handshake; known once C1 is complete.
    pub fn kind(&self) -> HandshakeKind {
        self.kind
    }
}

impl Packets {
    /// Makes S1 and S2 for the C1 in `s2`. For simple peers `s2` stays as it is, the exact echo; a
    /// digest peer checks its signature only.
    fn answer(&mut self) -> HandshakeKind {
        // Version 0 is a C1 without a digest.
        if self.s2[4..8] == [0; 4] {
            return HandshakeKind::Simple;
        }
        let Some((scheme, digest)) = Scheme::of(&self.s2, Role::Client) else {
            return HandshakeKind::Simple;
        };
        self.s1[4..8].copy_from_slice(&SERVER_VERSION);
        scheme.sign(&mut self.s1, Role::Server);
        sign_answer(&mut self.s2, &digest, Role::Server);
        HandshakeKind::Digest
    }
}
