//! Questions to services, on the thread of outgoing requests.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use tokio::sync::{mpsc, oneshot};
use tributary_gate::{Action, Debt, HookAnswer, HookFault, HookRequest, HookVerdict};
use tributary_web::Response;

use super::{
    deliver::Farewell,
    services::{Reply, Silent, deciding},
    shared::Teller,
};

/// A question whether a client may act.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) teller: Teller,
    pub(super) hook: &'static str,
    pub(super) requests: Vec<HookRequest>,
    /// Owed if the answer is that it may.
    pub(super) debt: Debt,
    /// Set by a session that leaves before the answer is there.
    pub(super) left: Arc<OnceLock<Farewell>>,
}

/// The way of the answer to a question.
#[derive(Debug)]
pub(crate) struct Answering {
    pub(super) reply: oneshot::Sender<HookAnswer>,
    pub(super) teller: Teller,
    /// Owed if the answer is that it may.
    pub(super) debt: Debt,
    /// Set by a session that leaves before the answer is there.
    pub(super) left: Arc<OnceLock<Farewell>>,
}

impl Answering {
    /// Gives the session the answer. If the session has left, an allowed decision is over.
    pub(crate) fn give(self, answer: HookAnswer) {
        if let Err(answer) = self.reply.send(answer)
            && answer.is_allowed()
        {
            let farewell = self.left.get().copied().unwrap_or_default();
            self.teller.tell(&[self.debt], farewell);
        }
    }
}

/// A question whether a client may go on.
#[derive(Debug)]
pub(super) struct Update {
    pub(super) teller: Teller,
    pub(super) action: Action,
    pub(super) requests: Vec<HookRequest>,
    /// The number of the act, for the session.
    pub(super) serial: u64,
    /// Held for as long as the question is under way.
    pub(super) under_way: Arc<()>,
}

impl Question {
    /// Asks, and gives the session the answer. If the session has left, an allowed decision is over.
    pub(super) fn ask(self, reply: oneshot::Sender<HookAnswer>) {
        let hooks = self.teller.hooks.clone();
        let owing = hooks.owed().hold();
        hooks.spawn(async move {
            let answer = self.decide().await;
            let answering = Answering {
                reply,
                teller: self.teller,
                debt: self.debt,
                left: self.left,
            };
            answering.give(answer);
            drop(owing);
        });
    }

    /// The decision of all services. They are asked at once; the first refusal in the order of the
    /// setting wins.
    async fn decide(&self) -> HookAnswer {
        let asked: Vec<_> = (self.requests.iter())
            .map(|request| Asking::begin(&self.teller, self.hook, request))
            .collect();
        let settings = &self.teller.of.settings;
        let mut answers = Vec::with_capacity(asked.len());
        for asking in asked {
            let read = |response: &Response| settings.read(self.debt.action, &deciding(response));
            let result = asking.answer(read, |answer| label(&answer.verdict)).await;
            answers.push(result.unwrap_or_else(|fault| settings.failed(fault)));
        }
        HookAnswer::of_all(answers)
    }
}

impl Update {
    /// Asks, and sends `stops` the number of an act that may not go on.
    pub(super) fn ask(self, stops: mpsc::Sender<u64>) {
        let hooks = self.teller.hooks.clone();
        hooks.spawn(async move {
            let settings = &self.teller.of.settings;
            for request in &self.requests {
                let asking = Asking::begin(&self.teller, "on_update", request);
                let goes_on = |response: &Response| {
                    Ok(settings.goes_on(self.action, Ok(&deciding(response))))
                };
                let label = |goes_on: &bool| match goes_on {
                    true => "allowed",
                    false => "refused",
                };
                let result = asking.answer(goes_on, label).await;
                let goes_on =
                    result.unwrap_or_else(|fault| settings.goes_on(self.action, Err(fault)));
                if !goes_on {
                    // Room for each act of a session; a session that is gone needs none.
                    let _ = stops.try_send(self.serial);
                    break;
                }
            }
            drop(self.under_way);
        });
    }
}

/// One request under way.
struct Asking<'a> {
    teller: &'a Teller,
    hook: &'static str,
    host: String,
    began: Instant,
    reply: Reply,
    _counted: crate::metrics::Counted,
}

impl<'a> Asking<'a> {
    fn begin(teller: &'a Teller, hook: &'static str, request: &HookRequest) -> Self {
        let time = teller.of.settings.timeout.get();
        Self {
            teller,
            hook,
            host: request.host().to_owned(),
            began: Instant::now(),
            _counted: teller.hooks.metrics().begin(hook),
            reply: teller.hooks.services().ask(request.clone(), time),
        }
    }

    async fn answer<T>(
        self,
        read: impl FnOnce(&Response) -> Result<T, HookFault>,
        label: impl FnOnce(&T) -> &'static str,
    ) -> Result<T, HookFault> {
        let replied = self.reply.await;
        let read = replied.and_then(|response| read(&response).map_err(Silent::from));
        let result = match &read {
            Ok(answer) => label(answer),
            Err(silent) => silent.fault.label(),
        };
        let metrics = self.teller.hooks.metrics();
        metrics.count(self.hook, result, self.began.elapsed());
        read.map_err(|Silent { fault, cause }| {
            let (hook, host) = (self.hook, &self.host);
            self.teller
                .note_failure(hook, host, fault, cause.as_deref());
            fault
        })
    }
}

fn label(verdict: &HookVerdict) -> &'static str {
    match verdict {
        HookVerdict::Allow => "allowed",
        HookVerdict::Rename(_) => "renamed",
        HookVerdict::Relay(_) => "relayed",
        HookVerdict::Refuse(_) => "refused",
    }
}
