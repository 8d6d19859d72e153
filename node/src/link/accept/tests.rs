use std::cell::RefCell;

use bytes::Bytes;
use tokio::{sync::mpsc, task::LocalSet};
use tributary_protocol::{
    GroupName, LaneId,
    link::lane_frame::{LaneAnswer, OpenLane},
};

use super::*;
use crate::{cert, link::greet};

/// A host that reports everything it is asked.
struct Host {
    events: mpsc::Sender<String>,
    /// The control queue of the link that is up.
    control: RefCell<Option<queue::Sender<Control>>>,
    /// The lanes of the application `keep`, which stay.
    lanes: Cell<usize>,
}

#[derive(Clone)]
struct Served(Rc<Host>);

impl Host {
    fn report(&self, event: impl fmt::Display) {
        self.events.try_send(event.to_string()).unwrap();
    }
}

impl LinkHost for Host {
    type Served = Served;

    fn greet(self: &Rc<Self>, _: &Link, hello: &Hello) -> Result<(Served, Hello), LinkError> {
        if hello.incarnation == 0 {
            return Err(LinkError::Refused("no incarnation".into()));
        }
        Ok((Served(Rc::clone(self)), self::hello("origin", 0)))
    }

    fn refused(&self, _: &str, error: &LinkError) {
        self.report(error);
    }

    fn greeting_failed(&self, from: &str, error: &LinkError) {
        self.report(format_args!("{from}: {error}"));
    }
}

impl ControlDriver for Served {
    fn handle(&self, control: Control) -> Result<(), LinkError> {
        self.0.report(format_args!("{control:?}"));
        Ok(())
    }

    fn heartbeat(&self) -> Control {
        Control::Heartbeat {
            sessions: 0,
            groups: 0,
        }
    }

    fn send(&self, control: Control) {
        if let Some(queue) = &*self.0.control.borrow() {
            queue.push(control, 1).unwrap();
        }
    }
}

impl ServedLink for Served {
    fn up(&self, control: queue::Sender<Control>) -> Vec<Control> {
        *self.0.control.borrow_mut() = Some(control);
        self.0.report("up");
        vec![Control::GoAway { within_ms: 1 }]
    }

    fn lost(&self, error: &LinkError) {
        self.0.report(format_args!("lost: {error}"));
    }

    fn lane_count(&self) -> usize {
        self.0.lanes.get()
    }

    fn feed_count(&self) -> usize {
        0
    }

    fn protocol_error(&self, error: &dyn fmt::Display) {
        self.0.report(error);
    }

    async fn lane(self, open: OpenLane, mut stream: LaneStream) {
        if open.group.application() == "keep" {
            self.0.lanes.set(self.0.lanes.get() + 1);
            let answer = LaneAnswer::Open { received: 0 };
            stream.answer(&answer).await.unwrap();
            return std::future::pending().await;
        }
        self.0.report(format_args!("lane {}", open.lane.0));
        stream.refuse(&LaneAnswer::Refused).await;
    }

    async fn feed(self, mut recv: RecvStream) {
        let mut pieces = Vec::new();
        while let Ok(true) = recv.read(&mut pieces).await {}
        let read = String::from_utf8(pieces.concat()).unwrap();
        self.0.report(format_args!("feed {read}"));
    }
}

fn hello(node: &str, incarnation: u64) -> Hello {
    Hello {
        node: node.to_owned(),
        epoch: 1,
        incarnation,
        connection: 0,
        features: 0,
        zone: String::new(),
        capacity: 0,
        known_as: String::new(),
        grace_ms: 0,
    }
}

/// A host at work, and a link that was dialled to it.
struct Stage {
    _edge: Endpoint,
    link: Link,
    events: mpsc::Receiver<String>,
}

impl Stage {
    async fn new() -> Self {
        let identities = cert::temporary().unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let origin = Endpoint::accepting(any, &identities.origin, &[Role::Edge]).unwrap();
        let edge = Endpoint::dialling(&identities.edge, any).unwrap();
        let address = origin.local_addr().unwrap();
        let (events, reported) = mpsc::channel(64);
        let host = Rc::new(Host {
            events,
            control: RefCell::default(),
            lanes: Cell::new(0),
        });
        spawn_local(async move { accept(&origin, &host).await });
        Self {
            link: edge.connect(address).await.unwrap(),
            _edge: edge,
            events: reported,
        }
    }

    async fn event(&mut self) -> String {
        let event = timeout(Duration::from_secs(10), self.events.recv()).await;
        event.expect("an event in time").unwrap()
    }
}

#[tokio::test]
async fn an_accepted_link_is_greeted_and_its_streams_are_served_until_it_is_lost() {
    let scenario = async {
        let mut stage = Stage::new().await;
        let greeted = greet(&stage.link, hello("edge", 1)).await.unwrap();
        assert_eq!(greeted.hello.node, "origin");
        assert_eq!(stage.event().await, "up");

        let mut lane = LaneStream::open(&stage.link).await.unwrap();
        let open = OpenLane {
            lane: LaneId(5),
            group: GroupName::from_app("live/room").unwrap(),
            home: String::new(),
            resume: None,
            only_if_living: false,
            restore: false,
        };
        assert_eq!(lane.ask(&open).await, Some(LaneAnswer::Refused));
        assert_eq!(stage.event().await, "lane 5");

        let mut feed = stage.link.open_feed().await.unwrap();
        feed.write(&mut [Bytes::from_static(b"media")])
            .await
            .unwrap();
        feed.finish();
        assert_eq!(stage.event().await, "feed media");

        stage.link.close(CloseCode::Shutdown);
        assert_eq!(stage.event().await, "lost: closed by the peer (code 0)");
    };
    LocalSet::new().run_until(scenario).await;
}

/// All lanes of an edge come at once when it brings them to another process.
#[tokio::test]
async fn thousands_of_lanes_come_at_once_and_stay() {
    const LANES: usize = 10_000;
    let scenario = async {
        let mut stage = Stage::new().await;
        let _greeted = greet(&stage.link, hello("edge", 1)).await.unwrap();
        assert_eq!(stage.event().await, "up");
        let mut lanes = JoinSet::new();
        for number in 0..LANES {
            let link = stage.link.clone();
            lanes.spawn_local(async move {
                let mut lane = LaneStream::open(&link).await.unwrap();
                let open = OpenLane {
                    lane: LaneId(number as u64),
                    group: GroupName::from_app("keep/room").unwrap(),
                    home: String::new(),
                    resume: None,
                    only_if_living: false,
                    restore: true,
                };
                let answer = lane.ask(&open).await;
                assert_eq!(answer, Some(LaneAnswer::Open { received: 0 }));
                lane
            });
        }
        let mut kept = Vec::new();
        while kept.len() < LANES {
            let next = timeout(Duration::from_secs(60), lanes.join_next()).await;
            let next = next.unwrap_or_else(|_| panic!("{} lanes are open", kept.len()));
            kept.push(next.unwrap().unwrap());
        }
    };
    LocalSet::new().run_until(scenario).await;
}

#[tokio::test]
async fn a_peer_that_greets_under_another_name_is_refused() {
    let scenario = async {
        let mut stage = Stage::new().await;
        let refused = greet(&stage.link, hello("other", 1)).await;
        assert!(refused.is_err());
        let event = stage.event().await;
        assert_eq!(event, "edge: refused: edge claims to be other");
        assert_eq!(stage.link.closed().await, LinkError::Closed(1));
    };
    LocalSet::new().run_until(scenario).await;
}

#[tokio::test]
async fn a_link_that_its_host_refuses_is_closed() {
    let scenario = async {
        let mut stage = Stage::new().await;
        assert!(greet(&stage.link, hello("edge", 0)).await.is_err());
        assert_eq!(stage.event().await, "edge: refused: no incarnation");
    };
    LocalSet::new().run_until(scenario).await;
}

#[tokio::test]
async fn a_lane_that_opens_with_another_frame_breaks_the_protocol() {
    let scenario = async {
        let mut stage = Stage::new().await;
        let _greeted = greet(&stage.link, hello("edge", 1)).await.unwrap();
        assert_eq!(stage.event().await, "up");
        let (mut send, _recv) = stage.link.open_lane(StreamKind::Lane).await.unwrap();
        // A frame of type 0x11, which is an answer, with a body of one byte.
        send.write(&mut [Bytes::from_static(&[0x11, 1, 0])])
            .await
            .unwrap();
        assert!(!stage.event().await.starts_with("lane"));
    };
    LocalSet::new().run_until(scenario).await;
}
