//! Delivery of a lane's events into the inboxes of its sessions.

use std::{rc::Rc, sync::Arc};

use tokio::task::spawn_local;
use tributary_protocol::{
    SessionId,
    link::{
        AudienceEvent, AudienceId, EdgeEvent, Recipients, Source, ToSession, features,
        lane_frame::Member,
    },
};

use super::{Lane, audiences::Standing, session::InboxFull};
use crate::{
    link::{
        handle::{FromOrigin, Order},
        outgoing,
        publish::{PublishFeed, PublishTarget},
    },
    objects::{Delivery, ObjectKey, ObjectMessage},
};

impl Lane {
    /// Handles the events of the state.
    pub(super) fn settle(&self) {
        loop {
            let event = self.state.borrow_mut().poll_event();
            let Some(event) = event else { break };
            self.handle_event(event);
        }
        self.shared.progress.notify_waiters();
    }

    fn handle_event(&self, event: EdgeEvent) {
        match event {
            EdgeEvent::Session { session, order } => self.handle_order(session, order),
            EdgeEvent::Object {
                session,
                member: Member {
                    flags, encoding, ..
                },
                body,
            } => {
                if let Some(message) = ObjectMessage::new(body) {
                    let message = Arc::new(message);
                    let mut sessions = self.sessions.borrow_mut();
                    let pushed = sessions.push_object(session, flags, encoding, &message);
                    drop(sessions);
                    self.close_if_full(session, pushed);
                }
            }
            EdgeEvent::Audience { audience, event } => self.handle_audience(audience, event),
            EdgeEvent::Throttled { .. } => {
                self.shared.metrics.throttled.inc();
            }
            EdgeEvent::Left {
                session,
                bytes,
                finished,
            } => self.sessions.borrow().left(session, bytes, finished),
            EdgeEvent::HandedOver { origin } => {
                tracing::debug!(group = %self.group(), to = origin, "the group has stopped at its origin");
                *self.handed_to.borrow_mut() = Some(origin);
                self.wake.notify_one();
            }
            _ => {}
        }
    }

    /// Notes that a session is accepted, and notifies it of what its origin takes.
    fn accepted(&self, session: SessionId) {
        let mut sessions = self.sessions.borrow_mut();
        sessions.accepted(session);
        if self.origin.has(features::RELAYS) {
            // A full inbox closes the session at the next item.
            let _ = sessions.push(session, FromOrigin::TakesRelays, 0);
        }
    }

    /// Resolves an order, and queues it in the session's inbox.
    fn handle_order(&self, session: SessionId, order: ToSession) {
        match order {
            ToSession::Accept => self.accepted(session),
            ToSession::Close(reason) => {
                self.sessions.borrow_mut().close(session, reason);
                self.shared.sessions.remove(session);
                return self.note_if_empty();
            }
            ToSession::Restored => return self.restored(session),
            ToSession::Continues { live, was } => return self.continues(live, was),
            _ => {}
        }
        let name = match &order {
            ToSession::Attach { source, .. } => source.name.as_deref(),
            _ => None,
        };
        let size = order.size() + name.map_or(0, str::len);
        let order = self.resolve(order);
        let pushed = self.sessions.borrow_mut().push(session, order.into(), size);
        self.close_if_full(session, pushed);
    }

    /// Resolves an order: its source becomes a ring, its target a feed.
    fn resolve(&self, order: ToSession) -> Order {
        let streams = &self.shared.streams;
        order.resolve(
            |_, source| {
                let live = streams.get_or_create(self.origin.process(), source.live);
                self.note_played(source.live, &live);
                Source {
                    live,
                    publication: source.publication,
                    name: source.name,
                }
            },
            |_, target| {
                let process = self.origin.process();
                let (feed, source) = PublishFeed::of(PublishTarget { process, target });
                let (shared, origin) = (Rc::clone(&self.shared), Rc::clone(&self.origin));
                spawn_local(outgoing::run(shared, origin, source));
                feed
            },
        )
    }

    fn handle_audience(&self, id: AudienceId, event: AudienceEvent) {
        let metrics = &self.shared.metrics;
        let mut sessions = self.sessions.borrow_mut();
        match event {
            AudienceEvent::Begun { name, persistent } => {
                sessions.begin_audience(id, name, persistent);
                metrics.audiences.inc();
            }
            AudienceEvent::Joined {
                session,
                flags,
                aside,
            } => {
                let joined = sessions.join(id, session, Standing { flags, aside });
                drop(sessions);
                self.close_if_full(session, joined);
            }
            AudienceEvent::Left { session } => sessions.leave(id, session),
            AudienceEvent::Message { to, encoding, body } => {
                metrics.audience_messages.inc();
                let Some(message) = ObjectMessage::new(body) else {
                    tracing::warn!(
                        group = %self.group(),
                        "message dropped: it is of no shared object"
                    );
                    return;
                };
                let slow = sessions.deliver(&Delivery {
                    audience: ObjectKey(self.id(), id),
                    message: Arc::new(message),
                    all_but: match to {
                        Recipients::AllBut(session) => Some(session),
                        _ => None,
                    },
                    encoding,
                });
                drop(sessions);
                for session in slow {
                    self.close_slow(session);
                }
            }
            AudienceEvent::Ended => {
                sessions.end_audience(id);
                metrics.audiences.dec();
            }
            _ => {}
        }
    }

    pub(super) fn close_if_full(&self, session: SessionId, pushed: Result<(), InboxFull>) {
        if pushed.is_err() {
            self.close_slow(session);
        }
    }
}
