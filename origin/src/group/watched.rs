//! Clients' connections, as far as their applications watch them: figures, limits, pings.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use tributary_protocol::link::{Bandwidth, Statistics, frames};

mod acts;
mod api;

/// An application's requests about a client's connection, and the edge's reports.
#[derive(Debug, Default)]
pub(super) struct Watched {
    /// The edge was asked for reports.
    asked: bool,
    /// The last report, and the one before.
    report: Option<Report>,
    before: Option<Figures>,
    /// The client's traffic after each message since the last report.
    sent: VecDeque<Traffic>,
    bandwidth: Bandwidth,
}

/// The traffic of a session in its lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
    pub(super) bytes_in: u64,
    pub(super) messages_in: u64,
    pub(super) bytes_out: u64,
    pub(super) messages_out: u64,
    /// [`frames`] of the messages sent.
    frames_out: u64,
}

/// An edge's report.
#[derive(Clone, Copy, Debug)]
struct Report {
    figures: Figures,
    statistics: Statistics,
    /// The part of the lane's traffic that the report includes.
    includes: Traffic,
}

/// The traffic of a connection up to a moment, in bytes and messages.
#[derive(Clone, Copy, Debug)]
struct Figures {
    at: Instant,
    bytes_in: u64,
    bytes_out: u64,
    messages_in: u64,
    messages_out: u64,
}

/// The rates of a client's connection, in bytes a second: since the report before its edge's last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    pub from_client: u64,
    pub to_client: u64,
}

/// Messages to a client that are remembered one by one until its edge's next report. Reason: beyond
/// that several are remembered as one, which a report includes as a whole or not at all.
const MAX_SENT: usize = 256;

/// The shortest time over which a rate is measured.
const LEAST_TIME: Duration = Duration::from_secs(1);

impl Traffic {
    pub(super) fn receive(&mut self, payload: usize) {
        self.bytes_in += payload as u64;
        self.messages_in += 1;
    }

    pub(super) fn send(&mut self, payload: usize) {
        self.bytes_out += payload as u64;
        self.messages_out += 1;
        self.frames_out += frames(payload);
    }
}

impl Figures {
    /// The figures, none of them less than in `before`.
    fn at_least(self, before: Self) -> Self {
        Self {
            at: self.at,
            bytes_in: self.bytes_in.max(before.bytes_in),
            bytes_out: self.bytes_out.max(before.bytes_out),
            messages_in: self.messages_in.max(before.messages_in),
            messages_out: self.messages_out.max(before.messages_out),
        }
    }
}

impl Report {
    /// The report, and the lane's traffic beyond it.
    fn with(&self, traffic: Traffic, at: Instant) -> Figures {
        let (known, then) = (&self.figures, &self.includes);
        Figures {
            at,
            bytes_in: known.bytes_in + (traffic.bytes_in - then.bytes_in),
            bytes_out: known.bytes_out + (traffic.bytes_out - then.bytes_out),
            messages_in: known.messages_in + (traffic.messages_in - then.messages_in),
            messages_out: known.messages_out + (traffic.messages_out - then.messages_out),
        }
    }
}

impl Watched {
    /// Notes a message to the client; `traffic` includes it.
    pub(super) fn note_sent(&mut self, traffic: Traffic) {
        if !self.asked {
            return;
        }
        if self.sent.len() >= MAX_SENT {
            self.sent.pop_back();
        }
        self.sent.push_back(traffic);
    }

    fn report(&mut self, statistics: Statistics, traffic: Traffic, now: Instant) {
        // Before the first report the lane's own figures are shown.
        let shown = self.figures(traffic, now).unwrap_or(Figures {
            at: now,
            bytes_in: traffic.bytes_in,
            bytes_out: traffic.bytes_out,
            messages_in: traffic.messages_in,
            messages_out: traffic.messages_out,
        });
        let includes = Traffic {
            bytes_in: traffic.bytes_in,
            messages_in: traffic.messages_in,
            ..self.included(&statistics, traffic)
        };
        let mut report = Report {
            figures: Figures {
                at: now,
                bytes_in: statistics.bytes_in,
                bytes_out: statistics.bytes_out,
                messages_in: statistics.messages_in,
                messages_out: statistics.messages_out,
            },
            statistics,
            includes,
        };
        // Figures that were shown before are not taken back.
        let with = report.with(traffic, now);
        let raised = with.at_least(shown);
        report.figures.bytes_in += raised.bytes_in - with.bytes_in;
        report.figures.bytes_out += raised.bytes_out - with.bytes_out;
        report.figures.messages_in += raised.messages_in - with.messages_in;
        report.figures.messages_out += raised.messages_out - with.messages_out;
        self.before = self.report.as_ref().map(|report| report.figures);
        self.report = Some(report);
    }

    /// The part of the sent messages that a report includes.
    fn included(&mut self, statistics: &Statistics, traffic: Traffic) -> Traffic {
        let Some(received) = statistics.received else {
            // The edge does not count messages: its report includes all of them, also those under
            // way.
            self.sent.clear();
            return traffic;
        };
        let mut included = self.report.as_ref().map(|report| report.includes);
        while let Some(sent) = self.sent.pop_front_if(|sent| sent.frames_out <= received) {
            included = Some(sent);
        }
        // The first report includes messages from before the request for it.
        let first = self.sent.front().copied();
        included.or(first).unwrap_or(traffic)
    }

    fn figures(&self, traffic: Traffic, now: Instant) -> Option<Figures> {
        Some(self.report.as_ref()?.with(traffic, now))
    }

    fn rates(&self, traffic: Traffic, now: Instant) -> Rates {
        let since = self
            .before
            .or_else(|| self.report.as_ref().map(|it| it.figures));
        let (Some(since), Some(figures)) = (since, self.figures(traffic, now)) else {
            return Rates::default();
        };
        let time = now.saturating_duration_since(since.at);
        if time < LEAST_TIME {
            return Rates::default();
        }
        let rate = |now: u64, before: u64| {
            let bytes = u128::from(now.saturating_sub(before)) * 1000;
            u64::try_from(bytes / time.as_millis().max(1)).unwrap_or(u64::MAX)
        };
        Rates {
            from_client: rate(figures.bytes_in, since.bytes_in),
            to_client: rate(figures.bytes_out, since.bytes_out),
        }
    }
}
