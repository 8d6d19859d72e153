//! Links that an endpoint accepts: greeted, their lanes and feeds accepted, until they are gone.

use std::{
    cell::Cell,
    fmt,
    future::{Future, ready},
    pin::pin,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    task::{JoinSet, spawn_local},
    time::timeout,
};
use tributary_protocol::link::{Control, Hello, lane_frame::OpenLane};

use super::{
    control_loop::{ControlDriver, control_queue, run_control},
    greeting::{self, Greeted},
    lane::LaneStream,
};
use crate::{
    queue,
    rate::Rate,
    tls::Role,
    transport::{CloseCode, Endpoint, Link, LinkError, RecvStream, SendStream, StreamKind},
};

/// The owner of the links that an endpoint accepts.
pub trait LinkHost: 'static {
    /// One of the links, from its greeting on.
    type Served: ServedLink;

    /// Decides about a link by its peer's Hello. Returns the link, not up yet, and the answer.
    fn greet(
        self: &Rc<Self>,
        link: &Link,
        hello: &Hello,
    ) -> Result<(Self::Served, Hello), LinkError>;

    /// Serves a link of another origin, from its greeting on. Only an endpoint that accepts origins has
    /// such links.
    fn serve_peer(self: &Rc<Self>, link: Link) -> impl Future<Output = ()> {
        async move { link.close(CloseCode::Role) }
    }

    /// The handshake of a link has failed.
    fn refused(&self, from: &str, error: &LinkError);

    /// The greeting of a link has failed, possibly after [`Self::greet`].
    fn greeting_failed(&self, from: &str, error: &LinkError);
}

/// One link that was accepted. Clones are the same link.
pub trait ServedLink: ControlDriver + Clone + 'static {
    /// The link is up, and `control` leads to its control stream. Returns the first frames for it.
    fn up(&self, control: queue::Sender<Control>) -> Vec<Control>;

    /// The link is gone.
    fn lost(&self, error: &LinkError);

    /// The lanes of the peer that are open.
    fn lane_count(&self) -> usize;

    /// The feeds that the peer may have open.
    fn feed_count(&self) -> usize;

    /// Closes the link because the peer broke the protocol.
    fn protocol_error(&self, error: &dyn fmt::Display);

    /// Serves a stream for a lane.
    fn lane(self, open: OpenLane, stream: LaneStream) -> impl Future<Output = ()>;

    /// Serves a feed.
    fn feed(self, recv: RecvStream) -> impl Future<Output = ()>;
}

/// The time for a link's greeting, and for the opening of a lane or a feed.
pub const GREETING: Duration = Duration::from_secs(5);

/// The streams that a peer may open in a second, and at once, above which its link is closed. Reason:
/// each costs work before it is known to be any use; a link that comes back resumes every lane at
/// once.
const STREAMS_PER_SECOND: u32 = 20_000;
const STREAMS_AT_ONCE: u32 = 100_000;

/// Accepts links, each in a task of its own, until the endpoint is closed. To be run on a `LocalSet`.
/// The links go on when the future is dropped.
pub async fn accept<H: LinkHost>(endpoint: &Endpoint, host: &Rc<H>) {
    while let Some(incoming) = endpoint.accept().await {
        let host = Rc::clone(host);
        spawn_local(async move {
            let address = incoming.address();
            match incoming.handshake().await {
                Ok(link) if link.peer().role == Role::Origin => host.serve_peer(link).await,
                Ok(link) => serve(&host, link).await,
                Err(error) => host.refused(&address.to_string(), &error),
            }
        });
    }
}

/// Serves a link whose certificate has been checked.
async fn serve<H: LinkHost>(host: &Rc<H>, link: Link) {
    let greeting = greeting::answer(&link, |hello| host.greet(&link, hello));
    let greeting = timeout(GREETING, greeting).await;
    let (served, greeted) = match greeting.unwrap_or(Err(LinkError::TimedOut)) {
        Ok(greeted) => greeted,
        Err(error) => {
            link.close(CloseCode::Protocol);
            return host.greeting_failed(&link.peer().name, &error);
        }
    };
    let Greeted {
        mut send, mut recv, ..
    } = greeted;
    let (control, queued) = control_queue();
    let first = served.up(control);
    let mut streams = JoinSet::new();
    let error = tokio::select! {
        error = link.closed() => error,
        error = run_control(&served, &mut send, &mut recv, first, queued) => error,
        error = accept_streams(&served, &link, &mut streams) => error,
    };
    drop(streams);
    link.close(CloseCode::Shutdown);
    served.lost(&error);
}

/// Accepts lanes and feeds, each in a task of its own, at a bounded rate.
async fn accept_streams<S: ServedLink>(
    served: &S,
    link: &Link,
    streams: &mut JoinSet<()>,
) -> LinkError {
    let lanes = Rc::new(Cell::new(0_usize));
    let mut feeds = 0_usize;
    let mut rate = Rate::new(STREAMS_PER_SECOND, STREAMS_AT_ONCE, Instant::now());
    loop {
        tokio::select! {
            lane = link.accept_lane(StreamKind::Lane) => match lane {
                Ok(stream) => {
                    lanes.set(lanes.get() + 1);
                    let (served, link, lanes) = (served.clone(), link.clone(), Rc::clone(&lanes));
                    streams.spawn_local(serve_lane(served, link, lanes, stream));
                }
                Err(error) => return error,
            },
            feed = link.accept_feed() => match feed {
                Ok(recv) => {
                    feeds += 1;
                    link.allow_feeds(served.feed_count().min(feeds));
                    streams.spawn_local(served.clone().feed(recv));
                }
                Err(error) => return error,
            },
            Some(_) = streams.join_next(), if !streams.is_empty() => continue,
        }
        if !rate.take(Instant::now()) {
            served.protocol_error(&"too many streams");
            return LinkError::Local;
        }
    }
}

/// Serves a lane. `accepted` counts those of the link.
async fn serve_lane<S: ServedLink>(
    served: S,
    link: Link,
    accepted: Rc<Cell<usize>>,
    stream: (SendStream, RecvStream),
) {
    let mut stream = LaneStream::new(stream);
    let open = match timeout(GREETING, stream.opening()).await {
        Ok(Ok(Some(open))) => open,
        Ok(Err(error)) => return served.protocol_error(&error),
        Ok(Ok(None)) | Err(_) => return,
    };
    let mut lane = pin!(served.clone().lane(open, stream));
    tokio::select! {
        biased;
        () = &mut lane => return,
        // The first poll has admitted it.
        () = ready(()) => {}
    }
    // Thousands may have come at once. The next ones wait at the peer until it may open more.
    link.allow_lanes(served.lane_count().min(accepted.get()));
    lane.await;
}

#[cfg(test)]
mod tests;
