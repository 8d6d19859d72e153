//! A lane's way from link to link.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tributary_node::{
    queue,
    transport::{Link, RecvStream, SendStream, StreamKind},
};
use tributary_protocol::link::{
    frame::{FrameReader, MAX_BODY},
    lane_frame::{LaneAnswer, OpenLane},
};

use super::{Lane, LaneEnd, Phase};
use crate::link::handle::FromOrigin;

/// How a lane's stream came to its end.
enum Outcome {
    /// The link is gone, or the stream; the lane may go on with another.
    Disconnected,
    /// The origin does not know the lane any more.
    Unknown,
    /// The origin takes no lane now.
    Refused,
    /// The origin may open the lane after this time.
    Wait(Duration),
    /// The lane was ended here and the origin has everything.
    Done,
}

/// How long the origin may take to answer a lane's opening.
const ANSWER: Duration = Duration::from_secs(5);

/// The most that one write hands to QUIC, in bytes.
const WRITE: usize = 32 * 1024;

impl Lane {
    /// Carries the lane over its origin's links until it ends.
    pub(in crate::link) async fn run(&self) -> LaneEnd {
        while self.goes_on() {
            let Some(link) = self.link().await else {
                break;
            };
            let outcome = self.on_link(&link).await;
            self.state.borrow_mut().disconnected();
            match outcome {
                Outcome::Disconnected if self.has_closed() => break,
                Outcome::Disconnected if link.is_closed() => self.origin.link_closed().await,
                Outcome::Disconnected => tokio::time::sleep(Duration::from_millis(50)).await,
                Outcome::Unknown => return LaneEnd::Unknown,
                Outcome::Refused => self.end_all(|| FromOrigin::NoOrigin),
                Outcome::Wait(time) => {
                    tokio::time::sleep(time).await;
                    // By then the group's home may be back.
                    return LaneEnd::PlaceAgain;
                }
                Outcome::Done => break,
            }
        }
        LaneEnd::Over
    }

    /// Whether the lane needs a link. A lane that closes informs its origin, if that knows of it.
    fn goes_on(&self) -> bool {
        match self.phase.get() {
            Phase::Open => true,
            Phase::Closing => self.opened.get(),
            Phase::Dead => false,
        }
    }

    /// Whether the lane closes and its origin has everything.
    fn has_closed(&self) -> bool {
        self.phase.get() == Phase::Closing && self.is_settled()
    }

    /// The link to the lane's origin, once there is one; `None` if the lane ends before.
    async fn link(&self) -> Option<Link> {
        let mut links = self.origin.links();
        loop {
            if !self.goes_on() {
                return None;
            }
            if let Some(link) = links.borrow_and_update().clone() {
                return Some(link);
            }
            tokio::select! {
                changed = links.changed() => changed.ok()?,
                () = self.wake.notified() => {}
            }
        }
    }

    async fn on_link(&self, link: &Link) -> Outcome {
        let Ok((mut send, mut recv)) = link.open_lane(StreamKind::Lane).await else {
            return Outcome::Disconnected;
        };
        let mut reader = FrameReader::new(MAX_BODY);
        let opening = self.open_stream(&mut send, &mut recv, &mut reader);
        match tokio::time::timeout(ANSWER, opening).await {
            Ok(Some(LaneAnswer::Open { received })) => {
                self.opened.set(true);
                if let Err(error) = self.state.borrow_mut().connected(received) {
                    tracing::error!(group = %self.group(), %error, "lane cannot be resumed");
                    return Outcome::Unknown;
                }
            }
            Ok(Some(LaneAnswer::Unknown)) => return Outcome::Unknown,
            Ok(Some(LaneAnswer::Wait { retry_ms })) => {
                return Outcome::Wait(Duration::from_millis(u64::from(retry_ms.min(1000))));
            }
            Ok(Some(_)) => return Outcome::Refused,
            Ok(None) | Err(_) => return Outcome::Disconnected,
        }
        tokio::select! {
            outcome = self.read(link, &mut recv, reader) => outcome,
            outcome = self.write(&mut send) => outcome,
        }
    }

    async fn open_stream(
        &self,
        send: &mut SendStream,
        recv: &mut RecvStream,
        reader: &mut FrameReader,
    ) -> Option<LaneAnswer> {
        let mut out = BytesMut::new();
        self.open_frame().encode(&mut out);
        send.write(&mut [out.freeze()]).await.ok()?;
        let mut pieces = Vec::new();
        loop {
            match reader.poll_frame() {
                Ok(Some(frame)) => return LaneAnswer::decode(&frame).ok(),
                Ok(None) => {}
                Err(_) => return None,
            }
            if !recv.read(&mut pieces).await.ok()? {
                return None;
            }
            for piece in pieces.drain(..) {
                reader.push(&piece);
            }
        }
    }

    fn open_frame(&self) -> OpenLane {
        let state = self.state.borrow();
        OpenLane {
            lane: self.id(),
            group: self.group().clone(),
            home: self.opening.home.clone(),
            resume: state.has_history().then(|| state.received()),
            only_if_living: self.opening.only_if_living,
        }
    }

    /// Takes in everything that comes, at once: a session whose inbox is full is closed.
    async fn read(&self, link: &Link, recv: &mut RecvStream, mut opening: FrameReader) -> Outcome {
        let mut pieces: Vec<Bytes> = opening.take_rest().into_iter().collect();
        loop {
            {
                // A worker whose sessions get several items wakes once.
                let _together = queue::gather();
                for piece in pieces.drain(..) {
                    let result = self.state.borrow_mut().handle_bytes(Instant::now(), &piece);
                    if let Err(error) = result {
                        self.shared.protocol_error(link, &error);
                        return Outcome::Disconnected;
                    }
                }
                self.settle();
            }
            self.wake.notify_one();
            match recv.read(&mut pieces).await {
                Ok(true) => {}
                Ok(false) | Err(_) => return Outcome::Disconnected,
            }
        }
    }

    async fn write(&self, send: &mut SendStream) -> Outcome {
        let mut pieces: Vec<Bytes> = Vec::new();
        loop {
            let mut size = 0;
            while size < WRITE
                && let Some(bytes) = self.state.borrow_mut().poll_transmit(Instant::now())
            {
                size += bytes.len();
                pieces.push(bytes);
            }
            self.settle();
            if !pieces.is_empty() {
                if send.write(&mut pieces).await.is_err() {
                    return Outcome::Disconnected;
                }
                pieces.clear();
                continue;
            }
            send.set_in_bulk(self.state.borrow().is_blocked());
            match self.phase.get() {
                Phase::Open => {}
                Phase::Closing if !self.is_settled() => {}
                Phase::Closing => {
                    send.finish();
                    return Outcome::Done;
                }
                Phase::Dead => {
                    send.reset();
                    return Outcome::Done;
                }
            }
            let due = self.state.borrow().poll_timeout();
            match due {
                None => self.wake.notified().await,
                Some(due) => tokio::select! {
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep_until(due.into()) => {}
                },
            }
        }
    }
}
