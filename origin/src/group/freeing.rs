//! A command to free a name, while the application answers it.

use tributary_protocol::command::NetStreamCommand;

use super::name::StreamName;
use crate::session::SessionKey;

/// A client that asks the application to free a name: releaseStream, FCPublish, FCUnpublish.
#[derive(Debug)]
pub(super) struct Freeing {
    pub(super) client: SessionKey,
    /// The query of the name that it gave.
    pub(super) query: String,
}

impl Freeing {
    /// `None` if the command is another.
    pub(super) fn of(client: SessionKey, command: &NetStreamCommand) -> Option<Self> {
        let (NetStreamCommand::ReleaseStream { name }
        | NetStreamCommand::FcPublish { name }
        | NetStreamCommand::FcUnpublish { name }) = command
        else {
            return None;
        };
        let query = StreamName::parse(name).map_or("", |name| name.query);
        Some(Self {
            client,
            query: query.to_owned(),
        })
    }
}
