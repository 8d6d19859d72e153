//! The task of a lane: it carries the lane over one link after another.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;
use tributary_node::{
    link::{Carriage, Carried, LaneDriver, LaneStream},
    queue,
    transport::Link,
};
use tributary_protocol::link::{
    FrameError,
    lane_frame::{LaneAnswer, OpenLane},
};

use super::{Lane, LaneEnd, Phase};
use crate::link::handle::FromOrigin;

/// The end of a lane's stream.
enum LaneOutcome {
    /// The link or the stream is gone; the lane may go on with another.
    Disconnected,
    /// The origin does not know the lane any more.
    Unknown,
    /// The origin takes no lane now.
    Refused,
    /// The origin may open the lane after this time.
    Wait(Duration),
    /// The lane was ended here, and the origin has acknowledged everything.
    Done,
}

impl LaneDriver for Lane {
    fn receive(&self, now: Instant, pieces: &mut Vec<Bytes>) -> Result<(), FrameError> {
        // A worker whose sessions get several items wakes once.
        let _together = queue::gather();
        for piece in pieces.drain(..) {
            self.state.borrow_mut().handle_bytes(now, &piece)?;
        }
        self.settle();
        Ok(())
    }

    fn transmit(&self, now: Instant) -> Option<Bytes> {
        self.state.borrow_mut().poll_transmit(now)
    }

    fn settle(&self) {
        Self::settle(self);
    }

    fn is_blocked(&self) -> bool {
        self.state.borrow().is_blocked()
    }

    fn due(&self) -> Option<Instant> {
        self.state.borrow().poll_timeout()
    }

    fn wake(&self) -> &Notify {
        &self.wake
    }

    fn carriage(&self) -> Carriage {
        match self.phase.get() {
            Phase::Open if self.goes_on_at().is_none() => Carriage::On,
            Phase::Open if self.state.borrow().owes_acknowledgement() => Carriage::On,
            Phase::Open => Carriage::Finish,
            Phase::Closing if !self.is_settled() => Carriage::On,
            Phase::Closing => Carriage::Finish,
            Phase::Dead => Carriage::Reset,
        }
    }
}

impl Lane {
    /// Carries the lane over its origin's links until it ends. While lanes stand still it is on no
    /// stream: one that it has left goes on over another of the same link, as after a loss.
    pub(in crate::link) async fn run(&self) -> LaneEnd {
        while self.goes_on() {
            let Some(link) = self.link().await else {
                break;
            };
            let outcome = tokio::select! {
                biased;
                () = self.is_to_leave() => LaneOutcome::Disconnected,
                outcome = self.on_link(&link) => outcome,
            };
            self.state.borrow_mut().disconnected();
            self.is_carried.set(false);
            self.shared.progress.notify_waiters();
            if let Some(origin) = self.goes_on_at() {
                return LaneEnd::HandedOver(origin);
            }
            match outcome {
                LaneOutcome::Disconnected if self.has_closed() => break,
                LaneOutcome::Disconnected if !self.shared.stages.is_running() => {}
                LaneOutcome::Disconnected if link.is_closed() => self.origin.link_closed().await,
                LaneOutcome::Disconnected => tokio::time::sleep(Duration::from_millis(50)).await,
                LaneOutcome::Unknown => return LaneEnd::Unknown,
                LaneOutcome::Refused => self.end_all(|| FromOrigin::NoOrigin),
                LaneOutcome::Wait(time) if self.is_to_restore() => tokio::time::sleep(time).await,
                LaneOutcome::Wait(time) => {
                    tokio::time::sleep(time).await;
                    // The group's home may be back by then.
                    return LaneEnd::PlaceAgain;
                }
                LaneOutcome::Done => break,
            }
        }
        LaneEnd::Over
    }

    /// Whether the lane needs a link. A lane that closes needs one only if its origin knows the
    /// lane.
    fn goes_on(&self) -> bool {
        match self.phase.get() {
            Phase::Open => true,
            Phase::Closing => self.opened.get(),
            Phase::Dead => false,
        }
    }

    /// Whether the lane closes and its origin has acknowledged everything.
    fn has_closed(&self) -> bool {
        self.phase.get() == Phase::Closing && self.is_settled()
    }

    /// Waits for a link to the lane's origin; `None` if the lane ends before.
    async fn link(&self) -> Option<Link> {
        let mut links = self.origin.links();
        loop {
            if !self.goes_on() {
                return None;
            }
            let is_running = self.shared.stages.is_running();
            if is_running && let Some(link) = links.borrow_and_update().clone() {
                // It counts as carried before the wait for a stream.
                self.is_carried.set(true);
                return Some(link);
            }
            tokio::select! {
                () = self.shared.stages.runs(), if !is_running => {}
                changed = links.changed() => changed.ok()?,
                () = self.wake.notified() => {}
            }
        }
    }

    /// Waits until the lanes are to stand still. A lane that is over sends its rest all the same.
    async fn is_to_leave(&self) {
        self.shared.stages.stops().await;
        if self.phase.get() == Phase::Dead {
            std::future::pending::<()>().await;
        }
    }

    async fn on_link(&self, link: &Link) -> LaneOutcome {
        let Ok(mut stream) = LaneStream::open(link).await else {
            return LaneOutcome::Disconnected;
        };
        match stream.ask(&self.open_frame()).await {
            Some(LaneAnswer::Open { received }) => {
                self.opened.set(true);
                if let Err(error) = self.state.borrow_mut().connected(received) {
                    tracing::error!(group = %self.group(), %error, "lane cannot be resumed");
                    return LaneOutcome::Unknown;
                }
            }
            Some(LaneAnswer::Restore) if self.opening.restores => {
                self.opened.set(true);
                if let Err(error) = self.state.borrow_mut().connected(0) {
                    tracing::error!(group = %self.group(), %error, "lane cannot be restored");
                    return LaneOutcome::Unknown;
                }
            }
            Some(LaneAnswer::Unknown) => return LaneOutcome::Unknown,
            Some(LaneAnswer::Wait { retry_ms }) => {
                return LaneOutcome::Wait(Duration::from_millis(u64::from(retry_ms.min(1000))));
            }
            Some(_) => return LaneOutcome::Refused,
            None => return LaneOutcome::Disconnected,
        }
        match stream.carry(self).await {
            Carried::Done => LaneOutcome::Done,
            Carried::Disconnected => LaneOutcome::Disconnected,
            Carried::Broken(error) => {
                self.shared.protocol_error(link, &error);
                LaneOutcome::Disconnected
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
            restore: self.is_to_restore(),
        }
    }
}
