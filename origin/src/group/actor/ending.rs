//! The end of a group's sessions, of its application, and of the group.

use std::time::Duration;

use tributary_protocol::link::CloseReason;

use super::{Actor, Item, refuse_mail};
use crate::{app::StopReason, group::open_refused::OpenRefused};

/// How long a shutdown waits for the store to write, before the application stops.
const SYNC: Duration = Duration::from_secs(2);

impl Actor {
    pub(super) fn end_application(&mut self) {
        self.end_sessions();
        self.stop_application();
    }

    pub(super) fn end_sessions(&mut self) {
        self.core.end_all(CloseReason::Shutdown);
        self.turn(|turn| turn.settle());
        self.core.object_acts().commit_all();
    }

    pub(super) fn stop_application(&mut self) {
        self.turn(|turn| turn.stop(StopReason::Shutdown));
        let counted = self.drop_app();
        self.core.reset(CloseReason::Shutdown);
        // The count ends here: the writes of its objects are queued by now.
        drop(counted);
    }

    pub(super) async fn shut_down(&mut self) {
        self.end_sessions();
        self.wait_for_store().await;
        self.end_arrival();
        self.take_last_items();
        self.stop_application();
        self.end_for_good();
    }

    /// Waits until the writes of shared objects that are queued are on disk.
    pub(super) async fn wait_for_store(&mut self) {
        let store = self.core.room.process.settings.store.as_ref();
        if let Some(store) = store.filter(|_| self.core.objects.are_dirty()) {
            let synced = tokio::time::timeout(SYNC, store.synced()).await;
            if synced.is_err() {
                tracing::error!(group = %self.core.room.name, "shared objects are not stored yet");
            }
        }
    }

    pub(super) fn end_for_good(&mut self) {
        self.core.room.mailbox.close();
        self.take_last_items();
        self.home.remove(&self.core.room.name);
    }

    /// Takes the rest of the mailbox of a group that ends: answers of the store count, opens are
    /// refused.
    pub(super) fn take_last_items(&mut self) {
        while let Some(item) = self.inbox.try_next() {
            self.last_item(item);
        }
    }

    /// Takes an item of a group that ends.
    pub(super) fn last_item(&mut self, item: Item) {
        match item {
            Item::Mail(mail) => refuse_mail(&self.core, mail, OpenRefused::Shutdown),
            Item::Stored(object, ticket, stored) => {
                self.core.object_acts().stored(object, ticket, stored);
            }
            _ => {}
        }
    }
}
