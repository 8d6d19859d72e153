//! Clients that come back when their edge is lost, and go on as the same client.
//!
//! ```text
//! connect, resume: true ──► _result, info.resume: TOKEN
//! the edge is lost; by any edge: connect, resume: TOKEN
//!   ──► _result, info.resumed: true, info.resume: the next token
//!   ──► the edge passes its publishes, plays and uses of objects on once more
//! ```
//!
//! The application notices nothing: the client keeps its [`ClientId`](crate::app::ClientId). In the group it
//! keeps the key of its first session as well; its place, which is the session in the lane of its edge,
//! becomes another.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tributary_protocol::{
    Message, MessageStreamId, TransactionId,
    amf::Value,
    command::{Command, Connect, ObjectEncoding},
    link::{CloseReason, Filter, Generation, OpenSession, ToSession},
};

use super::{
    answer,
    client::Client,
    clients::Clients,
    core::Core,
    message_stream::{Announce, Asked, Asking, MessageStream, PlayHow, PlayLength, Role},
    name::{StreamName, with_query},
    resume_token::{ResumeWish, Unheard},
    streams::StreamSlot,
    turn::Turn,
};
use crate::{
    app::PublishGrant,
    session::{LaneOut, SessionKey},
};

/// The time for which the end of a publish may not have been heard. Reason: the usual grace time is half of it.
const UNHEARD: Duration = Duration::from_secs(30);

/// The place that a client has left, and the requests for the objects that it goes on to use.
struct Left {
    place: SessionKey,
    lane: LaneOut,
    objects: Vec<Message>,
}

impl Clients {
    /// The client with the token of a connect, if it is the same person or program as far as edges know.
    fn to_resume(&self, wish: ResumeWish, open: &OpenSession) -> Option<SessionKey> {
        let ResumeWish::Resume(Some(token)) = wish else {
            return None;
        };
        let key = self.tokens()?.client(token)?;
        let client = self.get(key).filter(|client| client.is_accepted())?;
        let user = open
            .claims
            .as_ref()
            .and_then(|claims| claims.user.as_deref());
        (client.user() == user).then_some(key)
    }
}

impl Turn<'_> {
    /// Lets a client go on in a new session, if its connect has the token of one.
    pub(super) fn resume(
        &mut self,
        place: SessionKey,
        lane: &LaneOut,
        open: &OpenSession,
        connect: &Arc<Connect>,
    ) -> bool {
        let wish = ResumeWish::of(connect);
        let found = self.core.clients.to_resume(wish, open);
        let Some(key) = found else {
            return false;
        };
        let left = self.core.leave_place(key);
        self.core.take_place(key, place, lane, open, connect);
        self.core.repeat(key, left.objects);
        left.lane
            .send(left.place.session, ToSession::Close(CloseReason::Resumed));
        self.core.lane_is_left(left.place.lane);
        true
    }

    /// Goes on with a publish of a client that has come back. `false` if the command is another.
    pub(super) fn publish_again(
        &mut self,
        slot: StreamSlot,
        generation: Generation,
        full: &str,
    ) -> bool {
        let parsed = StreamName::parse(full);
        let Some(stream) = self.core.repeated(slot) else {
            return false;
        };
        let (Role::Publishing { name, query, .. }, Some(parsed)) = (&stream.role, parsed) else {
            return false;
        };
        if **name != *parsed.name || **query != *parsed.query {
            return false;
        }
        let name = Arc::clone(name);
        stream.role = Role::Idle;
        let holder = self.core.streams.holder(&name);
        let identity = holder.and_then(|holder| holder.identity.clone());
        // Its own hold gives way.
        self.core.streams.stalled(&name, slot, true);
        let asking = Asking {
            serial: 0,
            name: parsed.name.to_owned(),
            query: parsed.query.to_owned(),
            what: Asked::Publish(generation),
            relay: None,
        };
        let grant = PublishGrant { identity };
        let mut publishers = self.core.publish_acts();
        publishers.start(slot, generation, &asking, grant);
        true
    }

    /// Goes on with a play of a client that has come back. `false` if the command is another.
    pub(super) fn play_again(&mut self, slot: StreamSlot, full: &str) -> bool {
        let now = self.core.room.now;
        let Some(stream) = self.core.repeated(slot) else {
            return false;
        };
        let Role::Playing(playing) = &stream.role else {
            return false;
        };
        if *playing.name != *full {
            return false;
        }
        let name = Arc::clone(&playing.name);
        let (Filter { paused, .. }, length) = (stream.filter, playing.length.left(now));
        stream.role = Role::Idle;
        let announce = Announce::Start;
        let mut players = self.core.play_acts();
        players.unwatch(&name, slot);
        players.start(slot, &name, PlayHow { announce, length });
        if paused {
            players.pause_silently(slot);
        }
        true
    }
}

impl PlayLength {
    /// The time that is left of it.
    fn left(self, now: Instant) -> Option<Duration> {
        match self {
            Self::Unlimited => None,
            Self::Asked(length) => Some(length),
            Self::Until(until) => Some(until.saturating_duration_since(now)),
        }
    }
}

impl Core {
    /// A message stream whose publish or play is passed on once more, with this command.
    fn repeated(&mut self, slot: StreamSlot) -> Option<&mut MessageStream> {
        let client = self.clients.get_mut(slot.session)?;
        let resumable = client.resumable.as_mut()?;
        resumable.take_repeated(slot.stream).then_some(())?;
        client.streams.get_mut(slot.stream)
    }

    /// Ends what a client's session is in the midst of. The client stays, with its streams and objects.
    fn leave_place(&mut self, key: SessionKey) -> Left {
        self.object_acts().handle_waiting(key);
        let objects = self.object_acts().leave_sides(key);
        let client = self.clients.get_mut(key).expect("it was found");
        let calls = client.calls.take_all();
        let left = Left {
            place: client.place(),
            lane: client.lane().clone(),
            objects,
        };
        for stream in client.streams.iter_mut() {
            if matches!(stream.role, Role::Asking(_)) {
                // It has no answer, and the client asks anew.
                stream.role = Role::Idle;
                stream.playlist = None;
            }
        }
        if let Some(resumable) = &mut client.resumable {
            let streams = client.streams.iter();
            let busy = streams.filter(|stream| !matches!(stream.role, Role::Idle));
            resumable.repeated = busy.map(|stream| stream.id).collect();
            resumable.awaited = resumable.repeated.len() + left.objects.len();
        }
        self.fail_calls(key, calls);
        left
    }

    /// Gives a client its place in a new session, and the answer to that session's connect.
    fn take_place(
        &mut self,
        key: SessionKey,
        place: SessionKey,
        lane: &LaneOut,
        open: &OpenSession,
        connect: &Arc<Connect>,
    ) {
        self.clients.moves(key, place);
        self.streams.moves(key, place.lane);
        let now = self.room.now;
        let client = self.clients.get_mut(key).expect("it was found");
        client.go_on_in(place, lane.clone(), open, connect);
        tracing::info!(
            client = %client.id(),
            address = %client.peer(),
            application = self.room.name.application(),
            instance = self.room.name.instance(),
            edge = client.edge(),
            "session goes on by another connection",
        );
        client.tell(ToSession::Accept);
        client.remember_all(now);
        client.answer_connect(connect, &self.room.process.settings.fms_version, true);
        client.watch_again();
        client.tell_unheard(now);
        self.room.process.metrics.resumed.inc();
    }

    /// Has the edge pass on what the client was doing, as if it came from the client now: the edge has to know
    /// of it.
    fn repeat(&mut self, key: SessionKey, uses: Vec<Message>) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let command = |stream: MessageStreamId, name: &str, arguments: Vec<Value>| {
            let mut command = Command::new(name, TransactionId::NONE);
            command.arguments = arguments;
            answer::on_stream(stream, &command, ObjectEncoding::Amf0)
        };
        let (mut publishes, mut plays) = (Vec::new(), Vec::new());
        for stream in client.streams.iter() {
            match &stream.role {
                Role::Publishing { name, query, .. } => {
                    let arguments = vec![with_query(name, query).into(), "live".into()];
                    publishes.push(command(stream.id, "publish", arguments));
                }
                Role::Playing(playing) => {
                    let arguments = vec![playing.name.to_string().into()];
                    plays.push(command(stream.id, "play", arguments));
                }
                Role::Idle | Role::Asking(_) => {}
            }
        }
        for message in publishes.into_iter().chain(plays).chain(uses) {
            client.tell(ToSession::Repeat(message));
        }
    }
}

impl Client {
    /// Sends the ends of publishes that the client may not have heard of.
    fn tell_unheard(&mut self, now: Instant) {
        let resumable = self.resumable.as_mut();
        let unheard = resumable.map(|it| std::mem::take(&mut it.unheard));
        for Unheard { stream, status, at } in unheard.unwrap_or_default() {
            let is_idle = |it: &MessageStream| it.id == stream && matches!(it.role, Role::Idle);
            let is_recent = now.saturating_duration_since(at) < UNHEARD;
            if is_recent && self.streams.iter().any(is_idle) {
                self.command_on(stream, &status);
            }
        }
    }
}
