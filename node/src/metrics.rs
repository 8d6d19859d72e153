//! The registry of a process, and the metrics of every process.

use std::{fmt, fs, time::Instant};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{
        MetricType,
        counter::ConstCounter,
        gauge::{ConstGauge, Gauge},
        info::Info,
    },
    registry::{Registry, Unit},
};

/// A registry with the metrics of the process: its build, memory, descriptors and CPU time.
pub fn registry(version: &'static str) -> Registry {
    let mut registry = Registry::default();
    registry.register(
        "tributary_build",
        "The running build",
        Info::new([("version", version)]),
    );
    registry.register_collector(Box::new(Process {
        started: Instant::now(),
    }));
    registry
}

/// The metrics of `/proc/self`, read at each scrape.
#[derive(Debug)]
struct Process {
    started: Instant,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, value: f64| {
            let gauge = ConstGauge::new(value);
            let metric = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            gauge.encode(metric)
        };
        let resident = resident_bytes().unwrap_or(0) as f64;
        gauge(
            "process_resident_memory",
            "Resident memory",
            Some(&Unit::Bytes),
            resident,
        )?;
        let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as f64;
        gauge("process_open_fds", "Open descriptors", None, open)?;
        let uptime = self.started.elapsed().as_secs_f64();
        gauge(
            "process_uptime",
            "Time since the start",
            Some(&Unit::Seconds),
            uptime,
        )?;
        let cpu = ConstCounter::new(cpu_seconds().unwrap_or(0.0));
        let kind = MetricType::Counter;
        let help = "CPU time, user and system";
        let metric = encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), kind)?;
        cpu.encode(metric)
    }
}

/// Resident memory of this process.
fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The CPU time of this process, over all threads.
fn cpu_seconds() -> Option<f64> {
    let schedstat = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    let tasks = fs::read_dir("/proc/self/task").ok()?;
    let nanoseconds: u64 = tasks.filter_map(|entry| schedstat(entry.ok()?)).sum();
    Some(nanoseconds as f64 / 1e9)
}

/// Adds one to a gauge for as long as it lives.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_knows_itself() {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry("1.2.3")).unwrap();
        for name in [
            "tributary_build_info{version=\"1.2.3\"} 1",
            "process_resident_memory_bytes ",
            "process_open_fds ",
            "process_uptime_seconds ",
            "process_cpu_seconds_total ",
        ] {
            assert!(text.contains(name), "{name} in\n{text}");
        }
        assert!(resident_bytes().unwrap() > 100_000);
    }
}
