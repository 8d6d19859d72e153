//! The means by which the edge notices that a silent client is gone.

use std::time::Duration;

/// The upkeep of silent connections: one value for each listener.
///
/// A ping proves that the client's program lives, and costs a write, a read and a wake-up. A probe
/// of the kernel proves that the other end of the TCP connection lives, and costs no wake-up. The
/// two ends are the same machine only where clients connect directly; a proxy or a tunnel answers
/// probes for a client that is gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Upkeep {
    /// The silence after which a client is pinged.
    pub(crate) ping_after: Duration,
    /// The time for which bytes may stay unacknowledged before the connection breaks.
    pub(crate) unacknowledged: Duration,
    /// The probes of the kernel, if the listener uses them.
    pub(crate) probes: Option<Probes>,
}

/// Keep-alive probes of TCP (RFC 1122, 4.2.3.6), on a connection that rests: see [`super::rest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probes {
    /// The silence after which the kernel sends the first one; whole seconds.
    pub(crate) after: Duration,
    /// The time from one to the next; whole seconds.
    pub(crate) interval: Duration,
    /// The number without an answer at which the connection breaks, one `interval` after the last.
    pub(crate) count: u32,
    /// The period in which the wire looks for writes. It is longer than
    /// [`Upkeep::unacknowledged`], so that bytes of the period before are acknowledged.
    pub(crate) look: Duration,
    /// The first period is longer by a random part of this. Connections that were made, or written
    /// to, at the same moment then send their probes at different ones.
    pub(crate) spread: Duration,
}

/// The silence after which a client is pinged if nothing else shows that it lives.
pub(crate) const PING: Duration = Duration::from_secs(60);

/// The silence after which a client is pinged that connects directly. Reason: its kernel answers
/// probes, so that the ping is for a program that hangs and costs memory alone.
const DIRECT_PING: Duration = Duration::from_secs(600);

/// Time for which bytes may stay unacknowledged before the connection breaks. It is longer than the
/// driver's own limit, which counts a reason, and serves for a peer that is gone altogether.
const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// The probes of direct connections. Two of three may be lost; a client that is gone is closed 80 s
/// after its last sign of life.
///
/// Timers of Linux that are further away than about 16 s (at 250 ticks a second) come in batches of
/// 2 s, nearer ones in batches of 256 ms, and a batch stays together for ever. With 100,000 resting
/// connections a batch of 2 s has several thousand probes at one moment, of which loopback and
/// virtual Ethernet devices drop all but 1,000 for each core (`net.core.netdev_max_backlog`), and
/// packets of others with them. After a probe the kernel waits for `interval`, then for the rest of
/// `after`; both are within 16 s.
const PROBES: Probes = Probes {
    after: Duration::from_secs(32),
    interval: Duration::from_secs(16),
    count: 3,
    look: Duration::from_secs(20),
    spread: Duration::from_secs(16),
};

impl Upkeep {
    /// For clients behind a proxy, which answers probes for a client that is gone.
    pub(crate) const PROXIED: Self = Self {
        ping_after: PING,
        unacknowledged: USER_TIMEOUT,
        probes: None,
    };

    /// For clients that connect to the edge itself.
    pub(crate) const DIRECT: Self = if cfg!(any(target_os = "linux", target_os = "android")) {
        Self {
            ping_after: DIRECT_PING,
            unacknowledged: USER_TIMEOUT,
            probes: Some(PROBES),
        }
    } else {
        Self::PROXIED
    };
}
