//! A cursor in a parcel.

use super::{Cursor, PublicationGate, Reason, Repeat};
use crate::{
    parcel::{Carried, ParcelError, ParcelReader, ParcelWriter},
    ring::{Filter, Start, WantedTracks, entry::Tracks},
};

const NUMBER: u16 = 1;
const TRACKS: u16 = 2;
const SLACK: u16 = 3;
const REPEATS_METADATA: u16 = 4;
const REPEATS_AUDIO: u16 = 5;
const REPEATS_VIDEO: u16 = 6;
const RESTART: u16 = 7;
const FILTERED: u16 = 8;
const MUTED: u16 = 9;
const BLIND: u16 = 10;
const PAUSED: u16 = 11;
const FIRST_TRACK: u16 = 12;
const GATE: u16 = 13;

/// The fields of a wait for a publication.
const FIRST: u16 = 1;
const START: u16 = 2;

/// A cursor moves to another ring of the same stream, which has the same numbers at other places. It
/// continues there at the number of its next message, once the ring has reached it. A cursor that is on
/// its way to a jump's target, or at the end of a pause, continues with its next key frame.
impl Carried for Cursor {
    const NAME: &'static str = "the cursor";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        let unpauses = self.paused_at.is_some() && !self.filter.paused;
        let jumps = self.at < self.until || unpauses;
        let repeat = if jumps { Repeat::ALL } else { self.repeat };
        let tracks = if jumps { Tracks::NONE } else { self.tracks };
        parcel.number(NUMBER, self.seq);
        parcel.number(TRACKS, tracks.bits());
        parcel.number(SLACK, self.slack);
        parcel.flag(REPEATS_METADATA, repeat.metadata);
        parcel.flag(REPEATS_AUDIO, repeat.audio);
        parcel.flag(REPEATS_VIDEO, repeat.video);
        parcel.flag(RESTART, self.restart || jumps);
        parcel.flag(FILTERED, self.waits == Reason::Filter);
        parcel.flag(MUTED, !self.filter.audio);
        parcel.flag(BLIND, !self.filter.video);
        parcel.flag(PAUSED, self.filter.paused);
        parcel.flag(FIRST_TRACK, self.wanted == WantedTracks::First);
        if let Some(gate) = self.gate {
            parcel.record(GATE, |parcel| {
                parcel.number(FIRST, gate.first);
                parcel.number(START, code(gate.start));
            });
        }
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let number = parcel.count(NUMBER)?;
        let tracks = Tracks::of_bits(parcel.number(TRACKS)?);
        let slack = parcel.count(SLACK)?;
        let repeat = Repeat {
            metadata: parcel.flag(REPEATS_METADATA)?,
            audio: parcel.flag(REPEATS_AUDIO)?,
            video: parcel.flag(REPEATS_VIDEO)?,
            done: 0,
        };
        let restart = parcel.flag(RESTART)?;
        let waits = match parcel.flag(FILTERED)? {
            true => Reason::Filter,
            false => Reason::Waiting,
        };
        let filter = Filter {
            audio: !parcel.flag(MUTED)?,
            video: !parcel.flag(BLIND)?,
            paused: parcel.flag(PAUSED)?,
        };
        let wanted = match parcel.flag(FIRST_TRACK)? {
            true => WantedTracks::First,
            false => WantedTracks::All,
        };
        let gate = parcel.record_if(GATE, "the wait for a publication", |it| {
            Ok(PublicationGate {
                first: it.count(FIRST)?,
                start: start(it.number(START)?).ok_or_else(|| it.illegal(START))?,
            })
        })?;
        Ok(Self {
            tracks,
            repeat,
            restart,
            waits,
            // The place follows.
            paused_at: filter.paused.then_some(0),
            gate,
            filter,
            wanted,
            // The join of its publication begins elsewhere.
            is_moved: gate.is_none(),
            ..Self::new(0, number, slack)
        })
    }
}

fn code(start: Start) -> u8 {
    match start {
        Start::KeyFrame => 0,
        Start::Gop => 1,
        Start::Live => 2,
    }
}

fn start(code: u8) -> Option<Start> {
    [Start::KeyFrame, Start::Gop, Start::Live]
        .get(usize::from(code))
        .copied()
}
