//! The requests of clients to shared objects: permission, and the object of each.

use tributary_node::config::SharedObjects;
use tributary_protocol::{
    Message,
    command::Status,
    link::CloseReason,
    shared_object::{Access, Event, Flags, SharedObjectMessage},
};

use super::{
    MAX_GROUP_BYTES, MAX_USED,
    acts::ObjectActs,
    is_name, object_name,
    rate::{Admit, Gathered},
    sides,
    storing::Missing,
};
use crate::{
    app::{Level, ObjectError, ObjectId},
    group::{timers::Timer, verdict::Verdict},
    session::SessionKey,
};

impl ObjectActs<'_> {
    /// Handles a message of types 16 or 19. Its credit comes back when it has been handled.
    pub(in crate::group) fn message(&mut self, key: SessionKey, message: &Message) -> Verdict {
        self.clients.is_no_encoder(key);
        let bytes = message.payload.len();
        let rate = self.room.version.settings().shared_object_rate;
        let behind = self.is_store_behind();
        let Some(client) = self.clients.get_mut(key) else {
            return Verdict::GoesOn;
        };
        let asked = match SharedObjectMessage::decode(message.kind, &message.payload) {
            Ok(asked) => SharedObjectMessage {
                name: object_name(&asked.name).to_owned(),
                ..asked
            },
            Err(error) => {
                // The error concerns this message alone; no later message depends on it.
                tracing::debug!(client = %client.id(), %error, "unreadable shared-object message");
                self.room.process.metrics.shared_object_unreadable.inc();
                client.consumed(bytes);
                return Verdict::GoesOn;
            }
        };
        self.room.process.metrics.shared_object_messages.inc();
        match client
            .uses()
            .admit(self.room.now, rate, behind, asked, bytes)
        {
            (Admit::Now, Some(asked)) => {
                let messages = vec![asked];
                self.ask_object(key, Gathered { messages, bytes });
            }
            (Admit::First, _) => self.wait_for_tokens(key),
            (Admit::Flood, _) => {
                tracing::warn!(client = %client.id(), "shared-object messages come too fast");
                self.room.process.metrics.shared_object_floods.inc();
                return Verdict::Ends(CloseReason::Limit);
            }
            _ => {}
        }
        Verdict::GoesOn
    }

    /// Handles the messages of a session that had to wait.
    pub(in crate::group) fn messages_due(&mut self, key: SessionKey) {
        let rate = self.room.version.settings().shared_object_rate;
        let behind = self.is_store_behind();
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        if behind || !client.uses().may_go_on(self.room.now, rate) {
            return self.wait_for_tokens(key);
        }
        for gathered in client.uses().gather() {
            self.ask_object(key, gathered);
        }
    }

    fn wait_for_tokens(&mut self, key: SessionKey) {
        let rate = self.room.version.settings().shared_object_rate;
        if let Some(client) = self.clients.get_mut(key) {
            let due = client.uses().due(self.room.now, rate);
            self.room.wake_at(due, Timer::Objects(key));
        }
    }

    /// Ends a session's use of objects: the messages that wait are handled, then the objects go on
    /// without it.
    pub(in crate::group) fn leave(&mut self, key: SessionKey, reason: CloseReason) {
        let Some(client) = self.clients.get_mut(key).filter(|client| client.has_uses()) else {
            return;
        };
        match reason {
            CloseReason::Limit => drop(client.uses().gather()),
            _ => self.handle_waiting(key),
        }
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        for id in client.uses().objects().to_vec() {
            // The object may have it as a member for longer, while its last requests wait.
            self.step_aside(id, key);
            if let Some(entry) = self.objects.get_mut(id) {
                entry.object.handle_gone(key);
            }
            self.settle_object(id);
        }
    }

    /// Handles the messages of a session that have to wait, before it ends.
    pub(in crate::group) fn handle_waiting(&mut self, key: SessionKey) {
        let Some(client) = self.clients.get_mut(key).filter(|it| it.has_uses()) else {
            return;
        };
        for gathered in client.uses().gather() {
            self.ask_object(key, gathered);
        }
    }

    /// Handles messages of one client about one object.
    pub(super) fn ask_object(&mut self, key: SessionKey, asked: Gathered) {
        let Gathered { messages, bytes } = asked;
        let Some(first) = messages.first() else {
            return;
        };
        let name = first.name.clone();
        let events = || messages.iter().flat_map(|message| &message.events);
        let uses = messages
            .iter()
            .find(|message| message.events.contains(&Event::Use));
        let found = match uses {
            Some(uses) => self.object_to_use(key, &name, uses.flags),
            None => match self.objects.find(&name) {
                Some(id) => Ok(id),
                // The release of an object that the client does not use is no error.
                None if events().all(|event| *event == Event::Release) => Err(None),
                None => Err(Some(Status::SharedObjectNoObjectFound)),
            },
        };
        match found {
            Ok(id) => self.ask_found(key, id, messages, bytes),
            Err(status) => {
                if let Some(status) = status {
                    self.refuse_object(key, &name, status);
                }
                if let Some(client) = self.clients.get(key) {
                    client.consumed_many(messages.len(), bytes);
                }
            }
        }
    }

    fn ask_found(
        &mut self,
        key: SessionKey,
        id: ObjectId,
        messages: Vec<SharedObjectMessage>,
        bytes: usize,
    ) {
        let storage_full = self.is_storage_full();
        let full = self.objects.bytes > MAX_GROUP_BYTES;
        let (Some(client), Some(entry)) = (self.clients.get(key), self.objects.get_mut(id)) else {
            return;
        };
        let full = full || (storage_full && entry.object.is_persistent());
        let write = !full && client.may_write(&entry.name);
        entry
            .object
            .handle_messages(key, Access { write }, messages, bytes);
        self.settle_object(id);
    }

    /// The object that a client asks to use, made if there is none.
    fn object_to_use(
        &mut self,
        key: SessionKey,
        name: &str,
        flags: Flags,
    ) -> Result<ObjectId, Option<Status>> {
        let persistent = flags.is_persistent();
        let no = |status| Err(Some(status));
        let Some(client) = self.clients.get_mut(key) else {
            return Err(None);
        };
        if !client.may_read(name) {
            return no(Status::SharedObjectNoReadAccess);
        }
        let (may_create, many) = (client.may_write(name), client.uses().objects().len());
        if let Some(id) = self.objects.find(name) {
            let entry = self.objects.get(id);
            let (is_member, other) = entry.map_or((false, false), |entry| {
                let other = match entry.object.is_persistent() {
                    // npm rtmp-client, which is server-style, cannot ask for a persistent one.
                    true => !persistent && !flags.is_server_style(),
                    false => persistent,
                };
                (entry.object.is_member(key), other)
            });
            return match (is_member, other) {
                (true, _) => Ok(id),
                (_, true) => no(Status::SharedObjectBadPersistence),
                _ if many >= MAX_USED => no(Status::SharedObjectCreationFailed),
                _ => Ok(id),
            };
        }
        let permitted = match self.permitted_objects() {
            SharedObjects::None => false,
            SharedObjects::Temporary => !persistent,
            _ => true,
        };
        if !permitted || !is_name(name) || many >= MAX_USED {
            return no(Status::SharedObjectCreationFailed);
        }
        let made = match (may_create, persistent) {
            (true, _) => self.create_object(name, persistent),
            // Use alone loads a stored object and creates none.
            (false, true) => self.load_object(name, Missing::Refuse),
            (false, false) => return no(Status::SharedObjectCreationFailed),
        };
        made.or_else(|error| {
            tracing::debug!(group = %self.room.name, name, %error, "shared object is not made");
            if matches!(error, ObjectError::NoStore | ObjectError::Store) {
                self.room
                    .log(Level::Error, &format!("shared object {name}: {error}"));
            }
            no(Status::SharedObjectCreationFailed)
        })
    }

    fn refuse_object(&mut self, key: SessionKey, name: &str, status: Status) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let answer = SharedObjectMessage {
            name: name.to_owned(),
            version: 0,
            flags: Default::default(),
            events: vec![Event::status(status)],
        };
        let (kind, payload) = answer.encode(client.encoding());
        client.send(sides::of_kind(kind, payload));
    }
}
