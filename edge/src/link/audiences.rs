//! The audiences of a lane: who gets what is said to all, and what each object holds.

use std::{collections::HashMap, sync::Arc};

use tributary_node::queue::PushError;
use tributary_protocol::{
    SessionId,
    amf::ObjectEncoding,
    link::{AudienceEvent, AudienceId, CloseReason, FromSession, Recipients, ToSession},
    shared_object::{Flags, Mirror},
};

use super::{
    driver::Driver,
    handle::{FromOrigin, ObjectInfo},
    lane::{ITEM, Lane},
};
use crate::objects::{Delivery, HubOut, ObjectKey, ObjectMessage, ToHub};

/// The audiences of one lane.
#[derive(Debug, Default)]
pub(super) struct Audiences(HashMap<AudienceId, Audience>);

/// The session's inbox holds its limit.
#[derive(Debug)]
pub(super) struct InboxFull;

/// One object, as far as this edge knows it.
#[derive(Debug, Default)]
struct Audience {
    name: String,
    persistent: bool,
    /// What the object holds, as the messages to all say. Read only: nothing is decided by it.
    mirror: Mirror,
    members: HashMap<SessionId, Member>,
    /// The workers with members.
    sides: Vec<Side>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    flags: Flags,
    /// Messages to all pass it by.
    aside: bool,
}

/// The members of an audience on one worker.
#[derive(Debug)]
struct Side {
    hub: Arc<HubOut>,
    members: usize,
    /// The last message handed over, by its place, and the one before it that its author got too.
    last: (u64, Option<SessionId>),
    before: u64,
}

impl Audiences {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What there is to say of each.
    pub(super) fn info(&self, group: &str, out: &mut Vec<ObjectInfo>) {
        out.extend(self.0.values().map(|audience| ObjectInfo {
            group: group.to_owned(),
            name: audience.name.clone(),
            persistent: audience.persistent,
            version: audience.mirror.version(),
            complete: audience.mirror.is_complete(),
            slots: audience.mirror.len(),
            members: audience.members.len(),
            bytes: audience.mirror.bytes(),
        }));
    }

    /// A session on this worker is over.
    fn forget(&mut self, audience: AudienceId, session: SessionId, hub: Option<&Arc<HubOut>>) {
        let Some(audience) = self.0.get_mut(&audience) else {
            return;
        };
        if audience.members.remove(&session).is_none() {
            return;
        }
        let side = |side: &Side| hub.is_some_and(|hub| Arc::ptr_eq(hub, &side.hub));
        if let Some(at) = audience.sides.iter().position(side) {
            audience.sides[at].members -= 1;
            if audience.sides[at].members == 0 {
                audience.sides.swap_remove(at);
            }
        }
    }

    /// The place in its worker's hub that comes before what a session is told next.
    fn place_before(&self, audience: AudienceId, session: SessionId, hub: &Arc<HubOut>) -> u64 {
        let audience = self.0.get(&audience);
        let mut sides = audience.into_iter().flat_map(|audience| &audience.sides);
        let side = sides.find(|side| Arc::ptr_eq(&side.hub, hub));
        side.map_or(0, |side| match side.last {
            (_, Some(author)) if author == session => side.before,
            (place, _) => place,
        })
    }
}

impl Audience {
    fn join(&mut self, session: SessionId, member: Member, hub: Option<&Arc<HubOut>>) {
        if self.members.insert(session, member).is_some() {
            return;
        }
        let Some(hub) = hub else { return };
        match self.sides.iter_mut().find(|it| Arc::ptr_eq(&it.hub, hub)) {
            Some(side) => side.members += 1,
            None => self.sides.push(Side {
                hub: Arc::clone(hub),
                members: 1,
                last: (0, None),
                before: 0,
            }),
        }
    }
}

impl Side {
    /// Notes where a message is in the worker's hub.
    fn note(&mut self, place: u64, all_but: Option<SessionId>) {
        if all_but.is_none() || self.last.1 != all_but {
            self.before = self.last.0;
        }
        self.last = (place, all_but);
    }
}

impl Lane {
    /// Something happened to an audience.
    pub(super) fn audience(&self, driver: &Driver, id: AudienceId, event: AudienceEvent) {
        match event {
            AudienceEvent::Begun { name, persistent } => {
                let audience = Audience {
                    name,
                    persistent,
                    ..Audience::default()
                };
                self.audiences.borrow_mut().0.insert(id, audience);
                driver.metrics.audiences.inc();
            }
            AudienceEvent::Joined {
                session,
                flags,
                aside,
            } => self.join(id, session, Member { flags, aside }),
            AudienceEvent::Left { session } => self.leave(id, session),
            AudienceEvent::Message { to, encoding, body } => {
                driver.metrics.audience_messages.inc();
                let all_but = match to {
                    Recipients::AllBut(session) => Some(session),
                    _ => None,
                };
                match ObjectMessage::new(body).map(Arc::new) {
                    Some(message) => self.deliver(id, &message, all_but, encoding),
                    None => tracing::warn!(group = %self.group, "a message of no shared object"),
                }
            }
            AudienceEvent::Ended => {
                self.end_audience(id);
                driver.metrics.audiences.dec();
            }
            _ => {}
        }
    }

    fn key(&self, audience: AudienceId) -> ObjectKey {
        ObjectKey(self.id, audience)
    }

    fn join(&self, id: AudienceId, session: SessionId, member: Member) {
        let mut sessions = self.sessions.borrow_mut();
        let Some(state) = sessions.get_mut(&session) else {
            return;
        };
        let mut audiences = self.audiences.borrow_mut();
        let Some(audience) = audiences.0.get_mut(&id) else {
            return;
        };
        if !state.audiences.contains(&id) {
            state.audiences.push(id);
        }
        audience.join(session, member, state.hub.as_ref());
        if let Some(hub) = &state.hub {
            let join = ToHub::Join {
                audience: self.key(id),
                session,
                flags: member.flags,
                aside: member.aside,
            };
            if hub.hand(join).is_err() {
                drop((sessions, audiences));
                self.close_slow(session);
            }
        }
    }

    fn leave(&self, id: AudienceId, session: SessionId) {
        let mut sessions = self.sessions.borrow_mut();
        let Some(state) = sessions.get_mut(&session) else {
            return;
        };
        state.audiences.retain(|&of| of != id);
        let hub = state.hub.as_ref();
        self.audiences.borrow_mut().forget(id, session, hub);
        if let Some(hub) = hub {
            let audience = self.key(id);
            // A worker that hangs passes over members that are gone.
            let _ = hub.hand(ToHub::Leave { audience, session });
        }
    }

    fn end_audience(&self, id: AudienceId) {
        let members: Vec<_> = {
            let audiences = self.audiences.borrow();
            let audience = audiences.0.get(&id).into_iter();
            audience.flat_map(|it| it.members.keys().copied()).collect()
        };
        for session in members {
            self.leave(id, session);
        }
        self.audiences.borrow_mut().0.remove(&id);
    }

    /// Takes a message into the mirror and hands it to those it is for: once for each worker.
    fn deliver(
        &self,
        id: AudienceId,
        message: &Arc<ObjectMessage>,
        all_but: Option<SessionId>,
        encoding: Option<ObjectEncoding>,
    ) {
        let key = self.key(id);
        let mut slow = Vec::new();
        let mut audiences = self.audiences.borrow_mut();
        let Some(audience) = audiences.0.get_mut(&id) else {
            return;
        };
        // Of two forms, the one for AMF3 holds everything.
        if encoding != Some(ObjectEncoding::Amf0)
            && let Err(error) = audience.mirror.apply(message.body())
        {
            tracing::warn!(group = %self.group, name = audience.name, %error, "unreadable");
        }
        for side in &mut audience.sides {
            let delivery = Delivery {
                audience: key,
                message: Arc::clone(message),
                all_but,
                encoding,
            };
            match side.hub.hand(ToHub::Deliver(delivery)) {
                Ok(place) => side.note(place, all_but),
                Err(_) => slow.push(Arc::clone(&side.hub)),
            }
        }
        let recipients = self.without_hub(audience, all_but);
        drop(audiences);
        for (session, flags) in recipients {
            self.tell_object(session, flags, encoding, message);
        }
        for hub in slow {
            self.close_side(id, &hub);
        }
    }

    /// Members whose sessions have no worker: tests hold them.
    fn without_hub(
        &self,
        audience: &Audience,
        all_but: Option<SessionId>,
    ) -> Vec<(SessionId, Flags)> {
        let in_hubs: usize = audience.sides.iter().map(|side| side.members).sum();
        if in_hubs == audience.members.len() {
            return Vec::new();
        }
        let sessions = self.sessions.borrow();
        let no_hub = |session| sessions.get(session).is_some_and(|it| it.hub.is_none());
        let members = audience.members.iter();
        members
            .filter(|(session, member)| !member.aside && Some(**session) != all_but)
            .filter(|(session, _)| no_hub(session))
            .map(|(&session, member)| (session, member.flags))
            .collect()
    }

    /// A worker cannot take a message: those of its clients that would have got it are closed.
    fn close_side(&self, id: AudienceId, hub: &Arc<HubOut>) {
        let members: Vec<_> = {
            let sessions = self.sessions.borrow();
            let on_it = |session: &&SessionId| {
                let hub_of = sessions.get(session).and_then(|it| it.hub.as_ref());
                hub_of.is_some_and(|of| Arc::ptr_eq(of, hub))
            };
            let audiences = self.audiences.borrow();
            let audience = audiences.0.get(&id).into_iter();
            let members = audience.flat_map(|it| it.members.keys());
            members.filter(on_it).copied().collect()
        };
        tracing::error!(group = %self.group, sessions = members.len(), "a worker does not keep up");
        for session in members {
            self.close_slow(session);
        }
    }

    /// A message of an object for one session.
    pub(super) fn tell_object(
        &self,
        session: SessionId,
        flags: Flags,
        encoding: Option<ObjectEncoding>,
        message: &Arc<ObjectMessage>,
    ) {
        let weight = message.size();
        let what = FromOrigin::Object {
            message: Arc::clone(message),
            encoding,
            flags,
        };
        self.tell(session, what, weight);
    }

    /// What a session is told next comes after what its worker was handed of its objects.
    pub(super) fn tell_place(&self, session: SessionId) -> Result<(), InboxFull> {
        let mut sessions = self.sessions.borrow_mut();
        let Some(state) = sessions.get_mut(&session) else {
            return Ok(());
        };
        let Some(hub) = state.hub.as_ref().filter(|_| !state.audiences.is_empty()) else {
            return Ok(());
        };
        let audiences = self.audiences.borrow();
        let before = |&id| audiences.place_before(id, session, hub);
        let place = state.audiences.iter().map(before).max().unwrap_or(0);
        if place > state.place {
            state.place = place;
            let pushed = state.inbox.push(FromOrigin::After(place), ITEM);
            if let Err(PushError::Full(_)) = pushed {
                return Err(InboxFull);
            }
        }
        Ok(())
    }

    /// A session is over here.
    pub(super) fn forget(&self, session: SessionId) -> Option<super::lane::Session> {
        let state = self.sessions.borrow_mut().remove(&session)?;
        let mut audiences = self.audiences.borrow_mut();
        for &audience in &state.audiences {
            audiences.forget(audience, session, state.hub.as_ref());
        }
        Some(state)
    }

    /// A session does not keep up: it is closed at both ends.
    pub(super) fn close_slow(&self, session: SessionId) {
        let reason = CloseReason::SlowReader;
        if let Some(state) = self.forget(session) {
            // The session is gone if this fails, which is as well.
            let close = FromOrigin::Order(ToSession::Close(reason));
            let _ = state.inbox.push_final(close);
            self.send(session, FromSession::Close(reason));
        }
    }
}
