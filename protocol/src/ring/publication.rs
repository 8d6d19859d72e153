//! Where a publication begins in a ring, and what of the one before ends there.
//!
//! ```text
//!   first publication             │ the next
//!   writer          │ another     │ writer
//!   x k p p h a p p │ a x k p p   │ h a a a a     <- push
//!                   │     ▲ sync point
//!                   │     the groups of pictures before serve readers that join until here
//!                   │             nothing of what is before serves them from here on
//! ```

use super::{
    Cursor, Item, Ring, Start,
    cursor::Gate,
    entry::{Publication, Tracks},
    headers::{Doubt, InForce},
};

impl<T: Item> Ring<T> {
    /// The publication of the next message.
    pub fn publication(&self) -> Publication {
        self.publication
    }

    /// A fresh publication begins: what was in force and the groups of pictures before belong to
    /// another. Readers that are on their way through it go on.
    pub fn begin_publication(&mut self) {
        self.restart();
        let here = self.head();
        self.follow(Publication {
            first: here,
            writer: here,
        });
    }

    /// Another writer continues the publication. Readers that join begin with the old groups of
    /// pictures, which have their headers, until its first sync point. What is in force from there
    /// on is what it has sent itself.
    pub fn begin_writer(&mut self) {
        self.restart();
        self.follow(Publication {
            writer: self.head(),
            ..self.publication
        });
    }

    /// What follows belongs to this publication, as the ring's source counts them. Whether it was
    /// not known. A source that names the newest one again comes to it from before: headers that it
    /// has repeated of an older writer are in doubt.
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
        // The new writer's tracks may be others.
        self.sync_track = None;
        true
    }

    /// [`Ring::join`] for a reader of the publication that begins with number `first`, which the
    /// ring may not have come to yet: until then it gets nothing.
    pub fn join_publication(&self, start: Start, first: u64) -> Cursor {
        let mut cursor = self.join(start);
        if first > self.publication.first {
            cursor.gate = Some(Gate { first, start });
        }
        cursor
    }

    /// Whether the reader's publication has begun; it joins when it has.
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

    /// Forgets what a reader that joins is given from before.
    pub(super) fn forget(&mut self) {
        self.syncs.clear();
        self.in_force = InForce::new();
        self.bridging = false;
        self.sync_track = None;
        self.last_video = None;
    }

    /// A sync point is about to be appended: what served until it came goes.
    pub(super) fn settle(&mut self) {
        self.in_force.settle();
        if std::mem::take(&mut self.bridging) {
            self.syncs.clear();
        }
    }

    /// Begins a new epoch: what follows does not continue what was there. Video frames are
    /// dropped until the next key frame of their track, and headers that are not repeated until
    /// the next sync point are in force no more.
    pub fn restart(&mut self) {
        self.accepted = Tracks::NONE;
        self.in_force.doubt(Doubt::Media);
    }
}

#[cfg(test)]
mod tests;
