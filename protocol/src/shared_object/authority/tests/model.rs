//! Random operations by many members, with delayed messages, on an object that is stored by a store
//! that crashes.

use std::collections::VecDeque;

use proptest::prelude::*;
use rand::{Rng, SeedableRng, rngs::StdRng};

use super::*;

/// A client's view of the object: the state that it has received, and its open requests.
///
/// A server-style client receives the value of its accepted change, and sends requests at any time.
/// A player receives the slot alone: it sends another request for a slot only after an event of
/// that slot.
#[derive(Default)]
struct Client {
    flags: Flags,
    version: u32,
    slots: BTreeMap<String, Value>,
    /// The last requests, and the slots without an event since.
    asked: BTreeMap<String, Value>,
    open: BTreeSet<String>,
    /// Messages to the object and from it, in order.
    up: VecDeque<SharedObjectMessage>,
    down: VecDeque<SharedObjectMessage>,
}

impl Client {
    fn ask(&mut self, event: Event) {
        if let Event::RequestChange { name, .. } | Event::RequestRemove { name } = &event
            && !self.open.insert(name.clone())
            && !self.flags.is_server_style()
        {
            return;
        }
        if let Event::RequestChange { name, value } = &event {
            self.asked.insert(name.clone(), value.clone());
        }
        self.up.push_back(SharedObjectMessage {
            name: "o".to_owned(),
            version: self.version,
            flags: self.flags,
            events: vec![event],
        });
    }

    fn hear(&mut self, message: SharedObjectMessage) {
        assert!(message.version >= self.version, "versions go back");
        self.version = message.version;
        for event in message.events {
            match event {
                Event::UseSuccess | Event::Status { .. } | Event::SendMessage { .. } => {}
                Event::Clear => {
                    self.slots.clear();
                    self.open.clear();
                }
                Event::Change(slots) => {
                    for (name, value) in slots {
                        self.open.remove(&name);
                        self.slots.insert(name, value);
                    }
                }
                Event::Remove { name } => {
                    self.open.remove(&name);
                    self.slots.remove(&name);
                }
                Event::Success { name } => {
                    self.open.remove(&name);
                    let value = self.asked[&name].clone();
                    self.slots.insert(name, value);
                }
                Event::ChangeAccepted { name, value } => {
                    self.slots.insert(name, value);
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// One history.
struct World {
    rng: StdRng,
    object: Authority<u32>,
    clients: BTreeMap<u32, Client>,
    members: BTreeSet<u32>,
    /// The count of members so far; a session is never used again.
    next: u32,
    writes: VecDeque<Write>,
    /// The header, and the count of crashes at its write.
    header: Option<(Header, u32)>,
    disk: BTreeMap<Arc<str>, StoredSlot>,
    crashes: u32,
    /// The highest version of each slot that any member has received.
    told: BTreeMap<String, u32>,
    sent: f64,
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

impl World {
    fn new(seed: u64, durability: Option<Durability>) -> Self {
        let limits = Limits {
            tombstones: 2,
            ..Limits::default()
        };
        Self {
            rng: StdRng::seed_from_u64(seed),
            object: match durability {
                None => Authority::temporary(1, limits),
                Some(durability) => Authority::persistent(1, limits, durability, Stored::default()),
            },
            clients: BTreeMap::new(),
            members: BTreeSet::new(),
            next: 0,
            writes: VecDeque::new(),
            header: None,
            disk: BTreeMap::new(),
            crashes: 0,
            told: BTreeMap::new(),
            sent: 0.0,
        }
    }

    fn name(&mut self) -> String {
        NAMES[self.rng.random_range(0..NAMES.len())].to_owned()
    }

    fn step(&mut self) {
        let clients: Vec<_> = self.clients.keys().copied().collect();
        let one =
            (!clients.is_empty()).then(|| clients[self.rng.random_range(0..clients.len().max(1))]);
        match (self.rng.random_range(0..100), one) {
            (0..6, _) if clients.len() < 6 => {
                let flags = [PLAYER, SERVER_STYLE][self.rng.random_range(0..2)];
                self.join(Client {
                    flags,
                    ..Client::default()
                });
            }
            (6..9, Some(one)) => self.leave(one),
            (9..12, Some(one)) => self.comes_back(one),
            (12..40, Some(one)) => {
                let (name, value) = (self.name(), f64::from(self.rng.random_range(0..1_000)));
                self.client(one).ask(change(&name, value));
            }
            (40..48, Some(one)) => {
                let name = self.name();
                self.client(one).ask(remove(&name));
            }
            (48..52, Some(one)) => {
                self.sent += 1.0;
                let event = send("hear", self.sent);
                self.client(one).ask(event);
            }
            (52..68, Some(one)) => self.arrives_up(one),
            (68..84, Some(one)) => self.arrives_down(one),
            (84..86, _) => {
                let (name, value) = (self.name(), f64::from(self.rng.random_range(0..1_000)));
                self.object.set(&name, Encoded::new(&value.into())).unwrap();
            }
            (86..88, _) => {
                let name = self.name();
                self.object.remove(&name);
            }
            (88, _) => self.object.clear(),
            (89, _) => {
                let version = self.object.contents().version();
                self.object.purge(self.rng.random_range(0..=version));
            }
            (90, _) if self.object.lock_depth() < 2 => {
                self.object.lock();
            }
            (91..94, _) => {
                self.object.unlock();
            }
            (94..98, _) => self.stored(),
            _ => {}
        }
        self.settle();
    }

    fn client(&mut self, one: u32) -> &mut Client {
        self.clients.get_mut(&one).unwrap()
    }

    fn join(&mut self, mut client: Client) {
        self.next += 1;
        client.ask(Event::Use);
        self.clients.insert(self.next, client);
    }

    fn leave(&mut self, one: u32) {
        self.clients.remove(&one);
        self.object.handle_gone(one);
    }

    /// Replaces a client whose connection is lost by one with the same state.
    fn comes_back(&mut self, one: u32) {
        let client = self.clients.remove(&one).unwrap();
        self.object.handle_gone(one);
        let back = if self.object.is_persistent() {
            Client {
                flags: client.flags,
                version: client.version,
                slots: client.slots,
                ..Client::default()
            }
        } else {
            Client {
                flags: client.flags,
                ..Client::default()
            }
        };
        self.join(back);
    }

    fn arrives_up(&mut self, one: u32) {
        let most = self.rng.random_range(1..4);
        let client = self.client(one);
        let count = most.min(client.up.len());
        let messages: Vec<_> = client.up.drain(..count).collect();
        if !messages.is_empty() {
            self.object
                .handle_messages(one, Access { write: true }, messages, 1);
        }
    }

    fn arrives_down(&mut self, one: u32) {
        let client = self.client(one);
        if let Some(message) = client.down.pop_front() {
            client.hear(message);
        }
    }

    fn settle(&mut self) {
        while let Some(write) = self.object.poll_write() {
            self.writes.push_back(write);
        }
        while let Some(output) = self.object.poll_output() {
            match output {
                Output::Join { member, .. } | Output::Back { member, .. } => {
                    self.members.insert(member);
                }
                Output::Leave { member } | Output::Aside { member } => {
                    self.members.remove(&member);
                }
                Output::Body { to, body } => self.tell(&to, &body),
            }
        }
        while self.object.poll_handled().is_some() {}
        for name in NAMES {
            if let Some(version) = self.object.contents().slot_version(name) {
                let told = self.told.entry(name.to_owned()).or_default();
                assert!(version >= *told, "a slot's version goes back");
                *told = version;
            }
        }
    }

    fn tell(&mut self, to: &To<u32>, body: &Body) {
        let payload = body.encode("o", ObjectEncoding::Amf0);
        let message =
            SharedObjectMessage::decode(MessageType::SHARED_OBJECT_AMF0, &payload).unwrap();
        for (one, client) in &mut self.clients {
            let gets = match to {
                To::All => self.members.contains(one),
                To::AllBut(but) => self.members.contains(one) && but != one,
                To::One(member) => member == one,
            };
            if gets {
                client.down.push_back(message.clone());
            }
        }
    }

    fn stored(&mut self) {
        if let Some(write) = self.writes.pop_front() {
            if write.clear {
                self.disk.clear();
            }
            for (name, slot) in write.slots {
                match slot {
                    Some(slot) => self.disk.insert(name, slot),
                    None => self.disk.remove(&name),
                };
            }
            self.header = Some((write.header, self.crashes));
            self.object.handle_stored(write.ticket, true);
        }
    }

    /// Kills the process: unstored changes are lost, and all clients return.
    fn crash(&mut self) {
        self.crashes += 1;
        self.writes.clear();
        let (header, crashes) = self.header.unzip();
        let stored = Stored {
            header,
            slots: self.disk.clone(),
            crashes: self.crashes - crashes.unwrap_or(0),
            floor: 0,
        };
        let before = self.object.contents().version();
        let durability = self.object.durability().unwrap();
        self.object = Authority::persistent(1, Limits::default(), durability, stored);
        assert!(
            self.object.contents().version() > before,
            "a version is used again"
        );
        self.told.clear();
        let clients: Vec<_> = self.clients.keys().copied().collect();
        for one in clients {
            self.comes_back(one);
        }
    }

    /// Delivers and stores everything.
    fn quiet(&mut self) {
        self.object.unlock_all();
        for _ in 0..10_000 {
            self.settle();
            let ones: Vec<_> = self.clients.keys().copied().collect();
            for one in ones {
                self.arrives_up(one);
                self.settle();
                self.arrives_down(one);
            }
            self.stored();
            self.settle();
            let idle = |client: &Client| client.up.is_empty() && client.down.is_empty();
            if self.writes.is_empty() && self.clients.values().all(idle) {
                return;
            }
        }
        panic!("it never gets quiet");
    }

    fn check(&self, seed: u64) {
        let holds: BTreeMap<String, Value> = self
            .object
            .contents()
            .slots()
            .map(|(name, _, value)| (name.to_owned(), value.value()))
            .collect();
        for (one, client) in &self.clients {
            assert_eq!(client.slots, holds, "client {one} of seed {seed}");
        }
        if self.object.is_persistent() {
            let disk: BTreeMap<String, Value> = self
                .disk
                .iter()
                .filter_map(|(name, slot)| Some((name.to_string(), slot.value.as_ref()?.value())))
                .collect();
            assert_eq!(disk, holds, "the store of seed {seed}");
        }
    }
}

fn history(seed: u64, durability: Option<Durability>) {
    let mut world = World::new(seed, durability);
    for _ in 0..4 {
        for _ in 0..150 {
            world.step();
        }
        world.quiet();
        world.check(seed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn after_quiet_all_hold_the_same(seed in any::<u64>()) {
        history(seed, None);
    }

    #[test]
    fn after_quiet_all_hold_the_same_and_so_does_the_store(
        seed in any::<u64>(),
        durability in prop_oneof![
            Just(Durability::Author),
            Just(Durability::Strict),
            Just(Durability::Lazy),
        ],
    ) {
        history(seed, Some(durability));
    }

    #[test]
    fn clients_that_return_after_a_crash_see_no_version_twice(seed in any::<u64>()) {
        let mut world = World::new(seed, Some(Durability::Author));
        for _ in 0..3 {
            for _ in 0..100 {
                world.step();
            }
            world.crash();
            world.quiet();
            world.check(seed);
        }
    }
}
