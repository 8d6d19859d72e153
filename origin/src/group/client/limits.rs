//! Limits of a client that others share.

/// How much a client may send before it is accepted. Reason: it is kept in memory until then; one
/// message of the largest size and what its credit allows beside it.
pub(in crate::group) const PENDING_BYTES: usize = 20 * 1024 * 1024;
