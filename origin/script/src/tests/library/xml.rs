//! XML and XMLNode.

use tributary_web::test::{response, serve};

use super::*;

#[test]
fn documents_are_parsed_changed_and_written() {
    let script = "var x = new XML('<?xml version=\"1.0\"?><users n=\"2\"><user id=\"1\">Al &amp; Bo</user>' +
            ' <user id=\"2\"/></users>');
        trace(x.status + ' ' + x.xmlDecl + ' ' + x.firstChild.nodeName + ' ' + x.childNodes.length);
        var users = x.firstChild;
        for (var n = users.firstChild; n; n = n.nextSibling)
            trace(n.nodeType + ':' + n.nodeName + ':' + n.nodeValue + ':' + n.attributes.id);
        trace(users.firstChild.firstChild.nodeValue + '|' + users.lastChild.hasChildNodes());
        var made = x.createElement('user');
        made.attributes.id = '<3>';
        made.appendChild(x.createTextNode('C\"'));
        users.insertBefore(made, users.firstChild);
        users.lastChild.removeNode();
        trace(x); trace(made.nextSibling.previousSibling === made && made.parentNode === users);
        made.appendChild(users); x.appendChild(x);
        var names = []; for (var a in made.attributes) names.push(a); trace(names);
        trace(made.cloneNode(true).toString() + made.cloneNode(false));
        users.appendChild(made); trace(users.lastChild === made && users.childNodes.length);";
    assert_eq!(
        said(script),
        [
            "0 <?xml version=\"1.0\"?> users 1",
            "1:user:null:1",
            "3:null: :undefined",
            "1:user:null:2",
            "Al & Bo|false",
            "<?xml version=\"1.0\"?><users n=\"2\"><user id=\"&lt;3&gt;\">C&quot;</user>\
             <user id=\"1\">Al &amp; Bo</user> </users>",
            "true",
            "id",
            "<user id=\"&lt;3&gt;\">C&quot;</user><user id=\"&lt;3&gt;\" />",
            "3",
        ]
    );
}

#[test]
fn white_space_namespaces_and_faults() {
    let script = "var x = new XML(); x.ignoreWhite = true;
        x.parseXML('<a:b xmlns:a=\"urn:x\" xmlns=\"urn:y\">\\n <c/> \\n</a:b>');
        var b = x.firstChild;
        trace([b.childNodes.length, b.prefix, b.localName, b.namespaceURI, b.firstChild.namespaceURI,
            b.firstChild.getPrefixForNamespace('urn:x')].join());
        x.parseXML('<a><b></a>'); trace(x.status + ' ' + x);
        x.parseXML('<a>&nbsp;&lt;</a>'); trace(x.status + ' ' + x + ' ' + x.firstChild.firstChild.nodeValue);
        x.parseXML(new Array(400).join('<a>')); trace(x.status);
        var names = []; for (var n in x) names.push(n); trace(names.length + ' ' + (x instanceof XMLNode));
        function Doc() {} Doc.prototype = new XML(); Doc.prototype.hi = function() { return this.status; };
        trace(new Doc().hi() + ' ' + new XMLNode(3, 'a<').toString());";
    assert_eq!(
        said(script),
        [
            "1,a,b,urn:x,urn:y,a",
            "-9 <a><b /></a>",
            "0 <a>&amp;nbsp;&lt;</a> &nbsp;<",
            "-7",
            "0 true",
            "0 a&lt;",
        ]
    );
}

#[test]
fn trees_deeper_than_the_stack_are_written_and_copied() {
    let script = "function deep(count) {
            var x = new XML(), at = x;
            for (var i = 0; i < count; i++) { var n = x.createElement('a'); at.appendChild(n); at = n; }
            return x;
        }
        trace(deep(10000).toString().length + ' ' + deep(3000).cloneNode(true).toString().length);";
    // Each element but the innermost is `<a></a>`.
    let length = |count: usize| (count - 1) * 7 + 5;
    let expected = format!("{} {}", length(10_000), length(3_000));
    assert_eq!(said(script), [expected]);
}

#[test]
fn documents_come_from_and_go_to_a_web_server() {
    let address = serve(|head, body| {
        if head.starts_with("GET /rooms.xml") {
            return response("200 OK", "", b"<rooms><room>one</room></rooms>");
        }
        assert!(
            head.to_lowercase().contains("content-type: text/xml"),
            "{head}"
        );
        response("200 OK", "", &[b"<got>", body, b"</got>"].concat())
    });
    let script = starting(&format!(
        "var x = new XML();
        x.ignoreWhite = true;
        x.onLoad = function(success) {{
            trace(success + ' ' + this.loaded + ' ' + this.status + ' ' + this.firstChild.firstChild.firstChild);
            var answer = new XML();
            answer.onLoad = function(success) {{ trace(success + ' ' + this); }};
            this.contentType = 'text/xml';
            this.sendAndLoad('http://{address}/save', answer);
        }};
        x.load('http://{address}/rooms.xml');"
    ));
    let stage = connecting(&[("main.asc", &script)], &[address]);
    stage.connect("x");
    assert_eq!(
        said_at_last(&stage, 2),
        [
            "true true 0 one",
            "true <got><rooms><room>one</room></rooms></got>"
        ]
    );
}
