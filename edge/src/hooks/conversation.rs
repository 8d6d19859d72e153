//! One session's questions, its debts and its updates.

use std::{
    pin::Pin,
    sync::{Arc, OnceLock, Weak},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};
use tributary_gate::{
    Action, Debt, HookAnswer, HookEvent, HookFault, HookRefused, HookVerdict, Ledger, MAX_DEBTS,
    NoRoom, Told,
};
use tributary_protocol::SessionId;

use super::{
    ask::{Question, Update},
    card::Card,
    deliver::Farewell,
    shared::{Hooks, OfApplication, Teller},
};

mod parcel;

pub(crate) use parcel::MovedQuestion;

/// The hooks of one session. It asks one question at a time.
///
/// ```text
///   ask ─► Waits ─► poll: Answer ─► answered ─┬─► refused
///     └─► Allowed (no hook)                   └─► a debt ─► end, or leave: told
/// ```
///
/// A drop tells the debts that are left, also if the session's task has failed.
#[derive(Debug)]
pub(crate) struct Conversation {
    teller: Teller,
    ledger: Ledger,
    asking: Option<Asking>,
    /// The streams whose names a service has changed.
    renamed: Vec<Renamed>,
    updates: Option<Updates>,
}

/// The first reaction to a question.
#[derive(Debug)]
pub(crate) enum Asked {
    /// No service is asked: the act is allowed.
    Allowed,
    /// The answer comes with [`Conversation::poll`].
    Waits,
    Refused(HookRefused),
}

/// News for a session.
#[derive(Debug)]
pub(crate) enum HookNews {
    /// The answer to its question.
    Answer(HookAnswer),
    /// The act on this message stream may not go on.
    Stop { stream: u32, action: Action },
}

#[derive(Debug)]
struct Asking {
    answer: oneshot::Receiver<HookAnswer>,
    debt: Debt,
    left: Arc<OnceLock<Farewell>>,
}

#[derive(Debug)]
struct Renamed {
    stream: u32,
    said: String,
    name: String,
}

#[derive(Debug)]
struct Updates {
    acts: Vec<Updated>,
    last: u64,
    stops: mpsc::Receiver<u64>,
    sender: mpsc::Sender<u64>,
}

/// An act that is asked about from time to time.
#[derive(Debug)]
struct Updated {
    stream: u32,
    serial: u64,
    began: Instant,
    next: Instant,
    under_way: Weak<()>,
}

impl Conversation {
    pub(crate) fn new(hooks: Hooks, of: OfApplication, card: Card) -> Self {
        Self {
            teller: Teller {
                hooks,
                of,
                card: Arc::new(card),
            },
            ledger: Ledger::default(),
            asking: None,
            renamed: Vec::new(),
            updates: None,
        }
    }

    /// The number of the session.
    pub(crate) fn session(&self) -> SessionId {
        SessionId(self.teller.card.session)
    }

    /// The user that the client has proved to be, or that a service has stated.
    pub(crate) fn user(&self) -> Option<&str> {
        self.teller.card.user.as_deref()
    }

    /// Notes the user who has proved to be one.
    pub(crate) fn set_user(&mut self, user: &str) {
        Arc::make_mut(&mut self.teller.card).user = Some(user.to_owned());
    }

    /// Asks about an act, which owes `debt` if it is allowed.
    pub(crate) fn ask(&mut self, now: Instant, event: &HookEvent<'_>, debt: Debt) -> Asked {
        if !self.ledger.has_room(debt.stream) {
            return Asked::Refused(NoRoom(debt).into());
        }
        let requests = match self.teller.requests(event) {
            Ok(requests) => requests,
            Err(error) => return Asked::Refused(error.into()),
        };
        if requests.is_empty() {
            self.allow(now, debt);
            return Asked::Allowed;
        }
        let (reply, answer) = oneshot::channel();
        let left = Arc::default();
        let question = Question {
            teller: self.teller.clone(),
            hook: event.hook(),
            requests,
            debt: debt.clone(),
            left: Arc::clone(&left),
        };
        question.ask(reply);
        self.asking = Some(Asking { answer, debt, left });
        Asked::Waits
    }

    /// Whether the session waits for an answer, or may hear that an act has to stop.
    pub(crate) fn has_news(&self) -> bool {
        self.asking.is_some() || self.updates.is_some()
    }

    /// Waits for news.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<HookNews> {
        if let Some(asking) = &mut self.asking
            && let Poll::Ready(answer) = Pin::new(&mut asking.answer).poll(cx)
        {
            // The question is dropped if there is no thread for it.
            let settings = &self.teller.of.settings;
            let answer = answer.unwrap_or_else(|_| settings.failed(HookFault::NoAnswer));
            return Poll::Ready(HookNews::Answer(answer));
        }
        let Some(updates) = &mut self.updates else {
            return Poll::Pending;
        };
        loop {
            let serial = ready!(updates.stops.poll_recv(cx));
            let act = updates.acts.iter().find(|act| Some(act.serial) == serial);
            let Some(act) = act else { continue };
            if let Some(debt) = self.ledger.of(act.stream) {
                let (stream, action) = (act.stream, debt.action);
                return Poll::Ready(HookNews::Stop { stream, action });
            }
        }
    }

    /// Takes the answer to the question: its act is in the books now, if it is allowed.
    pub(crate) fn answered(&mut self, now: Instant, answer: HookAnswer) -> HookVerdict {
        let Some(asking) = self.asking.take() else {
            return answer.verdict;
        };
        if let Some(user) = &answer.user {
            self.set_user(user);
        }
        match answer.verdict {
            HookVerdict::Refuse(_) => {}
            _ => self.allow(now, asking.debt),
        }
        answer.verdict
    }

    /// Takes an act into the books that was allowed elsewhere, without asking.
    pub(crate) fn goes_on(&mut self, now: Instant, debt: Debt) {
        if self.ledger.has_room(debt.stream) {
            self.allow(now, debt);
        }
    }

    fn allow(&mut self, now: Instant, debt: Debt) {
        let stream = debt.stream;
        if let Some(stream) = stream {
            self.forget(stream);
        }
        self.enter(debt);
        if let Some(stream) = stream {
            self.begin_updates(now, stream);
        }
    }

    /// Enters a debt; the one that it replaces is told.
    fn enter(&mut self, debt: Debt) {
        let replaced = match self.ledger.allow(debt) {
            Ok(replaced) => replaced,
            // There was room when the question was asked.
            Err(NoRoom(debt)) => Some(debt),
        };
        if let Some(debt) = replaced {
            self.teller.tell(&[debt], Farewell::because("replaced"));
        }
    }

    /// Notes that a stream, which the client calls `said`, has another name.
    pub(crate) fn rename(&mut self, stream: u32, said: &str, name: &str) {
        if said != name {
            self.renamed.push(Renamed {
                stream,
                said: said.to_owned(),
                name: name.to_owned(),
            });
        }
    }

    /// The name that the client knows, and the name that the stream has, if these differ.
    pub(crate) fn renamed(&self, stream: u32) -> Option<(&str, &str)> {
        let renamed = self.renamed.iter().find(|it| it.stream == stream)?;
        Some((&renamed.said, &renamed.name))
    }

    /// The act on a message stream that was allowed and goes on.
    pub(crate) fn act(&self, stream: u32) -> Option<Action> {
        self.ledger.of(stream).map(|debt| debt.action)
    }

    /// The name by which the client knows the stream of an act.
    pub(crate) fn said(&self, stream: u32) -> Option<String> {
        self.ledger.of(stream).map(|debt| debt.name.clone())
    }

    /// Tells that the act on a message stream is over, if one was allowed.
    pub(crate) fn end(&mut self, stream: u32, reason: &'static str) {
        self.forget(stream);
        if let Some(debt) = self.ledger.end(stream) {
            self.teller.tell(&[debt], Farewell::because(reason));
        }
    }

    /// Tells that all is over. Call it at the end of the session.
    pub(crate) fn leave(&mut self, farewell: Farewell) {
        if let Some(Asking {
            mut answer,
            debt,
            left,
        }) = self.asking.take()
        {
            let _ = left.set(farewell);
            answer.close();
            // An answer that is not here comes to the question itself.
            if answer.try_recv().is_ok_and(|answer| answer.is_allowed()) {
                self.enter(debt);
            }
        }
        let debts = self.ledger.end_all();
        self.teller.tell(&debts, farewell);
    }

    fn forget(&mut self, stream: u32) {
        self.renamed.retain(|renamed| renamed.stream != stream);
        if let Some(updates) = &mut self.updates {
            updates.acts.retain(|act| act.stream != stream);
        }
    }

    fn begin_updates(&mut self, now: Instant, stream: u32) {
        let settings = &self.teller.of.settings;
        if settings.on_update.is_empty() {
            return;
        }
        let updates = self.updates.get_or_insert_with(|| {
            let (sender, stops) = mpsc::channel(MAX_DEBTS);
            Updates {
                acts: Vec::new(),
                last: 0,
                stops,
                sender,
            }
        });
        updates.last += 1;
        updates.acts.push(Updated {
            stream,
            serial: updates.last,
            began: now,
            next: now + settings.update_interval.get(),
            under_way: Weak::new(),
        });
    }

    /// The time of the next update.
    pub(crate) fn next_update(&self) -> Option<Instant> {
        let updates = self.updates.as_ref()?;
        updates.acts.iter().map(|act| act.next).min()
    }

    /// Asks about the acts whose time has come. `timestamp` is the time of a stream in milliseconds.
    pub(crate) fn update(&mut self, now: Instant, timestamp: impl Fn(u32) -> u32) {
        let Some(updates) = &mut self.updates else {
            return;
        };
        let interval = self.teller.of.settings.update_interval.get();
        for act in updates.acts.iter_mut().filter(|act| act.next <= now) {
            act.next = now + interval;
            let Some(debt) = self.ledger.of(act.stream) else {
                continue;
            };
            if act.under_way.strong_count() > 0 {
                // The service is slower than the interval.
                continue;
            }
            let event = HookEvent::Update {
                action: debt.action,
                stream: Told {
                    name: &debt.name,
                    query: &debt.query,
                },
                time: now.saturating_duration_since(act.began).as_secs(),
                timestamp: timestamp(act.stream),
            };
            let under_way = Arc::new(());
            act.under_way = Arc::downgrade(&under_way);
            let update = Update {
                teller: self.teller.clone(),
                action: debt.action,
                // The fields were not too long for the question.
                requests: self.teller.requests(&event).unwrap_or_default(),
                serial: act.serial,
                under_way,
            };
            update.ask(updates.sender.clone());
        }
    }

    /// Shifts the updates by the time for which the process was stopped.
    pub(crate) fn postpone(&mut self, by: Duration) {
        for act in self
            .updates
            .iter_mut()
            .flat_map(|updates| &mut updates.acts)
        {
            act.next += by;
        }
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.leave(Farewell::default());
    }
}
