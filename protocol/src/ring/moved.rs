//! Rings that take the place of others, and readers that come from those.
//!
//! ```text
//!   the ring before:  k p p a p p k p p a│            the reader has had all before │
//!   this ring:                    k p p a│p a ...     it continues here, and loses nothing
//! ```

use super::{
    Cursor, Item, Ring,
    cursor::Reason,
    entry::{Entry, Tracks},
};
use crate::media::Kind;

impl<T: Item> Ring<T> {
    /// Lets the next message have this number, unless numbers have come farther: the ring takes the
    /// place of one that had messages up to here.
    pub fn continue_at(&mut self, number: u64) {
        self.next_seq = self.next_seq.max(number);
    }

    /// Places a reader that comes from another ring of the same stream. Whether this ring has reached
    /// the reader's next message.
    ///
    /// If this ring has the media before that message, too, the reader continues without a loss; of
    /// video, the tracks whose last key frame is here. Otherwise it joins at the newest key frame, and
    /// gets the data messages up to there.
    pub(super) fn take_in(&self, cursor: &mut Cursor) -> bool {
        if self.head() <= cursor.seq {
            return false;
        }
        cursor.is_moved = false;
        let is_new = |entry: &Entry<T>| entry.seq >= Some(cursor.seq);
        if let Some((place, _)) = self.kept.iter().find(|(_, entry)| is_new(entry)) {
            // It has fallen off, and jumps.
            cursor.at = *place;
            cursor.paused_at = cursor.paused_at.map(|_| cursor.at);
            return true;
        }
        let before = self.entries.iter().take_while(|entry| !is_new(entry));
        cursor.at = self.base + before.clone().count() as u64;
        let mut tracks = Tracks::NONE;
        let mut covers = false;
        for entry in before.filter(|entry| entry.seq.is_some()) {
            covers |= entry.class.kind != Kind::Data && !entry.class.is_header();
            if entry.class.is_key() && cursor.tracks.contains(entry.class.track) {
                tracks.insert(entry.class.track);
            }
        }
        cursor.paused_at = cursor.paused_at.map(|_| cursor.at);
        if covers {
            cursor.tracks = tracks;
            return true;
        }
        let newest = self.syncs.back().copied();
        let target = newest.filter(|&sync| sync >= cursor.at);
        let target = target.unwrap_or(cursor.at);
        cursor.rejoin(target, self.lag_at(target), Reason::Waiting);
        true
    }
}
