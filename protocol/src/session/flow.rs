//! Acknowledgement windows (RTMP 1.0, 5.4.3 to 5.4.5).
//!
//! Received bytes are acknowledged twice per window of the peer, and early enough for a sender that
//! counts the handshake too. Sent bytes are never held back for the peer's acknowledgements: many
//! players send none.

use crate::message::control::{BandwidthLimit, ControlMessage};

mod parcel;

/// The smallest window that this end states. Reason: below it the peer would acknowledge almost
/// every write. The peer's own window has no such bound: a peer with a small window may wait for
/// each acknowledgement.
const MIN_STATED_WINDOW: u32 = 64 * 1024;

/// The largest window, in either direction. Reason: a peer that waits for acknowledgements would wait
/// too long.
const MAX_WINDOW: u32 = 16 * 1024 * 1024;

/// The bytes of C0, C1 and C2, which some senders count as sent.
const HANDSHAKE_BYTES: u32 = 1 + 2 * 1536;

/// The window assumed of a peer that has stated none, and the window that this end states:
/// 2,500,000 bytes.
pub(super) const DEFAULT_WINDOW: u32 = 2_500_000;

/// The windows of both directions.
#[derive(Debug)]
pub(super) struct Flow {
    /// Bytes received after the handshake, wrapping.
    received: u32,
    /// The last sequence number sent.
    acknowledged: u32,
    /// The received bytes after which an acknowledgement is due.
    due: u32,
    /// The window last stated; 0 before.
    stated: u32,
    /// Whether the last bandwidth limit of the peer was hard.
    hard: bool,
    /// Bytes sent after the handshake.
    sent: u64,
    /// The peer's last sequence number, if it sends any.
    peer_acknowledged: Option<u32>,
}

impl Flow {
    pub(super) fn new() -> Self {
        Self {
            received: 0,
            acknowledged: 0,
            due: due_within(DEFAULT_WINDOW),
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
    pub(super) fn acknowledgement(&mut self) -> Option<ControlMessage> {
        if self.received.wrapping_sub(self.acknowledged) < self.due {
            return None;
        }
        self.acknowledged = self.received;
        Some(ControlMessage::Acknowledgement(self.received))
    }

    /// Sets the window that the peer has stated.
    pub(super) fn set_window(&mut self, window: u32) {
        self.due = due_within(window.min(MAX_WINDOW));
    }

    /// The message that states a window to the peer.
    pub(super) fn state_window(&mut self, window: u32) -> ControlMessage {
        self.stated = window;
        ControlMessage::WindowAckSize(window)
    }

    /// Handles the peer's limit; the answer is a window, if it differs from the one stated.
    pub(super) fn set_peer_bandwidth(
        &mut self,
        window: u32,
        limit: BandwidthLimit,
    ) -> Option<ControlMessage> {
        let window = window.clamp(MIN_STATED_WINDOW, MAX_WINDOW);
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

    /// Notes the peer's acknowledgement.
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

    /// The last sequence number that the peer acknowledged.
    pub(super) fn peer_acknowledged(&self) -> Option<u32> {
        self.peer_acknowledged
    }
}

/// The bytes after which a sender with this window is acknowledged: half of it, or less if the
/// handshake may have used the other half; at least one byte.
fn due_within(window: u32) -> u32 {
    let after_handshake = window.saturating_sub(HANDSHAKE_BYTES);
    (window / 2).min(after_handshake).max(1)
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
                assert_eq!(acknowledgement, ControlMessage::Acknowledgement(total));
                count += 1;
            }
            assert_eq!(flow.acknowledgement(), None);
        }
        // 10^10 bytes: the sequence number has wrapped twice.
        assert_eq!(count, 20_000);
    }

    #[test]
    fn windows_are_brought_into_bounds() {
        for (window, due) in [
            (0, 1),
            (1, 1),
            (3_000, 1),
            (5_000, 1_927),
            (30_000, 15_000),
            (64 * 1024, 32 * 1024),
            (u32::MAX, 8 * 1024 * 1024),
        ] {
            let mut flow = Flow::new();
            flow.set_window(window);
            flow.receive(due - 1);
            assert_eq!(flow.acknowledgement(), None);
            flow.receive(1);
            assert_eq!(
                flow.acknowledgement(),
                Some(ControlMessage::Acknowledgement(due as u32))
            );
        }
    }

    /// A sender that never has more than its window under way, with or without the handshake, never
    /// waits for ever.
    #[test]
    fn a_sender_that_waits_for_each_window_goes_on() {
        for counted in [0, HANDSHAKE_BYTES] {
            for window in [
                1, 2, 100, 3_074, 4_000, 5_000, 8_192, 30_000, 65_536, 2_500_000,
            ] {
                let room = window - counted.min(window);
                if room == 0 {
                    continue;
                }
                let mut flow = Flow::new();
                flow.set_window(window);
                let mut open = room;
                let mut sent = 0_u32;
                for _ in 0..50 {
                    // One read takes all bytes of the window.
                    flow.receive(open as usize);
                    sent += open;
                    let due = flow.acknowledgement();
                    assert_eq!(
                        due,
                        Some(ControlMessage::Acknowledgement(sent)),
                        "{window}, {counted}"
                    );
                    assert_eq!(flow.acknowledgement(), None, "one for each read");
                    open = room;
                }
            }
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
            (0, BandwidthLimit::Hard, Some(MIN_STATED_WINDOW)),
        ];
        for (window, limit, expected) in table {
            let answer = flow.set_peer_bandwidth(window, limit);
            assert_eq!(
                answer,
                expected.map(ControlMessage::WindowAckSize),
                "{window} {limit:?}"
            );
        }
    }
}
