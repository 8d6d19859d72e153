//! Consecutive messages of one object as bytes for the sockets of its members.

use std::sync::Arc;

use bytes::Bytes;
use tributary_protocol::{MessageStreamId, amf::ObjectEncoding, shared_object::Flags};

use super::{
    ObjectMessage, Recipient,
    message::{FLAGS_SIZE, write_flags},
};
use crate::wire::{Wire, WrittenShared};

/// Messages in the form of one encoding, in one buffer. The message stream and the flags of a
/// member are written into the buffer before each write, if the last member's differ.
#[derive(Debug, Default)]
pub(super) struct ObjectBatch {
    pieces: Vec<ObjectPiece>,
    wire: Vec<u8>,
    written_for: Option<(MessageStreamId, Flags)>,
}

#[derive(Debug)]
struct ObjectPiece {
    message: Arc<ObjectMessage>,
    /// The index of the message in the run.
    index: usize,
    start: usize,
    /// Where the flags begin in the buffer.
    flags_at: usize,
    /// The bytes behind the flags, shared.
    rest: Bytes,
}

/// Bytes of buffer that a batch keeps between runs.
const KEPT_BYTES: usize = 64 * 1024;

/// The part of a batch that a member has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Got {
    /// All messages.
    All,
    /// The messages before the one with this index in the run.
    Before(usize),
}

impl ObjectBatch {
    /// Appends a message.
    pub(super) fn push(
        &mut self,
        index: usize,
        message: &Arc<ObjectMessage>,
        encoding: ObjectEncoding,
    ) {
        let form = message.form(encoding);
        let start = self.wire.len();
        let header = form.header(MessageStreamId::CONNECTION);
        self.wire.extend_from_slice(&header);
        let flags_at = self.wire.len() + form.flags_at();
        self.wire.extend_from_slice(form.body());
        self.pieces.push(ObjectPiece {
            message: Arc::clone(message),
            index,
            start,
            flags_at,
            rest: form.body().slice(form.flags_at() + FLAGS_SIZE..),
        });
        self.written_for = None;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.wire.clear();
        self.wire.shrink_to(KEPT_BYTES);
    }

    /// Writes the batch to a member. The wire keeps the rest of a message that was sent in part.
    pub(super) fn write(&mut self, wire: &Wire, recipient: Recipient) -> Got {
        let Some(first) = self.pieces.first() else {
            return Got::All;
        };
        let nothing = Got::Before(first.index);
        self.write_for(recipient);
        let sent = match wire.write_shared(&self.wire, self.pieces.len() as u64) {
            WrittenShared::All => return Got::All,
            WrittenShared::Nothing => return nothing,
            WrittenShared::Part(sent) => sent,
        };
        let whole = |piece: &&ObjectPiece| piece.start < sent;
        let Some((last, piece)) = self.pieces.iter().take_while(whole).enumerate().last() else {
            return nothing;
        };
        wire.count_messages(last as u64 + 1);
        let head = &self.wire[piece.start..piece.flags_at + FLAGS_SIZE];
        wire.keep_rest(head, piece.rest.clone(), sent - piece.start);
        match self.pieces.get(last + 1) {
            Some(next) => Got::Before(next.index),
            None => Got::All,
        }
    }

    /// Writes the member's message stream and flags into the buffer.
    fn write_for(&mut self, recipient: Recipient) {
        let (stream, flags) = (recipient.stream, recipient.flags);
        let before = self.written_for.replace((stream, flags));
        if before == Some((stream, flags)) {
            return;
        }
        for piece in &self.pieces {
            let header = piece.message.form(recipient.encoding).header(stream);
            let at = &mut self.wire[piece.start..];
            at[..header.len()].copy_from_slice(&header);
            write_flags(&mut self.wire[piece.flags_at..], flags);
        }
    }
}
