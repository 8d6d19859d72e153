//! An audience of a lane in a parcel.

use std::collections::HashSet;

use tributary_protocol::{
    SessionId,
    link::{AudienceId, frame::MAX_BODY},
    parcel::{ParcelError, ParcelReader, ParcelWriter},
    shared_object::Flags,
};

use super::{MovedAudience, Standing};

const NUMBER: u16 = 1;
const NAME: u16 = 2;
const PERSISTENT: u16 = 3;
const MEMBER: u16 = 4;

/// The fields of a member.
const MEMBER_OF: u16 = 1;
const FLAGS: u16 = 2;
const ASIDE: u16 = 3;

/// The longest name of a shared object, in bytes. Reason: a frame has it.
const MAX_OBJECT_NAME: usize = MAX_BODY;

impl MovedAudience {
    pub(in crate::link::lane) fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(NUMBER, self.id.0);
        parcel.bytes(NAME, self.name.as_bytes());
        parcel.flag(PERSISTENT, self.persistent);
        for (session, standing) in &self.members {
            let Flags([high, low]) = standing.flags;
            parcel.record(MEMBER, |parcel| {
                parcel.number(MEMBER_OF, session.0);
                parcel.number(FLAGS, u64::from(high) << 32 | u64::from(low));
                parcel.flag(ASIDE, standing.aside);
            });
        }
    }

    pub(in crate::link::lane) fn import(
        parcel: &mut ParcelReader<'_>,
        sessions: &HashSet<SessionId>,
    ) -> Result<Self, ParcelError> {
        let mut audience = Self {
            id: AudienceId(parcel.number(NUMBER)?),
            name: parcel.text(NAME, MAX_OBJECT_NAME)?.to_owned(),
            persistent: parcel.flag(PERSISTENT)?,
            members: Vec::new(),
        };
        while let Some(member) = parcel.record_if(MEMBER, "a member of an audience", member)? {
            let last = audience.members.last().map(|(session, _)| *session);
            let is_next = sessions.contains(&member.0) && Some(member.0) > last;
            parcel.require(is_next, MEMBER)?;
            audience.members.push(member);
        }
        Ok(audience)
    }
}

fn member(parcel: &mut ParcelReader<'_>) -> Result<(SessionId, Standing), ParcelError> {
    let session = SessionId(parcel.number(MEMBER_OF)?);
    let flags: u64 = parcel.number(FLAGS)?;
    let flags = Flags([(flags >> 32) as u32, flags as u32]);
    let aside = parcel.flag(ASIDE)?;
    Ok((session, Standing { flags, aside }))
}
