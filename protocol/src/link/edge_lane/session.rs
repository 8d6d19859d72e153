//! One session at its edge: its queue of events, its credit and its rate.

use std::{collections::VecDeque, time::Instant};

use super::{EdgeEvent, kept::Kept};
use crate::{
    SessionId,
    link::{
        FrameError, FromSession, Rate, ToSession,
        credit::{BASE, MESSAGE_COST},
        inbound::{Assembled, Assembly},
        lane_frame::{Fragment, Head, MAX_FRAGMENT, ToOrigin},
        rate::Bucket,
    },
};

mod parcel;

#[derive(Debug)]
pub(super) struct EdgeSession {
    /// Events that have not left; [`Self::sent`] bytes of the first have, if it is a message.
    pub(super) queue: VecDeque<FromSession>,
    /// The payload bytes of the message under way that have left.
    sent: Option<usize>,
    /// Cost sent and credit, both since the session opened.
    pub(super) used: u64,
    pub(super) limit: u64,
    /// Whether it is among the turns or among the throttled sessions.
    pub(super) in_turns: bool,
    pub(super) bucket: Bucket,
    /// The edge has closed it: orders that still arrive are dropped.
    pub(super) closing: bool,
    pub(super) accepted: bool,
    pub(super) assembly: Option<Box<Assembly>>,
    /// The part by which the session can be brought to another process of its origin.
    pub(super) kept: Option<Box<Kept>>,
}

impl EdgeSession {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            sent: None,
            used: 0,
            limit: BASE,
            in_turns: false,
            bucket: Bucket::default(),
            closing: false,
            accepted: false,
            assembly: None,
            kept: None,
        }
    }

    /// The payload bytes of each message that has not left as a whole.
    pub(super) fn waiting_messages(&self) -> impl Iterator<Item = usize> {
        let events = self.queue.iter().enumerate();
        events.filter_map(|(place, event)| match (place, event) {
            (0, FromSession::Message { message, .. }) => {
                Some(message.payload.len() - self.sent.unwrap_or(0))
            }
            (_, FromSession::Message { message, .. }) => Some(message.payload.len()),
            _ => None,
        })
    }

    /// Queues an event. Newer statistics replace older ones that have not left.
    pub(super) fn push(&mut self, event: FromSession) {
        if matches!(event, FromSession::Statistics(_)) {
            self.queue
                .retain(|queued| !matches!(queued, FromSession::Statistics(_)));
        }
        self.queue.push_back(event);
    }

    /// Drops the events that have not left.
    pub(super) fn clear(&mut self) {
        self.queue = VecDeque::new();
        self.sent = None;
    }

    /// Drops the events before the close.
    pub(super) fn skip_to_close(&mut self) {
        self.queue
            .retain(|event| matches!(event, FromSession::Close(_)));
        self.sent = None;
    }

    pub(super) fn can_send(&self) -> bool {
        match (self.queue.front(), self.sent) {
            (None, _) => false,
            (Some(FromSession::Message { .. }), Some(_)) => self.used < self.limit,
            (Some(FromSession::Message { message, .. }), None) => {
                let least = MESSAGE_COST + u64::from(!message.payload.is_empty());
                self.used + least <= self.limit
            }
            (Some(_), _) => true,
        }
    }

    /// Whether a part of the first message has left.
    pub(super) fn is_in_message(&self) -> bool {
        self.sent.is_some()
    }

    /// The time until which the rate holds back the next message. The messages of a closing session
    /// are dropped instead.
    pub(super) fn shut_until(&mut self, rate: Rate, now: Instant) -> Option<Instant> {
        if !matches!(self.queue.front(), Some(FromSession::Message { .. })) {
            return None;
        }
        let until = self.bucket.shut_until(rate, now)?;
        if self.closing {
            self.skip_to_close();
            return None;
        }
        Some(until)
    }

    /// The next frame of this session, if it has credit for it.
    pub(super) fn next_frame(&mut self, session: SessionId) -> Option<ToOrigin> {
        if !self.can_send() {
            return None;
        }
        let credit = self.limit - self.used;
        let Some(FromSession::Message {
            generation,
            message,
        }) = self.queue.front()
        else {
            let event = self.queue.pop_front()?;
            self.shrink();
            return Some(ToOrigin::Session { session, event });
        };
        let head = self.sent.is_none().then(|| Head {
            generation: *generation,
            ..Head::of(message)
        });
        let sent = self.sent.unwrap_or(0);
        let overhead = if head.is_some() { MESSAGE_COST } else { 0 };
        let room = usize::try_from(credit - overhead).unwrap_or(usize::MAX);
        let size = (message.payload.len() - sent).min(MAX_FRAGMENT).min(room);
        let end = sent + size;
        let data = message.payload.slice(sent..end);
        let is_whole = end == message.payload.len();
        self.used += overhead + size as u64;
        self.sent = (!is_whole).then_some(end);
        if is_whole {
            if let Some(FromSession::Message {
                generation,
                message,
            }) = self.queue.pop_front()
                && let Some(kept) = &mut self.kept
            {
                kept.left(generation, message);
            }
            self.shrink();
        }
        let fragment = Fragment { head, data };
        Some(ToOrigin::Fragment { session, fragment })
    }

    fn shrink(&mut self) {
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    /// Adds a fragment; returns the event of a message that is complete.
    pub(super) fn assemble(
        &mut self,
        session: SessionId,
        fragment: &Fragment,
    ) -> Result<Option<EdgeEvent>, FrameError> {
        let partial = self.assembly.take().map(|assembly| *assembly);
        let (head, message) = match Assembly::add(partial, fragment)? {
            Assembled::Partial(assembly) => {
                self.assembly = Some(Box::new(assembly));
                return Ok(None);
            }
            Assembled::Whole(head, message) => (head, message),
        };
        if let Some(kept) = &mut self.kept {
            kept.came(message.kind, &message.payload);
        }
        Ok(Some(match head.member {
            Some(member) => EdgeEvent::Object {
                session,
                member,
                body: message.payload,
            },
            None => EdgeEvent::Session {
                session,
                order: ToSession::Message {
                    message,
                    after: head.after,
                },
            },
        }))
    }
}
