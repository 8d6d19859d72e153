//! A connection to an instance of this process: a lane without an edge, with one session.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use tributary_node::queue;
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp, SessionId, TransactionId,
    amf::Value,
    command::{Command, ObjectEncoding, Status, connect},
    link::{
        AudienceId, CloseReason, FromSession, Generation, OpenSession, Recipients, Target,
        ToAudience, ToSession,
    },
};

use super::{
    Connect, Happening, Inbox, OutgoingOrder, info,
    peer::{CONNECT_TRANSACTION, Peer},
    rtmp::data_message,
};
use crate::{
    app::NetStreamId,
    live::{LiveStream, relay::Relay},
    session::{self, Destination, LaneCommand, LaneKey, LaneOut, Mail, Opening, SessionKey},
};

/// The parts of a connection within the process.
pub(crate) struct Join {
    pub(crate) group: Box<dyn Destination>,
    pub(crate) lane: LaneKey,
    pub(crate) connect: Connect,
}

/// A connection at work.
struct Session {
    group: Box<dyn Destination>,
    key: SessionKey,
    encoding: ObjectEncoding,
    peer: Peer,
    /// The live stream that each NetStream publishes.
    sources: HashMap<NetStreamId, Option<Arc<LiveStream>>>,
    /// The accepted publishes, by message stream.
    publishing: HashMap<MessageStreamId, Publishing>,
    /// The audiences of shared objects that it belongs to.
    member_of: HashSet<AudienceId>,
    generation: u32,
    /// Payload bytes that the instance has not handled.
    unhandled: usize,
    accepted: bool,
}

/// An accepted publish.
struct Publishing {
    stream: NetStreamId,
    generation: Generation,
    live: Arc<LiveStream>,
    relay: Relay,
}

/// The most bytes that the instance has not handled; beyond them orders wait. Reason: the same as
/// the credit of a session of an edge.
const UNHANDLED: usize = 64 * 1024;

/// The most bytes of reports that a group may leave unhandled before its connection is closed.
/// Reason: as much as a lane keeps for an edge that is away.
const MOST_BACKLOG: usize = 16 * 1024 * 1024;

/// The edge's name of such a session.
const NO_EDGE: &str = "this origin";

/// Joins the instance, and carries out orders until either side ends the session.
pub(crate) async fn run(join: Join, mut inbox: Inbox) {
    // Commands are taken at once; the backlog bounds the memory of those that wait for the group.
    let (out, mut commands) = LaneOut::new(join.lane, Arc::from(NO_EDGE));
    let mut session = Session::open(join, out);
    let end = session.run(&mut commands, &mut inbox).await;
    let key = session.key;
    session.group.send(Mail::Session {
        session: key,
        event: FromSession::Close(CloseReason::Client),
    });
    inbox.close(end);
}

impl Session {
    fn open(join: Join, lane: LaneOut) -> Self {
        let key = SessionKey {
            lane: join.lane,
            session: SessionId(1),
        };
        let encoding = join.connect.encoding();
        let mut command = connect::command(join.connect.properties);
        command.transaction = TransactionId(f64::from(CONNECT_TRANSACTION));
        command.arguments = join.connect.arguments;
        join.group.send(Mail::Session {
            session: key,
            event: FromSession::Open(Opening {
                lane,
                open: OpenSession {
                    peer: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0).into(),
                    protocol: "rtmp".to_owned(),
                    connect: command.encode(ObjectEncoding::Amf0).1,
                    claims: None,
                },
                repeats: false,
            }),
        });
        Self {
            group: join.group,
            key,
            encoding,
            peer: Peer::new(),
            sources: HashMap::new(),
            publishing: HashMap::new(),
            member_of: HashSet::new(),
            generation: 0,
            unhandled: 0,
            accepted: false,
        }
    }

    async fn run(
        &mut self,
        commands: &mut queue::Receiver<LaneCommand>,
        inbox: &mut Inbox,
    ) -> Value {
        loop {
            if let Some(end) = self.settle(inbox) {
                return end;
            }
            let takes_orders = self.accepted && self.unhandled < UNHANDLED;
            tokio::select! {
                command = commands.next() => {
                    let end = match command {
                        Some(command) => self.handle_command(command),
                        None => Some(info(Status::ConnectClosed, None)),
                    };
                    if let Some(end) = end {
                        self.settle(inbox);
                        return end;
                    }
                }
                _ = &mut inbox.gone, if !self.accepted => return info(Status::ConnectClosed, None),
                order = inbox.orders.next(), if takes_orders => match order {
                    Some((order, _)) => self.handle_order(order),
                    None => return info(Status::ConnectClosed, None),
                },
            }
        }
    }

    /// Passes on commands and reports. Returns the end, if the group does not take a report.
    fn settle(&mut self, inbox: &Inbox) -> Option<Value> {
        while let Some((stream, command)) = self.peer.poll_command() {
            self.say(stream, &command);
        }
        while let Some((happening, bytes)) = self.peer.poll_happening() {
            let kept = inbox.backlog.bytes.load(Ordering::Acquire);
            if kept > MOST_BACKLOG || !inbox.tell(happening, bytes) {
                let why = "The application is too far behind.";
                return Some(info(Status::ConnectClosed, Some(why)));
            }
        }
        None
    }

    fn say(&mut self, stream: MessageStreamId, command: &Command) {
        if matches!(command.name.as_str(), "publish" | "deleteStream") {
            self.generation += 1;
        }
        let (kind, payload) = command.encode(self.encoding);
        self.send(stream, kind, payload);
    }

    fn send(&mut self, stream: MessageStreamId, kind: MessageType, payload: Bytes) {
        self.unhandled += payload.len();
        self.group.send(Mail::Session {
            session: self.key,
            event: FromSession::Message {
                generation: Generation(self.generation),
                message: Message {
                    kind,
                    stream,
                    timestamp: RtmpTimestamp::default(),
                    payload,
                },
            },
        });
    }

    fn handle_order(&mut self, order: OutgoingOrder) {
        match &order {
            OutgoingOrder::Feed { stream, live } => {
                self.sources.insert(*stream, live.clone());
                let publishing = self.publishing.values();
                for publishing in publishing.filter(|publishing| publishing.stream == *stream) {
                    publishing.relay.play(live.clone());
                }
            }
            OutgoingOrder::Data {
                stream,
                handler,
                values,
            } => {
                let message = data_message(handler, values);
                let mut publishing = self.publishing.values();
                if let Some(found) = publishing.find(|publishing| publishing.stream == *stream) {
                    found.live.insert(message, crate::live::now());
                }
            }
            OutgoingOrder::Close { stream } => {
                self.sources.remove(stream);
                self.publishing
                    .retain(|_, publishing| publishing.stream != *stream);
            }
            OutgoingOrder::Object(message) => {
                let (kind, payload) = message.encode(self.encoding);
                self.send(MessageStreamId::CONNECTION, kind, payload);
            }
            _ => {}
        }
        self.peer.handle_order(order);
    }

    fn handle_command(&mut self, command: LaneCommand) -> Option<Value> {
        match command {
            LaneCommand::Session { order, .. } => self.obey(order),
            LaneCommand::Audience { audience, order } => {
                self.audience(audience, order);
                None
            }
            LaneCommand::Consumed { bytes, .. } => {
                self.unhandled = self.unhandled.saturating_sub(bytes);
                None
            }
            // Connections within the process end with their groups.
            LaneCommand::HandOver(_) => None,
            LaneCommand::Lost(_) => {
                let why = "The instance is too far ahead.";
                Some(info(Status::ConnectClosed, Some(why)))
            }
        }
    }

    /// Carries out an order of the instance. Returns the information of the close if the order ends
    /// the session.
    fn obey(&mut self, order: session::Order) -> Option<Value> {
        match order {
            ToSession::Message { message, .. } => return self.handle_message(&message),
            ToSession::Attach { stream, source } => self.media(stream, Some(source)),
            ToSession::Detach { stream } => self.media(stream, None),
            ToSession::AcceptPublish {
                stream,
                generation,
                target,
            } => self.accept_publish(stream, generation, target),
            ToSession::StopPublish { stream, generation } => {
                let old = |publishing: &Publishing| publishing.generation <= generation;
                if self.publishing.get(&stream).is_some_and(old) {
                    self.publishing.remove(&stream);
                }
            }
            ToSession::Close(_) => return Some(info(Status::ConnectClosed, None)),
            // There is no connection that could be counted, limited or pinged.
            _ => {}
        }
        None
    }

    fn handle_message(&mut self, message: &Message) -> Option<Value> {
        if message.kind.is_shared_object() {
            self.peer.handle_object(message.kind, &message.payload);
            return None;
        }
        if !message.kind.is_command() {
            // Media comes through the ring, and other messages are for players.
            return None;
        }
        let mut command = Command::decode(message.kind, &message.payload).ok()?;
        let of_connect = command.transaction.0 == f64::from(CONNECT_TRANSACTION);
        match command.name.as_str() {
            "_result" if of_connect => {
                self.accepted = true;
                let info = command.arguments.pop().unwrap_or(Value::Undefined);
                self.peer.happens(Happening::Connected(info), 0);
            }
            "_error" if of_connect => return command.arguments.pop(),
            // The close follows.
            "close" => {}
            _ => self.peer.handle_command(message.stream, command),
        }
        None
    }

    /// Delivers an order to an audience as an edge does, to its only member.
    fn audience(&mut self, audience: AudienceId, what: ToAudience) {
        let own = self.key.session;
        let (to, encoding, body) = match what {
            // A member that stands aside still gets messages to it alone.
            ToAudience::Join { session, .. }
            | ToAudience::Stand {
                session,
                aside: false,
            } if session == own => {
                self.member_of.insert(audience);
                return;
            }
            ToAudience::Leave { session }
            | ToAudience::Stand {
                session,
                aside: true,
            } if session == own => {
                self.member_of.remove(&audience);
                return;
            }
            ToAudience::End => {
                self.member_of.remove(&audience);
                return;
            }
            ToAudience::Send { to, encoding, body } => (to, encoding, body),
            ToAudience::Snapshot { encoding, body } => (Recipients::All, encoding, body),
            _ => return,
        };
        let is_for_it = match to {
            Recipients::All => self.member_of.contains(&audience),
            Recipients::AllBut(author) => author != own && self.member_of.contains(&audience),
            Recipients::One(one) => one == own,
        };
        if is_for_it && encoding.is_none_or(|encoding| encoding == self.encoding) {
            let kind = MessageType::SHARED_OBJECT_AMF0;
            self.peer.handle_object(kind, &body);
        }
    }

    fn media(&mut self, on: MessageStreamId, live: Option<Arc<LiveStream>>) {
        if let Some(stream) = self.peer.net_stream(on) {
            self.peer.happens(Happening::Media { stream, live }, 0);
        }
    }

    fn accept_publish(
        &mut self,
        on: MessageStreamId,
        generation: Generation,
        target: Target<Arc<LiveStream>>,
    ) {
        let Some(stream) = self.peer.net_stream(on) else {
            return;
        };
        let (relay, task) = Relay::new(Arc::clone(&target.live), target.writer);
        tokio::spawn(task);
        if let Some(source) = self.sources.get(&stream) {
            relay.play(source.clone());
        }
        let publishing = Publishing {
            stream,
            generation,
            live: target.live,
            relay,
        };
        self.publishing.insert(on, publishing);
    }
}
