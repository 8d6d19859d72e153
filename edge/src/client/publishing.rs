//! The message streams on which a client publishes.

use std::{collections::VecDeque, time::Instant};

use tributary_protocol::{Message, MessageStreamId, RtmpTimestamp, link::Generation};

use crate::{link::publish::PublishFeed, metrics::Counted};

mod parcel;

/// The publishes of a client, by message stream.
///
/// ```text
///            publish                AcceptPublish
///   (none) ───────────► Held(media) ─────────────► Feeding
///      ▲                  │                           │
///      └── closeStream, deleteStream, StopPublish ◄───┘
/// ```
///
/// Each publish, closeStream and deleteStream begins a generation. Generations rise through the
/// whole connection, so that they rise in each message stream.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    last: Generation,
    streams: Vec<Publish>,
}

#[derive(Debug)]
struct Publish {
    stream: MessageStreamId,
    generation: Generation,
    /// The timestamp of its last media message.
    timestamp: RtmpTimestamp,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Not decided: media is held.
    Held(Box<Held>),
    /// Accepted.
    Feeding {
        feed: PublishFeed,
        /// Whether the live stream has readers.
        read: bool,
        _counted: Counted,
    },
    /// Refused or over: media is dropped.
    Over,
}

#[derive(Debug)]
struct Held {
    messages: VecDeque<Message>,
    bytes: usize,
    since: Instant,
}

/// Message streams on which a client may publish at one time.
pub(super) const MAX_STREAMS: usize = 64;

/// Bytes of media held for a publish that is not decided; beyond it the client is not read.
pub(super) const MAX_HELD: usize = 1024 * 1024;

/// Bytes that a message counts besides its payload. Reason: empty messages take memory too.
const MESSAGE_COST: usize = 128;

/// The client publishes on [`MAX_STREAMS`] message streams already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManyPublishes;

impl Publishing {
    /// The generation to which a message of this stream belongs now.
    pub(super) fn generation(&self, stream: MessageStreamId) -> Generation {
        self.find(stream)
            .map_or(self.last, |publish| publish.generation)
    }

    /// Begins a generation for a publish command.
    pub(super) fn begin(
        &mut self,
        stream: MessageStreamId,
        now: Instant,
    ) -> Result<Generation, TooManyPublishes> {
        let generation = self.next_generation();
        let state = State::Held(Box::new(Held {
            messages: VecDeque::new(),
            bytes: 0,
            since: now,
        }));
        if let Some(publish) = self.find_mut(stream) {
            publish.generation = generation;
            publish.state = state;
            return Ok(generation);
        }
        if self.streams.len() >= MAX_STREAMS {
            return Err(TooManyPublishes);
        }
        self.streams.push(Publish {
            stream,
            generation,
            timestamp: RtmpTimestamp(0),
            state,
        });
        Ok(generation)
    }

    /// Begins a generation for a closeStream or deleteStream command, and ends the stream's
    /// publish.
    pub(super) fn end(&mut self, stream: MessageStreamId) -> Generation {
        let generation = self.next_generation();
        self.streams.retain(|publish| publish.stream != stream);
        generation
    }

    /// Accepts the publish of this generation, and sends the held media. Returns whether the stream
    /// feeds now: an accept of an older generation changes nothing.
    pub(super) fn accept(
        &mut self,
        stream: MessageStreamId,
        generation: Generation,
        feed: PublishFeed,
        counted: Counted,
    ) -> bool {
        let publish = self.find_mut(stream);
        let Some(publish) = publish.filter(|publish| publish.generation == generation) else {
            return false;
        };
        match &mut publish.state {
            State::Held(held) => {
                for message in held.messages.drain(..) {
                    feed.push(message);
                }
            }
            // Its origin is another process now.
            State::Feeding { feed: before, .. } => feed.go_on_from(before),
            State::Over => {}
        }
        publish.state = State::Feeding {
            feed,
            read: true,
            _counted: counted,
        };
        true
    }

    /// Stops the publish of this generation, which was refused or is over.
    pub(super) fn stop(&mut self, stream: MessageStreamId, generation: Generation) {
        if let Some(publish) = self.find_mut(stream)
            && publish.generation == generation
        {
            publish.state = State::Over;
        }
    }

    /// Notes whether the live stream of the publish of this generation has readers.
    pub(super) fn set_read(&mut self, stream: MessageStreamId, generation: Generation, read: bool) {
        if let Some(publish) = self.find_mut(stream)
            && publish.generation == generation
            && let State::Feeding { feed, read: is, .. } = &mut publish.state
        {
            *is = read;
            feed.set_read(read);
        }
    }

    /// Whether the client publishes nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Whether the client publishes, and no publish has readers or is not decided.
    pub(super) fn is_unread(&self) -> bool {
        let unread = |publish: &Publish| match publish.state {
            State::Held(_) => false,
            State::Feeding { read, .. } => !read,
            State::Over => true,
        };
        self.feeding().next().is_some() && self.streams.iter().all(unread)
    }

    /// Lets all media leave that waits for more.
    pub(super) fn flush(&self) {
        for publish in &self.streams {
            if let State::Feeding { feed, .. } = &publish.state {
                feed.flush();
            }
        }
    }

    /// Feeds, holds or drops a media message.
    pub(super) fn push(&mut self, message: Message) {
        let Some(publish) = self.find_mut(message.stream) else {
            return;
        };
        publish.timestamp = message.timestamp;
        match &mut publish.state {
            State::Feeding { feed, .. } => feed.push(message),
            State::Held(held) => {
                held.bytes += message.payload.len() + MESSAGE_COST;
                held.messages.push_back(message);
            }
            State::Over => {}
        }
    }

    /// The timestamp of the last media on a message stream.
    pub(super) fn timestamp(&self, stream: MessageStreamId) -> RtmpTimestamp {
        let publish = self.find(stream);
        publish.map_or(RtmpTimestamp(0), |publish| publish.timestamp)
    }

    /// The time since when held media fills [`MAX_HELD`] and keeps the client from being read.
    pub(super) fn full_since(&self) -> Option<Instant> {
        let full = self
            .streams
            .iter()
            .filter_map(|publish| match &publish.state {
                State::Held(held) if held.bytes >= MAX_HELD => Some(held.since),
                _ => None,
            });
        full.min()
    }

    /// The message streams whose media goes to the origin.
    pub(super) fn feeding(&self) -> impl Iterator<Item = MessageStreamId> + '_ {
        let feeding = |publish: &&Publish| matches!(publish.state, State::Feeding { .. });
        self.streams
            .iter()
            .filter(feeding)
            .map(|publish| publish.stream)
    }

    fn next_generation(&mut self) -> Generation {
        self.last = Generation(self.last.0.wrapping_add(1));
        self.last
    }

    fn find(&self, stream: MessageStreamId) -> Option<&Publish> {
        self.streams.iter().find(|publish| publish.stream == stream)
    }

    fn find_mut(&mut self, stream: MessageStreamId) -> Option<&mut Publish> {
        self.streams
            .iter_mut()
            .find(|publish| publish.stream == stream)
    }
}
