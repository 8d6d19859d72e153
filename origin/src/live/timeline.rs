//! Continues a live stream's time across its publishers.

use std::time::{Duration, Instant};

use tributary_protocol::RtmpTimestamp;

/// The kind of a message for the timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Track {
    /// An audio frame.
    Audio,
    /// A video frame.
    Video,
    /// A sequence header or a data message: encoders stamp them with 0 at any time, so they
    /// neither set a publisher's offset nor move the stream's clock while there is media.
    Other,
}

/// Maps the timestamps of successive publishers onto one clock that viewers can play on through.
///
/// The first publisher's timestamps pass unchanged. A later publisher's first frame is put where
/// the stream's clock would stand by now, and all its messages are moved by the same amount, so
/// that audio and video stay in step. Within one publisher nothing is corrected: timestamps that
/// go backwards pass as they are.
///
/// ```text
/// first publisher     0 ... 40 000 |
/// the other's own                  | 1 s lost |     500 ...
/// what viewers see    0 ... 40 000 |          |  41 000 ...
/// ```
#[derive(Debug, Default)]
pub(super) struct Timeline {
    audio: Option<RtmpTimestamp>,
    video: Option<RtmpTimestamp>,
    other: Option<RtmpTimestamp>,
    /// When the clock was last moved.
    moved: Option<Instant>,
    mapping: Mapping,
}

#[derive(Clone, Copy, Debug, Default)]
enum Mapping {
    /// The first publisher: its times pass unchanged.
    #[default]
    Identity,
    /// A later publisher whose first frame has not come.
    Pending,
    /// A later publisher: all times move by `offset`.
    Offset {
        offset: u32,
        /// No frame goes before this, until one was well past it. Reason: the first frames of an
        /// encoder are out of order by some milliseconds.
        floor: Option<RtmpTimestamp>,
    },
}

/// How far behind the point of a take-over an encoder's first frames are still moved up to it, and
/// how far past it they count as settled, in milliseconds.
const SETTLE: i32 = 1_000;

impl Timeline {
    /// Another publisher's messages follow.
    pub(super) fn change_writer(&mut self) {
        self.mapping = match self.clock() {
            Some(_) => Mapping::Pending,
            None => Mapping::Identity,
        };
    }

    /// The distance of the stream's time from the publisher's; none while the publisher's first frame
    /// has not come.
    pub(super) fn offset(&self) -> Option<u32> {
        match self.mapping {
            Mapping::Identity => Some(0),
            Mapping::Pending => None,
            Mapping::Offset { offset, .. } => Some(offset),
        }
    }

    /// The publisher's times are moved by this much from here on, as they were at the process before.
    pub(super) fn set_offset(&mut self, offset: u32) {
        let floor = None;
        self.mapping = Mapping::Offset { offset, floor };
    }

    /// The stream had come to this time at that moment, at the process before: another publisher goes on
    /// behind it.
    pub(super) fn had_reached(&mut self, time: RtmpTimestamp, at: Instant) {
        if self.clock().is_none() {
            self.record(time, Track::Other, at);
            self.mapping = Mapping::Pending;
        }
    }

    /// Whether a later writer has sent no frame yet.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.mapping, Mapping::Pending)
    }

    /// The viewers' time of a message, which moves the clock.
    pub(super) fn map(&mut self, at: RtmpTimestamp, track: Track, now: Instant) -> RtmpTimestamp {
        let mapped = match self.mapping {
            Mapping::Identity => at,
            Mapping::Pending => {
                let here = self.here(now);
                if track != Track::Other {
                    let offset = here.0.wrapping_sub(at.0);
                    let floor = self.clock();
                    self.mapping = Mapping::Offset { offset, floor };
                }
                here
            }
            Mapping::Offset { offset, floor } => self.moved_by(at, offset, floor, track),
        };
        self.record(mapped, track, now);
        mapped
    }

    /// The stream's time at `now`, for a message that does not come from the publisher.
    pub(super) fn present(&self, now: Instant) -> RtmpTimestamp {
        match self.clock() {
            Some(_) => self.here(now),
            None => RtmpTimestamp::default(),
        }
    }

    fn moved_by(
        &mut self,
        at: RtmpTimestamp,
        offset: u32,
        floor: Option<RtmpTimestamp>,
        track: Track,
    ) -> RtmpTimestamp {
        let mapped = at.advanced(offset);
        let Some(limit) = floor else {
            return mapped;
        };
        let ahead = mapped.since(limit);
        if (-SETTLE..0).contains(&ahead) {
            return limit;
        }
        if ahead > SETTLE && track != Track::Other {
            self.mapping = Mapping::Offset {
                offset,
                floor: None,
            };
        }
        // Headers and data stamped with 0 long after the start stay out of the past as well.
        if ahead < 0 && track == Track::Other {
            limit
        } else {
            mapped
        }
    }

    fn record(&mut self, at: RtmpTimestamp, track: Track, now: Instant) {
        match track {
            Track::Audio => self.audio = Some(at),
            Track::Video => self.video = Some(at),
            Track::Other => {
                self.other = Some(at);
                if self.audio.is_some() || self.video.is_some() {
                    return;
                }
            }
        }
        self.moved = Some(now);
    }

    /// The latest of the newest frames of either kind; data only where there are no frames.
    fn clock(&self) -> Option<RtmpTimestamp> {
        match (self.audio, self.video) {
            (Some(audio), Some(video)) if audio.since(video) >= 0 => Some(audio),
            (_, Some(video)) => Some(video),
            (audio, None) => audio.or(self.other),
        }
    }

    /// The time of the clock if the stream had gone on without interruption. While a stream has no
    /// readers its messages arrive in batches: if its publisher falls silent within one, this is
    /// behind by up to 250 ms.
    fn here(&self, now: Instant) -> RtmpTimestamp {
        let idle = self
            .moved
            .map_or(Duration::ZERO, |then| now.saturating_duration_since(then));
        // At least 1 ms: two frames of one kind never share a time across the change. Truncation
        // wraps as the clock does.
        let idle = idle.as_millis().max(1) as u32;
        self.clock().unwrap_or_default().advanced(idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Run {
        timeline: Timeline,
        start: Instant,
    }

    impl Run {
        fn new() -> Self {
            Self {
                timeline: Timeline::default(),
                start: Instant::now(),
            }
        }

        fn map(&mut self, after_ms: u64, at: u32, track: Track) -> u32 {
            let now = self.start + Duration::from_millis(after_ms);
            self.timeline.map(RtmpTimestamp(at), track, now).0
        }
    }

    #[test]
    fn the_first_publisher_passes_unchanged_even_backwards() {
        let mut run = Run::new();
        for at in [5_000, 5_040, 1_000, 0xFFFF_FFFF, 3, 0x8000_0000] {
            assert_eq!(run.map(0, at, Track::Video), at);
        }
    }

    #[test]
    fn a_return_continues_after_the_time_it_took() {
        let mut run = Run::new();
        run.map(0, 40_000, Track::Video);
        run.map(3, 40_010, Track::Audio);
        run.timeline.change_writer();
        assert_eq!(
            run.map(1_003, 0, Track::Other),
            41_010,
            "metadata stands at the joint"
        );
        assert_eq!(run.map(1_004, 500, Track::Video), 41_011);
        assert_eq!(
            run.map(1_004, 490, Track::Audio),
            41_001,
            "the same offset for both"
        );
        assert_eq!(run.map(1_044, 540, Track::Video), 41_051);
    }

    #[test]
    fn frames_before_the_joint_are_moved_up_to_it() {
        let mut run = Run::new();
        run.map(0, 10_000, Track::Video);
        run.timeline.change_writer();
        assert_eq!(run.map(0, 100, Track::Video), 10_001);
        assert_eq!(run.map(0, 60, Track::Audio), 10_000, "not 9 961");
        assert_eq!(run.map(0, 0, Track::Other), 10_000);
        assert_eq!(run.map(0, 1_200, Track::Video), 11_101);
        assert_eq!(
            run.map(0, 60, Track::Audio),
            9_961,
            "later on the publisher's time passes"
        );
    }

    #[test]
    fn an_encoder_that_keeps_its_clock_leaves_no_gap() {
        let mut run = Run::new();
        run.map(0, 700_000, Track::Audio);
        run.timeline.change_writer();
        assert_eq!(run.map(2_000, 0, Track::Other), 702_000);
        assert_eq!(run.map(2_000, 702_345, Track::Audio), 702_000);
    }

    #[test]
    fn the_joint_is_wrap_safe() {
        let mut run = Run::new();
        run.map(0, 0xFFFF_FFF0, Track::Video);
        run.timeline.change_writer();
        assert_eq!(
            run.map(100, 0xFFFF_FF00, Track::Video),
            0xFFFF_FFF0_u32.wrapping_add(100)
        );
        assert_eq!(run.map(140, 0xFFFF_FF28, Track::Video), 124);
    }

    #[test]
    fn a_stream_of_data_alone_goes_on_too() {
        let mut run = Run::new();
        run.map(0, 9_000, Track::Other);
        run.timeline.change_writer();
        assert_eq!(run.map(500, 0, Track::Other), 9_500);
        assert_eq!(run.map(700, 0, Track::Other), 9_700);
    }
}
