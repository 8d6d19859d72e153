//! The name of a session.

use std::fmt;

use crate::parcel::{Carried, ParcelError, ParcelReader, ParcelWriter};

/// The name of a session in the paths of its requests: 36 digits of hexadecimal. ffmpeg has room for
/// 63 characters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TunnelId {
    /// The worker that has the session.
    pub worker: u16,
    /// Random bytes: whoever knows them has the session.
    pub secret: u128,
}

impl TunnelId {
    /// The length of the text.
    const TEXT: usize = 36;

    /// Reads the text, in the form of [`Self::open_answer`] alone.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != Self::TEXT || !text.bytes().all(is_digit) {
            return None;
        }
        let (worker, secret) = text.split_at(4);
        Some(Self {
            worker: u16::from_str_radix(worker, 16).ok()?,
            secret: u128::from_str_radix(secret, 16).ok()?,
        })
    }

    /// The body of the answer to `open`: the text and a line feed, without a polling byte. librtmp
    /// takes all but the last byte, ffmpeg trims the end.
    pub fn open_answer(&self) -> [u8; Self::TEXT + 1] {
        let worker = self.worker.to_be_bytes().into_iter();
        let bytes = worker.chain(self.secret.to_be_bytes());
        let mut text = [b'\n'; Self::TEXT + 1];
        for (byte, digits) in bytes.zip(text.chunks_mut(2)) {
            digits[0] = DIGITS[usize::from(byte >> 4)];
            digits[1] = DIGITS[usize::from(byte & 0xf)];
        }
        text
    }
}

impl fmt::Debug for TunnelId {
    /// Without the secret, which has no place in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("TunnelId");
        shown.field("worker", &self.worker).finish_non_exhaustive()
    }
}

const DIGITS: &[u8; 16] = b"0123456789abcdef";

const WORKER: u16 = 1;
const SECRET: u16 = 2;

impl Carried for TunnelId {
    const NAME: &'static str = "the id of a tunnel";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(WORKER, self.worker);
        parcel.bytes(SECRET, &self.secret.to_be_bytes());
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let worker = parcel.number(WORKER)?;
        let secret = parcel.bytes(SECRET)?.try_into();
        let secret = secret.map(u128::from_be_bytes);
        Ok(Self {
            worker,
            secret: secret.map_err(|_| parcel.illegal(SECRET))?,
        })
    }
}
