//! The message streams on which a client plays.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use tributary_protocol::{Message, MessageStreamId, link::FeedPlace, link::Filter};

use crate::fanout::Viewer;

/// What a client plays, by message stream, and the messages that wait for a place in it.
#[derive(Debug, Default)]
pub(super) struct Playing {
    plays: Vec<Play>,
}

#[derive(Debug)]
struct Play {
    viewer: Viewer,
    /// In order; the first one says what is waited for.
    held: VecDeque<Held>,
}

#[derive(Debug)]
struct Held {
    message: Message,
    after: Option<FeedPlace>,
    deadline: Instant,
    /// What [`crate::fanout::LiveStream::waits`] said.
    waits: u64,
}

/// A message waits for its place in a feed at most this long.
const MAX_WAIT: Duration = Duration::from_secs(1);

impl Playing {
    /// The viewer on this stream.
    fn find(&mut self, stream: MessageStreamId) -> Option<&mut Play> {
        self.plays
            .iter_mut()
            .find(|play| play.viewer.stream() == stream)
    }

    /// A message stream plays from now on; it must have been taken off before.
    pub(super) fn attach(&mut self, viewer: Viewer) {
        self.plays.push(Play {
            viewer,
            held: VecDeque::new(),
        });
    }

    /// The message stream plays no more. What waited for it leaves now.
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

    /// What the viewer on this stream gets.
    pub(super) fn set_filter(&mut self, stream: MessageStreamId, filter: Filter) {
        if let Some(play) = self.find(stream) {
            play.viewer.set_filter(filter);
        }
    }

    /// Keeps a message that has to wait; gives back one that need not.
    pub(super) fn hold(
        &mut self,
        message: Message,
        after: Option<FeedPlace>,
        now: Instant,
    ) -> Option<Message> {
        let Some(play) = self.find(message.stream) else {
            return Some(message);
        };
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

    /// The next message that need not wait any more.
    pub(super) fn release(&mut self, now: Instant) -> Option<Message> {
        self.plays.iter_mut().find_map(|play| play.release(now))
    }

    /// When a message stops waiting for its place.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let firsts = self.plays.iter().filter_map(|play| play.held.front());
        firsts.map(|held| held.deadline).min()
    }

    /// Bytes that wait.
    pub(super) fn held_bytes(&self) -> usize {
        let held = self.plays.iter().flat_map(|play| &play.held);
        held.map(|held| held.message.payload.len()).sum()
    }

    /// The socket can be written again: everyone goes on.
    pub(super) fn go_on(&self) {
        for play in &self.plays {
            play.viewer.go_on();
        }
    }
}

impl Drop for Playing {
    /// Nothing is played any more, also if the session's task failed: a viewer that stays would
    /// keep the socket open.
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
