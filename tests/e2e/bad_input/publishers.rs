//! Row 15: two publishers and one name.

use std::sync::Barrier;

use super::*;

/// The rule for the second publisher.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    /// The second is refused.
    Reject,
    /// The second one has the same identity and takes over.
    TakeOver,
}

/// One of two publishers, at an edge of its own.
struct Racer {
    client: Wired,
    stream: u32,
    who: u8,
    sent: u8,
}

impl Racer {
    /// Publishes and sends its first frames at once, as encoders do.
    fn start(&mut self, name: &str) {
        let publish = ["publish".into(), 0.0.into(), Amf::Null, name.into()];
        let publish = [&publish[..], &["live".into()]].concat();
        self.client
            .command(self.stream, &publish)
            .expect("an open connection");
        for _ in 0..4 {
            self.frame();
        }
    }

    /// Sends a frame with its publisher and its number, the first as a key frame. The session may
    /// be closed when it has lost its name.
    fn frame(&mut self) {
        let first = if self.sent == 0 { 0x17 } else { 0x27 };
        let payload = [first, 1, 0, 0, 0, self.who, self.sent];
        let time = u32::from(self.sent) * 10;
        let _ = self.client.media(self.stream, wire::VIDEO, time, &payload);
        self.sent += 1;
    }

    /// The code of the next status of its publish.
    fn code(&mut self, at_most: Duration) -> Option<String> {
        let is_publish = |message: &wire::Message| {
            let code = message.code().unwrap_or_default();
            code.starts_with("NetStream.Publish.")
        };
        self.client.wait(at_most, is_publish).ok()?.code()
    }
}

/// A thousand races, half of them for names that may be taken over, as one viewer sees them.
#[test]
fn of_two_publishers_one_writes_at_any_time() {
    let takeover = "[applications.races]\nbuiltin = \"live\"\nsecond_publisher = \"takeover\"\n";
    let neighbours = Neighbours::of(Cluster::with_live_settings(1, 2, takeover));
    let edges = [neighbours.cluster.rtmp(0), neighbours.cluster.rtmp(1)];
    thread::scope(|scope| {
        for track in 0..TRACKS {
            let policy = [Policy::Reject, Policy::TakeOver][track % 2];
            scope.spawn(move || races(edges, policy, track));
        }
    });
    neighbours.unharmed();
}

fn races(edges: [SocketAddr; 2], policy: Policy, track: usize) {
    let app = match policy {
        Policy::Reject => "live/races",
        Policy::TakeOver => "races",
    };
    let mut viewer = Wired::session(edges[track / 2 % 2], app);
    let mut sessions = [None, None];
    for race in 0..RACES / TRACKS {
        let name = format!("race{track}-{race}");
        let screen = viewer.create_stream();
        viewer.play(screen, &name);
        viewer.wait_code("NetStream.Play.Start");
        let mut racers = [0, 1].map(|who| {
            let client = sessions[who].take();
            let mut client = client.unwrap_or_else(|| Wired::session(edges[who], app));
            Racer {
                stream: client.create_stream(),
                client,
                who: who as u8,
                sent: 0,
            }
        });
        let winner = run(&mut racers, &format!("{name}?key=1"), policy);
        racers[winner]
            .client
            .media_last(racers[winner].stream, winner);
        assert_one_writer(&mut viewer, screen, policy, winner, &name);
        delete_stream(&mut viewer, screen);
        for (who, mut racer) in racers.into_iter().enumerate() {
            delete_stream(&mut racer.client, racer.stream);
            // The edge closes a publisher a second after it is refused or loses its name.
            if who == winner {
                sessions[who] = Some(racer.client);
            }
        }
    }
}

/// Both publish at the same moment; returns the index of the publisher that has the name in the
/// end.
fn run(racers: &mut [Racer; 2], name: &str, policy: Policy) -> usize {
    let barrier = Barrier::new(2);
    let codes: Vec<_> = thread::scope(|scope| {
        let running: Vec<_> = racers
            .iter_mut()
            .map(|racer| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    racer.start(name);
                    let code = racer.code(PATIENCE).expect("publish is answered");
                    for _ in 0..4 {
                        racer.frame();
                    }
                    code
                })
            })
            .collect();
        let ended = running.into_iter().map(|racer| racer.join());
        ended.map(|code| code.expect("a racer ends")).collect()
    });
    let started = |code: &String| code == "NetStream.Publish.Start";
    match policy {
        Policy::Reject => {
            assert_eq!(
                codes.iter().filter(|code| started(code)).count(),
                1,
                "{name}"
            );
            codes.iter().position(started).expect("just counted")
        }
        Policy::TakeOver => {
            assert!(codes.iter().all(started), "{name}: {codes:?}");
            // The publisher that loses its name receives a status.
            let told = wait::some(PATIENCE, || {
                let soon = Duration::from_millis(20);
                racers
                    .iter_mut()
                    .position(|racer| racer.code(soon).is_some())
            });
            1 - told.unwrap_or_else(|| panic!("{name}: both have it"))
        }
    }
}

/// Asserts that the viewer gets all frames of the winner in order, before them at most frames that
/// the first publisher sent until it lost the name, and no time that goes back.
fn assert_one_writer(viewer: &mut Wired, screen: u32, policy: Policy, winner: usize, name: &str) {
    let mut seen: Vec<(u8, u8)> = Vec::new();
    let mut time = 0;
    loop {
        let frame = viewer.wait(PATIENCE, |message| {
            message.header.kind == wire::VIDEO && message.header.stream == screen
        });
        let frame = frame.unwrap_or_else(|nothing| panic!("{name}: {nothing:?} after {seen:?}"));
        assert!(frame.header.timestamp >= time, "{name}: time goes back");
        time = frame.header.timestamp;
        if frame.payload[6] == LAST {
            break;
        }
        seen.push((frame.payload[5], frame.payload[6]));
    }
    let own = seen.iter().position(|&(who, _)| usize::from(who) == winner);
    let (before, after) = seen.split_at(own.unwrap_or(seen.len()));
    if policy == Policy::Reject {
        assert!(before.is_empty(), "{name}: {seen:?}");
    }
    let numbered = |frames: &[(u8, u8)], who: usize| {
        let mut frames = frames.iter().enumerate();
        frames.all(|(index, &frame)| frame == (who as u8, index as u8))
    };
    assert!(numbered(before, 1 - winner), "{name}: {seen:?}");
    assert!(
        numbered(after, winner) && after.len() == 8,
        "{name}: {seen:?}"
    );
}

fn delete_stream(client: &mut Wired, stream: u32) {
    let values = [
        "deleteStream".into(),
        0.0.into(),
        Amf::Null,
        f64::from(stream).into(),
    ];
    // A closed session has no stream to delete.
    let _ = client.command(0, &values);
}

impl Wired {
    /// The frame that ends a race.
    fn media_last(&mut self, stream: u32, winner: usize) {
        let payload = [0x27, 1, 0, 0, 0, winner as u8, LAST];
        self.media(stream, wire::VIDEO, 100, &payload)
            .expect("the winner stays connected");
    }
}

const RACES: usize = 1000;
/// Races that run side by side.
const TRACKS: usize = 8;
const LAST: u8 = 0xff;
