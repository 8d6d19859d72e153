//! The commands that a server handles by itself, typed.

use std::fmt;

use super::{Command, Status};
use crate::amf::{Object, Value};
use crate::{MessageStreamId, TransactionId};

/// A command by its meaning. Answers (`_result`, `_error`) are calls here; connect is read by
/// [`Connect`](super::Connect).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum NetStreamCommand {
    /// Creates a message stream.
    CreateStream,
    /// Publishes on this message stream.
    Publish {
        /// The stream's name, query included.
        name: String,
        /// Whether the stream is recorded.
        kind: PublishKind,
    },
    /// `publish(false)`: stops publishing.
    StopPublish,
    /// Plays on this message stream.
    Play {
        /// The stream's name, query included.
        name: String,
        start: PlayStart,
        /// The milliseconds of the stream to play; none is to its end.
        length: Option<u32>,
        /// The effect on streams that play already.
        reset: Reset,
    },
    /// `play(false)`: stops playing.
    StopPlay,
    /// Switches to another stream, or adds one.
    Play2(PlayOptions),
    /// Pauses or resumes.
    Pause {
        /// None toggles.
        paused: Option<bool>,
        /// The player's position, in milliseconds.
        position: u32,
    },
    /// Moves to a time.
    Seek {
        /// The time, in milliseconds.
        position: u32,
    },
    /// Stops publishing or playing; the message stream stays.
    CloseStream,
    /// Closes the message stream with this id.
    DeleteStream(MessageStreamId),
    /// Turns audio on or off.
    ReceiveAudio(bool),
    /// Turns video on or off.
    ReceiveVideo(bool),
    /// Frees a name that a lost connection of this publisher may still hold.
    ReleaseStream {
        /// The stream's name, query included.
        name: String,
    },
    /// Announces an encoder's publish.
    FcPublish {
        /// The stream's name, query included.
        name: String,
    },
    /// Announces the end of an encoder's publish.
    FcUnpublish {
        /// The stream's name, query included.
        name: String,
    },
    /// Announces a play.
    FcSubscribe {
        /// The stream's name, query included.
        name: String,
    },
    /// Asks for the length of a recorded stream in seconds.
    GetStreamLength {
        /// The stream's name, query included.
        name: String,
    },
    /// Starts a measurement of the bandwidth; the server calls onBWDone at its end.
    CheckBw,
    /// The length of the player's buffer.
    SetBufferLength {
        /// The message stream, if it is not that of the command.
        stream: Option<MessageStreamId>,
        /// The length, in milliseconds.
        milliseconds: u32,
    },
    /// A call of the application.
    Call,
}

impl NetStreamCommand {
    /// Whether a command of this name, sent by a client, is a call of the application: neither one
    /// of the server's own nor an answer.
    pub fn is_call(name: &str) -> bool {
        let command = Command::new(name, TransactionId::NONE);
        // Of the server's own commands, those without their arguments are errors.
        !matches!(name, "_result" | "_error") && Self::parse(&command) == Ok(Self::Call)
    }

    /// Reads the arguments of a command. A name that is not one of the server's own is a
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

/// The recording of a published stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PublishKind {
    /// The stream is not recorded. Unknown words read as this, since encoders put anything there.
    #[default]
    Live,
    /// A new recording replaces an older one.
    Record,
    /// The recording is appended to the older one.
    Append,
    /// The recording is appended to the older one, with the time between as a gap.
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

/// The stream of a name to play, and the start in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PlayStart {
    /// The live stream, else the recorded one, else the next live one. The default, and the meaning
    /// of any other negative number.
    #[default]
    LiveOrRecorded,
    /// The live stream only.
    Live,
    /// The recorded stream, from this millisecond.
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

/// The effect of a play on the streams that already play on its message stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Reset {
    /// The stream begins after their end: `false` or 0.
    Append,
    /// The stream replaces them: `true` or 1.
    #[default]
    Replace,
    /// As 0, and data messages are delivered at once: 2.
    AppendMessages,
    /// As 1, and data messages are delivered at once: 3.
    ReplaceMessages,
}

impl Reset {
    /// Whether the streams that play end.
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
    /// The stream that it replaces.
    pub old_name: Option<String>,
    pub start: PlayStart,
    /// The milliseconds to play; none is to its end.
    pub length: Option<u32>,
    /// The time of the switch, in milliseconds, if the player states it.
    pub offset: Option<u32>,
    /// The kind of switch: `switch`, `swap`, `append` and so on.
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

/// An illegal argument of one of the server's own commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgumentError {
    /// The command's name.
    pub command: String,
    /// The argument's number, from 0.
    pub argument: usize,
    /// The expected type or value.
    pub expected: &'static str,
}

impl ArgumentError {
    /// The status code for the client.
    pub fn status(&self) -> Status {
        match self.command.as_str() {
            "publish" | "FCPublish" | "releaseStream" => Status::PublishBadName,
            "play" | "play2" | "FCSubscribe" => Status::PlayFailed,
            "seek" => Status::SeekFailed,
            "pause" | "pauseRaw" | "receiveAudio" | "receiveVideo" => Status::StreamFailed,
            _ => Status::CallFailed,
        }
    }

    /// The info object for the client.
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

    /// A time in milliseconds; 0 if it is missing.
    fn position(&self, index: usize) -> Result<u32, ArgumentError> {
        match self.value(index) {
            None | Some(Value::Null | Value::Undefined) => Ok(0),
            Some(_) => self.required_position(index),
        }
    }

    /// A time in milliseconds. A time before the start is the start.
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

/// Whole milliseconds on RTMP's clock: casts saturate, and NaN is 0.
fn milliseconds(number: f64) -> u32 {
    number as u32
}

/// A length in milliseconds; negative, missing and NaN are none, to the end.
fn length(number: Option<f64>) -> Option<u32> {
    number.filter(|number| *number >= 0.0).map(milliseconds)
}
