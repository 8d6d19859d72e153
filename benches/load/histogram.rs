//! Latencies in buckets that are 1/64 of their value wide.

use serde_json::{Value, json};

/// Counts durations in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Histogram {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    pub(crate) fn new() -> Self {
        Self {
            buckets: vec![0; (64 - STEP_BITS as usize + 1) << STEP_BITS],
            count: 0,
            max: 0,
        }
    }

    pub(crate) fn record(&mut self, nanos: u64) {
        self.buckets[index(nanos)] += 1;
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    /// The value below which `share` (0 to 1) of the recorded durations lies, in milliseconds.
    pub(crate) fn quantile_ms(&self, share: f64) -> f64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted && seen > 0 {
                return upper_bound(index).min(self.max) as f64 / 1e6;
            }
        }
        0.0
    }

    /// The summary that a generator process sends to the harness.
    pub(crate) fn summary(&self) -> Value {
        json!({
            "count": self.count,
            "p50_ms": self.quantile_ms(0.5),
            "p99_ms": self.quantile_ms(0.99),
            "max_ms": self.max as f64 / 1e6,
        })
    }
}

/// The value of a list below which `share` (0 to 1) of its values lies; 0 of none.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let wanted = (values.len() as f64 * share).ceil() as usize;
    values.get(wanted.max(1) - 1).copied().unwrap_or(0.0)
}

fn index(nanos: u64) -> usize {
    let bits = 64 - nanos.leading_zeros();
    let shift = bits.saturating_sub(STEP_BITS + 1);
    ((shift as usize) << STEP_BITS) + (nanos >> shift) as usize
}

fn upper_bound(index: usize) -> u64 {
    let shift = (index >> STEP_BITS).saturating_sub(1);
    let step = (index - (shift << STEP_BITS)) as u64;
    ((step + 1) << shift) - 1
}

/// Each power of two is cut into 2^6 buckets.
const STEP_BITS: u32 = 6;
