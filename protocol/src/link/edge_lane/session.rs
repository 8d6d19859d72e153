//! One session at its edge: what it has to send, and how far it may.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;

use super::EdgeEvent;
use crate::{
    MessageStreamId, SessionId,
    link::{
        CloseReason, FrameError, OpenSession, Rate, Statistics,
        credit::{BASE, MESSAGE_COST},
        inbound::{Assembled, Assembly},
        lane_frame::{Fragment, Head, MAX_FRAGMENT, ToEdge, ToOrigin},
        rate::Bucket,
    },
};

#[derive(Debug)]
pub(super) struct Session {
    pub(super) queue: VecDeque<Item>,
    /// Cost sent, and cost that may be sent, both since the session opened.
    pub(super) used: u64,
    pub(super) limit: u64,
    /// Or among those that are throttled.
    pub(super) in_turns: bool,
    pub(super) bucket: Bucket,
    /// The edge closed it: what the origin still sends is dropped.
    pub(super) closing: bool,
    pub(super) accepted: bool,
    pub(super) assembly: Option<Box<Assembly>>,
}

#[derive(Debug)]
pub(super) enum Item {
    Open(Box<OpenSession>),
    Message {
        head: Box<Head>,
        payload: Bytes,
        sent: usize,
    },
    Stalled {
        stream: MessageStreamId,
        stalled: bool,
    },
    Statistics(Statistics),
    Close(CloseReason),
}

impl Session {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            used: 0,
            limit: BASE,
            in_turns: false,
            bucket: Bucket::default(),
            closing: false,
            accepted: false,
            assembly: None,
        }
    }

    /// Newer figures make older ones needless.
    pub(super) fn forget_statistics(&mut self) {
        self.queue
            .retain(|item| !matches!(item, Item::Statistics(_)));
    }

    pub(super) fn can_send(&self) -> bool {
        match self.queue.front() {
            None => false,
            Some(Item::Message {
                sent: 0, payload, ..
            }) => {
                let least = MESSAGE_COST + u64::from(!payload.is_empty());
                self.used + least <= self.limit
            }
            Some(Item::Message { .. }) => self.used < self.limit,
            Some(_) => true,
        }
    }

    /// Whether a part of the message that is next has left.
    pub(super) fn is_in_message(&self) -> bool {
        matches!(self.queue.front(), Some(Item::Message { sent, .. }) if *sent > 0)
    }

    /// Until when the rate holds back what is next; a closing session's rest is not waited for.
    pub(super) fn shut_until(&mut self, rate: Rate, now: Instant) -> Option<Instant> {
        if !matches!(self.queue.front(), Some(Item::Message { .. })) {
            return None;
        }
        let until = self.bucket.shut_until(rate, now)?;
        if self.closing {
            self.queue.retain(|item| matches!(item, Item::Close(_)));
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
        let Some(Item::Message {
            head,
            payload,
            sent,
        }) = self.queue.front_mut()
        else {
            let item = self.queue.pop_front()?;
            self.shrink();
            return Some(match item {
                Item::Open(open) => ToOrigin::Open {
                    session,
                    open: *open,
                },
                Item::Stalled { stream, stalled } => ToOrigin::Stalled {
                    session,
                    stream,
                    stalled,
                },
                Item::Statistics(statistics) => ToOrigin::Statistics {
                    session,
                    statistics,
                },
                Item::Close(reason) => ToOrigin::Close { session, reason },
                Item::Message { .. } => return None,
            });
        };
        let first = *sent == 0;
        let overhead = if first { MESSAGE_COST } else { 0 };
        let room = usize::try_from(credit - overhead).unwrap_or(usize::MAX);
        let size = (payload.len() - *sent).min(MAX_FRAGMENT).min(room);
        let fragment = Fragment {
            head: first.then_some(**head),
            data: payload.slice(*sent..*sent + size),
        };
        *sent += size;
        self.used += overhead + size as u64;
        if *sent == payload.len() {
            self.queue.pop_front();
            self.shrink();
        }
        Some(ToOrigin::Fragment { session, fragment })
    }

    fn shrink(&mut self) {
        if self.queue.is_empty() {
            self.queue = VecDeque::new();
        }
    }

    pub(super) fn event(
        &mut self,
        session: SessionId,
        frame: ToEdge,
    ) -> Result<Option<EdgeEvent>, FrameError> {
        Ok(Some(match frame {
            ToEdge::Accept { .. } => {
                self.accepted = true;
                EdgeEvent::Accepted { session }
            }
            ToEdge::Fragment { fragment, .. } => {
                match Assembly::add(self.assembly.take().map(|assembly| *assembly), &fragment)? {
                    Assembled::Partial(assembly) => {
                        self.assembly = Some(Box::new(assembly));
                        return Ok(None);
                    }
                    Assembled::Whole(
                        Head {
                            member: Some(member),
                            ..
                        },
                        message,
                    ) => EdgeEvent::Object {
                        session,
                        member,
                        body: message.payload,
                    },
                    Assembled::Whole(head, message) => EdgeEvent::Message {
                        session,
                        message,
                        after: head.after,
                    },
                }
            }
            ToEdge::Attach {
                stream,
                live,
                publication,
                ..
            } => EdgeEvent::Attach {
                session,
                stream,
                live,
                publication,
            },
            ToEdge::Detach { stream, .. } => EdgeEvent::Detach { session, stream },
            ToEdge::AcceptPublish {
                stream,
                generation,
                live,
                writer,
                ..
            } => EdgeEvent::AcceptPublish {
                session,
                stream,
                generation,
                live,
                writer,
            },
            ToEdge::StopPublish {
                stream, generation, ..
            } => EdgeEvent::StopPublish {
                session,
                stream,
                generation,
            },
            ToEdge::Filter { stream, filter, .. } => EdgeEvent::Filter {
                session,
                stream,
                filter,
            },
            ToEdge::Watch { .. } => EdgeEvent::Watched { session },
            ToEdge::Bandwidth { bandwidth, .. } => EdgeEvent::Bandwidth { session, bandwidth },
            ToEdge::Ping { .. } => EdgeEvent::Ping { session },
            ToEdge::Ack(_)
            | ToEdge::Credit { .. }
            | ToEdge::Close { .. }
            | ToEdge::Audience { .. } => return Ok(None),
        }))
    }
}
