//! The behaviour of an application instance.

use tributary_protocol::{
    amf::Value,
    command::{Connect, Status},
    link::CloseReason,
    shared_object::replica::News,
};

use super::{
    connections::{ConnectionCall, ConnectionId, NetStreamId, RemoteObjectId},
    request::{
        Admission, Answer, AppStartError, Call, CallToken, ClientId, Decision, Event, PublishGrant,
        Restored, StopReason, StreamRequest,
    },
    shared_object::{ObjectChange, ObjectId},
    streams::{StreamId, StreamStatus},
};
use crate::group::Context;

/// One application instance.
///
/// Calls are never nested: the group delivers the effects of a call (a disconnect, a message that
/// was held) after it has returned. A panic ends the group's sessions and starts the application
/// anew, at most twice in 300 s.
pub trait Application {
    /// The instance begins. An error refuses its clients with NetConnection.Connect.AppShutdown.
    fn start(&mut self, context: &mut Context<'_>) -> Result<(), AppStartError> {
        let _ = context;
        Ok(())
    }

    /// A client asks to connect.
    fn connect(
        &mut self,
        context: &mut Context<'_>,
        client: ClientId,
        connect: &Connect,
    ) -> Admission {
        let _ = (context, client, connect);
        Admission::Accept
    }

    /// Whether the application knows of clients of another process of this origin, which was lost.
    ///
    /// If so, it finds the temporary shared objects as that process left them, from
    /// [`Application::restored`] on. Otherwise, by default, those that it opens are empty as after any
    /// start, until it has decided about all clients; the slots come back then that it has not written
    /// or removed since. Reason: an application that keeps the names of its clients in a shared object
    /// would take each client for a second one of its name.
    fn expects_restore(&mut self, context: &mut Context<'_>) -> bool {
        let _ = context;
        false
    }

    /// Clients of another instance of the group are about to go on in this one, which has just started.
    /// [`Application::readmit`] follows for each.
    fn restored(&mut self, context: &mut Context<'_>, restored: Restored<'_>) {
        let _ = (context, restored);
    }

    /// Whether the group may go on elsewhere while it has clients: a drain leaves it alone otherwise, until its
    /// time is over.
    fn may_hand_over(&mut self, context: &mut Context<'_>) -> bool {
        let _ = context;
        true
    }

    /// The group goes on elsewhere in order: at its origin's next process, or at another origin. Returns
    /// what the instance leaves for the one there, at most 1 MiB; a longer
    /// state is dropped, with an error in the log. [`Application::stop`] follows.
    fn hand_over(&mut self, context: &mut Context<'_>) -> Vec<u8> {
        let _ = context;
        Vec::new()
    }

    /// A client goes on that another process of this origin had accepted: that process was lost, and
    /// this instance is new. The client is asked nothing and gets no answer; rejected, it is closed with
    /// NetConnection.Connect.Closed. Its publishes and plays go on without a request.
    /// `remembered` is what [`Client::remember`](super::Client::remember) has left for it, empty without.
    ///
    /// By default the client is asked about as at its [`Application::connect`].
    fn readmit(
        &mut self,
        context: &mut Context<'_>,
        client: ClientId,
        connect: &Connect,
        remembered: &[u8],
    ) -> Admission {
        let _ = remembered;
        self.connect(context, client, connect)
    }

    /// An accepted client is gone: exactly once for each.
    fn disconnect(&mut self, context: &mut Context<'_>, client: ClientId, reason: CloseReason) {
        let _ = (context, client, reason);
    }

    /// A client calls a method that is no NetConnection or NetStream command.
    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        let _ = (context, call);
        Answer::Unknown
    }

    /// A client answered a [`Context::call`] that carried a token; `Err` if it answered with an
    /// error or left without an answer.
    fn answered(
        &mut self,
        context: &mut Context<'_>,
        client: ClientId,
        token: CallToken,
        answer: Result<Value, Value>,
    ) {
        let _ = (context, client, token, answer);
    }

    /// A client asks to publish a live stream. Stream policy (is the name taken, by whom) comes
    /// after this.
    fn publish(
        &mut self,
        context: &mut Context<'_>,
        request: &StreamRequest,
    ) -> Decision<PublishGrant> {
        let _ = (context, request);
        Decision::Accept(PublishGrant::default())
    }

    /// Whether a play from a place (a start of 0 or more) plays the live stream of the name, if it
    /// is published and there is no recording of it. Players without live mode send such plays.
    fn plays_live_from_any_start(&self) -> bool {
        false
    }

    /// A client asks to play a stream.
    fn play(&mut self, context: &mut Context<'_>, request: &StreamRequest) -> Decision<()> {
        let _ = (context, request);
        Decision::Accept(())
    }

    /// A client publishes a stream now: a name that was free, one that it takes over from another
    /// client, or one whose publisher was lost. Viewers get its media and its status after this has
    /// returned, and not at all if this disconnects the client or takes the name from it. A client
    /// that goes on publishing a name on another message stream is not announced.
    fn published(&mut self, context: &mut Context<'_>, client: ClientId, name: &str) {
        let _ = (context, client, name);
    }

    /// A client no longer publishes a stream: exactly once for each [`Application::published`], and
    /// before that of the next publisher. It comes at once when the client is lost, before
    /// [`Application::disconnect`]; viewers wait for the name's next publisher until `return_time`
    /// is over. [`Context::client`] does not find a client that is gone.
    fn unpublished(&mut self, context: &mut Context<'_>, client: ClientId, name: &str) {
        let _ = (context, client, name);
    }

    /// A status of a stream of the application: see [`Context::open_stream`].
    fn stream_status(
        &mut self,
        context: &mut Context<'_>,
        stream: StreamId,
        status: &StreamStatus,
    ) {
        let _ = (context, stream, status);
    }

    /// A status of a connection of the application: the info object of `NetConnection.onStatus`.
    /// After NetConnection.Connect.Closed, Failed, Rejected, InvalidApp and AppShutdown the
    /// connection is over. See [`Context::open_connection`].
    fn connection_status(
        &mut self,
        context: &mut Context<'_>,
        connection: ConnectionId,
        info: &Value,
    ) {
        let _ = (context, connection, info);
    }

    /// The other side of a connection of the application calls a method.
    fn connection_call(
        &mut self,
        context: &mut Context<'_>,
        connection: ConnectionId,
        call: &ConnectionCall,
    ) -> Answer {
        let _ = (context, connection, call);
        Answer::Unknown
    }

    /// The other side of a connection of the application has answered a [`Connection::call`](super::Connection::call) that
    /// carried a token; `Err` if it answered with an error, or the connection ended without an
    /// answer. Exactly once for each.
    fn connection_answered(
        &mut self,
        context: &mut Context<'_>,
        connection: ConnectionId,
        token: CallToken,
        answer: Result<Value, Value>,
    ) {
        let _ = (context, connection, token, answer);
    }

    /// News of a shared object of the other side of a connection: see
    /// [`Connection::open_object`](super::Connection::open_object).
    fn remote_object_news(
        &mut self,
        context: &mut Context<'_>,
        object: RemoteObjectId,
        news: &[News],
    ) {
        let _ = (context, object, news);
    }

    /// A status of a NetStream of the application: the info object of `NetStream.onStatus`.
    fn net_stream_status(&mut self, context: &mut Context<'_>, stream: NetStreamId, info: &Value) {
        let _ = (context, stream, info);
    }

    /// A client has changed slots of a shared object that the application has opened: those of one
    /// message, each with the earlier value of the slot.
    fn shared_object_changed(
        &mut self,
        context: &mut Context<'_>,
        object: ObjectId,
        client: ClientId,
        changes: &[ObjectChange],
    ) {
        let _ = (context, object, client, changes);
    }

    /// A client has sent a message to all members of a shared object that the application has
    /// opened.
    fn shared_object_message(
        &mut self,
        context: &mut Context<'_>,
        object: ObjectId,
        client: ClientId,
        handler: &str,
        arguments: &[Value],
    ) {
        let _ = (context, object, client, handler, arguments);
    }

    /// A shared object has failed: SharedObject.Flush.Failed.
    fn shared_object_status(
        &mut self,
        context: &mut Context<'_>,
        object: ObjectId,
        status: Status,
    ) {
        let _ = (context, object, status);
    }

    /// The instance has three quarters of the shared objects that it may have. The application
    /// closes the objects that it does not need. The call may come again with each object that is
    /// made.
    fn shared_objects_crowd(&mut self, context: &mut Context<'_>) {
        let _ = context;
    }

    /// An event that a [`Poster`](super::Poster) has posted.
    fn event(&mut self, context: &mut Context<'_>, event: Event) {
        let _ = (context, event);
    }

    /// The deadline set by [`Context::set_deadline`] has come.
    fn deadline(&mut self, context: &mut Context<'_>) {
        let _ = context;
    }

    /// The instance ends. `false` keeps an idle instance for another idle time; for other reasons
    /// the result has no effect.
    fn stop(&mut self, context: &mut Context<'_>, reason: StopReason) -> bool {
        let _ = (context, reason);
        true
    }
}
