//! The diallers of this edge's origins, and their end.

use std::rc::Rc;

use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tributary_node::drain;

use super::{
    config::LinkConfig,
    dial::{Dialler, Observer},
    origin::Origin,
    shared::Shared,
};
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
            tasks: TaskTracker::new(),
        }
    }

    /// Dials an origin from now on.
    pub(super) fn start(&self, origin: Rc<Origin>) {
        let dialler = Dialler {
            config: Rc::clone(&self.config),
            epoch: self.epoch,
            shared: Rc::clone(&self.shared),
            origin,
            observer: Rc::clone(&self.observer),
            drain: self.drain.clone(),
            end: self.end.clone(),
            tasks: self.tasks.clone(),
        };
        self.tasks.spawn_local(dialler.run());
    }

    /// Closes all links, and waits until the origins are notified, which has a bound.
    pub(super) async fn finish(&self) {
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}
