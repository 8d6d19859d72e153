//! The limits of one shared object.

/// The limits of one object. They bound the memory that clients can use in it; an application's
/// changes keep them too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Slots that have a value.
    pub slots: usize,
    /// Bytes of all slots, names and tombstones included.
    pub bytes: usize,
    /// Bytes of one value, and of one message to the members.
    pub value: usize,
    /// Removed slots that are remembered.
    pub tombstones: usize,
}

impl Limits {
    /// Enough for the presence of the largest room. Reason: each costs some hundred bytes, and a
    /// new member gets all of them.
    pub const MAX_SLOTS: usize = 16_384;
    /// Reason: a new member gets the whole object in one message, which RTMP bounds at 16 MiB.
    pub const MAX_BYTES: usize = 8 * 1024 * 1024;
    /// Reason: every member of the object receives it, and all messages behind it wait.
    pub const MAX_VALUE: usize = 512 * 1024;
    /// Reason: each is kept until the object ends. Without the tombstone of a slot a returning
    /// client gets all slots instead of the changes.
    pub const MAX_TOMBSTONES: usize = 4_096;
    /// The bytes that may wait for the store before members' messages wait too. Reason: the changes
    /// of others are kept for every author whose own change is not stored yet.
    pub const MAX_WAITING: usize = 4 * 1024 * 1024;
    /// The longest name of a slot, in bytes. Reason: names are repeated in every change.
    pub const MAX_SLOT_NAME: usize = 1_024;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            slots: Self::MAX_SLOTS,
            bytes: Self::MAX_BYTES,
            value: Self::MAX_VALUE,
            tombstones: Self::MAX_TOMBSTONES,
        }
    }
}
