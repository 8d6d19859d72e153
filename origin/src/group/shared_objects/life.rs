//! The lives of shared objects: made, opened, followed, and dropped.

use tributary_node::config;
use tributary_protocol::{
    command::Status,
    shared_object::{Authority, Limits, authority::Seen},
};

use super::{
    CROWD, LOCK_TIME, LivingObject, MAX_OBJECTS, ObjectNotice, acts::ObjectActs, storing::Missing,
};
use crate::{
    app::{Level, ObjectError, ObjectId},
    group::{notice::Notice, timers::Timer},
    session::SessionKey,
};

impl ObjectActs<'_> {
    /// Makes an object that does not live.
    pub(super) fn create_object(
        &mut self,
        name: &str,
        persistent: bool,
    ) -> Result<ObjectId, ObjectError> {
        if self.objects.entries.len() >= MAX_OBJECTS {
            return Err(ObjectError::Limit);
        }
        if self.objects.entries.len() >= CROWD && !self.objects.crowd {
            self.objects.crowd = true;
            self.room.notify(Notice::ObjectsCrowd);
        }
        if persistent {
            return self.load_object(name, Missing::Create);
        }
        let incarnation = self.room.process.incarnation();
        let brought = self.objects.brought(name, incarnation);
        let object =
            brought.unwrap_or_else(|| Authority::temporary(incarnation, Limits::default()));
        self.room.process.metrics.shared_objects.inc();
        let id = self.objects.next_id();
        self.objects.insert(id, name, object, None);
        Ok(id)
    }

    /// Delivers an object's messages, and drops it if it has no members and is not open.
    pub(in crate::group) fn settle_object(&mut self, id: ObjectId) {
        let Some(entry) = self.objects.get_mut(id) else {
            return;
        };
        while let Some(write) = entry.object.poll_write() {
            if let Some(stored) = &mut entry.stored {
                stored.write(write);
            }
        }
        while let Some(seen) = entry.object.poll_seen() {
            self.room.notify(Notice::Object(id, notice(seen)));
        }
        let next = |acts: &mut Self| acts.objects.get_mut(id)?.object.poll_output();
        while let Some(output) = next(self) {
            self.follow_output(id, output);
        }
        self.count_object(id);
        self.end_if_unused(id);
    }

    fn count_object(&mut self, id: ObjectId) {
        let objects = &mut *self.objects;
        let Some(entry) = objects.entries.get_mut(&id) else {
            return;
        };
        while let Some(handled) = entry.object.poll_handled() {
            if let Some(client) = self.clients.get(handled.member) {
                client.consumed_many(handled.messages, handled.bytes);
            }
        }
        let bytes = entry.object.contents().bytes();
        objects.bytes = objects.bytes - entry.bytes + bytes;
        entry.bytes = bytes;
        let refused = entry.object.refused_by_limit();
        if refused > entry.refused {
            self.room
                .process
                .metrics
                .shared_object_refusals
                .inc_by(refused - entry.refused);
            entry.refused = refused;
        }
    }

    fn end_if_unused(&mut self, id: ObjectId) {
        let unused = |entry: &LivingObject| entry.opened == 0 && entry.object.is_idle();
        if self.objects.get(id).is_some_and(unused) {
            self.objects.remove(id);
            self.room.process.metrics.shared_objects.dec();
        }
    }

    /// Ends a lock that has lasted too long.
    pub(in crate::group) fn lock_expired(&mut self, id: ObjectId, lock: u32) {
        let Some(entry) = self.objects.get_mut(id) else {
            return;
        };
        if entry.locks == lock && entry.object.lock_depth() > 0 {
            entry.object.unlock_all();
            let text = format!("shared object {} was locked for too long", entry.name);
            self.log_error(&text);
            self.settle_object(id);
        }
    }

    /// Takes back the locks of the present call of the application, which has failed.
    pub(in crate::group) fn release_locks(&mut self) -> usize {
        let locks = std::mem::take(&mut self.objects.locks);
        for &id in &locks {
            let Some(entry) = self.objects.get_mut(id) else {
                continue;
            };
            entry.object.unlock();
            let text = format!(
                "shared object {} was locked by a call that failed",
                entry.name
            );
            self.log_error(&text);
            self.settle_object(id);
        }
        locks.len()
    }

    pub(super) fn lock_object(&mut self, id: ObjectId) -> u32 {
        let Some(entry) = self.objects.get_mut(id) else {
            return 0;
        };
        let depth = entry.object.lock();
        if depth == 1 {
            entry.locks = entry.locks.wrapping_add(1);
            let timer = Timer::Lock(id, entry.locks);
            self.room.wake_at(self.room.now + LOCK_TIME, timer);
        }
        self.objects.locks.push(id);
        depth
    }

    pub(super) fn unlock_object(&mut self, id: ObjectId) -> u32 {
        let Some(entry) = self.objects.get_mut(id) else {
            return 0;
        };
        let depth = entry.object.unlock();
        let locks = &mut self.objects.locks;
        if let Some(at) = locks.iter().rposition(|&locked| locked == id) {
            locks.remove(at);
        }
        self.settle_object(id);
        depth
    }

    /// Forgets all objects, for an application that is no more. Their last changes are in the store
    /// by now, and the next open reads them there.
    pub(in crate::group) fn drop_all(&mut self) {
        for id in self.objects.ids() {
            if let Some(entry) = self.objects.get_mut(id) {
                entry.object.observe(false);
                entry.object.unlock_all();
                entry.object.flush();
            }
            self.settle_object(id);
            if self.objects.get(id).is_some() {
                self.objects.remove(id);
                self.room.process.metrics.shared_objects.dec();
            }
        }
    }

    fn log_error(&self, text: &str) {
        tracing::error!(group = %self.room.name, text);
        self.room.log(Level::Error, text);
    }

    /// The objects that clients of this application may create.
    pub(super) fn permitted_objects(&self) -> config::SharedObjects {
        let settings = &self.room.version.settings();
        settings
            .shared_objects
            .unwrap_or(config::SharedObjects::All)
    }
}

fn notice(seen: Seen<SessionKey>) -> ObjectNotice {
    match seen {
        Seen::Changed { member, changes } => ObjectNotice::Changed(member, changes),
        Seen::Message { member, values } => ObjectNotice::Message(member, values),
        _ => ObjectNotice::Status(Status::SharedObjectFlushFailed),
    }
}
