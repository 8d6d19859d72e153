//! Bits of [`Hello::features`](super::Hello): what a node understands beyond version 1.
//!
//! `docs/link.md` has the list of all bits, with those that are reserved.

/// The node knows [`NewPublication`](super::feed::Feed::NewPublication) in feeds, and the publication
/// that an Attach names.
pub const PUBLICATION: u64 = 1 << 6;

/// The node takes [`Statistics`](super::Statistics) with the count of frames that they include.
pub const COUNTED: u64 = 1 << 7;
