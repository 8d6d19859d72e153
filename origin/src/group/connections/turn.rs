//! Reports of connections, handed to the application.

use tributary_protocol::{amf::Value, command::Status};

use super::OutRole;
use crate::{
    app::{Answer, ConnectionCall, ConnectionId},
    group::{answer, turn::Turn},
    outgoing::{Happening, Told},
};

impl Turn<'_> {
    /// Handles a report of a connection.
    pub(in crate::group) fn connection(&mut self, id: ConnectionId, told: Told) {
        if self.core.connections.get(id).is_some() {
            self.told(id, told.what);
        }
        self.settle();
    }

    fn told(&mut self, id: ConnectionId, what: Happening) {
        match what {
            Happening::Connected(info) => {
                if let Some(connection) = self.core.connections.table.get_mut(&id) {
                    connection.is_connected = connection.outgoing.is_some();
                }
                self.ask(|app, context| app.connection_status(context, id, &info));
            }
            Happening::Status(info) => {
                self.ask(|app, context| app.connection_status(context, id, &info));
            }
            Happening::Closed(info) => {
                self.core.close_connection(id);
                let over = self.core.connections.table.remove(&id);
                for token in over.into_iter().flat_map(|over| over.calls) {
                    let failed = Err(Status::CallFailed.info(None, None).into());
                    self.ask(|app, context| app.connection_answered(context, id, token, failed));
                }
                self.ask(|app, context| app.connection_status(context, id, &info));
            }
            Happening::Answered { token, answer } => {
                if let Some(connection) = self.core.connections.table.get_mut(&id) {
                    connection.calls.retain(|open| *open != token);
                }
                self.ask(|app, context| app.connection_answered(context, id, token, answer));
            }
            Happening::Called {
                name,
                transaction,
                arguments,
            } => {
                let call = ConnectionCall {
                    name,
                    transaction,
                    arguments,
                };
                self.called(id, &call);
            }
            Happening::StreamStatus { stream, info } => {
                let role = self.core.connections.streams.get(&stream);
                match role.map(|found| &found.role) {
                    Some(&OutRole::Source(own)) => {
                        let mut publishers = self.core.publish_acts();
                        let air = publishers.source_acts().remote_status(own, stream, &info);
                        publishers.follow(own, air);
                    }
                    Some(OutRole::Publisher { .. }) => {
                        self.ask(|app, context| app.net_stream_status(context, stream, &info));
                    }
                    None => {}
                }
            }
            // Only pushes are finished.
            Happening::Finished { .. } => {}
            Happening::Object(message) => self.remote_object(id, message),
            Happening::Media { stream, live } => {
                let role = self.core.connections.streams.get(&stream);
                if let Some(&OutRole::Source(own)) = role.map(|found| &found.role) {
                    let mut publishers = self.core.publish_acts();
                    publishers.source_acts().remote_media(own, stream, live);
                }
            }
        }
    }

    fn called(&mut self, id: ConnectionId, call: &ConnectionCall) {
        let answer = self.ask(|app, context| app.connection_call(context, id, call));
        let answer = match answer {
            Answer::Result(value) => Ok(value),
            Answer::Error(value) => Err(value),
            Answer::Unknown => Err(Value::Object(answer::call_failed(&call.name))),
            Answer::Deferred => return,
        };
        self.core.connections.respond(id, call.transaction, answer);
    }
}
