//! The bytes that a session may have under way towards its origin.
//!
//! Credit is an absolute offset of *cost*: the payload bytes of a session's messages and
//! [`MESSAGE_COST`] for each. A session always has [`BASE`] beyond the cost that its group has
//! handled. For a longer message the lane reserves the rest from a [`CreditBudget`], whole or not at all.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// The cost of each message besides its payload. Reason: empty messages must not be free.
pub const MESSAGE_COST: u64 = 32;

/// The credit of a session that has nothing under way. Reason: a command fits; ten thousand
/// sessions at once cannot hold more than 160 MiB of a group's memory.
pub const BASE: u64 = 16 * 1024;

/// The bytes that one lane may reserve for long messages: two of the largest permitted.
pub const LANE_BUDGET: u64 = 2 * 16 * 1024 * 1024;

/// The bytes that all lanes of a process may reserve by default.
pub const PROCESS_BUDGET: u64 = 256 * 1024 * 1024;

/// Memory promised to messages that are under way, shared by all lanes of a process.
#[derive(Clone, Debug)]
pub struct CreditBudget {
    used: Arc<AtomicU64>,
    limit: u64,
}

impl CreditBudget {
    /// A budget of `limit` bytes.
    pub fn new(limit: u64) -> Self {
        Self {
            used: Arc::new(AtomicU64::new(0)),
            limit,
        }
    }

    /// Bytes promised now.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }

    /// Promises `bytes` if the limit allows them. While there is no other promise it succeeds at any
    /// limit, so that every permitted message gets through.
    pub(super) fn reserve(&self, bytes: u64) -> bool {
        let take = |used: u64| (used == 0 || used + bytes <= self.limit).then(|| used + bytes);
        self.used
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .is_ok()
    }

    pub(super) fn release(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// The credit account of one session at the origin.
#[derive(Debug)]
pub(super) struct Account {
    received: u64,
    consumed: u64,
    limit: u64,
    reserved: u64,
    /// The cost at which the message in assembly ends.
    wanted: u64,
}

impl Account {
    pub(super) fn new() -> Self {
        Self {
            received: 0,
            consumed: 0,
            limit: BASE,
            reserved: 0,
            wanted: 0,
        }
    }

    /// Counts a fragment; `false` if the edge sent more than the credit.
    pub(super) fn receive(&mut self, cost: u64) -> bool {
        self.received += cost;
        self.received <= self.limit
    }

    /// A message of this payload length begins, its first fragment not counted yet.
    pub(super) fn begin(&mut self, length: u64) {
        self.wanted = self.received + MESSAGE_COST + length;
    }

    /// Counts cost that the group has handled; returns the reservation to give back.
    pub(super) fn consume(&mut self, cost: u64) -> u64 {
        self.consumed = (self.consumed + cost).min(self.received);
        let needed = self.limit.saturating_sub(self.consumed + BASE);
        let free = self.reserved.saturating_sub(needed);
        self.reserved -= free;
        free
    }

    /// The offset to grant now without a reservation, if it is worth a frame.
    pub(super) fn free_grant(&mut self) -> Option<u64> {
        let free = self.consumed + BASE;
        let worth =
            free >= self.limit + BASE / 2 || (self.wanted > self.limit && free > self.limit);
        worth.then(|| {
            self.limit = free;
            free
        })
    }

    /// The cost that must be reserved for the message under way.
    pub(super) fn lacking(&self) -> u64 {
        self.wanted.saturating_sub(self.limit)
    }

    /// Counts a reservation; returns the offset to grant.
    pub(super) fn reserve(&mut self, bytes: u64) -> u64 {
        self.reserved += bytes;
        self.limit += bytes;
        self.limit
    }

    /// Takes the reservation of a session that is over.
    pub(super) fn take_reserved(&mut self) -> u64 {
        std::mem::take(&mut self.reserved)
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }
}
