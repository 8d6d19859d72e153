//! Moves that are not made.

use std::fmt;

/// The reason for which a group was not moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveError {
    /// The origin has no link to one of this name; these it has.
    NoLink {
        to: String,
        linked: Vec<String>,
    },
    /// It is the name of this origin.
    SameOrigin,
    /// It may be at another origin.
    NotHere {
        at: Option<String>,
    },
    /// No edge that has clients of it has a link to this origin.
    NoEdge,
    HasData,
    /// Its application has its clients closed.
    Closes,
    IsMoving,
    TooManyEdges,
    /// Another edge has come to the group while the other origin was asked.
    Changed,
    /// The other origin does not take it.
    Refused {
        by: String,
        why: String,
    },
    NoAnswer {
        by: String,
    },
    /// The group has stopped here, and the other origin has not said that it goes on.
    NotArrived {
        at: String,
    },
}

impl MoveError {
    /// How the operator may go on.
    pub fn remedy(&self) -> String {
        match self {
            Self::NoLink { linked, .. } if linked.is_empty() => {
                "name the other origins in cluster.origins, and see that they run".into()
            }
            Self::NoLink { linked, .. } => format!("name one of {}", linked.join(", ")),
            Self::SameOrigin => "name another origin with --to".into(),
            Self::NotHere { at: Some(at) } => format!("ask {at}, which has it"),
            Self::NotHere { at: None } => {
                "ask the origin that has it: `tributary cluster status` says which".into()
            }
            Self::NoEdge => "wait until the link of one of its edges is back".into(),
            Self::HasData => {
                "restart its origin in place: its clients go on when it is back".into()
            }
            Self::Closes => "wait until its clients have gone".into(),
            Self::IsMoving => "wait until it has moved".into(),
            Self::TooManyEdges => "move it while fewer edges have sessions of it".into(),
            Self::Changed => "try again".into(),
            Self::Refused { .. } => "remove the reason, or name another origin".into(),
            Self::NoAnswer { .. } => "see the log of that origin, and try again".into(),
            Self::NotArrived { .. } => {
                "see the log of that origin; its edges bring the sessions there as soon as they can"
                    .into()
            }
        }
    }
}

impl fmt::Display for MoveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLink { to, .. } => write!(f, "this origin has no link to an origin {to:?}"),
            Self::SameOrigin => f.write_str("it is at this origin already"),
            Self::NotHere { .. } => f.write_str("it has no clients at this origin"),
            Self::NoEdge => {
                f.write_str("none of the edges that have its clients has a link to this origin")
            }
            Self::HasData => f.write_str(
                "it has stored data at this origin, which does not move without a registry",
            ),
            Self::Closes => f.write_str(
                "its application has its clients closed (applications.NAME.restore = \"close\")",
            ),
            Self::IsMoving => f.write_str("it is about to move, or its origin to stop"),
            Self::TooManyEdges => f.write_str("too many edges have sessions of it"),
            Self::Changed => f.write_str("clients of another edge have come to it meanwhile"),
            Self::Refused { by, why } => write!(f, "{by} does not take it: {why}"),
            Self::NoAnswer { by } => write!(f, "{by} does not answer"),
            Self::NotArrived { at } => write!(
                f,
                "it has stopped here, and {at} has not said that it goes on there"
            ),
        }
    }
}

impl std::error::Error for MoveError {}
