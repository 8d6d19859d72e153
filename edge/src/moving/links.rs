//! The state of the links on its way to the link thread of a new process.

use tokio::sync::oneshot;

use crate::link::{Links, MoveError, MovedLinks, Upstream};

/// The state of the links on its way to their thread, and the way of the answer.
pub(crate) type LinksToTake = (MovedLinks, oneshot::Sender<Result<(), MoveError>>);

/// The links' side of a take-over.
#[derive(Debug)]
pub(crate) struct LinksState {
    /// Gets an item once an origin can be reached.
    pub(crate) reached: oneshot::Sender<()>,
    /// The state of the links; dropped if none comes.
    pub(crate) state: oneshot::Receiver<LinksToTake>,
}

/// The other end of a [`LinksState`].
#[derive(Debug)]
pub(crate) struct StateOfLinks {
    pub(crate) reached: oneshot::Receiver<()>,
    pub(crate) state: oneshot::Sender<LinksToTake>,
}

impl LinksState {
    pub(crate) fn new() -> (Self, StateOfLinks) {
        let (reached, is_reached) = oneshot::channel();
        let (give, state) = oneshot::channel();
        let other = StateOfLinks {
            reached: is_reached,
            state: give,
        };
        (Self { reached, state }, other)
    }
}

/// Runs the links: those of another process, or new ones if none come.
pub(crate) async fn run_links(mut links: Links, upstream: Upstream, state: LinksState) {
    let LinksState { reached, mut state } = state;
    let early = tokio::select! {
        state = &mut state => Some(state),
        () = links.reach_one() => None,
    };
    let _ = reached.send(());
    let state = match early {
        Some(state) => state,
        None => state.await,
    };
    if let Ok((moved, answer)) = state {
        let taken = links.take(&moved, &upstream);
        let is_taken = taken.is_ok();
        let _ = answer.send(taken);
        if !is_taken {
            return;
        }
    }
    drop(upstream);
    links.run().await;
}
