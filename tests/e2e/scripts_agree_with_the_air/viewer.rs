//! A viewer of all names of an application and of its shared object.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};

use super::publisher::number_of;
use crate::support::{
    clients::wired::{Nothing, Wired},
    shared_object::{self, TEMPORARY, Told},
    wire::{self, Amf, Message},
};

/// The source of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    Publisher(u32),
    Encoder,
}

/// The media and the slots that a viewer has received.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) names: BTreeMap<String, OfName>,
    /// The slots of the shared object.
    pub(super) slots: BTreeMap<String, Amf>,
    /// The numbers of all publishers whose media ever came.
    pub(super) everybody: BTreeSet<u32>,
    pub(super) closed: bool,
}

/// The media of one name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OfName {
    /// The source of the last media; none after the end of the stream.
    pub(super) whose: Option<Whose>,
    pub(super) frames: u64,
}

/// A session that plays; it ends when dropped.
#[derive(Debug)]
pub(super) struct Viewer {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
}

impl Viewer {
    /// Plays names, and uses a shared object.
    pub(super) fn start(server: SocketAddr, app: &str, names: &[&str], object: &str) -> Self {
        let mut client = Wired::session_with(server, app, &["viewer".into()]);
        let mut streams = BTreeMap::new();
        for &name in names {
            let stream = client.create_stream();
            client.play(stream, name);
            streams.insert(stream, name.to_owned());
        }
        let join = shared_object::message(object, 0, TEMPORARY, &[(USE, Vec::new())]);
        client.shared_object(&join).expect("an open connection");
        let (seen, stop) = (Arc::default(), Arc::default());
        let (seeing, stopped): (Arc<Mutex<Seen>>, Arc<AtomicBool>) =
            (Arc::clone(&seen), Arc::clone(&stop));
        thread::spawn(move || watch(client, &streams, &seeing, &stopped));
        Self { seen, stop }
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic")
    }

    /// How many frames of a name have come.
    pub(super) fn frames(&self, name: &str) -> u64 {
        self.seen()
            .names
            .get(name)
            .copied()
            .unwrap_or_default()
            .frames
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

fn watch(
    mut client: Wired,
    streams: &BTreeMap<u32, String>,
    seen: &Mutex<Seen>,
    stop: &AtomicBool,
) {
    while !stop.load(Relaxed) {
        match client.next(Duration::from_millis(100)) {
            Ok(message) => {
                // A connection that is over shows in the next read.
                let _ = client.answer_ping(&message);
                take(&message, streams, &mut seen.lock().expect("no panic"));
            }
            Err(Nothing::Late) => {}
            Err(Nothing::Closed) => {
                seen.lock().expect("no panic").closed = true;
                return;
            }
        }
    }
}

fn take(message: &Message, streams: &BTreeMap<u32, String>, seen: &mut Seen) {
    if let Some(told) = Told::read(message) {
        return take_events(&told, &mut seen.slots);
    }
    let Some(name) = streams.get(&message.header.stream) else {
        return;
    };
    let of_name = seen.names.entry(name.clone()).or_default();
    if message.header.kind == wire::VIDEO {
        if message.payload.get(1) == Some(&0) {
            return;
        }
        of_name.frames += 1;
        let number = number_of(message);
        of_name.whose = Some(number.map_or(Whose::Encoder, Whose::Publisher));
        seen.everybody.extend(number);
    } else if message.code().as_deref() == Some("NetStream.Play.UnpublishNotify") {
        of_name.whose = None;
    }
}

fn take_events(told: &Told, slots: &mut BTreeMap<String, Amf>) {
    for (kind, data) in &told.events {
        match *kind {
            CHANGE => {
                let (name, rest) = shared_object::slot(data);
                let value = Amf::decode_all(rest).into_iter().next();
                slots.insert(name, value.unwrap_or(Amf::Undefined));
            }
            REMOVE => {
                slots.remove(&shared_object::slot(data).0);
            }
            CLEAR => slots.clear(),
            _ => {}
        }
    }
}

const USE: u8 = 1;
const CHANGE: u8 = 4;
const CLEAR: u8 = 8;
const REMOVE: u8 = 9;
