//! The streams of a link.

use std::{fmt, future::Future, pin::pin, sync::Arc, task::Poll};

use bytes::Bytes;
use quinn::VarInt;

use super::{LinkError, shares::Shares};

/// What a stream carries: decides its priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamKind {
    /// The control stream.
    Control,
    /// A lane.
    Lane,
    /// A feed.
    Feed,
}

impl StreamKind {
    /// Lanes and feeds share: see `shares`.
    fn priority(self) -> i32 {
        match self {
            Self::Control => 30,
            Self::Lane | Self::Feed => 10,
        }
    }
}

/// The writing end of a stream. Dropping it resets nothing: what was written is delivered.
#[derive(Debug)]
pub struct SendStream {
    stream: quinn::SendStream,
    kind: StreamKind,
    shares: Arc<Shares>,
}

/// The reading end of a stream.
#[derive(Debug)]
pub struct RecvStream {
    stream: quinn::RecvStream,
    finished: bool,
}

/// Pieces taken from a stream at once.
const READ_BATCH: usize = 16;

impl SendStream {
    pub(super) fn new(stream: quinn::SendStream, kind: StreamKind, shares: Arc<Shares>) -> Self {
        // It fails for a stream that is closed, which the first write tells.
        let _ = stream.set_priority(kind.priority());
        Self {
            stream,
            kind,
            shares,
        }
    }

    /// Writes all of `pieces`. Not cancel safe: after a cancelled write the stream is useless.
    pub async fn write(&mut self, pieces: &mut [Bytes]) -> Result<(), StreamError> {
        let bytes = pieces.iter().map(Bytes::len).sum();
        match self.kind {
            StreamKind::Control => Ok(self.stream.write_all_chunks(pieces).await?),
            StreamKind::Lane => {
                self.shares.lane(bytes).await;
                Ok(self.stream.write_all_chunks(pieces).await?)
            }
            StreamKind::Feed => self.write_feed(pieces, bytes).await,
        }
    }

    async fn write_feed(&mut self, pieces: &mut [Bytes], bytes: usize) -> Result<(), StreamError> {
        let mut write = pin!(self.stream.write_all_chunks(pieces));
        let first = std::future::poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))).await;
        match first {
            Poll::Ready(done) => done?,
            Poll::Pending => {
                let _wait = self.shares.feed_waits();
                write.await?;
                self.shares.feed(bytes);
            }
        }
        Ok(())
    }

    /// Says that nothing more comes.
    pub fn finish(&mut self) {
        // It fails only for a stream that is closed already.
        let _ = self.stream.finish();
    }

    /// Gives the stream up: what the peer has not read is discarded.
    pub fn reset(&mut self) {
        let _ = self.stream.reset(VarInt::from_u32(0));
    }
}

impl RecvStream {
    pub(super) fn new(stream: quinn::RecvStream) -> Self {
        Self {
            stream,
            finished: false,
        }
    }

    /// Whether the peer finished the stream and all of it was read.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// The next bytes, in order, appended to `pieces`; `false` at the stream's end. Cancel safe.
    pub async fn read(&mut self, pieces: &mut Vec<Bytes>) -> Result<bool, StreamError> {
        let mut batch: [Bytes; READ_BATCH] = std::array::from_fn(|_| Bytes::new());
        let Some(count) = self.stream.read_chunks(&mut batch).await? else {
            self.finished = true;
            return Ok(false);
        };
        pieces.extend(batch.into_iter().take(count));
        Ok(true)
    }

    /// Asks the peer to stop sending.
    pub fn stop(&mut self) {
        let _ = self.stream.stop(VarInt::from_u32(0));
    }
}

/// A stream ended other than by its finish.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer gave it up, or stopped reading it.
    Reset,
    /// The link is gone.
    Link(LinkError),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset => f.write_str("stream reset"),
            Self::Link(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for StreamError {}

impl From<quinn::WriteError> for StreamError {
    fn from(error: quinn::WriteError) -> Self {
        match error {
            quinn::WriteError::ConnectionLost(error) => Self::Link(error.into()),
            _ => Self::Reset,
        }
    }
}

impl From<quinn::ReadError> for StreamError {
    fn from(error: quinn::ReadError) -> Self {
        match error {
            quinn::ReadError::ConnectionLost(error) => Self::Link(error.into()),
            _ => Self::Reset,
        }
    }
}
