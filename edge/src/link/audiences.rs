//! The audiences of a lane: who gets what is said to all.

use std::{collections::HashMap, sync::Arc};

use tributary_protocol::{
    SessionId,
    amf::ObjectEncoding,
    link::{AudienceEvent, AudienceId, Recipients},
    shared_object::Flags,
};

use super::{handle::FromOrigin, lane::Lane};
use crate::objects::ObjectMessage;

/// The audiences of one lane.
#[derive(Debug, Default)]
pub(super) struct Audiences {
    audiences: HashMap<AudienceId, Audience>,
}

#[derive(Debug, Default)]
struct Audience {
    members: HashMap<SessionId, Member>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    flags: Flags,
    /// Messages to all pass it by.
    aside: bool,
}

impl Audiences {
    /// A session is over.
    pub(super) fn forget(&mut self, session: SessionId) {
        for audience in self.audiences.values_mut() {
            audience.members.remove(&session);
        }
    }

    fn recipients(
        &self,
        audience: AudienceId,
        to: Recipients,
    ) -> impl Iterator<Item = (SessionId, Flags)> {
        let members = self.audiences.get(&audience).into_iter();
        members
            .flat_map(|audience| &audience.members)
            .filter(move |&(&session, member)| match to {
                Recipients::All => !member.aside,
                Recipients::AllBut(author) => !member.aside && session != author,
                Recipients::One(one) => session == one,
            })
            .map(|(&session, member)| (session, member.flags))
    }
}

impl Lane {
    /// Something happened to an audience.
    pub(super) fn audience(&self, audience: AudienceId, event: AudienceEvent) {
        let mut audiences = self.audiences.borrow_mut();
        match event {
            AudienceEvent::Begun { .. } => {
                audiences.audiences.insert(audience, Audience::default());
            }
            AudienceEvent::Joined {
                session,
                flags,
                aside,
            } => {
                if let Some(audience) = audiences.audiences.get_mut(&audience) {
                    audience.members.insert(session, Member { flags, aside });
                }
            }
            AudienceEvent::Left { session } => {
                if let Some(audience) = audiences.audiences.get_mut(&audience) {
                    audience.members.remove(&session);
                }
            }
            AudienceEvent::Message { to, encoding, body } => {
                let Some(message) = ObjectMessage::new(body).map(Arc::new) else {
                    return;
                };
                let recipients: Vec<_> = audiences.recipients(audience, to).collect();
                drop(audiences);
                for (session, flags) in recipients {
                    self.tell_object(session, flags, encoding, &message);
                }
            }
            AudienceEvent::Ended => {
                audiences.audiences.remove(&audience);
            }
            _ => {}
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
}
