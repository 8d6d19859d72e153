//! The server's answer to a request for a WebSocket (RFC 6455, section 4.2.2).

use bytes::BufMut;
use sha1::{Digest, Sha1};

use crate::http::{FieldList, Upgrade};

/// The longest answer that [`write_accept`] writes, in bytes.
pub const MAX_ACCEPT: usize = 192;

/// The names by which clients ask for RTMP, the preferred one first. `binary` is that of websockify,
/// whose clients give up if it is not echoed.
const SUBPROTOCOLS: [&str; 2] = ["rtmp", "binary"];

/// The text that RFC 6455 appends to the key.
const SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The subprotocol to echo: `rtmp` if the client offers it, else `binary`, else none.
pub fn choose_subprotocol(offered: &FieldList<'_>) -> Option<&'static str> {
    let mut known = SUBPROTOCOLS.into_iter();
    known.find(|known| offered.iter().any(|name| name == *known))
}

/// Appends the answer that opens the WebSocket: at most [`MAX_ACCEPT`] bytes. It accepts no
/// extension; frames follow it at once.
pub fn write_accept(upgrade: &Upgrade<'_>, out: &mut impl BufMut) {
    out.put_slice(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n");
    out.put_slice(b"Connection: Upgrade\r\nSec-WebSocket-Accept: ");
    out.put_slice(&accept(upgrade.key));
    if let Some(name) = choose_subprotocol(&upgrade.protocols) {
        out.put_slice(b"\r\nSec-WebSocket-Protocol: ");
        out.put_slice(name.as_bytes());
    }
    out.put_slice(b"\r\n\r\n");
}

/// The server's answer to the key: base64 of a SHA-1.
pub(super) fn accept(key: &str) -> [u8; 28] {
    let hash = Sha1::new()
        .chain_update(key)
        .chain_update(SUFFIX)
        .finalize();
    let mut text = [b'='; 28];
    for (three, four) in hash.chunks(3).zip(text.chunks_mut(4)) {
        let mut bits = 0;
        for place in 0..3 {
            bits = bits << 8 | u32::from(three.get(place).copied().unwrap_or_default());
        }
        for (place, digit) in four.iter_mut().enumerate().take(three.len() + 1) {
            *digit = BASE64[(bits >> (18 - 6 * place) & 0x3f) as usize];
        }
    }
    text
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
