//! AMF remoting over HTTP.

use std::sync::Mutex;

use tributary_protocol::amf::ObjectEncoding;
use tributary_web::test::{response, serve};

use super::*;
use crate::library::remoting::packet::{Packet, PacketBody};

/// A gateway with these answers to calls, and the calls that it received.
fn gateway(
    answer: impl Fn(&PacketBody) -> (&'static str, Value) + Send + Sync + 'static,
) -> (SocketAddr, Arc<Mutex<Vec<Packet>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&asked);
    let address = serve(move |head, body| {
        assert!(
            head.to_lowercase()
                .contains("content-type: application/x-amf"),
            "{head}"
        );
        let packet = Packet::decode(body).unwrap();
        let bodies = packet.bodies.iter().map(|body| {
            let (kind, value) = answer(body);
            PacketBody {
                target: format!("{}/{kind}", body.response),
                response: "null".to_owned(),
                value,
            }
        });
        let answers = Packet {
            version: 0,
            headers: Vec::new(),
            bodies: bodies.collect(),
        };
        seen.lock().unwrap().push(packet);
        let bytes = answers.encode(ObjectEncoding::Amf0);
        response("200 OK", "Content-Type: application/x-amf\r\n", &bytes)
    });
    (address, asked)
}

fn echo(body: &PacketBody) -> (&'static str, Value) {
    if body.target.ends_with(".fail") {
        let info = tributary_protocol::amf::Object::new().with("description", "no");
        return ("onStatus", info.into());
    }
    ("onResult", body.value.clone())
}

#[test]
fn calls_of_a_turn_go_to_the_gateway_together() {
    let (address, asked) = gateway(echo);
    let script = starting(&format!(
        "nc = new NetConnection();
        nc.onStatus = function(info) {{ trace('status ' + info.code); }};
        nc.addHeader('Early', true, 1); nc.addHeader('Gone', true, 1); nc.addHeader('Gone');
        trace(nc.connect('http://{address}/gateway') + ' ' + nc.isConnected + ' ' + nc.protocol);
        nc.addHeader('Credentials', false, {{ userid: 'bob' }});
        function Answer(name) {{ this.name = name; }}
        Answer.prototype.onResult = function(r) {{ trace(this.name + ' ' + r.join()); }};
        Answer.prototype.onStatus = function(s) {{ trace(this.name + ' failed: ' + s.description); }};
        trace(nc.call('Echo.one', new Answer('one'), 1, 'x') + ' ' + nc.call('Echo.fail', new Answer('two')));
        nc.call('Echo.quiet', null, [1]);"
    ));
    let stage = connecting(&[("main.asc", &script)], &[address]);
    stage.connect("x");
    let said = said_at_last(&stage, 4);
    assert_eq!(
        said,
        ["true true http", "true true", "one 1,x", "two failed: no"]
    );
    let asked = asked.lock().unwrap();
    let [packet] = asked.as_slice() else {
        panic!("{asked:?}")
    };
    let headers = packet.headers.iter();
    let headers: Vec<_> = headers
        .map(|one| (&*one.name, one.must_understand))
        .collect();
    assert_eq!(headers, [("Early", true), ("Credentials", false)]);
    let targets: Vec<_> = packet
        .bodies
        .iter()
        .map(|body| body.target.as_str())
        .collect();
    assert_eq!(targets, ["Echo.one", "Echo.fail", "Echo.quiet"]);
}

#[test]
fn every_call_to_a_gateway_that_fails_is_told() {
    let address = serve(|_, _| response("500 Oops", "", b""));
    let script = starting(&format!(
        "function ask(url) {{
            var nc = new NetConnection();
            nc.onStatus = function(info) {{ trace(info.code + ' ' + info.description); }};
            nc.connect(url);
            nc.call('A.b', {{ onStatus: function(info) {{ trace('call ' + info.code); }} }});
        }}
        ask('http://{address}/'); setTimeout(ask, 1000, 'http://127.0.0.1:1/');"
    ));
    let stage = connecting(&[("main.asc", &script)], &[address]);
    stage.connect("x");
    let failed = "NetConnection.Call.Failed";
    let said = said_at_last(&stage, 2);
    assert_eq!(
        said,
        [
            format!("{failed} HTTP: Status 500"),
            format!("call {failed}")
        ]
    );
    stage.pass(Duration::from_secs(2));
    let refused = "127.0.0.1:1 is not in the application's setting outgoing";
    let said = said_at_last(&stage, 5);
    let expected = [
        format!("NetConnection: {refused}"),
        format!("{failed} {refused}"),
        format!("call {failed}"),
    ];
    assert_eq!(said[2..], expected);
}

#[test]
fn a_closed_connection_is_silent_and_may_end_in_a_handler() {
    let (address, _) = gateway(echo);
    let script = starting(&format!(
        "var gone = new NetConnection(); gone.connect('http://{address}/');
        gone.call('A.b', {{ onResult: function() {{ trace('not told'); }} }}); gone.close();
        trace(gone.isConnected + ' ' + gone.call('A.b', null));
        var nc = new NetConnection(); nc.connect('http://{address}/');
        nc.call('A.c', {{ onResult: function() {{ nc.close(); nc = null; application.gc(); trace('told'); }} }}, nc.uri);
        nc.call('A.d', {{ onResult: function() {{ missing.member; }} }});"
    ));
    let stage = connecting(&[("main.asc", &script)], &[address]);
    stage.connect("x");
    let said = said_at_last(&stage, 3);
    assert_eq!(said[..2], ["false false", "told"]);
    assert!(said[2].contains("ReferenceError"), "{said:?}");
}

#[test]
fn net_services_call_through_service_objects() {
    let (address, asked) = gateway(echo);
    let script = format!(
        "load('NetServices.asc');
        application.onAppStart = function() {{
            NetServices.setDefaultGatewayUrl('http://{address}/gw');
            var gateway = NetServices.createGatewayConnection();
            gateway.setCredentials('bob', 'secret');
            var service = gateway.getService('com.Users', this);
            service.find('al');
            var other = gateway.getService('com.Rooms');
            other.list({{ onResult: function(r) {{ trace('list ' + r); }} }}, 7);
            other.fail({{ onStatus: function(s) {{ trace('fail ' + s.description); }} }});
            other.save({{ plain: 1 }});
            var seen = []; for (var name in gateway) seen.push(name); trace(seen.length);
        }};
        application.find_Result = function(r) {{ trace('find ' + r); }};"
    );
    let stage = connecting(&[("main.asc", &script)], &[address]);
    stage.connect("x");
    assert_eq!(
        said_at_last(&stage, 4),
        ["0", "find al", "list 7", "fail no"]
    );
    let asked = asked.lock().unwrap();
    let targets: Vec<_> = asked[0]
        .bodies
        .iter()
        .map(|body| body.target.as_str())
        .collect();
    let expected = [
        "com.Users.find",
        "com.Rooms.list",
        "com.Rooms.fail",
        "com.Rooms.save",
    ];
    assert_eq!(targets, expected);
    let credentials = &asked[0].headers[0];
    assert_eq!(credentials.value.get("userid"), Some(&text("bob")));
}
