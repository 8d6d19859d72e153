//! The diallers of this edge's origins: each starts with its origin and ends with it.

use std::{cell::RefCell, collections::HashMap, rc::Rc, time::Instant};

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tributary_node::drain;

use super::{
    config::LinkConfig,
    dial::{Dialler, Observer},
    origin::Origin,
    shared::Shared,
};
use tributary_protocol::cluster::routing::OriginId;

/// The diallers at work.
pub(super) struct Diallers<O> {
    config: Rc<LinkConfig>,
    /// Drawn when the process started.
    epoch: u64,
    shared: Rc<Shared>,
    observer: Rc<O>,
    drain: drain::Watch,
    /// Ends all diallers.
    end: CancellationToken,
    /// Ends one dialler.
    ends: RefCell<HashMap<OriginId, CancellationToken>>,
    /// The diallers, and the sockets of their links.
    tasks: TaskTracker,
}

impl<O: Observer + 'static> Diallers<O> {
    pub(super) fn new(
        config: LinkConfig,
        epoch: u64,
        shared: Rc<Shared>,
        observer: Rc<O>,
        drain: drain::Watch,
    ) -> Self {
        Self {
            config: Rc::new(config),
            epoch,
            shared,
            observer,
            drain,
            end: CancellationToken::new(),
            ends: RefCell::default(),
            tasks: TaskTracker::new(),
        }
    }

    /// Dials an origin from now on. `lost_until` is the end of its grace time, if another process has
    /// had its link.
    pub(super) fn start(&self, origin: Rc<Origin>, lost_until: Option<Instant>) {
        let end = self.end.child_token();
        self.ends.borrow_mut().insert(origin.id, end.clone());
        let dialler = Dialler {
            config: Rc::clone(&self.config),
            epoch: self.epoch,
            shared: Rc::clone(&self.shared),
            origin,
            observer: Rc::clone(&self.observer),
            drain: self.drain.clone(),
            end,
            tasks: self.tasks.clone(),
            lost_until,
        };
        self.tasks.spawn_local(dialler.run());
    }

    /// Closes the link of an origin, which is not dialled any more.
    pub(super) fn stop(&self, origin: OriginId) {
        if let Some(end) = self.ends.borrow_mut().remove(&origin) {
            end.cancel();
        }
    }

    /// Closes all links, and waits until the origins are notified, which has a bound. Links whose lanes
    /// another process has end by themselves, with a bound as well.
    pub(super) async fn finish(&self) {
        if !self.shared.stages.has_left() {
            self.end.cancel();
        }
        self.tasks.close();
        self.tasks.wait().await;
    }
}
