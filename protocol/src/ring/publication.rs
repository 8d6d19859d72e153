//! The begin of a publication in a ring, and the end of the one before.
//!
//! ```text
//!   first publication             │ the next
//!   writer          │ another     │ writer
//!   x k p p h a p p │ a x k p p   │ h a a a a     <- push
//!                   │     ▲ sync point
//!                   │     the groups of pictures before serve readers that join until here
//!                   │             no message before serves them from here on
//! ```

use super::{
    Cursor, Item, Ring, Start,
    cursor::PublicationGate,
    entry::{Publication, Tracks},
    headers::{Doubt, InForce},
};
use crate::media::Class;

impl<T: Item> Ring<T> {
    /// The publication of the next message.
    pub fn publication(&self) -> Publication {
        self.publication
    }

    /// Begins a fresh publication: headers and groups of pictures before belong to the old one.
    /// Readers that are on their way through it continue.
    pub fn begin_publication(&mut self) {
        self.restart();
        let here = self.head();
        self.follow(Publication {
            first: here,
            writer: here,
        });
    }

    /// Lets another writer continue the publication. Until its first sync point, readers that join
    /// begin with the old groups of pictures and their headers. From there on only its own headers
    /// are in force.
    pub fn begin_writer(&mut self) {
        self.restart();
        self.follow(Publication {
            writer: self.head(),
            ..self.publication
        });
    }

    /// Begins the publication or writer that the ring's source names for the messages that follow.
    /// Whether it is new. A source that names the newest one again has been before it: repeated
    /// headers of an older writer are in doubt.
    pub fn follow(&mut self, publication: Publication) -> bool {
        let known = self.publication;
        if publication.first > known.first {
            self.publication = publication;
            self.restart();
            self.forget();
            return true;
        }
        if publication == known {
            self.in_force.doubt(Doubt::All);
        }
        if publication.first < known.first || publication.writer <= known.writer {
            return false;
        }
        self.publication = publication;
        self.restart();
        self.in_force = InForce::new();
        self.bridging = true;
        // The new writer may use other tracks.
        self.sync_track = None;
        true
    }

    /// [`Ring::join`] for a reader of the publication that begins with number `first`. Until the
    /// ring has reached that publication the reader gets nothing.
    pub fn join_publication(&self, start: Start, first: u64) -> Cursor {
        let mut cursor = self.join(start);
        if first > self.publication.first {
            cursor.gate = Some(PublicationGate { first, start });
        }
        cursor
    }

    /// Whether the reader's publication has begun; if so, the reader joins it.
    pub(super) fn pass_gate(&self, cursor: &mut Cursor) -> bool {
        let Some(gate) = cursor.gate else {
            return true;
        };
        if gate.first > self.publication.first {
            return false;
        }
        let (filter, wanted) = (cursor.filter, cursor.wanted);
        *cursor = self.join(gate.start).of_tracks(wanted);
        cursor.set_filter(filter);
        true
    }

    /// Drops the sync points and headers for readers that join.
    pub(super) fn forget(&mut self) {
        self.syncs.clear();
        self.in_force = InForce::new();
        self.bridging = false;
        self.sync_track = None;
        self.last_video = None;
    }

    /// Ends the time of doubt: a sync point is about to be appended.
    pub(super) fn settle(&mut self) {
        self.in_force.settle();
        if std::mem::take(&mut self.bridging) {
            self.syncs.clear();
        }
    }

    /// Begins a new epoch: the messages that follow do not continue those before. Video frames are
    /// dropped until the next key frame of their track. Headers that are not repeated until the
    /// next sync point are no longer in force.
    pub fn restart(&mut self) {
        self.accepted = Tracks::NONE;
        self.in_force.doubt(Doubt::Media);
    }

    /// Video of the track of this key frame goes on in the present epoch: its source has repeated
    /// the key frame, and the ring has all messages since. Messages of other classes change nothing.
    pub fn go_on_from(&mut self, class: Class) {
        if class.is_key() {
            self.accepted.insert(class.track);
        }
    }
}

#[cfg(test)]
mod tests;
