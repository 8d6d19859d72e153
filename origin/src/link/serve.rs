//! One link from an edge: greeted, its lanes and feeds accepted, until it is gone.

use std::{
    fmt,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use tokio::{task::JoinSet, time::timeout};
use tributary_node::{
    control::{self, ControlReceiver, ControlSender},
    queue,
    transport::{CloseCode, Link, LinkError, RecvStream, SendStream, StreamKind},
};
use tributary_protocol::link::{
    CloseReason, Control, FrameError, Hello, features,
    feed::{Feed, FeedMessage, FeedOpen, FeedReader},
    frame::{FrameReader, MAX_BODY},
    lane_frame::{LaneAnswer, OpenLane},
};

use super::{
    edge::Edge,
    edges::{Admission, Edges},
    feeds::Publish,
    lane::Carrier,
    metrics::{Counted, EdgeLabel, LinkMetrics, PlaceLabel},
    rate::Rate,
    residents::kept,
};

/// How long a link may take to say hello, and a stream to say what it is.
const GREETING: Duration = Duration::from_secs(5);

/// How often a heartbeat leaves.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Silence of the control stream after which the link is given up: QUIC's keep-alive only shows
/// that the peer's QUIC task lives.
const CONTROL_SILENCE: Duration = Duration::from_secs(5);

/// Control frames that may wait for the stream at once.
const CONTROL_QUEUE: usize = 4096;

/// Streams an edge may open in a second, and at once, above which its link is closed. Reason: each
/// costs work before it is known to be any use; a link that comes back resumes every lane at once.
const STREAMS_PER_SECOND: u32 = 20_000;
const STREAMS_AT_ONCE: u32 = 100_000;

/// One link of an edge, as its tasks have it.
#[derive(Clone)]
struct Served {
    edges: Rc<Edges>,
    edge: Rc<Edge>,
    link: Link,
    incarnation: u64,
}

impl Served {
    /// Whether what this link brings may be applied: no newer one of the same process is there.
    /// Ask before anything received is applied.
    fn is_current(&self) -> bool {
        self.edges.wake();
        let current = self.edge.incarnation.get() == self.incarnation && self.edge.link().is_some();
        if current {
            self.edge.heard(Instant::now());
        }
        current
    }

    fn protocol_error(&self, error: &dyn fmt::Display) {
        self.edges.shared.protocol_error(&self.link, error);
    }
}

/// Serves a link whose certificate has been checked.
pub(super) async fn link(edges: Rc<Edges>, link: Link) {
    let who = link.peer().name.clone();
    let shared = Rc::clone(&edges.shared);
    let greeted = timeout(GREETING, greet(&edges, &link)).await;
    let (edge, hello, send, recv) = match greeted.unwrap_or(Err(LinkError::TimedOut)) {
        Ok(greeted) => greeted,
        Err(error) => {
            link.close(CloseCode::Protocol);
            edges.forget_unused();
            return shared.refused(&who, &error);
        }
    };
    edges.end_overdue(&edge);
    let (tell, queued) = queue::queue(CONTROL_QUEUE);
    let mut first = shared.residents.displaced();
    first.extend(kept(&shared.groups.kept_since(0), true));
    edge.link_up(link.clone(), tell);
    shared.metrics.links.inc();
    note_place(&shared.metrics, &edge, &hello);
    let served = Served {
        incarnation: edge.incarnation.get(),
        edges,
        edge,
        link,
    };
    let Served {
        edges, edge, link, ..
    } = &served;
    tracing::info!(
        edge = who,
        zone = hello.zone,
        incarnation = served.incarnation,
        "link up"
    );
    let mut streams = JoinSet::new();
    let error = tokio::select! {
        error = link.closed() => error,
        error = read_control(&served, recv) => error,
        error = write_control(&served, send, first, queued) => error,
        error = accept(&served, &mut streams) => error,
    };
    drop(streams);
    link.close(CloseCode::Shutdown);
    let is_newest = edge.incarnation.get() == served.incarnation;
    if is_newest && edge.link().is_some() {
        edges.edge_lost(edge, &error);
    }
}

/// Shows where the edge stands and what it is meant for, while its link is up.
fn note_place(metrics: &LinkMetrics, edge: &Edge, hello: &Hello) {
    let place = PlaceLabel {
        edge: hello.node.clone(),
        zone: hello.zone.clone(),
    };
    let capacity = i64::try_from(hello.capacity).unwrap_or(i64::MAX);
    metrics.capacity.get_or_create(&place).set(capacity);
    *edge.place.borrow_mut() = place;
}

async fn greet(
    edges: &Rc<Edges>,
    link: &Link,
) -> Result<(Rc<Edge>, Hello, ControlSender, ControlReceiver), LinkError> {
    let (mut send, mut recv) = control::accept(link).await?;
    let hello = recv.hello(link).await?;
    let Some(edge) = edges.greet(&hello) else {
        return Err(LinkError::Refused(
            "an older link than the one that is up".into(),
        ));
    };
    edges.wake();
    edges.fence(&edge);
    let config = &edges.shared.config;
    let answer = Hello {
        node: config.identity.peer().name.clone(),
        epoch: config.epoch,
        incarnation: 0,
        connection: 0,
        features: features::PUBLICATION | features::COUNTED,
        zone: String::new(),
        capacity: 0,
        known_as: String::new(),
        grace_ms: u32::try_from(config.grace.as_millis()).unwrap_or(u32::MAX),
    };
    send.write(&Control::Hello(answer)).await?;
    Ok((edge, hello, send, recv))
}

async fn read_control(served: &Served, mut recv: ControlReceiver) -> LinkError {
    let Served { edges, edge, .. } = served;
    loop {
        let control = match timeout(CONTROL_SILENCE, recv.next()).await {
            Ok(Ok(control)) => control,
            Ok(Err(error)) => return error,
            Err(_) => return LinkError::TimedOut,
        };
        if !served.is_current() {
            return LinkError::Local;
        }
        match control {
            Control::Living {
                origin,
                complete,
                groups,
            } => {
                let mut elsewhere = edges.elsewhere.borrow_mut();
                let now = Instant::now();
                elsewhere.report(&edge.name, edge.epoch, &origin, groups, complete, now);
            }
            Control::AtHome { origin, groups } => edges.close_copies(&origin, &groups),
            Control::LivingEnd { origin, resumed } => {
                let mut elsewhere = edges.elsewhere.borrow_mut();
                let now = Instant::now();
                elsewhere.report_ended(&edge.name, edge.epoch, &origin, resumed.then_some(now));
            }
            Control::Ping(number) => edge.tell(Control::Pong(number)),
            _ => {}
        }
    }
}

/// Sends `first`, then what is queued, and heartbeats.
async fn write_control(
    Served {
        edges, edge, link, ..
    }: &Served,
    mut send: ControlSender,
    first: Vec<Control>,
    mut queued: queue::Receiver<Control>,
) -> LinkError {
    for control in first {
        if let Err(error) = send.write(&control).await {
            return error;
        }
    }
    let label = EdgeLabel {
        edge: edge.name.to_string(),
    };
    let mut counted = (0, 0);
    let mut beat = tokio::time::interval(HEARTBEAT);
    loop {
        let control = tokio::select! {
            Some(control) = queued.next() => control,
            _ = beat.tick() => {
                let (sent, received) = link.bytes();
                let metrics = &edges.shared.metrics;
                metrics.bytes_out.get_or_create(&label).inc_by(sent - counted.0);
                metrics.bytes_in.get_or_create(&label).inc_by(received - counted.1);
                counted = (sent, received);
                edges.heartbeat()
            }
        };
        if let Err(error) = send.write(&control).await {
            return error;
        }
    }
}

/// Accepts lanes and feeds, each in a task of its own, at a bounded rate.
async fn accept(served: &Served, streams: &mut JoinSet<()>) -> LinkError {
    let Served { edge, link, .. } = served;
    let (mut lanes, mut feeds) = (0_usize, 0_usize);
    let mut rate = Rate::new(STREAMS_PER_SECOND, STREAMS_AT_ONCE, Instant::now());
    loop {
        tokio::select! {
            lane = link.accept_lane(StreamKind::Lane) => match lane {
                Ok(stream) => {
                    lanes += 1;
                    let open = edge.lane_count();
                    link.allow_lanes(open.min(lanes));
                    streams.spawn_local(lane_stream(served.clone(), stream));
                }
                Err(error) => return error,
            },
            feed = link.accept_feed() => match feed {
                Ok(recv) => {
                    feeds += 1;
                    let open = edge.feeds.publish_count();
                    link.allow_feeds(open.min(feeds));
                    streams.spawn_local(feed_stream(served.clone(), recv));
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

async fn lane_stream(served: Served, (mut send, mut recv): (SendStream, RecvStream)) {
    let mut reader = FrameReader::new(MAX_BODY);
    let open = match timeout(GREETING, lane_opening(&mut recv, &mut reader)).await {
        Ok(Ok(Some(open))) => open,
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(error)) => return served.protocol_error(&error),
    };
    if !served.is_current() {
        return;
    }
    let answer = match served.edges.admit(&served.edge, open) {
        Admission::Lane {
            lane,
            received_by_edge,
        } => {
            lane.outage(false);
            let link = served.link.clone();
            let carrier = Carrier::new(link, move || served.is_current());
            return lane
                .carry(&carrier, received_by_edge, (send, recv), reader)
                .await;
        }
        Admission::Unknown => LaneAnswer::Unknown,
        Admission::Wait(time) => LaneAnswer::Wait {
            retry_ms: u32::try_from(time.as_millis()).unwrap_or(u32::MAX),
        },
        Admission::Refused => LaneAnswer::Refused,
    };
    let mut out = BytesMut::new();
    answer.encode(&mut out);
    let _ = send.write(&mut [out.freeze()]).await;
    send.finish();
}

/// The lane's opening; `None` if the stream ends before it.
async fn lane_opening(
    recv: &mut RecvStream,
    reader: &mut FrameReader,
) -> Result<Option<OpenLane>, FrameError> {
    let mut pieces = Vec::new();
    loop {
        if let Some(frame) = reader.poll_frame()? {
            return OpenLane::decode(&frame).map(Some);
        }
        if !matches!(recv.read(&mut pieces).await, Ok(true)) {
            return Ok(None);
        }
        for piece in pieces.drain(..) {
            reader.push(&piece);
        }
    }
}

/// Takes in the media of one accepted publish.
async fn feed_stream(served: Served, mut recv: RecvStream) {
    let shared = &served.edges.shared;
    let _counted = Counted::new(&shared.metrics.feeds_in);
    let mut reader = FeedReader::new(shared.config.max_message as usize);
    let opened = match timeout(GREETING, feed_opening(&served, &mut recv, &mut reader)).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return served.protocol_error(&error),
        Err(_) => None,
    };
    let Some((open, publish)) = opened else {
        // It was ended or taken over while the feed was under way.
        return recv.stop();
    };
    publish.live.begin_feed(open.writer);
    let mut pieces = Vec::new();
    loop {
        loop {
            match reader.poll_frame() {
                Ok(Some(Feed::Message(feed))) => take_in(&shared.metrics, &open, &publish, feed),
                Ok(Some(Feed::Open(_))) => {
                    return served.protocol_error(&FrameError::Value);
                }
                // A publish is one publication.
                Ok(Some(Feed::NewPublication(_))) => {}
                Ok(None) => break,
                // The edge does not know this origin's limit: its client is to blame.
                Err(FrameError::TooLong) => {
                    recv.stop();
                    return publish.close(open.writer, CloseReason::Limit);
                }
                Err(error) => return served.protocol_error(&error),
            }
        }
        if !matches!(recv.read(&mut pieces).await, Ok(true)) {
            break;
        }
        if !served.is_current() || publish.epoch.get() != open.epoch {
            return recv.stop();
        }
        for piece in pieces.drain(..) {
            reader.push(&piece);
        }
    }
    // A feed that was reset is followed by another; one that the link took with it may be.
    if recv.is_finished() && publish.epoch.get() == open.epoch {
        publish.ended(open.writer);
    }
}

/// A feed's opening and the publish it belongs to, which takes the highest epoch alone.
async fn feed_opening(
    served: &Served,
    recv: &mut RecvStream,
    reader: &mut FeedReader,
) -> Result<Option<(FeedOpen, Publish)>, FrameError> {
    let mut pieces = Vec::new();
    loop {
        match reader.poll_frame()? {
            Some(Feed::Open(open)) => {
                let publish = served.edge.feeds.open((open.live, open.writer), open.epoch);
                return Ok(publish.map(|publish| (open, publish)));
            }
            Some(Feed::Message(_)) => return Err(FrameError::Value),
            // A publish is one publication.
            Some(Feed::NewPublication(_)) => continue,
            None => {}
        }
        if !matches!(recv.read(&mut pieces).await, Ok(true)) || !served.is_current() {
            return Ok(None);
        }
        for piece in pieces.drain(..) {
            reader.push(&piece);
        }
    }
}

fn take_in(metrics: &LinkMetrics, open: &FeedOpen, publish: &Publish, feed: FeedMessage) {
    let FeedMessage { number, message } = feed;
    let now = Instant::now();
    let is_data = message.kind.is_data();
    let before = is_data.then(|| publish.live.counts().faulty);
    publish
        .live
        .push_numbered(open.writer, number, message, now);
    if let Some(before) = before
        && publish.live.counts().faulty > before
    {
        metrics.data_faulty.inc();
        if !publish.is_faulty.replace(true) {
            let live = open.live.0;
            tracing::info!(
                live,
                "a data message of a publisher is not right to its last byte"
            );
        }
    }
}
