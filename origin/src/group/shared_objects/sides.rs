//! The messages of an object: one audience on each lane, whatever the number of members there.

use std::collections::HashMap;

use bytes::Bytes;
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp, SessionId,
    amf::ObjectEncoding,
    link::{AudienceId, Recipients, ToAudience},
    shared_object::{Body, Flags, body::for_member},
};

use crate::session::{LaneOut, SessionKey};

mod acts;

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

/// A body in its encodings, each made once and only if a member needs it.
struct Forms<'b> {
    object: &'b str,
    body: &'b Body,
    full: Option<Bytes>,
    nearest: Option<Bytes>,
}

impl Sides {
    fn side(&mut self, place: SessionKey) -> Option<&mut Side> {
        self.0.iter_mut().find(|side| side.out.key() == place.lane)
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
        // The edge's mirror takes the form that holds every value, even if no member reads it.
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
            // The session has used the object again meanwhile, as another kind of member.
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

/// A member's own message of a body.
fn message(body: &[u8], flags: Flags, encoding: ObjectEncoding) -> Message {
    let (kind, payload) =
        for_member(body, flags, encoding).expect("a body has the header it was made with");
    of_kind(kind, payload)
}

/// Messages of shared objects belong to the connection.
pub(super) fn of_kind(kind: MessageType, payload: Bytes) -> Message {
    Message {
        kind,
        stream: MessageStreamId::CONNECTION,
        timestamp: RtmpTimestamp::default(),
        payload,
    }
}
