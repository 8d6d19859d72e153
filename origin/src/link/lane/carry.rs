//! The stream that carries a lane.

use std::{rc::Rc, time::Instant};

use bytes::{Bytes, BytesMut};
use tributary_node::transport::{RecvStream, SendStream};
use tributary_protocol::link::{frame::FrameReader, lane_frame::LaneAnswer};

use super::Lane;
use crate::link::{driver::Driver, serve::Served};

/// What one write hands to QUIC at most, in bytes.
const WRITE: usize = 32 * 1024;

impl Lane {
    /// Carries the lane over one stream until that or the lane ends.
    pub(in crate::link) async fn carry(
        self: Rc<Self>,
        served: Served,
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
            return served.driver.protocol_error(&served.link, &error);
        }
        if send.write(&mut [answer.freeze()]).await.is_ok() {
            tokio::select! {
                () = self.read(&served, turn, &mut recv, reader) => {}
                () = self.write(&served.driver, turn, &mut send) => {}
            }
        }
        if self.turn.get() == turn {
            self.disconnect(Instant::now());
        }
    }

    async fn read(
        self: &Rc<Self>,
        served: &Served,
        turn: u64,
        recv: &mut RecvStream,
        mut opening: FrameReader,
    ) {
        let mut pieces: Vec<Bytes> = opening.take_rest().into_iter().collect();
        loop {
            for piece in pieces.drain(..) {
                let result = self.state.borrow_mut().handle_bytes(Instant::now(), &piece);
                if let Err(error) = result {
                    return served.driver.protocol_error(&served.link, &error);
                }
            }
            self.settle(&served.driver);
            self.wake.notify_one();
            let more = matches!(recv.read(&mut pieces).await, Ok(true));
            if self.over.get() {
                // The rest leaves in its own time.
                std::future::pending::<()>().await;
            }
            if !more || !served.is_current() || self.turn.get() != turn {
                return;
            }
        }
    }

    async fn write(self: &Rc<Self>, driver: &Rc<Driver>, turn: u64, send: &mut SendStream) {
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
            self.settle(driver);
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
