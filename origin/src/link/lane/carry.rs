//! The stream that carries a lane.

use std::{rc::Rc, time::Instant};

use bytes::Bytes;
use tokio::sync::Notify;
use tributary_node::{
    link::{Carriage, Carried, LaneDriver, LaneStream},
    transport::Link,
};
use tributary_protocol::link::{FrameError, lane_frame::LaneAnswer};

use super::Lane;

/// The link that carries a lane.
pub(in crate::link) struct Carrier {
    link: Link,
    is_current: Box<dyn Fn() -> bool>,
}

/// A lane on one of its streams.
struct OnStream {
    lane: Rc<Lane>,
    carrier: Carrier,
    /// The number of the stream among those of the lane.
    turn: u64,
}

impl Carrier {
    /// `is_current` returns whether the lane may apply bytes of the link: no newer link of the same
    /// edge process is up.
    pub(in crate::link) fn new(link: Link, is_current: impl Fn() -> bool + 'static) -> Self {
        Self {
            link,
            is_current: Box::new(is_current),
        }
    }
}

impl Lane {
    /// Carries the lane over one stream until the stream or the lane ends. `is_restored` lets the edge
    /// restore the lane from its first frame on.
    pub(in crate::link) async fn carry(
        self: Rc<Self>,
        carrier: Carrier,
        (received_by_edge, is_restored): (u64, bool),
        mut stream: LaneStream,
    ) {
        // A stream that carried it before is over, even if that is not known here yet.
        self.disconnect(Instant::now());
        self.uncarried.set(None);
        let turn = self.turn.get();
        let received = self.state.borrow().received();
        let connected = self
            .state
            .borrow_mut()
            .connected(Instant::now(), received_by_edge);
        if let Err(error) = connected {
            return self.shared.protocol_error(&carrier.link, &error);
        }
        let answer = match is_restored {
            true => LaneAnswer::Restore,
            false => LaneAnswer::Open { received },
        };
        if stream.answer(&answer).await.is_ok() {
            let on_stream = OnStream {
                lane: Rc::clone(&self),
                carrier,
                turn,
            };
            if let Carried::Broken(error) = stream.carry(&on_stream).await {
                let link = &on_stream.carrier.link;
                self.shared.protocol_error(link, &error);
            }
        }
        if self.turn.get() == turn {
            self.disconnect(Instant::now());
        }
    }
}

impl LaneDriver for OnStream {
    fn receive(&self, now: Instant, pieces: &mut Vec<Bytes>) -> Result<(), FrameError> {
        for piece in pieces.drain(..) {
            self.lane.state.borrow_mut().handle_bytes(now, &piece)?;
        }
        self.settle();
        Ok(())
    }

    fn may_receive(&self) -> bool {
        (self.carrier.is_current)() && self.lane.turn.get() == self.turn
    }

    fn handle_timeout(&self, now: Instant) {
        self.lane.state.borrow_mut().handle_timeout(now);
    }

    fn transmit(&self, now: Instant) -> Option<Bytes> {
        self.lane.state.borrow_mut().poll_transmit(now)
    }

    fn settle(&self) {
        self.lane.settle();
        self.lane.end_if_moved();
    }

    fn is_blocked(&self) -> bool {
        self.lane.state.borrow().is_blocked()
    }

    fn due(&self) -> Option<Instant> {
        self.lane.state.borrow().poll_timeout()
    }

    fn wake(&self) -> &Notify {
        &self.lane.wake
    }

    fn carriage(&self) -> Carriage {
        if self.lane.turn.get() != self.turn {
            Carriage::Off
        } else if self.lane.over.get() {
            Carriage::Finish
        } else {
            Carriage::On
        }
    }
}
