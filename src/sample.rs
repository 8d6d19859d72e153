//! The bundled clip, published in a loop over RTMP, like any client's stream.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use rand::SeedableRng;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep_until,
};
use tributary_node::backoff::Backoff;
use tributary_protocol::{
    Message, MessageStreamId, RtmpTimestamp,
    command::{self, DataMessage, stream::PublishKind},
    flv, handshake,
    session::{ClientConnection, ClientEvent, ConnectionLimits},
};

use crate::node::Failure;

/// The clip that `assets/README.md` describes.
const CLIP: &[u8] = include_bytes!("../assets/sample.flv");

/// The application and the stream's name.
const APPLICATION: &str = "live";
const NAME: &str = "sample";

/// The duration of a frame in milliseconds, also of the last one before the clip begins anew.
const FRAME: u32 = 40;

/// Publishes the clip at an RTMP server until cancelled, over a new connection whenever one ends.
pub(crate) async fn publish(server: SocketAddr) {
    let messages = match clip() {
        Ok(messages) => messages,
        Err(error) => return tracing::error!(%error, "the bundled clip cannot be read"),
    };
    let mut random = rand::rngs::StdRng::from_os_rng();
    let healthy = Duration::from_secs(10);
    let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5), healthy);
    loop {
        backoff.began(Instant::now());
        if let Err(error) = publish_once(server, &messages).await {
            tracing::warn!(%error, "the sample's connection ended");
        }
        let delay = backoff.ended(Instant::now(), &mut random);
        tokio::time::sleep(delay).await;
    }
}

/// The clip's messages, its metadata as a publisher sends it.
fn clip() -> Result<Vec<Message>, Failure> {
    let mut reader = flv::FlvReader::default();
    let mut input = CLIP;
    let mut messages = Vec::new();
    while let Some(mut message) = reader.read(&mut input)? {
        if message.kind.is_data() {
            message.payload = set_data_frame(&message)?;
        }
        messages.push(message);
    }
    Ok(messages)
}

fn set_data_frame(message: &Message) -> Result<bytes::Bytes, Failure> {
    let data = DataMessage::decode(message.kind, &message.payload)?;
    let mut values = vec![data.name.as_str().into()];
    values.extend(data.values);
    let wrapped = DataMessage {
        name: "@setDataFrame".to_owned(),
        values,
    };
    let (_, payload) = wrapped.encode(command::ObjectEncoding::Amf0);
    Ok(payload)
}

/// The clip's messages again and again, each with the time since the first.
struct Turns<'a> {
    messages: &'a [Message],
    next: usize,
    base: u32,
    length: u32,
}

impl<'a> Turns<'a> {
    fn new(messages: &'a [Message]) -> Self {
        let last = messages
            .iter()
            .map(|message| message.timestamp.0)
            .max()
            .unwrap_or(0);
        Self {
            messages,
            next: 0,
            base: 0,
            length: last + FRAME,
        }
    }

    /// The next message and its time in milliseconds.
    fn next(&mut self) -> Option<(u32, &'a Message)> {
        if self.next == self.messages.len() {
            self.next = 0;
            self.base = self.base.wrapping_add(self.length);
        }
        let message = self.messages.get(self.next)?;
        self.next += 1;
        Some((self.base.wrapping_add(message.timestamp.0), message))
    }
}

async fn publish_once(server: SocketAddr, messages: &[Message]) -> Result<(), Failure> {
    let mut socket = TcpStream::connect(server).await?;
    let random = std::array::from_fn(|_| rand::random());
    let now = Instant::now();
    let kind = handshake::HandshakeKind::Simple;
    let mut connection = ClientConnection::new(kind, random, now, ConnectionLimits::default());
    let mut publisher = Publisher {
        stream: None,
        began: None,
        turns: Turns::new(messages),
    };
    let url = format!("rtmp://{server}/{APPLICATION}");
    let mut buffer = vec![0; 4096];
    loop {
        while let Some(event) = connection.poll_event() {
            publisher.handle(&mut connection, event, &url)?;
        }
        let output = connection.take_output();
        if !output.is_empty() {
            socket.write_all(&output).await?;
        }
        let due = publisher.due();
        let timeout = connection.poll_timeout().into_iter().chain(due).min();
        let wait = async {
            match timeout {
                Some(timeout) => sleep_until(timeout.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = socket.read(&mut buffer) => match read? {
                0 => return Err("closed by the server".into()),
                count => connection.handle_input(Instant::now(), &buffer[..count])?,
            },
            () = wait => {
                connection.handle_timeout(Instant::now())?;
                publisher.send_due(&mut connection);
            }
        }
    }
}

/// The state of one publish.
struct Publisher<'a> {
    stream: Option<MessageStreamId>,
    /// The time at which the first message left, and the next message.
    began: Option<(Instant, (u32, &'a Message))>,
    turns: Turns<'a>,
}

impl Publisher<'_> {
    fn handle(
        &mut self,
        connection: &mut ClientConnection,
        event: ClientEvent,
        url: &str,
    ) -> Result<(), Failure> {
        match event {
            ClientEvent::Connected => {
                connection.set_chunk_size(CHUNK_SIZE);
                connection.connect_to(APPLICATION, url);
            }
            ClientEvent::Accepted(_) => {
                connection.create_stream();
            }
            ClientEvent::StreamCreated { stream, .. } => {
                self.stream = Some(stream);
                connection.publish(stream, NAME, PublishKind::Live);
            }
            ClientEvent::Status { info, .. } => {
                let code = info
                    .get("code")
                    .and_then(|code| code.as_str())
                    .unwrap_or_default();
                if code != "NetStream.Publish.Start" {
                    return Err(code.into());
                }
                self.began = self.turns.next().map(|first| (Instant::now(), first));
            }
            ClientEvent::Rejected(info) => return Err(format!("rejected: {info:?}").into()),
            _ => {}
        }
        Ok(())
    }

    /// The time at which the next message must leave.
    fn due(&self) -> Option<Instant> {
        let (began, (time, _)) = self.began?;
        Some(began + Duration::from_millis(u64::from(time)))
    }

    fn send_due(&mut self, connection: &mut ClientConnection) {
        let now = Instant::now();
        while let (Some(stream), Some(due)) = (self.stream, self.due())
            && due <= now
            && let Some((_, (time, message))) = &mut self.began
        {
            let (kind, payload) = (message.kind, message.payload.clone());
            connection.send_media(stream, kind, RtmpTimestamp(*time), payload);
            match self.turns.next() {
                Some(next) => (*time, *message) = next,
                None => self.began = None,
            }
        }
    }
}

/// The chunk size of the publisher.
const CHUNK_SIZE: u32 = 65_536;

#[cfg(test)]
mod tests {
    use tributary_protocol::MessageType;

    use super::*;

    #[test]
    fn the_clip_begins_with_what_a_player_needs() {
        let messages = clip().unwrap();
        assert_eq!(messages[0].kind, MessageType::DATA_AMF0);
        assert!(
            messages[0]
                .payload
                .windows(13)
                .any(|part| part == b"@setDataFrame")
        );
        let kinds: Vec<_> = messages[..4].iter().map(|message| message.kind).collect();
        assert!(kinds.contains(&MessageType::VIDEO) && kinds.contains(&MessageType::AUDIO));
        assert!(CLIP.len() < 500_000);
    }

    #[test]
    fn time_goes_on_over_the_turns_and_neither_track_drifts() {
        let messages = clip().unwrap();
        let mut turns = Turns::new(&messages);
        let mut last = 0;
        for _ in 0..3 * messages.len() {
            let (time, _) = turns.next().unwrap();
            // Audio and video are interleaved, so a message may be a little older than the last.
            assert!(time + 100 >= last && time <= last + 100, "{last} to {time}");
            last = last.max(time);
        }
        assert!(
            (30_000..30_200).contains(&last),
            "three turns of ten seconds: {last}"
        );
    }

    /// Twenty-five days of wrapped 32-bit milliseconds do not panic.
    #[test]
    fn time_wraps() {
        let messages = clip().unwrap();
        let mut turns = Turns {
            base: u32::MAX - 5,
            ..Turns::new(&messages)
        };
        for _ in 0..messages.len() {
            turns.next();
        }
        assert!(turns.next().unwrap().0 < 20_000);
    }
}
