//! One direction of a path: when each packet leaves, and which never does. No socket, no clock.

use std::{
    cmp::Ordering,
    collections::BinaryHeap,
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::conditions::Conditions;

#[cfg(test)]
mod tests;

/// The packets of one direction that are on their way.
///
/// [`arrive`](Self::arrive) takes a packet in, [`due`](Self::due) is the time at which the next one
/// leaves, and [`leave`](Self::leave) gives it out. A packet goes, in this order, through a cut, a
/// loss, the queue before the narrowest part of the way, and the delay.
#[derive(Debug)]
pub struct Line<P> {
    conditions: Conditions,
    random: StdRng,
    on_the_way: BinaryHeap<OnTheWay<P>>,
    held_bytes: usize,
    /// The number of the next packet; packets with the same time leave by number.
    next_number: u64,
    /// The time at which the narrowest part has sent everything before.
    free_at: Option<Instant>,
    /// The time at which the latest packet that keeps its order leaves.
    last_due: Option<Instant>,
    counts: Counts,
}

/// The packets of one direction since its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that left, duplicates included.
    pub carried: u64,
    /// The bytes of these.
    pub bytes: u64,
    /// Packets dropped by a cut.
    pub cut: u64,
    /// Packets dropped at random.
    pub lost: u64,
    /// Packets dropped because the queue was full.
    pub overflowed: u64,
    pub reordered: u64,
    pub duplicated: u64,
}

impl Counts {
    /// All packets that were dropped.
    pub fn dropped(&self) -> u64 {
        self.cut + self.lost + self.overflowed
    }
}

impl<P: AsRef<[u8]> + Clone> Line<P> {
    /// An empty line; its random choices follow from `seed`.
    pub fn new(conditions: Conditions, seed: u64) -> Self {
        Self {
            conditions,
            random: StdRng::seed_from_u64(seed),
            on_the_way: BinaryHeap::new(),
            held_bytes: 0,
            next_number: 0,
            free_at: None,
            last_due: None,
            counts: Counts::default(),
        }
    }

    /// The conditions of the packets to come. Packets on their way keep their times.
    pub fn conditions(&mut self) -> &mut Conditions {
        &mut self.conditions
    }

    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Takes a packet in; returns it if it is dropped.
    pub fn arrive(&mut self, now: Instant, packet: P) -> Option<P> {
        if self.conditions.cut {
            self.counts.cut += 1;
            return Some(packet);
        }
        if self.happens(self.conditions.loss) {
            self.counts.lost += 1;
            return Some(packet);
        }
        let Some(sent) = self.pass_the_narrowest_part(now, packet.as_ref().len()) else {
            self.counts.overflowed += 1;
            return Some(packet);
        };
        let due = self.due_after(sent);
        if self.happens(self.conditions.duplicate) {
            self.counts.duplicated += 1;
            self.hold(due, packet.clone());
        }
        self.hold(due, packet);
        None
    }

    /// The time at which the next packet leaves.
    pub fn due(&self) -> Option<Instant> {
        self.on_the_way.peek().map(|next| next.due)
    }

    /// The next packet, if its time has come.
    pub fn leave(&mut self, now: Instant) -> Option<P> {
        if self.due()? > now {
            return None;
        }
        let packet = self.on_the_way.pop()?.packet;
        let bytes = packet.as_ref().len();
        self.held_bytes -= bytes;
        self.counts.carried += 1;
        self.counts.bytes += bytes as u64;
        Some(packet)
    }

    /// The time at which the last bit of a packet has passed the narrowest part; `None` if the queue
    /// before it has no room.
    fn pass_the_narrowest_part(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        if self.held_bytes + bytes > HELD_AT_MOST {
            return None;
        }
        let Some(rate) = self.conditions.rate else {
            return Some(now);
        };
        let begins = self.free_at.map_or(now, |free| free.max(now));
        let waiting = (begins - now).as_nanos() * u128::from(rate) / BIT_NANOS_PER_BYTE;
        // An idle line takes a packet of any size.
        if waiting > 0 && waiting + bytes as u128 > u128::from(self.conditions.queue) {
            return None;
        }
        let nanos = (bytes as u128 * BIT_NANOS_PER_BYTE).div_ceil(u128::from(rate));
        let sent = begins + Duration::from_nanos(nanos as u64);
        self.free_at = Some(sent);
        Some(sent)
    }

    /// The time at which a packet arrives that was sent at this time.
    fn due_after(&mut self, sent: Instant) -> Instant {
        let mut due = sent + self.conditions.delay;
        if !self.conditions.jitter.is_zero() {
            due += self.conditions.jitter.mul_f64(self.random.random());
        }
        if self.happens(self.conditions.reorder) {
            self.counts.reordered += 1;
            return due + self.conditions.reorder_by;
        }
        let in_order = self.last_due.map_or(due, |last| last.max(due));
        self.last_due = Some(in_order);
        in_order
    }

    fn hold(&mut self, due: Instant, packet: P) {
        self.held_bytes += packet.as_ref().len();
        self.on_the_way.push(OnTheWay {
            due,
            number: self.next_number,
            packet,
        });
        self.next_number += 1;
    }

    fn happens(&mut self, share: f64) -> bool {
        share > 0.0 && self.random.random_bool(share)
    }
}

/// A packet that waits for its time.
#[derive(Debug)]
struct OnTheWay<P> {
    due: Instant,
    number: u64,
    packet: P,
}

impl<P> OnTheWay<P> {
    fn key(&self) -> (Instant, u64) {
        (self.due, self.number)
    }
}

/// The greatest is the first to leave, as the heap wants it.
impl<P> Ord for OnTheWay<P> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

impl<P> PartialOrd for OnTheWay<P> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<P> PartialEq for OnTheWay<P> {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl<P> Eq for OnTheWay<P> {}

/// Bytes on their way in one direction at most, whatever the settings: 2 s of 1 Gbit/s. A packet beyond
/// it counts as one for which the queue had no room.
const HELD_AT_MOST: usize = 256 * 1024 * 1024;
/// Bits in a byte, by nanoseconds in a second.
const BIT_NANOS_PER_BYTE: u128 = 8_000_000_000;
