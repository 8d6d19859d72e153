//! Bodies, joins and leaves of objects, sent to their audiences.

use std::collections::HashMap;

use tributary_protocol::{
    Message,
    amf::ObjectEncoding,
    link::{AudienceId, Recipients, ToAudience},
    shared_object::{Body, Flags, Output, To},
};

use super::{
    super::{acts::ObjectActs, use_of},
    Forms, Member, Side, message, of_kind,
};
use crate::{app::ObjectId, group::client::Client, session::SessionKey};

impl ObjectActs<'_> {
    pub(in crate::group) fn follow_output(&mut self, id: ObjectId, output: Output<SessionKey>) {
        match output {
            Output::Join { member, flags } => self.join_side(id, member, flags),
            Output::Leave { member } => self.leave_side(id, member),
            Output::Aside { member } => {
                let place = self.place(member);
                if let Some(side) = self.side(id, place) {
                    side.stand_aside(place.session);
                }
            }
            Output::Back { member, flags } => {
                let place = self.place(member);
                if let Some(side) = self.side(id, place) {
                    side.come_back(place.session, flags);
                }
            }
            Output::Body { to, body } => self.tell_object(id, to, &body),
        }
    }

    fn join_side(&mut self, id: ObjectId, key: SessionKey, flags: Flags) {
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let place = client.place();
        let session = place.session;
        let (out, encoding) = (client.lane().clone(), client.encoding());
        client.uses().add(id);
        let audience = self.objects.next_audience();
        let Some(entry) = self.objects.get_mut(id) else {
            return;
        };
        if entry.sides.side(place).is_none() {
            let side = Side {
                out,
                audience,
                members: HashMap::new(),
                amf0: 0,
            };
            let persistent = entry.object.is_persistent();
            let name = entry.name.to_string();
            side.say(ToAudience::Begin { name, persistent });
            let body = entry.object.contents().snapshot();
            side.snapshot(&mut Forms::new(&entry.name, &body));
            entry.sides.0.push(side);
        }
        let Some(side) = entry.sides.side(place) else {
            return;
        };
        let member = Member { flags, encoding };
        side.leave(session);
        side.members.insert(session, member);
        side.amf0 += usize::from(encoding == ObjectEncoding::Amf0);
        side.say(ToAudience::Join { session, flags });
    }

    fn leave_side(&mut self, id: ObjectId, key: SessionKey) {
        if let Some(client) = self.clients.get_mut(key) {
            client.uses().remove(id);
        }
        self.step_aside(id, key);
    }

    /// The member's objects, which it goes on to use in another session: its requests for that.
    pub(in crate::group) fn leave_sides(&mut self, key: SessionKey) -> Vec<Message> {
        let Some(client) = self.clients.get_mut(key).filter(|it| it.has_uses()) else {
            return Vec::new();
        };
        let mut requests = Vec::new();
        for id in client.uses().objects().to_vec() {
            self.step_aside(id, key);
            let Some(entry) = self.objects.get_mut(id) else {
                continue;
            };
            if let Some(flags) = entry.object.handle_away(key) {
                let (kind, payload) = use_of(&entry.name, flags).encode(ObjectEncoding::Amf0);
                requests.push(of_kind(kind, payload));
            }
        }
        requests
    }

    /// Ends the messages to a member in its session.
    pub(in crate::group) fn step_aside(&mut self, id: ObjectId, key: SessionKey) {
        let place = self.place(key);
        let Some(entry) = self.objects.get_mut(id) else {
            return;
        };
        let Some(side) = entry.sides.side(place) else {
            return;
        };
        side.leave(place.session);
        if side.members.is_empty() {
            side.say(ToAudience::End);
            let lane = side.out.key();
            entry.sides.0.retain(|side| side.out.key() != lane);
        }
    }

    /// The members of an object on this session's lane.
    fn side(&mut self, id: ObjectId, place: SessionKey) -> Option<&mut Side> {
        self.objects.get_mut(id)?.sides.side(place)
    }

    /// The session of a member.
    fn place(&self, member: SessionKey) -> SessionKey {
        self.clients.get(member).map_or(member, Client::place)
    }

    fn tell_object(&mut self, id: ObjectId, to: To<SessionKey>, body: &Body) {
        let Some(entry) = self.objects.entries.get_mut(&id) else {
            return;
        };
        let mut forms = Forms::new(&entry.name, body);
        let author = match to {
            To::All => None,
            To::AllBut(author) => Some(self.clients.get(author).map_or(author, Client::place)),
            To::One(key) => {
                if let Some(client) = self.clients.get_mut(key) {
                    tell_one(entry.sides.side(client.place()), client, &mut forms);
                }
                return;
            }
        };
        for side in &entry.sides.0 {
            let here = author.filter(|author| author.lane == side.out.key());
            let to = here.map_or(Recipients::All, |author| Recipients::AllBut(author.session));
            side.send(to, &mut forms);
        }
    }

    /// Sends a snapshot to an audience whose messages did not fit its lane.
    pub(in crate::group) fn snapshot_wanted(&mut self, audience: AudienceId) {
        let mut entries = self.objects.entries.values();
        let of = |side: &&Side| side.audience == audience;
        let found = entries.find_map(|entry| {
            let side = entry.sides.0.iter().find(of)?;
            Some((entry, side))
        });
        if let Some((entry, side)) = found {
            let body = entry.object.contents().snapshot();
            side.snapshot(&mut Forms::new(&entry.name, &body));
        }
    }
}

/// Sends a body to one client: as a member, so that it keeps its place behind messages to all, or
/// by a message of its own.
fn tell_one(side: Option<&mut Side>, client: &mut Client, forms: &mut Forms<'_>) {
    client.uses().answered(forms.body.size());
    let session = client.place().session;
    let seat = side.and_then(|side| {
        let member = side.members.get(&session).copied()?;
        Some((side, member))
    });
    match seat {
        Some((side, member)) => side.say(ToAudience::Send {
            to: Recipients::One(session),
            encoding: forms.body.needs_amf3().then_some(member.encoding),
            body: forms.form(member.encoding),
        }),
        None => {
            let encoding = client.encoding();
            client.send(message(&forms.form(encoding), Flags::default(), encoding));
        }
    }
}
