//! A journal in a parcel.

use tributary_protocol::{
    GroupName, Message, SessionId,
    link::{FromSession, claims_of_parcel, event_of_parcel, parcel_claims, parcel_event},
    parcel::{ParcelError, ParcelReader, ParcelWriter},
};

use super::{Journal, MAX_JOURNAL, OpenRequest};

const GROUP: u16 = 1;
const ORIGIN: u16 = 2;
const OPENING: u16 = 3;
const CLAIMS: u16 = 4;
const MESSAGE: u16 = 5;
const ASKED_HOME: u16 = 6;

/// The longest host of an origin that a client names, in bytes. Reason: it is a part of the
/// client's connect command, which a lane carries in one frame.
const MAX_HOST: usize = tributary_protocol::link::frame::MAX_BODY;

impl Journal {
    /// Writes the fields. The request and the messages are written as frames of the link, each
    /// message in one.
    pub(in crate::link) fn export(&self, session: SessionId, parcel: &mut ParcelWriter) {
        let OpenRequest {
            group,
            origin,
            open,
        } = &self.request;
        parcel.bytes(GROUP, group.to_string().as_bytes());
        if let Some(origin) = origin {
            parcel.bytes(ORIGIN, origin.as_bytes());
        }
        let mut events = self.events();
        if let Some(opening) = events.next() {
            parcel.bytes(OPENING, &parcel_event(session, opening));
        }
        if let Some(claims) = &open.claims {
            parcel.bytes(CLAIMS, &parcel_claims(session, claims));
        }
        for event in events {
            parcel.bytes(MESSAGE, &parcel_event(session, event));
        }
        parcel.flag(ASKED_HOME, self.asked_home);
    }

    /// Reads the fields.
    pub(in crate::link) fn import(
        session: SessionId,
        parcel: &mut ParcelReader<'_>,
    ) -> Result<Self, ParcelError> {
        let group: Option<GroupName> = parcel.text(GROUP, GroupName::MAX_LENGTH)?.parse().ok();
        let group = group.ok_or_else(|| parcel.illegal(GROUP))?;
        let origin = parcel.text_if(ORIGIN, MAX_HOST)?.map(str::to_owned);
        let opening = parcel.bytes(OPENING)?;
        let Some(FromSession::Open(mut open)) = event_of_parcel(opening, session) else {
            return Err(parcel.illegal(OPENING));
        };
        if let Some(bytes) = parcel.bytes_if(CLAIMS)? {
            let claims = claims_of_parcel(bytes, session);
            open.claims = Some(claims.ok_or_else(|| parcel.illegal(CLAIMS))?);
        }
        let mut journal = Self::new(OpenRequest {
            group,
            origin,
            open,
        });
        while let Some(bytes) = parcel.bytes_if(MESSAGE)? {
            let Some(FromSession::Message {
                generation,
                message,
            }) = event_of_parcel(bytes, session)
            else {
                return Err(parcel.illegal(MESSAGE));
            };
            parcel.fits(
                journal.messages.len() < MAX_JOURNAL,
                "messages of a journal",
            )?;
            journal.messages.push((message, generation));
        }
        journal.asked_home = parcel.flag(ASKED_HOME)?;
        Ok(journal)
    }

    /// The messages, in order.
    pub(in crate::link) fn messages(&self) -> impl Iterator<Item = &Message> {
        self.messages.iter().map(|(message, _)| message)
    }
}
