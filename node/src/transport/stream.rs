//! The streams of a link.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::Arc,
    task::Poll,
};

use bytes::Bytes;
use quinn::VarInt;

use super::{
    LinkError,
    shares::{Bulk, Shares},
};

/// The content of a stream, which decides its priority.
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
    /// The priority, which is strict; `shares` divides the link between lanes and feeds.
    fn priority(self) -> i32 {
        match self {
            Self::Control => 30,
            Self::Lane => 20,
            Self::Feed => 10,
        }
    }
}

/// The priority of a lane in bulk.
const IN_BULK: i32 = 5;

/// The writing end of a stream. A drop does not reset it: written bytes are delivered.
#[derive(Debug)]
pub struct SendStream {
    stream: quinn::SendStream,
    kind: StreamKind,
    shares: Arc<Shares>,
    bulk: Option<Bulk>,
}

/// The reading end of a stream.
#[derive(Debug)]
pub struct RecvStream {
    stream: quinn::RecvStream,
    finished: bool,
}

/// The pieces read from a stream at once.
const READ_BATCH: usize = 16;

impl SendStream {
    pub(super) fn new(stream: quinn::SendStream, kind: StreamKind, shares: Arc<Shares>) -> Self {
        // It fails for a closed stream, and so does the first write.
        let _ = stream.set_priority(kind.priority());
        Self {
            stream,
            kind,
            shares,
            bulk: None,
        }
    }

    /// Writes all of `pieces`. Not cancel safe: after a cancelled write the stream is unusable.
    pub async fn write(&mut self, mut pieces: &mut [Bytes]) -> Result<(), StreamError> {
        let shares = Arc::clone(&self.shares);
        let _wanting = (self.kind == StreamKind::Feed).then(|| shares.wanting());
        while !pieces.is_empty() {
            if self.kind == StreamKind::Feed {
                shares.feed(pieces[0].len()).await;
            }
            let first = {
                let mut write = pin!(self.stream.write_chunks(&mut pieces[..1]));
                poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))).await
            };
            let written = match first {
                Poll::Ready(written) => written?,
                Poll::Pending => {
                    self.set_in_bulk(true);
                    self.stream.write_chunks(&mut pieces[..1]).await?
                }
            };
            if self.kind == StreamKind::Lane {
                shares.lane(written.bytes);
            }
            pieces = &mut pieces[written.chunks..];
        }
        Ok(())
    }

    /// Sets whether a lane is in bulk: a lane in bulk gives way to feeds.
    pub fn set_in_bulk(&mut self, in_bulk: bool) {
        if self.kind != StreamKind::Lane || in_bulk == self.bulk.is_some() {
            return;
        }
        self.bulk = in_bulk.then(|| self.shares.bulk());
        let priority = if in_bulk {
            IN_BULK
        } else {
            self.kind.priority()
        };
        // It fails for a closed stream, and so does the next write.
        let _ = self.stream.set_priority(priority);
    }

    /// Ends the stream after the bytes written so far.
    pub fn finish(&mut self) {
        // It fails only for a closed stream.
        let _ = self.stream.finish();
    }

    /// Resets the stream: bytes that the peer has not read are discarded.
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

    /// Whether the peer has finished the stream and all of it was read.
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

/// The reason for which a stream has ended without its finish.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError {
    /// The peer has reset the stream, or has stopped reading it.
    Reset,
    /// The link is lost.
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
