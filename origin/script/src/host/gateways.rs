//! A script's connections to remoting gateways.

use std::{
    cell::{Cell, RefCell, RefMut},
    collections::HashMap,
    fmt,
};

use tributary_protocol::amf::Value;

use super::kept::Kept;
use crate::library::remoting::Gateway;

/// The connections to remoting gateways of one script, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Gateways {
    connections: RefCell<HashMap<u64, GatewayConnection>>,
    last: Cell<u64>,
}

/// One connection to a gateway.
pub(crate) struct GatewayConnection {
    pub(crate) gateway: Gateway,
    /// The NetConnection object while a request is open, so that its onStatus can be called.
    pub(crate) owner: Option<Kept>,
    pub(crate) responders: HashMap<u32, Kept>,
    /// A turn that sends the queued calls is posted.
    pub(crate) flushing: bool,
    /// Requests without a response.
    pub(crate) under_way: usize,
}

impl Gateways {
    /// Adds a connection; returns its number.
    pub(crate) fn add(&self, gateway: Gateway) -> u64 {
        let number = self.last.get() + 1;
        self.last.set(number);
        let connection = GatewayConnection::new(gateway);
        self.connections.borrow_mut().insert(number, connection);
        number
    }

    /// Borrows a connection. No script value may be released meanwhile: its end may be that of a
    /// connection.
    pub(crate) fn get(&self, number: u64) -> Option<RefMut<'_, GatewayConnection>> {
        let connections = self.connections.borrow_mut();
        RefMut::filter_map(connections, |connections| connections.get_mut(&number)).ok()
    }

    pub(crate) fn remove(&self, number: u64) -> Option<GatewayConnection> {
        self.connections.borrow_mut().remove(&number)
    }
}

impl GatewayConnection {
    fn new(gateway: Gateway) -> Self {
        Self {
            gateway,
            owner: None,
            responders: HashMap::new(),
            flushing: false,
            under_way: 0,
        }
    }

    /// Queues a call. `None` if too many wait.
    pub(crate) fn queue(
        &mut self,
        method: &str,
        arguments: Vec<Value>,
        wants_answer: bool,
    ) -> Option<u32> {
        self.gateway.call(method, arguments, wants_answer).ok()
    }

    /// The owner, if no request needs it any more.
    pub(crate) fn idle_owner(&mut self) -> Option<Kept> {
        if self.under_way == 0 && !self.flushing {
            return self.owner.take();
        }
        None
    }
}

impl fmt::Debug for GatewayConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayConnection")
            .field("gateway", &self.gateway)
            .finish_non_exhaustive()
    }
}
