//! The two ends of a link's control stream.

use bytes::BytesMut;
use tributary_protocol::link::{
    Control, FrameError,
    frame::{FrameReader, MAX_BODY},
};

use super::control_loop::{ControlSink, ControlSource};
use crate::transport::{Link, LinkError, RecvStream, SendStream, StreamKind};

/// The writing end.
#[derive(Debug)]
pub struct ControlSender {
    stream: SendStream,
}

/// The reading end.
#[derive(Debug)]
pub struct ControlReceiver {
    stream: RecvStream,
    reader: FrameReader,
}

/// Opens the control stream, the first stream of the dialling end.
pub(super) async fn open(link: &Link) -> Result<(ControlSender, ControlReceiver), LinkError> {
    Ok(ends(link.open_lane(StreamKind::Control).await?))
}

/// Accepts the control stream.
pub(super) async fn accept(link: &Link) -> Result<(ControlSender, ControlReceiver), LinkError> {
    Ok(ends(link.accept_lane(StreamKind::Control).await?))
}

fn ends((send, recv): (SendStream, RecvStream)) -> (ControlSender, ControlReceiver) {
    let receiver = ControlReceiver {
        stream: recv,
        reader: FrameReader::new(MAX_BODY),
    };
    (ControlSender { stream: send }, receiver)
}

impl ControlSink for ControlSender {
    async fn write(&mut self, control: &Control) -> Result<(), LinkError> {
        let mut out = BytesMut::new();
        control.encode(&mut out);
        Ok(self.stream.write(&mut [out.freeze()]).await?)
    }
}

impl ControlSource for ControlReceiver {
    async fn next(&mut self) -> Result<Control, LinkError> {
        let mut pieces = Vec::new();
        loop {
            if let Some(frame) = self.reader.poll_frame().map_err(refused)? {
                return Control::decode(&frame).map_err(refused);
            }
            if !self.stream.read(&mut pieces).await? {
                return Err(LinkError::Refused("the control stream ended".into()));
            }
            for piece in pieces.drain(..) {
                self.reader.push(&piece);
            }
        }
    }
}

fn refused(error: FrameError) -> LinkError {
    LinkError::Refused(error.to_string())
}
