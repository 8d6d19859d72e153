//! The streams that an application opens, and the sources it plays into them.
//!
//! A stream of the application is a name, until a source is played into it: then it publishes that
//! name, as a client would, and a relay copies one source after the other into its ring. The group
//! decides the order and the times; no media passes through it.
//!
//! ```text
//!            play                    playlist over, stop
//! silent ─────────────► on air ──────────────────────────► silent
//!    │ send                 │ source ends, time is up: the next of the playlist
//!    └───► holds the name loosely: a publisher takes it over
//! ```
//!
//! | module | what it does |
//! |---|---|
//! | `acts` | a stream as a publisher: played into, sent to, stopped, closed |
//! | `sources` | its sources: begun, ended, followed by the next |
//! | `remote` | sources on the other side of a connection |
//! | `status` | statuses for the application |
//!
//! State of [`OwnStreams`] is each stream's name, filter and playlist, the source of the moment, and
//! the last number. A restore makes anew: the relay, the writer and the live streams.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use tributary_protocol::link::{Filter, WriterId};

use super::name::StreamName;
use crate::{
    app::{ConnectionId, NetStreamId, StreamError, StreamId},
    live::{LiveStream, relay::Relay},
};

mod acts;
mod remote;
pub(super) mod sources;
mod status;

/// The streams of an application, by number and by name.
#[derive(Default)]
pub(super) struct OwnStreams {
    table: HashMap<StreamId, OwnStream>,
    names: HashMap<Arc<str>, StreamId>,
    last: u64,
}

/// A stream of the application.
pub(super) struct OwnStream {
    pub(super) name: Arc<str>,
    pub(super) filter: Filter,
    /// The application sets and reads it; it has no effect.
    pub(super) buffer: Duration,
    playlist: VecDeque<PlaylistItem>,
    on_air: Option<OnAir>,
}

/// A source that waits in a playlist.
struct PlaylistItem {
    name: Arc<str>,
    length: Option<Duration>,
    /// The connection that has the source, with the start of its play command.
    remote: Option<(ConnectionId, f64)>,
}

/// A stream that publishes its name.
struct OnAir {
    live: Arc<LiveStream>,
    writer: WriterId,
    relay: Relay,
    since: Instant,
    /// Counts the plays.
    serial: u64,
    playing: Option<Source>,
}

/// The source of the moment.
struct Source {
    name: Arc<str>,
    length: Option<Duration>,
    /// The NetStream that brings it, if it is not of this group.
    remote: Option<NetStreamId>,
    /// The live stream of its media, once there is some.
    live: Option<Arc<LiveStream>>,
    /// When it is over, once it has begun.
    until: Option<Instant>,
}

/// The most streams that one application instance may have open. Reason: each costs some hundred
/// bytes, a ring once it is used, and a task once it plays.
pub(super) const MAX_OWN_STREAMS: usize = 1_024;

/// The most plays that wait in the playlist of one stream. Reason: each keeps a name.
pub(super) const MAX_PLAYLIST: usize = 1_024;

impl OwnStreams {
    /// The stream of this name, if it is open.
    fn named(&self, name: &str) -> Option<StreamId> {
        self.names.get(name).copied()
    }

    pub(super) fn get(&self, id: StreamId) -> Option<&OwnStream> {
        self.table.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: StreamId) -> Option<&mut OwnStream> {
        self.table.get_mut(&id)
    }

    /// No streams, but their numbers go on: a status may be on its way to an older one.
    pub(super) fn reset(&mut self) {
        *self = Self {
            last: self.last,
            ..Self::default()
        };
    }

    /// Opens a stream of the application; the same one for the same name.
    pub(super) fn open(&mut self, name: &str) -> Result<StreamId, StreamError> {
        let name = StreamName::parse(name).ok_or(StreamError::BadName)?.name;
        if let Some(&id) = self.names.get(name) {
            return Ok(id);
        }
        if self.table.len() >= MAX_OWN_STREAMS {
            return Err(StreamError::TooMany);
        }
        self.last += 1;
        let (id, name) = (StreamId(self.last), Arc::from(name));
        let stream = OwnStream {
            name: Arc::clone(&name),
            filter: Filter::default(),
            buffer: Duration::ZERO,
            playlist: VecDeque::new(),
            on_air: None,
        };
        self.names.insert(name, id);
        self.table.insert(id, stream);
        Ok(id)
    }

    fn on_air(&mut self, id: StreamId) -> Option<&mut OnAir> {
        self.get_mut(id)?.on_air.as_mut()
    }

    /// Whether a stream plays the source of this NetStream.
    fn plays_from(&self, id: StreamId, stream: NetStreamId) -> bool {
        let playing = self.get(id).and_then(OwnStream::playing);
        playing.is_some_and(|playing| playing.remote == Some(stream))
    }

    /// Whether a stream of this name plays, directly or through others of the application, the
    /// stream `target`.
    fn leads_to(&self, name: &str, target: &str) -> bool {
        let mut name = name;
        for _ in 0..=MAX_OWN_STREAMS {
            if name == target {
                return true;
            }
            let own = self.named(name).and_then(|id| self.get(id));
            match own.and_then(OwnStream::local_source) {
                Some(source) => name = source,
                None => return false,
            }
        }
        true
    }

    fn remove(&mut self, id: StreamId) {
        if let Some(stream) = self.table.remove(&id) {
            self.names.remove(&stream.name);
        }
    }
}

impl OwnStream {
    /// Whether it publishes its name.
    pub(super) fn is_on_air(&self) -> bool {
        self.on_air.is_some()
    }

    /// For how long it has published.
    pub(super) fn time(&self, now: Instant) -> Duration {
        let since = self.on_air.as_ref().map(|on_air| on_air.since);
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    /// The name that it plays, or waits for.
    pub(super) fn source(&self) -> Option<&Arc<str>> {
        self.playing().map(|playing| &playing.name)
    }

    /// The name that it plays or waits for, if it is of this group.
    fn local_source(&self) -> Option<&Arc<str>> {
        let playing = self.playing()?;
        playing.remote.is_none().then_some(&playing.name)
    }

    fn playing(&self) -> Option<&Source> {
        self.on_air.as_ref()?.playing.as_ref()
    }

    pub(super) fn set_filter(&mut self, filter: Filter) {
        self.filter = filter;
        if let Some(on_air) = &self.on_air {
            on_air.relay.set_filter(filter);
        }
    }
}

/// The result of a search for a source: its NetStream and its media, as far as there are any; or
/// the reason of the failure.
type Found = Result<(Option<NetStreamId>, Option<Arc<LiveStream>>), &'static str>;
