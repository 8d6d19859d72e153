//! A lane on one stream after another: its opening, and the loop that carries it.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::{sync::Notify, time::timeout};
use tributary_protocol::link::{
    FrameError,
    frame::{Frame, FrameReader, MAX_BODY},
    lane_frame::{LaneAnswer, OpenLane},
};

use crate::transport::{Link, LinkError, RecvStream, SendStream, StreamError, StreamKind};

/// The driver of one end of a lane, while a stream carries it.
pub trait LaneDriver {
    /// Applies the bytes that a read has brought, all of them, and settles.
    fn receive(&self, now: Instant, pieces: &mut Vec<Bytes>) -> Result<(), FrameError>;

    /// Whether the bytes of the next read may be applied. The loop asks after each read.
    fn may_receive(&self) -> bool {
        true
    }

    /// Applies the time that has passed.
    fn handle_timeout(&self, _now: Instant) {}

    /// The next bytes for the stream.
    fn transmit(&self, now: Instant) -> Option<Bytes>;

    /// Handles the events of the state machine.
    fn settle(&self);

    /// Whether the window holds frames back.
    fn is_blocked(&self) -> bool;

    /// The latest time for the next [`Self::transmit`].
    fn due(&self) -> Option<Instant>;

    /// Notified when there is something to transmit, or [`Self::carriage`] has changed.
    fn wake(&self) -> &Notify;

    /// The state of the lane towards the stream.
    fn carriage(&self) -> Carriage;
}

/// The state of a lane towards the stream that carries it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carriage {
    /// The lane goes on.
    On,
    /// The lane is over: the stream is finished once it has the rest.
    Finish,
    /// The lane is over: the stream is reset once the rest is written.
    Reset,
    /// Another stream carries the lane, or none.
    Off,
}

/// The reason for which a stream carries its lane no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// The lane is over, and all of it is written.
    Done,
    /// The stream or its link has ended, or the lane has left the stream.
    Disconnected,
    /// The peer broke the protocol.
    Broken(FrameError),
}

/// The stream of a lane, at either end.
#[derive(Debug)]
pub struct LaneStream {
    send: SendStream,
    recv: RecvStream,
    reader: FrameReader,
}

/// The time that the accepting end has to answer a lane's opening.
const ANSWER: Duration = Duration::from_secs(5);

/// The most that one write hands to QUIC, in bytes.
const WRITE: usize = 32 * 1024;

impl LaneStream {
    /// Opens a stream for a lane.
    pub async fn open(link: &Link) -> Result<Self, LinkError> {
        Ok(Self::new(link.open_lane(StreamKind::Lane).await?))
    }

    pub(super) fn new((send, recv): (SendStream, RecvStream)) -> Self {
        Self {
            send,
            recv,
            reader: FrameReader::new(MAX_BODY),
        }
    }

    /// Sends the lane's opening; the answer, or `None` if none comes.
    pub async fn ask(&mut self, open: &OpenLane) -> Option<LaneAnswer> {
        let mut out = BytesMut::new();
        open.encode(&mut out);
        let answer = async {
            self.send.write(&mut [out.freeze()]).await.ok()?;
            let frame = self.first_frame().await.ok()??;
            LaneAnswer::decode(&frame).ok()
        };
        timeout(ANSWER, answer).await.ok()?
    }

    /// The lane's opening; `None` if the stream ends before it.
    pub(super) async fn opening(&mut self) -> Result<Option<OpenLane>, FrameError> {
        let frame = self.first_frame().await?;
        frame.map(|frame| OpenLane::decode(&frame)).transpose()
    }

    /// Sends the answer to the lane's opening.
    pub async fn answer(&mut self, answer: &LaneAnswer) -> Result<(), StreamError> {
        let mut out = BytesMut::new();
        answer.encode(&mut out);
        self.send.write(&mut [out.freeze()]).await
    }

    /// Sends an answer that opens no lane, and finishes the stream.
    pub async fn refuse(mut self, answer: &LaneAnswer) {
        // The peer of a stream that has ended asks again.
        let _ = self.answer(answer).await;
        self.send.finish();
    }

    async fn first_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let mut pieces = Vec::new();
        loop {
            if let Some(frame) = self.reader.poll_frame()? {
                return Ok(Some(frame));
            }
            if !matches!(self.recv.read(&mut pieces).await, Ok(true)) {
                return Ok(None);
            }
            for piece in pieces.drain(..) {
                self.reader.push(&piece);
            }
        }
    }

    /// Carries the lane until the stream or the lane ends. Everything that comes is applied at once:
    /// a lane does not wait for its sessions.
    pub async fn carry(self, driver: &impl LaneDriver) -> Carried {
        let Self {
            mut send,
            mut recv,
            reader,
        } = self;
        tokio::select! {
            carried = read(driver, &mut recv, reader) => carried,
            carried = write(driver, &mut send) => carried,
        }
    }
}

async fn read(
    driver: &impl LaneDriver,
    recv: &mut RecvStream,
    mut opening: FrameReader,
) -> Carried {
    let mut pieces: Vec<Bytes> = opening.take_rest().into_iter().collect();
    loop {
        if let Err(error) = driver.receive(Instant::now(), &mut pieces) {
            return Carried::Broken(error);
        }
        driver.wake().notify_one();
        let more = matches!(recv.read(&mut pieces).await, Ok(true));
        if matches!(driver.carriage(), Carriage::Finish | Carriage::Reset) {
            // The rest leaves in its own time.
            std::future::pending::<()>().await;
        }
        if !more || !driver.may_receive() {
            return Carried::Disconnected;
        }
    }
}

async fn write(driver: &impl LaneDriver, send: &mut SendStream) -> Carried {
    let mut pieces = Vec::new();
    while driver.carriage() != Carriage::Off {
        gather(driver, &mut pieces);
        if !pieces.is_empty() {
            if send.write(&mut pieces).await.is_err() {
                return Carried::Disconnected;
            }
            pieces.clear();
            continue;
        }
        send.set_in_bulk(driver.is_blocked());
        match driver.carriage() {
            Carriage::On => wait(driver).await,
            Carriage::Off => break,
            Carriage::Finish => {
                send.finish();
                return Carried::Done;
            }
            Carriage::Reset => {
                send.reset();
                return Carried::Done;
            }
        }
    }
    Carried::Disconnected
}

/// Gathers the bytes of one write.
fn gather(driver: &impl LaneDriver, pieces: &mut Vec<Bytes>) {
    let now = Instant::now();
    driver.handle_timeout(now);
    let mut size = 0;
    while size < WRITE
        && let Some(bytes) = driver.transmit(now)
    {
        size += bytes.len();
        pieces.push(bytes);
    }
    driver.settle();
}

/// Waits until the lane may have something to transmit.
async fn wait(driver: &impl LaneDriver) {
    let woken = driver.wake().notified();
    match driver.due() {
        None => woken.await,
        Some(due) => tokio::select! {
            () = woken => {}
            () = tokio::time::sleep_until(due.into()) => {}
        },
    }
}

#[cfg(test)]
mod tests;
