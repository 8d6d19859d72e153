//! A session in the departure of its edge.

use std::time::Instant;

use tributary_protocol::{
    Message, RtmpTimestamp,
    command::{self, Status},
    link::TakeoverKey,
};

use super::{CONNECTION, Phase, Session, from_origin::send};
use crate::{
    client::end::End,
    departure::{KEY_AHEAD, Parting},
};

impl Session {
    /// The next moment of an accepted session in a departure, if one has begun. The drain ends the
    /// others.
    pub(in crate::client) fn next_of_parting(&mut self) -> Option<Instant> {
        let departure = self.worker.departure()?;
        if !matches!(self.phase, Phase::Accepted { .. }) {
            return None;
        }
        let parting = match &self.parting {
            Some(parting) => parting,
            None => {
                let publishes = self.forwarding.publishing.feeding().next().is_some();
                let follows = self.follows_requests();
                let parting = departure.parting(rand::random(), follows, publishes);
                self.parting.insert(Box::new(parting))
            }
        };
        let Parting { request, end, .. } = **parting;
        Some(request.map_or(end, |request| request.min(end)))
    }

    /// Asks the client to reconnect, or ends the session, if it is time.
    pub(in crate::client) fn part_if_due(&mut self, now: Instant) -> Result<(), End> {
        let Some(Parting { request, key, end }) = self.parting.as_deref().copied() else {
            return Ok(());
        };
        if end <= now {
            return Err(self.on_drain());
        }
        if request.is_none_or(|at| at > now) {
            return Ok(());
        }
        let fresh = match key {
            None => self.tell_key(),
            Some(_) => None,
        };
        let later = now + KEY_AHEAD;
        let request = fresh.is_some().then_some(later).filter(|at| *at < end);
        if let Some(parting) = &mut self.parting {
            parting.key = key.or(fresh);
            parting.request = request;
        }
        if request.is_none() {
            self.ask_to_reconnect(key.or(fresh));
        }
        Ok(())
    }

    /// Sends the origin a key with which the client may take its names over, if it publishes.
    fn tell_key(&self) -> Option<TakeoverKey> {
        self.forwarding.publishing.feeding().next()?;
        self.who.as_deref()?.tc_url.as_deref()?;
        let key = TakeoverKey::new(rand::random());
        self.forwarding.link()?.reconnects(key);
        Some(key)
    }

    /// Whether the client follows a request to reconnect: it says so in its connect command.
    fn follows_requests(&self) -> bool {
        self.who.as_deref().is_some_and(|who| who.reconnects)
    }

    /// Sends NetConnection.Connect.ReconnectRequest (Enhanced RTMP v2). The client connects to the
    /// same address, where a balancer gives it to another edge, and the session goes on until it
    /// leaves. A publisher gets its key in the `tcUrl`, with which it takes its own names over.
    fn ask_to_reconnect(&mut self, key: Option<TakeoverKey>) {
        let encoding = self.encoding();
        let mut info = Status::ConnectReconnectRequest.info(None, None);
        let url = self.who.as_deref().and_then(|who| who.tc_url.as_deref());
        if let (Some(key), Some(url)) = (key, url) {
            info = info.with("tcUrl", key.in_url(url));
        }
        let (kind, payload) = command::on_status(info).encode(encoding);
        let request = Message {
            kind,
            stream: CONNECTION,
            timestamp: RtmpTimestamp(0),
            payload,
        };
        send(&mut self.wire.session(), &request);
        self.worker.metrics.reconnect_requests.inc();
    }
}
