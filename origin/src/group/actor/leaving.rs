//! A group that stops here and goes on elsewhere with its clients.
//!
//! ```text
//! running ──order──► leaving: answers come, writes are stored ──► stopped, lanes end ──► gone
//! ```
//!
//! Its lanes take nothing more in, so that nothing new begins. The group finishes what it has begun, as far
//! as the time reaches: then each message of a client was either carried out here, or its edge has it.

use std::{collections::HashMap, time::Instant};

use bytes::Bytes;
use tributary_protocol::{
    command::Status,
    link::{CloseReason, HandedOver, MAX_STATE},
};

use super::Actor;
use crate::{
    app::{Responder, StopReason},
    group::{
        client::Client,
        core::Core,
        hand_over::{HandOver, Stopped},
    },
    session::{LaneKey, LaneOut, SessionKey},
};

/// The end of a group that goes on elsewhere.
pub(super) struct Leaving {
    order: HandOver,
    /// A client that had something under way when it was looked at last.
    waits_for: Option<SessionKey>,
}

impl Leaving {
    pub(super) fn until(&self) -> Instant {
        self.order.until
    }
}

impl Actor {
    /// Begins to leave.
    pub(super) fn begin_leaving(&mut self, order: HandOver) {
        if self.leaving.is_some() {
            // It stops already; the later order hears nothing, as of a group that does not run.
            return;
        }
        // Sessions that edges are bringing go on elsewhere from what the edges have.
        self.arrival = None;
        let stays = |client: &&Client| !order.lanes.contains(&client.place().lane);
        let staying: Vec<_> = self
            .core
            .clients
            .all()
            .filter(stays)
            .map(|it| it.key)
            .collect();
        for key in staying {
            self.core.end_one(key, CloseReason::Shutdown);
        }
        self.turn(|turn| turn.settle());
        self.core.object_acts().commit_all();
        self.leaving = Some(Box::new(Leaving {
            order,
            waits_for: None,
        }));
    }

    /// Takes the order if nothing is under way any more, or the time is over.
    pub(super) fn leaving_now(&mut self) -> Option<Box<Leaving>> {
        let core = &self.core;
        let leaving = self.leaving.as_mut()?;
        let is_late = leaving.until() <= core.room.now;
        if !is_late && leaving.waits_for.is_some_and(|key| core.waits(key)) {
            return None;
        }
        leaving.waits_for = core.clients.keys().find(|key| core.waits(*key));
        if leaving.waits_for.is_some() && !is_late {
            return None;
        }
        self.leaving.take()
    }

    /// Ends here; the clients' sessions do not.
    pub(super) async fn leave(&mut self, leaving: Leaving) {
        let HandOver {
            to, lanes, stopped, ..
        } = leaving.order;
        self.fail_deferred();
        // Each lane, and whether all is done with that its clients have sent.
        let mut ends: HashMap<LaneKey, (&LaneOut, bool)> = HashMap::new();
        for client in self.core.clients.all() {
            let lane = client.lane();
            if lanes.contains(&lane.key()) {
                let (_, settled) = ends.entry(lane.key()).or_insert((lane, true));
                *settled &= !client.is_accepted() || client.has_done_all();
            }
        }
        let unsettled = ends.values().filter(|(_, settled)| !settled).count();
        for (lane, settled) in ends.into_values() {
            let origin = to.clone();
            lane.hand_over(HandedOver { settled, origin });
        }
        let state = self.take_state();
        let _ = stopped.send(Stopped { state });
        let clients = self.core.clients.len();
        tracing::info!(group = %self.core.room.name, clients, unsettled, to, "group goes on elsewhere");
        self.turn(|turn| turn.stop(StopReason::HandOver));
        let _counted = self.drop_app();
        self.core.object_acts().commit_all();
        self.wait_for_store().await;
        self.core.reset(CloseReason::Moved);
        self.end_for_good();
    }

    /// Takes what the application leaves for the next instance.
    fn take_state(&mut self) -> Bytes {
        let state = self.turn(|turn| turn.ask(|app, context| app.hand_over(context)));
        let state = state.unwrap_or_default();
        if state.len() > MAX_STATE {
            let bytes = state.len();
            tracing::error!(group = %self.core.room.name, bytes, "the state that the application leaves is dropped: it is longer than 1 MiB");
            return Bytes::new();
        }
        state.into()
    }

    /// Answers the calls that the application has not answered in time.
    fn fail_deferred(&mut self) {
        let deferred = |core: &Core| {
            let clients = core.clients.accepted();
            let calls = clients.flat_map(|client| {
                let (client_id, returns) = (client.id(), client.returns());
                let calls = client.calls.deferred().iter();
                calls.map(move |call| Responder {
                    client: client_id,
                    transaction: *call,
                    returns,
                })
            });
            calls.collect::<Vec<_>>()
        };
        let late = deferred(&self.core);
        let why = "The server has stopped while it handled the call.";
        for responder in &late {
            let info = Status::CallFailed.info(Some(why), None);
            self.core.clients.fail_call(*responder, info);
        }
        let late = late.len() as u64;
        self.core.room.process.metrics.calls_lost.inc_by(late);
    }
}

impl Core {
    /// Whether something of the client is under way.
    fn waits(&self, key: SessionKey) -> bool {
        let client = self.clients.get(key).filter(|it| it.is_accepted());
        client.is_some_and(|it| !it.has_done_all() || !it.calls.deferred().is_empty())
    }
}
