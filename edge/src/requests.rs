//! Connections that carry requests of RTMPT: each request is for a session, which may have begun on
//! another connection.

use std::{
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    task::{JoinSet, spawn_local},
    time::timeout,
};
use tributary_protocol::{
    http::{AfterAnswer, HttpRequest, HttpStatus, MAX_HEAD, MAX_RESPONSE, write_response},
    link::PeerAddress,
    tunnel::{CONTENT_TYPE, Reception, TunnelId, TunnelKind, TunnelPlace, TunnelRequest},
};

use crate::{
    admission::Permit,
    client,
    config::Protocol,
    door::{Entrant, Refusal, Visitor, refuse},
    spread::WorkerSlot,
    tunnel::{TunnelSession, closed_answer},
    wire::Upkeep,
    worker::{REQUEST, Worker},
};

mod moving;

pub(crate) use moving::take;

use moving::{StandStill, Stood};

/// The time for the head of the first request.
const FIRST: Duration = Duration::from_secs(5);

/// The time for the head of a later one, and the time for one request and its body.
const LATER: Duration = Duration::from_secs(60);

/// The time for the head of the next request once the edge stops: clients fetch the last bytes of
/// their sessions.
const LAST: Duration = Duration::from_secs(1);

/// Bytes of requests that are received together.
const PIECE: usize = 8 * 1024;

/// A connection at work.
struct Visit {
    worker: Rc<Worker>,
    visitor: Visitor,
    permit: Permit,
    slot: WorkerSlot,
    received: Vec<u8>,
    /// The sessions that have begun on this connection.
    sessions: JoinSet<()>,
    standing: StandStill,
    /// Whether it has carried a request.
    is_known: bool,
}

/// The head of a request.
struct RequestHead {
    /// `None` for a path without a meaning.
    request: Option<TunnelRequest>,
    /// Bytes of the body.
    length: u32,
    keeps_alive: bool,
    /// Whether it asks for a WebSocket.
    upgrades: bool,
    peer: PeerAddress,
    protocol: Protocol,
}

/// Serves the requests of a connection until it ends. Returns the sessions that have begun on it;
/// they go on.
pub(crate) async fn serve(
    worker: Rc<Worker>,
    visitor: Visitor,
    permit: Permit,
    slot: WorkerSlot,
) -> (Result<(), Refusal>, JoinSet<()>) {
    let visit = Visit {
        worker,
        visitor,
        permit,
        slot,
        received: Vec::new(),
        sessions: JoinSet::new(),
        standing: StandStill::default(),
        is_known: false,
    };
    visit.serve().await
}

impl Visit {
    async fn serve(mut self) -> (Result<(), Refusal>, JoinSet<()>) {
        let ended = self.run().await;
        if let Err(refusal) = &ended
            && let Some(status) = refusal.status()
        {
            refuse(&self.visitor.transport, status, &mut self.received).await;
        }
        (ended, self.sessions)
    }

    async fn run(&mut self) -> Result<(), Refusal> {
        let worker = Rc::clone(&self.worker);
        let mut is_first = !self.is_known;
        loop {
            if worker.is_moving() {
                match self.stand_still().await {
                    Stood::GoesOn => {}
                    Stood::Gone(pump) => return self.pump(pump).await,
                    Stood::Lost => return Ok(()),
                }
            }
            self.count();
            let within = match worker.is_draining() {
                true => LAST,
                false if is_first => FIRST,
                false => LATER,
            };
            let head = tokio::select! {
                head = timeout(within, self.head()) => head,
                () = worker.leaves(), if !worker.is_draining() => continue,
            };
            let head = match head {
                Ok(head) => head?,
                Err(elapsed) if is_first => return Err(elapsed.into()),
                Err(_) => None,
            };
            let Some((head, length)) = head else {
                return Ok(());
            };
            if worker.is_moving() {
                // The request goes along, as bytes.
                continue;
            }
            self.received.drain(..length);
            if head.upgrades && self.visitor.serves_web {
                // A proxy sends requests of several clients on one connection. It asks again on a
                // new one if this one closes before an answer, as after a time-out (RFC 9112, 9.3.1).
                return Ok(());
            }
            let exchanged = tokio::select! {
                exchanged = self.exchange(&head) => exchanged?,
                // A client that neither sends nor reads must not hold up the others.
                () = worker.freezes_for(REQUEST) => return Ok(()),
            };
            if !exchanged {
                return Ok(());
            }
            if !head.keeps_alive {
                let transport = &self.visitor.transport;
                // The client may have gone, which nobody needs to know.
                let _ = transport.shutdown();
                let scratch = &mut self.received;
                scratch.resize(PIECE, 0);
                transport.linger(|it| it.try_read(scratch)).await;
                return Ok(());
            }
            is_first = false;
        }
    }

    /// Handles a request and sends its answer; `false` closes the connection.
    async fn exchange(&mut self, head: &RequestHead) -> Result<bool, Refusal> {
        let handled = timeout(LATER, self.handle(head)).await??;
        let Some((status, body)) = handled else {
            return Ok(false);
        };
        let after = match head.keeps_alive {
            true => AfterAnswer::KeepsAlive,
            false => AfterAnswer::Closes,
        };
        self.answer(status, &body, after).await?;
        Ok(true)
    }

    /// The head of the next request, with its length in the received bytes, where it stays; `None` if
    /// the client ends the connection before it. Cancel safe.
    async fn head(&mut self) -> Result<Option<(RequestHead, usize)>, Refusal> {
        loop {
            if let Some((request, length)) = HttpRequest::read(&self.received)? {
                let (peer, protocol) = self.visitor.client(&request);
                let head = RequestHead {
                    request: TunnelRequest::read(&request),
                    length: request.content_length,
                    keeps_alive: request.keeps_alive,
                    upgrades: request.upgrade.is_some(),
                    peer,
                    protocol,
                };
                return Ok(Some((head, length)));
            }
            let is_between = self.received.is_empty();
            if is_between {
                // A connection that waits owns no buffer.
                self.received = Vec::new();
            }
            let most = MAX_HEAD.saturating_sub(self.received.len()).clamp(1, PIECE);
            let received = &mut self.received;
            match self.visitor.transport.receive(received, most).await {
                Ok(true) => {}
                _ if is_between => return Ok(None),
                _ => return Err(Refusal::RequestGone),
            }
        }
    }

    /// The answer to a request; `None` closes the connection.
    async fn handle(&mut self, head: &RequestHead) -> Result<Option<(HttpStatus, Bytes)>, Refusal> {
        let request = head.request.ok_or(Refusal::NotHere)?;
        let body = match request {
            TunnelRequest::Ident => {
                self.skip(head.length).await?;
                return Ok(Some((HttpStatus::NotFound, Bytes::new())));
            }
            TunnelRequest::Open => {
                self.skip(head.length).await?;
                Some(self.open(head)?)
            }
            TunnelRequest::Send(place) => self.carry(TunnelKind::Send, place, head.length).await?,
            TunnelRequest::Idle(place) => self.carry(TunnelKind::Idle, place, head.length).await?,
            TunnelRequest::Close(place) => {
                let session = self.find(place.id)?;
                self.skip(head.length).await?;
                session.end(None);
                Some(closed_answer())
            }
        };
        Ok(body.map(|body| (HttpStatus::Ok, body)))
    }

    /// Begins a session.
    fn open(&mut self, head: &RequestHead) -> Result<Bytes, Refusal> {
        let permit = self.permit.again(head.peer.ip())?;
        let id = TunnelId {
            // Every worker reaches every session.
            worker: 0,
            secret: rand::random(),
        };
        let tunnels = Arc::clone(&self.visitor.tunnels);
        let opened = tunnels.open(id, Instant::now());
        let (session, transport) = opened.ok_or(Refusal::TooManyTunnels)?;
        let entrant = Entrant {
            transport,
            peer: head.peer,
            protocol: head.protocol,
            // There is no connection that the kernel could probe.
            upkeep: &Upkeep::PROXIED,
        };
        let worker = Rc::clone(&self.worker);
        let serve = client::serve(worker, entrant, permit, self.slot.again());
        // Those that have ended are forgotten.
        while self.sessions.try_join_next().is_some() {}
        self.sessions.spawn_local(serve);
        spawn_local(async move { tunnels.keep(id, &session).await });
        self.permit.established();
        Ok(Bytes::copy_from_slice(&id.open_answer()))
    }

    fn find(&mut self, id: TunnelId) -> Result<Arc<TunnelSession>, Refusal> {
        let session = self.visitor.tunnels.find(id).ok_or(Refusal::NoTunnel)?;
        self.permit.established();
        Ok(session)
    }

    /// Carries a numbered request to its session, and brings the answer.
    async fn carry(
        &mut self,
        kind: TunnelKind,
        place: TunnelPlace,
        length: u32,
    ) -> Result<Option<Bytes>, Refusal> {
        let session = self.find(place.id)?;
        let ticket = self.visitor.tunnels.ticket(place.sequence);
        let answer = match session.handle_request(kind, ticket, length, Instant::now())? {
            Reception::New | Reception::Overtaking | Reception::Again => {
                let mut offset = 0;
                while offset < length {
                    let piece = self.piece(length - offset).await?;
                    session.take_body(ticket, offset, &piece).await;
                    offset += piece.len() as u32;
                }
                return Ok(session.answer(ticket).await);
            }
            Reception::Answered(answer) => answer,
            Reception::Old => session.old_answer(),
            Reception::Closed => closed_answer(),
        };
        self.skip(length).await?;
        Ok(Some(answer))
    }

    /// The next bytes of a body of which so many have not come: at least one.
    async fn piece(&mut self, left: u32) -> Result<Vec<u8>, Refusal> {
        if self.received.is_empty() {
            let received = &mut self.received;
            match self.visitor.transport.receive(received, PIECE).await {
                Ok(true) => {}
                _ => return Err(Refusal::RequestGone),
            }
        }
        let behind = self
            .received
            .split_off(self.received.len().min(left as usize));
        Ok(std::mem::replace(&mut self.received, behind))
    }

    async fn skip(&mut self, mut left: u32) -> Result<(), Refusal> {
        while left > 0 {
            left -= self.piece(left).await?.len() as u32;
        }
        Ok(())
    }

    async fn answer(
        &self,
        status: HttpStatus,
        body: &[u8],
        after: AfterAnswer,
    ) -> Result<(), Refusal> {
        let kind = (status == HttpStatus::Ok).then_some(CONTENT_TYPE);
        let mut answer = Vec::with_capacity(MAX_RESPONSE + body.len());
        write_response(status, kind, body.len(), after, &mut answer);
        answer.extend_from_slice(body);
        let sent = self.visitor.transport.write_all(&answer).await;
        sent.map_err(|_| Refusal::Gone)
    }
}
