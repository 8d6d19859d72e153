//! The service manager, if it is systemd: sockets that it has opened, and the states that it is told.

use std::{io, process};

use sd_notify::NotifyState;
use tributary_edge::InheritedListener;

/// The listening sockets of a socket unit (`LISTEN_FDS`).
///
/// # Errors
/// One of them is not a listening socket of TCP.
pub(crate) fn listeners() -> Result<Vec<InheritedListener>, String> {
    let mut passed = listenfd::ListenFd::from_env();
    let mut listeners = Vec::with_capacity(passed.len());
    for index in 0..passed.len() {
        let socket = passed.take_tcp_listener(index);
        let listener = socket.and_then(|socket| socket.map(InheritedListener::new).transpose());
        let listener = listener.map_err(|error| {
            format!(
                "socket {index} of the socket unit: {error}; an edge takes sockets of TCP, such as \
                 ListenStream=0.0.0.0:1935"
            )
        })?;
        listeners.extend(listener);
    }
    Ok(listeners)
}

/// The process serves. With `Type=notify` the start of the unit ends here.
pub(crate) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// This process has replaced the unit's main process, and serves. The one before waits a moment with
/// its end, so that the service manager hears of this first.
pub(crate) fn replaced() {
    notify(&[NotifyState::MainPid(process::id()), NotifyState::Ready]);
}

/// The process reads its configuration again; [`ready`] follows.
pub(crate) fn reloading() {
    let now = NotifyState::monotonic_usec_now();
    let states = [NotifyState::Reloading].into_iter().chain(now);
    notify(&states.collect::<Vec<_>>());
}

/// The process ends.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Without a service manager nothing happens.
fn notify(states: &[NotifyState<'_>]) {
    let notified: io::Result<()> = sd_notify::notify(states);
    if let Err(error) = notified {
        tracing::warn!(%error, "the service manager is not told of a state");
    }
}
