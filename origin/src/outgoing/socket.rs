//! The socket of a connection to another server, in plain TCP or within TLS.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use prometheus_client::metrics::counter::Counter;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tributary_node::tls::SecureStream;

/// A socket, the output that waits for it, and the time since when the other side takes none.
pub(super) struct Socket {
    stream: ServerStream,
    /// Bytes to be written.
    pub(super) output: BytesMut,
    /// The stream may hold bytes that it has taken.
    unflushed: bool,
    /// Whether the next look at the stream begins with reading.
    reads_first: bool,
    /// When the other side last took bytes, or had all.
    took: Instant,
    meter: Meter,
}

/// Counts the bytes of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    pub(crate) read: Counter,
    pub(crate) written: Counter,
}

/// A connection of either kind.
pub(super) enum ServerStream {
    Plain(TcpStream),
    Secure(Box<SecureStream>),
}

/// A step of the transfer.
#[derive(Debug)]
pub(super) enum Step {
    /// So many bytes were read; none at the end.
    Read(usize),
    Written,
}

/// How long the other side may take no bytes while some wait. Reason: a server that reads late gets
/// less media; one that does not read holds memory for nothing.
const STUCK: Duration = Duration::from_secs(15);

impl Socket {
    pub(super) fn new(stream: ServerStream, now: Instant, meter: Meter) -> Self {
        Self {
            stream,
            output: BytesMut::new(),
            unflushed: false,
            reads_first: true,
            took: now,
            meter,
        }
    }

    /// Reads, unless there is no buffer, or writes; whichever is possible first. It may be dropped
    /// at any time.
    ///
    /// # Errors
    /// The stream has failed.
    pub(super) async fn transfer(&mut self, mut buffer: Option<&mut [u8]>) -> io::Result<Step> {
        self.reads_first = !self.reads_first;
        poll_fn(|context| {
            if self.reads_first {
                if let Poll::Ready(step) = self.poll_read(context, buffer.as_deref_mut()) {
                    return Poll::Ready(step);
                }
                return self.poll_write(context);
            }
            if let Poll::Ready(step) = self.poll_write(context) {
                return Poll::Ready(step);
            }
            self.poll_read(context, buffer.as_deref_mut())
        })
        .await
    }

    /// Writes all output.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        while self.has_output() {
            self.transfer(None).await?;
        }
        Ok(())
    }

    /// When the other side is given up, unless it takes bytes before.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.has_output().then(|| self.took + STUCK)
    }

    /// Begins to wait for the other side, if there was no output before.
    pub(super) fn begin_output(&mut self, now: Instant) {
        if !self.has_output() {
            self.took = now;
        }
    }

    fn has_output(&self) -> bool {
        !self.output.is_empty() || self.unflushed
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: Option<&mut [u8]>,
    ) -> Poll<io::Result<Step>> {
        let Some(buffer) = buffer else {
            return Poll::Pending;
        };
        let mut buffer = ReadBuf::new(buffer);
        ready!(self.stream.reader().poll_read(context, &mut buffer))?;
        let bytes = buffer.filled().len();
        self.meter.read.inc_by(bytes as u64);
        Poll::Ready(Ok(Step::Read(bytes)))
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Step>> {
        if !self.output.is_empty() {
            let written = self.stream.writer().poll_write(context, &self.output);
            let bytes = ready!(written)?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(bytes);
            self.meter.written.inc_by(bytes as u64);
            self.unflushed = true;
        } else if self.unflushed {
            ready!(self.stream.writer().poll_flush(context))?;
            self.unflushed = false;
        } else {
            return Poll::Pending;
        }
        self.took = crate::live::now();
        Poll::Ready(Ok(Step::Written))
    }
}

impl ServerStream {
    fn reader(&mut self) -> Pin<&mut (dyn AsyncRead + Unpin)> {
        match self {
            Self::Plain(stream) => Pin::new(stream),
            Self::Secure(stream) => Pin::new(&mut **stream),
        }
    }

    fn writer(&mut self) -> Pin<&mut (dyn AsyncWrite + Unpin)> {
        match self {
            Self::Plain(stream) => Pin::new(stream),
            Self::Secure(stream) => Pin::new(&mut **stream),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{net::TcpListener, time::timeout};

    use super::*;

    #[test]
    fn a_server_that_takes_no_data_is_given_up() {
        let now = Instant::now();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = TcpStream::connect(listener.local_addr().unwrap())
                .await
                .unwrap();
            let (_far, _) = listener.accept().await.unwrap();
            let mut socket = Socket::new(ServerStream::Plain(stream), now, Meter::default());
            assert_eq!(socket.deadline(), None, "nothing waits");
            let later = now + Duration::from_secs(60);
            socket.begin_output(later);
            // More than the kernel takes.
            socket.output.resize(16 * 1024 * 1024, 0);
            assert_eq!(socket.deadline(), Some(later + STUCK));
            while timeout(Duration::from_millis(100), socket.transfer(None))
                .await
                .is_ok()
            {}
            let deadline = socket.deadline().expect("some is left");
            assert!(deadline < later + STUCK, "it took some just now");
            socket.begin_output(later);
            assert_eq!(
                socket.deadline(),
                Some(deadline),
                "the older output still waits"
            );
        });
    }
}
