//! The common part of both ends of a connection after the handshake.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::BytesMut;

use super::{ConnectionLimits, Error, ServerEvent, flow::Flow};
use crate::{
    ChunkStreamId, Message, MessageType,
    chunk::{Reader, Writer},
    message::{
        control::{BandwidthLimit, ControlMessage, ControlTooShort},
        user_control::UserControl,
    },
};

mod parcel;

/// Chunk streams, protocol control, ping and the work budget of one connection.
///
/// An idle connection owns no buffer: [`Self::take_output`] takes the whole output, an empty queue
/// of events is freed, and the reader keeps no bytes of a finished message.
#[derive(Debug)]
pub(super) struct Connection {
    limits: ConnectionLimits,
    reader: Reader,
    writer: Writer,
    flow: Flow,
    output: BytesMut,
    events: VecDeque<ServerEvent>,
    ping: Ping,
    work: Work,
}

/// The time of the peer's last bytes, and the ping since.
#[derive(Debug)]
struct Ping {
    last_arrival: Instant,
    /// The time of a ping without an answer.
    sent: Option<Instant>,
    stamp: u32,
}

/// A token bucket of chunks.
#[derive(Debug)]
struct Work {
    /// The chunks that may be read now; negative while the peer is ahead.
    credit: i64,
    counted: u64,
    updated: Instant,
}

impl Connection {
    pub(super) fn new(now: Instant, limits: ConnectionLimits) -> Self {
        Self {
            limits,
            reader: Reader::new(limits.read),
            writer: Writer::new(),
            flow: Flow::new(),
            output: BytesMut::new(),
            events: VecDeque::new(),
            ping: Ping {
                last_arrival: now,
                sent: None,
                stamp: 0,
            },
            work: Work {
                credit: i64::from(limits.chunks_per_second),
                counted: 0,
                updated: now,
            },
        }
    }

    /// Reads all bytes of one read.
    pub(super) fn read(&mut self, now: Instant, mut input: &[u8]) -> Result<(), Error> {
        self.restart_silence(now);
        self.flow.receive(input.len());
        while let Some(message) = self.reader.read(&mut input)? {
            if let Some(event) = self.take(now, message)? {
                self.events.push_back(event);
            }
        }
        if let Some(acknowledgement) = self.flow.acknowledgement() {
            self.send_control(acknowledgement);
        }
        let rate = self.limits.chunks_per_second;
        self.work.spend(now, self.reader.chunks(), rate);
        if self.work.credit < -WORK_DEBT * i64::from(rate) {
            return Err(Error::ChunkRate);
        }
        Ok(())
    }

    /// Handles messages about the connection itself; returns the events of others.
    fn take(&mut self, now: Instant, message: Message) -> Result<Option<ServerEvent>, Error> {
        if message.kind == MessageType::USER_CONTROL {
            return Ok(self.take_user_control(now, &message));
        }
        match ControlMessage::decode(message.kind, &message.payload) {
            None => return Ok(Some(ServerEvent::Message(message))),
            Some(Err(ControlTooShort(kind))) => return Err(Error::Control { kind }),
            Some(Ok(ControlMessage::WindowAckSize(window))) => self.flow.set_window(window),
            Some(Ok(ControlMessage::Acknowledgement(sequence))) => {
                self.flow.acknowledged_by_peer(sequence);
            }
            Some(Ok(ControlMessage::SetPeerBandwidth { window, limit })) => {
                if let Some(answer) = self.flow.set_peer_bandwidth(window, limit) {
                    self.send_control(answer);
                }
            }
            // The reader handles these itself and does not return them.
            Some(Ok(ControlMessage::SetChunkSize(_) | ControlMessage::Abort(_))) => {}
        }
        Ok(None)
    }

    fn take_user_control(&mut self, now: Instant, message: &Message) -> Option<ServerEvent> {
        match UserControl::decode(&message.payload)? {
            UserControl::PingRequest(stamp) => {
                self.send_user_control(&UserControl::PingResponse(stamp));
                None
            }
            UserControl::PingResponse(stamp) => {
                let sent = self.ping.sent.take_if(|_| self.ping.stamp == stamp)?;
                Some(ServerEvent::Pong {
                    round_trip: now.saturating_duration_since(sent),
                })
            }
            UserControl::SetBufferLength {
                stream,
                milliseconds,
            } => Some(ServerEvent::SetBufferLength {
                stream,
                milliseconds,
            }),
            event => Some(ServerEvent::UserControl(event)),
        }
    }

    pub(super) fn push_event(&mut self, event: ServerEvent) {
        self.events.push_back(event);
    }

    pub(super) fn events(&self) -> usize {
        self.events.len()
    }

    pub(super) fn poll_event(&mut self) -> Option<ServerEvent> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.events = VecDeque::new();
        }
        event
    }

    /// Sends the window and the chunk size, as a server does when the connect command arrives.
    pub(super) fn begin(&mut self, chunk_size: u32, window: u32) {
        let control = self.flow.state_window(window);
        self.send_control(control);
        self.send_control(ControlMessage::SetPeerBandwidth {
            window,
            limit: BandwidthLimit::Dynamic,
        });
        self.set_chunk_size(chunk_size);
    }

    pub(super) fn set_chunk_size(&mut self, chunk_size: u32) {
        self.writer.set_chunk_size(chunk_size, &mut self.output);
    }

    pub(super) fn send(&mut self, csid: ChunkStreamId, message: &Message) {
        self.writer.write(csid, message, &mut self.output);
    }

    pub(super) fn send_user_control(&mut self, event: &UserControl) {
        self.send_full(ChunkStreamId::CONTROL, &event.to_message());
    }

    fn send_control(&mut self, control: ControlMessage) {
        self.send_full(ChunkStreamId::CONTROL, &control.to_message());
    }

    pub(super) fn send_full(&mut self, csid: ChunkStreamId, message: &Message) {
        self.writer.write_full(csid, message, &mut self.output);
    }

    pub(super) fn awaits_pong(&self) -> bool {
        self.ping.sent.is_some()
    }

    pub(super) fn send_ping(&mut self, now: Instant) {
        if self.ping.sent.is_none() {
            self.ping.stamp = self.ping.stamp.wrapping_add(1);
            self.ping.sent = Some(now);
            self.send_user_control(&UserControl::PingRequest(self.ping.stamp));
        }
    }

    pub(super) fn set_ping_after(&mut self, silence: Duration) {
        self.limits.ping_after = silence;
    }

    /// Restarts the peer's silence at `now`: bytes have arrived, or the driver does not read.
    pub(super) fn restart_silence(&mut self, now: Instant) {
        self.ping.last_arrival = now;
    }

    /// Moves every deadline by `by`, the time for which the process was stopped.
    pub(super) fn postpone(&mut self, by: Duration) {
        self.ping.last_arrival += by;
        if let Some(sent) = &mut self.ping.sent {
            *sent += by;
        }
    }

    /// The next time for [`Self::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Instant {
        match self.ping.sent {
            Some(sent) => sent.max(self.ping.last_arrival) + self.limits.ping_timeout,
            None => self.ping.last_arrival + self.limits.ping_after,
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        if now < self.poll_timeout() {
            return Ok(());
        }
        match self.ping.sent {
            // Bytes since the ping prove that the peer lives; some clients answer no ping.
            Some(sent) if self.ping.last_arrival > sent => {
                self.ping.sent = None;
                Ok(())
            }
            Some(_) => Err(Error::PingTimeout),
            None => {
                self.send_ping(now);
                Ok(())
            }
        }
    }

    pub(super) fn throttled_until(&self) -> Option<Instant> {
        let debt = self.work.credit.checked_neg().filter(|&debt| debt > 0)?;
        let rate = f64::from(self.limits.chunks_per_second.max(1));
        Some(self.work.updated + Duration::from_secs_f64(debt as f64 / rate))
    }

    pub(super) fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    pub(super) fn take_output(&mut self) -> BytesMut {
        self.flow.send(self.output.len());
        std::mem::take(&mut self.output)
    }

    pub(super) fn output_len(&self) -> usize {
        self.output.len()
    }

    pub(super) fn flow(&self) -> &Flow {
        &self.flow
    }

    pub(super) fn note_sent(&mut self, bytes: usize) {
        self.flow.send(bytes);
    }

    pub(super) fn reader(&mut self) -> &mut Reader {
        &mut self.reader
    }

    pub(super) fn chunk_size(&self) -> u32 {
        self.writer.chunk_size()
    }
}

impl Work {
    fn spend(&mut self, now: Instant, chunks: u64, rate: u32) {
        let spent = chunks - self.counted;
        self.counted = chunks;
        let elapsed = now.saturating_duration_since(self.updated).as_micros();
        let earned = elapsed.saturating_mul(u128::from(rate)) / 1_000_000;
        if earned > 0 {
            self.updated = now;
        }
        let full = i64::from(rate);
        let credit = self
            .credit
            .saturating_add(i64::try_from(earned).unwrap_or(full));
        self.credit = credit.min(full).saturating_sub_unsigned(spent);
    }
}

/// The seconds' worth of chunks by which a peer may be ahead before it is closed. The bytes that a
/// driver reads before it checks [`Connection::throttled_until`] are far below it.
const WORK_DEBT: i64 = 4;
