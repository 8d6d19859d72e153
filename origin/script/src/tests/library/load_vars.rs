//! LoadVars.

use tributary_origin::test::ConnectAs;
use tributary_web::test::{response, serve};

use super::*;

#[test]
fn for_in_sees_variables_alone() {
    let script = "var v = new LoadVars();
        v.onLoad = function() {}; v.onData = v.onData; v.contentType = 'text/plain';
        v.addRequestHeader('X', 'y');
        v.decode('name=J.+Doe&age=30&onLoad=bad&load=x');
        var names = []; for (var n in v) names.push(n + '=' + v[n]);
        trace(names.join()); trace(typeof v.onLoad); trace(v.toString());
        trace(new LoadVars() + '|' + (v instanceof LoadVars) + '|' + v.loaded);";
    assert_eq!(
        said(script),
        [
            "name=J. Doe,age=30,load=x",
            "function",
            "name=J%2E%20Doe&age=30&load=x",
            "|true|undefined"
        ]
    );
}

/// A script of 2006: a login against a PHP script, deferred.
#[test]
fn a_pending_client_is_decided_by_a_web_server() {
    let address = serve(|head, body| {
        let body = String::from_utf8_lossy(body);
        assert!(head.starts_with("POST /login.php HTTP/1.1"), "{head}");
        assert!(
            head.to_lowercase()
                .contains("content-type: application/x-www-form-urlencoded"),
            "{head}"
        );
        let ok = body == "user=alice&pass=s%26cret";
        response("200 OK", "", format!("&ok={ok}&nick=Al").as_bytes())
    });
    let script = format!(
        "application.onConnect = function(client, user, pass) {{
            var ask = new LoadVars(), answer = new LoadVars();
            ask.user = user; ask.pass = pass;
            answer.client = client;
            answer.onLoad = function(success) {{
                trace(success + ' ' + this.ok + ' ' + this.loaded + ' ' + this.getBytesTotal());
                if (success && this.ok == 'true') {{
                    this.client.nick = this.nick;
                    application.acceptConnection(this.client);
                }} else application.rejectConnection(this.client, {{ why: 'login' }});
            }};
            trace(ask.sendAndLoad('http://{address}/login.php', answer));
        }};"
    );
    let stage = connecting(&[("main.asc", &script)], &[address]);
    let connect =
        |user: &str, pass: &str| stage.connect_as("x", ConnectAs::with([text(user), text(pass)]));
    let alice = connect("alice", "s&cret");
    assert!(!alice.is_accepted() && alice.refused().is_none());
    assert_eq!(said_at_last(&stage, 2), ["true", "true true true 16"]);
    assert!(alice.is_accepted());
    let mallory = connect("alice", "guess");
    said_at_last(&stage, 4);
    assert!(mallory.refused().is_some());
}

#[test]
fn failures_and_statuses_are_told() {
    let address = serve(|head, _| {
        if head.contains("/missing") {
            response("404 Not Found", "", b"a=1")
        } else {
            response(
                "200 OK",
                "",
                head.split(' ').nth(1).unwrap_or_default().as_bytes(),
            )
        }
    });
    let script = starting(&format!(
        "function ask(url, send) {{
            var v = new LoadVars();
            v.onHTTPStatus = function(status) {{ trace('status ' + status); }};
            v.onLoad = function(success) {{ trace(url + ' ' + success); next(); }};
            if (send) {{ v.a = 'b c'; v.onData = function(text) {{ trace(text); next(); }};
                v.sendAndLoad(url, v, 'GET'); }} else v.load(url);
        }}
        var steps = [
            function() {{ ask('http://{address}/missing'); }},
            function() {{ ask('http://{address}/x?y=1', true); }},
            function() {{ ask('http://127.0.0.1:1/'); }},
            function() {{ ask('file:///etc/passwd'); }},
            function() {{ trace(new LoadVars().load() + ' ' + new LoadVars().load('')); }}
        ];
        function next() {{ var step = steps.shift(); if (step) step(); }}
        next();"
    ));
    let stage = connecting(&[("main.asc", &script)], &[address]);
    stage.connect("x");
    let said = said_at_last(&stage, 11);
    let url = format!("http://{address}/missing false");
    assert_eq!(said[..2], ["status 404".to_owned(), url]);
    assert_eq!(said[2..4], ["status 200", "/x?y=1&a=b%20c"]);
    let refused = "LoadVars: 127.0.0.1:1 is not in the application's setting outgoing";
    assert_eq!(
        said[4..7],
        [refused, "status 0", "http://127.0.0.1:1/ false"]
    );
    assert_eq!(said[7], "LoadVars: not an address: file:///etc/passwd");
    assert_eq!(
        said[8..],
        ["status 0", "file:///etc/passwd false", "false false"]
    );
}
