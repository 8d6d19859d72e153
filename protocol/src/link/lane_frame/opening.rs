//! The opening of a lane's stream.

use bytes::BufMut;

use super::{LANE_ANSWER, OPEN_LANE};
use crate::{
    GroupName, LaneId,
    link::{
        FrameError,
        frame::{self, Frame, put_str, take_str, take_u8},
        names::{MAX_NAME, take_group},
        varint,
    },
};

/// The first frame of a lane's stream, from the edge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenLane {
    pub lane: LaneId,
    pub group: GroupName,
    /// The name of the group's home in the edges' configurations.
    pub home: String,
    /// Numbered frames of this lane received from the origin so far; `None` opens a new lane.
    pub resume: Option<u64>,
    /// Opens the lane only if the group lives there already; otherwise the answer is
    /// [`LaneAnswer::Unknown`].
    pub only_if_living: bool,
    /// Resumes the lane if the origin has it, and otherwise restores it under its number.
    pub restore: bool,
}

/// The origin's answer to [`OpenLane`], the first frame in the other direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LaneAnswer {
    /// The lane is open.
    Open {
        /// The count of numbered frames received from the edge.
        received: u64,
    },
    /// The lane to resume does not exist: its sessions are over.
    Unknown,
    /// The group may still live at another origin: the edge asks again later.
    Wait {
        /// The time until then, in milliseconds.
        retry_ms: u32,
    },
    /// The origin opens no more lanes for this edge, or is about to stop.
    Refused,
    /// The lane is open and begins anew: the edge restores it.
    Restore,
}

impl OpenLane {
    /// Appends the frame.
    pub fn encode(&self, out: &mut impl BufMut) {
        let mut body = Vec::new();
        varint::encode(self.lane.0, &mut body);
        put_str(&self.group.to_string(), &mut body);
        put_str(&self.home, &mut body);
        body.put_u8(match self.resume {
            _ if self.restore => 3,
            None if self.only_if_living => 2,
            resume => u8::from(resume.is_some()),
        });
        varint::encode(self.resume.unwrap_or(0), &mut body);
        frame::encode(OPEN_LANE, &body, out);
    }

    /// Reads the frame.
    pub fn decode(frame: &Frame) -> Result<Self, FrameError> {
        if frame.kind != OPEN_LANE {
            return Err(FrameError::Unexpected(frame.kind));
        }
        let input = &mut &*frame.body;
        let lane = LaneId(varint::decode(input)?);
        let group = take_group(input)?;
        let home = take_str(input, MAX_NAME)?.to_owned();
        let how = take_u8(input)?;
        let received = varint::decode(input)?;
        Ok(Self {
            lane,
            group,
            home,
            resume: matches!(how, 1 | 3).then_some(received),
            only_if_living: how == 2,
            restore: match how {
                0..=2 => false,
                3 => true,
                _ => return Err(FrameError::Value),
            },
        })
    }
}

impl LaneAnswer {
    /// Appends the frame.
    pub fn encode(self, out: &mut impl BufMut) {
        let mut body = Vec::new();
        let (code, value) = match self {
            Self::Open { received } => (0, received),
            Self::Unknown => (1, 0),
            Self::Wait { retry_ms } => (2, u64::from(retry_ms)),
            Self::Refused => (3, 0),
            Self::Restore => (5, 0),
        };
        body.put_u8(code);
        varint::encode(value, &mut body);
        frame::encode(LANE_ANSWER, &body, out);
    }

    /// Reads the frame.
    pub fn decode(frame: &Frame) -> Result<Self, FrameError> {
        if frame.kind != LANE_ANSWER {
            return Err(FrameError::Unexpected(frame.kind));
        }
        let input = &mut &*frame.body;
        let code = take_u8(input)?;
        let value = varint::decode(input)?;
        match code {
            0 => Ok(Self::Open { received: value }),
            1 => Ok(Self::Unknown),
            2 => Ok(Self::Wait {
                retry_ms: u32::try_from(value).map_err(|_| FrameError::Value)?,
            }),
            3 => Ok(Self::Refused),
            5 => Ok(Self::Restore),
            _ => Err(FrameError::Value),
        }
    }
}
