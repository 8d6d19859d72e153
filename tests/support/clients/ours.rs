//! The project's own client end of a connection, over a blocking connection.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tributary_protocol::{
    MessageStreamId, MessageType, RtmpTimestamp,
    command::stream::PublishKind,
    handshake::{self, HandshakeKind as Handshake},
    session::{ClientConnection, ClientEvent, ConnectionLimits},
};

use super::{
    super::media::{Kind, Recording},
    carrier::Carrier,
    parts,
    wired::{PATIENCE, tcp},
};

/// Publishes an FLV file at its own speed: metadata, headers and frames as they are.
pub(crate) fn publish(url: &str, file: &Path) {
    publish_over(in_tcp(url), url, file);
}

/// As [`publish`], on this connection.
pub(crate) fn publish_over(carrier: Box<dyn Carrier>, url: &str, file: &Path) {
    let recording = Recording::read_flv(file);
    let (mut client, stream) = Client::publisher(carrier, url);
    let begun = Instant::now();
    for packet in recording.packets {
        if packet.kind == Kind::Mark {
            continue;
        }
        let due = Duration::from_millis(packet.timestamp.into());
        thread::sleep(due.saturating_sub(begun.elapsed()));
        let kind = packet.message_type();
        client.media(stream, kind, packet.timestamp, packet.payload);
        client.turn(Duration::from_micros(1));
    }
    client.connection.delete_stream(stream);
    client.turn(Duration::from_millis(500));
}

/// Plays until the stream is unpublished.
pub(crate) fn play(url: &str) -> Recording {
    play_over(in_tcp(url), url)
}

/// As [`play`], on this connection.
pub(crate) fn play_over(carrier: Box<dyn Carrier>, url: &str) -> Recording {
    let (_, _, name) = parts(url);
    let mut client = Client::connect(carrier, url);
    let stream = client.create_stream();
    client.connection.play(stream, name);
    let mut recording = Recording::default();
    client.wait(Duration::from_secs(120), |event| match event {
        ClientEvent::Message(message) => {
            recording.push(message.kind.0, message.timestamp.0, &message.payload);
            None
        }
        ClientEvent::Status { info, .. } => {
            let code = info.get("code").and_then(|code| code.as_str());
            (code == Some("NetStream.Play.UnpublishNotify")).then_some(())
        }
        _ => None,
    });
    recording
}

/// A TCP connection to the server of a URL.
fn in_tcp(url: &str) -> Box<dyn Carrier> {
    let (host, _, _) = parts(url);
    let server: SocketAddr = host.parse().expect("a socket address");
    Box::new(tcp(server).expect("a connection"))
}

/// A blocking driver of the client end.
pub(crate) struct Client {
    pub(crate) connection: ClientConnection,
    carrier: Box<dyn Carrier>,
}

impl Client {
    /// An accepted session.
    fn connect(carrier: Box<dyn Carrier>, url: &str) -> Self {
        let (host, app, _) = parts(url);
        let random = [0x5a; handshake::RANDOM];
        let mut client = Self {
            connection: ClientConnection::new(
                Handshake::Digest,
                random,
                Instant::now(),
                ConnectionLimits::default(),
            ),
            carrier,
        };
        client.wait(PATIENCE, |event| {
            matches!(event, ClientEvent::Connected).then_some(())
        });
        let tc_url = format!("rtmp://{host}/{app}");
        client.connection.connect_to(app, &tc_url);
        client.wait(PATIENCE, |event| match event {
            ClientEvent::Accepted(_) => Some(()),
            ClientEvent::Rejected(info) => panic!("{url} is refused: {info:?}"),
            _ => None,
        });
        client
    }

    /// A session that publishes.
    fn publisher(carrier: Box<dyn Carrier>, url: &str) -> (Self, MessageStreamId) {
        let (_, _, name) = parts(url);
        let mut client = Self::connect(carrier, url);
        client.connection.set_chunk_size(4096);
        client.connection.announce(name);
        let stream = client.create_stream();
        client.connection.publish(stream, name, PublishKind::Live);
        let code = client.wait(PATIENCE, |event| match event {
            ClientEvent::Status { info, .. } => info
                .get("code")
                .and_then(|code| code.as_str())
                .map(str::to_owned),
            _ => None,
        });
        assert_eq!(code, "NetStream.Publish.Start", "{url}");
        (client, stream)
    }

    pub(crate) fn create_stream(&mut self) -> MessageStreamId {
        self.connection.create_stream();
        self.wait(PATIENCE, |event| match event {
            ClientEvent::StreamCreated { stream, .. } => Some(stream),
            _ => None,
        })
    }

    /// Queues one message of media; [`Self::turn`] sends it.
    pub(crate) fn media(
        &mut self,
        stream: MessageStreamId,
        kind: u8,
        timestamp: u32,
        payload: Vec<u8>,
    ) {
        self.connection.send_media(
            stream,
            MessageType(kind),
            RtmpTimestamp(timestamp),
            Bytes::from(payload),
        );
    }

    /// Waits for a message that `found` accepts; panics if none comes in time.
    pub(crate) fn wait<T>(
        &mut self,
        at_most: Duration,
        mut found: impl FnMut(ClientEvent) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + at_most;
        loop {
            while let Some(event) = self.connection.poll_event() {
                if let Some(value) = found(event) {
                    return value;
                }
            }
            assert!(Instant::now() < deadline, "our client waits in vain");
            assert!(
                self.turn(Duration::from_millis(200)),
                "the server closed our client"
            );
        }
    }

    /// Sends the queued bytes and takes the bytes that arrive within a time; returns whether the
    /// connection is still open.
    pub(crate) fn turn(&mut self, at_most: Duration) -> bool {
        let output = self.connection.take_output();
        if !output.is_empty() && self.carrier.send(&output).is_err() {
            return false;
        }
        match self.carrier.receive(at_most) {
            Ok(bytes) if bytes.is_empty() => false,
            Ok(bytes) => {
                let taken = self.connection.handle_input(Instant::now(), &bytes);
                taken.expect("what the server sends is valid");
                true
            }
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}
