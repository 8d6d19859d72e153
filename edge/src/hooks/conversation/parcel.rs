//! The conversation of a session in a parcel.
//!
//! A question that is under way stays: its answer follows the session. So does whatever is told at
//! the moment.

use std::sync::{Arc, Weak};

use tokio::sync::{mpsc, oneshot};
use tributary_gate::{Debt, HookAnswer, HookFault, MAX_DEBTS, MAX_FIELD};
use tributary_protocol::{
    SessionId,
    parcel::{ParcelError, ParcelReader, ParcelWriter},
};

use super::{Asking, Conversation, Renamed, Updated, Updates};
use crate::hooks::{
    ask::Answering,
    card::Card,
    deliver::Farewell,
    shared::{Hooks, OfApplication, Teller},
};

const APPLICATION: u16 = 1;
const CARD: u16 = 2;
const LEDGER: u16 = 3;
const RENAMED: u16 = 4;
const UPDATED: u16 = 5;
const ASKED: u16 = 6;

const STREAM: u16 = 1;
const SAID: u16 = 2;
const NAME: u16 = 3;

const BEGAN: u16 = 2;
const NEXT: u16 = 3;

/// A question whose session has gone to another process.
#[derive(Debug)]
pub(crate) struct MovedQuestion {
    teller: Teller,
    asking: Asking,
}

/// Streams of a session with other names. Reason: each comes with an open decision.
const MAX_RENAMED: usize = MAX_DEBTS;

impl Conversation {
    pub(crate) fn export(&self, parcel: &mut ParcelWriter) {
        parcel.bytes(APPLICATION, self.teller.of.application.as_bytes());
        parcel.carry(CARD, &*self.teller.card);
        parcel.carry(LEDGER, &self.ledger);
        for renamed in &self.renamed {
            parcel.record(RENAMED, |parcel| {
                parcel.number(STREAM, renamed.stream);
                parcel.bytes(SAID, renamed.said.as_bytes());
                parcel.bytes(NAME, renamed.name.as_bytes());
            });
        }
        for act in self.updates.iter().flat_map(|updates| &updates.acts) {
            parcel.record(UPDATED, |parcel| {
                parcel.number(STREAM, act.stream);
                parcel.time(BEGAN, act.began);
                parcel.time(NEXT, act.next);
            });
        }
        if let Some(asking) = &self.asking {
            parcel.carry(ASKED, &asking.debt);
        }
    }

    /// The conversation of a parcel, and the way of the answer that it waits for. `None` if the
    /// application has no hooks any more: its services hear nothing of the session's end.
    pub(crate) fn import(
        parcel: &mut ParcelReader<'_>,
        hooks: &Hooks,
        of: impl Fn(&str) -> Option<OfApplication>,
    ) -> Result<Option<(Self, Option<Answering>)>, ParcelError> {
        let application = parcel.text(APPLICATION, MAX_FIELD)?;
        let of = of(application);
        let card: Card = parcel.carried(CARD, ())?;
        let ledger = parcel.carried(LEDGER, ())?;
        let mut renamed = Vec::new();
        let read = |parcel: &mut ParcelReader<'_>| {
            Ok(Renamed {
                stream: parcel.number(STREAM)?,
                said: parcel.text(SAID, MAX_FIELD)?.to_owned(),
                name: parcel.text(NAME, MAX_FIELD)?.to_owned(),
            })
        };
        while let Some(next) = parcel.record_if(RENAMED, "another name", read)? {
            parcel.fits(renamed.len() < MAX_RENAMED, "other names")?;
            renamed.push(next);
        }
        let updates = updates(parcel)?;
        let asked = parcel.carried_if(ASKED, ())?;
        let Some(of) = of else {
            tracing::warn!(
                application,
                session = card.session,
                "a session has come from another process, and its application has no hooks here"
            );
            return Ok(None);
        };
        let mut conversation = Self {
            teller: Teller {
                hooks: hooks.clone(),
                of,
                card: Arc::new(card),
            },
            ledger,
            asking: None,
            renamed,
            updates,
        };
        let answering = asked.map(|debt| {
            let (reply, answer) = oneshot::channel();
            let left = Arc::default();
            let answering = Answering {
                reply,
                teller: conversation.teller.clone(),
                debt: Debt::clone(&debt),
                left: Arc::clone(&left),
            };
            conversation.asking = Some(Asking { answer, debt, left });
            answering
        });
        Ok(Some((conversation, answering)))
    }

    /// Leaves the session to another process, which tells of the ends. The answer that the session
    /// waits for, if it does, is for that process.
    pub(crate) fn move_away(mut self) -> Option<MovedQuestion> {
        let _ = self.ledger.end_all();
        let asking = self.asking.take()?;
        Some(MovedQuestion {
            teller: self.teller.clone(),
            asking,
        })
    }
}

impl MovedQuestion {
    /// The number of the session.
    pub(crate) fn session(&self) -> SessionId {
        SessionId(self.teller.card.session)
    }

    /// Waits for the answer.
    pub(crate) async fn answer(&mut self) -> HookAnswer {
        let answer = (&mut self.asking.answer).await;
        let settings = &self.teller.of.settings;
        answer.unwrap_or_else(|_| settings.failed(HookFault::NoAnswer))
    }

    /// Tells that an allowed act is over: its session did not get the answer.
    pub(crate) fn lose(self, answer: &HookAnswer) {
        if answer.is_allowed() {
            self.teller
                .tell(&[self.asking.debt], Farewell::because("replaced"));
        }
    }
}

fn updates(parcel: &mut ParcelReader<'_>) -> Result<Option<Updates>, ParcelError> {
    let mut acts = Vec::new();
    let mut last = 0;
    let mut read = |parcel: &mut ParcelReader<'_>| {
        last += 1;
        Ok(Updated {
            stream: parcel.number(STREAM)?,
            serial: last,
            began: parcel.time(BEGAN)?,
            next: parcel.time(NEXT)?,
            under_way: Weak::new(),
        })
    };
    while let Some(act) = parcel.record_if(UPDATED, "an act with updates", &mut read)? {
        parcel.fits(acts.len() < MAX_DEBTS, "acts with updates")?;
        acts.push(act);
    }
    if acts.is_empty() {
        return Ok(None);
    }
    let (sender, stops) = mpsc::channel(MAX_DEBTS);
    Ok(Some(Updates {
        last,
        acts,
        stops,
        sender,
    }))
}
