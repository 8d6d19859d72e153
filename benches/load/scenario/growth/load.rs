//! A load: sessions of groups, publishers, viewers, over some edges.

use std::fmt;

use crate::delivery::Delivery;

/// A load on one origin and its edges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Load {
    pub(super) edges: usize,
    /// Groups whose members rest or call.
    pub(super) groups: usize,
    /// Members of each group; they come through all edges in turn.
    pub(super) members: usize,
    pub(super) application: Application,
    /// Calls in a second of all members together.
    pub(super) calls: f64,
    /// Publishers, all at the first edge.
    pub(super) publishers: usize,
    pub(super) watch: Watch,
    /// Bits per second of each stream.
    pub(super) bitrate: u32,
    /// The usual 73 messages per second by those of these streams.
    pub(super) slowness: u32,
    pub(super) delivery: Delivery,
}

/// The application of the groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Application {
    Rust,
    Script,
}

/// The viewers of the streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watch {
    /// No viewer.
    Nothing,
    /// So many viewers of the first stream, at the first edge.
    First(usize),
    /// One viewer of each stream at each edge.
    Each,
}

impl Load {
    /// One edge without clients.
    pub(super) const IDLE: Self = Self {
        edges: 1,
        groups: 0,
        members: 0,
        application: Application::Rust,
        calls: 0.0,
        publishers: 0,
        watch: Watch::Nothing,
        bitrate: 64_000,
        slowness: 8,
        delivery: Delivery::Standard,
    };

    /// Sessions that are members of groups.
    pub(super) fn members(&self) -> usize {
        self.groups * self.members
    }

    /// Viewers at each edge, and the number of streams that they watch.
    pub(super) fn viewers(&self) -> (usize, usize) {
        match self.watch {
            Watch::Nothing => (0, 0),
            Watch::First(viewers) => (viewers, 1),
            Watch::Each => (self.publishers, self.publishers),
        }
    }

    /// The application of the streams.
    pub(super) fn live_application(&self) -> &'static str {
        match self.delivery {
            Delivery::Standard => "live",
            other => other.name(),
        }
    }

    /// The edges that viewers come to.
    pub(super) fn watching_edges(&self) -> usize {
        match self.watch {
            Watch::Nothing => 0,
            Watch::First(_) => 1,
            Watch::Each => self.edges,
        }
    }

    /// Groups times the edges with sessions of theirs.
    pub(super) fn lanes(&self) -> usize {
        let live = match self.publishers {
            0 => 0,
            _ => self.watching_edges().max(1),
        };
        self.groups * self.members.min(self.edges) + live
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} edges", self.edges)?;
        if self.groups > 0 {
            let kind = match self.application {
                Application::Rust => "Rust",
                Application::Script => "script",
            };
            write!(f, ", {} {kind} groups of {}", self.groups, self.members)?;
        }
        if self.calls > 0.0 {
            write!(f, ", {} calls/s", self.calls)?;
        }
        if self.publishers > 0 {
            let kbit = self.bitrate / 1000;
            write!(f, ", {} streams of {kbit} kbit/s", self.publishers)?;
            write!(f, " at 1/{} of the messages", self.slowness)?;
        }
        match self.watch {
            Watch::Nothing => Ok(()),
            Watch::First(viewers) => write!(f, ", {viewers} viewers"),
            Watch::Each => write!(f, ", a viewer of each at each edge"),
        }?;
        match self.delivery {
            Delivery::Standard => Ok(()),
            other => write!(f, ", {}", other.name()),
        }
    }
}

/// The applications besides `live` that the streams have.
pub(super) const DELIVERIES: &str = r#"
[applications.interactive]
builtin = "live"
delivery = "interactive"

[applications.broadcast]
builtin = "live"
delivery = "broadcast"
"#;
