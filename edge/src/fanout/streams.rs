//! The live streams of this edge that have a feed or a viewer.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tributary_protocol::{link::LiveId, ring::RingLimits};

use super::{
    LiveStream,
    stream::{RING, SLACK, StreamKey},
};

/// The live streams of this edge, by origin process and number. A stream lives as long as its feed
/// or a viewer holds it.
#[derive(Debug)]
pub struct Streams {
    table: Mutex<StreamTable>,
}

#[derive(Debug)]
struct StreamTable {
    /// The limits of new streams.
    limits: RingLimits,
    streams: HashMap<(u64, LiveId), Weak<LiveStream>>,
    /// Number of entries at which dead ones are removed.
    sweep_at: usize,
}

impl Streams {
    /// No streams yet. Viewers of theirs may lag by `max_lag`.
    pub fn new(max_lag: Duration) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::new(StreamTable {
                limits: limits(max_lag),
                streams: HashMap::new(),
                sweep_at: 0,
            }),
        })
    }

    /// Viewers of new streams may lag by `max_lag`.
    pub fn limit_lag(&self, max_lag: Duration) {
        self.table().limits = limits(max_lag);
    }

    fn table(&self) -> MutexGuard<'_, StreamTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The live stream with this number of this origin process. Its feed and its first viewer may
    /// come in either order.
    pub fn get_or_create(&self, origin: u64, live: LiveId) -> Arc<LiveStream> {
        let mut table = self.table();
        if table.streams.len() >= table.sweep_at {
            table.streams.retain(|_, stream| stream.strong_count() > 0);
            table.sweep_at = (table.streams.len() * 2).max(SWEEP);
        }
        let limits = table.limits;
        let entry = table.streams.entry((origin, live)).or_default();
        entry.upgrade().unwrap_or_else(|| {
            let stream = LiveStream::new(StreamKey { origin, live }, limits);
            *entry = Arc::downgrade(&stream);
            stream
        })
    }

    /// The live stream with this number of this origin process, if a feed or a viewer holds it.
    pub(crate) fn find(&self, origin: u64, live: LiveId) -> Option<Arc<LiveStream>> {
        self.table().streams.get(&(origin, live))?.upgrade()
    }

    /// A stream goes on with another source, which is this number of this origin process: its viewers
    /// stay where they are. Nothing happens if there is such a stream already.
    pub(crate) fn go_on_as(&self, stream: &Arc<LiveStream>, origin: u64, live: LiveId) {
        let mut table = self.table();
        let entry = table.streams.entry((origin, live)).or_default();
        if entry.strong_count() == 0 {
            *entry = Arc::downgrade(stream);
            stream.go_on_as(StreamKey { origin, live });
        }
    }

    /// The number of streams that a feed or a viewer holds.
    pub fn count(&self) -> usize {
        let table = self.table();
        let alive = |stream: &&Weak<LiveStream>| stream.strong_count() > 0;
        table.streams.values().filter(alive).count()
    }
}

fn limits(max_lag: Duration) -> RingLimits {
    RingLimits {
        late: max_lag + SLACK,
        ..RING
    }
}

/// Number of entries below which dead ones stay.
const SWEEP: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_lives_as_long_as_it_is_held() {
        let streams = Streams::new(Duration::from_secs(4));
        let one = streams.get_or_create(1, LiveId(1));
        assert!(Arc::ptr_eq(&one, &streams.get_or_create(1, LiveId(1))));
        let other = streams.get_or_create(2, LiveId(1));
        assert!(!Arc::ptr_eq(&one, &other));
        assert_eq!(streams.count(), 2);
        drop(one);
        assert_eq!(streams.count(), 1);
        for live in 0..10_000 {
            streams.get_or_create(3, LiveId(live));
        }
        let table = streams.table.lock().unwrap();
        assert!(table.streams.len() <= SWEEP, "{}", table.streams.len());
    }
}
