//! Acknowledgement windows (RTMP 1.0, 5.4.3 to 5.4.5).
//!
//! What we receive is acknowledged twice per window of the peer's, so that a sender that counts the
//! handshake too never waits for us. What we send is never held back for the peer's
//! acknowledgements: many players send none.

use crate::message::control::{BandwidthLimit, Control};

/// A window below this would make us answer almost every read.
const MIN_WINDOW: u32 = 64 * 1024;

/// A window above this would leave a peer that waits for acknowledgements waiting too long.
const MAX_WINDOW: u32 = 16 * 1024 * 1024;

/// What is assumed until the peer states its window, and what we state: 2,500,000 bytes.
pub(super) const DEFAULT_WINDOW: u32 = 2_500_000;

/// Both directions' windows.
#[derive(Debug)]
pub(super) struct Flow {
    /// Bytes received after the handshake, wrapping.
    received: u32,
    /// The last sequence number we sent.
    acknowledged: u32,
    /// The peer's window, brought into our bounds.
    window: u32,
    /// The window we last stated; 0 before.
    stated: u32,
    /// The last bandwidth limit of the peer was hard.
    hard: bool,
    /// Bytes sent after the handshake.
    sent: u64,
    /// The last sequence number of the peer, if it sends any.
    peer_acknowledged: Option<u32>,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self {
            received: 0,
            acknowledged: 0,
            window: DEFAULT_WINDOW,
            stated: 0,
            hard: false,
            sent: 0,
            peer_acknowledged: None,
        }
    }

    /// Counts received bytes.
    pub(super) fn receive(&mut self, bytes: usize) {
        self.received = self.received.wrapping_add(bytes as u32);
    }

    /// The acknowledgement that is due, at most one for all bytes so far.
    pub(super) fn acknowledgement(&mut self) -> Option<Control> {
        if self.received.wrapping_sub(self.acknowledged) < self.window / 2 {
            return None;
        }
        self.acknowledged = self.received;
        Some(Control::Acknowledgement(self.received))
    }

    /// The peer states its window.
    pub(super) fn set_window(&mut self, window: u32) {
        self.window = window.clamp(MIN_WINDOW, MAX_WINDOW);
    }

    /// We state a window.
    pub(super) fn state_window(&mut self, window: u32) -> Control {
        self.stated = window;
        Control::WindowAckSize(window)
    }

    /// The peer limits what we send: the answer is a window, if it differs from the one it knows.
    pub(super) fn set_peer_bandwidth(
        &mut self,
        window: u32,
        limit: BandwidthLimit,
    ) -> Option<Control> {
        let window = window.clamp(MIN_WINDOW, MAX_WINDOW);
        let next = match limit {
            BandwidthLimit::Hard => window,
            BandwidthLimit::Soft if self.stated != 0 => window.min(self.stated),
            BandwidthLimit::Dynamic if !self.hard => return None,
            BandwidthLimit::Soft | BandwidthLimit::Dynamic => window,
        };
        if limit != BandwidthLimit::Dynamic {
            self.hard = limit == BandwidthLimit::Hard;
        }
        (next != self.stated).then(|| self.state_window(next))
    }

    /// The peer acknowledges.
    pub(super) fn acknowledged_by_peer(&mut self, sequence: u32) {
        self.peer_acknowledged = Some(sequence);
    }

    /// Counts sent bytes.
    pub(super) fn send(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Bytes sent after the handshake.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// The last sequence number the peer acknowledged.
    pub(super) fn peer_acknowledged(&self) -> Option<u32> {
        self.peer_acknowledged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_come_twice_per_window_and_wrap() {
        let mut flow = Flow::new();
        flow.set_window(1_000_000);
        let mut total = 0_u32;
        let mut count = 0;
        for _ in 0..100_000 {
            flow.receive(100_000);
            total = total.wrapping_add(100_000);
            if let Some(acknowledgement) = flow.acknowledgement() {
                assert_eq!(acknowledgement, Control::Acknowledgement(total));
                count += 1;
            }
            assert_eq!(flow.acknowledgement(), None);
        }
        // 10^10 bytes: the sequence number has wrapped twice.
        assert_eq!(count, 20_000);
    }

    #[test]
    fn windows_are_brought_into_bounds() {
        for (window, due) in [(0, 32 * 1024), (1, 32 * 1024), (u32::MAX, 8 * 1024 * 1024)] {
            let mut flow = Flow::new();
            flow.set_window(window);
            flow.receive(due - 1);
            assert_eq!(flow.acknowledgement(), None);
            flow.receive(1);
            assert_eq!(
                flow.acknowledgement(),
                Some(Control::Acknowledgement(due as u32))
            );
        }
    }

    #[test]
    fn a_bandwidth_limit_is_answered_once_by_a_window() {
        let mut flow = Flow::new();
        flow.state_window(2_500_000);
        let table = [
            (1_000_000, BandwidthLimit::Dynamic, None),
            (1_000_000, BandwidthLimit::Hard, Some(1_000_000)),
            (1_000_000, BandwidthLimit::Hard, None),
            (2_000_000, BandwidthLimit::Dynamic, Some(2_000_000)),
            (3_000_000, BandwidthLimit::Soft, None),
            (1_500_000, BandwidthLimit::Soft, Some(1_500_000)),
            (500_000, BandwidthLimit::Dynamic, None),
            (0, BandwidthLimit::Hard, Some(MIN_WINDOW)),
        ];
        for (window, limit, expected) in table {
            let answer = flow.set_peer_bandwidth(window, limit);
            assert_eq!(
                answer,
                expected.map(Control::WindowAckSize),
                "{window} {limit:?}"
            );
        }
    }
}
