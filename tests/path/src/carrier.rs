//! The thread that carries packets between the two devices.

use std::{
    io::Read as _,
    num::NonZeroU64,
    os::{fd::AsFd as _, unix::net::UnixStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::setpriority_process,
    thread::set_current_timer_slack,
};
use tun_rs::SyncDevice;

use crate::line::Line;

/// The state that the thread shares with the [`Path`](crate::Path).
#[derive(Debug)]
pub(crate) struct Shared {
    /// From the near end to the far end, and back.
    pub(crate) lines: [Line<Vec<u8>>; 2],
    pub(crate) ended: bool,
}

/// The thread's part of a path.
pub(crate) struct Carrier {
    /// The devices at the near end and at the far end.
    devices: [SyncDevice; 2],
    shared: Arc<Mutex<Shared>>,
    /// A byte arrives when the path ends.
    end: UnixStream,
    buffer: Vec<u8>,
    /// Packets that have left, for their memory.
    spare: Vec<Vec<u8>>,
}

/// The result of a turn.
struct Turn {
    /// Packets read and written.
    moved: usize,
    /// The time of the next packet that leaves.
    due: Option<Instant>,
    /// The pause if packets were moved.
    rest: Duration,
    ended: bool,
}

impl Carrier {
    pub(crate) fn new(
        devices: [SyncDevice; 2],
        shared: Arc<Mutex<Shared>>,
        end: UnixStream,
    ) -> Self {
        Self {
            devices,
            shared,
            end,
            buffer: vec![0; LARGEST_PACKET],
            spare: Vec::new(),
        }
    }

    /// Carries packets until the path ends.
    pub(crate) fn run(mut self) {
        // Without these the path is late on a busy machine, and otherwise right.
        let _ = set_current_timer_slack(NonZeroU64::new(1));
        let _ = setpriority_process(None, HIGHEST_PRIORITY);
        loop {
            let turn = self.turn();
            if turn.ended {
                return;
            }
            match turn.moved {
                0 => self.wait(turn.due),
                1..BATCH => thread::sleep(turn.rest),
                _ => {}
            }
        }
    }

    /// Moves the packets that have come and those that are due, a batch of each.
    fn turn(&mut self) -> Turn {
        let mut shared = self.shared.lock().expect("no holder panics");
        let [near, far] = &self.devices;
        let [up, down] = &mut shared.lines;
        let mut moved = 0;
        for (line, from, to) in [(up, near, far), (down, far, near)] {
            moved += take_in(line, from, &mut self.buffer, &mut self.spare);
            moved += give_out(line, to, &mut self.spare);
        }
        Turn {
            moved,
            due: shared.lines.iter().filter_map(Line::due).min(),
            rest: rest(&mut shared.lines),
            ended: shared.ended,
        }
    }

    /// Waits until a packet comes, one is due, or the path ends.
    fn wait(&mut self, due: Option<Instant>) {
        let [near, far] = &self.devices;
        let mut descriptors = [
            PollFd::new(near, PollFlags::IN),
            PollFd::new(far, PollFlags::IN),
            PollFd::from_borrowed_fd(self.end.as_fd(), PollFlags::IN),
        ];
        let timeout = due.map(|due| {
            let left = due.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        // An interrupted wait is one that ends early.
        let _ = poll(&mut descriptors, timeout.as_ref());
        if !descriptors[2].revents().is_empty() {
            // The turn that follows sees that the path has ended.
            let _ = self.end.read(&mut [0]);
        }
    }
}

/// Reads packets from a device into a line; returns their number.
fn take_in(
    line: &mut Line<Vec<u8>>,
    from: &SyncDevice,
    buffer: &mut [u8],
    spare: &mut Vec<Vec<u8>>,
) -> usize {
    for moved in 0..BATCH {
        let Ok(length) = from.recv(buffer) else {
            return moved;
        };
        // The time is taken after the packet has come: no packet is early.
        let now = Instant::now();
        let mut packet = spare.pop().unwrap_or_default();
        packet.clear();
        packet.extend_from_slice(&buffer[..length]);
        if let Some(dropped) = line.arrive(now, packet) {
            put_aside(dropped, spare);
        }
    }
    BATCH
}

/// Writes the packets of a line that are due to a device; returns their number.
fn give_out(line: &mut Line<Vec<u8>>, to: &SyncDevice, spare: &mut Vec<Vec<u8>>) -> usize {
    let now = Instant::now();
    for moved in 0..BATCH {
        let Some(packet) = line.leave(now) else {
            return moved;
        };
        // A device refuses a packet only while it goes down: the packet is lost, as on any network.
        let _ = to.send(&packet);
        put_aside(packet, spare);
    }
    BATCH
}

/// The pause after packets were moved. While it lasts, a packet that comes wakes nobody: the wake-up
/// would be a cost of the sender, some ten times that of the packet itself. Packets are late by up to
/// this time at each end.
fn rest(lines: &mut [Line<Vec<u8>>]) -> Duration {
    let delays = lines.iter_mut().map(|line| line.conditions().delay);
    let shortest = delays.min().unwrap_or_default();
    (shortest / 100).clamp(LEAST_REST, LONGEST_REST)
}

fn put_aside(packet: Vec<u8>, spare: &mut Vec<Vec<u8>>) {
    if spare.len() < SPARE_AT_MOST {
        spare.push(packet);
    }
}

const LEAST_REST: Duration = Duration::from_micros(50);
const LONGEST_REST: Duration = Duration::from_micros(500);
/// Packets of one kind in a turn at most.
const BATCH: usize = 64;
/// Packets kept for their memory, 3 MiB of 1,500 bytes each.
const SPARE_AT_MOST: usize = 2048;
/// Packets are no larger than an IP packet can be.
const LARGEST_PACKET: usize = 65_535;
/// As a "nice" value.
const HIGHEST_PRIORITY: i32 = -20;
