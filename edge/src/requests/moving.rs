//! Connections that carry requests of RTMPT, on their way to another process: they go between two
//! requests.

use std::{rc::Rc, time::Instant};

use tokio::{sync::mpsc, task::JoinSet};
use tributary_protocol::parcel::{MAX_PARCEL, ParcelError, ParcelReader, ParcelWriter};

use super::Visit;
use crate::{
    admission::Permit,
    door::{Refusal, Visitor},
    moving::{Moved, MovedClient, Stage},
    spread::WorkerSlot,
    wire::Pump,
    worker::{Linked, Worker},
};

const VISITOR: u16 = 1;
const RECEIVED: u16 = 2;

/// The bytes behind the last request.
const MAX_RECEIVED: usize = 256 * 1024;

/// The part of a connection in a replacement.
#[derive(Debug, Default)]
pub(super) struct StandStill {
    /// The count of the connection in its worker.
    linked: Option<Linked>,
    /// Set once it is on its way, with the work that stays.
    departed: Option<Option<Pump>>,
}

/// The end of a stand-still.
pub(super) enum Stood {
    GoesOn,
    /// The connection is in another process; the pump does the work that stays.
    Gone(Option<Pump>),
    /// It could not go, and cannot stay.
    Lost,
}

impl Visit {
    /// Counts the connection in its worker: a freeze waits for it.
    pub(super) fn count(&mut self) {
        if self.standing.linked.is_none() && !self.worker.is_moving() {
            self.standing.linked = Some(Linked::new(&self.worker));
        }
    }

    /// Stands still for as long as the worker's stage wants it.
    pub(super) async fn stand_still(&mut self) -> Stood {
        let worker = Rc::clone(&self.worker);
        loop {
            let out = match &*worker.stage() {
                Stage::Serves => break,
                Stage::Holds => None,
                Stage::Freezes(out) => out.clone().filter(|_| self.standing.linked.is_some()),
                Stage::Left(out) => Some(out.clone()),
            };
            let has_left = matches!(*worker.stage(), Stage::Left(_));
            if let (Some(out), None) = (out, &self.standing.departed) {
                self.standing.departed = self.depart(&out).await;
                if let Some(linked) = &mut self.standing.linked {
                    linked.report();
                }
            }
            if has_left {
                return match self.standing.departed.take() {
                    Some(pump) => Stood::Gone(pump),
                    None => Stood::Lost,
                };
            }
            worker.leaves().await;
        }
        self.standing.departed = None;
        if let Some(linked) = &mut self.standing.linked {
            linked.go_on();
        }
        Stood::GoesOn
    }

    /// Sends the connection to another process. `None` if it cannot go, or nobody takes it.
    async fn depart(&self, out: &mpsc::Sender<Moved>) -> Option<Option<Pump>> {
        let place = out.reserve().await.ok()?;
        let mut parcel = ParcelWriter::new(Instant::now());
        parcel.record(VISITOR, |parcel| self.visitor.export(parcel));
        parcel.bytes(RECEIVED, &self.received);
        let departed = self.visitor.transport.depart().ok()?;
        let client = MovedClient {
            parcel: parcel.finish().ok()?,
            socket: departed.socket,
        };
        place.send(Moved::Requests(client));
        Some(departed.pump)
    }
}

/// Takes a connection of another process, which stands still until the worker serves. Returns the
/// serving of it.
///
/// # Errors
/// The parcel cannot be read, or does not fit this edge.
pub(crate) fn take(
    worker: &Rc<Worker>,
    client: MovedClient,
    permit: Permit,
    slot: WorkerSlot,
) -> Result<impl Future<Output = JoinSet<()>> + use<>, ParcelError> {
    let now = Instant::now();
    let mut parcel = ParcelReader::new(&client.parcel, "a visitor", now, MAX_PARCEL)?;
    let socket = client.socket;
    let read = |parcel: &mut ParcelReader<'_>| Visitor::import(parcel, socket, &worker.tunnels);
    let visitor = parcel.record_if(VISITOR, "the connection of a visitor", read)?;
    let visitor = visitor.ok_or_else(|| parcel.illegal(VISITOR))?;
    let received = parcel.bytes(RECEIVED)?;
    parcel.fits(received.len() <= MAX_RECEIVED, "bytes behind a request")?;
    let received = received.to_vec();
    parcel.finish()?;
    let visit = Visit {
        worker: Rc::clone(worker),
        visitor,
        permit,
        slot,
        received,
        sessions: JoinSet::new(),
        standing: StandStill::default(),
        is_known: true,
    };
    Ok(async move { visit.serve().await.1 })
}

impl Visit {
    /// Does the work that stays after the connection has gone.
    pub(super) async fn pump(&self, pump: Option<Pump>) -> Result<(), Refusal> {
        let Some(pump) = pump else { return Ok(()) };
        tokio::select! {
            ended = self.visitor.transport.pump(pump) => ended.map_err(|_| Refusal::Gone),
            () = self.worker.drained() => Ok(()),
        }
    }
}
