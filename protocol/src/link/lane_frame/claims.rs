//! The claims of a session that opens, as a frame.

use bytes::BufMut;

use super::{CLAIMS, put_session, take_session};
use crate::{
    SessionId,
    link::{
        ClientClaims, FrameError,
        frame::{self, Frame, put_str, take_str},
    },
};

impl ClientClaims {
    /// Appends the frame. An empty text stands for none.
    pub(super) fn encode(&self, session: SessionId, out: &mut impl BufMut) {
        let texts = [&self.user, &self.json].map(|text| text.as_deref().unwrap_or_default());
        let mut body = Vec::with_capacity(16 + texts[0].len() + texts[1].len());
        put_session(session, &mut body);
        for text in texts {
            put_str(text, &mut body);
        }
        frame::encode(CLAIMS, &body, out);
    }

    /// Reads the frame; what follows the texts is of a later version.
    pub(super) fn decode(frame: &Frame) -> Result<(SessionId, Self), FrameError> {
        let input = &mut &*frame.body;
        let session = take_session(input)?;
        let mut text = |most| -> Result<Option<String>, FrameError> {
            let text = take_str(input, most)?;
            Ok((!text.is_empty()).then(|| text.to_owned()))
        };
        let claims = Self {
            user: text(Self::MAX_USER)?,
            json: text(Self::MAX_JSON)?,
        };
        Ok((session, claims))
    }
}
