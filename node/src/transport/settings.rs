//! The settings that differ from the library's defaults, with reasons.

use std::{sync::Arc, time::Duration};

use quinn::{
    AckFrequencyConfig, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig, VarInt,
    crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig},
};
use quinn_proto::HashedConnectionIdGenerator;

use super::UNTRUSTED_STREAMS;
use crate::tls::Identity;

/// The silence after which a link is given up: three keep-alives may be lost.
pub const IDLE: Duration = Duration::from_secs(3);

/// The interval of an edge's keep-alives on an idle link.
pub const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// The longest handshake. Reason: a dialled origin that is down must not hold its edge.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(5);

/// The handshakes at once at which no more are begun. Reason: each costs memory and signatures
/// before its peer is known; there are few edges.
pub(super) const HANDSHAKES: usize = 128;

/// The handshakes at once at which a dialling address must prove itself first.
pub(super) const UNVALIDATED: usize = 32;

fn transport(keep_alive: Option<Duration>) -> Result<TransportConfig, SettingsError> {
    let mut ack_frequency = AckFrequencyConfig::default();
    ack_frequency
        .ack_eliciting_threshold(VarInt::from_u32(10))
        // An acknowledgement wakes both ends: it waits for a packet that leaves anyway. On a short
        // path quinn permits no more: the larger of 25 ms and the round trip.
        .max_ack_delay(Some(Duration::from_millis(25)));
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(UNTRUSTED_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(UNTRUSTED_STREAMS))
        // The bound of one stream's bytes in reassembly: 10 Mbit/s over 200 ms.
        .stream_receive_window(VarInt::from_u32(256 * 1024))
        .receive_window(VarInt::from_u32(64 << 20))
        .send_window(32 << 20)
        // Measured: `docs/performance.md`, shares of a link.
        .send_fairness(true)
        .ack_frequency_config(Some(ack_frequency))
        .initial_mtu(1452)
        .min_mtu(1200)
        .max_idle_timeout(Some(
            IdleTimeout::try_from(IDLE).map_err(|_| SettingsError::Idle)?,
        ))
        .keep_alive_interval(keep_alive)
        .datagram_receive_buffer_size(None);
    Ok(config)
}

pub(super) fn server(identity: &Identity) -> Result<ServerConfig, SettingsError> {
    let tls = identity.server_config().map_err(SettingsError::Tls)?;
    let tls = QuicServerConfig::try_from(tls).map_err(SettingsError::Suite)?;
    let mut config = ServerConfig::with_crypto(Arc::new(tls));
    config
        .transport_config(Arc::new(transport(None)?))
        // Links between servers do not roam.
        .migration(false)
        .max_incoming(256)
        .incoming_buffer_size(64 * 1024)
        .incoming_buffer_size_total(4 << 20);
    Ok(config)
}

pub(super) fn client(identity: &Identity) -> Result<quinn::ClientConfig, SettingsError> {
    let tls = identity.client_config().map_err(SettingsError::Tls)?;
    let tls = QuicClientConfig::try_from(tls).map_err(SettingsError::Suite)?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport(Some(KEEP_ALIVE))?));
    Ok(config)
}

/// Keys from the node's secret. A process that has restarted on the same port answers the next
/// packet of an old connection with a reset.
pub(super) fn endpoint(identity: &Identity) -> EndpointConfig {
    let reset = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &identity.derive("quic reset"));
    let ids = identity.derive("quic connection ids");
    let ids = u64::from_be_bytes(std::array::from_fn(|n| ids[n]));
    let mut config = EndpointConfig::new(Arc::new(reset));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    config
}

/// The settings contradict each other.
#[derive(Debug)]
pub(super) enum SettingsError {
    Idle,
    Tls(rustls::Error),
    Suite(NoInitialCipherSuite),
}

impl std::fmt::Display for SettingsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Idle => f.write_str("idle timeout out of range"),
            Self::Tls(error) => error.fmt(f),
            Self::Suite(error) => error.fmt(f),
        }
    }
}
