//! The items of a group's mailbox.

use tokio::sync::oneshot;
use tributary_protocol::shared_object::authority::Ticket;

use super::{hand_over::HandOver, pull_id::PullId};
use crate::{
    app::{ConnectionId, Event, ObjectId, StreamId, StreamStatus},
    exchange::pull::PullReport,
    outgoing::Told,
    session::{Mail, SessionKey},
};

/// An item of a group's mailbox.
pub(super) enum Item {
    Mail(Mail),
    /// The session's messages no longer fit the mailbox.
    Overflow(SessionKey),
    /// The last handle is gone.
    Released,
    /// The event of a [`Poster`](crate::app::Poster).
    Event(Event),
    /// The report of a connection of the application.
    Connection(ConnectionId, Told),
    /// The report of a pull's run with this number.
    Pulled(PullId, u64, PullReport),
    /// The application is to be started, and the token to be kept as long as it runs.
    Keep(KeepToken),
    /// A write of a shared object, and all writes of it before, are stored, or could not be.
    Stored(ObjectId, Ticket, bool),
    /// The settings have other pushes or pulls.
    RelaysChanged,
    /// The application is to be started anew.
    Restart,
    /// The status of a stream of the application.
    Stream(StreamId, StreamStatus),
    /// The group is to end at once if it is idle.
    EndIfIdle,
    /// Asks whether the application expects to go on elsewhere.
    MayHandOver(oneshot::Sender<bool>),
    /// The group stops here and goes on elsewhere.
    HandOver(Box<HandOver>),
    Shutdown,
}

/// Lives as long as an application that is kept; its drop notifies the keeper.
pub(super) type KeepToken = oneshot::Sender<()>;

/// The most bytes of a group's mailbox. Reason: the credit of its lanes bounds the messages that
/// sessions have under way; a group that is this far behind closes the sessions that still send.
pub(super) const MAILBOX: usize = 64 * 1024 * 1024;
