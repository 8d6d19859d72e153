//! A session in a parcel, by which another process goes on with it.
//!
//! The session has handled its inbox, and its messages to the origin are in its lane, which moves as
//! well. A session that has not reached its origin moves before its connect command, or with a connect
//! that its gate has let pass.

use std::{os::fd::OwnedFd, rc::Rc, time::Instant};

use bytes::Bytes;
use tributary_protocol::{
    GroupName, Message, SessionId, TransactionId,
    chunk::ReadLimits,
    command::ObjectEncoding,
    link::PeerAddress,
    message::user_control::UserControl,
    parcel::{MAX_PARCEL, ParcelError, ParcelReader, ParcelWriter},
    ring::WantedTracks,
    session::{ConnectionLimits, ServerEvent},
};

use super::{AtGate, KeptEvents, Phase, READ_LIMITS, Session, Who};
use crate::{
    admission::Permit,
    client::{
        figures::Figures,
        forwarding::Forwarding,
        outcome::Freeze,
        playing::{MovedPlay, Playing},
        publishing::Publishing,
        route::Route,
        timers::{STALL, Timers},
    },
    config::Protocol,
    fanout::PlaysOn,
    hooks::Answering,
    link::publish::PublishFeed,
    metrics::Counted,
    objects::Seat,
    wire::{PING, Rest, Transport, Upkeep, Wire},
    worker::{Linked, Worker},
};

const SESSION: u16 = 1;
const PEER: u16 = 2;
const PROTOCOL: u16 = 3;
const PROXIED: u16 = 4;
const PHASE: u16 = 5;
const TRANSPORT: u16 = 6;
const WIRE: u16 = 7;
const TIMERS: u16 = 8;
const FIGURES: u16 = 9;
const PACE: u16 = 10;
const WHO: u16 = 11;
const PLAYING: u16 = 12;
const PUBLISHING: u16 = 13;
const GATE: u16 = 14;
const SEAT: u16 = 15;
const EVENT: u16 = 16;
const WAS_CUT_OFF: u16 = 17;
const BEGAN: u16 = 18;
const CEILING: u16 = 19;
const OPENING: u16 = 20;

const APPLICATION: u16 = 1;
const INSTANCE: u16 = 2;
const TRANSACTION: u16 = 3;
const AMF3: u16 = 4;
const ALL_TRACKS: u16 = 5;
const RECONNECTS: u16 = 6;
const TC_URL: u16 = 7;

const GROUP: u16 = 1;
const ORIGIN: u16 = 2;
const CONNECT: u16 = 3;

const AWAITS_CONNECT: u8 = 0;
const OPENS: u8 = 1;
const PENDING: u8 = 2;
const REFUSED: u8 = 3;
const ACCEPTED: u8 = 4;

/// The bytes of a text that came in the connect command.
const MAX_TEXT: usize = super::MAX_CONNECT as usize;

/// The bytes of an address or of a protocol's name.
const MAX_SHORT: usize = 64;

/// Messages behind one that a service decides about: the session's own bound, and one read.
const MAX_EVENTS: usize = 65_536;

/// A session that has come from another process.
#[derive(Debug)]
pub(in crate::client) struct MovedSession {
    pub(in crate::client) session: Session,
    /// The way of the answer of a service that it waits for.
    pub(in crate::client) answering: Option<Answering>,
}

impl Session {
    /// The parcel of the session as it stands at `now`. It goes on afterwards if it does not leave.
    ///
    /// # Errors
    /// The session cannot move as it is.
    pub(in crate::client) fn export(&mut self, now: Instant) -> Result<Bytes, ParcelError> {
        self.keep_events();
        let mut parcel = ParcelWriter::new(now);
        let phase = match (&self.phase, &self.opening) {
            (Phase::Accepted { .. }, _) => ACCEPTED,
            (Phase::Pending { .. }, Some(_)) => OPENS,
            (Phase::Pending { refused }, None) if *refused => REFUSED,
            (Phase::Pending { .. }, None) => PENDING,
            (Phase::AwaitConnect, _) => AWAITS_CONNECT,
            (Phase::Handshake, _) => {
                parcel.refuse("its handshake is not finished");
                AWAITS_CONNECT
            }
        };
        let link = self.forwarding.link();
        if link.is_none() && matches!(phase, PENDING | REFUSED | ACCEPTED) {
            parcel.refuse("it has no lane");
        }
        parcel.number_if(SESSION, link.map(|link| link.id().0));
        parcel.bytes(PEER, self.peer.to_string().as_bytes());
        parcel.bytes(PROTOCOL, self.protocol.name().as_bytes());
        parcel.flag(PROXIED, self.wire.is_proxied());
        parcel.number(PHASE, phase);
        parcel.record(TRANSPORT, |parcel| self.wire.transport().export(parcel));
        parcel.record(WIRE, |parcel| self.wire.export(parcel));
        parcel.record(TIMERS, |parcel| self.timers.export(parcel));
        parcel.carry(FIGURES, &self.figures);
        parcel.carry(PACE, self.forwarding.pace());
        if let Some(who) = &self.who {
            parcel.record(WHO, |parcel| who.export(parcel));
        }
        parcel.record(PLAYING, |parcel| self.playing.export(parcel));
        parcel.record(PUBLISHING, |parcel| {
            self.forwarding.publishing.export(parcel);
        });
        if let Some(gate) = &self.gate {
            parcel.record(GATE, |parcel| gate.export(parcel));
        }
        if let Some(seat) = &self.seat {
            parcel.record(SEAT, |parcel| seat.export(parcel));
        }
        for event in self.behind.iter().flat_map(|behind| &behind.0) {
            match event {
                ServerEvent::Message(message) => parcel.carry(EVENT, message),
                ServerEvent::SetBufferLength {
                    stream,
                    milliseconds,
                } => {
                    let event = UserControl::SetBufferLength {
                        stream: *stream,
                        milliseconds: *milliseconds,
                    };
                    parcel.carry(EVENT, &event.to_message());
                }
                _ => {}
            }
        }
        parcel.flag(WAS_CUT_OFF, self.was_cut_off);
        parcel.time(BEGAN, self.began);
        parcel.number(CEILING, self.ceiling as u64);
        if let Some((route, connect)) = self.opening.as_deref() {
            parcel.record(OPENING, |parcel| {
                parcel.bytes(GROUP, route.group.to_string().as_bytes());
                if let Some(origin) = &route.origin {
                    parcel.bytes(ORIGIN, origin.as_bytes());
                }
                parcel.carry(CONNECT, connect);
            });
        }
        parcel.finish()
    }

    /// Keeps the messages that wait behind a decision outside of the connection.
    fn keep_events(&mut self) {
        loop {
            let event = self.wire.session().poll_event();
            match event {
                None => return,
                Some(ServerEvent::Pong { round_trip }) => {
                    self.figures.round_trip = u32::try_from(round_trip.as_millis()).ok();
                }
                Some(event) => self.behind.get_or_insert_default().0.push_back(event),
            }
        }
    }

    /// The session of a parcel, on its client's socket. It has no place in the world yet: it neither
    /// reads nor writes before its driver runs.
    ///
    /// # Errors
    /// The parcel is not one of a session, or does not fit this edge.
    pub(in crate::client) fn import(
        worker: &Rc<Worker>,
        bytes: &[u8],
        socket: Option<OwnedFd>,
        mut permit: Permit,
        now: Instant,
    ) -> Result<MovedSession, ParcelError> {
        let mut reader = ParcelReader::new(bytes, "a session", now, MAX_PARCEL)?;
        let parcel = &mut reader;
        let number = parcel.number_if(SESSION)?.map(SessionId);
        let peer = address(parcel)?;
        let protocol: Protocol = parcel
            .text(PROTOCOL, MAX_SHORT)?
            .parse()
            .map_err(|_| parcel.illegal(PROTOCOL))?;
        let upkeep = match parcel.flag(PROXIED)? {
            true => &Upkeep::PROXIED,
            false => &Upkeep::DIRECT,
        };
        let kind: u8 = parcel.number(PHASE)?;
        parcel.require(kind <= ACCEPTED, PHASE)?;
        parcel.require(number.is_some() == (kind >= PENDING), PHASE)?;
        let transport = parcel.record_if(TRANSPORT, "a transport", |parcel| {
            Transport::import(parcel, socket, |it| worker.tunnels.import(it))
        })?;
        let transport = transport.ok_or_else(|| parcel.illegal(TRANSPORT))?;
        let limits = limits(kind, upkeep);
        let wire = parcel.record_if(WIRE, "the sending side", |parcel| {
            let all_sent = worker.metrics.bytes_out.clone();
            Wire::import(parcel, transport, limits, all_sent, Rest::new(upkeep, now))
        })?;
        let wire = Rc::new(wire.ok_or_else(|| parcel.illegal(WIRE))?);
        // Nothing leaves before the other process has given the session up.
        wire.seal(true);
        let timers =
            parcel.record_if(TIMERS, "the times", |parcel| Timers::import(parcel, STALL))?;
        let mut timers = timers.ok_or_else(|| parcel.illegal(TIMERS))?;
        let figures: Figures = parcel.carried(FIGURES, ())?;
        let pace = parcel.carried(PACE, worker.message_rate())?;
        let who = parcel.record_if(WHO, "a client", Who::import)?;
        parcel.require(who.is_some() == (kind != AWAITS_CONNECT), WHO)?;
        let (encoding, tracks) = who
            .as_ref()
            .map_or((ObjectEncoding::Amf0, WantedTracks::First), |who| {
                (who.encoding, who.tracks)
            });
        let application = who.as_ref().map_or("", |who| &*who.application);
        timers.lost = number.is_some();
        if let Some(policy) = worker.policy(application) {
            timers.set_stall(policy.stall_time);
        }
        let resume = |play: &MovedPlay| {
            let on = PlaysOn {
                stream: play.stream,
                encoding,
                tracks,
            };
            let policy = worker.delivery(application, play.name.as_deref());
            worker.resume(&wire, on, play.key, play.cursor, policy)
        };
        let playing = parcel.record_if(PLAYING, "the plays", |it| Playing::import(it, resume))?;
        let playing = playing.ok_or_else(|| parcel.illegal(PLAYING))?;
        let publishing = parcel.record_if(PUBLISHING, "the publishes", |parcel| {
            let feed = |parcel: &mut ParcelReader<'_>| {
                Ok(worker.upstream.adopt_feed(PublishFeed::import(parcel)?))
            };
            let counted = || Counted::new(&worker.metrics.publishers);
            Publishing::import(parcel, feed, counted)
        })?;
        let publishing = publishing.ok_or_else(|| parcel.illegal(PUBLISHING))?;
        let gate = parcel.record_if(GATE, "a client's gate", |parcel| {
            let of = |application: &str| worker.policy(application)?.hooks.clone();
            AtGate::import(parcel, worker.hooks(), of)
        })?;
        let (gate, answering) = match gate {
            Some((gate, answering)) => (Some(Box::new(gate)), answering),
            None => (None, None),
        };
        let link = number.map(|number| worker.upstream.adopt(number));
        let seat = parcel.record_if(SEAT, "the seat", |parcel| {
            let link = link.as_ref().ok_or_else(|| parcel.illegal(SEAT))?;
            let seat = Seat::new(link.id(), Rc::clone(&wire), link.probe(), encoding);
            worker.hub.enter_moved(seat, parcel)
        })?;
        let behind = events(parcel)?;
        let was_cut_off = parcel.flag(WAS_CUT_OFF)?;
        let began = parcel.time(BEGAN)?;
        let ceiling = parcel.number(CEILING)?;
        let opening = parcel.record_if(OPENING, "a connect", opening)?;
        parcel.require(opening.is_some() == (kind == OPENS), OPENING)?;
        reader.finish()?;
        if publishing.is_empty() && kind != AWAITS_CONNECT {
            wire.session().set_read_limits(ReadLimits::default());
        }
        if figures.report_at().is_some() {
            wire.session().set_ping_after(PING);
        }
        permit.established();
        let is_linked = number.is_some() || wire.transport().is_in_requests();
        let phase = match kind {
            AWAITS_CONNECT => Phase::AwaitConnect,
            OPENS | PENDING => Phase::Pending { refused: false },
            REFUSED => Phase::Pending { refused: true },
            _ => Phase::Accepted {
                _counted: Counted::new(&worker.metrics.sessions),
            },
        };
        let session = Self {
            forwarding: Forwarding::moved(link, pace, publishing),
            worker: Rc::clone(worker),
            wire,
            peer,
            protocol,
            timers,
            figures,
            phase,
            who: who.map(Box::new),
            playing,
            read_times: None,
            gate,
            seat,
            was_cut_off,
            permit,
            began,
            ceiling,
            parting: None,
            behind,
            opening: opening.map(Box::new),
            linked: is_linked.then(|| Linked::new(worker)),
            freeze: Freeze::Arrived,
        };
        Ok(MovedSession { session, answering })
    }
}

fn limits(kind: u8, upkeep: &Upkeep) -> ConnectionLimits {
    let read = match kind {
        AWAITS_CONNECT => READ_LIMITS,
        // A part of a message of a publisher may be there.
        _ => ReadLimits {
            partial: ReadLimits::PARTIAL_PUBLISHING,
            ..ReadLimits::default()
        },
    };
    ConnectionLimits {
        read,
        ping_after: upkeep.ping_after,
        ..ConnectionLimits::default()
    }
}

fn address(parcel: &mut ParcelReader<'_>) -> Result<PeerAddress, ParcelError> {
    let text = parcel.text(PEER, MAX_SHORT)?;
    PeerAddress::named(text).ok_or_else(|| parcel.illegal(PEER))
}

fn events(parcel: &mut ParcelReader<'_>) -> Result<Option<Box<KeptEvents>>, ParcelError> {
    let mut behind: Option<Box<KeptEvents>> = None;
    while let Some(message) = parcel.carried_if::<Message>(EVENT, ())? {
        let events = &mut behind.get_or_insert_default().0;
        parcel.fits(events.len() < MAX_EVENTS, "messages of a client")?;
        let event = match UserControl::decode(&message.payload) {
            Some(UserControl::SetBufferLength {
                stream,
                milliseconds,
            }) if message.kind == tributary_protocol::MessageType::USER_CONTROL => {
                ServerEvent::SetBufferLength {
                    stream,
                    milliseconds,
                }
            }
            _ => ServerEvent::Message(message),
        };
        events.push_back(event);
    }
    Ok(behind)
}

fn opening(parcel: &mut ParcelReader<'_>) -> Result<(Route, Message), ParcelError> {
    let group = parcel.text(GROUP, GroupName::MAX_LENGTH)?.parse();
    let route = Route {
        group: group.map_err(|_| parcel.illegal(GROUP))?,
        origin: parcel.text_if(ORIGIN, MAX_TEXT)?.map(str::to_owned),
    };
    Ok((route, parcel.carried(CONNECT, ())?))
}

impl Who {
    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.bytes(APPLICATION, self.application.as_bytes());
        parcel.bytes(INSTANCE, self.instance.as_bytes());
        parcel.bytes(TRANSACTION, &self.transaction.0.to_be_bytes());
        parcel.flag(AMF3, self.encoding == ObjectEncoding::Amf3);
        parcel.flag(ALL_TRACKS, self.tracks == WantedTracks::All);
        parcel.flag(RECONNECTS, self.reconnects);
        if let Some(url) = &self.tc_url {
            parcel.bytes(TC_URL, url.as_bytes());
        }
    }

    fn import(parcel: &mut ParcelReader<'_>) -> Result<Self, ParcelError> {
        let application = parcel.text(APPLICATION, GroupName::MAX_LENGTH)?.to_owned();
        let instance = parcel.text(INSTANCE, GroupName::MAX_LENGTH)?.to_owned();
        let transaction = parcel.bytes(TRANSACTION)?.try_into();
        let transaction = transaction.map_err(|_| parcel.illegal(TRANSACTION))?;
        let encoding = match parcel.flag(AMF3)? {
            true => ObjectEncoding::Amf3,
            false => ObjectEncoding::Amf0,
        };
        let tracks = match parcel.flag(ALL_TRACKS)? {
            true => WantedTracks::All,
            false => WantedTracks::First,
        };
        Ok(Self {
            application,
            instance,
            transaction: TransactionId(f64::from_be_bytes(transaction)),
            encoding,
            tracks,
            reconnects: parcel.flag(RECONNECTS)?,
            tc_url: parcel.text_if(TC_URL, MAX_TEXT)?.map(Box::from),
        })
    }
}
