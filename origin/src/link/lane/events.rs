//! Events of sessions. They are mailed to the group at once, except the end of a publish, which waits
//! for its feed.

use std::{collections::VecDeque, rc::Rc, time::Duration};

use tokio::task::spawn_local;
use tributary_protocol::{
    Message, MessageStreamId, SessionId,
    command::{Command, NetStreamCommand},
    link::{CloseReason, FromSession, OpenSession, OriginEvent, ToSession, features},
};

use super::{Accepted, Lane};
use crate::{
    group::{OpenRefused, refusal},
    link::feeds::{FeedPublisher, PublishKey},
    session::{Brought, Mail, Opening, SessionKey},
};

/// How long the end of a publish waits for the end of its feed: media from before the command
/// belongs to the stream.
const FEED_END: Duration = Duration::from_secs(1);

impl FeedPublisher for Lane {
    fn feed_ended(self: Rc<Self>, key: PublishKey) {
        if let Some((session, stream)) = self.publisher(key) {
            self.forget_publish(session, stream);
            self.release(session);
        }
    }

    fn close_publisher(self: Rc<Self>, key: PublishKey, reason: CloseReason) {
        if let Some((session, _)) = self.publisher(key) {
            self.session_over(session);
            self.state.borrow_mut().close_session(session, reason);
            self.settle();
            self.wake.notify_one();
        }
    }
}

impl Lane {
    fn publisher(&self, key: PublishKey) -> Option<(SessionId, MessageStreamId)> {
        let publishing = self.publishing.borrow();
        let mut places = publishing.iter();
        places.find_map(|(&place, Accepted { target, .. })| {
            ((target.live.id(), target.writer) == key).then_some(place)
        })
    }

    fn release(self: &Rc<Self>, session: SessionId) {
        let held = self.held.borrow_mut().remove(&session);
        for event in held.into_iter().flat_map(|(_, events)| events) {
            self.handle_session(session, event);
        }
    }

    /// Handles the events of the state.
    pub(in crate::link) fn settle(self: &Rc<Self>) {
        loop {
            let event = self.state.borrow_mut().poll_event();
            let Some(event) = event else { break };
            self.handle_event(event);
        }
        let counts = self.state.borrow_mut().take_audience_counts();
        let metrics = &self.shared.metrics;
        metrics.audience_messages.inc_by(counts.messages);
        metrics.member_messages.inc_by(counts.member_messages);
        metrics.audience_merged.inc_by(counts.merged);
        metrics.audience_lapses.inc_by(counts.lapses);
        self.shared.progress.notify_waiters();
    }

    fn handle_event(self: &Rc<Self>, event: OriginEvent) {
        match event {
            OriginEvent::Session { session, event } => {
                self.handle_session(session, event);
            }
            OriginEvent::SnapshotWanted { audience } => {
                self.mail(Mail::SnapshotWanted { audience });
            }
            OriginEvent::Restored { session, restored } => self.restored(session, restored),
            OriginEvent::Reached(reached) => self.bring(Brought::Reached(reached)),
            OriginEvent::Contents(object) => self.bring(Brought::Contents(object)),
            OriginEvent::RestoreEnd => self.restore_ended(),
            OriginEvent::Ended => self.end(CloseReason::Client),
            _ => {}
        }
    }

    /// Mails an event to the group, or holds it back until the feed of the publish that it ends has
    /// ended.
    pub(super) fn handle_session(self: &Rc<Self>, session: SessionId, event: FromSession) {
        let Some(event) = self.hold(session, event) else {
            return;
        };
        match &event {
            FromSession::Open(open) => {
                if let Err(refused) = self.join_group() {
                    self.refuse(session, open, refused);
                    return;
                }
            }
            FromSession::Close(_) => self.session_over(session),
            _ => {}
        }
        let lane = || self.out.clone();
        self.mail(Mail::Session {
            session: SessionKey {
                lane: self.key,
                session,
            },
            event: event.resolve(|open| Opening {
                lane: lane(),
                open,
                repeats: self.feeds.supports(features::REPEATS),
            }),
        });
    }

    /// Answers a connect that no group takes, and closes its session.
    fn refuse(&self, session: SessionId, open: &OpenSession, why: OpenRefused) {
        let mut state = self.state.borrow_mut();
        for message in refusal(open, why) {
            let after = None;
            state.send(session, ToSession::Message { message, after });
        }
        state.send(session, ToSession::Close(why.reason()));
        drop(state);
        self.shared.note_refused(&self.name, open, why);
        self.wake.notify_one();
    }

    /// Holds back the end of a publish until its feed has ended, and the session's events behind it;
    /// returns an event that need not wait.
    fn hold(self: &Rc<Self>, session: SessionId, event: FromSession) -> Option<FromSession> {
        if matches!(event, FromSession::Open(_) | FromSession::Statistics(_)) {
            return Some(event);
        }
        if let Some((_, held)) = self.held.borrow_mut().get_mut(&session) {
            held.push_back(event);
            return None;
        }
        let ends = match &event {
            FromSession::Close(reason) => {
                // A lost publisher's feed still ends here; a lost edge's does not.
                *reason != CloseReason::OriginLost && self.publishes(session, None)
            }
            FromSession::Message { message, .. } => {
                ended_stream(message).is_some_and(|stream| self.publishes(session, Some(stream)))
            }
            _ => false,
        };
        if !ends {
            return Some(event);
        }
        let number = self.holds.get() + 1;
        self.holds.set(number);
        self.held
            .borrow_mut()
            .insert(session, (number, VecDeque::from([event])));
        let lane = Rc::clone(self);
        spawn_local(async move {
            tokio::time::sleep(FEED_END).await;
            lane.release_late(session, number);
        });
        None
    }

    /// Releases the events of a session whose feed did not end in time.
    fn release_late(self: &Rc<Self>, session: SessionId, number: u64) {
        let waits = self.held.borrow().get(&session).map(|(number, _)| *number);
        if waits != Some(number) {
            return;
        }
        self.release_now(session);
    }

    /// Releases what waits for the end of a feed.
    pub(super) fn release_all(self: &Rc<Self>) {
        let waiting: Vec<_> = self.held.borrow().keys().copied().collect();
        for session in waiting {
            self.release_now(session);
        }
    }

    fn release_now(self: &Rc<Self>, session: SessionId) {
        let streams: Vec<_> = self.publishing.borrow().keys().copied().collect();
        for (owner, stream) in streams {
            if owner == session {
                self.forget_publish(owner, stream);
            }
        }
        self.release(session);
    }

    fn publishes(&self, session: SessionId, stream: Option<MessageStreamId>) -> bool {
        let publishing = self.publishing.borrow();
        match stream {
            Some(stream) => publishing.contains_key(&(session, stream)),
            None => publishing.keys().any(|(owner, _)| *owner == session),
        }
    }
}

/// The message stream whose publish this command ends, if it is such a command.
fn ended_stream(message: &Message) -> Option<MessageStreamId> {
    if !message.kind.is_command() {
        return None;
    }
    let (name, _) = Command::peek(message.kind, &message.payload)?;
    match name {
        "closeStream" | "publish" => Some(message.stream),
        "deleteStream" => {
            let command = Command::decode(message.kind, &message.payload).ok()?;
            match NetStreamCommand::parse(&command) {
                Ok(NetStreamCommand::DeleteStream(stream)) => Some(stream),
                _ => None,
            }
        }
        _ => None,
    }
}
