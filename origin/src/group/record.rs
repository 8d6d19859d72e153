//! Records: what an edge keeps of a client, so that another process of this origin can go on with it.
//!
//! A record is written before the client is told of what it says, in the same lane: an edge has it
//! exactly if its client may have heard of it. Edges keep records and cannot make them: each carries a
//! code over its session, its part and its bytes ([`RecordKey`](crate::session::RecordKey)).

use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tributary_protocol::{
    MessageStreamId,
    link::{Filter, Generation, LiveId, Record},
    parcel::{ParcelError, ParcelReader, ParcelWriter},
};

use super::{
    access::Access,
    client::Client,
    message_stream::{Announce, Asked, MessageStream, PlayHow, PlayLength, Role},
    name::{MAX_NAME, MAX_QUERY},
    resume_token::Resumable,
};

/// The part with what an application has set of the client.
pub(super) const CLIENT: u32 = 0;

/// The part with what an application has the client remember.
pub(super) const REMEMBERED: u32 = 1;

/// The part with the token by which a client may come back. An origin of an older version ignores it.
pub(super) const RESUME: u32 = 2;

/// The part of a message stream is this and its number, which is not 0.
const STREAMS: u32 = 2;

/// A message stream as its record has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StreamRecord {
    pub(super) id: MessageStreamId,
    pub(super) filter: Filter,
    pub(super) role: RecordedRole,
}

/// The use of a message stream as its record has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RecordedRole {
    Idle,
    /// A request about which the application has not decided: it is asked again.
    Asking {
        name: String,
        query: String,
        what: Asked,
    },
    Publishing {
        name: String,
        generation: Generation,
        query: String,
        /// The number of the live stream.
        live: LiveId,
        /// The distance of the stream's time from the publisher's, if it is known.
        offset: Option<u32>,
    },
    Playing {
        name: String,
        /// The number of the live stream that it was attached to.
        live: Option<LiveId>,
        ended: bool,
        length: PlayLength,
    },
}

/// The time at which a record is written or read, by the clock of the process and by that of the machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordTime {
    now: Instant,
    /// Milliseconds since 1970, by which two processes know how long a record was kept.
    unix_ms: u64,
}

/// The settings of a client that its application has made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ClientRecord {
    pub(super) read_access: Access,
    pub(super) write_access: Access,
}

const ROLE: u16 = 1;
const FILTER: u16 = 2;
const NAME: u16 = 3;
const GENERATION: u16 = 4;
const QUERY: u16 = 5;
const OFFSET: u16 = 6;
const LIVE: u16 = 7;
const ENDED: u16 = 8;
const ASKED_MS: u16 = 9;
const UNTIL: u16 = 10;
const WRITTEN: u16 = 11;

const TOO_LONG: u16 = 1;
const READ_ACCESS: u16 = 2;
const WRITE_ACCESS: u16 = 3;

const IDLE: u8 = 0;
const PUBLISHING: u8 = 1;
const PLAYING: u8 = 2;
const ASKING_TO_PUBLISH: u8 = 3;
/// A play that announces its beginning by Reset and Start, by Start, or as a transition.
const ASKING_TO_PLAY: [u8; 3] = [4, 5, 6];

/// The longest list of folders, in bytes. A client with a longer one does not go on at another process.
const MAX_ACCESS: usize = Record::MAX / 4;

impl Client {
    /// Has the edge remember a message stream as it is now, or that it is no more.
    pub(super) fn remember_stream(&self, id: MessageStreamId, now: Instant) {
        if !self.lane().remembers() {
            return;
        }
        let Some(part) = STREAMS.checked_add(id.0) else {
            return;
        };
        let stream = self.streams.iter().find(|stream| stream.id == id);
        let bytes = stream.map_or_else(Bytes::new, |stream| {
            let is_repeated = |it: &Resumable| it.repeated.contains(&id);
            let resumable = self.resumable.as_deref();
            let record = match resumable.is_some_and(is_repeated) {
                // Its edge passes the publish or play on once more: with that it begins.
                true => StreamRecord {
                    role: RecordedRole::Idle,
                    ..StreamRecord::of(stream)
                },
                false => StreamRecord::of(stream),
            };
            record.encode(RecordTime::at(now))
        });
        self.keep(part, bytes);
    }

    /// Has the edge keep a part of the client's record, if it keeps one.
    fn keep(&self, part: u32, bytes: Bytes) {
        self.lane().remember(self.place().session, part, bytes);
    }

    /// Has another edge remember all of the client.
    pub(super) fn remember_all(&self, now: Instant) {
        self.remember_settings();
        if let Some(resumable) = &self.resumable {
            let bytes = resumable.remembered.borrow().clone();
            if !bytes.is_empty() {
                self.keep(REMEMBERED, bytes);
            }
        }
        for stream in self.streams.iter() {
            self.remember_stream(stream.id, now);
        }
    }

    /// Has the edge remember what the application has set of the client. Every accepted client has this
    /// record: one without it does not go on.
    pub(super) fn remember_settings(&self) {
        if !self.lane().remembers() {
            return;
        }
        let record = ClientRecord {
            read_access: self.read_access.clone(),
            write_access: self.write_access.clone(),
        };
        // It has no times.
        let bytes = record.encode(self.opened);
        self.keep(CLIENT, bytes);
        if let Some(resumable) = &self.resumable {
            self.keep(RESUME, resumable.record());
        }
    }

    /// Has the edge remember these bytes of the application, of at most
    /// [`MAX_REMEMBERED`](Self::MAX_REMEMBERED), in place of those before. They are there when the client goes
    /// on at another process; without a cluster nothing happens. `false` if they are too long.
    pub fn remember(&self, bytes: &[u8]) -> bool {
        let fits = bytes.len() <= Self::MAX_REMEMBERED;
        if fits && (self.lane().remembers() || self.resumable.is_some()) {
            let bytes = Bytes::copy_from_slice(bytes);
            if let Some(resumable) = &self.resumable {
                *resumable.remembered.borrow_mut() = bytes.clone();
            }
            self.keep(REMEMBERED, bytes);
        }
        fits
    }

    /// Bytes that an application has a client remember. Reason: its edge keeps them for each session.
    pub const MAX_REMEMBERED: usize = 4 * 1024;
}

impl RecordTime {
    /// The present time, at which the clock of the process has this value.
    pub(super) fn at(now: Instant) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let unix_ms = since.unwrap_or_default().as_millis();
        Self {
            now,
            unix_ms: u64::try_from(unix_ms).unwrap_or(u64::MAX),
        }
    }

    /// A time in a record that was written at `written`: what has passed since then counts.
    fn less_kept(self, until: Instant, written: u64) -> Instant {
        let kept = Duration::from_millis(self.unix_ms.saturating_sub(written));
        let until = until.checked_sub(kept).unwrap_or(self.now);
        until.max(self.now)
    }
}

impl StreamRecord {
    fn of(stream: &MessageStream) -> Self {
        let role = match &stream.role {
            Role::Idle => RecordedRole::Idle,
            Role::Asking(asking) => RecordedRole::Asking {
                name: asking.name.clone(),
                query: asking.query.clone(),
                what: asking.what,
            },
            Role::Publishing {
                name,
                generation,
                query,
                live,
            } => RecordedRole::Publishing {
                name: name.to_string(),
                generation: *generation,
                query: query.to_string(),
                live: live.id(),
                offset: live.offset(),
            },
            Role::Playing(playing) => RecordedRole::Playing {
                name: playing.name.to_string(),
                live: playing.live.as_ref().map(|live| live.id()),
                ended: playing.ended,
                length: playing.length,
            },
        };
        Self {
            id: stream.id,
            filter: stream.filter,
            role,
        }
    }

    /// The message stream of a part; none for another part.
    pub(super) fn stream_of(part: u32) -> Option<MessageStreamId> {
        let id = part.checked_sub(STREAMS).filter(|id| *id > 0)?;
        Some(MessageStreamId(id))
    }

    pub(super) fn encode(&self, at: RecordTime) -> Bytes {
        let mut record = ParcelWriter::new(at.now);
        let role = match &self.role {
            RecordedRole::Idle => IDLE,
            RecordedRole::Publishing { .. } => PUBLISHING,
            RecordedRole::Playing { .. } => PLAYING,
            RecordedRole::Asking { what, .. } => match what {
                Asked::Publish(_) => ASKING_TO_PUBLISH,
                Asked::Play(how) => match how.announce {
                    Announce::Reset => ASKING_TO_PLAY[0],
                    Announce::Start => ASKING_TO_PLAY[1],
                    Announce::Transition => ASKING_TO_PLAY[2],
                },
            },
        };
        record.number(ROLE, role);
        let Filter {
            audio,
            video,
            paused,
        } = self.filter;
        let bits = u8::from(audio) | u8::from(video) << 1 | u8::from(paused) << 2;
        record.number(FILTER, bits);
        match &self.role {
            RecordedRole::Idle => {}
            RecordedRole::Asking { name, query, what } => {
                record.bytes(NAME, name.as_bytes());
                if let Asked::Publish(generation) = what {
                    record.number(GENERATION, generation.0);
                }
                record.bytes(QUERY, query.as_bytes());
                if let Asked::Play(PlayHow {
                    length: Some(length),
                    ..
                }) = what
                {
                    record.number(ASKED_MS, millis(*length));
                }
            }
            RecordedRole::Publishing {
                name,
                generation,
                query,
                live,
                offset,
            } => {
                record.bytes(NAME, name.as_bytes());
                record.number(GENERATION, generation.0);
                record.bytes(QUERY, query.as_bytes());
                record.number_if(OFFSET, *offset);
                record.number(LIVE, live.0);
            }
            RecordedRole::Playing {
                name,
                live,
                ended,
                length,
            } => {
                record.bytes(NAME, name.as_bytes());
                record.number_if(LIVE, live.map(|live| live.0));
                record.flag(ENDED, *ended);
                match length {
                    PlayLength::Unlimited => {}
                    PlayLength::Asked(length) => {
                        record.number(ASKED_MS, millis(*length));
                    }
                    PlayLength::Until(until) => {
                        record.time(UNTIL, *until);
                        record.number(WRITTEN, at.unix_ms);
                    }
                }
            }
        }
        record.finish().unwrap_or_default()
    }

    pub(super) fn decode(
        id: MessageStreamId,
        bytes: &[u8],
        at: RecordTime,
    ) -> Result<Self, ParcelError> {
        let mut record = ParcelReader::new(bytes, "a message stream", at.now, Record::MAX)?;
        let role: u8 = record.number(ROLE)?;
        let bits: u8 = record.number(FILTER)?;
        let filter = Filter {
            audio: bits & 1 != 0,
            video: bits & 2 != 0,
            paused: bits & 4 != 0,
        };
        let role = match role {
            IDLE => RecordedRole::Idle,
            PUBLISHING => RecordedRole::Publishing {
                name: record.text(NAME, MAX_NAME)?.to_owned(),
                generation: Generation(record.number(GENERATION)?),
                query: record.text(QUERY, MAX_QUERY)?.to_owned(),
                offset: record.number_if(OFFSET)?,
                live: LiveId(record.number(LIVE)?),
            },
            PLAYING => RecordedRole::Playing {
                name: record.text(NAME, MAX_NAME)?.to_owned(),
                live: record.number_if(LIVE)?.map(LiveId),
                ended: record.flag(ENDED)?,
                length: match (record.number_if(ASKED_MS)?, record.time_if(UNTIL)?) {
                    (Some(asked), _) => PlayLength::Asked(Duration::from_millis(asked)),
                    (_, Some(until)) => {
                        PlayLength::Until(at.less_kept(until, record.number(WRITTEN)?))
                    }
                    _ => PlayLength::Unlimited,
                },
            },
            ASKING_TO_PUBLISH => {
                let name = record.text(NAME, MAX_NAME)?.to_owned();
                let what = Asked::Publish(Generation(record.number(GENERATION)?));
                let query = record.text(QUERY, MAX_QUERY)?.to_owned();
                RecordedRole::Asking { name, query, what }
            }
            role => {
                let announce = match ASKING_TO_PLAY.iter().position(|it| *it == role) {
                    Some(0) => Announce::Reset,
                    Some(1) => Announce::Start,
                    Some(_) => Announce::Transition,
                    None => return Err(record.illegal(ROLE)),
                };
                RecordedRole::Asking {
                    name: record.text(NAME, MAX_NAME)?.to_owned(),
                    query: record.text(QUERY, MAX_QUERY)?.to_owned(),
                    what: Asked::Play(PlayHow {
                        announce,
                        length: record.number_if(ASKED_MS)?.map(Duration::from_millis),
                    }),
                }
            }
        };
        record.finish()?;
        Ok(Self { id, filter, role })
    }
}

fn millis(length: Duration) -> u32 {
    u32::try_from(length.as_millis()).unwrap_or(u32::MAX)
}

impl ClientRecord {
    pub(super) fn encode(&self, now: Instant) -> Bytes {
        let mut record = ParcelWriter::new(now);
        let (read, write) = (self.read_access.list(), self.write_access.list());
        if read.len().max(write.len()) > MAX_ACCESS {
            record.flag(TOO_LONG, true);
        } else {
            record.bytes(READ_ACCESS, read.as_bytes());
            record.bytes(WRITE_ACCESS, write.as_bytes());
        }
        record.finish().unwrap_or_default()
    }

    pub(super) fn decode(bytes: &[u8], now: Instant) -> Result<Self, ParcelError> {
        let mut record = ParcelReader::new(bytes, "a client", now, Record::MAX)?;
        if record.flag(TOO_LONG)? {
            return Err(record.illegal(TOO_LONG));
        }
        let read = Self {
            read_access: Access::new(record.text(READ_ACCESS, MAX_ACCESS)?),
            write_access: Access::new(record.text(WRITE_ACCESS, MAX_ACCESS)?),
        };
        record.finish()?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests;
