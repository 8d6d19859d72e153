//! The parts of a group that acts on shared objects work on.

use super::Objects;
use crate::group::{clients::Clients, room::Room};

/// A group's shared objects at work, for requests of clients and of the application.
pub(in crate::group) struct ObjectActs<'a> {
    pub(in crate::group) room: &'a mut Room,
    pub(in crate::group) clients: &'a mut Clients,
    pub(in crate::group) objects: &'a mut Objects,
}
