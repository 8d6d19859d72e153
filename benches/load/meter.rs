//! Processor time and memory, read from `/proc`.

use std::{fs, path::Path, time::Instant};

/// The processor time of some processes and of the whole machine at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    at: Instant,
    servers: Vec<f64>,
    generators: Vec<f64>,
    idle: f64,
}

/// Processor time between two samples.
#[derive(Clone, Debug)]
pub(crate) struct Spent {
    /// Wall time in seconds.
    pub(crate) seconds: f64,
    /// Processor seconds of each server process.
    pub(crate) servers: Vec<f64>,
    /// Processor seconds of the whole machine less the generators'.
    pub(crate) machine: f64,
    /// How busy the whole machine was, generators included, 0 to 1.
    pub(crate) busy: f64,
    /// How busy the busiest generator was, 0 to 1: each has one thread.
    pub(crate) generator_busy: f64,
    /// The share of the machine that all generators used, 0 to 1.
    pub(crate) generators: f64,
}

impl Sample {
    pub(crate) fn take(servers: &[u32], generators: &[u32]) -> Self {
        Self {
            at: Instant::now(),
            servers: servers.iter().map(|pid| process_seconds(*pid)).collect(),
            generators: generators.iter().map(|pid| process_seconds(*pid)).collect(),
            idle: idle_seconds(),
        }
    }

    /// The processor time since an earlier sample of the same processes.
    pub(crate) fn since(&self, earlier: &Self) -> Spent {
        let seconds = (self.at - earlier.at).as_secs_f64();
        let machine = seconds * processors() as f64 - (self.idle - earlier.idle);
        let spent = |now: &[f64], then: &[f64]| -> Vec<f64> {
            now.iter().zip(then).map(|(now, then)| now - then).collect()
        };
        let generators = spent(&self.generators, &earlier.generators);
        let generating = generators.iter().sum::<f64>();
        Spent {
            seconds,
            servers: spent(&self.servers, &earlier.servers),
            machine: machine - generating,
            busy: machine / seconds / processors() as f64,
            generator_busy: generators.into_iter().fold(0.0, f64::max) / seconds,
            generators: generating / seconds / processors() as f64,
        }
    }
}

/// Seconds that a process's threads were on a processor; 0 if it has ended. `stat` counts in
/// hundredths, which is too coarse for a process that does little.
pub(crate) fn process_seconds(pid: u32) -> f64 {
    seconds_of(pid, |_| true)
}

/// The same of the threads with this name.
pub(crate) fn thread_seconds(pid: u32, name: &str) -> f64 {
    seconds_of(pid, |thread| {
        fs::read_to_string(thread.join("comm")).is_ok_and(|own| own.trim_end() == name)
    })
}

fn seconds_of(pid: u32, counts: impl Fn(&Path) -> bool) -> f64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0.0;
    };
    threads
        .flatten()
        .filter(|thread| counts(&thread.path()))
        .filter_map(|thread| fs::read_to_string(thread.path().join("schedstat")).ok())
        .filter_map(|line| line.split_whitespace().next()?.parse::<f64>().ok())
        .sum::<f64>()
        / 1e9
}

/// Resident bytes of a process.
pub(crate) fn resident(pid: u32) -> f64 {
    kibibytes(&format!("/proc/{pid}/status"), "VmRSS:")
}

/// The bytes that a line of a file of `/proc` gives in kB.
fn kibibytes(file: &str, key: &str) -> f64 {
    let text = fs::read_to_string(file).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix(key))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|kib| kib.parse::<f64>().ok())
        .map_or(0.0, |kib| kib * 1024.0)
}

/// Bytes of the kernel's own structures, such as sockets, on the whole machine.
pub(crate) fn kernel_structures() -> f64 {
    kibibytes("/proc/meminfo", "Slab:")
}

/// The child processes of a process.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    fs::read_to_string(path)
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .collect()
}

pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Seconds that all processors together were idle, waited for disks, or were given to other machines.
/// The kernel counts these when a processor becomes idle; the busy times beside them it samples once
/// in a tick, which misses work that is shorter.
fn idle_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    const IDLE: usize = 3;
    const WAITING: usize = 4;
    const STOLEN: usize = 7;
    let idle = [IDLE, WAITING, STOLEN].map(|index| fields.get(index).copied().unwrap_or(0.0));
    idle.iter().sum::<f64>() / TICKS_PER_SECOND
}

/// `USER_HZ`, which Linux fixes at 100 for every architecture that matters here.
const TICKS_PER_SECOND: f64 = 100.0;
