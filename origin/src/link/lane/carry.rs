//! The stream that carries a lane.

use std::{rc::Rc, time::Instant};

use bytes::{Bytes, BytesMut};
use tributary_node::transport::{Link, RecvStream, SendStream};
use tributary_protocol::link::{frame::FrameReader, lane_frame::LaneAnswer};

use super::Lane;

/// What one write hands to QUIC at most, in bytes.
const WRITE: usize = 32 * 1024;

/// The link that carries a lane.
pub(in crate::link) struct Carrier {
    link: Link,
    is_current: Box<dyn Fn() -> bool>,
}

impl Carrier {
    /// `is_current` says whether the lane may apply what the link has brought: no newer link of the
    /// same edge process is up.
    pub(in crate::link) fn new(link: Link, is_current: impl Fn() -> bool + 'static) -> Self {
        Self {
            link,
            is_current: Box::new(is_current),
        }
    }
}

impl Lane {
    /// Carries the lane over one stream until that or the lane ends.
    pub(in crate::link) async fn carry(
        self: Rc<Self>,
        carrier: &Carrier,
        received_by_edge: u64,
        (mut send, mut recv): (SendStream, RecvStream),
        reader: FrameReader,
    ) {
        // A stream that carried it before is over, even if that is not known here yet.
        self.disconnect(Instant::now());
        self.uncarried.set(None);
        let turn = self.turn.get();
        let mut answer = BytesMut::new();
        let received = self.state.borrow().received();
        LaneAnswer::Open { received }.encode(&mut answer);
        let connected = self
            .state
            .borrow_mut()
            .connected(Instant::now(), received_by_edge);
        if let Err(error) = connected {
            return self.shared.protocol_error(&carrier.link, &error);
        }
        if send.write(&mut [answer.freeze()]).await.is_ok() {
            tokio::select! {
                () = self.read(carrier, turn, &mut recv, reader) => {}
                () = self.write(turn, &mut send) => {}
            }
        }
        if self.turn.get() == turn {
            self.disconnect(Instant::now());
        }
    }

    async fn read(
        self: &Rc<Self>,
        carrier: &Carrier,
        turn: u64,
        recv: &mut RecvStream,
        mut opening: FrameReader,
    ) {
        let mut pieces: Vec<Bytes> = opening.take_rest().into_iter().collect();
        loop {
            for piece in pieces.drain(..) {
                let result = self.state.borrow_mut().handle_bytes(Instant::now(), &piece);
                if let Err(error) = result {
                    return self.shared.protocol_error(&carrier.link, &error);
                }
            }
            self.settle();
            self.wake.notify_one();
            let more = matches!(recv.read(&mut pieces).await, Ok(true));
            if self.over.get() {
                // The rest leaves in its own time.
                std::future::pending::<()>().await;
            }
            if !more || !(carrier.is_current)() || self.turn.get() != turn {
                return;
            }
        }
    }

    async fn write(self: &Rc<Self>, turn: u64, send: &mut SendStream) {
        let mut pieces: Vec<Bytes> = Vec::new();
        while self.turn.get() == turn {
            let now = Instant::now();
            self.state.borrow_mut().handle_timeout(now);
            let mut size = 0;
            while size < WRITE
                && let Some(bytes) = self.state.borrow_mut().poll_transmit(now)
            {
                size += bytes.len();
                pieces.push(bytes);
            }
            self.settle();
            if !pieces.is_empty() {
                if send.write(&mut pieces).await.is_err() {
                    return;
                }
                pieces.clear();
                continue;
            }
            send.set_in_bulk(self.state.borrow().is_blocked());
            if self.over.get() {
                send.finish();
                return;
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
