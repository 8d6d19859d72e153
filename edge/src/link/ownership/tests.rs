//! Lanes without a link: the frames that they would send, as the lane of an origin reads them.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::task::LocalSet;
use tributary_node::{cert, queue};
use tributary_protocol::{
    Message, MessageStreamId, MessageType, RtmpTimestamp,
    cluster::routing::{Health, Rendezvous},
    link::{
        ClientClaims, CloseReason, FromSession, Generation, OpenSession, OriginEvent, OriginLane,
        RelayAddress, Statistics, credit::CreditBudget, features,
    },
};

use super::*;
use crate::{
    fanout::Streams,
    link::{
        LinkConfig, LinkMetrics, OpenRequest, SessionLink, Upstream, handle::ToLane,
        stage::LinkStage,
    },
};

/// The lanes to two origins that are up, and the commands of clients' drivers.
struct Edge {
    ownership: Rc<Ownership>,
    placing: Rc<Placing>,
    upstream: Upstream,
    commands: queue::Receiver<ToLane>,
}

impl Edge {
    fn new() -> Self {
        let (upstream, commands) = Upstream::new();
        let config = LinkConfig {
            identity: cert::temporary().unwrap().edge,
            origins: vec!["a@h:1".parse().unwrap(), "b@h:2".parse().unwrap()],
            zone: String::new(),
            capacity: 0,
            rate: Default::default(),
        };
        let shared = Rc::new(Shared::new(
            Streams::new(Duration::from_secs(4)),
            LinkMetrics::default(),
            LinkStage::Running,
        ));
        let placement = Box::new(Rendezvous::default());
        let placing = Placing::new(&config, Rc::clone(&shared), placement);
        let ownership = Ownership::new(shared, Rc::clone(&placing), Readiness::default());
        for origin in placing.origins.all() {
            let origin = origin.id;
            ownership.update(|router| router.table_mut().set_health(origin, Health::Up));
            Directory(&*ownership).displaced(origin, true, Vec::new(), &[], Instant::now());
        }
        Self {
            ownership,
            placing,
            upstream,
            commands,
        }
    }

    fn lane(&self) -> Rc<Lane> {
        self.placing.lanes.of(&group()).unwrap()
    }

    /// The origin of the group's lane.
    fn origin(&self) -> OriginId {
        self.lane().origin.id
    }

    fn open(&self) -> SessionLink {
        self.upstream.open(OpenRequest {
            group: group(),
            origin: None,
            open: OpenSession {
                peer: "192.0.2.1:5".parse().unwrap(),
                protocol: "rtmp".to_owned(),
                connect: Bytes::from_static(b"connect"),
                claims: Some(Arc::new(ClientClaims {
                    user: Some("alice".to_owned()),
                    json: None,
                })),
            },
        })
    }

    /// Handles the commands since the last call, in another order.
    fn obey(&mut self, order: &[usize]) {
        let mut said: Vec<_> = std::iter::from_fn(|| self.commands.try_next())
            .map(Some)
            .collect();
        assert_eq!(said.len(), order.len());
        for &index in order {
            let command = said[index].take().unwrap();
            let ToLane::Session { session, event } = command else {
                panic!("{command:?}");
            };
            self.placing.handle(session, event);
        }
    }

    /// The events that an origin reads from the group's lane.
    fn read(&self, origin: &mut OriginLane) -> Vec<OriginEvent> {
        let now = Instant::now();
        for bytes in self.lane().frames(origin.received(), now) {
            origin.handle_bytes(now, &bytes).expect("frames in order");
        }
        std::iter::from_fn(|| origin.poll_event()).collect()
    }
}

fn group() -> GroupName {
    GroupName::from_app("live/room").unwrap()
}

fn origin() -> OriginLane {
    OriginLane::new(1 << 20, CreditBudget::new(1 << 20))
}

fn message(payload: &'static [u8]) -> Message {
    Message {
        kind: MessageType::COMMAND_AMF0,
        stream: MessageStreamId(0),
        timestamp: RtmpTimestamp(0),
        payload: Bytes::from_static(payload),
    }
}

fn opened(events: &[OriginEvent]) -> usize {
    let opened = |event: &&OriginEvent| {
        matches!(
            event,
            OriginEvent::Session {
                event: FromSession::Open(_),
                ..
            }
        )
    };
    events.iter().filter(opened).count()
}

fn payloads(events: Vec<OriginEvent>) -> Vec<Bytes> {
    let payload = |event| match event {
        OriginEvent::Session {
            event: FromSession::Message { message, .. },
            ..
        } => Some(message.payload),
        _ => None,
    };
    events.into_iter().filter_map(payload).collect()
}

#[tokio::test]
async fn sessions_of_two_workers_may_come_out_of_turn() {
    let scenario = async {
        let (mut edge, mut origin) = (Edge::new(), origin());
        let (first, second) = (edge.open(), edge.open());
        edge.obey(&[1, 0]);
        assert_eq!(opened(&edge.read(&mut origin)), 2);
        first.send(message(b"of the first"), Generation(0)).unwrap();
        second
            .send(message(b"of the second"), Generation(0))
            .unwrap();
        edge.obey(&[0, 1]);
        let said = payloads(edge.read(&mut origin));
        assert_eq!(said, [&b"of the first"[..], b"of the second"]);
        first.close(CloseReason::Client);
        edge.obey(&[0]);
        let events = edge.read(&mut origin);
        assert!(
            matches!(
                events[..],
                [OriginEvent::Session {
                    event: FromSession::Close(_),
                    ..
                }]
            ),
            "{events:?}"
        );
        assert_eq!(edge.ownership.shared.sessions.len(), 1);
        drop(second);
    };
    LocalSet::new().run_until(scenario).await;
}

#[tokio::test]
async fn sessions_that_move_to_another_origin_come_behind_those_that_are_there() {
    let scenario = async {
        let mut edge = Edge::new();
        let moved: Vec<_> = (0..20).map(|_| edge.open()).collect();
        edge.obey(&(0..20).collect::<Vec<_>>());
        assert_eq!(opened(&edge.read(&mut origin())), 20);
        let lost = edge.origin();
        let until = Instant::now() + Duration::from_secs(15);
        Directory(&*edge.ownership).lost(lost, until);
        let late = edge.open();
        edge.obey(&[0]);
        let mut other = origin();
        assert_eq!(opened(&edge.read(&mut other)), 1);
        edge.placing.place_group(&group());
        assert_ne!(edge.origin(), lost);
        assert_eq!(opened(&edge.read(&mut other)), 20);
        moved[3]
            .send(message(b"still here"), Generation(0))
            .unwrap();
        edge.obey(&[0]);
        assert_eq!(payloads(edge.read(&mut other)), [&b"still here"[..]]);
        drop((moved, late));
    };
    LocalSet::new().run_until(scenario).await;
}

#[tokio::test]
async fn sessions_of_an_origin_that_is_removed_move_unless_they_are_accepted() {
    let scenario = async {
        let mut edge = Edge::new();
        let moved: Vec<_> = (0..3).map(|_| edge.open()).collect();
        edge.obey(&[0, 1, 2]);
        assert_eq!(opened(&edge.read(&mut origin())), 3);
        let removed = edge.lane().origin.clone();
        edge.ownership.removed(&removed);
        assert!(edge.placing.origins.get(removed.id).is_none());
        edge.placing.place_group(&group());
        assert_ne!(edge.origin(), removed.id);
        assert_eq!(opened(&edge.read(&mut origin())), 3);
        // The last origin leaves too: no origin can take the sessions.
        let last = edge.lane().origin.clone();
        edge.ownership.removed(&last);
        edge.placing.place_group(&group());
        assert!(edge.placing.lanes.of(&group()).is_none());
        assert!(!edge.ownership.readiness.is_ready());
        for mut session in moved {
            assert!(matches!(session.try_next(), Some(FromOrigin::NoOrigin)));
        }
    };
    LocalSet::new().run_until(scenario).await;
}

#[tokio::test]
async fn a_group_with_nobody_in_it_leaves_an_origin_that_goes_away() {
    let scenario = async {
        let mut edge = Edge::new();
        let staying = edge.open();
        edge.obey(&[0]);
        let home = edge.origin();
        Directory(&*edge.ownership).leaving(home);
        // While a session is there, the next one joins it.
        let next = edge.open();
        edge.obey(&[0]);
        assert_eq!(edge.origin(), home);
        drop((staying, next));
        edge.obey(&[0, 1]);
        edge.placing.close_idle(Instant::now());
        let _elsewhere = edge.open();
        edge.obey(&[0]);
        assert_ne!(edge.origin(), home);
        // The origin does not take its group back either.
        assert_eq!(Directory(&*edge.ownership).home_in_use(&group()), None);
    };
    LocalSet::new().run_until(scenario).await;
}

/// Figures include the count of frames only for an origin that reads it.
#[tokio::test]
async fn an_origin_gets_the_count_of_frames_if_it_knows_of_it() {
    let scenario = async {
        for (features, received) in [(0, None), (features::COUNTED, Some(7))] {
            let mut edge = Edge::new();
            let mut origin = origin();
            let session = edge.open();
            edge.obey(&[0]);
            edge.lane().origin.set_features(features);
            edge.read(&mut origin);
            session.statistics(Statistics {
                received: Some(7),
                ..Statistics::default()
            });
            edge.obey(&[0]);
            let told = edge.read(&mut origin);
            let [
                OriginEvent::Session {
                    event: FromSession::Statistics(statistics),
                    ..
                },
            ] = &told[..]
            else {
                panic!("{told:?}");
            };
            assert_eq!(statistics.received, received);
        }
    };
    LocalSet::new().run_until(scenario).await;
}

/// Claims cross only to an origin that reads them.
#[tokio::test]
async fn an_origin_gets_the_claims_of_a_session_if_it_knows_of_them() {
    let scenario = async {
        for (features, expected) in [(0, None), (features::CLAIMS, Some("alice"))] {
            let mut edge = Edge::new();
            let mut origin = origin();
            let _first = edge.open();
            edge.obey(&[0]);
            edge.lane().origin.set_features(features);
            edge.read(&mut origin);
            let _session = edge.open();
            edge.obey(&[0]);
            let told = edge.read(&mut origin);
            let [
                OriginEvent::Session {
                    event: FromSession::Open(open),
                    ..
                },
            ] = &told[..]
            else {
                panic!("{told:?}");
            };
            let user = open
                .claims
                .as_ref()
                .and_then(|claims| claims.user.as_deref());
            assert_eq!(user, expected);
        }
    };
    LocalSet::new().run_until(scenario).await;
}

/// Relays of services cross only to an origin that reads them, before their command.
#[tokio::test]
async fn an_origin_gets_the_relay_of_a_command_if_it_knows_of_it() {
    let scenario = async {
        for (features, expected) in [(0, 1), (features::RELAYS, 2)] {
            let mut edge = Edge::new();
            let mut origin = origin();
            let session = edge.open();
            edge.obey(&[0]);
            edge.lane().origin.set_features(features);
            edge.read(&mut origin);
            let address = RelayAddress::new("rtmp://far.example/app/x").unwrap();
            session.relay(MessageStreamId(1), address.clone()).unwrap();
            session.send(message(b"publish"), Generation(1)).unwrap();
            edge.obey(&[0, 1]);
            let told = edge.read(&mut origin);
            assert_eq!(told.len(), expected, "{told:?}");
            let relayed = told.iter().any(|event| {
                let OriginEvent::Session { event, .. } = event else {
                    return false;
                };
                *event
                    == FromSession::Relay {
                        stream: MessageStreamId(1),
                        address: address.clone(),
                    }
            });
            assert_eq!(relayed, features != 0);
            assert_eq!(payloads(told), [&b"publish"[..]]);
        }
    };
    LocalSet::new().run_until(scenario).await;
}
