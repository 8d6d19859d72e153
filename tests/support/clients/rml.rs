//! rml_rtmp's `ClientSession` as an independent peer, over a blocking socket.

use std::{
    collections::VecDeque,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rml_rtmp::{
    handshake::{Handshake, HandshakeProcessResult, PeerType},
    sessions::{
        ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult,
        PublishRequestType, StreamMetadata,
    },
    time::RtmpTimestamp,
};

use super::{
    super::{
        media::{Kind, Recording},
        wire,
    },
    parts,
    wired::{PATIENCE, tcp},
};

/// Publishes an FLV file at its own speed.
pub(crate) fn publish(url: &str, file: &Path) {
    let (_, _, name) = parts(url);
    let mut client = Client::connect(url);
    let request = client
        .session
        .request_publishing(name.to_owned(), PublishRequestType::Live);
    client.send(request.into_iter().collect());
    client.wait(PATIENCE, |event| {
        *event == ClientSessionEvent::PublishRequestAccepted
    });
    let mut metadata = StreamMetadata::new();
    metadata.video_width = Some(320);
    metadata.video_height = Some(180);
    let packet = client.session.publish_metadata(&metadata);
    client.send(packet.into_iter().collect());
    let begun = Instant::now();
    for packet in Recording::read_flv(file).packets {
        let due = Duration::from_millis(packet.timestamp.into());
        thread::sleep(due.saturating_sub(begun.elapsed()));
        let time = RtmpTimestamp::new(packet.timestamp);
        let data = Bytes::from(packet.payload);
        let result = match packet.kind {
            Kind::Audio | Kind::AudioHeader => client.session.publish_audio_data(data, time, false),
            Kind::Video | Kind::VideoHeader => client.session.publish_video_data(data, time, false),
            Kind::Mark | Kind::Data => continue,
        };
        client.send(result.into_iter().collect());
        client.read(Duration::from_micros(1));
    }
    let stopped = client.session.stop_publishing().unwrap_or_default();
    client.send(stopped);
    // The server reads the remaining bytes before it reads the end.
    let _ = client.stream.shutdown(std::net::Shutdown::Write);
    while client.read(Duration::from_secs(1)) {}
}

/// Plays until the stream is unpublished.
pub(crate) fn play(url: &str) -> Recording {
    let (_, _, name) = parts(url);
    let mut client = Client::connect(url);
    let request = client.session.request_playback(name.to_owned());
    client.send(request.into_iter().collect());
    let mut recording = Recording::default();
    client.wait(Duration::from_secs(120), |event| {
        match event {
            ClientSessionEvent::AudioDataReceived { timestamp, data } => {
                recording.push(wire::AUDIO, timestamp.value, data);
            }
            ClientSessionEvent::VideoDataReceived { timestamp, data } => {
                recording.push(wire::VIDEO, timestamp.value, data);
            }
            ClientSessionEvent::UnhandleableOnStatusCode { code } => {
                return code == "NetStream.Play.UnpublishNotify";
            }
            _ => {}
        }
        false
    });
    recording
}

struct Client {
    stream: TcpStream,
    session: ClientSession,
    events: VecDeque<ClientSessionEvent>,
    open: bool,
}

impl Client {
    fn connect(url: &str) -> Self {
        let (host, app, _) = parts(url);
        let server: SocketAddr = host.parse().expect("a socket address");
        let mut stream = tcp(server).expect("a connection");
        let rest = shake_hands(&mut stream).expect("a handshake");
        let mut config = ClientSessionConfig::new();
        config.tc_url = Some(format!("rtmp://{host}/{app}"));
        let (session, first) = ClientSession::new(config).expect("a session");
        let mut client = Self {
            stream,
            session,
            events: VecDeque::new(),
            open: true,
        };
        client.send(first);
        client.take(&rest);
        let request = client.session.request_connection(app.to_owned());
        client.send(request.into_iter().collect());
        client.wait(PATIENCE, |event| {
            *event == ClientSessionEvent::ConnectionRequestAccepted
        });
        client
    }

    /// Reads until `wanted` accepts an event; panics if none comes in time.
    fn wait(&mut self, at_most: Duration, mut wanted: impl FnMut(&ClientSessionEvent) -> bool) {
        let deadline = Instant::now() + at_most;
        loop {
            while let Some(event) = self.events.pop_front() {
                if wanted(&event) {
                    return;
                }
            }
            assert!(self.open, "the server closed rml_rtmp's connection");
            assert!(Instant::now() < deadline, "rml_rtmp waits in vain");
            self.read(Duration::from_millis(200));
        }
    }

    /// Takes the bytes that arrive within a time; returns whether the connection is still open.
    fn read(&mut self, at_most: Duration) -> bool {
        let mut buffer = [0; 16 * 1024];
        self.stream
            .set_read_timeout(Some(at_most))
            .expect("a timeout above zero");
        match self.stream.read(&mut buffer) {
            Ok(0) => self.open = false,
            Ok(count) => self.take(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.open = false,
        }
        self.open
    }

    fn take(&mut self, bytes: &[u8]) {
        let results = self.session.handle_input(bytes);
        self.send(results.expect("what the server sends is valid"));
    }

    fn send(&mut self, results: Vec<ClientSessionResult>) {
        for result in results {
            match result {
                ClientSessionResult::OutboundResponse(packet) => {
                    self.open &= self.stream.write_all(&packet.bytes).is_ok();
                }
                ClientSessionResult::RaisedEvent(event) => self.events.push_back(event),
                ClientSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
    }
}

fn shake_hands(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut handshake = Handshake::new(PeerType::Client);
    let hello = handshake
        .generate_outbound_p0_and_p1()
        .map_err(|error| io::Error::other(error.to_string()))?;
    stream.write_all(&hello)?;
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        let result = handshake
            .process_bytes(&buffer[..count])
            .map_err(|error| io::Error::other(error.to_string()))?;
        match result {
            HandshakeProcessResult::InProgress { response_bytes } => {
                stream.write_all(&response_bytes)?;
            }
            HandshakeProcessResult::Completed {
                response_bytes,
                remaining_bytes,
            } => {
                stream.write_all(&response_bytes)?;
                return Ok(remaining_bytes);
            }
        }
    }
}
