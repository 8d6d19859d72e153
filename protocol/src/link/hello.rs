//! The control stream: identity of the two ends, their load, and the placement of groups.

use bytes::BufMut;

use super::{
    FrameError, MoveFrame,
    frame::{self, put_str, take_str, take_u8, take_varint_u32},
    names::{put_groups, take_groups},
    varint,
};
use crate::GroupName;

pub use super::names::MAX_NAME;

/// The version of the link that this code implements.
pub const VERSION: u64 = 1;

/// The ALPN protocol name of a link.
pub const ALPN: &[u8] = b"tributary/1";

/// The first frame in both directions of a link's control stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The name on the sender's certificate; the receiver compares the two.
    pub node: String,
    /// Drawn at random at the start of the sender's process: another number is another process.
    pub epoch: u64,
    /// Rises with each dial of the same process. Only a higher one fences an older link.
    pub incarnation: u64,
    /// The number of this connection among those of the link, from 0.
    pub connection: u32,
    /// Bits of optional behaviour ([`features`](super::features)); unknown bits are ignored.
    pub features: u64,
    /// The location of the node, for routing by locality; may be empty.
    pub zone: String,
    /// The number of sessions that the node is sized for; 0 is no statement.
    pub capacity: u64,
    /// From an edge: the origin's name in the edge's configuration. From an origin: empty.
    pub known_as: String,
    /// From an origin: the time for which it keeps sessions of a lost link, in milliseconds. From
    /// an edge: 0.
    pub grace_ms: u32,
}

/// One frame of a control stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Control {
    /// The first frame, once.
    Hello(Hello),
    /// The sender's load, once a second.
    Heartbeat { sessions: u64, groups: u64 },
    /// Asks for a Pong: the receiver's control loop answers it.
    Ping(u64),
    /// Answers a ping with its number.
    Pong(u64),
    /// The sender is about to stop: the receiver opens nothing new on this link.
    GoAway {
        /// The time until the sender is gone, in milliseconds.
        within_ms: u32,
    },
    /// Groups that live at this origin away from their home. A list beyond the limit of one frame
    /// is sent in several.
    Displaced {
        /// Whether the first whole list is complete with this frame.
        complete: bool,
        /// Groups that have come to live here.
        added: Vec<GroupName>,
        /// Groups that no longer live here.
        removed: Vec<GroupName>,
    },
    /// From an edge that has lost its link to another origin: groups of the edge that live there.
    Living {
        /// The other origin, by its name in the edges' configurations.
        origin: String,
        /// Whether this edge's list is complete with this frame.
        complete: bool,
        /// Groups with sessions of this edge at that origin.
        groups: Vec<GroupName>,
    },
    /// From an edge: its outage of that origin is over.
    LivingEnd {
        origin: String,
        /// Whether the groups live on at that origin; otherwise the edge has given them up.
        resumed: bool,
    },
    /// From an edge: these groups live at another origin, their home, which is reachable. The
    /// receiver closes copies of them that started here during the outage.
    AtHome {
        /// The home, by its name in the edges' configurations.
        origin: String,
        groups: Vec<GroupName>,
    },
    /// Groups with stored data at this origin, their home: edges start them nowhere else.
    Kept {
        /// Whether the frame replaces the lists of all links before it.
        anew: bool,
        groups: Vec<GroupName>,
    },
    /// Between origins: a step of the move of a group.
    Move(MoveFrame),
    /// A frame of a later version, which is ignored.
    Unknown(u64),
}

const HELLO: u64 = 0x01;
const HEARTBEAT: u64 = 0x02;
const PING: u64 = 0x03;
const PONG: u64 = 0x04;
const GO_AWAY: u64 = 0x05;
const DISPLACED: u64 = 0x06;
const LIVING: u64 = 0x07;
const LIVING_END: u64 = 0x08;
const AT_HOME: u64 = 0x09;
const KEPT: u64 = 0x0a;

/// The most groups that one frame with a list names. Reason: the frame must keep
/// [`frame::MAX_BODY`].
pub const GROUPS_PER_FRAME: usize = 24;

impl Control {
    /// Appends the frame.
    pub fn encode(&self, out: &mut impl BufMut) {
        let mut body = Vec::new();
        let kind = self.encode_body(&mut body);
        frame::encode(kind, &body, out);
    }

    fn encode_body(&self, body: &mut Vec<u8>) -> u64 {
        match self {
            Self::Hello(hello) => {
                hello.encode(body);
                HELLO
            }
            Self::Heartbeat { sessions, groups } => {
                varint::encode(*sessions, body);
                varint::encode(*groups, body);
                HEARTBEAT
            }
            Self::Ping(number) => {
                varint::encode(*number, body);
                PING
            }
            Self::Pong(number) => {
                varint::encode(*number, body);
                PONG
            }
            Self::GoAway { within_ms } => {
                varint::encode(u64::from(*within_ms), body);
                GO_AWAY
            }
            Self::Displaced {
                complete,
                added,
                removed,
            } => {
                body.put_u8(u8::from(*complete));
                put_groups(added, body);
                put_groups(removed, body);
                DISPLACED
            }
            Self::Living {
                origin,
                complete,
                groups,
            } => {
                put_str(origin, body);
                body.put_u8(u8::from(*complete));
                put_groups(groups, body);
                LIVING
            }
            Self::LivingEnd { origin, resumed } => {
                put_str(origin, body);
                body.put_u8(u8::from(*resumed));
                LIVING_END
            }
            Self::AtHome { origin, groups } => {
                put_str(origin, body);
                put_groups(groups, body);
                AT_HOME
            }
            Self::Kept { anew, groups } => {
                body.put_u8(u8::from(*anew));
                put_groups(groups, body);
                KEPT
            }
            Self::Move(frame) => frame.encode_body(body),
            Self::Unknown(kind) => *kind,
        }
    }

    /// Reads a frame of a control stream.
    pub fn decode(frame: &frame::Frame) -> Result<Self, FrameError> {
        let mut input = &*frame.body;
        let input = &mut input;
        Ok(match frame.kind {
            HELLO => Self::Hello(Hello::decode(input)?),
            HEARTBEAT => Self::Heartbeat {
                sessions: varint::decode(input)?,
                groups: varint::decode(input)?,
            },
            PING => Self::Ping(varint::decode(input)?),
            PONG => Self::Pong(varint::decode(input)?),
            GO_AWAY => Self::GoAway {
                within_ms: take_varint_u32(input)?,
            },
            DISPLACED => Self::Displaced {
                complete: take_u8(input)? != 0,
                added: take_groups(input)?,
                removed: take_groups(input)?,
            },
            LIVING => Self::Living {
                origin: take_str(input, MAX_NAME)?.to_owned(),
                complete: take_u8(input)? != 0,
                groups: take_groups(input)?,
            },
            LIVING_END => Self::LivingEnd {
                origin: take_str(input, MAX_NAME)?.to_owned(),
                resumed: take_u8(input)? != 0,
            },
            AT_HOME => Self::AtHome {
                origin: take_str(input, MAX_NAME)?.to_owned(),
                groups: take_groups(input)?,
            },
            KEPT => Self::Kept {
                anew: take_u8(input)? != 0,
                groups: take_groups(input)?,
            },
            kind if MoveFrame::is_of(kind) => Self::Move(MoveFrame::decode(frame)?),
            kind => Self::Unknown(kind),
        })
    }
}

impl Hello {
    fn encode(&self, out: &mut impl BufMut) {
        varint::encode(VERSION, out);
        put_str(&self.node, out);
        out.put_u64(self.epoch);
        varint::encode(self.incarnation, out);
        varint::encode(u64::from(self.connection), out);
        varint::encode(self.features, out);
        put_str(&self.zone, out);
        varint::encode(self.capacity, out);
        put_str(&self.known_as, out);
        varint::encode(u64::from(self.grace_ms), out);
    }

    fn decode(input: &mut &[u8]) -> Result<Self, FrameError> {
        let version = varint::decode(input)?;
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let node = take_str(input, MAX_NAME)?.to_owned();
        let epoch = frame::take(input, 8)?;
        let epoch = u64::from_be_bytes(epoch.try_into().map_err(|_| FrameError::Truncated)?);
        Ok(Self {
            node,
            epoch,
            incarnation: varint::decode(input)?,
            connection: take_varint_u32(input)?,
            features: varint::decode(input)?,
            zone: take_str(input, MAX_NAME)?.to_owned(),
            capacity: varint::decode(input)?,
            known_as: take_str(input, MAX_NAME)?.to_owned(),
            grace_ms: take_varint_u32(input)?,
        })
    }
}
