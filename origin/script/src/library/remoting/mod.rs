//! AMF remoting over HTTP: a NetConnection to an `http` address.
//!
//! [`Gateway`] is one such connection without its I/O. It gathers the calls of one turn into one
//! packet ([`Gateway::take_request`]); the response ([`Gateway::handle_response`]) names the calls
//! by the numbers from [`Gateway::call`].

use std::collections::VecDeque;

use bytes::Bytes;
use tributary_protocol::amf::{Object, ObjectEncoding, Value};

use self::packet::{Packet, PacketBody, PacketHeader};
use tributary_web::{HttpError, Request, Response};

pub(crate) mod packet;

/// Calls of one connection that wait for their answer, or to be sent.
pub(crate) const MAX_CALLS: usize = 256;

/// Headers that a connection sends with each request.
pub(crate) const MAX_HEADERS: usize = 32;

/// A connection to a remoting gateway.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    url: String,
    encoding: ObjectEncoding,
    headers: Headers,
    queued: VecDeque<PacketBody>,
    /// The numbers of calls that wait for an answer.
    waiting: Vec<u32>,
    last: u32,
}

/// The calls of a request, for its response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    calls: Vec<u32>,
}

/// The outcome of calls.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// A call of the responder's `onResult`.
    Result(u32, Value),
    /// A call of the responder's `onStatus`.
    Status(u32, Value),
    /// A call of the connection's own `onStatus`, with the info object.
    Failed(Value),
}

/// The gateway has too many calls, or headers, already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyCalls;

/// The headers of each request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Headers(Vec<PacketHeader>);

impl Headers {
    /// Adds or replaces the header of this name; an undefined value removes it.
    pub(crate) fn set(
        &mut self,
        name: &str,
        must_understand: bool,
        value: Value,
    ) -> Result<(), TooManyCalls> {
        self.0.retain(|header| header.name != name);
        if value == Value::Undefined {
            return Ok(());
        }
        if self.0.len() == MAX_HEADERS {
            return Err(TooManyCalls);
        }
        self.0.push(PacketHeader {
            name: name.to_owned(),
            must_understand,
            value,
        });
        Ok(())
    }
}

impl Gateway {
    /// A new connection; nothing is sent before the first call.
    pub(crate) fn new(url: &str, encoding: ObjectEncoding, headers: Headers) -> Self {
        Self {
            url: url.to_owned(),
            encoding,
            headers,
            queued: VecDeque::new(),
            waiting: Vec::new(),
            last: 0,
        }
    }

    /// Sends this header with every later request; an undefined value removes it.
    pub(crate) fn set_header(
        &mut self,
        name: &str,
        must_understand: bool,
        value: Value,
    ) -> Result<(), TooManyCalls> {
        self.headers.set(name, must_understand, value)
    }

    /// Queues a call; an [`Outcome`] has its number if it `wants_answer`.
    pub(crate) fn call(
        &mut self,
        method: &str,
        arguments: Vec<Value>,
        wants_answer: bool,
    ) -> Result<u32, TooManyCalls> {
        if self.waiting.len() + self.queued.len() >= MAX_CALLS {
            return Err(TooManyCalls);
        }
        self.last = self.last.wrapping_add(1);
        if wants_answer {
            self.waiting.push(self.last);
        }
        self.queued.push_back(PacketBody {
            target: method.to_owned(),
            response: format!("/{}", self.last),
            value: packet::arguments(arguments),
        });
        Ok(self.last)
    }

    /// The request for all queued calls; `None` if there are none.
    pub(crate) fn take_request(&mut self) -> Option<(Request, Sent)> {
        if self.queued.is_empty() {
            return None;
        }
        let bodies: Vec<_> = self.queued.drain(..).collect();
        let calls = bodies
            .iter()
            .filter_map(|body| body.response.strip_prefix('/')?.parse().ok())
            .filter(|call| self.waiting.contains(call))
            .collect();
        let packet = Packet {
            version: match self.encoding {
                ObjectEncoding::Amf0 => Packet::SERVER,
                ObjectEncoding::Amf3 => Packet::AMF3,
            },
            headers: self.headers.0.clone(),
            bodies,
        };
        let request = Request {
            method: "POST".to_owned(),
            url: self.url.clone(),
            headers: vec![("Content-Type".to_owned(), MEDIA_TYPE.to_owned())],
            body: packet.encode(self.encoding).freeze(),
            ..Request::default()
        };
        Some((request, Sent { calls }))
    }

    /// Reads the response to a request. It gives an outcome for every call of the request that
    /// wants an answer.
    pub(crate) fn handle_response(
        &mut self,
        sent: Sent,
        response: Result<Response, HttpError>,
    ) -> Vec<Outcome> {
        let packet = match response {
            Err(error) => Err((CALL_FAILED, error.to_string())),
            Ok(response) if response.status != 200 => {
                Err((CALL_FAILED, format!("HTTP: Status {}", response.status)))
            }
            Ok(response) => decode(&response).map_err(|what| (BAD_VERSION, what)),
        };
        match packet {
            Err((code, description)) => self.fail(sent, code, &description),
            Ok(packet) => self.answers(sent, packet),
        }
    }

    fn answers(&mut self, sent: Sent, packet: Packet) -> Vec<Outcome> {
        for header in packet.headers {
            self.heed(header);
        }
        let mut outcomes = Vec::new();
        let mut answered = false;
        for body in packet.bodies {
            let Some((call, kind)) = read_target(&body.target) else {
                continue;
            };
            if !sent.calls.contains(&call) || !self.take_waiting(call) {
                continue;
            }
            answered = true;
            outcomes.push(match kind {
                AnswerKind::Result => Outcome::Result(call, body.value),
                AnswerKind::Status => Outcome::Status(call, body.value),
            });
        }
        let left = Sent {
            calls: sent
                .calls
                .into_iter()
                .filter(|call| self.waiting.contains(call))
                .collect(),
        };
        if !left.calls.is_empty() {
            let what = if answered {
                "The gateway did not answer every call."
            } else {
                "The gateway answered no call."
            };
            outcomes.extend(self.fail(left, CALL_FAILED, what));
        }
        outcomes
    }

    /// Obeys a header of a response that is meant for the connection.
    fn heed(&mut self, header: PacketHeader) {
        match (header.name.as_str(), &header.value) {
            ("AppendToGatewayUrl", Value::String(suffix))
                if self.url.len() + suffix.len() <= MAX_URL =>
            {
                self.url.push_str(suffix);
            }
            ("ReplaceGatewayUrl", Value::String(url)) if url.len() <= MAX_URL => {
                self.url.clone_from(url);
            }
            ("RequestPersistentHeader", value) => {
                let Some(name) = value.get("name").and_then(Value::as_str) else {
                    return;
                };
                let must = value.get("mustUnderstand").and_then(Value::as_bool);
                let data = value.get("data").cloned().unwrap_or(Value::Undefined);
                // Headers above the limit are ignored.
                let _ = self.set_header(name, must.unwrap_or_default(), data);
            }
            _ => {}
        }
    }

    fn fail(&mut self, sent: Sent, code: &str, description: &str) -> Vec<Outcome> {
        let info = Value::from(
            Object::new()
                .with("level", "error")
                .with("code", code)
                .with("description", description),
        );
        let mut outcomes = vec![Outcome::Failed(info.clone())];
        for call in sent.calls {
            if self.take_waiting(call) {
                outcomes.push(Outcome::Status(call, info.clone()));
            }
        }
        outcomes
    }

    fn take_waiting(&mut self, call: u32) -> bool {
        let place = self.waiting.iter().position(|&waiting| waiting == call);
        if let Some(place) = place {
            self.waiting.swap_remove(place);
        }
        place.is_some()
    }
}

/// The longest address that a gateway may set.
const MAX_URL: usize = 4096;

const MEDIA_TYPE: &str = "application/x-amf";
const CALL_FAILED: &str = "NetConnection.Call.Failed";
const BAD_VERSION: &str = "NetConnection.Call.BadVersion";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AnswerKind {
    Result,
    Status,
}

/// The call and the kind of `/1/onResult`.
fn read_target(target: &str) -> Option<(u32, AnswerKind)> {
    let (call, method) = target.strip_prefix('/')?.split_once('/')?;
    let kind = match method {
        "onResult" => AnswerKind::Result,
        "onStatus" => AnswerKind::Status,
        _ => return None,
    };
    Some((call.parse().ok()?, kind))
}

fn decode(response: &Response) -> Result<Packet, String> {
    let kind = response.header("content-type").unwrap_or_default();
    if !kind.to_ascii_lowercase().starts_with(MEDIA_TYPE) {
        return Err(format!(
            "The gateway answered with \"{kind}\", not {MEDIA_TYPE}."
        ));
    }
    let body: &Bytes = &response.body;
    Packet::decode(body).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway() -> Gateway {
        Gateway::new("http://gw/x", ObjectEncoding::Amf0, Headers::default())
    }

    fn header(name: &str, value: impl Into<Value>) -> PacketHeader {
        PacketHeader {
            name: name.to_owned(),
            must_understand: false,
            value: value.into(),
        }
    }

    fn body(target: &str, value: impl Into<Value>) -> PacketBody {
        PacketBody {
            target: target.to_owned(),
            response: "null".to_owned(),
            value: value.into(),
        }
    }

    fn ok(headers: Vec<PacketHeader>, bodies: Vec<PacketBody>) -> Result<Response, HttpError> {
        let packet = Packet {
            version: 0,
            headers,
            bodies,
        };
        Ok(Response {
            status: 200,
            headers: vec![("content-type".to_owned(), "application/x-amf".to_owned())],
            body: packet.encode(ObjectEncoding::Amf0).freeze(),
            url: String::new(),
        })
    }

    fn code(value: &Value) -> &str {
        value.get("code").and_then(Value::as_str).unwrap()
    }

    #[test]
    fn calls_of_a_turn_leave_in_one_packet() {
        let mut gateway = gateway();
        assert!(gateway.take_request().is_none());
        gateway
            .set_header("Credentials", false, "me".into())
            .unwrap();
        let first = gateway.call("A.one", vec![1.0.into()], true).unwrap();
        let second = gateway.call("A.two", vec![], true).unwrap();
        gateway.call("A.three", vec![], false).unwrap();
        let (request, sent) = gateway.take_request().unwrap();
        assert_eq!(
            (request.method.as_str(), request.url.as_str()),
            ("POST", "http://gw/x")
        );
        let packet = Packet::decode(&request.body).unwrap();
        assert_eq!(packet.version, Packet::SERVER);
        assert_eq!(packet.headers, [header("Credentials", "me")]);
        let targets: Vec<_> = packet
            .bodies
            .iter()
            .map(|body| body.target.as_str())
            .collect();
        assert_eq!(targets, ["A.one", "A.two", "A.three"]);
        let answer = ok(
            vec![],
            vec![body("/2/onStatus", "bad"), body("/1/onResult", "good")],
        );
        let outcomes = gateway.handle_response(sent, answer);
        let expected = [
            Outcome::Status(second, "bad".into()),
            Outcome::Result(first, "good".into()),
        ];
        assert_eq!(outcomes, expected);
        assert!(gateway.take_request().is_none());
    }

    #[test]
    fn every_call_gets_an_answer() {
        let html = Response {
            headers: vec![("content-type".to_owned(), "text/html".to_owned())],
            ..ok(vec![], vec![]).unwrap()
        };
        let cut = Response {
            body: Bytes::from_static(b"\x00\x00\x00\x00\x00\x01"),
            ..ok(vec![], vec![]).unwrap()
        };
        let missing = Response {
            status: 500,
            ..html.clone()
        };
        let table = [
            (Err(HttpError::Timeout), CALL_FAILED),
            (Ok(missing), CALL_FAILED),
            (Ok(html), BAD_VERSION),
            (Ok(cut), BAD_VERSION),
            (ok(vec![], vec![]), CALL_FAILED),
            (ok(vec![], vec![body("/7/onResult", "")]), CALL_FAILED),
        ];
        for (response, expected) in table {
            let mut gateway = gateway();
            let call = gateway.call("A.b", vec![], true).unwrap();
            let (_, sent) = gateway.take_request().unwrap();
            let outcomes = gateway.handle_response(sent, response);
            match outcomes.as_slice() {
                [Outcome::Failed(info), Outcome::Status(failed, same)] => {
                    assert_eq!((code(info), *failed, info), (expected, call, same));
                }
                other => panic!("{other:?}"),
            }
            assert!(gateway.waiting.is_empty());
        }
    }

    #[test]
    fn a_gateway_answers_only_what_it_was_asked() {
        let mut gateway = gateway();
        let first = gateway.call("A.b", vec![], true).unwrap();
        let (_, first_sent) = gateway.take_request().unwrap();
        let second = gateway.call("A.b", vec![], true).unwrap();
        let (_, second_sent) = gateway.take_request().unwrap();
        let both = || {
            ok(
                vec![],
                vec![
                    body("/1/onResult", "x"),
                    body("/2/onResult", "x"),
                    body("/1/onResult", "again"),
                ],
            )
        };
        let outcomes = gateway.handle_response(second_sent, both());
        assert_eq!(outcomes, [Outcome::Result(second, "x".into())]);
        let outcomes = gateway.handle_response(first_sent, both());
        assert_eq!(outcomes, [Outcome::Result(first, "x".into())]);
    }

    #[test]
    fn headers_of_a_response_change_the_connection() {
        let mut gateway = gateway();
        let persistent = Object::new()
            .with("name", "Session")
            .with("mustUnderstand", true)
            .with("data", "abc");
        let headers = vec![
            header("AppendToGatewayUrl", "?sid=1"),
            header("RequestPersistentHeader", persistent),
        ];
        gateway.call("A.b", vec![], true).unwrap();
        let (_, sent) = gateway.take_request().unwrap();
        gateway.handle_response(sent, ok(headers, vec![body("/1/onResult", "")]));
        assert_eq!(gateway.url, "http://gw/x?sid=1");
        assert_eq!(gateway.headers.0.len(), 1);
        gateway.call("A.b", vec![], true).unwrap();
        let (request, sent) = gateway.take_request().unwrap();
        assert_eq!(request.url, "http://gw/x?sid=1");
        let headers = vec![header("ReplaceGatewayUrl", "http://other/")];
        gateway.handle_response(sent, ok(headers, vec![body("/2/onResult", "")]));
        assert_eq!(gateway.url, "http://other/");
        gateway
            .set_header("Session", false, Value::Undefined)
            .unwrap();
        assert!(gateway.headers.0.is_empty());
    }

    #[test]
    fn calls_and_headers_are_bounded() {
        let mut gateway = gateway();
        for _ in 0..MAX_CALLS {
            gateway.call("A.b", vec![], false).unwrap();
        }
        assert_eq!(gateway.call("A.b", vec![], false), Err(TooManyCalls));
        assert!(gateway.take_request().is_some());
        assert!(gateway.call("A.b", vec![], false).is_ok());
        for number in 0..MAX_HEADERS {
            gateway
                .set_header(&number.to_string(), false, Value::Null)
                .unwrap();
        }
        assert_eq!(
            gateway.set_header("more", false, Value::Null),
            Err(TooManyCalls)
        );
    }
}
