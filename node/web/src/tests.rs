//! Tests of the client against servers on loopback.

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use bytes::Bytes;

use crate::{
    test::{converse, response, serve},
    *,
};

fn client(roots: Roots) -> HttpCaller {
    HttpClient::new(OutboundThread::default(), roots).caller(Arc::new(|_, _| true))
}

fn request(method: &str, url: String) -> Request {
    Request {
        method: method.to_owned(),
        url,
        ..Request::default()
    }
}

fn ask(caller: &HttpCaller, request: Request) -> Result<Response, HttpError> {
    let (sender, receiver) = mpsc::sync_channel(1);
    caller.send(request, move |answer| sender.send(answer.result).unwrap());
    receiver.recv().unwrap()
}

#[test]
fn requests_and_responses() {
    let address = serve(|head, body| {
        let mut seen = head.as_bytes().to_vec();
        seen.extend_from_slice(body);
        response("404 Not Found", "X-Some: thing\r\n", &seen)
    });
    let caller = client(Roots::System);
    let sent = Request {
        headers: vec![
            ("X-Mine".to_owned(), "1".to_owned()),
            ("Host".to_owned(), "elsewhere".to_owned()),
            ("Content-Length".to_owned(), "9999".to_owned()),
        ],
        body: Bytes::from_static(b"a=1"),
        ..request("post", format!("http://{address}/a b?c"))
    };
    let answer = ask(&caller, sent).unwrap();
    assert_eq!(
        (answer.status, answer.header("x-some")),
        (404, Some("thing"))
    );
    assert_eq!(answer.url, format!("http://{address}/a%20b?c"));
    let seen = answer.text().to_lowercase();
    assert!(seen.starts_with("post /a%20b?c http/1.1\r\n"), "{seen}");
    for line in [
        "x-mine: 1\r\n",
        "content-length: 3\r\n",
        "user-agent: tributary/",
    ] {
        assert!(seen.contains(line), "{seen}");
    }
    assert!(
        !seen.contains("elsewhere") && !seen.contains("9999"),
        "{seen}"
    );
    assert!(seen.ends_with("\r\n\r\na=1"), "{seen}");
    // The place is free when the other thread has dropped the answer.
    while caller.pending() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn texts_have_the_encoding_they_state() {
    let answer = |kind: &str, body: &'static [u8]| Response {
        status: 200,
        headers: vec![("content-type".to_owned(), kind.to_owned())],
        body: Bytes::from_static(body),
        url: String::new(),
    };
    let latin = answer("text/plain; charset=ISO-8859-1", b"\xe9");
    assert_eq!(latin.text(), "é");
    assert_eq!(answer("text/plain", "\u{feff}é".as_bytes()).text(), "é");
}

#[test]
fn only_allowed_targets_are_reached() {
    let other = serve(|_, _| response("200 OK", "", b"other"));
    let location = format!("Location: http://{other}/\r\n");
    let first = serve(move |_, _| response("302 Found", &location, b""));
    let client = HttpClient::new(OutboundThread::default(), Roots::System);
    let port = first.port();
    let caller = client.caller(Arc::new(move |host, to| (host, to) == ("127.0.0.1", port)));
    let name = other.to_string();
    let refused = HttpError::NotAllowed(name.clone());
    assert!(refused.to_string().contains("outgoing") && refused.to_string().contains(&name));
    // The target is refused directly and by a redirect.
    for address in [other, first] {
        let answer = ask(&caller, request("GET", format!("http://{address}/")));
        assert_eq!(answer.unwrap_err(), refused);
    }
    let caller = client.caller(Arc::new(|_, _| true));
    let answer = ask(&caller, request("GET", format!("http://{first}/"))).unwrap();
    assert_eq!(answer.text(), "other");
}

#[test]
fn redirects_change_what_browsers_change() {
    let other = serve(|head, body| {
        let mut seen = head.as_bytes().to_vec();
        seen.extend_from_slice(body);
        response("200 OK", "", &seen)
    });
    let first = serve(move |head, _| {
        let path = head.split(' ').nth(1).unwrap_or_default();
        let status = path.trim_start_matches('/');
        let location = format!("Location: http://{other}/end\r\n");
        match status {
            "loop" => response("302 Found", "Location: /loop\r\n", b""),
            _ => response(&format!("{status} Moved"), &location, b""),
        }
    });
    let caller = client(Roots::System);
    for (status, expected) in [
        ("302", "get /end"),
        ("303", "get /end"),
        ("307", "post /end"),
    ] {
        let sent = Request {
            headers: vec![("Authorization".to_owned(), "secret".to_owned())],
            body: Bytes::from_static(b"body"),
            ..request("POST", format!("http://{first}/{status}"))
        };
        let seen = ask(&caller, sent).unwrap().text().to_lowercase();
        assert!(seen.starts_with(expected), "{seen}");
        assert!(!seen.contains("secret"), "{seen}");
        assert_eq!(seen.ends_with("body"), status == "307", "{seen}");
    }
    let answer = ask(&caller, request("GET", format!("http://{first}/loop")));
    assert_eq!(answer.unwrap_err(), HttpError::Redirects);
}

#[test]
fn bodies_are_bounded() {
    let address = serve(|head, _| {
        if head.contains("/declared") {
            return b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_vec();
        }
        let mut out = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
        out.resize(out.len() + MAX_RESPONSE_BODY + 1, b'x');
        out
    });
    let caller = client(Roots::System);
    for path in ["declared", "sent"] {
        let answer = ask(&caller, request("GET", format!("http://{address}/{path}")));
        assert_eq!(answer.unwrap_err(), HttpError::TooLong, "{path}");
    }
    let long = Request {
        body: Bytes::from(vec![0; MAX_REQUEST_BODY + 1]),
        ..request("POST", format!("http://{address}/"))
    };
    assert_eq!(ask(&caller, long).unwrap_err(), HttpError::TooLong);
}

#[test]
fn what_is_no_request_fails_and_says_why() {
    let caller = client(Roots::System);
    let line = |name: &str, value: &str| Request {
        headers: vec![(name.to_owned(), value.to_owned())],
        ..request("GET", "http://127.0.0.1:1/".to_owned())
    };
    let many = Request {
        headers: vec![("a".to_owned(), String::new()); MAX_REQUEST_HEADERS + 1],
        ..request("GET", "http://127.0.0.1:1/".to_owned())
    };
    let bad = [
        request("GET", "file:///etc/passwd".to_owned()),
        request("G T", "http://127.0.0.1:1/".to_owned()),
        request("CONNECT", "http://127.0.0.1:1/".to_owned()),
        line("a b", "c"),
        line("a", "b\r\nc: d"),
        many,
    ];
    for sent in bad {
        let shown = format!("{sent:?}");
        let error = ask(&caller, sent).unwrap_err();
        assert!(
            matches!(error, HttpError::BadRequest(_)),
            "{shown}: {error}"
        );
    }
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = closed.local_addr().unwrap();
    drop(closed);
    let error = ask(&caller, request("GET", format!("http://{address}/"))).unwrap_err();
    assert!(matches!(error, HttpError::Failed(_)), "{error}");
}

#[test]
fn requests_wait_their_turn_and_are_bounded() {
    let (release, held) = mpsc::sync_channel::<()>(0);
    let held = std::sync::Mutex::new(held);
    let running = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&running);
    let address = serve(move |_, _| {
        seen.fetch_add(1, Ordering::SeqCst);
        let _ = held.lock().unwrap().recv();
        response("200 OK", "", b"")
    });
    let caller = client(Roots::System);
    let (sender, receiver) = mpsc::sync_channel(MAX_CALLER_REQUESTS + 1);
    for _ in 0..=MAX_CALLER_REQUESTS {
        let sender = sender.clone();
        caller.send(
            request("GET", format!("http://{address}/")),
            move |answer| {
                sender
                    .send(answer.result.map(|answer| answer.status))
                    .unwrap();
            },
        );
    }
    assert_eq!(receiver.recv().unwrap(), Err(HttpError::TooMany));
    assert_eq!(caller.pending(), MAX_CALLER_REQUESTS);
    let until = Instant::now() + Duration::from_secs(10);
    while running.load(Ordering::SeqCst) < MAX_CALLER_RUNNING && Instant::now() < until {
        std::thread::yield_now();
    }
    assert_eq!(running.load(Ordering::SeqCst), MAX_CALLER_RUNNING);
    drop(release);
    for _ in 0..MAX_CALLER_REQUESTS {
        assert_eq!(receiver.recv().unwrap(), Ok(200));
    }
}

#[test]
fn https_needs_a_certificate_that_is_trusted() {
    let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let private = rustls_pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private.into())
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let tls = rustls::StreamOwned::<_, TcpStream>::new(connection, stream.unwrap());
            let answer = |_: &str, _: &[u8]| response("200 OK", "", b"private");
            std::thread::spawn(move || converse(tls, &answer));
        }
    });
    let url = format!("https://127.0.0.1:{port}/");
    let trusting = client(Roots::Only(vec![certificate.der().clone()]));
    let answer = ask(&trusting, request("GET", url.clone())).unwrap();
    assert_eq!(answer.text(), "private");
    let error = ask(&client(Roots::System), request("GET", url)).unwrap_err();
    assert!(
        matches!(&error, HttpError::Failed(how) if how.contains("certificate")),
        "{error}"
    );
}

#[test]
fn a_caller_may_have_bounds_of_its_own() {
    let address = serve(|head, _| {
        let closes = head.to_ascii_lowercase().contains("connection: close\r\n");
        let (status, length) = match head.split(' ').nth(1) {
            Some("/moved") => ("302 Found", 0),
            Some("/long") => ("200 OK", 101),
            Some("/slow") => {
                std::thread::sleep(Duration::from_secs(2));
                ("200 OK", 0)
            }
            _ => ("200 OK", usize::from(closes)),
        };
        response(status, "Location: cam2\r\n", &vec![b'x'; length])
    });
    let bounds = CallerBounds {
        running: 2,
        requests: 3,
        response_body: 100,
        redirects: 0,
        reuse: false,
    };
    let client = HttpClient::new(OutboundThread::default(), Roots::System);
    let caller = client.caller_within(Arc::new(|_, _| true), bounds);
    let to = |path: &str| request("GET", format!("http://{address}{path}"));
    let moved = ask(&caller, to("/moved")).unwrap();
    assert_eq!(
        (moved.status, moved.header("location")),
        (302, Some("cam2"))
    );
    assert_eq!(ask(&caller, to("/long")).unwrap_err(), HttpError::TooLong);
    assert_eq!(ask(&caller, to("/")).unwrap().text(), "x", "it says close");
    // An answer counts until the other thread has dropped it, a moment after `ask` has its result.
    while caller.pending() > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let began = Instant::now();
    let (sender, answers) = mpsc::sync_channel(4);
    for _ in 0..4 {
        let slow = Request {
            time: Some(Duration::from_millis(200)),
            ..to("/slow")
        };
        let sender = sender.clone();
        caller.send(slow, move |answer| sender.send(answer.result).unwrap());
    }
    let mut errors: Vec<_> = (0..4)
        .map(|_| answers.recv().unwrap().unwrap_err())
        .collect();
    errors.sort_by_key(|error| *error == HttpError::Timeout);
    let timeout = HttpError::Timeout;
    assert_eq!(
        errors,
        [
            HttpError::TooMany,
            timeout.clone(),
            timeout.clone(),
            timeout
        ]
    );
    assert!(began.elapsed() < Duration::from_secs(2));
}
