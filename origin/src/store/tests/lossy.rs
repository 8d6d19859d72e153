//! A disk that loses unsynced writes, under a store that is killed again and again.

use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use rand::{Rng, SeedableRng, rngs::StdRng};
use redb::StorageBackend;
use tributary_protocol::{
    GroupName,
    amf::Value,
    shared_object::{
        Authority, Encoded, Limits,
        authority::{Durability, Ticket},
    },
};

use crate::store::{Store, redb::RedbStorage};

/// The content of the disk, and the writes since the last sync, in order.
#[derive(Debug, Default)]
struct Image {
    synced: Vec<u8>,
    seen: Vec<u8>,
    unsynced: Vec<Unsynced>,
}

#[derive(Clone, Debug)]
enum Unsynced {
    Length(usize),
    Bytes(usize, Vec<u8>),
}

/// A disk as one process sees it; after its kill it does nothing more.
#[derive(Debug)]
struct Disk {
    image: Arc<Mutex<Image>>,
    killed: Arc<AtomicBool>,
}

impl Image {
    /// Cuts the power: any part of the unsynced writes may be lost.
    fn kill(&mut self, rng: &mut StdRng) {
        let unsynced = std::mem::take(&mut self.unsynced);
        for change in unsynced {
            if rng.random_bool(0.3) {
                write(&mut self.synced, &change);
            }
        }
        self.seen = self.synced.clone();
    }
}

fn write(bytes: &mut Vec<u8>, change: &Unsynced) {
    match change {
        Unsynced::Length(length) => bytes.resize(*length, 0),
        Unsynced::Bytes(at, data) => {
            let end = at + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*at..end].copy_from_slice(data);
        }
    }
}

impl Disk {
    fn alive(&self) -> io::Result<()> {
        if self.killed.load(Ordering::SeqCst) {
            return Err(io::Error::other("killed"));
        }
        Ok(())
    }

    fn change(&self, change: Unsynced) -> io::Result<()> {
        let mut image = self.image.lock().unwrap();
        // The check is under the lock: no write comes after the kill.
        self.alive()?;
        write(&mut image.seen, &change);
        image.unsynced.push(change);
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.image.lock().unwrap().seen.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let image = self.image.lock().unwrap();
        let from = offset as usize;
        let bytes = image.seen.get(from..from + out.len());
        out.copy_from_slice(bytes.ok_or_else(|| io::Error::other("beyond the end"))?);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(Unsynced::Length(length as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut image = self.image.lock().unwrap();
        self.alive()?;
        image.unsynced.clear();
        image.synced = image.seen.clone();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Unsynced::Bytes(offset as usize, data.to_vec()))
    }
}

/// The slots whose writes the store has acknowledged, and the highest version that a member may
/// have received.
#[derive(Default)]
struct Told {
    acknowledged: BTreeMap<String, f64>,
    version: u32,
}

#[test]
fn what_was_acknowledged_survives_and_no_version_is_used_twice() {
    let seed = rand::rng().random();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let image = Arc::new(Mutex::new(Image::default()));
    let mut told: Vec<Told> = (0..3).map(|_| Told::default()).collect();
    for round in 0..30 {
        let killed = Arc::new(AtomicBool::new(false));
        let disk = Disk {
            image: Arc::clone(&image),
            killed: Arc::clone(&killed),
        };
        let storage = RedbStorage::with_backend(disk).unwrap();
        let store = Store::on(Arc::new(storage)).unwrap();
        for (number, told) in told.iter_mut().enumerate() {
            one_life(&store, &format!("o{number}"), told, &mut rng, round);
        }
        {
            let mut image = image.lock().unwrap();
            killed.store(true, Ordering::SeqCst);
            image.kill(&mut rng);
        }
    }
}

/// Loads an object, checks it against the acknowledged slots, and changes it without waiting for
/// the end.
fn one_life(store: &Store, name: &str, told: &mut Told, rng: &mut StdRng, round: u32) {
    let group: GroupName = "app/room".parse().unwrap();
    let (tell, answers) = mpsc::sync_channel(10_000);
    let tell = move |ticket: Ticket, stored: bool| {
        let _ = tell.send((ticket, stored));
    };
    let (mut stored, found) = store.load(&group, name, tell).unwrap();
    let mut object = Authority::<u32>::persistent(1, Limits::default(), Durability::Author, found);
    assert!(
        round == 0 || object.contents().version() > told.version,
        "{} is used again after {}",
        object.contents().version(),
        told.version
    );
    for (slot, value) in &told.acknowledged {
        let now = object
            .contents()
            .slot(slot)
            .and_then(|value| value.value().as_number());
        // A later write may be stored without an acknowledgement.
        assert!(now >= Some(*value), "{slot} is {now:?} and was {value}");
    }
    let mut under_way = Vec::new();
    for change in 0..rng.random_range(1..60) {
        let slot = format!("s{}", rng.random_range(0..10));
        let value = f64::from(round * 1_000 + change);
        object
            .set(&slot, Encoded::new(&Value::from(value)))
            .unwrap();
        told.version = told.version.max(object.contents().version());
        while let Some(write) = object.poll_write() {
            under_way.push((write.ticket, slot.clone(), value));
            stored.write(write);
        }
        if rng.random_bool(0.1) {
            let answer = answers.recv_timeout(Duration::from_millis(1));
            acknowledge(told, &mut under_way, answer.ok());
        }
    }
    // Some lives end in the middle of a write.
    if rng.random_bool(0.5)
        && let Some(&(last, ..)) = under_way.last()
    {
        while let Ok(answer) = answers.recv_timeout(Duration::from_secs(5)) {
            acknowledge(told, &mut under_way, Some(answer));
            if answer.0 == last {
                break;
            }
        }
    }
    acknowledge(told, &mut under_way, answers.try_iter().last());
}

fn acknowledge(
    told: &mut Told,
    under_way: &mut Vec<(Ticket, String, f64)>,
    answer: Option<(Ticket, bool)>,
) {
    let Some((ticket, true)) = answer else { return };
    under_way.retain(|(written, slot, value)| {
        if *written <= ticket {
            told.acknowledged.insert(slot.clone(), *value);
        }
        *written > ticket
    });
}
