//! What an object says: one audience on each lane, whatever the number of members there.

use std::collections::HashMap;

use bytes::Bytes;
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp, SessionId,
    amf::ObjectEncoding,
    link::{AudienceId, Recipients, ToAudience},
    shared_object::{Body, Flags, To, body::for_member},
};

use super::{Core, ObjectId, Output};
use crate::{
    group::client::Client,
    session::{LaneOut, SessionKey},
};

/// An object's members, by lane.
#[derive(Debug, Default)]
pub(super) struct Sides(Vec<Side>);

/// The members of one object on one lane.
#[derive(Debug)]
struct Side {
    out: LaneOut,
    audience: AudienceId,
    members: HashMap<SessionId, Member>,
    /// How many members read AMF0 only.
    amf0: usize,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    flags: Flags,
    encoding: ObjectEncoding,
}

/// A body in its encodings, each made once and only if somebody needs it.
struct Forms<'b> {
    object: &'b str,
    body: &'b Body,
    full: Option<Bytes>,
    nearest: Option<Bytes>,
}

impl Sides {
    fn side(&mut self, key: SessionKey) -> Option<&mut Side> {
        self.0.iter_mut().find(|side| side.out.key() == key.lane)
    }
}

impl Side {
    fn say(&self, what: ToAudience) {
        self.out.audience(self.audience, what);
    }

    /// One message for all members, or two where AMF0 cannot carry it.
    fn send(&self, to: Recipients, forms: &mut Forms<'_>) {
        if !forms.body.needs_amf3() {
            let body = forms.full();
            let encoding = None;
            return self.say(ToAudience::Send { to, encoding, body });
        }
        // The edge's mirror takes the form that holds everything, whoever reads it.
        self.say(ToAudience::Send {
            to,
            encoding: Some(ObjectEncoding::Amf3),
            body: forms.full(),
        });
        if self.amf0 > 0 {
            self.say(ToAudience::Send {
                to,
                encoding: Some(ObjectEncoding::Amf0),
                body: forms.nearest(),
            });
        }
    }

    fn snapshot(&self, forms: &mut Forms<'_>) {
        let encoding = forms.body.needs_amf3().then_some(ObjectEncoding::Amf3);
        let body = forms.full();
        self.say(ToAudience::Snapshot { encoding, body });
        if encoding.is_some() && self.amf0 > 0 {
            self.say(ToAudience::Snapshot {
                encoding: Some(ObjectEncoding::Amf0),
                body: forms.nearest(),
            });
        }
    }

    fn stand_aside(&mut self, session: SessionId) {
        if self.members.contains_key(&session) {
            let aside = true;
            self.say(ToAudience::Stand { session, aside });
        }
    }

    fn come_back(&mut self, session: SessionId, flags: Flags) {
        let Some(member) = self.members.get_mut(&session) else {
            return;
        };
        if std::mem::replace(&mut member.flags, flags) == flags {
            let aside = false;
            self.say(ToAudience::Stand { session, aside });
        } else {
            // It has used the object again meanwhile, as another kind of member.
            self.say(ToAudience::Leave { session });
            self.say(ToAudience::Join { session, flags });
        }
    }

    fn leave(&mut self, session: SessionId) {
        let Some(member) = self.members.remove(&session) else {
            return;
        };
        self.amf0 -= usize::from(member.encoding == ObjectEncoding::Amf0);
        self.say(ToAudience::Leave { session });
    }
}

impl<'b> Forms<'b> {
    fn new(object: &'b str, body: &'b Body) -> Self {
        Self {
            object,
            body,
            full: None,
            nearest: None,
        }
    }

    fn full(&mut self) -> Bytes {
        let Self { object, body, .. } = *self;
        let make = || body.encode(object, ObjectEncoding::Amf3);
        self.full.get_or_insert_with(make).clone()
    }

    fn nearest(&mut self) -> Bytes {
        let Self { object, body, .. } = *self;
        let make = || body.encode(object, ObjectEncoding::Amf0);
        self.nearest.get_or_insert_with(make).clone()
    }

    fn form(&mut self, encoding: ObjectEncoding) -> Bytes {
        match encoding {
            ObjectEncoding::Amf0 if self.body.needs_amf3() => self.nearest(),
            _ => self.full(),
        }
    }
}

impl Core {
    pub(super) fn follow_output(&mut self, id: ObjectId, output: Output<SessionKey>) {
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
        let (Some(client), session) = (self.clients.get_mut(&key), key.session) else {
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
            let body = entry.object.snapshot();
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
        if let Some(client) = self.clients.get_mut(&key) {
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

    /// The members of an object on this one's lane.
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
                if let Some(client) = self.clients.get_mut(&key) {
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

    /// A lane could not keep what one of its audiences was told: it gets everything anew.
    pub(in crate::group) fn snapshot_wanted(&mut self, audience: AudienceId) {
        let mut entries = self.objects.entries.values();
        let of = |side: &&Side| side.audience == audience;
        let found = entries.find_map(|entry| {
            let side = entry.sides.0.iter().find(of)?;
            Some((entry, side))
        });
        if let Some((entry, side)) = found {
            let body = entry.object.snapshot();
            side.snapshot(&mut Forms::new(&entry.name, &body));
        }
    }
}

/// Tells one client: as a member, so that it keeps its place behind what went to all, or by a
/// message of its own.
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

/// A member's own message of a body.
fn message(body: &[u8], flags: Flags, encoding: ObjectEncoding) -> Message {
    let (kind, payload) =
        for_member(body, flags, encoding).expect("a body has the header it was made with");
    of_kind(kind, payload)
}

/// Shared objects belong to the connection.
pub(super) fn of_kind(kind: MessageType, payload: Bytes) -> Message {
    Message {
        kind,
        stream: MessageStreamId::CONNECTION,
        timestamp: RtmpTimestamp::default(),
        payload,
    }
}
