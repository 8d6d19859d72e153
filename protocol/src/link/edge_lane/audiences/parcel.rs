//! The audiences of a lane in a parcel.

use super::{EdgeAudiences, MAX_AUDIENCES, Partial};
use crate::{
    link::{
        AudienceEvent, AudienceId,
        lane_frame::{AudienceFrame, AudiencePiece, ToEdge},
        parcel_frame::{frame_of_parcel, to_edge},
    },
    parcel::{Carried, ParcelError, ParcelReader, ParcelWriter},
};

const KNOWN: u16 = 1;
const PARTIAL: u16 = 2;
const CHANGE: u16 = 3;

/// The message under way and the changes since are written as frames of the link, and taken in again.
impl Carried for EdgeAudiences {
    const NAME: &'static str = "the lane's audiences";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        let mut known: Vec<_> = self.known.iter().collect();
        known.sort_unstable();
        for audience in known {
            parcel.number(KNOWN, audience.0);
        }
        if let Some(partial) = &self.partial {
            let audience = partial.audience;
            parcel.bytes(PARTIAL, &to_edge(&partial.to_frame()));
            for frame in partial.changes.iter().filter_map(change) {
                parcel.bytes(CHANGE, &to_edge(&ToEdge::Audience { audience, frame }));
            }
        }
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let mut audiences = Self::default();
        let mut last = None;
        while let Some(audience) = parcel.number_if(KNOWN)?.map(AudienceId) {
            parcel.fits(audiences.known.len() < MAX_AUDIENCES, "audiences")?;
            parcel.require(Some(audience) > last, KNOWN)?;
            last = Some(audience);
            audiences.known.insert(audience);
        }
        if let Some(bytes) = parcel.bytes_if(PARTIAL)? {
            parcel.require(audiences.take(bytes).is_some(), PARTIAL)?;
            while let Some(bytes) = parcel.bytes_if(CHANGE)? {
                parcel.require(audiences.take_change(bytes).is_some(), CHANGE)?;
            }
        }
        Ok(audiences)
    }
}

impl EdgeAudiences {
    /// Takes in the frame of a field; some if it has no event yet.
    fn take(&mut self, bytes: &[u8]) -> Option<()> {
        let ToEdge::Audience { audience, frame } = ToEdge::decode(&frame_of_parcel(bytes)?).ok()?
        else {
            return None;
        };
        let mut happened = Vec::new();
        self.handle(audience, frame, &mut happened).ok()?;
        happened.is_empty().then_some(())
    }

    /// As [`Self::take`], for a frame that leaves the message as it is.
    fn take_change(&mut self, bytes: &[u8]) -> Option<()> {
        let length = |it: &Self| it.partial.as_ref().map(|partial| partial.body.len());
        let before = length(self);
        self.take(bytes)?;
        (length(self) == before).then_some(())
    }
}

impl Partial {
    fn to_frame(&self) -> ToEdge {
        let piece = AudiencePiece {
            head: Some(self.head),
            data: self.body.clone().freeze(),
        };
        ToEdge::Audience {
            audience: self.audience,
            frame: AudienceFrame::Send(piece),
        }
    }
}

/// The frame of a change in the middle of a message.
fn change(event: &AudienceEvent) -> Option<AudienceFrame> {
    match *event {
        AudienceEvent::Joined {
            session,
            flags,
            aside,
        } => Some(AudienceFrame::Join {
            session,
            flags,
            aside,
        }),
        AudienceEvent::Left { session } => Some(AudienceFrame::Leave { session }),
        _ => None,
    }
}
