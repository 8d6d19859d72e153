//! What a group tells its lane, and what that means for feeds.

use std::{rc::Rc, sync::Arc, time::Instant};

use tributary_node::queue;
use tributary_protocol::{
    MessageStreamId, SessionId,
    link::{CloseReason, Tell},
};

use super::{Lane, Publishing};
use crate::link::{
    driver::Driver,
    edges::Publish,
    handle::{LaneCommand, Lost, ToSession},
};

/// Commands of a group that are followed before others get a turn.
const COMMANDS: usize = 256;

impl Lane {
    /// Does what the group says, in its order.
    pub(super) async fn obey(
        self: Rc<Self>,
        driver: Rc<Driver>,
        mut commands: queue::Receiver<LaneCommand>,
    ) {
        while !self.over.get() {
            let command = tokio::select! {
                command = commands.next() => command,
                () = self.ended.notified() => None,
            };
            let Some(command) = command else {
                // The group has closed the queue: it is too far ahead of this thread.
                self.close_sessions(&driver, CloseReason::Retention);
                break;
            };
            self.handle_command(&driver, command);
            for _ in 1..COMMANDS {
                let Some(command) = commands.try_next() else {
                    break;
                };
                self.handle_command(&driver, command);
            }
            self.settle(&driver);
            self.wake.notify_one();
            // The queue is always ready while its group is faster than this.
            tokio::task::yield_now().await;
        }
    }

    /// Closes the sessions that something could not be queued for.
    fn close_lost(&self, lost: Lost) {
        let mut state = self.state.borrow_mut();
        match lost {
            Lost::Session(session) => state.close_session(session, CloseReason::Retention),
            Lost::Audience(audience) => state.close_members(audience, CloseReason::Retention),
        }
    }

    fn handle_command(self: &Rc<Self>, driver: &Rc<Driver>, command: LaneCommand) {
        match command {
            LaneCommand::Session { session, what } => {
                let tell = self.follow(driver, session, what);
                self.state.borrow_mut().tell(session, tell);
            }
            LaneCommand::Audience { audience, what } => {
                self.state.borrow_mut().audience(audience, what);
            }
            LaneCommand::Consumed { session, bytes } => {
                self.state
                    .borrow_mut()
                    .consumed(Instant::now(), session, bytes);
            }
            LaneCommand::Lost(lost) => self.close_lost(lost),
        }
    }

    /// Does what a command means for feeds; returns what the edge is told.
    fn follow(self: &Rc<Self>, driver: &Rc<Driver>, session: SessionId, what: ToSession) -> Tell {
        match what {
            ToSession::Accept => Tell::Accept,
            ToSession::Message { message, after } => Tell::Message { message, after },
            ToSession::Attach { stream, live } => {
                let (id, mut publication) = (live.id(), 0);
                if let Some(edge) = self.edge.upgrade() {
                    edge.attach(driver, &live);
                    publication = edge.publication(&live);
                    let before = self.playing.borrow_mut().insert((session, stream), live);
                    if let Some(before) = before {
                        edge.detach(&before);
                    }
                }
                Tell::Attach {
                    stream,
                    live: id,
                    publication,
                }
            }
            ToSession::Detach { stream, .. } => {
                self.detach(session, stream);
                Tell::Detach { stream }
            }
            ToSession::AcceptPublish {
                stream,
                generation,
                live,
                writer,
            } => {
                let id = live.id();
                if let Some(edge) = self.edge.upgrade() {
                    let publish = Publish {
                        live: Arc::clone(&live),
                        lane: Rc::clone(self),
                        epoch: Rc::default(),
                        is_faulty: Rc::default(),
                    };
                    edge.publishes.borrow_mut().insert((id, writer), publish);
                }
                let publishing = Publishing { live, writer };
                self.publishing
                    .borrow_mut()
                    .insert((session, stream), publishing);
                Tell::AcceptPublish {
                    stream,
                    generation,
                    live: id,
                    writer,
                }
            }
            ToSession::StopPublish { stream, generation } => {
                self.forget_publish(session, stream);
                Tell::StopPublish { stream, generation }
            }
            ToSession::Filter { stream, filter } => Tell::Filter { stream, filter },
            ToSession::RequestStatistics => Tell::Watch,
            ToSession::Bandwidth(bandwidth) => Tell::Bandwidth(bandwidth),
            ToSession::Ping => Tell::Ping,
            ToSession::Close { reason } => {
                self.session_over(session);
                Tell::Close(reason)
            }
        }
    }

    fn detach(&self, session: SessionId, stream: MessageStreamId) {
        let live = self.playing.borrow_mut().remove(&(session, stream));
        if let (Some(live), Some(edge)) = (live, self.edge.upgrade()) {
            edge.detach(&live);
        }
    }

    pub(super) fn forget_publish(&self, session: SessionId, stream: MessageStreamId) {
        let publishing = self.publishing.borrow_mut().remove(&(session, stream));
        if let (Some(publishing), Some(edge)) = (publishing, self.edge.upgrade()) {
            let key = (publishing.live.id(), publishing.writer);
            edge.publishes.borrow_mut().remove(&key);
        }
    }

    /// Gives up what the session plays and publishes.
    pub(super) fn session_over(&self, session: SessionId) {
        let of =
            |(owner, stream): &(SessionId, MessageStreamId)| (*owner == session).then_some(*stream);
        let playing: Vec<_> = self.playing.borrow().keys().filter_map(of).collect();
        for stream in playing {
            self.detach(session, stream);
        }
        let publishing: Vec<_> = self.publishing.borrow().keys().filter_map(of).collect();
        for stream in publishing {
            self.forget_publish(session, stream);
        }
        self.held.borrow_mut().remove(&session);
    }
}
