//! The links of edges at this origin: their control frames, lanes and feeds.

use std::{fmt, rc::Rc, time::Instant};

use tokio::time::timeout;
use tributary_node::{
    feed::FeedStream,
    link::{ControlDriver, GREETING, LaneStream, LinkHost, ServedLink, Traffic},
    queue,
    transport::{CloseCode, Link, LinkError, RecvStream},
};
use tributary_protocol::link::{
    CloseReason, Control, FrameError, Hello, features,
    feed::{Feed, FeedMessage, FeedOpen},
    lane_frame::{LaneAnswer, OpenLane},
};

use super::{
    edge::Edge,
    edges::{Edges, LaneAdmission},
    feeds::Publish,
    kept::kept,
    lane::Carrier,
    metrics::{Counted, EdgeLabel, LinkMetrics, PlaceLabel},
};

/// One link of an edge, as its tasks have it.
#[derive(Clone)]
pub(super) struct Served {
    edges: Rc<Edges>,
    edge: Rc<Edge>,
    link: Link,
    hello: Rc<Hello>,
    traffic: Rc<Traffic>,
}

impl LinkHost for Edges {
    type Served = Served;

    fn greet(self: &Rc<Self>, link: &Link, hello: &Hello) -> Result<(Served, Hello), LinkError> {
        let Some(edge) = self.edge_of(hello) else {
            return Err(LinkError::Refused(
                "an older link than the one that is up".into(),
            ));
        };
        self.wake();
        self.fence(&edge);
        let label = EdgeLabel {
            edge: edge.name.to_string(),
        };
        let served = Served {
            traffic: Rc::new(Traffic::new(&self.shared.metrics, &label)),
            edges: Rc::clone(self),
            edge,
            link: link.clone(),
            hello: Rc::new(hello.clone()),
        };
        Ok((served, self.hello()))
    }

    async fn serve_peer(self: &Rc<Self>, link: Link) {
        Rc::clone(self).serve_origin(link).await;
    }

    fn refused(&self, from: &str, error: &LinkError) {
        self.shared.refused(from, error);
    }

    fn greeting_failed(&self, from: &str, error: &LinkError) {
        self.forget_unused();
        self.shared.refused(from, error);
    }
}

impl Edges {
    /// The answer to an edge's Hello.
    fn hello(&self) -> Hello {
        let config = &self.shared.config;
        Hello {
            node: config.identity.peer().name.clone(),
            epoch: config.epoch,
            incarnation: 0,
            connection: 0,
            features: features::CLAIMS
                | features::PUBLICATION
                | features::COUNTED
                | features::TAKEOVER
                | features::RELAYS
                | if config.cluster.is_some() {
                    features::RESTORE
                } else {
                    0
                },
            zone: String::new(),
            capacity: 0,
            known_as: String::new(),
            grace_ms: u32::try_from(config.grace.as_millis()).unwrap_or(u32::MAX),
        }
    }
}

impl Served {
    /// Whether the bytes of this link may be applied: no newer link of the same process is there.
    /// The call comes before received bytes are applied.
    fn is_current(&self) -> bool {
        self.edges.wake();
        let current = self.is_newest() && self.edge.link().is_some();
        if current {
            self.edge.heard(Instant::now());
        }
        current
    }

    fn is_newest(&self) -> bool {
        self.edge.incarnation.get() == self.hello.incarnation
    }

    /// Sets the gauge of the edge's zone and capacity, while its link is up.
    fn note_place(&self) {
        let place = PlaceLabel {
            edge: self.hello.node.clone(),
            zone: self.hello.zone.clone(),
        };
        let capacity = i64::try_from(self.hello.capacity).unwrap_or(i64::MAX);
        let metrics = &self.edges.shared.metrics;
        metrics.capacity.get_or_create(&place).set(capacity);
        *self.edge.place.borrow_mut() = place;
    }
}

impl ControlDriver for Served {
    fn handle(&self, control: Control) -> Result<(), LinkError> {
        if !self.is_current() {
            return Err(LinkError::Local);
        }
        let Self { edges, edge, .. } = self;
        match control {
            // It was the lost one itself.
            Control::Living {
                origin,
                complete,
                groups,
            } if *edge.known_as.borrow() == origin => {
                edges.decide(|it, now, here| {
                    it.edge_brings(&edge.name, groups, complete, now, here);
                });
            }
            Control::Living {
                origin,
                complete,
                groups,
            } => {
                let (now, process) = (Instant::now(), (&edge.name, edge.epoch));
                let ownership = &edges.shared.ownership;
                ownership.change(|it| it.edge_misses(process, &origin, groups, complete, now));
            }
            Control::AtHome { origin, groups } => edges.end_copies(&origin, groups),
            Control::LivingEnd { origin, resumed } => {
                let (now, process) = (Instant::now(), (&edge.name, edge.epoch));
                let ownership = &edges.shared.ownership;
                ownership.change(|it| it.edge_waits_no_more(process, &origin, resumed, now));
            }
            _ => {}
        }
        Ok(())
    }

    fn heartbeat(&self) -> Control {
        self.traffic.count(&self.link);
        self.edges.heartbeat()
    }

    fn send(&self, control: Control) {
        self.edge.tell(control);
    }
}

impl ServedLink for Served {
    fn up(&self, control: queue::Sender<Control>) -> Vec<Control> {
        if !self.is_newest() {
            // A newer link has sent its Hello meanwhile.
            self.link.close(CloseCode::Fenced);
            return Vec::new();
        }
        let shared = &self.edges.shared;
        self.edges.end_overdue(&self.edge);
        let mut first = shared.ownership.get().told_to_edge();
        first.extend(kept(&shared.groups.kept_since(0), true));
        if self.edges.drain.borrow().is_some() {
            first.push(Control::GoAway { within_ms: 0 });
        }
        self.edge.link_up(self.link.clone(), control);
        shared.metrics.links.inc();
        let restores = self.hello.features & features::RESTORE != 0;
        let process = (&self.edge.name, self.edge.epoch);
        self.edges
            .decide(|it, now, here| it.edge_linked(process, restores, now, here));
        self.note_place();
        tracing::info!(
            edge = &*self.edge.name,
            zone = self.hello.zone,
            incarnation = self.hello.incarnation,
            "link up"
        );
        first
    }

    fn lost(&self, error: &LinkError) {
        if self.is_newest() && self.edge.link().is_some() {
            self.edges.edge_lost(&self.edge, error);
        }
    }

    fn lane_count(&self) -> usize {
        self.edge.lane_count()
    }

    fn feed_count(&self) -> usize {
        self.edge.feeds.publish_count()
    }

    fn protocol_error(&self, error: &dyn fmt::Display) {
        self.edges.shared.protocol_error(&self.link, error);
    }

    async fn lane(self, open: OpenLane, stream: LaneStream) {
        if !self.is_current() {
            return;
        }
        let answer = match self.edges.admit(&self.edge, open) {
            LaneAdmission::Lane {
                lane,
                received_by_edge,
                is_restored,
            } => {
                lane.outage(false);
                let link = self.link.clone();
                let carrier = Carrier::new(link, move || self.is_current());
                let begin = (received_by_edge, is_restored);
                return lane.carry(carrier, begin, stream).await;
            }
            LaneAdmission::Unknown => LaneAnswer::Unknown,
            LaneAdmission::Wait(time) => LaneAnswer::Wait {
                retry_ms: u32::try_from(time.as_millis()).unwrap_or(u32::MAX),
            },
            LaneAdmission::Refused => LaneAnswer::Refused,
        };
        stream.refuse(&answer).await;
    }

    /// Adds the media of a feed to the live stream of its accepted publish.
    async fn feed(self, recv: RecvStream) {
        let shared = &self.edges.shared;
        let _counted = Counted::new(&shared.metrics.feeds_in);
        let mut feed = FeedStream::new(recv, shared.config.max_message as usize);
        let opened = match timeout(GREETING, feed_opening(&self, &mut feed)).await {
            Ok(Ok(opened)) => opened,
            Ok(Err(error)) => return self.protocol_error(&error),
            Err(_) => None,
        };
        let Some((open, publish)) = opened else {
            // The publish was ended or taken over while the feed was under way.
            return feed.stop();
        };
        publish.live.begin_feed(open.writer);
        loop {
            let next = feed.next().await;
            let has_ended = matches!(next, Ok(None));
            if !has_ended && (!self.is_current() || !publish.is_newest(&open)) {
                return feed.stop();
            }
            match next {
                Ok(Some(Feed::Message(message))) => {
                    take_in(&shared.metrics, &open, &publish, message);
                }
                Ok(Some(Feed::Open(_))) => return self.protocol_error(&FrameError::Value),
                // A publish is one publication, so the frame changes nothing.
                Ok(Some(Feed::NewPublication(_))) => {}
                Ok(None) => break,
                // The edge does not know this origin's limit: its client is at fault.
                Err(FrameError::TooLong) => {
                    feed.stop();
                    return publish.close(open.writer, CloseReason::Limit);
                }
                Err(error) => return self.protocol_error(&error),
            }
        }
        // Another feed follows one that was reset, and may follow one that was lost with its link.
        if feed.is_finished() && publish.is_newest(&open) {
            publish.ended(open.writer);
        }
    }
}

/// A feed's opening and its publish, which takes the highest epoch alone.
async fn feed_opening(
    served: &Served,
    feed: &mut FeedStream,
) -> Result<Option<(FeedOpen, Publish)>, FrameError> {
    loop {
        let next = feed.next().await?;
        if !served.is_current() {
            return Ok(None);
        }
        match next {
            Some(Feed::Open(open)) => {
                let publish = served.edge.feeds.open((open.live, open.writer), open.epoch);
                return Ok(publish.map(|publish| (open, publish)));
            }
            Some(Feed::Message(_)) => return Err(FrameError::Value),
            // A publish is one publication, so the frame changes nothing.
            Some(Feed::NewPublication(_)) => {}
            None => return Ok(None),
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
            tracing::info!(live, "a data message of a publisher is malformed");
        }
    }
}
