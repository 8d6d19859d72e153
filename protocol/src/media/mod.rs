//! What a media message is: sequence header, key frame, track.
//!
//! A ring keeps the headers in force and starts viewers at key frames; for that it has to know
//! this much about a payload, and no more. Codecs are carried untouched, and what does not parse is
//! plain media: never an error, never a header, never a key frame.

mod audio;
mod codec;
mod metadata;
mod tracks;
mod video;

pub use codec::{Codec, codec};
pub use tracks::TrackSet;

use crate::{MessageType, RtmpTimestamp};

/// What a media message is, and for which track of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    /// What it is.
    pub kind: Kind,
    /// The track of an Enhanced RTMP multitrack message, the lowest one if it carries several;
    /// 0 for everything else.
    pub track: u8,
}

/// What a media message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A sequence header of one audio track: AAC's AudioSpecificConfig, Opus's header.
    AudioHeader,
    /// Sequence headers of several audio tracks in one message; [`tracks`] names them.
    AudioHeaders,
    /// The speaker layout of an audio track (Enhanced RTMP MultichannelConfig).
    MultichannelConfig,
    /// Audio. Formats without a header, G.711 and MP3 among them, have nothing else.
    Audio,
    /// The end of an audio track (Enhanced RTMP).
    AudioEnd,
    /// A sequence header of one video track: AVC's decoder configuration record.
    VideoHeader,
    /// Sequence headers of several video tracks in one message; [`tracks`] names them.
    VideoHeaders,
    /// Metadata of a video track that holds until replaced: colorInfo (Enhanced RTMP).
    VideoMetadata,
    /// A key frame: decoding can start here.
    VideoKey,
    /// A frame that needs earlier ones.
    VideoInter,
    /// A frame that no other needs.
    VideoDisposable,
    /// The end of a video track.
    VideoEnd,
    /// `onMetaData`, with or without `@setDataFrame`.
    Metadata,
    /// Any other message.
    Data,
}

/// Classifies a message. The work is bounded, whatever the payload's length.
#[inline]
pub fn classify(kind: MessageType, payload: &[u8]) -> Class {
    match kind {
        MessageType::AUDIO => audio::classify(payload),
        MessageType::VIDEO => video::classify(payload),
        kind if kind.is_data() && metadata::is_metadata(payload) => Class::of(Kind::Metadata),
        _ => Class::of(Kind::Data),
    }
}

/// The tracks of an Enhanced RTMP multitrack message; `None` for any other, and for one whose
/// track lengths do not fit the payload.
pub fn tracks(kind: MessageType, payload: &[u8]) -> Option<TrackSet> {
    match kind {
        MessageType::AUDIO => audio::tracks(payload),
        MessageType::VIDEO => video::tracks(payload),
        _ => None,
    }
}

impl Class {
    /// A class of track 0.
    pub const fn of(kind: Kind) -> Self {
        Self { kind, track: 0 }
    }

    /// Whether it belongs to the audio of its stream.
    pub fn is_audio(self) -> bool {
        self.kind.is_audio()
    }

    /// Whether it belongs to the video of its stream.
    pub fn is_video(self) -> bool {
        self.kind.is_video()
    }

    /// Whether later messages need it: a ring keeps the last one of each kind and track.
    pub fn is_header(self) -> bool {
        self.kind.is_header()
    }

    /// Whether a viewer's video can begin with it.
    pub fn is_key(self) -> bool {
        self.kind.is_key()
    }

    /// The time of a header that is repeated before a message of this time. Metadata has time 0:
    /// at any other, ffmpeg takes it for a track of text.
    pub fn repeated_at(self, timestamp: RtmpTimestamp) -> RtmpTimestamp {
        if self.kind == Kind::Metadata {
            RtmpTimestamp::default()
        } else {
            timestamp
        }
    }
}

impl Kind {
    /// Whether it belongs to the audio of its stream.
    pub fn is_audio(self) -> bool {
        matches!(
            self,
            Self::AudioHeader
                | Self::AudioHeaders
                | Self::MultichannelConfig
                | Self::Audio
                | Self::AudioEnd
        )
    }

    /// Whether it belongs to the video of its stream.
    pub fn is_video(self) -> bool {
        matches!(
            self,
            Self::VideoHeader
                | Self::VideoHeaders
                | Self::VideoMetadata
                | Self::VideoKey
                | Self::VideoInter
                | Self::VideoDisposable
                | Self::VideoEnd
        )
    }

    /// Whether later messages need it: sequence headers and what is kept like them.
    pub fn is_header(self) -> bool {
        matches!(
            self,
            Self::AudioHeader
                | Self::AudioHeaders
                | Self::MultichannelConfig
                | Self::VideoHeader
                | Self::VideoHeaders
                | Self::VideoMetadata
                | Self::Metadata
        )
    }

    /// Whether a viewer's video can begin with it.
    pub fn is_key(self) -> bool {
        self == Self::VideoKey
    }
}

#[cfg(test)]
mod tests;
