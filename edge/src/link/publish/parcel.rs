//! The feed of a publish in a parcel.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp,
    link::{LiveId, Target, WriterId},
    media,
    parcel::{Carried, ParcelError, ParcelReader, ParcelWriter},
    ring::{Cursor, Ring, Start},
};

use super::{LIMITS, PublishFeed, PublishSource, PublishState, PublishTarget};
use crate::link::head::counter;

/// The feed of a publish on its way to another process: the messages that a new feed repeats, and
/// the numbers with which it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovedFeed {
    of: PublishTarget,
    epoch: u64,
    /// The number of the next message.
    next: u64,
    /// Data messages, the headers in force, and all since the newest sync point. A repeated header has
    /// no number.
    messages: Vec<(Option<u64>, Message)>,
}

const PROCESS: u16 = 1;
const LIVE: u16 = 2;
const WRITER: u16 = 3;
const EPOCH: u16 = 4;
const NEXT: u16 = 5;
const MESSAGE: u16 = 6;

/// The fields of a message.
const NUMBER: u16 = 1;
const KIND: u16 = 2;
const TIMESTAMP: u16 = 3;
const PAYLOAD: u16 = 4;

/// The messages of a feed that moves. Reason: a ring has half as many, and some data messages and
/// headers come beside them.
const MAX_MOVED_MESSAGES: usize = 2 * LIMITS.messages;

/// The epochs between the feed before a move and the feed after it. Reason: the process before may
/// begin more feeds after its export; the origin takes the highest epoch alone.
const EPOCHS_APART: u64 = 1 << 20;

impl PublishFeed {
    /// The feed, for another process.
    pub fn moved(&self) -> MovedFeed {
        let state = &self.shared;
        let media = state.media();
        let ring = &media.ring;
        let mut cursor = newest_sync(ring, state.begin);
        let data = ring.data_before(&cursor, 0);
        let mut messages: Vec<_> = data
            .map(|(number, _, message)| (Some(number), message.clone()))
            .collect();
        while let Some(delivery) = ring.next(&mut cursor, Duration::MAX) {
            messages.push((delivery.seq, delivery.item.into_owned()));
        }
        MovedFeed {
            of: state.of,
            epoch: state.epoch.load(Ordering::Relaxed),
            next: ring.head(),
            messages,
        }
    }

    /// Writes the fields of the feed, as [`MovedFeed`] does.
    pub fn export(&self, parcel: &mut ParcelWriter) {
        self.moved().export(parcel);
    }

    /// Reads the fields of a feed.
    pub fn import(parcel: &mut ParcelReader<'_>) -> Result<MovedFeed, ParcelError> {
        MovedFeed::import(parcel, ())
    }

    /// The feed in its new process.
    pub(in crate::link) fn arrived(moved: MovedFeed) -> (Self, PublishSource) {
        let mut ring = Ring::new(LIMITS);
        let begin = ring.join(Start::Live);
        for (number, message) in moved.messages {
            let class = media::classify(message.kind, &message.payload);
            let at = message.timestamp;
            match number {
                Some(number) => ring.push_at(number, class, at, message),
                None => ring.push_header(class, at, message),
            };
        }
        ring.continue_at(moved.next);
        let cursor = newest_sync(&ring, begin);
        let shared = PublishState::new(moved.of, moved.epoch + EPOCHS_APART, begin, ring);
        let source = PublishSource {
            shared: Arc::clone(&shared),
            cursor,
            is_moved: true,
        };
        (Self { shared }, source)
    }
}

#[cfg(test)]
impl MovedFeed {
    /// The numbers of its messages.
    pub(in crate::link) fn numbers(&self) -> Vec<Option<u64>> {
        self.messages.iter().map(|(number, _)| *number).collect()
    }
}

/// The newest sync point of a ring; without one, the begin of the ring.
fn newest_sync(ring: &Ring<Message>, begin: Cursor) -> Cursor {
    let newest = ring.join(Start::KeyFrame);
    match newest.position() == ring.head() {
        true => begin,
        false => newest,
    }
}

impl Carried for MovedFeed {
    const NAME: &'static str = "the feed of a publish";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(PROCESS, self.of.process);
        parcel.number(LIVE, self.of.target.live.0);
        parcel.number(WRITER, self.of.target.writer.0);
        parcel.number(EPOCH, self.epoch);
        parcel.number(NEXT, self.next);
        for (number, message) in &self.messages {
            parcel.record(MESSAGE, |parcel| {
                parcel.number_if(NUMBER, *number);
                parcel.number(KIND, message.kind.0);
                parcel.number(TIMESTAMP, message.timestamp.0);
                parcel.bytes(PAYLOAD, &message.payload);
            });
        }
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let of = PublishTarget {
            process: counter(parcel, PROCESS)?,
            target: Target {
                live: LiveId(counter(parcel, LIVE)?),
                writer: WriterId(counter(parcel, WRITER)?),
            },
        };
        let (epoch, next) = (counter(parcel, EPOCH)?, counter(parcel, NEXT)?);
        let mut messages: Vec<(Option<u64>, Message)> = Vec::new();
        let mut after = 0;
        while let Some((number, message)) = parcel.record_if(MESSAGE, "a message", message)? {
            parcel.fits(messages.len() < MAX_MOVED_MESSAGES, "messages")?;
            if let Some(number) = number {
                parcel.require((after..next).contains(&number), MESSAGE)?;
                after = number + 1;
            }
            messages.push((number, message));
        }
        Ok(Self {
            of,
            epoch,
            next,
            messages,
        })
    }
}

fn message(parcel: &mut ParcelReader<'_>) -> Result<(Option<u64>, Message), ParcelError> {
    let number = parcel.number_if(NUMBER)?;
    let message = Message {
        kind: MessageType(parcel.number(KIND)?),
        // A feed carries one message stream.
        stream: MessageStreamId(0),
        timestamp: RtmpTimestamp(parcel.number(TIMESTAMP)?),
        payload: parcel.bytes(PAYLOAD)?.to_vec().into(),
    };
    Ok((number, message))
}
