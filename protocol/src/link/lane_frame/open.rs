//! A session as it was opened, as the end of a frame.

use std::net::{IpAddr, SocketAddr};

use bytes::{BufMut, Bytes};

use crate::link::{
    FrameError, OpenSession,
    frame::{Frame, put_str, take, take_str, take_u8},
};

pub(super) fn encode_open(open: &OpenSession, out: &mut impl BufMut) {
    let peer = open.peer.on_link();
    match peer.ip() {
        IpAddr::V4(ip) => {
            out.put_u8(4);
            out.put_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.put_u8(6);
            out.put_slice(&ip.octets());
        }
    }
    out.put_u16(peer.port());
    put_str(&open.protocol, out);
    out.put_slice(&open.connect);
}

pub(super) fn decode_open(frame: &Frame, input: &mut &[u8]) -> Result<OpenSession, FrameError> {
    let ip = match take_u8(input)? {
        4 => IpAddr::from(<[u8; 4]>::try_from(take(input, 4)?).map_err(|_| FrameError::Truncated)?),
        6 => {
            IpAddr::from(<[u8; 16]>::try_from(take(input, 16)?).map_err(|_| FrameError::Truncated)?)
        }
        _ => return Err(FrameError::Value),
    };
    let port = take(input, 2)?;
    let peer = SocketAddr::new(ip, u16::from_be_bytes([port[0], port[1]]));
    let protocol = take_str(input, 16)?.to_owned();
    // The command lives as long as the session and must not hold the frame's buffer.
    let connect = Bytes::copy_from_slice(&frame.body.slice_ref(input));
    Ok(OpenSession {
        peer: peer.into(),
        protocol,
        connect,
        claims: None,
    })
}
