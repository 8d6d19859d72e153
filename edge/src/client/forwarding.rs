//! The messages of a client on their way to its origin.

use std::time::{Duration, Instant};

use tributary_protocol::{
    Message, MessageStreamId,
    command::{Command, NetStreamCommand},
    link::{CloseReason, Generation, RelayAddress},
};

use super::{end::End, pace::Pace, publishing::Publishing};
use crate::link::{SessionLink, handle::FromOrigin};

/// The session's end of its lane, the client's pace, and the streams that it publishes.
#[derive(Debug)]
pub(super) struct Forwarding {
    /// None before the connect command and after the session's end.
    link: Option<SessionLink>,
    pace: Pace,
    pub(super) publishing: Publishing,
}

impl Forwarding {
    /// A client that may send this many messages per second.
    pub(super) fn new(message_rate: u32, now: Instant) -> Self {
        Self {
            link: None,
            pace: Pace::new(message_rate, now),
            publishing: Publishing::default(),
        }
    }

    /// The state of a client that comes from another process.
    pub(super) fn moved(link: Option<SessionLink>, pace: Pace, publishing: Publishing) -> Self {
        Self {
            link,
            pace,
            publishing,
        }
    }

    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Opens the way to the origin: messages go there from now on.
    pub(super) fn open(&mut self, link: SessionLink) {
        self.link = Some(link);
    }

    pub(super) fn link(&self) -> Option<&SessionLink> {
        self.link.as_ref()
    }

    /// Waits for the next item of the inbox; `None` if the lane is gone. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<FromOrigin> {
        match &mut self.link {
            Some(link) => link.next().await,
            None => None,
        }
    }

    pub(super) fn link_mut(&mut self) -> Option<&mut SessionLink> {
        self.link.as_mut()
    }

    /// Whether the park is full.
    pub(super) fn is_parked(&self) -> bool {
        self.link.as_ref().is_some_and(SessionLink::is_full)
    }

    /// Whether the client may be read: neither the park nor an undecided publish is full.
    pub(super) fn has_room(&self) -> bool {
        !self.is_parked() && self.publishing.full_since().is_none()
    }

    /// The time until which the client's pace stops the reading.
    pub(super) fn shut_until(&self, now: Instant) -> Option<Instant> {
        self.pace.shut_until(now)
    }

    /// Whether the client publishes a stream that its origin has accepted.
    pub(super) fn is_feeding(&self) -> bool {
        self.publishing.feeding().next().is_some()
    }

    /// Forwards a message that begins no generation.
    pub(super) fn forward(&mut self, now: Instant, message: Message) -> Result<(), End> {
        let generation = self.publishing.generation(message.stream);
        self.send(now, message, generation)
    }

    /// Forwards a publish, closeStream or deleteStream, which begins a generation of its message
    /// stream.
    pub(super) fn forward_stream_command(
        &mut self,
        now: Instant,
        message: Message,
    ) -> Result<(), End> {
        let generation = self.begin_generation(now, &message)?;
        self.send(now, message, generation)
    }

    /// Sends the address by which the next publish or play of a message stream is relayed.
    pub(super) fn relay(&self, stream: MessageStreamId, address: RelayAddress) -> Result<(), End> {
        let Some(link) = &self.link else {
            return Ok(());
        };
        let queued = link.relay(stream, address);
        queued.map_err(|_| End::fault(CloseReason::Limit, "link_behind"))
    }

    fn begin_generation(&mut self, now: Instant, message: &Message) -> Result<Generation, End> {
        let stream = message.stream;
        let command = Command::decode(message.kind, &message.payload).ok();
        let parsed = command.as_ref().map(NetStreamCommand::parse);
        match (parsed, command) {
            (Some(Ok(NetStreamCommand::DeleteStream(stream))), _) => {
                Ok(self.publishing.end(stream))
            }
            (Some(Ok(NetStreamCommand::CloseStream | NetStreamCommand::StopPublish)), _) => {
                Ok(self.publishing.end(stream))
            }
            // The origin refuses a publish with unreadable arguments by its generation.
            (_, Some(command)) if command.name == "publish" => {
                let begun = self.publishing.begin(stream, now);
                begun.map_err(|_| End::fault(CloseReason::Limit, "too_many_publishes"))
            }
            _ => Ok(self.publishing.generation(stream)),
        }
    }

    fn send(&mut self, now: Instant, message: Message, generation: Generation) -> Result<(), End> {
        // The media before the message is not to arrive long after it.
        self.publishing.flush();
        if let Some(link) = &self.link {
            let queued = link.send(message, generation);
            queued.map_err(|_| End::fault(CloseReason::Limit, "link_behind"))?;
        }
        self.count(now)
    }

    /// Counts a message against the client's pace.
    pub(super) fn count(&mut self, now: Instant) -> Result<(), End> {
        let counted = self.pace.spend(now);
        counted.map_err(|_| End::fault(CloseReason::Limit, "message_rate"))
    }

    /// Notifies the origin whether the publisher is silent.
    pub(super) fn notify_stalled(&self, stalled: bool) {
        if let Some(link) = &self.link {
            for stream in self.publishing.feeding() {
                link.stalled(stream, stalled);
            }
        }
    }

    /// Shifts the pace by the time for which the process was stopped.
    pub(super) fn postpone(&mut self, by: Duration) {
        self.pace.postpone(by);
    }

    /// Ends the client's publishes, and the session at its origin.
    pub(super) fn close(&mut self, reason: CloseReason) {
        self.publishing = Publishing::default();
        if let Some(link) = self.link.take() {
            link.close(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use tributary_protocol::{
        MessageType, RtmpTimestamp, TransactionId, amf::Value, command::ObjectEncoding,
    };

    use super::*;

    const STREAM: MessageStreamId = MessageStreamId(1);

    fn command(name: &str, arguments: Vec<Value>) -> Message {
        let command = Command {
            name: name.to_owned(),
            transaction: TransactionId(0.0),
            object: Value::Null,
            arguments,
        };
        let (kind, payload) = command.encode(ObjectEncoding::Amf0);
        Message {
            kind,
            stream: STREAM,
            timestamp: RtmpTimestamp(0),
            payload,
        }
    }

    #[test]
    fn a_publish_and_a_close_begin_generations_of_their_stream() {
        let now = Instant::now();
        let mut forwarding = Forwarding::new(1000, now);
        let publish = || command("publish", vec!["name".into(), "live".into()]);
        forwarding.forward_stream_command(now, publish()).unwrap();
        let first = forwarding.publishing.generation(STREAM);
        // An unreadable publish begins a generation too.
        let unreadable = command("publish", Vec::new());
        forwarding.forward_stream_command(now, unreadable).unwrap();
        let second = forwarding.publishing.generation(STREAM);
        let close = command("closeStream", Vec::new());
        forwarding.forward_stream_command(now, close).unwrap();
        let third = forwarding.publishing.generation(STREAM);
        let generations = [first, second, third].map(|generation| generation.0);
        assert_eq!(generations, [1, 2, 3]);
    }

    #[test]
    fn a_flood_ends_the_session() {
        let now = Instant::now();
        let mut forwarding = Forwarding::new(10, now);
        let message = Message {
            kind: MessageType::DATA_AMF0,
            stream: STREAM,
            timestamp: RtmpTimestamp(0),
            payload: bytes::Bytes::new(),
        };
        let mut sent = (0..1000).map(|_| forwarding.forward(now, message.clone()));
        let end = sent.find_map(Result::err).unwrap();
        assert_eq!(end, End::fault(CloseReason::Limit, "message_rate"));
    }
}
