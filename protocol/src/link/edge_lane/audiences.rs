//! The audiences of a lane at its edge, and the message under way to one of them.

use std::collections::HashSet;

use bytes::BytesMut;

use super::AudienceEvent;
use crate::{
    chunk::MAX_MESSAGE_LENGTH,
    link::{
        AudienceId, FrameError, Recipients,
        lane_frame::{AudienceFrame, AudienceHead, AudiencePiece},
    },
};

mod parcel;

/// The most audiences of a lane. Reason: each costs an edge some hundred bytes; a group of ten
/// thousand clients that use twenty objects each stays below it.
pub const MAX_AUDIENCES: usize = 262_144;

/// The most joins and leaves in the middle of one message. Reason: an origin lets only members in
/// bulk join or leave then, and a lane has few of them.
const MAX_CHANGES: usize = 65_536;

/// The longest body of a message: with the first byte of type 16 it is the longest message of an
/// RTMP chunk stream.
const MAX_AUDIENCE_MESSAGE: usize = MAX_MESSAGE_LENGTH as usize - 1;

/// The audiences that a lane has, and the message under way.
#[derive(Debug, Default)]
pub(super) struct EdgeAudiences {
    known: HashSet<AudienceId>,
    /// The message under way; a lane carries one message to an audience at a time.
    partial: Option<Box<Partial>>,
}

#[derive(Debug)]
struct Partial {
    audience: AudienceId,
    head: AudienceHead,
    body: BytesMut,
    /// Joins and leaves since the first piece, whose members receive the message.
    changes: Vec<AudienceEvent>,
}

impl EdgeAudiences {
    /// Takes in a frame whose sessions have been checked; appends its events.
    pub(super) fn handle(
        &mut self,
        audience: AudienceId,
        frame: AudienceFrame,
        happened: &mut Vec<AudienceEvent>,
    ) -> Result<(), FrameError> {
        if let AudienceFrame::Send(piece) = frame {
            self.check(audience)?;
            return self.piece(audience, piece, happened);
        }
        let event = self.change(audience, frame)?;
        let Some(partial) = self.partial.as_mut().filter(|it| it.audience == audience) else {
            happened.extend(event);
            return Ok(());
        };
        let seats = matches!(
            event,
            Some(AudienceEvent::Joined { .. } | AudienceEvent::Left { .. })
        );
        if !seats || partial.changes.len() >= MAX_CHANGES {
            return Err(FrameError::Audience(audience.0));
        }
        partial.changes.extend(event);
        Ok(())
    }

    fn change(
        &mut self,
        audience: AudienceId,
        frame: AudienceFrame,
    ) -> Result<Option<AudienceEvent>, FrameError> {
        if let AudienceFrame::Begin { name, persistent } = frame {
            if self.known.len() >= MAX_AUDIENCES || !self.known.insert(audience) {
                return Err(FrameError::Audience(audience.0));
            }
            return Ok(Some(AudienceEvent::Begun { name, persistent }));
        }
        self.check(audience)?;
        Ok(Some(match frame {
            AudienceFrame::Join {
                session,
                flags,
                aside,
            } => AudienceEvent::Joined {
                session,
                flags,
                aside,
            },
            AudienceFrame::Leave { session } => AudienceEvent::Left { session },
            AudienceFrame::End => {
                self.known.remove(&audience);
                if self.known.is_empty() {
                    self.known = HashSet::new();
                }
                AudienceEvent::Ended
            }
            AudienceFrame::Begin { .. } | AudienceFrame::Send(_) => return Ok(None),
        }))
    }

    fn check(&self, audience: AudienceId) -> Result<(), FrameError> {
        let known = self.known.contains(&audience);
        known.then_some(()).ok_or(FrameError::Audience(audience.0))
    }

    /// Takes the next piece of a message; memory grows with the bytes that arrive.
    fn piece(
        &mut self,
        audience: AudienceId,
        piece: AudiencePiece,
        happened: &mut Vec<AudienceEvent>,
    ) -> Result<(), FrameError> {
        let mut partial = match (self.partial.take(), piece.head) {
            (None, Some(head)) if head.length as usize > MAX_AUDIENCE_MESSAGE => {
                return Err(FrameError::TooLong);
            }
            (None, Some(head)) => Box::new(Partial {
                audience,
                head,
                body: BytesMut::with_capacity(piece.data.len()),
                changes: Vec::new(),
            }),
            (Some(partial), None) if partial.audience == audience => partial,
            _ => return Err(FrameError::Audience(audience.0)),
        };
        partial.body.extend_from_slice(&piece.data);
        let length = partial.head.length as usize;
        if partial.body.len() > length {
            return Err(FrameError::Value);
        }
        if partial.body.len() < length {
            self.partial = Some(partial);
            return Ok(());
        }
        happened.push(AudienceEvent::Message {
            to: partial
                .head
                .all_but
                .map_or(Recipients::All, Recipients::AllBut),
            encoding: partial.head.encoding,
            body: partial.body.freeze(),
        });
        happened.extend(partial.changes);
        Ok(())
    }
}
