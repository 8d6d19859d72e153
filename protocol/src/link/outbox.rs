//! Numbering, acknowledgement and retention of a lane's frames, by which the lane outlives a lost
//! link.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::{FrameError, varint};

mod parcel;

/// One direction of a lane at its sender.
///
/// Frames are encoded into batches. Each connection sends a batch at most once. The outbox keeps a
/// batch until the receiver has acknowledged its last frame.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Batches not acknowledged, oldest first; this connection has sent those before `unsent`.
    batches: VecDeque<Batch>,
    unsent: usize,
    unnumbered: BytesMut,
    /// The open batch.
    filling: BytesMut,
    filling_frames: u64,
    /// Numbered frames encoded so far.
    numbered: u64,
    acknowledged: u64,
    retained: usize,
    in_flight: usize,
}

#[derive(Debug)]
struct Batch {
    bytes: Bytes,
    frames: u64,
    /// The number of the first frame after this batch.
    end: u64,
}

/// The size at which a batch is closed, in bytes. Reason: QUIC scans its send buffer for each
/// segment, so that many small writes cost more than their bytes.
pub const BATCH: usize = 16 * 1024;

/// The sent and unacknowledged bytes at which a lane waits for its peer. Reason: lanes share the
/// link with each other and with feeds, and bytes in QUIC's buffers can no longer give way.
pub const WINDOW: usize = 128 * 1024;

impl Outbox {
    /// Appends one numbered frame, which `write` encodes.
    pub fn append(&mut self, write: impl FnOnce(&mut BytesMut)) {
        write(&mut self.filling);
        self.numbered += 1;
        self.filling_frames += 1;
        if self.filling.len() >= BATCH {
            self.close_batch();
        }
    }

    /// Appends one frame without a number, an acknowledgement or credit, which `write` encodes. It
    /// does not wait for the window, since two lanes with full windows would wait for each other;
    /// it is not kept.
    pub fn append_unnumbered(&mut self, write: impl FnOnce(&mut BytesMut)) {
        write(&mut self.unnumbered);
    }

    /// The next bytes for the stream, unless the window holds them back.
    pub fn poll_transmit(&mut self) -> Option<Bytes> {
        if let Some(bytes) = self.poll_unnumbered() {
            return Some(bytes);
        }
        if self.in_flight >= WINDOW {
            return None;
        }
        if self.unsent == self.batches.len() {
            self.close_batch();
        }
        let batch = self.batches.get(self.unsent)?;
        let bytes = batch.bytes.clone();
        self.in_flight += bytes.len();
        self.unsent += 1;
        Some(bytes)
    }

    /// Whether frames without a number wait.
    pub fn has_unnumbered(&self) -> bool {
        !self.unnumbered.is_empty()
    }

    /// The next bytes of frames without a number.
    pub fn poll_unnumbered(&mut self) -> Option<Bytes> {
        let waits = !self.unnumbered.is_empty();
        waits.then(|| std::mem::take(&mut self.unnumbered).freeze())
    }

    /// Whether bytes for [`Self::poll_transmit`] wait only for the peer's acknowledgement.
    pub fn is_blocked(&self) -> bool {
        self.in_flight >= WINDOW && (self.unsent < self.batches.len() || !self.filling.is_empty())
    }

    /// Whether frames are ready that have not left.
    pub fn has_unsent(&self) -> bool {
        self.unsent < self.batches.len() || !self.filling.is_empty() || !self.unnumbered.is_empty()
    }

    /// Drops frames: the peer has received this many numbered ones in all.
    pub fn acknowledge(&mut self, received: u64) -> Result<(), FrameError> {
        if received > self.numbered - self.filling_frames {
            return Err(FrameError::Number);
        }
        self.acknowledged = self.acknowledged.max(received);
        while let Some(batch) = self.batches.front() {
            if self.unsent == 0 || batch.end > self.acknowledged {
                break;
            }
            self.drop_front();
        }
        Ok(())
    }

    /// Resumes the lane on a new connection, whose peer has received this many numbered frames.
    pub fn resume(&mut self, received: u64) -> Result<(), FrameError> {
        if received < self.acknowledged {
            return Err(FrameError::Number);
        }
        self.close_batch();
        // The lane encodes acknowledgements and credit anew.
        self.unnumbered = BytesMut::new();
        // The peer has these frames, even if this side never learned that they left.
        self.unsent = self.batches.len();
        self.acknowledge(received)?;
        self.unsent = 0;
        self.in_flight = 0;
        self.cut_front(received)
    }

    /// The bytes of numbered frames that have not been passed to the stream.
    pub fn unsent(&self) -> usize {
        self.retained() - self.in_flight
    }

    /// The bytes kept, sent or not.
    pub fn retained(&self) -> usize {
        self.retained + self.filling.len()
    }

    /// Numbered frames appended so far.
    pub fn numbered(&self) -> u64 {
        self.numbered
    }

    fn close_batch(&mut self) {
        if self.filling.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.filling).freeze();
        let frames = std::mem::take(&mut self.filling_frames);
        self.retained += bytes.len();
        self.batches.push_back(Batch {
            bytes,
            frames,
            end: self.numbered,
        });
    }

    fn drop_front(&mut self) {
        if let Some(batch) = self.batches.pop_front() {
            self.retained -= batch.bytes.len();
            self.in_flight = self.in_flight.saturating_sub(batch.bytes.len());
            self.unsent = self.unsent.saturating_sub(1);
        }
        if self.batches.is_empty() {
            self.batches = VecDeque::new();
        }
    }

    /// Drops from the first batch the frames that the peer has received.
    fn cut_front(&mut self, received: u64) -> Result<(), FrameError> {
        let Some(front) = self.batches.front_mut() else {
            return Ok(());
        };
        let mut offset = 0;
        for _ in (front.end - front.frames)..received {
            offset += frame_size(&front.bytes[offset..])?;
        }
        self.retained -= offset;
        front.frames = front.end - received.max(front.end - front.frames);
        front.bytes = front.bytes.slice(offset..);
        Ok(())
    }
}

/// The whole size of the frame at the start of `bytes`.
fn frame_size(bytes: &[u8]) -> Result<usize, FrameError> {
    let (_, kind_size) = varint::peek(bytes).ok_or(FrameError::Truncated)?;
    let (length, length_size) = varint::peek(&bytes[kind_size..]).ok_or(FrameError::Truncated)?;
    let size =
        kind_size + length_size + usize::try_from(length).map_err(|_| FrameError::TooLong)?;
    if size > bytes.len() {
        return Err(FrameError::Truncated);
    }
    Ok(size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        SessionId,
        link::{CloseReason, FromSession, frame::FrameReader, lane_frame::ToOrigin},
    };

    fn close(n: u64) -> ToOrigin {
        ToOrigin::Session {
            session: SessionId(n),
            event: FromSession::Close(CloseReason::Client),
        }
    }

    fn append(outbox: &mut Outbox, frame: &ToOrigin) {
        match frame {
            ToOrigin::Ack(_) => outbox.append_unnumbered(|out| frame.encode(out)),
            _ => outbox.append(|out| frame.encode(out)),
        }
    }

    fn sent(outbox: &mut Outbox) -> Vec<ToOrigin> {
        let mut reader = FrameReader::new(16_384);
        while let Some(bytes) = outbox.poll_transmit() {
            reader.push(&bytes);
        }
        std::iter::from_fn(|| reader.poll_frame().unwrap())
            .map(|frame| ToOrigin::decode(&frame).unwrap())
            .collect()
    }

    #[test]
    fn a_resumed_lane_repeats_exactly_what_the_peer_lacks() {
        for received in 2..=5 {
            let mut outbox = Outbox::default();
            for n in 0..3 {
                append(&mut outbox, &close(n));
            }
            append(&mut outbox, &ToOrigin::Ack(9));
            assert_eq!(sent(&mut outbox).len(), 4);
            outbox.acknowledge(2).unwrap();
            append(&mut outbox, &close(3));
            append(&mut outbox, &close(4));
            assert_eq!(sent(&mut outbox).len(), 2);
            outbox.resume(received).unwrap();
            let again: Vec<_> = sent(&mut outbox)
                .into_iter()
                .filter(|frame| !matches!(frame, ToOrigin::Ack(_)))
                .collect();
            assert_eq!(again, (received..5).map(close).collect::<Vec<_>>());
            outbox.acknowledge(5).unwrap();
            assert_eq!(outbox.retained(), 0, "received {received}");
        }
    }

    #[test]
    fn claims_about_frames_never_sent_are_refused() {
        let mut outbox = Outbox::default();
        append(&mut outbox, &close(0));
        assert_eq!(outbox.acknowledge(1), Err(FrameError::Number));
        sent(&mut outbox);
        assert_eq!(outbox.acknowledge(2), Err(FrameError::Number));
        outbox.acknowledge(1).unwrap();
        assert_eq!(outbox.resume(0), Err(FrameError::Number));
    }

    #[test]
    fn unnumbered_frames_are_not_kept() {
        let mut outbox = Outbox::default();
        append(&mut outbox, &ToOrigin::Ack(1));
        assert_eq!(sent(&mut outbox).len(), 1);
        assert_eq!(outbox.retained(), 0);
    }

    #[test]
    fn an_acknowledgement_passes_a_full_window() {
        let mut outbox = Outbox::default();
        while !outbox.is_blocked() {
            append(&mut outbox, &close(0));
            while outbox.poll_transmit().is_some() {}
        }
        append(&mut outbox, &ToOrigin::Ack(1));
        assert_eq!(sent(&mut outbox), [ToOrigin::Ack(1)]);
    }

    #[test]
    fn the_window_holds_back_until_the_peer_acknowledges() {
        let mut outbox = Outbox::default();
        let mut count = 0;
        while !outbox.is_blocked() {
            append(&mut outbox, &close(count));
            count += 1;
            while outbox.poll_transmit().is_some() {}
            assert!(count < 1_000_000);
        }
        assert!(outbox.in_flight >= WINDOW && outbox.in_flight < WINDOW + BATCH);
        outbox.acknowledge(count - 1).unwrap();
        assert!(outbox.poll_transmit().is_some());
    }
}
