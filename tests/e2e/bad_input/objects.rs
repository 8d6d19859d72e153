//! Row 17: shared objects.

use super::*;
use crate::support::shared_object::{PERSISTENT, TEMPORARY, Told, change, message, slot};

/// One client that uses an object of the attacked instance.
struct Member {
    client: Wired,
    name: &'static str,
}

impl Member {
    fn new(server: SocketAddr, name: &'static str) -> Self {
        let client = Wired::session(server, "counter/attacked");
        let mut member = Self { client, name };
        let answer = member.ask(name, TEMPORARY, &[(1, Vec::new())]);
        assert_eq!(answer.events[0].0, 11, "{answer:?}");
        member
    }

    fn say(&mut self, events: &[(u8, Vec<u8>)]) {
        let message = message(self.name, u32::MAX, TEMPORARY, events);
        self.client
            .shared_object(&message)
            .expect("an open connection");
    }

    /// Sends an event for any object and waits for the answer.
    fn ask(&mut self, name: &str, flags: u32, events: &[(u8, Vec<u8>)]) -> Told {
        self.client
            .shared_object(&message(name, u32::MAX, flags, events))
            .expect("an open connection");
        self.hear(|told| told.name == name)
    }

    fn hear(&mut self, wanted: impl Fn(&Told) -> bool) -> Told {
        let heard = self.client.wait(PATIENCE, |message| {
            Told::read(message).is_some_and(|told| wanted(&told))
        });
        let heard = heard.unwrap_or_else(|nothing| panic!("{}: {nothing:?}", self.name));
        Told::read(&heard).expect("it was wanted")
    }

    /// Sets a slot to this value and waits for the answer.
    fn change(&mut self, value: f64) {
        self.say(&[(3, change("honest", value))]);
        self.hear(|told| told.events.iter().any(|(kind, _)| *kind == 5));
    }
}

#[test]
fn shared_objects_are_bounded_and_their_floods_harm_nobody() {
    let neighbours = Neighbours::start();
    let server = neighbours.server();
    let mut honest = [Member::new(server, "room"), Member::new(server, "room")];
    let mut value = 0.0;
    let mut serves = |what: &str| {
        value += 1.0;
        let begun = Instant::now();
        honest[0].change(value);
        let sees = |told: &Told| {
            let changed =
                |(kind, data): &(u8, Vec<u8>)| *kind == 4 && *data == change("honest", value);
            told.events.iter().any(changed)
        };
        honest[1].hear(sees);
        println!("{what}: the others share a change in {:?}", begun.elapsed());
    };
    serves("before");

    // The origin creates a few hundred objects of a client and refuses the rest.
    let mut names = Member::new(server, "names");
    for number in 0..400 {
        let name = format!("name{number}");
        let message = message(&name, 0, TEMPORARY, &[(1, Vec::new())]);
        names
            .client
            .shared_object(&message)
            .expect("an open connection");
    }
    let last = names.hear(|told| told.name == "name399");
    assert_eq!(
        last.status().as_deref(),
        Some("SharedObject.ObjectCreationFailed")
    );
    serves("names");

    // An object takes sixteen thousand slots and refuses more.
    let mut slots = Member::new(server, "slots");
    for batch in 0..100 {
        let changes: Vec<_> = (0..200)
            .map(|number| (3, change(&format!("{batch}.{number}"), 1.0)))
            .collect();
        slots.say(&changes);
    }
    let refused = slots.hear(|told| told.status().is_some());
    assert_eq!(
        refused.status().as_deref(),
        Some("SharedObject.NoWriteAccess")
    );
    serves("slots");

    // The origin refuses a value of a megabyte.
    let mut values = Member::new(server, "values");
    let mut large = change("large", 1.0);
    large.truncate(2 + 5);
    large.extend([12, 0, 0x10, 0, 0]);
    large.resize(large.len() + (1 << 20), b'v');
    let answer = values.ask("values", TEMPORARY, &[(3, large)]);
    assert_eq!(
        answer.status().as_deref(),
        Some("SharedObject.NoWriteAccess")
    );
    assert_eq!(slot(&answer.events[1].1).0, "large");
    serves("a large value");

    // The origin refuses names that this application does not store, objects that do not exist, and
    // malformed names.
    let mut stranger = Member::new(server, "own");
    for (name, flags, event, status) in [
        ("stored", PERSISTENT, 1, "ObjectCreationFailed"),
        ("room", PERSISTENT, 1, "BadPersistence"),
        ("../honest/room", TEMPORARY, 1, "ObjectCreationFailed"),
        ("a\u{0}b", TEMPORARY, 1, "ObjectCreationFailed"),
        ("nowhere", TEMPORARY, 14, "NoObjectFound"),
        ("room", TEMPORARY, 14, "NoObjectFound"),
    ] {
        let answer = stranger.ask(name, flags, &[(event, Vec::new())]);
        let status = format!("SharedObject.{status}");
        assert_eq!(answer.status(), Some(status), "{name:?}");
    }
    serves("strangers");

    // The origin skips an event whose length exceeds its message, and the client stays.
    let mut lie = message("own", 0, TEMPORARY, &[(3, change("a", 1.0))]);
    let length = lie.len() - change("a", 1.0).len() - 4;
    lie[length..length + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    stranger
        .client
        .shared_object(&lie)
        .expect("an open connection");
    stranger.ask("own", TEMPORARY, &[(3, change("a", 1.0))]);

    // The edge closes a client that sends messages of shared objects before its connect.
    let mut early = Wired::open(server).expect("a handshake");
    let use_it = message("room", 0, TEMPORARY, &[(1, Vec::new())]);
    early.shared_object(&use_it).expect("an open connection");
    assert!(early.wait_closed(PATIENCE));

    // The edge closes a client that clears an object without a pause.
    let mut storm = Member::new(server, "storm");
    let clears = message("storm", 0, TEMPORARY, &[(14, Vec::new())]);
    let deadline = Instant::now() + PATIENCE;
    while storm.client.shared_object(&clears).is_ok() {
        assert!(Instant::now() < deadline, "the storm goes on");
    }
    serves("a storm");
    assert!(neighbours.closed_for("limit_exceeded") >= 1.0);

    drop((names, slots, values, stranger, storm, honest));
    let origin = || neighbours.cluster.origin_metrics(0);
    wait::until("the objects are gone with their members", PATIENCE, || {
        origin().sum("tributary_origin_shared_objects") == 0.0
    });
    neighbours.unharmed();
}
