//! The message streams on which a client plays.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tributary_protocol::{
    Message, MessageStreamId,
    link::{FeedPlace, Filter},
};

use crate::fanout::{LiveStream, Viewer};

mod parcel;

pub(super) use parcel::MovedPlay;

/// The viewers of a client by message stream, and the messages that wait for a place in a feed.
#[derive(Debug, Default)]
pub(super) struct Playing {
    plays: Vec<Play>,
}

#[derive(Debug)]
struct Play {
    viewer: Viewer,
    /// The name of the live stream, if the origin has stated it.
    name: Option<Arc<str>>,
    /// In order. The place of the first message is awaited.
    held: VecDeque<Held>,
}

#[derive(Debug)]
struct Held {
    message: Message,
    after: Option<FeedPlace>,
    deadline: Instant,
    /// [`crate::fanout::LiveStream::waits`] when the wait began.
    waits: u64,
}

/// The longest wait of a message for its place in a feed.
const MAX_WAIT: Duration = Duration::from_secs(1);

impl Playing {
    /// Whether the client plays nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.plays.is_empty()
    }

    fn find(&mut self, stream: MessageStreamId) -> Option<&mut Play> {
        self.plays
            .iter_mut()
            .find(|play| play.viewer.stream() == stream)
    }

    /// Whether a message stream plays this live stream.
    pub(super) fn plays(&self, stream: MessageStreamId, live: &Arc<LiveStream>) -> bool {
        let mut plays = self.plays.iter();
        plays.any(|play| {
            play.viewer.stream() == stream && Arc::ptr_eq(play.viewer.local().live(), live)
        })
    }

    /// Adds a viewer; the message stream has none.
    pub(super) fn attach(&mut self, viewer: Viewer, name: Option<Arc<str>>) {
        self.plays.push(Play {
            viewer,
            name,
            held: VecDeque::new(),
        });
    }

    /// Removes the viewer of a message stream. Returns the messages that wait on the stream.
    pub(super) fn detach(
        &mut self,
        stream: MessageStreamId,
    ) -> impl Iterator<Item = Message> + use<> {
        let place = self
            .plays
            .iter()
            .position(|play| play.viewer.stream() == stream);
        let play = place.map(|place| self.plays.swap_remove(place));
        let held = play.map(|play| {
            play.viewer.detach();
            play.held
        });
        held.unwrap_or_default()
            .into_iter()
            .map(|held| held.message)
    }

    /// Sets the filter of the viewer on this stream.
    pub(super) fn set_filter(&mut self, stream: MessageStreamId, filter: Filter) {
        if let Some(play) = self.find(stream) {
            play.viewer.set_filter(filter);
        }
    }

    /// Keeps a message that has to wait; returns any other.
    pub(super) fn hold(
        &mut self,
        message: Message,
        after: Option<FeedPlace>,
        now: Instant,
    ) -> Option<Message> {
        let Some(play) = self.find(message.stream) else {
            return Some(message);
        };
        let after = after.map(|place| play.viewer.local().live().place(place));
        let place = after.filter(|&place| !play.viewer.has_passed(place));
        if play.held.is_empty() && place.is_none() {
            return Some(message);
        }
        play.held.push_back(Held {
            message,
            after,
            deadline: now + MAX_WAIT,
            waits: play.viewer.local().live().waits(),
        });
        play.await_first();
        None
    }

    /// The next message whose wait is over.
    pub(super) fn release(&mut self, now: Instant) -> Option<Message> {
        self.plays.iter_mut().find_map(|play| play.release(now))
    }

    /// The time at which the next wait ends without its place.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let firsts = self.plays.iter().filter_map(|play| play.held.front());
        firsts.map(|held| held.deadline).min()
    }

    /// Bytes of the waiting messages.
    pub(super) fn held_bytes(&self) -> usize {
        let held = self.plays.iter().flat_map(|play| &play.held);
        held.map(|held| held.message.payload.len()).sum()
    }

    /// Sends on to every viewer: the socket takes bytes again.
    pub(super) fn go_on(&self) {
        for play in &self.plays {
            play.viewer.go_on();
        }
    }
}

impl Drop for Playing {
    /// Detaches all viewers, also if the session's task failed: a viewer that stays would keep the
    /// socket open.
    fn drop(&mut self) {
        for play in &self.plays {
            play.viewer.detach();
        }
    }
}

impl Play {
    fn release(&mut self, now: Instant) -> Option<Message> {
        let held = self.held.front()?;
        let is_free = held.after.is_none_or(|place| self.viewer.has_passed(place))
            || now >= held.deadline
            || self.viewer.local().live().waits() != held.waits;
        if !is_free {
            return None;
        }
        let held = self.held.pop_front();
        self.await_first();
        held.map(|held| held.message)
    }

    fn await_first(&self) {
        let first = self.held.front();
        self.viewer.await_place(first.and_then(|held| held.after));
    }
}
