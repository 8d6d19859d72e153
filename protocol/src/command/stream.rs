//! The commands that a server understands by itself, typed.

use std::fmt;

use super::{Command, Status};
use crate::MessageStreamId;
use crate::amf::{Object, Value};

/// A command by what it asks for. Answers (`_result`, `_error`) are calls here; connect is a
/// matter of [`Connect`](super::Connect).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum NetStreamCommand {
    /// Make a message stream.
    CreateStream,
    /// Publish on this message stream.
    Publish {
        /// The stream's name, query included.
        name: String,
        /// Whether to keep it.
        kind: PublishKind,
    },
    /// `publish(false)`: stop publishing.
    StopPublish,
    /// Play on this message stream.
    Play {
        /// The stream's name, query included.
        name: String,
        /// Where from.
        start: PlayStart,
        /// For how many milliseconds of the stream; none is to its end.
        length: Option<u32>,
        /// What becomes of that which plays already.
        reset: Reset,
    },
    /// `play(false)`: stop playing.
    StopPlay,
    /// Switch to another stream, or add one.
    Play2(PlayOptions),
    /// Pause or go on.
    Pause {
        /// Which of both; none toggles.
        paused: Option<bool>,
        /// Where the player is, in milliseconds.
        position: u32,
    },
    /// Go to a time, in milliseconds.
    Seek {
        /// Where to.
        position: u32,
    },
    /// Stop publishing or playing; the message stream stays.
    CloseStream,
    /// Close the message stream with this id.
    DeleteStream(MessageStreamId),
    /// Send audio, or not.
    ReceiveAudio(bool),
    /// Send video, or not.
    ReceiveVideo(bool),
    /// Free a name that a lost connection of this publisher may still hold.
    ReleaseStream {
        /// The stream's name, query included.
        name: String,
    },
    /// An encoder is about to publish.
    FcPublish {
        /// The stream's name, query included.
        name: String,
    },
    /// An encoder has published.
    FcUnpublish {
        /// The stream's name, query included.
        name: String,
    },
    /// A player is about to play.
    FcSubscribe {
        /// The stream's name, query included.
        name: String,
    },
    /// Answer with the length of a recorded stream in seconds.
    GetStreamLength {
        /// The stream's name, query included.
        name: String,
    },
    /// Measure the bandwidth, then call onBWDone.
    CheckBw,
    /// The player's buffer, in milliseconds.
    SetBufferLength {
        /// The message stream, if it is not the one the command came on.
        stream: Option<MessageStreamId>,
        /// How long it is.
        milliseconds: u32,
    },
    /// A call of the application.
    Call,
}

impl NetStreamCommand {
    /// Reads the arguments of a command. Any name that is not one of the server's own is a
    /// [`NetStreamCommand::Call`].
    pub fn parse(command: &Command) -> Result<Self, ArgumentError> {
        let arguments = Arguments(command);
        Ok(match command.name.as_str() {
            "createStream" => Self::CreateStream,
            "publish" => return arguments.publish(),
            "play" => return arguments.play(),
            "play2" => Self::Play2(PlayOptions::parse(arguments.members(0)?)),
            "pause" | "pauseRaw" => Self::Pause {
                paused: arguments.flag(0),
                position: arguments.position(1)?,
            },
            "seek" => Self::Seek {
                position: arguments.required_position(0)?,
            },
            "closeStream" => Self::CloseStream,
            "deleteStream" => Self::DeleteStream(arguments.stream(0)?),
            "receiveAudio" => Self::ReceiveAudio(arguments.required_flag(0)?),
            "receiveVideo" => Self::ReceiveVideo(arguments.required_flag(0)?),
            "releaseStream" => Self::ReleaseStream {
                name: arguments.name(0)?,
            },
            "FCPublish" => Self::FcPublish {
                name: arguments.name(0)?,
            },
            "FCUnpublish" => Self::FcUnpublish {
                name: arguments.name(0)?,
            },
            "FCSubscribe" => Self::FcSubscribe {
                name: arguments.name(0)?,
            },
            "getStreamLength" => Self::GetStreamLength {
                name: arguments.name(0)?,
            },
            "_checkbw" => Self::CheckBw,
            "setBufferLength" => return arguments.set_buffer_length(),
            _ => Self::Call,
        })
    }
}

/// What becomes of a published stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PublishKind {
    /// It is not kept. Unknown words mean this too, since encoders put anything there.
    #[default]
    Live,
    /// It is recorded anew.
    Record,
    /// It is recorded behind what there is.
    Append,
    /// It is recorded behind what there is, with the time between as a gap.
    AppendWithGap,
}

impl PublishKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Record => "record",
            Self::Append => "append",
            Self::AppendWithGap => "appendWithGap",
        }
    }

    fn parse(word: &str) -> Self {
        [Self::Record, Self::Append, Self::AppendWithGap]
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .unwrap_or_default()
    }
}

/// Which stream of a name to play, and from where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PlayStart {
    /// The live one, else the recorded one, else wait. The default, and what any other negative
    /// number means.
    #[default]
    LiveOrRecorded,
    /// The live one only.
    Live,
    /// The recorded one, from this millisecond.
    Recorded(u32),
}

impl PlayStart {
    /// Players write -2 and -1 as such, or as seconds in milliseconds.
    fn parse(number: Option<f64>) -> Self {
        match number {
            Some(-1.0 | -1000.0) => Self::Live,
            Some(number) if number >= 0.0 => Self::Recorded(milliseconds(number)),
            _ => Self::LiveOrRecorded,
        }
    }
}

/// What a play does to the streams already playing on its message stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reset {
    /// It waits for their end: `false` or 0.
    Append,
    /// It replaces them: `true` or 1.
    #[default]
    Replace,
    /// As 0, and data messages are delivered at once: 2.
    AppendMessages,
    /// As 1, and data messages are delivered at once: 3.
    ReplaceMessages,
}

impl Reset {
    /// Whether what plays ends.
    pub fn replaces(self) -> bool {
        matches!(self, Self::Replace | Self::ReplaceMessages)
    }

    fn parse(value: Option<&Value>) -> Self {
        match value {
            Some(Value::Bool(false)) => Self::Append,
            Some(Value::Number(number)) if *number == 0.0 => Self::Append,
            Some(Value::Number(2.0)) => Self::AppendMessages,
            Some(Value::Number(3.0)) => Self::ReplaceMessages,
            _ => Self::Replace,
        }
    }
}

/// The NetStreamPlayOptions of play2.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlayOptions {
    /// The stream to play.
    pub name: String,
    /// The stream it takes the place of.
    pub old_name: Option<String>,
    /// Where from.
    pub start: PlayStart,
    /// For how many milliseconds; none is to its end.
    pub length: Option<u32>,
    /// Where the player switches, in milliseconds, if it says so.
    pub offset: Option<u32>,
    /// How: `switch`, `swap`, `append` and so on.
    pub transition: Option<String>,
}

impl PlayOptions {
    fn parse(members: &[(String, Value)]) -> Self {
        let object: Object = members.iter().cloned().collect();
        let text = |name| object.get(name).and_then(Value::as_str).map(str::to_owned);
        let number = |name| object.get(name).and_then(Value::as_number);
        Self {
            name: text("streamName").unwrap_or_default(),
            old_name: text("oldStreamName").filter(|name| !name.is_empty()),
            start: PlayStart::parse(number("start")),
            length: length(number("len")),
            offset: length(number("offset")),
            transition: text("transition"),
        }
    }
}

/// A command of the server's own with arguments that it cannot have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgumentError {
    /// The command.
    pub command: String,
    /// Which argument, from 0.
    pub argument: usize,
    /// What it has to be.
    pub expected: &'static str,
}

impl ArgumentError {
    /// What the client is told.
    pub fn status(&self) -> Status {
        match self.command.as_str() {
            "publish" | "FCPublish" | "releaseStream" => Status::PublishBadName,
            "play" | "play2" | "FCSubscribe" => Status::PlayFailed,
            "seek" => Status::SeekFailed,
            "pause" | "pauseRaw" | "receiveAudio" | "receiveVideo" => Status::StreamFailed,
            _ => Status::CallFailed,
        }
    }

    /// The info object that tells it.
    pub fn info(&self) -> Object {
        self.status().info(Some(&self.to_string()), None)
    }
}

impl fmt::Display for ArgumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (command, expected) = (&self.command, self.expected);
        write!(
            f,
            "{command}: argument {} has to be {expected}",
            self.argument + 1
        )
    }
}

impl std::error::Error for ArgumentError {}

struct Arguments<'c>(&'c Command);

impl<'c> Arguments<'c> {
    fn publish(&self) -> Result<NetStreamCommand, ArgumentError> {
        if let Some(Value::Bool(false)) = self.value(0) {
            return Ok(NetStreamCommand::StopPublish);
        }
        let kind = self.value(1).and_then(Value::as_str).unwrap_or_default();
        Ok(NetStreamCommand::Publish {
            name: self.name(0)?,
            kind: PublishKind::parse(kind),
        })
    }

    fn play(&self) -> Result<NetStreamCommand, ArgumentError> {
        if let Some(Value::Bool(false)) = self.value(0) {
            return Ok(NetStreamCommand::StopPlay);
        }
        Ok(NetStreamCommand::Play {
            name: self.name(0)?,
            start: PlayStart::parse(self.number(1)),
            length: length(self.number(2)),
            reset: Reset::parse(self.value(3)),
        })
    }

    fn set_buffer_length(&self) -> Result<NetStreamCommand, ArgumentError> {
        let (stream, buffer) = match self.value(1) {
            Some(_) => (Some(self.stream(0)?), 1),
            None => (None, 0),
        };
        Ok(NetStreamCommand::SetBufferLength {
            stream,
            milliseconds: self.required_position(buffer)?,
        })
    }

    fn value(&self, index: usize) -> Option<&'c Value> {
        self.0.arguments.get(index)
    }

    fn number(&self, index: usize) -> Option<f64> {
        self.value(index).and_then(Value::as_number)
    }

    fn name(&self, index: usize) -> Result<String, ArgumentError> {
        match self.value(index).and_then(Value::as_str) {
            Some(name) => Ok(name.to_owned()),
            None => Err(self.error(index, "a stream name")),
        }
    }

    fn members(&self, index: usize) -> Result<&'c [(String, Value)], ArgumentError> {
        match self.value(index) {
            Some(value @ (Value::Object(_) | Value::EcmaArray(_))) => Ok(value.members()),
            _ => Err(self.error(index, "an object")),
        }
    }

    /// A boolean, or a number in its place.
    fn flag(&self, index: usize) -> Option<bool> {
        match self.value(index)? {
            Value::Bool(bool) => Some(*bool),
            Value::Number(number) => Some(*number != 0.0),
            _ => None,
        }
    }

    fn required_flag(&self, index: usize) -> Result<bool, ArgumentError> {
        self.flag(index)
            .ok_or_else(|| self.error(index, "a boolean"))
    }

    /// A time in milliseconds; 0 if it is not given.
    fn position(&self, index: usize) -> Result<u32, ArgumentError> {
        match self.value(index) {
            None | Some(Value::Null | Value::Undefined) => Ok(0),
            Some(_) => self.required_position(index),
        }
    }

    /// A time in milliseconds. One before the start means the start.
    fn required_position(&self, index: usize) -> Result<u32, ArgumentError> {
        match self.number(index) {
            Some(number) if number.is_finite() => Ok(milliseconds(number)),
            _ => Err(self.error(index, "a time in milliseconds")),
        }
    }

    fn stream(&self, index: usize) -> Result<MessageStreamId, ArgumentError> {
        let number = self.number(index).unwrap_or(-1.0);
        let id = number as u32;
        if f64::from(id) == number {
            Ok(MessageStreamId(id))
        } else {
            Err(self.error(index, "the id of a message stream"))
        }
    }

    fn error(&self, argument: usize, expected: &'static str) -> ArgumentError {
        ArgumentError {
            command: self.0.name.clone(),
            argument,
            expected,
        }
    }
}

/// Whole milliseconds on RTMP's clock: casts hold to its ends, and NaN is 0.
fn milliseconds(number: f64) -> u32 {
    number as u32
}

/// A length in milliseconds; negative and missing ones have no end, and NaN is none.
fn length(number: Option<f64>) -> Option<u32> {
    number.filter(|number| *number >= 0.0).map(milliseconds)
}
