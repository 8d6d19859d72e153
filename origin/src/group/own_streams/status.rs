//! Statuses of streams of the application, on their way to it.

use tributary_protocol::command::Status;

use crate::{
    app::{StreamId, StreamStatus},
    group::{mailbox::Item, room::Room},
};

impl Room {
    /// Queues a status of a stream for the application, by the mailbox. So it never comes in the
    /// middle of a call, and statuses that cause each other leave turns to other groups.
    pub(in crate::group) fn own_status(
        &self,
        id: StreamId,
        status: Status,
        description: &str,
        details: &str,
    ) {
        let status = StreamStatus {
            status,
            description: description.to_owned(),
            details: details.to_owned(),
        };
        let weight = STATUS_WEIGHT + status.description.len() + status.details.len();
        let _ = self.mailbox.push(Item::Stream(id, status), weight);
    }
}

/// The weight of a status in the group's mailbox beyond its text.
const STATUS_WEIGHT: usize = 256;
