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
    /// The event of a [`Poster`](crate::app::Poster).
    Event(Event),
    /// The report of a connection of the application.
    Connection(ConnectionId, Told),
    /// A write of a shared object, and all writes of it before, are stored, or could not be.
    Stored(ObjectId, Ticket, bool),
    /// The application is to be started anew.
    Restart,
    /// The status of a stream of the application.
    Stream(StreamId, StreamStatus),
    Shutdown,
}

/// The most bytes of a group's mailbox. Reason: the credit of its lanes bounds the messages that
/// sessions have under way; a group that is this far behind closes the sessions that still send.
pub(super) const MAILBOX: usize = 64 * 1024 * 1024;
