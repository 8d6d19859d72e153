//! The acts of an application on its group.

use std::{fmt, sync::Arc, time::Instant};

use tributary_node::{config, queue};
use tributary_protocol::{
    GroupName, MessageStreamId, TransactionId, amf::Value, command, link::CloseReason,
};

use super::{
    Connection, NetStream, RemoteObject, Stream, answer, bandwidth::Measurement, client,
    client::Client, core::Core, mailbox::Item, room::Ending, streams::StreamSlot,
};
use crate::app::{
    CallToken, ClientId, ConnectTo, ConnectionId, Decision, Event, Level, NetStreamId,
    PublishGrant, Rejection, RelayRefused, RemoteObjectId, RequestId, Responder, StreamError,
    StreamId, StreamStatistics, TooMany,
};

/// A group in the hands of its application, during one call of it.
#[derive(Debug)]
pub struct Context<'a> {
    pub(super) core: &'a mut Core,
}

/// Brings events into a group from other threads and tasks.
#[derive(Clone)]
pub struct Poster {
    mailbox: queue::Sender<Item>,
}

/// The weight of a posted event in the group's mailbox: at most some ten thousand wait.
const EVENT_WEIGHT: usize = 4 * 1024;

impl<'a> Context<'a> {
    pub(super) fn new(core: &'a mut Core) -> Self {
        Self { core }
    }

    /// The group's name.
    pub fn name(&self) -> &GroupName {
        &self.core.room.name
    }

    /// The application's settings in force; they change when the origin reads its configuration
    /// again.
    pub fn settings(&self) -> Arc<config::Application> {
        self.core.room.version.settings()
    }

    /// Adds a line to the application's log, which keeps the newest lines.
    pub fn log(&self, level: Level, text: &str) {
        self.core.room.log(level, text);
    }

    /// The time of this call, on the groups' clock: it stands still while the process is stopped.
    pub fn now(&self) -> Instant {
        self.core.room.now
    }

    /// The accepted clients, in no order.
    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        self.core.clients.accepted()
    }

    /// A client, accepted or pending.
    pub fn client(&self, client: ClientId) -> Option<&Client> {
        self.core.clients.get(client.0)
    }

    /// A client, to be changed.
    pub fn client_mut(&mut self, client: ClientId) -> Option<&mut Client> {
        self.core.clients.get_mut(client.0)
    }

    /// Accepts a pending client. Its answer leaves before all else that this call sends it.
    pub fn accept(&mut self, client: ClientId) {
        self.core.accept(client.0);
    }

    /// Rejects a pending client and closes its connection.
    pub fn reject(&mut self, client: ClientId, rejection: Rejection) {
        self.core.reject(client.0, rejection);
    }

    /// Sends a pending client elsewhere, with a reason, and closes its connection.
    pub fn redirect(&mut self, client: ClientId, uri: &str, why: Rejection) {
        self.core.redirect(client.0, uri, why);
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
        let Some(client) = self.core.clients.get_mut(client.0) else {
            return false;
        };
        let transaction = match token {
            None => TransactionId::NONE,
            Some(token) => match client.calls.begin(token) {
                Some(transaction) => transaction,
                None => return false,
            },
        };
        let command = client::call(name, transaction, arguments);
        let message = answer::on_connection(&command, client.encoding());
        let sent = client.app_message(message);
        if !sent {
            client.calls.end(transaction);
        }
        sent
    }

    /// Measures the downstream bandwidth of an accepted client, and sends it the result by
    /// `onBWDone`. `false` if it is gone or pending, or was measured less than 10 s ago.
    pub fn check_bandwidth(&mut self, client: ClientId) -> bool {
        let now = self.core.room.now;
        let client = self.core.clients.get_mut(client.0);
        client.is_some_and(|client| Measurement::begin(client, now))
    }

    /// Calls a method of every accepted client, without an answer.
    pub fn broadcast(&mut self, name: &str, arguments: &[Value]) {
        let command = client::call(name, TransactionId::NONE, arguments);
        self.core.clients.broadcast(&command);
    }

    /// Answers a call that was [`Answer::Deferred`](crate::app::Answer::Deferred).
    pub fn respond(&mut self, responder: Responder, answer: Result<Value, Value>) {
        self.core.clients.respond(responder, answer);
    }

    /// Decides a pending publish.
    pub fn decide_publish(&mut self, request: RequestId, decision: Decision<PublishGrant>) {
        self.core.publish_acts().decide(request, decision);
    }

    /// Decides a pending play.
    pub fn decide_play(&mut self, request: RequestId, decision: Decision<()>) {
        self.core.play_acts().decide(request, decision);
    }

    /// Opens a stream of the application by its name; the same one for the same name. It stands for
    /// that name, even if a client publishes it; sources played into it are published under it. It
    /// stays until [`Context::close_stream`].
    pub fn open_stream(&mut self, name: &str) -> Result<StreamId, StreamError> {
        self.core.own_streams.open(name)
    }

    /// Stops a stream of the application and forgets it.
    pub fn close_stream(&mut self, stream: StreamId) {
        self.core.publish_acts().close_own(stream);
    }

    /// A stream of the application; `None` if it is closed.
    pub fn stream(&mut self, stream: StreamId) -> Option<Stream<'_>> {
        Stream::new(self.core.publish_acts(), stream)
    }

    /// The names that have a publisher, or one that may return, in no order.
    pub fn stream_names(&self) -> impl Iterator<Item = &str> {
        self.core.streams.names().map(|name| &**name)
    }

    /// The figures of a stream that has a publisher, or one that may return.
    pub fn stream_statistics(&self, name: &str) -> Option<StreamStatistics> {
        self.core.streams.statistics(name, self.core.room.now)
    }

    /// The clients that play a name, or wait for it, once for each message stream.
    pub fn viewers(&self, name: &str) -> Vec<ClientId> {
        let slots = self.core.streams.viewers(name).into_iter();
        let clients = slots.filter(|slot| slot.of().is_none());
        clients.map(|slot| ClientId(slot.session)).collect()
    }

    /// Publishes a stream of this instance at another server as well, until its publication is over:
    /// `rtmp://HOST[:PORT]/APP[/INSTANCE]/NAME`, or `rtmps`, as in the setting `push`. It dials again
    /// for as long. `outgoing` must name the server.
    ///
    /// # Errors
    /// The address cannot be used, the stream has no publisher, or there are too many.
    pub fn push_stream(&mut self, name: &str, url: &str) -> Result<(), RelayRefused> {
        self.core.publish_acts().push_asked(name, url)
    }

    /// Publishes a stream of another server under this name, for as long as the name has viewers and
    /// for 10 s after. `outgoing` must name the server. Nothing changes if that pull runs.
    ///
    /// # Errors
    /// The address or the name cannot be used, the settings have a pull of that name, or there are
    /// too many.
    pub fn pull_stream(&mut self, name: &str, url: &str) -> Result<(), RelayRefused> {
        self.core.publish_acts().pull_asked(name, url)
    }

    /// Takes a name from its publisher. A client gets NetStream.Publish.BadName with this
    /// description and is disconnected unless it does something else as well; viewers get the end
    /// of the stream. `false` if the name has no publisher.
    pub fn kick(&mut self, name: &str, why: &str) -> bool {
        self.core.publish_acts().kick(name, why)
    }

    /// Ends the play of a client's message stream: NetStream.Play.Stop. `false` if it plays
    /// nothing.
    pub fn stop_playing(&mut self, client: ClientId, stream: MessageStreamId) -> bool {
        let slot = StreamSlot {
            session: client.0,
            stream,
        };
        self.core.play_acts().stop(slot)
    }

    /// Connects to another instance or server as a client. The result comes to
    /// [`Application::connection_status`](crate::app::Application::connection_status), never within
    /// this call. A server must stand in the application's setting `outgoing`.
    pub fn open_connection(&mut self, to: ConnectTo) -> Result<ConnectionId, TooMany> {
        self.core.connection_acts().open(to)
    }

    /// A connection of the application; `None` once it is over.
    pub fn connection(&mut self, connection: ConnectionId) -> Option<Connection<'_>> {
        Connection::new(self.core, connection)
    }

    /// A shared object of the other side of a connection; `None` once it or the connection is over.
    pub fn remote_object(&mut self, object: RemoteObjectId) -> Option<RemoteObject<'_>> {
        RemoteObject::new(self.core.remote_object_acts(), object)
    }

    /// A NetStream of the application; `None` once it or its connection is over.
    pub fn net_stream(&mut self, stream: NetStreamId) -> Option<NetStream<'_>> {
        NetStream::new(self.core.connection_acts(), stream)
    }

    /// Ends a client's session: its queued messages are flushed, then `close` is sent, then TCP
    /// closes. A pending client is rejected.
    pub fn disconnect(&mut self, client: ClientId) {
        let Some(known) = self.core.clients.get(client.0) else {
            return;
        };
        if known.is_accepted() {
            self.core
                .end(client.0, &[command::close()], CloseReason::Application);
        } else {
            self.core.reject(client.0, Rejection::default());
        }
    }

    /// Sets the time at which [`Application::deadline`](crate::app::Application::deadline) is
    /// called; `None` takes it back. There is one, counted from [`Context::now`].
    pub fn set_deadline(&mut self, at: Option<Instant>) {
        self.core.room.agenda.app_deadline = at;
    }

    /// Ends the application once the present turn is over, as a panic would: its sessions get
    /// NetConnection.Connect.AppShutdown, and it is started anew for the next client, at most
    /// twice in 300 s.
    pub fn fail(&mut self, why: impl Into<String>) {
        self.core.room.agenda.ending = Some(Ending::Failed(why.into()));
    }

    /// Unloads the application once the present turn is over: its sessions get
    /// NetConnection.Connect.AppShutdown, [`stop`](crate::app::Application::stop) is called, and
    /// the next client starts it anew.
    pub fn unload(&mut self) {
        self.core.room.agenda.ending.get_or_insert(Ending::Unloaded);
    }

    /// A way into this group for other threads and tasks.
    pub fn poster(&self) -> Poster {
        Poster {
            mailbox: self.core.room.mailbox.clone(),
        }
    }
}

impl Poster {
    /// Brings an event to [`Application::event`](crate::app::Application::event). Gives it back if
    /// the group has ended or too many events wait.
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
