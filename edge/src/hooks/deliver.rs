//! Done-hooks: each allowed decision is told as over once, in three attempts.

use std::time::{Duration, Instant};

use tokio::{task::JoinSet, time::sleep};
use tributary_gate::{Action, Debt, HookRequest};

use super::{owed::Owing, shared::Teller};

/// The end of a session, as services learn of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Farewell {
    /// Empty if it is not known.
    pub(crate) reason: &'static str,
    /// Bytes to the client.
    pub(crate) sent: u64,
    /// Bytes from the client.
    pub(crate) received: u64,
}

impl Farewell {
    /// The end of an act, which has no bytes of its own.
    pub(super) fn because(reason: &'static str) -> Self {
        Self {
            reason,
            ..Self::default()
        }
    }
}

/// A request to tell.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) hook: &'static str,
    pub(super) request: HookRequest,
    pub(super) owing: Owing,
}

/// The pauses between attempts; there is one attempt more.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

impl Teller {
    /// Tells the services of decisions that are over; that of the connect follows the others.
    pub(super) fn tell(&self, debts: &[Debt], farewell: Farewell) {
        let (connect, streams): (Vec<_>, Vec<_>) = debts
            .iter()
            .partition(|debt| debt.action == Action::Connect);
        let stages = [self.done(&streams, farewell), self.done(&connect, farewell)];
        if stages.iter().all(Vec::is_empty) {
            return;
        }
        let teller = self.clone();
        self.hooks.spawn(async move {
            for stage in stages {
                let mut attempts = JoinSet::new();
                for done in stage {
                    attempts.spawn(teller.clone().deliver(done));
                }
                attempts.join_all().await;
            }
        });
    }

    /// The requests of debts. One without room is lost.
    fn done(&self, debts: &[&Debt], farewell: Farewell) -> Vec<Done> {
        let Farewell {
            reason,
            sent,
            received,
        } = farewell;
        let mut done = Vec::new();
        for event in debts
            .iter()
            .flat_map(|debt| debt.events(reason, sent, received))
        {
            let hook = event.hook();
            // The fields were not too long for the question.
            for request in self.requests(&event).unwrap_or_default() {
                let bytes = request.url.len() + request.body.len();
                match self.hooks.owed().owe(bytes) {
                    Some(owing) => done.push(Done {
                        hook,
                        request,
                        owing,
                    }),
                    None => self.note_lost(hook, request.host()),
                }
            }
        }
        done
    }

    /// Sends a done-hook until a service takes it: any answer but that it cannot.
    pub(super) async fn deliver(self, done: Done) {
        let Done {
            hook,
            request,
            owing,
        } = done;
        let metrics = self.hooks.metrics();
        let _counted = metrics.begin(hook);
        let time = self.of.settings.timeout.get();
        for pause in PAUSES.into_iter().map(Some).chain([None]) {
            let began = Instant::now();
            let told = self.hooks.services().tell(request.clone(), time).await;
            let result = match &told {
                Ok(response) if response.status < 500 => Ok(()),
                Ok(response) => Err((tributary_gate::HookFault::Status(response.status), None)),
                Err(silent) => Err((silent.fault, silent.cause.as_deref())),
            };
            let label = result.map_or_else(|(fault, _)| fault.label(), |()| "told");
            metrics.count(hook, label, began.elapsed());
            let Err((fault, cause)) = result else {
                return;
            };
            self.note_failure(hook, request.host(), fault, cause);
            if let Some(pause) = pause {
                sleep(pause).await;
            }
        }
        self.note_lost(hook, request.host());
        drop(owing);
    }
}
