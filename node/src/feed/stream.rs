//! The stream of one feed, at its receiving end.

use bytes::Bytes;
use tributary_protocol::link::{
    FrameError,
    feed::{Feed, FeedReader},
};

use crate::transport::RecvStream;

/// The frames of one feed.
#[derive(Debug)]
pub struct FeedStream {
    recv: RecvStream,
    reader: FeedReader,
    pieces: Vec<Bytes>,
}

impl FeedStream {
    /// A feed whose messages have at most `max_message` bytes.
    pub fn new(recv: RecvStream, max_message: usize) -> Self {
        Self {
            recv,
            reader: FeedReader::new(max_message),
            pieces: Vec::new(),
        }
    }

    /// The next frame; `None` once the stream has ended. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Feed>, FrameError> {
        loop {
            if let Some(frame) = self.reader.poll_frame()? {
                return Ok(Some(frame));
            }
            if !matches!(self.recv.read(&mut self.pieces).await, Ok(true)) {
                return Ok(None);
            }
            for piece in self.pieces.drain(..) {
                self.reader.push(&piece);
            }
        }
    }

    /// Whether the sender has finished the feed and all of it was read.
    pub fn is_finished(&self) -> bool {
        self.recv.is_finished()
    }

    /// Asks the sender to stop.
    pub fn stop(&mut self) {
        self.recv.stop();
    }
}
