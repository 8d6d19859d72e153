//! Parcels of the links: golden ones, hostile ones, and what is read again.

use std::{
    collections::BTreeMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use rand::{Rng, SeedableRng, rngs::StdRng};
use tributary_node::{
    cert,
    link::LaneDriver,
    queue,
    tls::{Peer, Role},
};
use tributary_protocol::{
    GroupName, LaneId, Message, MessageStreamId, MessageType, RtmpTimestamp, SessionId,
    cluster::routing::{Health, OriginId},
    link::{
        AudienceId, ClientClaims, FromSession, Generation, LiveId, OpenSession, OriginLane, Rate,
        Target, ToAudience, ToSession, WriterId, credit::CreditBudget,
    },
    parcel::{Carried, MAX_PARCEL, ParcelError, ParcelReader, ParcelWriter, VERSION, pack, unpack},
    shared_object::Flags,
};

use super::*;
use crate::{
    fanout::Streams,
    golden::{golden, hex},
    link::{
        LinkConfig, LinkMetrics, Links, OpenRequest,
        handle::{Opening, Park},
        head::{Head, OriginFacts, OriginProcess},
        lane::{Lane, LaneOpening, LaneSession, MovedLane},
        origin::Origin,
        publish::{MovedFeed, PublishFeed, PublishTarget},
        session::{LinkSession, MovedWaiting, Waiting},
        shared::Shared,
        stage::LinkStage,
    },
    objects::{Hub, ObjectKey, ToHub},
};

/// Parcels of each version that is read, a name and hexadecimal bytes on each line.
const GOLDEN: [(u16, &str); 1] = [(1, include_str!("version-1.txt"))];

/// A parcel, with its name.
struct Sample {
    name: &'static str,
    parcel: Bytes,
    /// Reads the parcel and makes it again.
    again: fn(&[u8], Instant) -> Result<Bytes, ParcelError>,
}

fn samples(now: Instant) -> Vec<Sample> {
    let whole = |name, parcel: Result<Bytes, ParcelError>, again| Sample {
        name,
        parcel: parcel.expect("it can move"),
        again,
    };
    vec![
        whole("head", pack(&head(now), now), again::<Head>),
        whole("waiting", pack(&waiting(), now), again::<MovedWaiting>),
        whole("feed", pack(&feed().moved(), now), again::<MovedFeed>),
        whole("lane", lane_parcel(&lane(now), now), lane_again),
    ]
}

fn again<M: Carried<Limits = ()>>(parcel: &[u8], now: Instant) -> Result<Bytes, ParcelError> {
    let read = unpack::<M>(parcel, now, (), MAX_PARCEL)?;
    Ok(pack(&read, now).expect("what was read can move"))
}

fn lane_again(parcel: &[u8], now: Instant) -> Result<Bytes, ParcelError> {
    let moved = moved_lane(parcel, now)?;
    let is_listed = moved.is_listed;
    let lane = arrived(moved);
    Ok(lane_parcel_of(&lane, is_listed, now).expect("what was read can move"))
}

fn moved_lane(parcel: &[u8], now: Instant) -> Result<MovedLane, ParcelError> {
    let mut reader = ParcelReader::new(parcel, "a lane of the links", now, MAX_PARCEL)?;
    let moved = MovedLane::import(&mut reader, Rate::default())?;
    reader.finish()?;
    Ok(moved)
}

fn arrived(mut moved: MovedLane) -> Rc<Lane> {
    let origin = Origin::new(
        OriginId(0),
        format!("{}@h:1", moved.origin).parse().unwrap(),
    );
    let sessions = std::mem::take(&mut moved.sessions).into_iter();
    let sessions = sessions.map(|it| (it.id, LaneSession::new(link_session(), it.journal)));
    let sessions = sessions.collect();
    Lane::arrived(shared(), Rc::new(origin), moved, sessions)
}

fn lane_parcel(lane: &Lane, now: Instant) -> Result<Bytes, ParcelError> {
    lane_parcel_of(lane, true, now)
}

fn lane_parcel_of(lane: &Lane, is_listed: bool, now: Instant) -> Result<Bytes, ParcelError> {
    let mut parcel = ParcelWriter::new(now);
    lane.export(is_listed, &mut parcel);
    parcel.finish()
}

fn group() -> GroupName {
    "live/room".parse().unwrap()
}

fn head(now: Instant) -> Head {
    let origin = |name: &str, process, health| OriginFacts {
        name: name.to_owned(),
        greeted: Some(OriginProcess {
            epoch: 0xfeed_beef_0000_0000 + process,
            process,
            grace: Duration::from_millis(15_000),
            features: 5,
            peer: Peer {
                role: Role::Origin,
                name: format!("{name}.example"),
                aliases: vec!["alias.example".to_owned()],
            },
        }),
        health,
        displaced: Vec::new(),
        kept: Vec::new(),
    };
    let until = now + Duration::from_secs(7);
    Head {
        epoch: 0x0102_0304_0506_0708,
        next_session: 1_000,
        next_lane: 20,
        processes: 3,
        incarnation: 9,
        has_started: true,
        origins: vec![
            OriginFacts {
                displaced: vec![group(), "live/other".parse().unwrap()],
                kept: vec![group()],
                ..origin("a", 2, Health::Up)
            },
            origin("b", 3, Health::Lost { until }),
            origin("c", 1, Health::Down),
            OriginFacts {
                greeted: None,
                ..origin("d", 0, Health::New)
            },
        ],
    }
}

fn message(kind: MessageType, at: u32, payload: &[u8]) -> Message {
    Message {
        kind,
        stream: MessageStreamId(0),
        timestamp: RtmpTimestamp(at),
        payload: payload.to_vec().into(),
    }
}

fn request() -> OpenRequest {
    OpenRequest {
        group: group(),
        origin: Some("b".to_owned()),
        open: OpenSession {
            peer: "192.0.2.1:5".parse().unwrap(),
            protocol: "rtmp".to_owned(),
            connect: Bytes::from_static(b"connect"),
            claims: Some(Arc::new(ClientClaims {
                user: Some("alice".to_owned()),
                json: None,
            })),
        },
    }
}

fn link_session() -> LinkSession {
    LinkSession {
        inbox: queue::queue(1 << 20).0,
        park: Arc::default(),
        hub: None,
    }
}

fn session(id: u64) -> Waiting {
    let LinkSession { inbox, park, hub } = link_session();
    let request = request();
    let opening = Opening {
        request,
        inbox,
        park,
        hub,
    };
    Waiting::new(SessionId(id), opening)
}

fn waiting() -> MovedWaiting {
    let Waiting {
        id, mut journal, ..
    } = session(7);
    for number in 0..2 {
        let message = message(MessageType::COMMAND_AMF0, number, b"call");
        journal.append(message, Generation(1)).unwrap();
    }
    journal.asked_home = true;
    MovedWaiting { id, journal }
}

/// The feed of a publish with metadata, a data message, and two groups of pictures.
fn feed() -> PublishFeed {
    let (feed, _) = PublishFeed::of(PublishTarget {
        process: 2,
        target: Target {
            live: LiveId(77),
            writer: WriterId(3),
        },
    });
    let metadata = b"\x02\0\x0aonMetaData\x05";
    feed.push(message(MessageType::DATA_AMF0, 0, metadata));
    feed.push(message(MessageType::VIDEO, 0, b"\x17\0\0\0\0header"));
    feed.push(message(MessageType::VIDEO, 0, b"\x17\x01\0\0\0key"));
    feed.push(message(MessageType::DATA_AMF0, 10, b"\x02\0\x01d\x05"));
    for at in [40, 80] {
        feed.push(message(MessageType::VIDEO, at, b"\x27\x01\0\0\0inter"));
    }
    feed.push(message(MessageType::VIDEO, 120, b"\x17\x01\0\0\0key"));
    feed.push(message(MessageType::AUDIO, 121, b"\xaf\x01sound"));
    feed
}

fn shared() -> Rc<Shared> {
    let streams = Streams::new(Duration::from_secs(4));
    Rc::new(Shared::new(
        streams,
        LinkMetrics::default(),
        LinkStage::Running,
    ))
}

/// A lane with an accepted session, one that waits for its answer, and one whose opening waits; with
/// an audience, and with a message that has no credit.
fn lane(now: Instant) -> Rc<Lane> {
    let origin = Rc::new(Origin::new(OriginId(0), "a@h:1".parse().unwrap()));
    let opening = LaneOpening {
        id: LaneId(4),
        group: group(),
        home: "a".to_owned(),
        only_if_living: false,
        restores: false,
    };
    let lane = Lane::new(shared(), origin, opening, Rate::default());
    lane.open(session(1));
    lane.open(session(2));
    let mut origin = OriginLane::new(1 << 20, CreditBudget::new(1 << 20));
    for bytes in lane.frames(0, now) {
        origin.handle_bytes(now, &bytes).unwrap();
    }
    origin.connected(now, 0).unwrap();
    while origin.poll_event().is_some() {}
    origin.send(SessionId(1), ToSession::Accept);
    let begin = ToAudience::Begin {
        name: "board".to_owned(),
        persistent: true,
    };
    origin.audience(AudienceId(3), begin);
    for session in [1, 2].map(SessionId) {
        let flags = Flags([session.0 as u32, 0x20]);
        origin.audience(AudienceId(3), ToAudience::Join { session, flags });
    }
    let mut answers: Vec<_> = std::iter::from_fn(|| origin.poll_transmit(now)).collect();
    lane.receive(now, &mut answers).unwrap();
    lane.open(session(3));
    let long = message(MessageType::COMMAND_AMF0, 5, &[b'x'; 30]);
    lane.send_message(SessionId(1), Generation(2), long);
    lane
}

/// The frames of [`lane`] that its origin has received: two openings, each with its claims.
const RECEIVED: u64 = 2;

/// A change of the format needs a new version (`docs/replace.md`): the files here stay as they are.
#[test]
fn the_bytes_of_a_version_stay() {
    let samples = samples(Instant::now());
    let lines = samples
        .iter()
        .map(|sample| format!("{} {}\n", sample.name, hex(&sample.parcel)));
    let made: String = lines.collect();
    let (version, text) = GOLDEN[GOLDEN.len() - 1];
    assert_eq!(version, VERSION);
    assert_eq!(
        made, text,
        "edge/src/link/moved/version-{version}.txt:\n{made}"
    );
}

#[test]
fn every_version_in_use_is_read() {
    let now = Instant::now();
    for (version, text) in GOLDEN {
        let golden: BTreeMap<_, _> = golden(text).into_iter().collect();
        for Sample { name, again, .. } in samples(now) {
            let bytes = &golden[name];
            let parcel = again(bytes, now).expect("it fits");
            assert!(version < VERSION || parcel == *bytes, "{name}");
        }
    }
}

#[test]
fn a_parcel_that_is_cut_or_has_a_field_too_many_is_refused() {
    let now = Instant::now();
    for Sample {
        name,
        parcel,
        again,
    } in samples(now)
    {
        for end in 0..parcel.len() {
            let part = again(&parcel[..end], now);
            // A part can only be whole where it lacks optional fields.
            assert!(
                part.is_err() || part.as_deref() == Ok(&parcel[..end]),
                "{name} up to {end}"
            );
        }
        let other = [&parcel[..], &[0xff, 0xff, 0, 0, 0, 0]].concat();
        assert!(
            matches!(
                again(&other, now),
                Err(ParcelError::Unknown { tag: 0xffff, .. })
            ),
            "{name}"
        );
        let mut other = parcel.to_vec();
        other[1] = 9;
        let version = ParcelError::Version { version: 9 };
        assert_eq!(again(&other, now), Err(version), "{name}");
    }
}

/// Whatever is read can be written, and is the same when it is read again.
#[test]
fn changed_parcels_are_refused_or_hold() {
    let now = Instant::now();
    let mut random = StdRng::seed_from_u64(0x6c69_6e6b);
    let samples = samples(now);
    for n in 0..20_000 {
        let Sample {
            name,
            parcel,
            again,
        } = &samples[n % samples.len()];
        let mut other = parcel.to_vec();
        for _ in 0..random.random_range(1..4) {
            let place = random.random_range(0..other.len());
            match random.random_range(0..4) {
                0 => other[place] ^= 1 << random.random_range(0..8),
                1 => other[place] = random.random(),
                2 => drop(other.remove(place)),
                _ => other.insert(place, random.random()),
            }
        }
        if let Ok(once) = again(&other, now) {
            assert_eq!(
                again(&once, now),
                Ok(once.clone()),
                "{name} {}",
                hex(&other)
            );
        }
    }
}

#[test]
fn a_feed_goes_on_with_its_numbers_and_repeats_what_viewers_need() {
    let moved = feed().moved();
    let now = Instant::now();
    let parcel = pack(&moved, now).unwrap();
    let read = unpack::<MovedFeed>(&parcel, now, (), MAX_PARCEL).unwrap();
    assert_eq!(read, moved);
    let (again, source) = PublishFeed::arrived(read);
    assert!(source.is_moved);
    assert!(source.next_epoch() > 1 << 16);
    let rest = again.moved();
    // Only the epochs differ.
    assert_eq!(moved.numbers(), rest.numbers());
    let numbers: Vec<_> = rest.numbers();
    // A data message, the headers in force, the newest group of pictures.
    assert_eq!(numbers, [Some(3), None, None, Some(6), Some(7)]);
    again.push(message(MessageType::AUDIO, 140, b"\xaf\x01sound"));
    assert_eq!(again.moved().numbers().last(), Some(&Some(8)));
}

#[test]
fn a_feed_without_a_key_frame_moves_with_its_headers_and_numbers() {
    let (feed, _) = PublishFeed::new();
    feed.push(message(MessageType::VIDEO, 0, b"\x17\0\0\0\0header"));
    feed.push(message(MessageType::VIDEO, 40, b"\x27\x01\0\0\0inter"));
    // No viewer can decode the frame.
    assert_eq!(feed.moved().numbers(), [Some(0)]);
    let (again, _) = PublishFeed::arrived(feed.moved());
    again.push(message(MessageType::VIDEO, 80, b"\x17\x01\0\0\0key"));
    assert_eq!(again.moved().numbers(), [None, Some(2)]);
    let (empty, _) = PublishFeed::new();
    let (again, _) = PublishFeed::arrived(empty.moved());
    assert_eq!(again.moved().numbers(), []);
}

#[test]
fn a_lane_keeps_its_sessions_their_park_and_its_audiences() {
    let now = Instant::now();
    let parcel = lane_parcel(&lane(now), now).unwrap();
    let moved = moved_lane(&parcel, now).unwrap();
    assert_eq!(moved.to_string(), "lane 4 of live/room");
    let sessions = moved.sessions.iter();
    let sessions: Vec<_> = sessions.map(|it| (it.id.0, it.journal.is_some())).collect();
    assert_eq!(sessions, [(1, false), (2, true), (3, true)]);
    let parked = [1, 2, 3].map(|session| moved.parked(SessionId(session)));
    assert_eq!(parked, [Park::MESSAGE + 30, 0, 0]);
    let mut objects = Vec::new();
    let lane = arrived(moved);
    lane.objects(&mut objects);
    assert_eq!((&*objects[0].name, objects[0].members), ("board", 2));
    // Its origin resumes it: the frames before have arrived, and the third session opens.
    assert!(lane.has_history() && lane.has_accepted());
}

/// The hub hands places out in a row: one item has come before the next.
#[test]
fn an_adopted_session_joins_its_objects_at_the_hub_of_its_worker() {
    let now = Instant::now();
    let lane = arrived(moved_lane(&lane_parcel(&lane(now), now).unwrap(), now).unwrap());
    let (_hub, out) = Hub::new(Arc::default());
    let leave = |session| ToHub::Leave {
        audience: ObjectKey(LaneId(4), AudienceId(3)),
        session: SessionId(session),
    };
    lane.adopt(SessionId(1), Some(Arc::clone(&out)));
    assert_eq!(out.hand(leave(9)).unwrap(), 2);
    // A session without objects joins none.
    lane.adopt(SessionId(3), Some(Arc::clone(&out)));
    assert_eq!(out.hand(leave(9)).unwrap(), 3);
    let mut objects = Vec::new();
    lane.objects(&mut objects);
    assert_eq!(objects[0].members, 2);
}

/// A counter that goes on has to fit the frames of the link for as long as the edge lives.
#[test]
fn a_number_that_leaves_no_room_for_others_is_refused() {
    let now = Instant::now();
    for (tag, next_session, next_lane, incarnation) in
        [(2, 1 << 62, 1, 1), (3, 1, 1 << 62, 1), (5, 1, 1, u64::MAX)]
    {
        let head = Head {
            next_session,
            next_lane,
            incarnation,
            ..head(now)
        };
        let refused = again::<Head>(&pack(&head, now).unwrap(), now);
        let record = Head::NAME;
        assert_eq!(refused, Err(ParcelError::Value { record, tag }));
    }
}

fn config(origins: &[&str]) -> LinkConfig {
    LinkConfig {
        identity: cert::temporary().unwrap().edge,
        origins: origins.iter().map(|it| it.parse().unwrap()).collect(),
        zone: String::new(),
        capacity: 0,
        rate: Rate::default(),
    }
}

fn take(moved: &MovedLinks, origins: &[&str]) -> Result<(), MoveError> {
    let streams = Streams::new(Duration::from_secs(4));
    let (_signal, drain) = tributary_node::drain::channel();
    let metrics = LinkMetrics::default();
    Links::taking(config(origins), moved, streams, metrics, drain).map(drop)
}

#[test]
fn links_are_taken_as_a_whole_or_not_and_the_error_names_the_lane() {
    let now = Instant::now();
    let all = ["a@h:1", "b@h:2"];
    let whole = MovedLinks {
        head: pack(&head(now), now).unwrap().to_vec(),
        lanes: vec![lane_parcel(&lane(now), now).unwrap().to_vec()],
        waiting: vec![pack(&waiting(), now).unwrap().to_vec()],
    };
    assert_eq!(take(&whole, &all), Ok(()));
    let refused = |moved: &MovedLinks, origins: &[&str]| {
        take(moved, origins).expect_err("a refusal").to_string()
    };
    assert!(refused(&whole, &all[1..]).starts_with("lane 4 of live/room is at the origin a, "));
    let mut twice = whole.clone();
    twice.waiting.push(whole.waiting[0].clone());
    let error = refused(&twice, &all);
    assert_eq!(error, "session 7 contradicts another parcel: its number");
    let mut twice = whole.clone();
    twice.lanes.push(whole.lanes[0].clone());
    let error = refused(&twice, &all);
    assert_eq!(
        error,
        "lane 4 of live/room contradicts another parcel: its number"
    );
    let mut low = whole.clone();
    let head = Head {
        next_session: 3,
        ..head(now)
    };
    low.head = pack(&head, now).unwrap().to_vec();
    assert_eq!(
        refused(&low, &all),
        "session 3 contradicts another parcel: its number"
    );
    let mut cut = whole;
    cut.lanes[0].pop();
    assert!(refused(&cut, &all).starts_with("lane at place 0: "));
}

/// The events of a lane that has arrived leave on its next link as they would have on this one.
#[test]
fn a_lane_sends_from_its_new_process_what_waited_in_the_old_one() {
    let now = Instant::now();
    let before = lane(now);
    let moved = moved_lane(&lane_parcel(&before, now).unwrap(), now).unwrap();
    let after = arrived(moved);
    let received = RECEIVED;
    // The acknowledgement has no number, and stays behind.
    drop(before.frames(received, now));
    assert_eq!(after.frames(received, now), before.frames(received, now));
    let message = FromSession::Message {
        generation: Generation(2),
        message: message(MessageType::COMMAND_AMF0, 6, b"more"),
    };
    for lane in [&before, &after] {
        lane.send(SessionId(1), message.clone());
    }
    assert_eq!(after.frames(received, now), before.frames(received, now));
}
