//! News of remote shared objects, handed to the application.

use tributary_protocol::shared_object::{SharedObjectMessage, replica::News};

use crate::{
    app::{ConnectionId, Level},
    group::turn::Turn,
};

impl Turn<'_> {
    /// Handles a message of the other side about an object.
    pub(in crate::group) fn remote_object(
        &mut self,
        connection: ConnectionId,
        message: SharedObjectMessage,
    ) {
        let objects = &mut self.core.remote_objects;
        let Some(id) = objects.find(connection, &message.name) else {
            return;
        };
        let Some(open) = objects.table.get_mut(&id) else {
            return;
        };
        let news = open.replica.handle(message);
        if news.contains(&News::TooLarge) {
            let name = open.replica.name();
            let text = format!("the remote shared object {name:?} is too large and was let go");
            tracing::warn!(group = %self.core.room.name, "{text}");
            self.core.room.log(Level::Warning, &text);
            self.core.remote_object_acts().close(id);
        }
        if !news.is_empty() {
            self.ask(|app, context| app.remote_object_news(context, id, &news));
        }
    }
}
