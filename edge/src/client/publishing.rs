//! The message streams on which a client publishes.

use std::{collections::VecDeque, time::Instant};

use tributary_protocol::{Message, MessageStreamId, link::Generation};

use crate::{link::publish::PublishFeed, metrics::Counted};

/// What a client publishes, by message stream.
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
    state: State,
}

#[derive(Debug)]
enum State {
    /// Not decided: media waits.
    Held(Box<Held>),
    /// Accepted.
    Feeding {
        feed: PublishFeed,
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

/// A client may publish on this many message streams at once.
pub(super) const MAX_STREAMS: usize = 64;

/// Media held before a publish is accepted, in bytes; beyond it the client is not read.
pub(super) const MAX_HELD: usize = 1024 * 1024;

/// What a message counts besides its payload. Reason: empty messages take memory too.
const MESSAGE_COST: usize = 128;

/// There are [`MAX_STREAMS`] already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooManyPublishes;

impl Publishing {
    /// The generation a message of this stream belongs to now.
    pub(super) fn generation(&self, stream: MessageStreamId) -> Generation {
        self.find(stream)
            .map_or(self.last, |publish| publish.generation)
    }

    /// A publish command on this stream.
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
            state,
        });
        Ok(generation)
    }

    /// A command that ends what this stream publishes, if it does.
    pub(super) fn end(&mut self, stream: MessageStreamId) -> Generation {
        let generation = self.next_generation();
        self.streams.retain(|publish| publish.stream != stream);
        generation
    }

    /// The publish of this generation is accepted: what waits goes out. Whether the stream feeds
    /// now; an older generation does not.
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
        if let State::Held(held) = &mut publish.state {
            for message in held.messages.drain(..) {
                feed.push(message);
            }
        }
        publish.state = State::Feeding {
            feed,
            _counted: counted,
        };
        true
    }

    /// The publish of this generation is refused or over.
    pub(super) fn stop(&mut self, stream: MessageStreamId, generation: Generation) {
        if let Some(publish) = self.find_mut(stream)
            && publish.generation == generation
        {
            publish.state = State::Over;
        }
    }

    /// Takes a message of a publishing stream.
    pub(super) fn push(&mut self, message: Message) {
        let Some(publish) = self.find_mut(message.stream) else {
            return;
        };
        match &mut publish.state {
            State::Feeding { feed, .. } => feed.push(message),
            State::Held(held) => {
                held.bytes += message.payload.len() + MESSAGE_COST;
                held.messages.push_back(message);
            }
            State::Over => {}
        }
    }

    /// Since when the client must not be read, because too much waits for a decision.
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

    /// The streams whose media goes to the origin.
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
