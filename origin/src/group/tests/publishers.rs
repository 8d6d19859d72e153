//! Notices of publishers for an application: one beginning and one end for each client that
//! publishes a name, in every way in which that can begin and end.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use tributary_node::config::{self, SecondPublisher};
use tributary_protocol::{MessageStreamId, amf::Value, command::Connect, link::CloseReason};

use super::stage::{Lane, Stage, live_settings, pass, play};
use crate::app::{
    Admission, Answer, Application, Applications, Call, ClientId, Context, PlayRequest,
};

/// The act of the application on a client within `published`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Check {
    #[default]
    Admits,
    Disconnects,
    Kicks,
    EndsPublish,
}

/// The notices of the application, and its next act.
#[derive(Default)]
struct Notes {
    lines: Vec<String>,
    /// The clients that publish, by name, according to the notices.
    on_air: BTreeMap<String, String>,
    /// The use of its clients' message streams, in order of their names.
    roles: Vec<(String, ClientId, MessageStreamId)>,
    pending: Vec<ClientId>,
    check: Check,
}

#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Notes>>);

impl Witness {
    fn stage(settings: config::Application) -> (Stage, Self) {
        let witness = Self::default();
        let shared = witness.clone();
        let mut applications = Applications::new();
        applications.add("app", settings, move |_| Box::new(shared.clone()));
        (Stage::with(applications), witness)
    }

    fn checks(&self, check: Check) {
        self.0.lock().unwrap().check = check;
    }

    /// The notices since the last call.
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().lines)
    }

    fn on_air(&self) -> BTreeMap<String, String> {
        self.0.lock().unwrap().on_air.clone()
    }
}

impl Application for Witness {
    fn connect(&mut self, context: &mut Context<'_>, client: ClientId, _: &Connect) -> Admission {
        match context.client(client).unwrap().peer().port() {
            1 => {
                self.0.lock().unwrap().pending.push(client);
                Admission::Pending
            }
            _ => Admission::Accept,
        }
    }

    fn disconnect(&mut self, _: &mut Context<'_>, client: ClientId, _: CloseReason) {
        let mut notes = self.0.lock().unwrap();
        let still = notes.on_air.values().any(|other| *other == shown(client));
        assert!(!still, "{client} leaves while it publishes");
        notes.lines.push(format!("disconnect {}", shown(client)));
    }

    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        let text = |at: usize| call.arguments.get(at).and_then(Value::as_str);
        let name = text(0).unwrap_or_default();
        let done = match call.name.as_str() {
            "kick" => context.kick(name, "Go away."),
            "accept" => {
                let pending = std::mem::take(&mut self.0.lock().unwrap().pending);
                for client in pending {
                    context.accept(client);
                }
                true
            }
            "mix" | "stop" => {
                let id = context.open_stream(name).unwrap();
                let mut stream = context.stream(id).unwrap();
                if call.name == "mix" {
                    stream.play(&PlayRequest::live("source"))
                } else {
                    stream.stop()
                }
            }
            "who" => {
                let mut roles = Vec::new();
                for client in context.clients() {
                    roles.extend(client.streams().filter_map(|stream| {
                        Some((stream.publishes?.to_owned(), client.id(), stream.stream))
                    }));
                }
                roles.sort_by(|a, b| a.0.cmp(&b.0));
                self.0.lock().unwrap().roles = roles;
                true
            }
            _ => return Answer::Unknown,
        };
        Answer::Result(done.into())
    }

    fn published(&mut self, context: &mut Context<'_>, client: ClientId, name: &str) {
        let mut notes = self.0.lock().unwrap();
        notes.lines.push(format!("{name} on {}", shown(client)));
        let before = notes.on_air.insert(name.to_owned(), shown(client));
        assert_eq!(before, None, "{name} had a publisher");
        let check = notes.check;
        drop(notes);
        match check {
            Check::Admits => {}
            Check::Disconnects => context.disconnect(client),
            Check::Kicks => assert!(context.kick(name, "No.")),
            Check::EndsPublish => {
                let id = context.open_stream(name).unwrap();
                assert!(context.stream(id).unwrap().stop());
            }
        }
    }

    fn unpublished(&mut self, context: &mut Context<'_>, client: ClientId, name: &str) {
        let id = context.open_stream(name).unwrap();
        let stream = context.stream(id).unwrap();
        let query = stream.publish_query().to_owned();
        let mut notes = self.0.lock().unwrap();
        let query = if query.is_empty() {
            query
        } else {
            format!(" {query}")
        };
        notes
            .lines
            .push(format!("{name} off {}{query}", shown(client)));
        let before = notes.on_air.remove(name);
        assert_eq!(before, Some(shown(client)), "{name} was not its");
    }
}

/// A client as a test names it: lane and session.
fn shown(client: ClientId) -> String {
    format!("{}.{}", client.0.lane.0, client.0.session.0)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn takeover() -> config::Application {
    config::Application {
        second_publisher: SecondPublisher::Takeover,
        ..live_settings()
    }
}

/// Lanes 1 and 2, each with client 1; their messages so far are dropped.
async fn two(stage: &mut Stage) -> (Lane, Lane) {
    let mut first = stage.lane("app");
    let mut second = stage.lane("app");
    first.client(1).await;
    second.client(1).await;
    (first, second)
}

fn accepts(heard: &[String]) -> bool {
    heard.iter().any(|line| line.starts_with("AcceptPublish"))
}

#[test]
fn a_lost_publisher_is_told_at_once_and_the_next_one_before_its_media() {
    for reason in [
        CloseReason::Transport,
        CloseReason::Client,
        CloseReason::OriginLost,
    ] {
        play(async {
            let (mut stage, witness) = Witness::stage(live_settings());
            let (mut good, mut bad) = two(&mut stage).await;
            good.publish(1, "cam", 1);
            good.clear().await;
            assert_eq!(witness.told(), ["cam on 1.1"]);
            good.closed(1, reason);
            good.clear().await;
            assert_eq!(witness.told(), ["cam off 1.1", "disconnect 1.1"]);
            pass(seconds(2)).await;
            bad.publish(1, "cam", 1);
            assert!(accepts(&bad.heard(1).await));
            assert_eq!(witness.told(), ["cam on 2.1"]);
            pass(seconds(60)).await;
            assert!(witness.told().is_empty());
        });
    }
}

#[test]
fn a_lost_publisher_that_stays_away_is_told_once() {
    play(async {
        let (mut stage, witness) = Witness::stage(live_settings());
        let (publisher, mut viewer) = two(&mut stage).await;
        viewer.play(1, "cam");
        publisher.publish(1, "cam?k=1", 1);
        publisher.closed(1, CloseReason::Transport);
        viewer.clear().await;
        assert_eq!(
            witness.told(),
            ["cam on 1.1", "cam off 1.1 k=1", "disconnect 1.1"]
        );
        pass(Duration::from_millis(4_999)).await;
        assert!(viewer.heard(1).await.is_empty(), "viewers wait");
        pass(Duration::from_millis(1)).await;
        assert_eq!(viewer.heard(1).await.len(), 2);
        assert!(witness.told().is_empty());
    });
}

#[test]
fn a_publisher_that_is_sent_away_by_its_check_reaches_nobody() {
    for check in [Check::Disconnects, Check::Kicks, Check::EndsPublish] {
        for lost in [false, true] {
            play(async {
                let (mut stage, witness) = Witness::stage(live_settings());
                let (mut good, mut bad) = two(&mut stage).await;
                let mut viewer = stage.lane("app");
                viewer.client(1).await;
                viewer.play(1, "cam");
                if lost {
                    good.publish(1, "cam", 1);
                    good.clear().await;
                    good.closed(1, CloseReason::Transport);
                }
                viewer.clear().await;
                witness.told();
                witness.checks(check);
                bad.publish(1, "cam", 1);
                let heard = bad.heard(1).await;
                assert!(!accepts(&heard), "{check:?}: {heard:?}");
                assert!(!heard.contains(&"1 NetStream.Publish.Start".to_owned()));
                assert!(
                    heard.contains(&"StopPublish 1 generation 1".to_owned())
                        || check == Check::Disconnects
                );
                assert!(bad.writers.is_empty());
                let left = (check == Check::Disconnects).then(|| "disconnect 2.1".to_owned());
                let expected = ["cam on 2.1".to_owned(), "cam off 2.1".to_owned()];
                let expected: Vec<_> = expected.into_iter().chain(left).collect();
                assert_eq!(witness.told(), expected, "{check:?}");
                let ends = if lost { 2 } else { 0 };
                assert_eq!(viewer.heard(1).await.len(), ends, "{check:?}");
                witness.checks(Check::Admits);
                let mut next = stage.lane("app");
                next.client(1).await;
                next.publish(1, "cam", 1);
                assert!(accepts(&next.heard(1).await));
                assert!(
                    viewer
                        .heard(1)
                        .await
                        .contains(&"1 NetStream.Play.PublishNotify".to_owned())
                );
            });
        }
    }
}

#[test]
fn a_take_over_is_the_end_of_one_and_the_beginning_of_the_other() {
    play(async {
        for (settings, stalled, outage) in [
            (takeover(), false, false),
            (live_settings(), true, false),
            (live_settings(), false, true),
        ] {
            let (mut stage, witness) = Witness::stage(settings);
            let (mut old, mut new) = two(&mut stage).await;
            old.publish(1, "cam?k=1", 1);
            old.clear().await;
            old.stalled(1, stalled);
            if outage {
                old.outage(true);
            }
            new.publish(1, "cam?k=1", 1);
            assert!(accepts(&new.heard(1).await));
            let expected = ["cam on 1.1", "cam off 1.1 k=1", "cam on 2.1"];
            assert_eq!(witness.told(), expected);
            new.call(1, 1, "closeStream", 0.0, &[]);
            new.clear().await;
            assert_eq!(witness.told(), ["cam off 2.1 k=1"]);
        }
    });
}

#[test]
fn a_client_that_goes_on_publishing_is_not_told_again() {
    play(async {
        let (mut stage, witness) = Witness::stage(takeover());
        let mut lane = stage.lane("app");
        lane.client(1).await;
        lane.call(1, 0, "createStream", 3.0, &[]);
        lane.publish(1, "cam?k=1", 1);
        lane.clear().await;
        let with = ["cam?k=1".into(), "live".into()];
        lane.call_at(1, 2, "publish", 0.0, &with, 2);
        let heard = lane.heard(1).await;
        assert!(accepts(&heard), "{heard:?}");
        assert_eq!(witness.told(), ["cam on 1.1"]);
        lane.call(1, 0, "deleteStream", 0.0, &[1.0.into()]);
        lane.clear().await;
        assert!(witness.told().is_empty());
        lane.call(1, 0, "deleteStream", 0.0, &[2.0.into()]);
        lane.clear().await;
        assert_eq!(witness.told(), ["cam off 1.1 k=1"]);
    });
}

#[test]
fn a_stream_of_the_application_takes_a_stalled_name() {
    play(async {
        let (mut stage, witness) = Witness::stage(live_settings());
        let (mut publisher, mut other) = two(&mut stage).await;
        publisher.publish(1, "cam", 1);
        publisher.stalled(1, true);
        publisher.clear().await;
        other.call(1, 0, "mix", 3.0, &["cam".into()]);
        other.clear().await;
        assert_eq!(witness.told(), ["cam on 1.1", "cam off 1.1"]);
        let heard = publisher.heard(1).await;
        assert_eq!(
            heard[..2],
            ["StopPublish 1 generation 1", "1 NetStream.Publish.BadName"]
        );
    });
}

#[test]
fn a_shutdown_ends_every_publish_before_its_client() {
    play(async {
        let (mut stage, witness) = Witness::stage(live_settings());
        let (mut first, mut second) = two(&mut stage).await;
        first.publish(1, "a", 1);
        second.publish(1, "b", 1);
        first.clear().await;
        second.clear().await;
        witness.told();
        stage.groups.shutdown().await;
        let mut told = witness.told();
        told.sort();
        let expected = ["a off 1.1", "b off 2.1", "disconnect 1.1", "disconnect 2.1"];
        assert_eq!(told, expected);
    });
}

#[test]
fn what_was_sent_before_the_accept_is_told_in_order() {
    play(async {
        let (mut stage, witness) = Witness::stage(live_settings());
        let (mut steers, mut lane) = two(&mut stage).await;
        lane.open_from(5, "127.0.0.1:1", Default::default());
        lane.call(5, 0, "createStream", 2.0, &[]);
        lane.publish(5, "cam", 1);
        lane.call(5, 0, "deleteStream", 0.0, &[1.0.into()]);
        lane.call(5, 0, "createStream", 4.0, &[]);
        lane.publish(5, "cam", 2);
        lane.clear().await;
        steers.call(1, 0, "accept", 2.0, &[]);
        let heard = lane.heard(5).await;
        let accepted = heard
            .iter()
            .filter(|line| line.starts_with("AcceptPublish"));
        assert_eq!(accepted.count(), 2, "{heard:?}");
        assert_eq!(witness.told(), ["cam on 2.5", "cam off 2.5", "cam on 2.5"]);
        steers.clear().await;
    });
}

/// A stage under random operations.
struct Model {
    rng: StdRng,
    stage: Stage,
    witness: Witness,
    lanes: Vec<Lane>,
    /// The sessions that are open, by lane.
    sessions: Vec<(usize, u64)>,
    last: u64,
    lost: [bool; 2],
    /// The last status of a viewer's names.
    seen: BTreeMap<u64, bool>,
}

const NAMES: [&str; 2] = ["a", "b"];
const QUERIES: [&str; 3] = ["", "?k=1", "?k=2"];
/// Sessions of the third lane: one steers, two watch a name each.
const STEERS: u64 = 1;

impl Model {
    async fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let settings = if rng.random() {
            takeover()
        } else {
            live_settings()
        };
        let (mut stage, witness) = Witness::stage(settings);
        let mut lanes: Vec<_> = (0..3).map(|_| stage.lane("app")).collect();
        lanes[2].client(STEERS).await;
        for (viewer, name) in (2..).zip(NAMES) {
            lanes[2].client(viewer).await;
            lanes[2].play(viewer, name);
        }
        lanes[2].clear().await;
        Self {
            rng,
            stage,
            witness,
            lanes,
            sessions: Vec::new(),
            last: 10,
            lost: [false; 2],
            seen: BTreeMap::new(),
        }
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.random_range(0..of.len())]
    }

    async fn open(&mut self) {
        self.last += 1;
        let (lane, session) = (self.rng.random_range(0..2), self.last);
        let port = if self.rng.random_ratio(1, 4) {
            1
        } else {
            5_000
        };
        let peer = format!("127.0.0.1:{port}");
        self.lanes[lane].open_from(session, &peer, Default::default());
        for transaction in [2.0, 3.0] {
            self.lanes[lane].call(session, 0, "createStream", transaction, &[]);
        }
        self.sessions.push((lane, session));
    }

    fn publish(&mut self, lane: usize, session: u64) {
        let name = format!("{}{}", self.pick(&NAMES), self.pick(&QUERIES));
        let stream = self.rng.random_range(1..=2);
        let generation = self.rng.random_range(0..100);
        let with = [name.into(), "live".into()];
        self.lanes[lane].call_at(session, stream, "publish", 0.0, &with, generation);
    }

    fn steer(&self, name: &str, about: &str) {
        self.lanes[2].call(STEERS, 0, name, 9.0, &[about.into()]);
    }

    /// One operation, as text.
    async fn step(&mut self) -> String {
        let operation = self.rng.random_range(0..20);
        let name = self.pick(&NAMES);
        let session =
            (!self.sessions.is_empty()).then(|| self.rng.random_range(0..self.sessions.len()));
        let (Some(at), 1..) = (session, operation) else {
            self.open().await;
            return format!("open {:?}", self.sessions.last());
        };
        let (lane, session) = self.sessions[at];
        match operation {
            1..=6 => self.publish(lane, session),
            7 => self.lanes[lane].call(
                session,
                self.rng.random_range(1..=2),
                "closeStream",
                0.0,
                &[],
            ),
            8 => {
                let stream = f64::from(self.rng.random_range(1..=2));
                self.lanes[lane].call(session, 0, "deleteStream", 0.0, &[stream.into()]);
                self.lanes[lane].call(session, 0, "createStream", 4.0, &[]);
            }
            9..=10 => {
                let reason = self.pick(&[
                    CloseReason::Client,
                    CloseReason::Transport,
                    CloseReason::OriginLost,
                    CloseReason::Application,
                    CloseReason::Moved,
                ]);
                self.lanes[lane].closed(session, reason);
                self.sessions.swap_remove(at);
            }
            11 => {
                let stalled = self.rng.random();
                self.lanes[lane].stalled(session, stalled);
            }
            12 => {
                self.lost[lane] ^= true;
                self.lanes[lane].outage(self.lost[lane]);
            }
            13 => pass(Duration::from_millis(self.rng.random_range(0..6_000))).await,
            14 => {
                let query = self.pick(&QUERIES);
                let name = format!("{name}{query}");
                self.lanes[lane].call(session, 0, "releaseStream", 5.0, &[name.into()]);
            }
            15 => self.steer("kick", name),
            16 => self.steer("stop", name),
            17 => self.steer("mix", name),
            18 => self.steer("accept", ""),
            _ => {
                let checks = [
                    Check::Admits,
                    Check::Admits,
                    Check::Admits,
                    Check::Disconnects,
                    Check::Kicks,
                    Check::EndsPublish,
                ];
                let check = self.pick(&checks);
                self.witness.checks(check);
                return format!("check {check:?}");
            }
        }
        format!("{operation} {lane} {session} {name}")
    }

    /// The notices agree with the use of the clients' streams, and those clients may write.
    async fn check(&mut self, done: &[String]) {
        self.steer("who", "");
        for lane in &mut self.lanes[..2] {
            lane.clear().await;
        }
        let (told, roles) = {
            let notes = self.witness.0.lock().unwrap();
            let told = notes
                .on_air
                .iter()
                .map(|(name, client)| format!("{name} {client}"));
            let roles = notes.roles.iter();
            let roles = roles.map(|(name, client, _)| format!("{name} {}", shown(*client)));
            (told.collect::<Vec<_>>(), roles.collect::<Vec<_>>())
        };
        assert_eq!(told, roles, "{done:#?}");
        for (name, client, stream) in &self.witness.0.lock().unwrap().roles {
            let key = client.0;
            let lane = &self.lanes[key.lane.0 as usize - 1];
            let writer = lane.writers.get(&(key.session.0, stream.0));
            let may_write = writer.is_some_and(|(live, writer)| live.is_writer(*writer));
            assert!(may_write, "{name}: {done:#?}");
        }
        for viewer in 2..4 {
            for line in self.lanes[2].heard(viewer).await {
                let on = match line.as_str() {
                    "1 NetStream.Play.PublishNotify" => true,
                    line if line.starts_with("1 NetStream.Play.UnpublishNotify") => false,
                    _ => continue,
                };
                let before = self.seen.insert(viewer, on).unwrap_or_default();
                assert_ne!(before, on, "viewer {viewer}: {done:#?}");
            }
        }
    }
}

#[test]
fn what_is_told_is_who_is_on_air() {
    let first: u64 = rand::rng().random();
    println!("seeds from {first}");
    for seed in 0..SEEDS {
        play(async {
            let mut model = Model::new(first.wrapping_add(seed)).await;
            let mut done = vec![format!("seed {}", first.wrapping_add(seed))];
            for _ in 0..STEPS {
                // Some come together.
                for _ in 0..model.rng.random_range(1..=3) {
                    let step = model.step().await;
                    done.push(step);
                }
                model.check(&done).await;
            }
            model.stage.groups.shutdown().await;
            assert!(model.witness.on_air().is_empty(), "{done:#?}");
        });
    }
}

const SEEDS: u64 = 100;
const STEPS: usize = 60;
