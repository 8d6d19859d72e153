//! The script's objects for its clients.

use std::collections::HashMap;

use tributary_origin::app::ClientId;

use super::kept::Kept;

/// The ways in which clients come from another instance, in `client.restored` and `info.how`.
pub(crate) const CRASHED: &str = "crashed";
pub(crate) const HANDED_OVER: &str = "handover";

/// The `Client` objects of a group, pending and accepted.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    known: HashMap<ClientId, Kept>,
    /// Clients without a decision.
    pending: Vec<ClientId>,
    /// `application`.
    application: Option<Kept>,
    /// `application.clients`.
    list: Option<Kept>,
    /// How clients of another instance have come to this one.
    pub(crate) restored: &'static str,
    pub(crate) accepted: u64,
    pub(crate) rejected: u64,
    pub(crate) left: u64,
}

impl Clients {
    /// Notes a client that asks to connect.
    pub(crate) fn add(&mut self, client: ClientId, object: Kept) {
        self.pending.push(client);
        self.known.insert(client, object);
    }

    pub(crate) fn get(&self, client: ClientId) -> Option<&Kept> {
        self.known.get(&client)
    }

    pub(crate) fn remove(&mut self, client: ClientId) -> Option<Kept> {
        self.pending.retain(|pending| *pending != client);
        self.known.remove(&client)
    }

    /// Notes a decision; `false` if there was one.
    pub(crate) fn decided(&mut self, client: ClientId) -> bool {
        let before = self.pending.len();
        self.pending.retain(|pending| *pending != client);
        self.pending.len() < before
    }

    /// Whether a client is without a decision.
    pub(crate) fn is_pending(&self, client: ClientId) -> bool {
        self.pending.contains(&client)
    }

    pub(crate) fn pending(&self) -> &[ClientId] {
        &self.pending
    }

    /// `application.clients`.
    pub(crate) fn list(&self) -> Option<&Kept> {
        self.list.as_ref()
    }

    /// `application`.
    pub(crate) fn application(&self) -> Option<&Kept> {
        self.application.as_ref()
    }

    pub(crate) fn set_application(&mut self, application: Kept) {
        self.application = Some(application);
    }

    pub(crate) fn set_list(&mut self, list: Kept) {
        self.list = Some(list);
    }
}
