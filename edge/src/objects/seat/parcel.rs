//! The seat of a client in a parcel.
//!
//! The hub has delivered everything: what is left waits for the client's socket. Changes that a
//! member has missed are written as the message that it would get now. Memberships come again with
//! the lane; the seat has what the lane does not know of them.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use tributary_protocol::{
    LaneId, MessageStreamId,
    chunk::MAX_MESSAGE_LENGTH,
    link::AudienceId,
    parcel::{ParcelError, ParcelReader, ParcelWriter},
    shared_object::Flags,
};

use super::{Member, ObjectKey, ObjectMessage, Seat, What};

const STREAM: u16 = 1;
const MEMBER: u16 = 2;
const WAITING: u16 = 3;

const LANE: u16 = 1;
const AUDIENCE: u16 = 2;
const FLAGS: u16 = 3;
const MORE_FLAGS: u16 = 4;
const ASIDE: u16 = 5;
const SEEN: u16 = 6;
const BODY: u16 = 7;

/// Objects of a client. Reason: each costs the client a message, and a parcel is bounded as a whole.
const MAX_MEMBERS: usize = 65_536;

/// Messages that wait: as many as their bytes permit, and some more.
const MAX_WAITING: usize = 65_536;

impl Seat {
    /// Writes the seat. `catch_up` makes the body of the changes that a member has missed.
    pub(in crate::objects) fn export(
        &self,
        parcel: &mut ParcelWriter,
        catch_up: impl Fn(&Member) -> Option<Bytes>,
    ) {
        if self.overflowed.get() || self.after.get().is_some() {
            parcel.refuse("messages of objects are lost");
        }
        self.fix_catch_ups(catch_up);
        parcel.number(STREAM, self.stream.get().0);
        for member in &*self.members.borrow() {
            parcel.record(MEMBER, |parcel| member.export(parcel));
        }
        for entry in &self.waiting.borrow().entries {
            if let What::Message(message, member) = &entry.what {
                parcel.record(WAITING, |parcel| {
                    member.export(parcel);
                    parcel.bytes(BODY, message.body());
                });
            }
        }
    }

    /// Makes messages of the changes that members have missed.
    fn fix_catch_ups(&self, catch_up: impl Fn(&Member) -> Option<Bytes>) {
        let behind: Vec<_> = {
            let waiting = self.waiting.borrow();
            let members = waiting
                .entries
                .iter()
                .filter_map(|entry| match &entry.what {
                    What::CatchUp(member) => Some(Rc::clone(member)),
                    What::Message(..) => None,
                });
            members.collect()
        };
        for member in behind {
            let missed = catch_up(&member);
            self.freeze(&member, missed);
        }
    }

    /// Reads the record of a parcel. Returns the members, which the hub does not know yet.
    pub(in crate::objects) fn import(
        self: &Rc<Self>,
        parcel: &mut ParcelReader<'_>,
    ) -> Result<Vec<Rc<Member>>, ParcelError> {
        self.stream.set(MessageStreamId(parcel.number(STREAM)?));
        let mut members = Vec::new();
        let read = |parcel: &mut ParcelReader<'_>| self.member(parcel);
        while let Some(member) = parcel.record_if(MEMBER, "a member of an object", read)? {
            parcel.fits(members.len() < MAX_MEMBERS, "objects of a client")?;
            parcel.require(self.member_of(member.key).is_none(), MEMBER)?;
            self.sit(Rc::clone(&member));
            members.push(member);
        }
        let mut waiting = 0;
        let read = |parcel: &mut ParcelReader<'_>| {
            let member = self.member(parcel)?;
            let body = parcel.bytes(BODY)?;
            parcel.fits(
                body.len() < MAX_MESSAGE_LENGTH as usize,
                "bytes of a message",
            )?;
            let message = ObjectMessage::new(Bytes::copy_from_slice(body));
            Ok((member, message.ok_or_else(|| parcel.illegal(BODY))?))
        };
        while let Some((of, message)) = parcel.record_if(WAITING, "a message of an object", read)? {
            parcel.fits(waiting < MAX_WAITING, "messages of objects")?;
            waiting += 1;
            // A member that has left gets what came before.
            let member = self.member_of(of.key).unwrap_or(of);
            let mut queue = self.waiting.borrow_mut();
            queue.weight += message.size() + super::ENTRY;
            queue.entries.push_back(super::Entry {
                place: 0,
                what: What::Message(Arc::new(message), member),
            });
        }
        Ok(members)
    }

    fn member(self: &Rc<Self>, parcel: &mut ParcelReader<'_>) -> Result<Rc<Member>, ParcelError> {
        let lane = LaneId(parcel.number(LANE)?);
        let audience = AudienceId(parcel.number(AUDIENCE)?);
        let flags = Flags([parcel.number(FLAGS)?, parcel.number(MORE_FLAGS)?]);
        let aside = parcel.flag(ASIDE)?;
        let member = Member::new(self, ObjectKey(lane, audience), flags, aside);
        member.seen.set(parcel.number(SEEN)?);
        Ok(member)
    }
}

impl Member {
    fn export(&self, parcel: &mut ParcelWriter) {
        let ObjectKey(lane, audience) = self.key;
        let Flags([flags, more]) = self.flags.get();
        parcel.number(LANE, lane.0);
        parcel.number(AUDIENCE, audience.0);
        parcel.number(FLAGS, flags);
        parcel.number(MORE_FLAGS, more);
        parcel.flag(ASIDE, self.aside.get());
        parcel.number(SEEN, self.seen.get());
    }
}
