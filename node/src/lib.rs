//! What both tiers of Tributary share and is not protocol.

pub mod queue;
