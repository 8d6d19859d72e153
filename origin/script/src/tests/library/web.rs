//! fetch and XMLSocket.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener},
};

use tributary_web::test::{response, serve};

use super::*;

#[test]
fn fetch_speaks_json() {
    let address = serve(|head, body| {
        let lower = head.to_lowercase();
        assert!(lower.contains("x-key: k"), "{head}");
        let kind = "Content-Type: application/json\r\nX-Two: a\r\nX-Two: b\r\n";
        let body = format!(
            "{{\"method\": \"{}\", \"body\": {}}}",
            head.split(' ').next().unwrap_or_default(),
            String::from_utf8_lossy(body)
        );
        response("201 Created", kind, body.as_bytes())
    });
    let script = starting(&format!(
        "(async function () {{
            const answer = await fetch('http://{address}/', {{
                method: 'put', headers: {{ 'X-Key': 'k' }}, body: JSON.stringify({{ a: 1 }})
            }});
            const json = await answer.json();
            trace([answer.status, answer.ok, json.method, json.body.a, answer.headers.get('X-TWO'),
                answer.headers.has('x-three'), answer.bodyUsed].join());
            try {{ await answer.text(); }} catch (e) {{ trace(e.name); }}
            const again = await fetch('http://{address}/', {{ headers: [['x-key', 'k']], body: new Uint8Array([49]), method: 'POST' }});
            trace((await again.bytes()).length + ' ' + again.url);
            try {{ await fetch('http://127.0.0.1:1/'); }} catch (e) {{ trace(e.name + ': ' + e.message); }}
        }})();"
    ));
    let stage = connecting(&[("main.asc", &script)], &[address]);
    stage.connect("x");
    let refused = "127.0.0.1:1 is not in the application's setting outgoing";
    let said = said_at_last(&stage, 5);
    assert_eq!(said[..2], ["201,true,PUT,1,a, b,false,true", "TypeError"]);
    assert_eq!(said[2], format!("29 http://{address}/"));
    assert_eq!(
        said[3..],
        [format!("fetch: {refused}"), format!("TypeError: {refused}")]
    );
}

#[test]
fn xml_sockets_exchange_documents() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let port = address.port();
    let script = starting(&format!(
        "var s = new XMLSocket();
        s.onConnect = function(ok) {{ trace('connected ' + ok); trace(this.send(new XML('<hi/>'))); }};
        s.onXML = function(doc) {{ trace(doc.firstChild.nodeName); this.onData = function(text) {{ trace(text); this.last(); }}; }};
        s.onClose = function() {{ trace('closed'); trace(s.send('x')); }};
        s.last = function() {{}};
        trace(s.send('early') + ' ' + s.connect('127.0.0.1', 0) + ' ' + s.connect('127.0.0.1', {port}));
        refused = new XMLSocket();
        refused.onConnect = function(ok) {{ trace('refused ' + ok); }};"
    ));
    let stage = connecting(&[("main.asc", &script)], &[address]);
    stage.connect("x");
    let (mut peer, _) = listener.accept().unwrap();
    said_at_last(&stage, 3);
    let mut seen = [0; 7];
    peer.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"<hi />\0");
    peer.write_all(b"<there/>\0plain text\0").unwrap();
    assert_eq!(
        said_at_last(&stage, 5),
        [
            "false false true",
            "connected true",
            "true",
            "there",
            "plain text"
        ]
    );
    drop(peer);
    assert_eq!(said_at_last(&stage, 7)[5..], ["closed", "false"]);
}

#[test]
fn a_socket_to_a_target_that_is_not_allowed_fails_later() {
    let script = starting(
        "var s = new XMLSocket(); s.onConnect = function(ok) { trace(ok); };
         trace('begun ' + s.connect('127.0.0.1', 1));",
    );
    let stage = stage(&script);
    stage.connect("x");
    let why = "XMLSocket: 127.0.0.1:1 is not in the application's setting outgoing";
    assert_eq!(said_at_last(&stage, 3), ["begun true", why, "false"]);
}

#[test]
fn an_instance_that_is_tried_out_reaches_nothing() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let script = starting(&format!(
        "fetch('http://{address}/').catch(function(e) {{ trace(e.name); }});"
    ));
    let outgoing = vec![address.to_string().parse().unwrap()];
    let settings = config::Application {
        outgoing,
        ..config::Application::default()
    };
    let program = with_settings(&[("main.asc", &script)], Path::new(""), &settings);
    let host = Host {
        is_trial: true,
        ..Host::default()
    };
    let stage = test::program(program, host);
    stage.connect("x");
    assert_eq!(said_at_last(&stage, 2)[1..], ["TypeError"]);
    listener.set_nonblocking(true).unwrap();
    assert!(listener.accept().is_err());
}

#[test]
fn a_closed_socket_is_silent() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let script = format!(
        "var s = new XMLSocket();
        s.onConnect = function(ok) {{ trace(ok); s.close(); trace('end'); }};
        s.onClose = function() {{ trace('not told of its own close'); }};
        application.onAppStart = function() {{ s.connect('127.0.0.1', {}); }};
        Client.prototype.ping = function() {{ return 1; }};",
        address.port()
    );
    let stage = connecting(&[("main.asc", &script)], &[address]);
    let client = stage.connect("x");
    let (mut peer, _) = listener.accept().unwrap();
    assert_eq!(said_at_last(&stage, 2), ["true", "end"]);
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    assert!(client.call("ping", []).is_ok());
    assert_eq!(stage.said().len(), 2);
}
