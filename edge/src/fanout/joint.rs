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

    /// Whether the stream has this message from the source before.
    pub(super) fn repeats(&self, class: Class, time: RtmpTimestamp) -> bool {
        let (newest, awaited) = if class.is_header() {
            return false;
        } else if class.is_audio() {
            (self.audio, self.awaited.audio)
        } else if class.is_video() {
            (self.video, self.awaited.video)
        } else if class.kind == Kind::Data {
            // Their times may stand still or go back: they are told apart only while frames come again.
            (self.data, self.awaited.data && self.is_open())
        } else {
            return false;
        };
        awaited && newest.is_some_and(|last| is_behind(time, last))
    }

    /// Notes the time of a message that the stream did not have.
    pub(super) fn note(&mut self, class: Class, time: RtmpTimestamp) {
        let (newest, awaited) = if class.is_header() {
            return;
        } else if class.is_audio() {
            (&mut self.audio, &mut self.awaited.audio)
        } else if class.is_video() {
            (&mut self.video, &mut self.awaited.video)
        } else if class.kind == Kind::Data {
            (&mut self.data, &mut self.awaited.data)
        } else {
            return;
        };
        *awaited = false;
        *newest = Some(time);
        if class.kind != Kind::Data {
            self.at = Some(Instant::now());
        }
    }
}

/// Whether a time is not after another, by the same clock.
fn is_behind(time: RtmpTimestamp, last: RtmpTimestamp) -> bool {
    (-FARTHEST..=0).contains(&time.since(last))
}

#[cfg(test)]
mod tests;
