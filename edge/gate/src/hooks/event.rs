//! The events of which hooks are told.

use std::net::IpAddr;

use crate::{access::Transport, refusal::Action};

/// The session that an event belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Caller<'a> {
    /// `app` of the connect, as the client wrote it, without its query.
    pub app: &'a str,
    /// The query of `app`.
    pub query: &'a str,
    /// `flashVer` of the connect.
    pub flash_ver: &'a str,
    /// `swfUrl` of the connect.
    pub swf_url: &'a str,
    /// `tcUrl` of the connect.
    pub tc_url: &'a str,
    /// `pageUrl` of the connect.
    pub page_url: &'a str,
    /// The client's address; `None` if it is unknown.
    pub address: Option<IpAddr>,
    pub transport: Transport,
    /// The name of the host that the client asked for, where one is known.
    pub virtual_host: Option<&'a str>,
    /// The number of the session, which no other session of the edge has.
    pub session: u64,
    /// The milliseconds of the edge's clock at the connection's begin, cut to 32 bits.
    pub epoch: u32,
    /// The edge's name.
    pub edge: &'a str,
    /// A text that each process of the edge has for itself.
    pub process: &'a str,
    /// The user who has proved to be one.
    pub user: Option<&'a str>,
}

/// An event. A name is without its query.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum HookEvent<'a> {
    /// A client connects.
    Connect,
    /// A session ends whose connect was allowed.
    Disconnect {
        /// Bytes to the client.
        sent: u64,
        /// Bytes from the client.
        received: u64,
        /// The reason of the end; may be empty.
        reason: &'a str,
    },
    /// A client publishes.
    Publish {
        stream: Told<'a>,
        /// The type: `live`, `record` or `append`.
        kind: &'a str,
    },
    /// A client plays; `start` and `duration` as in its command.
    Play {
        stream: Told<'a>,
        start: f64,
        duration: f64,
        reset: bool,
    },
    /// An allowed publish or play has ended.
    Done {
        action: Action,
        stream: Told<'a>,
        /// The reason of the end; may be empty.
        reason: &'a str,
    },
    /// The same, for the hook that both share.
    AnyDone {
        stream: Told<'a>,
        /// The reason of the end; may be empty.
        reason: &'a str,
    },
    /// A client goes on publishing or playing.
    Update {
        action: Action,
        stream: Told<'a>,
        /// Seconds since it began.
        time: u64,
        /// Milliseconds of the stream.
        timestamp: u32,
    },
}

/// A stream, as its client named it: also after a rename, so that a service knows it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told<'a> {
    pub name: &'a str,
    /// The query of the name, which may be empty.
    pub query: &'a str,
}

impl<'a> HookEvent<'a> {
    /// The stream of the event.
    pub(super) fn stream(&self) -> Option<Told<'a>> {
        match *self {
            Self::Connect | Self::Disconnect { .. } => None,
            Self::Publish { stream, .. }
            | Self::Play { stream, .. }
            | Self::Done { stream, .. }
            | Self::AnyDone { stream, .. }
            | Self::Update { stream, .. } => Some(stream),
        }
    }

    /// The setting that has the URLs of the event's hook, such as `on_publish`.
    pub fn hook(&self) -> &'static str {
        match self {
            Self::Connect => "on_connect",
            Self::Disconnect { .. } => "on_disconnect",
            Self::Publish { .. } => "on_publish",
            Self::Play { .. } => "on_play",
            Self::Done { action, .. } if *action == Action::Publish => "on_publish_done",
            Self::Done { .. } => "on_play_done",
            Self::AnyDone { .. } => "on_done",
            Self::Update { .. } => "on_update",
        }
    }

    /// The name of the event, as nginx-rtmp and Tributary's own style have it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Disconnect { .. } => "disconnect",
            Self::Publish { .. } => "publish",
            Self::Play { .. } => "play",
            Self::Done { action, .. } if *action == Action::Publish => "publish_done",
            Self::Done { .. } => "play_done",
            Self::AnyDone { .. } => "done",
            Self::Update { action, .. } if *action == Action::Publish => "update_publish",
            Self::Update { .. } => "update_play",
        }
    }

    /// The reason of an end; empty for another event.
    pub(super) fn reason(&self) -> &'a str {
        match *self {
            Self::Disconnect { reason, .. }
            | Self::Done { reason, .. }
            | Self::AnyDone { reason, .. } => reason,
            _ => "",
        }
    }
}
