//! The headers in force: what a decoder must have seen before the next frame.

use std::sync::Arc;

use super::Item;
use crate::{
    RtmpTimestamp,
    media::{Class, Kind},
};

/// A header in force.
#[derive(Clone, Debug)]
pub(super) struct Header<T> {
    pub(super) class: Class,
    pub(super) item: T,
}

/// A set of headers that entries share by reference.
pub(super) type HeaderSet<T> = Arc<[Header<T>]>;

/// The headers in force at the end of a ring, metadata first, the rest in order of arrival.
#[derive(Debug)]
pub(super) struct InForce<T> {
    set: HeaderSet<T>,
}

impl<T: Item> InForce<T> {
    pub(super) fn new() -> Self {
        Self { set: Arc::from([]) }
    }

    /// The set, each header at the time it arrived.
    pub(super) fn set(&self) -> &HeaderSet<T> {
        &self.set
    }

    /// Whether this very header is in force.
    pub(super) fn holds(&self, class: Class, item: &T) -> bool {
        let mut set = self.set.iter();
        set.any(|header| header.class == class && header.item.says(item))
    }

    /// Puts a header in force in place of the one of its kind and track. One that is too large to
    /// be repeated only ends the old one.
    pub(super) fn replace(&mut self, class: Class, item: T) {
        let mut headers: Vec<_> = self.set.iter().cloned().collect();
        headers.retain(|header| header.class != class);
        if item.len() <= MAX_HEADER_BYTES {
            let metadata = class.kind == Kind::Metadata;
            let place = if metadata { 0 } else { headers.len() };
            headers.insert(place, Header { class, item });
        }
        let mut bytes: usize = headers.iter().map(|header| header.item.len()).sum();
        while headers.len() > MAX_HEADERS || bytes > MAX_HEADER_BYTES {
            // The oldest goes; metadata stands before it.
            let oldest = usize::from(headers.len() > 1 && headers[0].class.kind == Kind::Metadata);
            bytes -= headers.remove(oldest).item.len();
        }
        self.set = headers.into();
    }

    /// The set, every header at this time.
    pub(super) fn stamped(&self, timestamp: RtmpTimestamp) -> HeaderSet<T> {
        let at = |header: &Header<T>| Header {
            class: header.class,
            item: header.item.at(timestamp),
        };
        self.set.iter().map(at).collect()
    }
}

/// Headers in force at once. Reason: Enhanced RTMP has 256 tracks of each kind; a peer that uses
/// them all must not make every key frame repeat a thousand headers to every viewer.
pub(super) const MAX_HEADERS: usize = 64;

/// Their payload bytes together. Reason: they are repeated to each joining viewer.
pub(super) const MAX_HEADER_BYTES: usize = 1024 * 1024;
