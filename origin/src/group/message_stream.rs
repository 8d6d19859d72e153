//! The message streams of one client, and the use of each.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use tributary_node::config::RelayUrl;
use tributary_protocol::{
    MessageStreamId,
    command::stream::PlayStart,
    link::{Filter, Generation, RelayAddress},
};

use crate::live::LiveStream;

/// All message streams of a client.
#[derive(Default)]
pub(super) struct MessageStreams {
    all: Vec<MessageStream>,
    /// Counts the requests that the application had to decide.
    last_serial: u32,
}

/// A message stream of a client, made by createStream.
pub(super) struct MessageStream {
    pub(super) id: MessageStreamId,
    pub(super) filter: Filter,
    pub(super) role: Role,
    /// The plays that wait; never empty, and hardly ever there.
    pub(super) playlist: Option<Box<Playlist>>,
}

/// Plays that wait on one message stream.
#[derive(Default)]
pub(super) struct Playlist {
    pub(super) waiting: VecDeque<Queued>,
}

/// A play that waits for the end of those before it.
pub(super) struct Queued {
    pub(super) name: String,
    pub(super) start: PlayStart,
    pub(super) how: PlayHow,
    /// The address by which it is relayed.
    pub(super) relay: Option<RelayAddress>,
}

/// The use of a message stream.
pub(super) enum Role {
    Idle,
    /// The application has not decided yet.
    Asking(Box<Asking>),
    Publishing {
        name: Arc<str>,
        generation: Generation,
        /// The query of the publish name.
        query: Box<str>,
        live: Arc<LiveStream>,
    },
    Playing(Playing),
}

/// A publish or play request that waits for the application.
pub(super) struct Asking {
    pub(super) serial: u32,
    pub(super) name: String,
    pub(super) query: String,
    pub(super) what: Asked,
    /// The stream at another server that gets the published one, or brings the played one.
    pub(super) relay: Option<Box<RelayUrl>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Publish(Generation),
    Play(PlayHow),
}

/// The wishes of a player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PlayHow {
    pub(super) announce: Announce,
    /// The time to play, from the first media on; `None` plays to the end.
    pub(super) length: Option<Duration>,
}

/// The statuses for a player whose play begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Announce {
    /// Play.Reset, Play.Start.
    Reset,
    /// Play.Start.
    Start,
    /// Play.Transition, and onPlayStatus Play.TransitionComplete once it gets the new stream.
    Transition,
}

/// A play that has begun.
pub(super) struct Playing {
    pub(super) name: Arc<str>,
    /// The stream it is attached to.
    pub(super) live: Option<Arc<LiveStream>>,
    /// The end of the stream was announced, and no new beginning since.
    pub(super) ended: bool,
    pub(super) length: PlayLength,
}

/// How long a play lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlayLength {
    /// To the end of the stream.
    Unlimited,
    /// This long from its first media on.
    Asked(Duration),
    /// To this moment.
    Until(Instant),
}

/// The most plays that wait on one message stream. Reason: each keeps a name as its client wrote
/// it.
pub(super) const MAX_PLAYLIST: usize = 16;

/// The most message streams of one client. Reason: each is kept until the client deletes it.
pub(super) const MAX_STREAMS: usize = 64;

impl MessageStreams {
    /// Makes a message stream with the lowest free number; `None` if there are too many.
    pub(super) fn create(&mut self) -> Option<MessageStreamId> {
        if self.all.len() >= MAX_STREAMS {
            return None;
        }
        let free = |id: &u32| self.all.iter().all(|stream| stream.id.0 != *id);
        let id = MessageStreamId((1..).find(free)?);
        if self.all.capacity() == 0 {
            // Most clients have one.
            self.all.reserve_exact(1);
        }
        self.all.push(MessageStream {
            id,
            filter: Filter::default(),
            role: Role::Idle,
            playlist: None,
        });
        Some(id)
    }

    /// Makes a message stream that the client has from the process before.
    pub(super) fn restore(&mut self, id: MessageStreamId, filter: Filter) {
        if self.all.len() < MAX_STREAMS && self.get_mut(id).is_none() {
            self.all.push(MessageStream {
                id,
                filter,
                role: Role::Idle,
                playlist: None,
            });
        }
    }

    pub(super) fn get_mut(&mut self, id: MessageStreamId) -> Option<&mut MessageStream> {
        self.all.iter_mut().find(|stream| stream.id == id)
    }

    pub(super) fn delete(&mut self, id: MessageStreamId) {
        self.all.retain(|stream| stream.id != id);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &MessageStream> {
        self.all.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut MessageStream> {
        self.all.iter_mut()
    }

    /// Whether none of them does anything.
    pub(super) fn are_idle(&self) -> bool {
        let mut all = self.all.iter();
        all.all(|stream| matches!(stream.role, Role::Idle))
    }

    /// Takes all of them out, for a client that is gone.
    pub(super) fn take_all(&mut self) -> Vec<MessageStream> {
        std::mem::take(&mut self.all)
    }

    /// Notes on a message stream that the application decides about this name. Returns the
    /// request's number; `None` if there is no such message stream.
    pub(super) fn ask(
        &mut self,
        id: MessageStreamId,
        name: &str,
        query: &str,
        what: Asked,
        relay: Option<Box<RelayUrl>>,
    ) -> Option<u32> {
        let serial = self.last_serial.wrapping_add(1);
        self.last_serial = serial;
        self.get_mut(id)?.role = Role::Asking(Box::new(Asking {
            serial,
            name: name.to_owned(),
            query: query.to_owned(),
            what,
            relay,
        }));
        Some(serial)
    }
}

impl MessageStream {
    pub(super) fn playing(&mut self) -> Option<&mut Playing> {
        match &mut self.role {
            Role::Playing(playing) => Some(playing),
            _ => None,
        }
    }

    /// The request of this number, unless it was withdrawn or decided.
    pub(super) fn take_asking(&mut self, serial: u32) -> Option<Asking> {
        match std::mem::replace(&mut self.role, Role::Idle) {
            Role::Asking(asking) if asking.serial == serial => Some(*asking),
            other => {
                self.role = other;
                None
            }
        }
    }

    /// Queues a play behind the one that plays, or gives it back if too many wait.
    pub(super) fn queue(&mut self, play: Queued) -> Result<(), Queued> {
        let waiting = self.playlist.as_ref().map_or(0, |list| list.waiting.len());
        if waiting >= MAX_PLAYLIST {
            return Err(play);
        }
        let playlist = self.playlist.get_or_insert_default();
        playlist.waiting.push_back(play);
        Ok(())
    }

    /// Whether it plays, or its play waits for the application's decision.
    pub(super) fn plays(&self) -> bool {
        match &self.role {
            Role::Playing(_) => true,
            Role::Asking(asking) => matches!(asking.what, Asked::Play(_)),
            Role::Idle | Role::Publishing { .. } => false,
        }
    }
}

impl PlayHow {
    /// `length` is in milliseconds. 0 asks for a single frame of a recording; a live stream has
    /// none to begin with, so that it means no limit there.
    pub(super) fn new(announce: Announce, length: Option<u32>) -> Self {
        let length = length.filter(|&length| length > 0);
        Self {
            announce,
            length: length.map(|length| Duration::from_millis(length.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(name: &str) -> Queued {
        Queued {
            name: name.to_owned(),
            start: PlayStart::Live,
            how: PlayHow::new(Announce::Start, None),
            relay: None,
        }
    }

    #[test]
    fn a_new_message_stream_gets_the_lowest_free_number() {
        let mut streams = MessageStreams::default();
        for number in 1..=MAX_STREAMS as u32 {
            assert_eq!(streams.create(), Some(MessageStreamId(number)));
        }
        assert_eq!(streams.create(), None, "as many as there may be");
        streams.delete(MessageStreamId(7));
        streams.delete(MessageStreamId(3));
        assert_eq!(streams.create(), Some(MessageStreamId(3)));
    }

    #[test]
    fn a_request_is_decided_once_and_only_if_it_is_the_last() {
        let mut streams = MessageStreams::default();
        let id = streams.create().unwrap();
        let play = Asked::Play(PlayHow::new(Announce::Reset, Some(0)));
        let first = streams.ask(id, "cam", "key", play, None).unwrap();
        let publish = Asked::Publish(Generation::default());
        let second = streams.ask(id, "cam", "", publish, None).unwrap();
        let stream = streams.get_mut(id).unwrap();
        assert!(stream.take_asking(first).is_none(), "it was withdrawn");
        assert!(!stream.plays());
        let asking = stream.take_asking(second).unwrap();
        assert!(matches!(asking.what, Asked::Publish(_)));
        assert!(stream.take_asking(second).is_none(), "it is decided");
        let missing = MessageStreamId(9);
        assert!(streams.ask(missing, "cam", "", publish, None).is_none());
    }

    #[test]
    fn the_plays_that_wait_are_bounded() {
        let mut streams = MessageStreams::default();
        let id = streams.create().unwrap();
        let stream = streams.get_mut(id).unwrap();
        for _ in 0..MAX_PLAYLIST {
            assert!(stream.queue(queued("next")).is_ok());
        }
        assert!(stream.queue(queued("one more")).is_err());
    }

    #[test]
    fn a_play_of_no_length_is_unlimited() {
        assert_eq!(PlayHow::new(Announce::Start, Some(0)).length, None);
        let length = PlayHow::new(Announce::Start, Some(1_500)).length;
        assert_eq!(length, Some(Duration::from_millis(1_500)));
    }
}
