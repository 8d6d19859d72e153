//! What an application may do to its group.

use std::{fmt, time::Instant};

use tributary_node::queue;
use tributary_protocol::{GroupName, TransactionId, amf::Value, command, link::CloseReason};

use super::{Item, answer, client, client::Client, core::Core};
use crate::app::{
    CallToken, ClientId, Decision, Event, Level, PublishGrant, Rejection, RequestId, Responder,
};

/// A group in the hands of its application, during one call of it.
#[derive(Debug)]
pub struct Context<'a> {
    core: &'a mut Core,
}

/// Brings things into a group from other threads and tasks.
#[derive(Clone)]
pub struct Poster {
    mailbox: queue::Sender<Item>,
}

/// What a posted event weighs in the group's mailbox: with it at most some ten thousand wait.
const EVENT_WEIGHT: usize = 4 * 1024;

impl<'a> Context<'a> {
    pub(super) fn new(core: &'a mut Core) -> Self {
        Self { core }
    }

    /// The group's name.
    pub fn name(&self) -> &GroupName {
        &self.core.name
    }

    /// Adds a line to the application's log, which keeps the last of them.
    pub fn log(&self, level: Level, text: &str) {
        self.core.log(level, text);
    }

    /// The time of this call, on the groups' clock: it stands still while the process is stopped.
    pub fn now(&self) -> Instant {
        self.core.now
    }

    /// The accepted clients, in no order.
    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        self.core
            .clients
            .values()
            .map(|client| &**client)
            .filter(|client| client.is_accepted())
    }

    /// A client, accepted or pending.
    pub fn client(&self, client: ClientId) -> Option<&Client> {
        self.core.clients.get(&client.0).map(|client| &**client)
    }

    /// A client, to be changed.
    pub fn client_mut(&mut self, client: ClientId) -> Option<&mut Client> {
        self.core
            .clients
            .get_mut(&client.0)
            .map(|client| &mut **client)
    }

    /// Accepts a pending client. Its answer leaves before anything else this call sends it.
    pub fn accept(&mut self, client: ClientId) {
        self.core.accept(client.0);
    }

    /// Rejects a pending client and closes its connection.
    pub fn reject(&mut self, client: ClientId, rejection: Rejection) {
        self.core.reject(client.0, rejection);
    }

    /// Sends a pending client elsewhere and closes its connection.
    pub fn redirect(&mut self, client: ClientId, uri: &str) {
        self.core.redirect(client.0, uri);
    }

    /// Calls a method of a client. With a token, its answer comes to
    /// [`Application::answered`](crate::app::Application::answered). To a pending client the
    /// call leaves after the answer to its connect. `false` if the client is gone or too much
    /// waits for it; then the token is not answered.
    pub fn call(
        &mut self,
        client: ClientId,
        name: &str,
        arguments: &[Value],
        token: Option<CallToken>,
    ) -> bool {
        let Some(client) = self.core.clients.get_mut(&client.0) else {
            return false;
        };
        let transaction = match token {
            None => TransactionId::NONE,
            Some(token) => match client.begin_call(token) {
                Some(transaction) => transaction,
                None => return false,
            },
        };
        let command = client::call(name, transaction, arguments);
        let message = answer::on_connection(&command, client.encoding());
        let sent = client.app_message(message);
        if !sent {
            client.end_call(transaction);
        }
        sent
    }

    /// Calls a method of every accepted client, without an answer.
    pub fn broadcast(&mut self, name: &str, arguments: &[Value]) {
        let command = client::call(name, TransactionId::NONE, arguments);
        self.core.broadcast(&command);
    }

    /// Answers a call that was [`Answer::Deferred`](crate::app::Answer::Deferred).
    pub fn respond(&mut self, responder: Responder, answer: Result<Value, Value>) {
        self.core.respond(responder, answer);
    }

    /// Decides a pending publish.
    pub fn decide_publish(&mut self, request: RequestId, decision: Decision<PublishGrant>) {
        self.core.decide_publish(request, decision);
    }

    /// Decides a pending play.
    pub fn decide_play(&mut self, request: RequestId, decision: Decision<()>) {
        self.core.decide_play(request, decision);
    }

    /// Ends a client's session: what is queued for it is flushed, then `close`, then TCP closes.
    /// A pending client is rejected.
    pub fn disconnect(&mut self, client: ClientId) {
        let Some(known) = self.core.clients.get(&client.0) else {
            return;
        };
        if known.is_accepted() {
            self.core
                .end(client.0, &[command::close()], CloseReason::Application);
        } else {
            self.core.reject(client.0, Rejection::default());
        }
    }

    /// When [`Application::deadline`](crate::app::Application::deadline) is to be called; `None`
    /// takes it back. There is one, counted from [`Context::now`].
    pub fn set_deadline(&mut self, at: Option<Instant>) {
        self.core.app_deadline = at;
    }

    /// A way into this group for other threads and tasks.
    pub fn poster(&self) -> Poster {
        Poster {
            mailbox: self.core.mailbox.clone(),
        }
    }
}

impl Poster {
    /// Brings an event to [`Application::event`](crate::app::Application::event). Gives it back
    /// if the group has ended or too many wait.
    pub fn post(&self, event: Event) -> Result<(), Event> {
        match self.mailbox.push(Item::Event(event), EVENT_WEIGHT) {
            Ok(()) => Ok(()),
            Err(
                queue::PushError::Full(Item::Event(event))
                | queue::PushError::Closed(Item::Event(event)),
            ) => Err(event),
            Err(_) => Ok(()),
        }
    }
}

impl fmt::Debug for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Poster")
    }
}
