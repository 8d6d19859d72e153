//! Commands and data messages of the origin as messages.

use bytes::Bytes;
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp, TransactionId,
    amf::Object,
    chunk::MAX_MESSAGE_LENGTH,
    command::{self, Command, DataMessage, ObjectEncoding, Status},
    message::user_control::UserControl,
};

/// The transaction id of a connect command that could not be read: every client uses it.
pub(super) const CONNECT_TRANSACTION: TransactionId = TransactionId(1.0);

/// The commands before the close of a client whose connect is refused.
pub(super) fn refusal(transaction: TransactionId, info: Object) -> [Command; 2] {
    [command::error(transaction, info), command::close()]
}

/// A command on the connection itself.
pub(super) fn on_connection(command: &Command, encoding: ObjectEncoding) -> Message {
    on_stream(MessageStreamId::CONNECTION, command, encoding)
}

/// A command on a message stream.
pub(super) fn on_stream(
    stream: MessageStreamId,
    command: &Command,
    encoding: ObjectEncoding,
) -> Message {
    let (kind, payload) = command.encode(encoding);
    message(kind, stream, payload)
}

/// Whether RTMP can carry a message of this length.
pub(super) fn fits(message: &Message) -> bool {
    message.payload.len() <= MAX_MESSAGE_LENGTH as usize
}

/// An onStatus command: the code, what it is about, and the stream's name where there is one.
pub(super) fn status(status: Status, description: &str, details: &str) -> Command {
    command::on_status(status.info(Some(description), Some(details)))
}

/// The info object for a method that does not exist.
pub(super) fn call_failed(name: &str) -> Object {
    let description = format!("Method not found ({name}).");
    Status::CallFailed.info(Some(&description), None)
}

/// The user control event for the beginning of a stream on a message stream.
pub(super) fn stream_begin(stream: MessageStreamId) -> Message {
    about(stream, &UserControl::StreamBegin(stream))
}

/// The user control event for the end of a stream on a message stream.
pub(super) fn stream_eof(stream: MessageStreamId) -> Message {
    about(stream, &UserControl::StreamEof(stream))
}

/// In a lane the event belongs to the message stream it is about, so that it keeps its place
/// among that stream's messages; the edge sends it on message stream 0.
fn about(stream: MessageStreamId, event: &UserControl) -> Message {
    Message {
        stream,
        ..event.to_message()
    }
}

/// The data message that permits or denies the reading of samples.
pub(super) fn sample_access(stream: MessageStreamId, audio: bool, video: bool) -> Message {
    data(stream, &DataMessage::sample_access(audio, video))
}

/// The data message for the beginning of the stream's data.
pub(super) fn data_start(stream: MessageStreamId) -> Message {
    data(stream, &DataMessage::data_start())
}

/// The data message onPlayStatus.
pub(super) fn play_status(stream: MessageStreamId, status: Status, details: &str) -> Message {
    data(
        stream,
        &DataMessage::new("onPlayStatus").with(status.info(None, Some(details))),
    )
}

/// Every viewer reads type 18.
fn data(stream: MessageStreamId, data: &DataMessage) -> Message {
    let (kind, payload) = data.encode(ObjectEncoding::Amf0);
    message(kind, stream, payload)
}

fn message(kind: MessageType, stream: MessageStreamId, payload: Bytes) -> Message {
    Message {
        kind,
        stream,
        timestamp: RtmpTimestamp::default(),
        payload,
    }
}
