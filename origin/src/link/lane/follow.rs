//! Commands of a group to its lane, and the feeds that they begin and end.

use std::{rc::Rc, sync::Arc, time::Instant};

use tributary_node::queue;
use tributary_protocol::{
    MessageStreamId, SessionId,
    link::{CloseReason, Source, Target, ToSession},
};

use super::Lane;
use crate::{
    link::{driver::Driver, edges::Publish},
    live::LiveStream,
    session::{LaneCommand, Lost, Order},
};

/// Commands of a group that are followed before others get a turn.
const COMMANDS: usize = 256;

impl Lane {
    /// Carries out the group's commands in sequence.
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
            LaneCommand::Session { session, order } => {
                let order = self.resolve(driver, session, order);
                self.state.borrow_mut().send(session, order);
            }
            LaneCommand::Audience { audience, order } => {
                self.state.borrow_mut().audience(audience, order);
            }
            LaneCommand::Consumed { session, bytes } => {
                self.state
                    .borrow_mut()
                    .consumed(Instant::now(), session, bytes);
            }
            LaneCommand::Lost(lost) => self.close_lost(lost),
        }
    }

    /// Begins and ends the feeds that an order concerns; the order as the edge gets it.
    fn resolve(
        self: &Rc<Self>,
        driver: &Rc<Driver>,
        session: SessionId,
        order: Order,
    ) -> ToSession {
        match &order {
            ToSession::Detach { stream } => self.detach(session, *stream),
            ToSession::StopPublish { stream, .. } => self.forget_publish(session, *stream),
            ToSession::Close(_) => self.session_over(session),
            _ => {}
        }
        order.resolve(
            |stream, live| self.attach(driver, (session, stream), live),
            |stream, target| self.accept_publish((session, stream), target),
        )
    }

    fn attach(
        &self,
        driver: &Rc<Driver>,
        place: (SessionId, MessageStreamId),
        live: Arc<LiveStream>,
    ) -> Source {
        let (id, mut publication) = (live.id(), 0);
        if let Some(edge) = self.edge.upgrade() {
            edge.attach(driver, &live);
            publication = edge.publication(&live);
            if let Some(before) = self.playing.borrow_mut().insert(place, live) {
                edge.detach(&before);
            }
        }
        Source {
            live: id,
            publication,
        }
    }

    fn accept_publish(
        self: &Rc<Self>,
        place: (SessionId, MessageStreamId),
        target: Target<Arc<LiveStream>>,
    ) -> Target {
        let resolved = Target {
            live: target.live.id(),
            writer: target.writer,
        };
        if let Some(edge) = self.edge.upgrade() {
            let publish = Publish {
                live: Arc::clone(&target.live),
                lane: Rc::clone(self),
                epoch: Rc::default(),
                is_faulty: Rc::default(),
            };
            let key = (resolved.live, resolved.writer);
            edge.publishes.borrow_mut().insert(key, publish);
        }
        self.publishing.borrow_mut().insert(place, target);
        resolved
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
