//! Bodies, joins and leaves of objects, sent to their audiences.

use std::collections::HashMap;

use tributary_protocol::{
    amf::ObjectEncoding,
    link::{AudienceId, Recipients, ToAudience},
    shared_object::{Body, Flags, Output, To},
};

use super::{super::acts::ObjectActs, Forms, Member, Side, message};
use crate::{app::ObjectId, group::client::Client, session::SessionKey};

impl ObjectActs<'_> {
    pub(in crate::group) fn follow_output(&mut self, id: ObjectId, output: Output<SessionKey>) {
        match output {
            Output::Join { member, flags } => self.join_side(id, member, flags),
            Output::Leave { member } => self.leave_side(id, member),
            Output::Aside { member } => {
                if let Some(side) = self.side(id, member) {
                    side.stand_aside(member.session);
                }
            }
            Output::Back { member, flags } => {
                if let Some(side) = self.side(id, member) {
                    side.come_back(member.session, flags);
                }
            }
            Output::Body { to, body } => self.tell_object(id, to, &body),
        }
    }

    fn join_side(&mut self, id: ObjectId, key: SessionKey, flags: Flags) {
        let (Some(client), session) = (self.clients.get_mut(key), key.session) else {
            return;
        };
        let (out, encoding) = (client.lane().clone(), client.encoding());
        client.uses().add(id);
        let audience = self.objects.next_audience();
        let Some(entry) = self.objects.get_mut(id) else {
            return;
        };
        if entry.sides.side(key).is_none() {
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
        let Some(side) = entry.sides.side(key) else {
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
        let Some(entry) = self.objects.get_mut(id) else {
            return;
        };
        let Some(side) = entry.sides.side(key) else {
            return;
        };
        side.leave(key.session);
        if side.members.is_empty() {
            side.say(ToAudience::End);
            let lane = side.out.key();
            entry.sides.0.retain(|side| side.out.key() != lane);
        }
    }

    /// The members of an object on this session's lane.
    fn side(&mut self, id: ObjectId, key: SessionKey) -> Option<&mut Side> {
        self.objects.get_mut(id)?.sides.side(key)
    }

    fn tell_object(&mut self, id: ObjectId, to: To<SessionKey>, body: &Body) {
        let Some(entry) = self.objects.entries.get_mut(&id) else {
            return;
        };
        let mut forms = Forms::new(&entry.name, body);
        let author = match to {
            To::All => None,
            To::AllBut(author) => Some(author),
            To::One(key) => {
                if let Some(client) = self.clients.get_mut(key) {
                    tell_one(entry.sides.side(key), client, &mut forms);
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
    let session = client.key.session;
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
