//! Bits of [`Hello::features`](super::Hello): extensions of version 1 that a node understands.
//!
//! `docs/link.md` lists all bits, also the reserved ones.

/// The node knows [`ClientClaims`](super::ClientClaims), which precede the opening of a session.
pub const CLAIMS: u64 = 1;

/// The node knows records of sessions and restored lanes: an edge that says so keeps what an origin
/// has it remember, and an origin that says so takes its sessions back as another process.
pub const RESTORE: u64 = 1 << 1;

/// The edge reads [`HandedOver`](super::HandedOver), and goes on with the lane's sessions elsewhere.
pub const MOVE: u64 = 1 << 2;

/// The node is an origin of a cluster that takes part in moves of groups
/// ([`MoveFrame`](super::MoveFrame)).
pub const PEER: u64 = 1 << 3;

/// The node reads [`NewPublication`](super::feed::Feed::NewPublication) in feeds, and the
/// publication that an Attach names.
pub const PUBLICATION: u64 = 1 << 6;

/// The node reads [`Statistics`](super::Statistics) with the count of frames that they include.
pub const COUNTED: u64 = 1 << 7;

/// The node reads [`ToSession::PublishRead`](super::ToSession::PublishRead), and may hold back the
/// messages of a publish that has no readers.
pub const UNREAD: u64 = 1 << 9;

/// The node reads the name of the live stream in an Attach.
pub const NAMED: u64 = 1 << 10;

/// The node reads [`FromSession::Reconnects`](super::FromSession::Reconnects).
pub const TAKEOVER: u64 = 1 << 11;

/// The node reads [`FromSession::Relay`](super::FromSession::Relay).
pub const RELAYS: u64 = 1 << 12;

/// The edge reads [`ToSession::Repeat`](super::ToSession::Repeat).
pub const REPEATS: u64 = 1 << 13;
