//! The frames that restore a lane, as its origin reads them.

use std::sync::Arc;

use bytes::BytesMut;

use super::{OriginEvent, sessions::LaneSessions};
use crate::{
    SessionId,
    chunk::MAX_MESSAGE_LENGTH,
    link::{
        ClientClaims, FrameError, Record, RestoredObject, RestoredSession,
        lane_frame::{ContentsHead, ContentsPiece, MAX_UNANSWERED, RestoreFrame},
    },
    shared_object::Flags,
};

/// A lane that is being restored: the session and the object whose frames are under way.
#[derive(Debug, Default)]
pub(super) struct Restoring {
    session: Option<(SessionId, Box<RestoredSession>)>,
    contents: Option<(ContentsHead, BytesMut)>,
}

/// The most shared objects that a session may use. Reason: an origin permits fewer.
const MAX_USES: usize = 1_024;

/// The longest body of contents: that of a message to an audience.
const MAX_CONTENTS: u32 = MAX_MESSAGE_LENGTH - 1;

impl Restoring {
    /// Takes in a frame; reports what is complete. Returns whether the restoring is over.
    pub(super) fn handle(
        &mut self,
        frame: RestoreFrame,
        claims: Option<Arc<ClientClaims>>,
        sessions: &mut LaneSessions,
    ) -> Result<bool, FrameError> {
        match frame {
            RestoreFrame::Session { session, mut open } => {
                self.complete(sessions);
                sessions.begin(session)?;
                open.claims = claims;
                let restored = RestoredSession {
                    open,
                    records: Vec::new(),
                    unanswered: Vec::new(),
                    uses: Vec::new(),
                };
                self.session = Some((session, Box::new(restored)));
            }
            RestoreFrame::Record { session, record } => {
                let records = &mut self.of(session)?.records;
                if records.len() >= Record::MAX_PARTS {
                    return Err(FrameError::Value);
                }
                records.push(record);
            }
            RestoreFrame::Unanswered {
                session,
                transactions,
            } => {
                let unanswered = &mut self.of(session)?.unanswered;
                unanswered.extend(transactions);
                if unanswered.len() > MAX_UNANSWERED {
                    return Err(FrameError::Value);
                }
            }
            RestoreFrame::Uses {
                session,
                name,
                flags,
            } => self.uses(session, name, flags)?,
            RestoreFrame::Reached(reached) => {
                self.complete(sessions);
                sessions.report(OriginEvent::Reached(reached));
            }
            RestoreFrame::Contents(piece) => {
                self.complete(sessions);
                self.piece(piece, sessions)?;
            }
            RestoreFrame::End => {
                self.complete(sessions);
                if self.contents.is_some() {
                    return Err(FrameError::Truncated);
                }
                sessions.report(OriginEvent::RestoreEnd);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The session of this number, whose frames are under way.
    fn of(&mut self, session: SessionId) -> Result<&mut RestoredSession, FrameError> {
        match &mut self.session {
            Some((of, restored)) if *of == session => Ok(restored),
            _ => Err(FrameError::Session(session.0)),
        }
    }

    fn uses(&mut self, session: SessionId, name: String, flags: Flags) -> Result<(), FrameError> {
        let uses = &mut self.of(session)?.uses;
        if uses.len() >= MAX_USES {
            return Err(FrameError::Value);
        }
        uses.push((name, flags));
        Ok(())
    }

    /// Reports the session whose frames were under way.
    fn complete(&mut self, sessions: &mut LaneSessions) {
        if let Some((session, restored)) = self.session.take() {
            sessions.report(OriginEvent::Restored { session, restored });
        }
    }

    fn piece(
        &mut self,
        piece: ContentsPiece,
        sessions: &mut LaneSessions,
    ) -> Result<(), FrameError> {
        let (head, mut body) = match (self.contents.take(), piece.head) {
            (None, Some(head)) if head.length > MAX_CONTENTS => return Err(FrameError::TooLong),
            (None, Some(head)) => (head, BytesMut::new()),
            (Some(contents), None) => contents,
            _ => return Err(FrameError::Value),
        };
        // Memory grows with the bytes that arrive.
        body.extend_from_slice(&piece.data);
        let length = head.length as usize;
        if body.len() > length {
            return Err(FrameError::Value);
        }
        if body.len() < length {
            self.contents = Some((head, body));
            return Ok(());
        }
        sessions.report(OriginEvent::Contents(RestoredObject {
            name: head.name,
            persistent: head.persistent,
            body: body.freeze(),
        }));
        Ok(())
    }
}
