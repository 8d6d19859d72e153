use super::Error;

/// The bounds on the decoding of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Input bytes.
    pub bytes: usize,
    /// The depth of nested values, over both encodings.
    pub depth: u32,
    /// Values of any kind, including nested ones. An item of a numeric vector counts its bytes
    /// only.
    pub elements: u32,
    /// Bytes that references may add to those of the input.
    pub referenced: usize,
}

impl Budget {
    /// The largest RTMP message: its length field has 24 bits.
    pub const MAX_BYTES: usize = 0xFF_FFFF;
    /// Deep enough for any real object tree, and safe on a 256 KiB stack.
    pub const MAX_DEPTH: u32 = 64;
    /// A value may cost 128 bytes of memory and one byte of input: this keeps the worst message
    /// within a few times the largest message's own size.
    pub const MAX_ELEMENTS: u32 = 262_144;
    /// A 1 KB message may not grow beyond this by references.
    pub const MAX_REFERENCED: usize = 1 << 20;
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            bytes: Self::MAX_BYTES,
            depth: Self::MAX_DEPTH,
            elements: Self::MAX_ELEMENTS,
            referenced: Self::MAX_REFERENCED,
        }
    }
}

/// The rest of a [`Budget`] while a message is decoded.
#[derive(Clone, Debug)]
pub(super) struct Meter(Budget);

impl Meter {
    pub(super) fn new(budget: &Budget) -> Self {
        Self(*budget)
    }

    pub(super) fn left(&self) -> Budget {
        self.0
    }

    pub(super) fn element(&mut self) -> Result<(), Error> {
        let left = self.0.elements.checked_sub(1);
        self.0.elements = left.ok_or(Error::TooManyElements)?;
        Ok(())
    }

    pub(super) fn referenced(&mut self, bytes: usize) -> Result<(), Error> {
        let left = self.0.referenced.checked_sub(bytes);
        self.0.referenced = left.ok_or(Error::TooMuchReferenced)?;
        Ok(())
    }

    /// Enters one level; each success is paired with [`Self::leave`].
    pub(super) fn enter(&mut self) -> Result<(), Error> {
        self.0.depth = self.0.depth.checked_sub(1).ok_or(Error::TooDeep)?;
        Ok(())
    }

    pub(super) fn leave(&mut self) {
        self.0.depth += 1;
    }
}

/// The bytes that a message may grow by if one form is longer than another: nearest forms and
/// repeated dates in AMF0, and for the reader of AMF3 the targets of references.
#[derive(Clone, Copy, Debug)]
pub(super) struct Allowance(usize);

impl Allowance {
    /// As much as references may add in the decoding of a message.
    const BYTES: usize = Budget::MAX_REFERENCED;

    /// Takes `bytes`, all or none.
    pub(super) fn take(&mut self, bytes: usize) -> bool {
        let left = self.0.checked_sub(bytes);
        self.0 = left.unwrap_or(self.0);
        left.is_some()
    }
}

impl Default for Allowance {
    fn default() -> Self {
        Self(Self::BYTES)
    }
}
