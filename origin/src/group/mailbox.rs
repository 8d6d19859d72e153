//! The items of a group's mailbox.

use tributary_protocol::shared_object::authority::Ticket;

use crate::{
    app::{ConnectionId, Event, ObjectId, StreamId, StreamStatus},
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
    /// From a [`Poster`](crate::app::Poster).
    Event(Event),
    /// From a connection of the application.
    Connection(ConnectionId, Told),
    /// A write of a shared object, and all of it before, is stored, or could not be.
    Stored(ObjectId, Ticket, bool),
    /// The application is to be started anew.
    Restart,
    /// Something happened to a stream of the application.
    Stream(StreamId, StreamStatus),
    Shutdown,
}

/// What a group's mailbox holds at most, in bytes. Reason: the credit of its lanes bounds what
/// sessions have under way; a group that is this far behind closes those that still send.
pub(super) const MAILBOX: usize = 64 * 1024 * 1024;
