//! The class of a media message: sequence header, key frame, track.
//!
//! A ring keeps the headers in force and starts viewers at key frames; it needs the class of each
//! message for that. Codecs pass through unchanged. A malformed payload is plain media: never an
//! error, never a header, never a key frame.

mod audio;
mod codec;
mod metadata;
mod tracks;
mod video;

pub use codec::{Codec, codec};
pub use tracks::TrackSet;

use crate::{MessageType, RtmpTimestamp};

/// The class of a media message: its kind, and its track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    pub kind: Kind,
    /// The track of an Enhanced RTMP multitrack message, the lowest if it carries several; 0 for
    /// any other message.
    pub track: u8,
}

/// The kind of a media message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A sequence header of one audio track: AAC's AudioSpecificConfig, Opus's header.
    AudioHeader,
    /// Sequence headers of several audio tracks in one message; [`tracks`] names them.
    AudioHeaders,
    /// The speaker layout of an audio track (Enhanced RTMP MultichannelConfig).
    MultichannelConfig,
    /// Audio. Formats without a header, such as G.711 and MP3, have no other kind.
    Audio,
    /// The end of an audio track (Enhanced RTMP).
    AudioEnd,
    /// A sequence header of one video track: AVC's decoder configuration record.
    VideoHeader,
    /// Sequence headers of several video tracks in one message; [`tracks`] names them.
    VideoHeaders,
    /// Metadata of a video track, in force until replaced: colorInfo (Enhanced RTMP).
    VideoMetadata,
    /// A key frame: decoding can start here.
    VideoKey,
    /// A frame that needs earlier ones.
    VideoInter,
    /// A frame that no other frame needs.
    VideoDisposable,
    /// The end of a video track.
    VideoEnd,
    /// `onMetaData`, with or without `@setDataFrame`.
    Metadata,
    /// Any other message.
    Data,
}

/// Classifies a message. The work is bounded for any length of the payload.
#[inline]
pub fn classify(kind: MessageType, payload: &[u8]) -> Class {
    match kind {
        MessageType::AUDIO => audio::classify(payload),
        MessageType::VIDEO => video::classify(payload),
        kind if kind.is_data() && metadata::is_metadata(payload) => Class::of(Kind::Metadata),
        _ => Class::of(Kind::Data),
    }
}

/// The tracks of an Enhanced RTMP multitrack message; `None` for any other message, and if the
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

    /// Whether the message belongs to the audio of its stream.
    pub fn is_audio(self) -> bool {
        self.kind.is_audio()
    }

    /// Whether the message belongs to the video of its stream.
    pub fn is_video(self) -> bool {
        self.kind.is_video()
    }

    /// Whether later messages need the message: a ring keeps the last one of each kind and track.
    pub fn is_header(self) -> bool {
        self.kind.is_header()
    }

    /// Whether a viewer's video can begin with the message.
    pub fn is_key(self) -> bool {
        self.kind.is_key()
    }

    /// The time of a header that is repeated before a message of this time. Metadata has time 0:
    /// with any other time, ffmpeg takes it for a track of text.
    pub fn repeated_at(self, timestamp: RtmpTimestamp) -> RtmpTimestamp {
        if self.kind == Kind::Metadata {
            RtmpTimestamp::default()
        } else {
            timestamp
        }
    }
}

impl Kind {
    /// Whether the kind belongs to the audio of its stream.
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

    /// Whether the kind belongs to the video of its stream.
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

    /// Whether later messages need the kind: sequence headers and other kept messages.
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

    /// Whether a viewer's video can begin with the kind.
    pub fn is_key(self) -> bool {
        self == Self::VideoKey
    }
}

#[cfg(test)]
mod tests;
