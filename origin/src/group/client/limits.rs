//! Limits of a client that others share.

/// The most bytes a client may send before it is accepted. Reason: they are kept in memory until
/// then; one message of the largest size and the bytes that its credit allows beside it.
pub(in crate::group) const PENDING_BYTES: usize = 20 * 1024 * 1024;
