//! The joint of a live stream whose source is another process from one message to the next.

use std::time::Instant;

use tributary_protocol::{
    RtmpTimestamp,
    media::{Class, Kind},
};

/// The newest times of a stream, and what its new source has yet to reach.
///
/// ```text
///   the source before   k p p p p p p│
///   the new one           p p p p p p p p ...     all since a key frame: goes on without a gap
///                       │ repeated   │ new
///   or                            p p p k ...     video from the key frame on
/// ```
#[derive(Debug, Default)]
pub(super) struct Joint {
    audio: Option<RtmpTimestamp>,
    video: Option<RtmpTimestamp>,
    data: Option<RtmpTimestamp>,
    /// When the newest frame came.
    at: Option<Instant>,
    /// The tracks whose time the new source has not passed.
    awaited: AwaitedKinds,
}

#[derive(Clone, Copy, Debug, Default)]
struct AwaitedKinds {
    audio: bool,
    video: bool,
    data: bool,
}

/// The farthest that a source's time is behind, in milliseconds. Reason: a publisher's edge sends its
/// last 10 s again; a time further back is of another clock.
const FARTHEST: i32 = 30_000;

impl Joint {
    /// Another source begins.
    pub(super) fn begin(&mut self) {
        self.awaited = AwaitedKinds {
            audio: self.audio.is_some(),
            video: self.video.is_some(),
            data: self.data.is_some(),
        };
    }

    /// Whether the new source has not passed the one before yet.
    pub(super) fn is_open(&self) -> bool {
        self.awaited.audio || self.awaited.video
    }

    /// The time of the newest frame, and when it came.
    pub(super) fn newest(&self) -> Option<(RtmpTimestamp, Instant)> {
        let time = match (self.audio, self.video) {
            (Some(audio), Some(video)) if audio.since(video) >= 0 => audio,
            (_, Some(video)) => video,
            (audio, None) => audio?,
        };
        Some((time, self.at?))
    }

    /// Whether the stream has this message from the source before; otherwise its time is noted.
    pub(super) fn repeats(&mut self, class: Class, time: RtmpTimestamp) -> bool {
        if class.is_header() {
            return false;
        }
        let is_open = self.is_open();
        let (newest, awaited) = if class.is_audio() {
            (&mut self.audio, &mut self.awaited.audio)
        } else if class.is_video() {
            (&mut self.video, &mut self.awaited.video)
        } else if class.kind == Kind::Data {
            // Their times may stand still or go back: they are told apart only while frames come again.
            self.awaited.data &= is_open;
            (&mut self.data, &mut self.awaited.data)
        } else {
            return false;
        };
        if *awaited && newest.is_some_and(|last| is_behind(time, last)) {
            return true;
        }
        *awaited = false;
        *newest = Some(time);
        if class.kind != Kind::Data {
            self.at = Some(Instant::now());
        }
        false
    }
}

/// Whether a time is not after another, by the same clock.
fn is_behind(time: RtmpTimestamp, last: RtmpTimestamp) -> bool {
    (-FARTHEST..=0).contains(&time.since(last))
}

#[cfg(test)]
mod tests;
