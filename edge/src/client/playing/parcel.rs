//! The plays of a client in a parcel.

use std::{collections::VecDeque, sync::Arc};

use tributary_protocol::{
    Message, MessageStreamId,
    link::{FeedPlace, LiveId},
    parcel::{ParcelError, ParcelReader, ParcelWriter},
    ring::Cursor,
};

use super::{Held, Play, Playing};
use crate::fanout::{StreamKey, Viewer};

const PLAY: u16 = 1;

const STREAM: u16 = 1;
const ORIGIN: u16 = 2;
const LIVE: u16 = 3;
const NAME: u16 = 4;
const CURSOR: u16 = 5;
const HELD: u16 = 6;
const BASE: u16 = 7;

const MESSAGE: u16 = 1;
const AFTER: u16 = 2;
const DEADLINE: u16 = 3;

/// The longest name of a stream; a frame of the link has no longer one.
const MAX_NAME: usize = 64 * 1024;

/// Plays of a client, and messages that wait at each. Reason: both cost the client messages of its
/// own, and a parcel is bounded as a whole.
const MAX_PLAYS: usize = 65_536;
const MAX_HELD: usize = 65_536;

/// A play on its way.
pub(in crate::client) struct MovedPlay {
    pub(in crate::client) stream: MessageStreamId,
    pub(in crate::client) key: StreamKey,
    pub(in crate::client) name: Option<Arc<str>>,
    pub(in crate::client) cursor: Cursor,
}

impl Playing {
    pub(in crate::client) fn export(&self, parcel: &mut ParcelWriter) {
        for play in &self.plays {
            parcel.record(PLAY, |parcel| play.export(parcel));
        }
    }

    /// The plays of a parcel; `resume` makes the viewer of each.
    pub(in crate::client) fn import(
        parcel: &mut ParcelReader<'_>,
        resume: impl Fn(&MovedPlay) -> Viewer,
    ) -> Result<Self, ParcelError> {
        let mut playing = Self::default();
        let read = |parcel: &mut ParcelReader<'_>| Play::import(parcel, &resume);
        while let Some(play) = parcel.record_if(PLAY, "a play", read)? {
            parcel.fits(playing.plays.len() < MAX_PLAYS, "plays")?;
            let is_new = playing.find(play.viewer.stream()).is_none();
            playing.plays.push(play);
            parcel.require(is_new, PLAY)?;
        }
        Ok(playing)
    }
}

impl Play {
    fn export(&self, parcel: &mut ParcelWriter) {
        let live = self.viewer.local().live();
        let (key, base) = (live.key(), live.base());
        parcel.number(STREAM, self.viewer.stream().0);
        parcel.number(ORIGIN, key.origin);
        parcel.number(LIVE, key.live.0);
        if let Some(name) = &self.name {
            parcel.bytes(NAME, name.as_bytes());
        }
        parcel.carry(CURSOR, &self.viewer.cursor());
        for held in &self.held {
            parcel.record(HELD, |parcel| {
                parcel.carry(MESSAGE, &held.message);
                parcel.number_if(AFTER, held.after.map(|place| place.0));
                parcel.time(DEADLINE, held.deadline);
            });
        }
        parcel.number_if(BASE, (base > 0).then_some(base));
    }

    fn import(
        parcel: &mut ParcelReader<'_>,
        resume: impl Fn(&MovedPlay) -> Viewer,
    ) -> Result<Self, ParcelError> {
        let stream = MessageStreamId(parcel.number(STREAM)?);
        let key = StreamKey {
            origin: parcel.number(ORIGIN)?,
            live: LiveId(parcel.number(LIVE)?),
        };
        let name = match parcel.bytes_if(NAME)? {
            None => None,
            Some(bytes) => {
                parcel.fits(bytes.len() <= MAX_NAME, "bytes of a stream's name")?;
                let name = str::from_utf8(bytes).map_err(|_| parcel.illegal(NAME))?;
                Some(Arc::from(name))
            }
        };
        let cursor = parcel.carried(CURSOR, ())?;
        let mut waiting = Vec::new();
        let read = |parcel: &mut ParcelReader<'_>| {
            let message: Message = parcel.carried(MESSAGE, ())?;
            let after = parcel.number_if(AFTER)?.map(FeedPlace);
            Ok((message, after, parcel.time(DEADLINE)?))
        };
        while let Some(held) = parcel.record_if(HELD, "a message that waits", read)? {
            parcel.fits(waiting.len() < MAX_HELD, "messages that wait")?;
            waiting.push(held);
        }
        let base = parcel.number_if(BASE)?.unwrap_or(0);
        let moved = MovedPlay {
            stream,
            key,
            name,
            cursor,
        };
        let viewer = resume(&moved);
        viewer.local().live().set_base(base);
        let waits = viewer.local().live().waits();
        let held = waiting.into_iter().map(|(message, after, deadline)| Held {
            message,
            after,
            deadline,
            waits,
        });
        let play = Self {
            viewer,
            name: moved.name,
            held: held.collect::<VecDeque<_>>(),
        };
        play.await_first();
        Ok(play)
    }
}
