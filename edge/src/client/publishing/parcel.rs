//! The publishes of a client in a parcel.

use std::collections::VecDeque;

use tributary_protocol::{
    Message, MessageStreamId, RtmpTimestamp,
    link::Generation,
    parcel::{ParcelError, ParcelReader, ParcelWriter},
};

use super::{Held, MAX_STREAMS, MESSAGE_COST, Publish, Publishing, State};
use crate::{link::publish::PublishFeed, metrics::Counted};

const LAST: u16 = 1;
const PUBLISH: u16 = 2;

const STREAM: u16 = 1;
const GENERATION: u16 = 2;
const TIMESTAMP: u16 = 3;
const SINCE: u16 = 4;
const MESSAGE: u16 = 5;
const FEED: u16 = 6;
const READ: u16 = 7;

/// Messages of a publish that is not decided: as many empty ones as its bytes permit, and one read
/// more.
const MAX_MESSAGES: usize = 2 * super::MAX_HELD / MESSAGE_COST;

impl Publishing {
    pub(in crate::client) fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(LAST, self.last.0);
        for publish in &self.streams {
            parcel.record(PUBLISH, |parcel| publish.export(parcel));
        }
    }

    /// The publishes of a parcel. `feed` reads the record of an accepted one.
    pub(in crate::client) fn import(
        parcel: &mut ParcelReader<'_>,
        feed: impl Fn(&mut ParcelReader<'_>) -> Result<PublishFeed, ParcelError>,
        counted: impl Fn() -> Counted,
    ) -> Result<Self, ParcelError> {
        let mut publishing = Self {
            last: Generation(parcel.number(LAST)?),
            streams: Vec::new(),
        };
        let read = |parcel: &mut ParcelReader<'_>| Publish::import(parcel, &feed, &counted);
        while let Some(publish) = parcel.record_if(PUBLISH, "a publish", read)? {
            parcel.fits(publishing.streams.len() < MAX_STREAMS, "publishes")?;
            let is_new = publishing.find(publish.stream).is_none();
            parcel.require(is_new, PUBLISH)?;
            publishing.streams.push(publish);
        }
        Ok(publishing)
    }
}

impl Publish {
    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(STREAM, self.stream.0);
        parcel.number(GENERATION, self.generation.0);
        parcel.number(TIMESTAMP, self.timestamp.0);
        match &self.state {
            State::Held(held) => {
                parcel.time(SINCE, held.since);
                parcel.carry_all(MESSAGE, &held.messages);
            }
            State::Feeding { feed, read, .. } => {
                parcel.record(FEED, |parcel| feed.export(parcel));
                parcel.flag(READ, *read);
            }
            State::Over => {}
        }
    }

    fn import(
        parcel: &mut ParcelReader<'_>,
        feed: impl Fn(&mut ParcelReader<'_>) -> Result<PublishFeed, ParcelError>,
        counted: impl Fn() -> Counted,
    ) -> Result<Self, ParcelError> {
        let stream = MessageStreamId(parcel.number(STREAM)?);
        let generation = Generation(parcel.number(GENERATION)?);
        let timestamp = RtmpTimestamp(parcel.number(TIMESTAMP)?);
        let since = parcel.time_if(SINCE)?;
        let mut messages = VecDeque::new();
        let mut bytes = 0;
        while let Some(message) = parcel.carried_if::<Message>(MESSAGE, ())? {
            parcel.fits(messages.len() < MAX_MESSAGES, "messages of a publish")?;
            parcel.require(since.is_some(), MESSAGE)?;
            bytes += message.payload.len() + MESSAGE_COST;
            messages.push_back(message);
        }
        let feed = parcel.record_if(FEED, "the feed of a publish", feed)?;
        let read = parcel.flag(READ)?;
        let state = match (since, feed) {
            (Some(since), None) => State::Held(Box::new(Held {
                messages,
                bytes,
                since,
            })),
            (None, Some(feed)) => {
                feed.set_read(read);
                State::Feeding {
                    feed,
                    read,
                    _counted: counted(),
                }
            }
            (None, None) => State::Over,
            (Some(_), Some(_)) => return Err(parcel.illegal(FEED)),
        };
        Ok(Self {
            stream,
            generation,
            timestamp,
            state,
        })
    }
}
