//! The movement of a cursor: the next message for a reader.

use std::{borrow::Cow, time::Duration};

use super::{
    Cursor, Delivery, Item, Publication, Ring,
    cursor::{Reason, Repeat},
    entry::{Entry, Tracks, needs_key},
    store::MAX_KEPT_DATA,
};
use crate::media::{Class, Kind};

/// The decision about an entry.
enum Verdict {
    Deliver,
    Drop(Reason),
}

impl<T: Item> Ring<T> {
    /// The next message for this reader, if there is one now. A reader that is more than `max_lag`
    /// of stream time behind, or has fallen off the ring, jumps forward first. The call allocates
    /// nothing.
    pub fn next(&self, cursor: &mut Cursor, max_lag: Duration) -> Option<Delivery<'_, T>> {
        if cursor.gate.is_some() && !self.pass_gate(cursor) {
            return None;
        }
        if cursor.is_moved && !self.take_in(cursor) {
            return None;
        }
        if cursor.paused_at.is_some() && !self.pause(cursor) {
            return None;
        }
        if let Some(kept) = self.catch_up(cursor) {
            return Some(kept);
        }
        loop {
            let entry = self.entry(cursor.at)?;
            let late = self.keep_up(cursor, entry, max_lag);
            if let Verdict::Drop(reason) = self.judge(cursor, entry, late) {
                cursor.count(reason, 1);
                cursor.repeat.done = 0;
                cursor.step(entry);
                continue;
            }
            if let Some(header) = repeat(cursor, entry) {
                return Some(header);
            }
            if entry.class.is_key() {
                cursor.tracks.insert(entry.class.track);
                cursor.waits = Reason::Waiting;
            }
            cursor.step(entry);
            return Some(delivery(cursor, entry));
        }
    }

    /// Lets the reader continue at its position as after a join, since its last delivery did not
    /// arrive. Headers are repeated, audio passes at once and video from its next key frame.
    pub fn resume(&self, cursor: &mut Cursor) {
        cursor.rejoin(cursor.at, cursor.slack, Reason::Waiting);
    }

    /// Whether the reader is more than `max_lag` of stream time behind, without the distance at
    /// which it began.
    pub fn is_late(&self, cursor: &Cursor, max_lag: Duration) -> bool {
        let lag = self.lag_at(cursor.at).saturating_sub(cursor.slack);
        u128::from(lag) > max_lag.as_millis()
    }

    /// Whether a sync point is ahead of the reader.
    pub fn is_key_ahead(&self, cursor: &Cursor) -> bool {
        self.syncs.back().is_some_and(|&sync| sync > cursor.at)
    }

    /// The data messages before a reader, oldest first, with their numbers and publications: from
    /// number `since` on, at most the last 64 KiB.
    pub fn data_before(
        &self,
        cursor: &Cursor,
        since: u64,
    ) -> impl Iterator<Item = (u64, Publication, &T)> {
        let before = match self.entry(cursor.at) {
            Some(entry) => entry.data_before,
            None => self.data_bytes,
        };
        let at = cursor.at;
        let kept = self.kept.iter().map(|(place, entry)| (*place, entry));
        kept.chain((self.base..).zip(&self.entries))
            .take_while(move |(place, _)| *place < at)
            .filter(move |(_, entry)| {
                entry.class.kind == Kind::Data
                    && before.saturating_sub(entry.data_before) <= MAX_KEPT_DATA
            })
            .filter_map(|(_, entry)| Some((entry.seq?, entry.publication, &entry.item)))
            .filter(move |(seq, ..)| *seq >= since)
    }

    /// Moves a paused reader along without deliveries. Whether the pause is over.
    fn pause(&self, cursor: &mut Cursor) -> bool {
        let end = self.end();
        if cursor.at < end {
            cursor.count(Reason::Filter, end - cursor.at);
            cursor.at = end;
        }
        cursor.seq = self.head();
        if cursor.filter.paused {
            return false;
        }
        let since = cursor.paused_at.take().unwrap_or(end);
        let newest = self.syncs.back().copied().filter(|&sync| sync >= since);
        cursor.at = newest.unwrap_or(end);
        cursor.seq = self.seq_at(cursor.at);
        cursor.rejoin(cursor.at, self.lag_at(cursor.at), Reason::Filter);
        true
    }

    /// Moves a cursor that has fallen off back into the ring. Data messages that are still kept are
    /// delivered first.
    fn catch_up(&self, cursor: &mut Cursor) -> Option<Delivery<'_, T>> {
        if cursor.at < self.cleared {
            cursor.at = self.cleared;
            cursor.seq = self.seq_at(self.cleared);
            cursor.rejoin(self.cleared, 0, Reason::Waiting);
        }
        if cursor.at >= self.base {
            return None;
        }
        if cursor.until <= cursor.at || cursor.until < self.base {
            let target = self.syncs.back().copied().unwrap_or_else(|| self.end());
            cursor.rejoin(target, self.lag_at(target), Reason::FellOff);
        }
        let index = self.kept.partition_point(|(place, _)| *place < cursor.at);
        let Some((place, entry)) = self.kept.get(index) else {
            cursor.count(Reason::FellOff, self.base - cursor.at);
            cursor.at = self.base;
            cursor.seq = self.seq_at(self.base);
            return None;
        };
        cursor.count(Reason::FellOff, place - cursor.at);
        cursor.at = *place;
        cursor.step(entry);
        Some(delivery(cursor, entry))
    }

    /// Lets a cursor jump that is too far behind. Whether it stays behind, because there is no
    /// newer sync point.
    fn keep_up(&self, cursor: &mut Cursor, entry: &Entry<T>, max_lag: Duration) -> bool {
        if cursor.at < cursor.until {
            return false;
        }
        let lag = self.lag_at(cursor.at);
        cursor.slack = cursor.slack.min(lag);
        if u128::from(lag - cursor.slack) <= max_lag.as_millis() {
            return false;
        }
        if let Some(&sync) = self.syncs.back().filter(|&&sync| sync > cursor.at) {
            cursor.rejoin(sync, self.lag_at(sync), Reason::Lag);
            return false;
        }
        if entry.class.is_video() && cursor.filter.video {
            cursor.tracks = Tracks::NONE;
            cursor.waits = Reason::Lag;
        }
        true
    }

    fn judge(&self, cursor: &mut Cursor, entry: &Entry<T>, late: bool) -> Verdict {
        let class = entry.class;
        if cursor.at < cursor.until {
            let before = self.entry(cursor.until).map(|entry| entry.data_before);
            let behind = before.unwrap_or(self.data_bytes) - entry.data_before;
            if class.kind == Kind::Data && behind <= MAX_KEPT_DATA {
                return Verdict::Deliver;
            }
            return Verdict::Drop(cursor.waits);
        }
        if class.is_video() && !cursor.filter.video {
            cursor.repeat.video |= class.is_header();
            return Verdict::Drop(Reason::Filter);
        }
        if class.is_audio() && !cursor.filter.audio {
            cursor.repeat.audio |= class.is_header();
            return Verdict::Drop(Reason::Filter);
        }
        if cursor.passes_over(class) {
            return Verdict::Drop(Reason::Filter);
        }
        let shows_nothing = needs_key(class) && !cursor.tracks.contains(class.track);
        if shows_nothing || (late && class.is_key()) {
            return Verdict::Drop(cursor.waits);
        }
        Verdict::Deliver
    }
}

fn delivery<'a, T: Item>(cursor: &mut Cursor, entry: &'a Entry<T>) -> Delivery<'a, T> {
    Delivery {
        seq: entry.seq,
        timestamp: entry.timestamp,
        class: entry.class,
        publication: entry.publication,
        item: Cow::Borrowed(&entry.item),
        restart: std::mem::take(&mut cursor.restart),
    }
}

/// The next header to repeat before this entry.
fn repeat<'a, T: Item>(cursor: &mut Cursor, entry: &'a Entry<T>) -> Option<Delivery<'a, T>> {
    if cursor.repeat == Repeat::NONE || cursor.at < cursor.until {
        return None;
    }
    while let Some(header) = entry.headers.get(usize::from(cursor.repeat.done)) {
        cursor.repeat.done += 1;
        if !is_wanted(cursor, header.class) {
            continue;
        }
        let timestamp = header.class.repeated_at(entry.timestamp);
        let item = if entry.sync {
            Cow::Borrowed(&header.item)
        } else {
            Cow::Owned(header.item.at(timestamp))
        };
        return Some(Delivery {
            seq: None,
            timestamp,
            class: header.class,
            publication: entry.publication,
            item,
            restart: std::mem::take(&mut cursor.restart),
        });
    }
    cursor.repeat = Repeat {
        metadata: false,
        // Headers that the filter holds back are repeated after the filter has changed.
        audio: cursor.repeat.audio && !cursor.filter.audio,
        video: cursor.repeat.video && !cursor.filter.video,
        done: 0,
    };
    None
}

fn is_wanted(cursor: &Cursor, class: Class) -> bool {
    match class {
        class if cursor.passes_over(class) => false,
        class if class.is_video() => cursor.repeat.video && cursor.filter.video,
        class if class.is_audio() => cursor.repeat.audio && cursor.filter.audio,
        _ => cursor.repeat.metadata,
    }
}

impl Cursor {
    fn step<T>(&mut self, entry: &Entry<T>) {
        self.at += 1;
        if self.at >= self.until {
            self.until = 0;
        }
        if let Some(seq) = entry.seq {
            self.seq = seq + 1;
        }
    }
}
