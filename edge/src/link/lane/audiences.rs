//! The audiences of a lane: their members, and the mirrors of their objects.

use std::{collections::HashMap, sync::Arc, time::Instant};

use bytes::Bytes;
use tributary_protocol::{
    GroupName, LaneId, SessionId,
    amf::ObjectEncoding,
    link::AudienceId,
    shared_object::{Flags, Mirror},
};

use super::session::{InboxFull, LaneSession};
use crate::{
    link::handle::ObjectInfo,
    objects::{Delivery, HubOut, ObjectKey, ToHub},
};

mod parcel;
mod returning;

use returning::Returning;

/// The audiences of one lane.
#[derive(Debug)]
pub(super) struct Audiences {
    lane: LaneId,
    group: GroupName,
    table: HashMap<AudienceId, Audience>,
    /// Objects whose members the present process of the origin has yet to take in.
    returning: Returning,
}

/// One audience, with the mirror of its object.
#[derive(Debug, Default)]
struct Audience {
    name: String,
    persistent: bool,
    /// The object's contents after the messages to all. No decision depends on it.
    mirror: Mirror,
    members: HashMap<SessionId, Standing>,
    /// One entry for each worker with members.
    sides: Vec<Side>,
}

/// The state of one member of an audience.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) flags: Flags,
    /// Whether the member stands aside.
    pub(super) aside: bool,
}

/// An audience of a lane. The mirror of its object stays behind: no decision depends on it.
#[derive(Debug)]
pub(super) struct MovedAudience {
    pub(super) id: AudienceId,
    pub(super) name: String,
    pub(super) persistent: bool,
    /// In the order of their numbers.
    pub(super) members: Vec<(SessionId, Standing)>,
}

/// A shared object of a lane whose origin's process is gone.
#[derive(Debug)]
pub(super) struct SalvagedObject {
    pub(super) name: String,
    pub(super) persistent: bool,
    pub(super) mirror: Mirror,
    /// The flags of each member.
    pub(super) members: HashMap<SessionId, Flags>,
}

/// The members of an audience on one worker.
#[derive(Debug)]
struct Side {
    hub: Arc<HubOut>,
    members: usize,
    /// The place of the last message, and its author, which does not get it.
    last: (u64, Option<SessionId>),
    /// The place of the last message that this author gets.
    before: u64,
}

/// The outcome of a delivery to the hubs.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    /// Sessions whose worker's hub is full.
    pub(super) slow: Vec<SessionId>,
    /// Members whose sessions have no worker; only tests have such.
    pub(super) without_hub: Vec<(SessionId, Flags)>,
}

impl Audiences {
    pub(super) fn new(lane: LaneId, group: GroupName) -> Self {
        Self {
            lane,
            group,
            table: HashMap::new(),
            returning: Returning::default(),
        }
    }

    /// The origin's process takes in the members of these objects, each with a join.
    pub(super) fn expect(&mut self, objects: Vec<SalvagedObject>) {
        self.returning = Returning::new(objects);
    }

    /// Forgets objects whose members have not come for long.
    pub(super) fn tick(&mut self, now: Instant) {
        self.returning.tick(now);
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// Lists the objects.
    pub(super) fn info(&self, out: &mut Vec<ObjectInfo>) {
        let group = self.group.to_string();
        out.extend(self.table.values().map(|audience| ObjectInfo {
            group: group.clone(),
            name: audience.name.clone(),
            persistent: audience.persistent,
            version: audience.mirror.version(),
            complete: audience.mirror.is_complete(),
            slots: audience.mirror.len(),
            members: audience.members.len(),
            bytes: audience.mirror.bytes(),
        }));
    }

    /// The audiences, in the order of their numbers.
    pub(super) fn in_order(&self) -> Vec<MovedAudience> {
        let audiences = self.table.iter();
        let mut audiences: Vec<_> = audiences.map(|(id, it)| it.to_moved(*id)).collect();
        audiences.sort_unstable_by_key(|audience| audience.id);
        audiences
    }

    /// Puts in an audience whose members have no hub yet.
    pub(super) fn put(&mut self, moved: MovedAudience) {
        self.begin(moved.id, moved.name, moved.persistent);
        if let Some(audience) = self.table.get_mut(&moved.id) {
            audience.members = moved.members.into_iter().collect();
        }
    }

    /// Lets a session, whose hub is known now, join its audiences there.
    pub(super) fn adopt(
        &mut self,
        session: SessionId,
        state: &mut LaneSession,
    ) -> Result<(), InboxFull> {
        for id in state.audiences.clone() {
            let audience = self.table.get_mut(&id);
            let standing = audience.and_then(|it| it.members.remove(&session));
            if let Some(standing) = standing {
                self.join(id, session, state, standing)?;
            }
        }
        Ok(())
    }

    pub(super) fn begin(&mut self, id: AudienceId, name: String, persistent: bool) {
        let audience = Audience {
            name,
            persistent,
            ..Audience::default()
        };
        self.table.insert(id, audience);
    }

    pub(super) fn join(
        &mut self,
        id: AudienceId,
        session: SessionId,
        state: &mut LaneSession,
        standing: Standing,
    ) -> Result<(), InboxFull> {
        let key = self.key(id);
        let Some(audience) = self.table.get_mut(&id) else {
            return Ok(());
        };
        if !state.audiences.contains(&id) {
            state.audiences.push(id);
        }
        let hub = state.session.hub.as_ref();
        audience.join(session, standing, hub);
        self.returning.joined(&audience.name, session);
        let Some(hub) = hub else { return Ok(()) };
        let join = ToHub::Join {
            audience: key,
            session,
            flags: standing.flags,
            aside: standing.aside,
        };
        hub.hand(join).map(drop).map_err(|_| InboxFull)
    }

    pub(super) fn leave(&mut self, id: AudienceId, session: SessionId, state: &mut LaneSession) {
        state.audiences.retain(|&of| of != id);
        let hub = state.session.hub.as_ref();
        self.remove(id, session, hub);
        if let Some(hub) = hub {
            let audience = self.key(id);
            // A worker that hangs ignores members that are gone.
            let _ = hub.hand(ToHub::Leave { audience, session });
        }
    }

    pub(super) fn end(&mut self, id: AudienceId, sessions: &mut HashMap<SessionId, LaneSession>) {
        let members: Vec<_> = self.members(id).collect();
        for session in members {
            if let Some(state) = sessions.get_mut(&session) {
                self.leave(id, session, state);
            }
        }
        self.table.remove(&id);
    }

    /// Takes all objects out; their members leave them.
    pub(super) fn take_all(
        &mut self,
        sessions: &mut HashMap<SessionId, LaneSession>,
    ) -> Vec<SalvagedObject> {
        let mut objects = Vec::with_capacity(self.table.len());
        for id in self.table.keys().copied().collect::<Vec<_>>() {
            let Some(audience) = self.table.get_mut(&id) else {
                continue;
            };
            let members = audience.members.iter();
            objects.push(SalvagedObject {
                name: std::mem::take(&mut audience.name),
                persistent: audience.persistent,
                members: members.map(|(session, it)| (*session, it.flags)).collect(),
                mirror: std::mem::take(&mut audience.mirror),
            });
            self.end(id, sessions);
        }
        std::mem::take(&mut self.returning).add_to(&mut objects);
        objects
    }

    /// Removes a session that is over.
    pub(super) fn forget(&mut self, session: SessionId, state: &LaneSession) {
        self.returning.left(session);
        for &audience in &state.audiences {
            self.remove(audience, session, state.session.hub.as_ref());
        }
    }

    /// Applies a message to the mirror, and queues it for the members' hubs: once for each worker.
    pub(super) fn deliver(
        &mut self,
        delivery: &Delivery,
        sessions: &HashMap<SessionId, LaneSession>,
    ) -> Delivered {
        let ObjectKey(_, id) = delivery.audience;
        let Some(audience) = self.table.get_mut(&id) else {
            return Delivered::default();
        };
        // If a message has two forms, the form for AMF3 holds everything.
        if delivery.encoding != Some(ObjectEncoding::Amf0)
            && let Err(error) = audience.mirror.apply(delivery.message.body())
        {
            tracing::warn!(
                group = %self.group,
                name = audience.name,
                %error,
                "shared-object message is unreadable"
            );
        }
        let full = audience.hand(delivery);
        let without_hub = audience.without_hub(delivery.all_but, sessions);
        let mut slow = Vec::new();
        for hub in full {
            slow.extend(self.close_side(id, &hub, sessions));
        }
        Delivered { slow, without_hub }
    }

    /// The place in the worker's hub that the session's next item has to wait for.
    pub(super) fn place_before(&self, session: SessionId, state: &LaneSession) -> u64 {
        let Some(hub) = &state.session.hub else {
            return 0;
        };
        let audiences = state.audiences.iter().filter_map(|id| self.table.get(id));
        let places = audiences.map(|audience| audience.place_before(session, hub));
        places.max().unwrap_or(0)
    }

    fn key(&self, audience: AudienceId) -> ObjectKey {
        ObjectKey(self.lane, audience)
    }

    fn members(&self, id: AudienceId) -> impl Iterator<Item = SessionId> {
        let audience = self.table.get(&id).into_iter();
        audience.flat_map(|it| it.members.keys().copied())
    }

    fn remove(&mut self, id: AudienceId, session: SessionId, hub: Option<&Arc<HubOut>>) {
        if let Some(audience) = self.table.get_mut(&id) {
            audience.remove(session, hub);
        }
    }

    /// The members on a worker whose hub is full; the lane closes their sessions.
    fn close_side(
        &self,
        id: AudienceId,
        hub: &Arc<HubOut>,
        sessions: &HashMap<SessionId, LaneSession>,
    ) -> Vec<SessionId> {
        let is_on_it = |session: &SessionId| {
            let session = sessions.get(session);
            let hub_of = session.and_then(|it| it.session.hub.as_ref());
            hub_of.is_some_and(|of| Arc::ptr_eq(of, hub))
        };
        let members: Vec<_> = self.members(id).filter(is_on_it).collect();
        tracing::error!(group = %self.group, sessions = members.len(), "a worker does not keep up");
        members
    }
}

impl SalvagedObject {
    /// A body with a clear and all slots.
    pub(super) fn snapshot(&self) -> Bytes {
        self.mirror.snapshot(&self.name, ObjectEncoding::Amf3)
    }
}

impl Audience {
    fn to_moved(&self, id: AudienceId) -> MovedAudience {
        let members = self.members.iter();
        let mut members: Vec<_> = members.map(|(session, it)| (*session, *it)).collect();
        members.sort_unstable_by_key(|(session, _)| *session);
        MovedAudience {
            id,
            name: self.name.clone(),
            persistent: self.persistent,
            members,
        }
    }

    fn join(&mut self, session: SessionId, standing: Standing, hub: Option<&Arc<HubOut>>) {
        if self.members.insert(session, standing).is_some() {
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

    fn remove(&mut self, session: SessionId, hub: Option<&Arc<HubOut>>) {
        if self.members.remove(&session).is_none() {
            return;
        }
        let side = |side: &Side| hub.is_some_and(|hub| Arc::ptr_eq(hub, &side.hub));
        if let Some(at) = self.sides.iter().position(side) {
            self.sides[at].members -= 1;
            if self.sides[at].members == 0 {
                self.sides.swap_remove(at);
            }
        }
    }

    /// Queues a message for every worker with members. Returns the hubs that are full.
    fn hand(&mut self, delivery: &Delivery) -> Vec<Arc<HubOut>> {
        let mut full = Vec::new();
        for side in &mut self.sides {
            match side.hub.hand(ToHub::Deliver(delivery.clone())) {
                Ok(place) => side.note(place, delivery.all_but),
                Err(_) => full.push(Arc::clone(&side.hub)),
            }
        }
        full
    }

    fn without_hub(
        &self,
        all_but: Option<SessionId>,
        sessions: &HashMap<SessionId, LaneSession>,
    ) -> Vec<(SessionId, Flags)> {
        let in_hubs: usize = self.sides.iter().map(|side| side.members).sum();
        if in_hubs == self.members.len() {
            return Vec::new();
        }
        let no_hub = |session| {
            let session: Option<&LaneSession> = sessions.get(session);
            session.is_some_and(|it| it.session.hub.is_none())
        };
        let members = self.members.iter();
        members
            .filter(|(session, member)| !member.aside && Some(**session) != all_but)
            .filter(|(session, _)| no_hub(session))
            .map(|(&session, member)| (session, member.flags))
            .collect()
    }

    fn place_before(&self, session: SessionId, hub: &Arc<HubOut>) -> u64 {
        let side = self.sides.iter().find(|it| Arc::ptr_eq(&it.hub, hub));
        side.map_or(0, |side| match side.last {
            (_, Some(author)) if author == session => side.before,
            (place, _) => place,
        })
    }
}

impl Side {
    /// Records the place of a message in the worker's hub.
    fn note(&mut self, place: u64, all_but: Option<SessionId>) {
        if all_but.is_none() || self.last.1 != all_but {
            self.before = self.last.0;
        }
        self.last = (place, all_but);
    }
}
