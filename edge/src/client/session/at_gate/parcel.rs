//! The state of a client at its gate in a parcel.

use tributary_gate::{Claims, MAX_TOKEN, MAX_USER};
use tributary_protocol::{
    Message,
    parcel::{ParcelError, ParcelReader, ParcelWriter},
};

use super::{AtGate, Awaited, Undecided};
use crate::{
    client::act::Act,
    hooks::{Answering, Conversation, Hooks, OfApplication},
};

const APP: u16 = 1;
const TC_URL: u16 = 2;
const USER: u16 = 3;
const CLAIMS: u16 = 4;
const ENCODER: u16 = 5;
const HOOKED: u16 = 6;
const AWAITED: u16 = 7;
const WAS_REFUSED: u16 = 8;
const TAKES_RELAYS: u16 = 9;

const SUBJECT: u16 = 1;
const EXPIRES: u16 = 2;
const JSON: u16 = 3;

/// The bytes of a text of a connect command, which arrives in one message.
const MAX_TEXT: usize = super::super::MAX_CONNECT as usize;

impl AtGate {
    pub(in crate::client::session) fn export(&self, parcel: &mut ParcelWriter) {
        parcel.bytes(APP, self.app.as_bytes());
        parcel.bytes(TC_URL, self.tc_url.as_bytes());
        if let Some(user) = &self.user {
            parcel.bytes(USER, user.as_bytes());
        }
        if let Some(claims) = &self.claims {
            parcel.record(CLAIMS, |parcel| {
                if let Some(subject) = &claims.subject {
                    parcel.bytes(SUBJECT, subject.as_bytes());
                }
                parcel.number(EXPIRES, claims.expires);
                if let Some(json) = &claims.json {
                    parcel.bytes(JSON, json.as_bytes());
                }
            });
        }
        parcel.carry(ENCODER, &self.encoder);
        if let Some(hooked) = &self.hooked {
            parcel.record(HOOKED, |parcel| hooked.export(parcel));
        }
        match &self.waiting {
            Undecided::Nothing => {}
            Undecided::Service(awaited) => match &**awaited {
                Awaited::Act { message, .. } => parcel.carry(AWAITED, message),
                Awaited::Connect { .. } => parcel.refuse("a service decides about its connect"),
            },
            Undecided::Slowed(_) => parcel.refuse("its connect waits"),
        }
        parcel.flag(WAS_REFUSED, self.was_refused);
        parcel.flag(TAKES_RELAYS, self.takes_relays);
    }

    /// The state of a parcel. `hooks` are those of this edge, and of an application of it. The answer
    /// that the client waits for comes to what is returned.
    pub(in crate::client::session) fn import(
        parcel: &mut ParcelReader<'_>,
        hooks: &Hooks,
        of: impl Fn(&str) -> Option<OfApplication>,
    ) -> Result<(Self, Option<Answering>), ParcelError> {
        let app = parcel.text(APP, MAX_TEXT)?.to_owned();
        let tc_url = parcel.text(TC_URL, MAX_TEXT)?.to_owned();
        let user = parcel.text_if(USER, MAX_USER)?.map(str::to_owned);
        let claims = parcel.record_if(CLAIMS, "claims", |parcel| {
            Ok(Claims {
                subject: parcel.text_if(SUBJECT, MAX_TOKEN)?.map(str::to_owned),
                expires: parcel.number(EXPIRES)?,
                json: parcel.text_if(JSON, MAX_TOKEN)?.map(str::to_owned),
            })
        })?;
        let encoder = parcel.carried(ENCODER, ())?;
        let hooked = parcel.record_if(HOOKED, "the hooks of a session", |parcel| {
            Conversation::import(parcel, hooks, of)
        })?;
        let (hooked, answering) = match hooked.flatten() {
            Some((hooked, answering)) => (Some(Box::new(hooked)), answering),
            None => (None, None),
        };
        let waiting = match parcel.carried_if::<Message>(AWAITED, ())? {
            None => Undecided::Nothing,
            Some(message) => {
                let act = Act::of(&message).ok_or_else(|| parcel.illegal(AWAITED))?;
                Undecided::Service(Box::new(Awaited::Act { act, message }))
            }
        };
        let awaits = matches!(waiting, Undecided::Service(_));
        let at_gate = Self {
            app,
            tc_url,
            user,
            claims,
            encoder,
            hooked,
            waiting,
            was_refused: parcel.flag(WAS_REFUSED)?,
            takes_relays: parcel.flag(TAKES_RELAYS)?,
        };
        parcel.require(awaits == answering.is_some(), AWAITED)?;
        Ok((at_gate, answering))
    }
}
