//! The state of a client whose application has a gate.

use std::time::{Duration, Instant};

use tributary_gate::Claims;
use tributary_node::encoder::Encoder;
use tributary_protocol::{Message, command::Connect};

use crate::{
    client::{act::Act, route::Route},
    hooks::Conversation,
};

mod parcel;

/// A client of an application that has a gate.
#[derive(Debug)]
pub(in crate::client) struct AtGate {
    /// `app` of its connect, with the query.
    pub(super) app: String,
    pub(super) tc_url: String,
    /// The user that its connect has proved.
    pub(super) user: Option<String>,
    /// The claims of the token of its connect.
    pub(super) claims: Option<Claims>,
    pub(super) encoder: Encoder,
    /// The session's side of hooks, if its application has some.
    pub(in crate::client) hooked: Option<Box<Conversation>>,
    waiting: Undecided,
    /// Whether the log has a line about a refused act.
    pub(super) was_refused: bool,
    /// Whether the origin relays streams as services ask.
    pub(super) takes_relays: bool,
}

/// A decision that waits: the client is not read, and its messages are not handled.
#[derive(Debug, Default)]
enum Undecided {
    #[default]
    Nothing,
    Slowed(Box<SlowedConnect>),
    Service(Box<Awaited>),
}

/// A connect of an address that has failed too often: it is judged when its time has come.
#[derive(Debug)]
pub(super) struct SlowedConnect {
    pub(super) until: Instant,
    pub(super) route: Route,
    pub(super) connect: Message,
}

/// A message that a service decides about.
#[derive(Debug)]
pub(super) enum Awaited {
    Connect { route: Route, connect: Message },
    Act { act: Act, message: Message },
}

/// Messages behind a connect that waits. Reason: they are kept for as long, up to a minute; a client
/// that does not wait for the answer sends a handful.
const MAX_BEHIND: usize = 256;

/// Messages behind a publish or play that waits. Reason: one read may bring the audio of a second
/// stream beside it, 64 KiB in all.
const MAX_BEHIND_ACT: usize = 4_096;

impl AtGate {
    pub(super) fn new(connect: &Connect) -> Self {
        Self {
            app: connect.app.clone(),
            tc_url: connect.tc_url.clone().unwrap_or_default(),
            user: None,
            claims: None,
            encoder: Encoder::of(connect),
            hooked: None,
            waiting: Undecided::Nothing,
            was_refused: false,
            takes_relays: false,
        }
    }

    /// The person or program that the client has proved to be.
    pub(super) fn proved(&self) -> Option<&str> {
        let subject = self
            .claims
            .as_ref()
            .and_then(|claims| claims.subject.as_deref());
        subject.or(self.user.as_deref())
    }

    /// Notes that the client calls a method of the application, plays or uses a shared object.
    pub(super) fn note_more(&mut self) {
        self.encoder.is_more();
    }

    /// Whether a decision waits.
    pub(super) fn awaits(&self) -> bool {
        !matches!(self.waiting, Undecided::Nothing)
    }

    /// The messages that may wait behind the one that is decided.
    pub(super) fn most_behind(&self) -> usize {
        match &self.waiting {
            Undecided::Service(awaited) if matches!(**awaited, Awaited::Act { .. }) => {
                MAX_BEHIND_ACT
            }
            _ => MAX_BEHIND,
        }
    }

    pub(super) fn slow(&mut self, connect: SlowedConnect) {
        self.waiting = Undecided::Slowed(Box::new(connect));
    }

    /// The slowed connect, if its time has come.
    pub(super) fn take_slowed(&mut self, now: Instant) -> Option<SlowedConnect> {
        match std::mem::take(&mut self.waiting) {
            Undecided::Slowed(slowed) if slowed.until <= now => Some(*slowed),
            other => {
                self.waiting = other;
                None
            }
        }
    }

    pub(super) fn await_service(&mut self, awaited: Awaited) {
        self.waiting = Undecided::Service(Box::new(awaited));
    }

    /// The message that a service has decided about.
    pub(super) fn take_awaited(&mut self) -> Option<Awaited> {
        match std::mem::take(&mut self.waiting) {
            Undecided::Service(awaited) => Some(*awaited),
            other => {
                self.waiting = other;
                None
            }
        }
    }

    /// The next time for [`super::Session::pass_time`].
    pub(super) fn deadline(&self) -> Option<Instant> {
        let update = self.hooked.as_ref().and_then(|hooked| hooked.next_update());
        let own = match &self.waiting {
            Undecided::Nothing => self.encoder.parting_at(),
            Undecided::Slowed(slowed) => Some(slowed.until),
            Undecided::Service(_) => None,
        };
        own.into_iter().chain(update).min()
    }

    pub(super) fn postpone(&mut self, by: Duration) {
        self.encoder.postpone(by);
        if let Undecided::Slowed(slowed) = &mut self.waiting {
            slowed.until += by;
        }
        if let Some(hooked) = &mut self.hooked {
            hooked.postpone(by);
        }
    }
}
