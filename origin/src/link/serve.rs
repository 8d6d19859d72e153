//! One link from an edge: greeted, its lanes and feeds accepted, until it is gone.

use std::{
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
    CloseReason, Control, FrameError, Hello,
    feed::{Feed, FeedReader},
    frame::{FrameReader, MAX_BODY},
    lane_frame::{LaneAnswer, OpenLane},
};

use super::{
    driver::{self, Admission, Driver},
    edges::Edge,
    metrics::EdgeLabel,
};

/// How long a link may take to say hello, and a stream to say what it is.
const GREETING: Duration = Duration::from_secs(5);

/// How often a heartbeat leaves.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// Silence of the control stream after which the link is given up: QUIC's keep-alive only shows
/// that the peer's QUIC task lives.
const CONTROL_SILENCE: Duration = Duration::from_secs(5);

/// Streams an edge may open in a second, above which its link is closed. Reason: each costs work
/// before it is known to be any use.
const STREAMS_PER_SECOND: u32 = 20_000;

/// Serves a link whose certificate has been checked.
pub(super) async fn link(driver: Rc<Driver>, link: Link) {
    let who = link.peer().name.clone();
    let greeted = timeout(GREETING, greet(&driver, &link)).await;
    let (edge, send, recv) = match greeted {
        Ok(Ok(greeted)) => greeted,
        Ok(Err(error)) => {
            link.close(CloseCode::Protocol);
            return driver.refused(&who, &error);
        }
        Err(_) => {
            link.close(CloseCode::Protocol);
            return driver.refused(&who, &LinkError::TimedOut);
        }
    };
    fence(&driver, &edge);
    driver.end_overdue(&edge);
    let (tell, queued) = driver::control_queue();
    for control in driver.displaced() {
        let _ = tell.push_final(control);
    }
    edge.link_up(link.clone(), tell);
    driver.metrics.links.inc();
    tracing::info!(edge = who, incarnation = edge.incarnation.get(), "link up");
    let incarnation = edge.incarnation.get();
    // Dropped with this function: nothing of a fenced link is applied any more.
    let mut streams = JoinSet::new();
    let error = tokio::select! {
        error = link.closed() => error,
        error = read_control(&driver, &edge, recv) => error,
        error = write_control(&driver, &edge, &link, send, queued) => error,
        error = accept(&driver, &edge, &link, &mut streams) => error,
    };
    drop(streams);
    link.close(CloseCode::Shutdown);
    if edge.incarnation.get() == incarnation {
        for lane in edge.lanes.borrow().values() {
            lane.state.borrow_mut().disconnected();
        }
        driver.edge_lost(&edge, &error);
    }
}

/// An older link of the same process is over, whatever it still has to say.
fn fence(driver: &Rc<Driver>, edge: &Rc<Edge>) {
    if let Some(older) = edge.link() {
        older.close(CloseCode::Fenced);
        for lane in edge.lanes.borrow().values() {
            lane.state.borrow_mut().disconnected();
        }
        driver.edge_lost(edge, &LinkError::TimedOut);
    }
}

async fn greet(
    driver: &Rc<Driver>,
    link: &Link,
) -> Result<(Rc<Edge>, ControlSender, ControlReceiver), LinkError> {
    let (mut send, mut recv) = control::accept(link).await?;
    let hello = recv.hello(link).await?;
    let Some(edge) = driver.edge(&hello) else {
        return Err(LinkError::Refused(
            "an older link than the one that is up".into(),
        ));
    };
    let answer = Hello {
        node: driver.config.identity.peer().name.clone(),
        epoch: driver.config.epoch,
        incarnation: 0,
        connection: 0,
        features: 0,
        zone: String::new(),
        capacity: 0,
        known_as: String::new(),
        grace_ms: u32::try_from(driver.config.grace.as_millis()).unwrap_or(u32::MAX),
    };
    send.write(&Control::Hello(answer)).await?;
    Ok((edge, send, recv))
}

async fn read_control(
    driver: &Rc<Driver>,
    edge: &Rc<Edge>,
    mut recv: ControlReceiver,
) -> LinkError {
    loop {
        let control = match timeout(CONTROL_SILENCE, recv.next()).await {
            Ok(Ok(control)) => control,
            Ok(Err(error)) => return error,
            Err(_) => return LinkError::TimedOut,
        };
        edge.heard();
        match control {
            Control::Living { origin, groups } => {
                let mut elsewhere = driver.elsewhere.borrow_mut();
                elsewhere.report(&edge.name, edge.epoch, &origin, groups, Instant::now());
            }
            Control::AtHome { origin, groups } => driver.close_copies(&origin, &groups),
            Control::LivingEnd { origin, resumed } => {
                let mut elsewhere = driver.elsewhere.borrow_mut();
                let now = Instant::now();
                elsewhere.report_ended(&edge.name, edge.epoch, &origin, resumed.then_some(now));
            }
            Control::Ping(number) => edge.tell(Control::Pong(number)),
            _ => {}
        }
    }
}

async fn write_control(
    driver: &Rc<Driver>,
    edge: &Rc<Edge>,
    link: &Link,
    mut send: ControlSender,
    mut queued: queue::Receiver<Control>,
) -> LinkError {
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
                let metrics = &driver.metrics;
                metrics.bytes_out.get_or_create(&label).inc_by(sent - counted.0);
                metrics.bytes_in.get_or_create(&label).inc_by(received - counted.1);
                counted = (sent, received);
                driver.heartbeat()
            }
        };
        if let Err(error) = send.write(&control).await {
            return error;
        }
    }
}

/// Accepts lanes and feeds, each in a task of its own, at a bounded rate.
async fn accept(
    driver: &Rc<Driver>,
    edge: &Rc<Edge>,
    link: &Link,
    streams: &mut JoinSet<()>,
) -> LinkError {
    let (mut lanes, mut feeds) = (0_usize, 0_usize);
    let mut window = (Instant::now(), 0_u32);
    loop {
        tokio::select! {
            lane = link.accept_lane(StreamKind::Lane) => match lane {
                Ok(stream) => {
                    lanes += 1;
                    let open = edge.lanes.borrow().len();
                    link.allow_lanes(open.min(lanes));
                    let (driver, edge, link) = (Rc::clone(driver), Rc::clone(edge), link.clone());
                    streams.spawn_local(lane_stream(driver, edge, link, stream));
                }
                Err(error) => return error,
            },
            feed = link.accept_feed() => match feed {
                Ok(recv) => {
                    feeds += 1;
                    let open = edge.publishes.borrow().len();
                    link.allow_feeds(open.min(feeds));
                    let (driver, edge, link) = (Rc::clone(driver), Rc::clone(edge), link.clone());
                    streams.spawn_local(feed_stream(driver, edge, link, recv));
                }
                Err(error) => return error,
            },
            Some(_) = streams.join_next(), if !streams.is_empty() => continue,
        }
        if window.0.elapsed() >= Duration::from_secs(1) {
            window = (Instant::now(), 0);
        }
        window.1 += 1;
        if window.1 > STREAMS_PER_SECOND {
            return LinkError::Refused("too many streams in a second".into());
        }
    }
}

async fn lane_stream(
    driver: Rc<Driver>,
    edge: Rc<Edge>,
    link: Link,
    (mut send, mut recv): (SendStream, RecvStream),
) {
    let mut reader = FrameReader::new(MAX_BODY);
    let open = match timeout(GREETING, lane_opening(&mut recv, &mut reader)).await {
        Ok(Ok(Some(open))) => open,
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(error)) => return driver.protocol_error(&link, &error),
    };
    let answer = match driver.admit(&edge, open) {
        Admission::Lane {
            lane,
            received_by_edge,
        } => {
            lane.outage(false);
            return lane
                .carry(driver, link, received_by_edge, (send, recv), reader)
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
async fn feed_stream(driver: Rc<Driver>, edge: Rc<Edge>, link: Link, mut recv: RecvStream) {
    let mut reader = FeedReader::new(driver.config.max_message as usize);
    let mut pieces = Vec::new();
    let mut opened = None;
    driver.metrics.feeds_in.inc();
    'feed: while matches!(recv.read(&mut pieces).await, Ok(true)) {
        for piece in pieces.drain(..) {
            reader.push(&piece);
        }
        loop {
            match (reader.poll_frame(), &opened) {
                (Ok(Some(Feed::Open(open))), None) => {
                    let publishes = edge.publishes.borrow();
                    let Some(publish) = publishes.get(&(open.live, open.writer)) else {
                        // It was ended or taken over while the feed was under way.
                        recv.stop();
                        break 'feed;
                    };
                    publish.live.begin_feed(open.writer);
                    opened = Some((open, publish.clone()));
                }
                (Ok(Some(Feed::Message(feed))), Some((open, publish))) => {
                    let now = Instant::now();
                    let message = feed.message.clone();
                    publish
                        .live
                        .push_numbered(open.writer, feed.number, message, now);
                    publish.lane.data(&publish.live, feed);
                }
                (Ok(None), _) => break,
                (Ok(Some(_)), _) => {
                    driver.protocol_error(&link, &FrameError::Value);
                    break 'feed;
                }
                // The edge does not know this origin's limit: its client is to blame.
                (Err(FrameError::TooLong), Some((open, publish))) => {
                    recv.stop();
                    let reason = CloseReason::Limit;
                    publish.lane.close_publisher(&driver, open.writer, reason);
                    break 'feed;
                }
                (Err(error), _) => {
                    driver.protocol_error(&link, &error);
                    break 'feed;
                }
            }
        }
    }
    driver.metrics.feeds_in.dec();
    // A feed that was reset is followed by another; one that the link took with it may be.
    if let (true, Some((open, publish))) = (recv.is_finished(), opened) {
        publish.lane.feed_ended(&driver, open.writer);
    }
}
