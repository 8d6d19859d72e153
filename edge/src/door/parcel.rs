//! A connection that carries requests in a parcel.

use std::{os::fd::OwnedFd, sync::Arc};

use tributary_gate::{Network, Networks};
use tributary_protocol::{
    link::PeerAddress,
    parcel::{ParcelError, ParcelReader, ParcelWriter},
};

use super::{Client, Visitor};
use crate::{tunnel::Tunnels, wire::Transport};

const TRANSPORT: u16 = 1;
const ADDRESS: u16 = 2;
const USED_TLS: u16 = 3;
const USED_NO_TLS: u16 = 4;
const PROTOCOL: u16 = 5;
const FORWARDS: u16 = 6;
const FORWARDER: u16 = 7;
const SERVES_WEB: u16 = 8;

/// The bytes of an address, a network or the name of a protocol.
const MAX_SHORT: usize = 64;

/// The networks of a listener's proxies.
const MAX_FORWARDERS: usize = 65_536;

impl Visitor {
    pub(crate) fn export(&self, parcel: &mut ParcelWriter) {
        parcel.record(TRANSPORT, |parcel| self.transport.export(parcel));
        parcel.bytes(ADDRESS, self.peer.address.to_string().as_bytes());
        parcel.flag(USED_TLS, self.peer.used_tls == Some(true));
        parcel.flag(USED_NO_TLS, self.peer.used_tls == Some(false));
        parcel.bytes(PROTOCOL, self.protocol.name().as_bytes());
        parcel.flag(FORWARDS, self.forwarders.is_some());
        for network in self.forwarders.iter().flat_map(Networks::iter) {
            parcel.bytes(FORWARDER, network.to_string().as_bytes());
        }
        parcel.flag(SERVES_WEB, self.serves_web);
    }

    /// The connection of a parcel, on this socket.
    pub(crate) fn import(
        parcel: &mut ParcelReader<'_>,
        socket: Option<OwnedFd>,
        tunnels: &Arc<Tunnels>,
    ) -> Result<Self, ParcelError> {
        let read = |parcel: &mut ParcelReader<'_>| {
            Transport::import(parcel, socket, |it| tunnels.import(it))
        };
        let transport = parcel.record_if(TRANSPORT, "a transport", read)?;
        let transport = transport.ok_or_else(|| parcel.illegal(TRANSPORT))?;
        let address = parcel.text(ADDRESS, MAX_SHORT)?;
        let address = PeerAddress::named(address).ok_or_else(|| parcel.illegal(ADDRESS))?;
        let used_tls = match (parcel.flag(USED_TLS)?, parcel.flag(USED_NO_TLS)?) {
            (true, true) => return Err(parcel.illegal(USED_NO_TLS)),
            (true, false) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        };
        let protocol = parcel.text(PROTOCOL, MAX_SHORT)?.parse();
        let protocol = protocol.map_err(|_| parcel.illegal(PROTOCOL))?;
        let forwards = parcel.flag(FORWARDS)?;
        let mut forwarders: Vec<Network> = Vec::new();
        while let Some(text) = parcel.text_if(FORWARDER, MAX_SHORT)? {
            parcel.fits(forwarders.len() < MAX_FORWARDERS, "networks of proxies")?;
            let network = text.parse();
            forwarders.push(network.map_err(|_| parcel.illegal(FORWARDER))?);
        }
        parcel.require(forwards || forwarders.is_empty(), FORWARDER)?;
        Ok(Self {
            transport,
            tunnels: Arc::clone(tunnels),
            peer: Client { address, used_tls },
            protocol,
            forwarders: forwards.then(|| forwarders.into_iter().collect()),
            serves_web: parcel.flag(SERVES_WEB)?,
        })
    }
}
