//! Fuzz bodies for the readers of bytes that come before RTMP or around it: the PROXY header, HTTP
//! request heads, WebSocket frames. They are ordinary functions, which the tests run too.

use tributary_protocol::{
    http::{AfterAnswer, HttpRequest, MAX_BODY, MAX_HEAD, MAX_RESPONSE, write_response},
    proxy::{self, MAX_BINARY, MAX_UNIQUE_ID},
    tunnel::TunnelRequest,
    websocket::{
        MAX_ACCEPT, MAX_CONTROL, WebSocketEvent, WebSocketFault, WebSocketReader, write_accept,
        write_close, write_pong,
    },
};

/// Reads any bytes as a PROXY header: each part of them gives what the whole gives, or asks for
/// more.
pub(crate) fn proxy_header(data: &[u8]) {
    let whole = proxy::read(data);
    for end in parts(data) {
        let part = proxy::read(&data[..end]);
        assert!(part == Ok(None) || part == whole, "{part:?}, {whole:?}");
    }
    match whole {
        Ok(Some((header, length))) => {
            assert!(length <= data.len().min(MAX_BINARY));
            assert!(header.unique_id.is_none_or(|id| id.len() <= MAX_UNIQUE_ID));
            let is_canonical = |ip: std::net::IpAddr| ip == ip.to_canonical();
            assert!(header.client.is_none_or(|client| is_canonical(client.ip())));
            assert!(!header.is_local || header.client.is_none());
        }
        Ok(None) => assert!(data.len() < MAX_BINARY),
        Err(fault) => assert!(fault.reason().starts_with("proxy_")),
    }
}

/// Reads any bytes as the head of a request, and answers it.
pub(crate) fn http_request(data: &[u8]) {
    let whole = HttpRequest::read(data);
    for end in parts(data) {
        let part = HttpRequest::read(&data[..end]);
        assert!(part == Ok(None) || part == whole, "{part:?}, {whole:?}");
    }
    let mut out = Vec::new();
    match whole {
        Ok(Some((request, length))) => {
            assert!(length <= data.len().min(MAX_HEAD));
            assert!(data[..length].ends_with(b"\r\n\r\n"));
            answer(&request, &mut out);
        }
        Ok(None) => assert!(data.len() < MAX_HEAD),
        Err(fault) => {
            let closes = AfterAnswer::Closes;
            write_response(fault.status(), None, 0, closes, &mut out);
            assert!(out.len() <= MAX_RESPONSE && out.starts_with(b"HTTP/1.1 "));
        }
    }
}

fn answer(request: &HttpRequest<'_>, out: &mut Vec<u8>) {
    assert!(request.path.starts_with('/') && !request.path.contains('?'));
    assert!(request.content_length <= MAX_BODY);
    let values = request.forwarded_for.iter();
    let known = values.filter_map(tributary_protocol::http::forwarded_address);
    assert!(known.count() <= request.forwarded_for.iter().rev().count());
    match &request.upgrade {
        Some(upgrade) => {
            write_accept(upgrade, out);
            assert!(out.len() <= MAX_ACCEPT && out.ends_with(b"\r\n\r\n"));
            assert_eq!(TunnelRequest::read(request), None);
        }
        None => {
            let _ = TunnelRequest::read(request);
        }
    }
}

/// The ends of some parts of these bytes: all short ones, and some longer ones.
fn parts(data: &[u8]) -> impl Iterator<Item = usize> {
    let length = data.len();
    (0..length).filter(move |end| *end < 64 || length - end < 8 || end % 17 == 0)
}

/// The content of frames, and the server's answer to them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Content {
    payload: Vec<u8>,
    answers: Vec<u8>,
    is_closed: bool,
}

/// Reads any bytes as a client's frames: the content is the same whole and in pieces.
pub(crate) fn websocket_frames(data: &[u8]) {
    let Some((&step, data)) = data.split_first() else {
        return;
    };
    let whole = read_frames(data, data.len().max(1));
    assert_eq!(whole, read_frames(data, usize::from(step) + 1));
    assert_eq!(whole, read_frames(data, 1));
    assert!(whole.0.payload.len() + whole.0.answers.len() <= data.len());
    if let Err(fault) = whole.1 {
        assert!(fault.close().may_be_sent());
    }
}

fn read_frames(data: &[u8], step: usize) -> (Content, Result<(), WebSocketFault>) {
    let mut reader = WebSocketReader::default();
    let mut content = Content::default();
    let mut data = data.to_vec();
    for mut piece in data.chunks_mut(step) {
        loop {
            match reader.read(&mut piece) {
                Ok(Some(event)) => content.take(event),
                Ok(None) => break,
                Err(fault) => return (content, Err(fault)),
            }
        }
        assert!(piece.is_empty());
    }
    (content, Ok(()))
}

impl Content {
    fn take(&mut self, event: WebSocketEvent<'_>) {
        assert!(!self.is_closed);
        match event {
            WebSocketEvent::Payload(bytes) => {
                assert!(!bytes.is_empty());
                self.payload.extend_from_slice(bytes);
            }
            WebSocketEvent::Ping(payload) => {
                assert!(payload.as_ref().len() <= MAX_CONTROL);
                write_pong(payload.as_ref(), &mut self.answers);
            }
            WebSocketEvent::Close(code) => {
                assert!(code.is_none_or(|code| code.may_be_sent()));
                write_close(code, &mut self.answers);
                self.is_closed = true;
            }
        }
    }
}
