//! Commands of a group to its lane, and the feeds that they begin and end.

use std::{rc::Rc, sync::Arc, time::Instant};

use tributary_node::queue;
use tributary_protocol::{
    MessageStreamId, SessionId,
    link::{CloseReason, Generation, Source, ToSession},
};

use super::Lane;
use crate::{
    link::feeds::FeedPublisher,
    live::LiveStream,
    session::{LaneCommand, Lost, Order},
};

/// The most commands of a group that are carried out before other tasks get a turn.
const COMMANDS: usize = 256;

impl Lane {
    /// Carries out the group's commands in sequence.
    pub(in crate::link) async fn obey(self: Rc<Self>, mut commands: queue::Receiver<LaneCommand>) {
        while !self.over.get() {
            let command = tokio::select! {
                command = commands.next() => command,
                () = self.ended.notified() => None,
            };
            let Some(command) = command else {
                // The group has closed the queue: it is too far ahead of this thread.
                self.close_sessions(CloseReason::Retention);
                self.end(CloseReason::Retention);
                break;
            };
            self.handle_command(command);
            for _ in 1..COMMANDS {
                let Some(command) = commands.try_next() else {
                    break;
                };
                self.handle_command(command);
            }
            self.settle();
            self.wake.notify_one();
            // The queue is always ready while its group is faster than this thread.
            tokio::task::yield_now().await;
        }
    }

    /// Closes the sessions that a command could not be queued for.
    fn close_lost(&self, lost: Lost) {
        let mut state = self.state.borrow_mut();
        match lost {
            Lost::Session(session) => state.close_session(session, CloseReason::Retention),
            Lost::Audience(audience) => state.close_members(audience, CloseReason::Retention),
        }
    }

    fn handle_command(self: &Rc<Self>, command: LaneCommand) {
        if self.over.get() {
            // A feed or a publish that began now would never end.
            return;
        }
        match command {
            LaneCommand::Session { session, order } => {
                let order = self.resolve(session, order);
                self.state.borrow_mut().send(session, order);
            }
            LaneCommand::Audience { audience, order } => {
                self.state.borrow_mut().audience(audience, order);
            }
            LaneCommand::Consumed {
                session,
                bytes,
                handled,
            } => {
                let mut state = self.state.borrow_mut();
                state.consumed(Instant::now(), session, bytes);
                if let Some(messages) = handled {
                    state.send(session, ToSession::Handled(messages));
                }
            }
            LaneCommand::HandOver(handed_over) => {
                self.state.borrow_mut().hand_over(handed_over);
            }
            LaneCommand::Lost(lost) => self.close_lost(lost),
        }
    }

    /// Begins and ends the feeds that an order concerns. Returns the order as the edge gets it.
    fn resolve(self: &Rc<Self>, session: SessionId, order: Order) -> ToSession {
        let mut generation = Generation::default();
        match &order {
            ToSession::AcceptPublish { generation: of, .. } => generation = *of,
            ToSession::Detach { stream } => self.detach(session, *stream),
            ToSession::StopPublish { stream, .. } => self.forget_publish(session, *stream),
            ToSession::Close(_) => self.session_over(session),
            _ => {}
        }
        order.resolve(
            |stream, live| self.attach(session, stream, live),
            |stream, target| {
                let publisher = Rc::clone(self) as Rc<dyn FeedPublisher>;
                let resolved = self.feeds.accept(&target, publisher);
                self.begin_publish(session, stream, generation, target);
                resolved
            },
        )
    }

    fn attach(&self, session: SessionId, stream: MessageStreamId, live: Arc<LiveStream>) -> Source {
        self.feeds.attach(&live);
        let source = Source {
            live: live.id(),
            publication: self.feeds.publication(&live),
            name: self.feeds.name(&live),
        };
        let before = self.playing.borrow_mut().insert((session, stream), live);
        if let Some(before) = before {
            self.feeds.detach(&before);
        }
        source
    }

    fn detach(&self, session: SessionId, stream: MessageStreamId) {
        let live = self.playing.borrow_mut().remove(&(session, stream));
        if let Some(live) = live {
            self.feeds.detach(&live);
        }
    }

    pub(super) fn forget_publish(&self, session: SessionId, stream: MessageStreamId) {
        let accepted = self.publishing.borrow_mut().remove(&(session, stream));
        if let Some(accepted) = accepted {
            self.feeds.forget(&accepted.target);
        }
    }

    /// Ends the plays and publishes of a session that is over.
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
