//! The API over real sockets, and its description.

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::{
    super::tests::{Bench, archive},
    *,
};

/// A deployer with its API on an address.
struct Served {
    bench: Bench,
    address: std::net::SocketAddr,
    token: Token,
    registry: Registry,
}

impl Served {
    async fn new() -> Self {
        let mut bench = Bench::new();
        let deployer = bench.start().clone();
        let token = Token::of(&bench.directory.path().join("data")).unwrap();
        let mut registry = Registry::default();
        let router = routes(deployer, None, token.clone(), &mut registry);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(axum::serve(listener, router).into_future());
        Self {
            bench,
            address,
            token,
            registry,
        }
    }

    async fn raw(&self, head: &str, body: &[u8]) -> (u16, String, Value) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!("{head}\r\nHost: x\r\nConnection: close\r\n");
        let length = format!("Content-Length: {}\r\n\r\n", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.write_all(length.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split_whitespace().nth(1).unwrap().parse().unwrap();
        let body = serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}"));
        (status, head.to_ascii_lowercase(), body)
    }

    async fn ask(&self, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
        let token = self.token.reveal();
        let head = format!("{method} {path} HTTP/1.1\r\nAuthorization: Bearer {token}");
        let (status, _, body) = self.raw(&head, body).await;
        (status, body)
    }
}

/// Every path of the description with its methods.
fn described() -> BTreeSet<(String, String)> {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let mut all = BTreeSet::new();
    for (path, operations) in paths {
        for method in operations.as_object().unwrap().keys() {
            if method != "parameters" {
                all.insert((path.clone(), method.to_uppercase()));
            }
        }
    }
    all
}

#[tokio::test]
async fn the_description_and_the_routes_agree() {
    let served = Served::new().await;
    let described = described();
    let known: BTreeSet<_> = PATHS
        .iter()
        .map(|(path, _)| format!("/api{path}"))
        .collect();
    let paths: BTreeSet<_> = described.iter().map(|(path, _)| path.clone()).collect();
    assert_eq!(paths, known);
    for path in paths {
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let at = path.replace("{name}", "chat");
            let (status, body) = served.ask(method, &at, b"").await;
            let is_described = described.contains(&(path.clone(), method.to_owned()));
            assert_eq!(status != 405, is_described, "{method} {path}: {status}");
            if status >= 400 {
                for key in ["thing", "reason", "remedy"] {
                    assert!(body["error"][key].is_string(), "{method} {path}: {body}");
                }
            }
        }
    }
    let (status, body) = served.ask("GET", "/api/openapi.json", b"").await;
    assert_eq!((status, &body["openapi"]), (200, &Value::from("3.1.0")));
}

/// Every reference of the description leads somewhere, and every answer has all properties.
#[tokio::test]
async fn answers_are_as_described() {
    let document: Value = serde_json::from_str(OPENAPI).unwrap();
    for part in OPENAPI.split("\"$ref\": \"#").skip(1) {
        let pointer = part.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
    let schema = |name: &str| {
        let properties = &document["components"]["schemas"][name]["properties"];
        let keys = properties.as_object().unwrap().keys().cloned();
        keys.collect::<BTreeSet<_>>()
    };
    let keys = |value: &Value| {
        let keys = value.as_object().unwrap().keys().cloned();
        keys.collect::<BTreeSet<_>>()
    };
    let served = Served::new().await;
    let (_, done) = served.ask("PUT", "/api/apps/chat", &archive("one")).await;
    assert_eq!(keys(&done["application"]), schema("Application"), "{done}");
    let (status, refused) = served
        .ask("PUT", "/api/apps/chat", &archive("broken"))
        .await;
    assert_eq!(status, 422);
    assert_eq!(keys(&refused["error"]["problems"][0]), schema("Problem"));
    let (_, one) = served.ask("GET", "/api/apps/chat", b"").await;
    assert_eq!(keys(&one["refused"]), schema("Refused"));
    let (_, logs) = served.ask("GET", "/api/apps/chat/logs", b"").await;
    assert_eq!(keys(&logs["lines"][0]), schema("Line"));
}

#[tokio::test]
async fn without_the_token_there_is_nothing() {
    let served = Served::new().await;
    let token = served.token.reveal();
    let (short, long) = (&token[1..], format!("{token}0"));
    let mut denied = 0;
    for (path, _) in PATHS {
        let path = path.replace("{name}", "chat");
        for credentials in [
            String::new(),
            "Authorization: Bearer \r\n".to_owned(),
            format!("Authorization: Bearer {short}\r\n"),
            format!("Authorization: Bearer {long}\r\n"),
            format!("Authorization: Basic {token}\r\n"),
            format!("Authorization: {token}\r\n"),
            format!("X-Token: {token}\r\n"),
        ] {
            for (method, path) in [
                ("GET", format!("/api{path}")),
                ("PUT", format!("/api{path}")),
                ("GET", format!("/api/none?token={token}")),
            ] {
                let head = format!("{method} {path} HTTP/1.1\r\n{credentials}X: x");
                let (status, head, body) = served.raw(&head, b"").await;
                assert_eq!(status, 401, "{method} {path} {credentials}");
                assert!(head.contains("www-authenticate: bearer"), "{head}");
                assert!(body["error"]["remedy"].is_string());
                assert!(!body.to_string().contains(token));
                denied += 1;
            }
        }
    }
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &served.registry).unwrap();
    let counted = format!("tributary_admin_denied_total {denied}");
    assert!(text.contains(&counted), "{text}");
    // In any case of letters, as HTTP has it.
    let head = format!("GET /api/apps HTTP/1.1\r\nauthorization: bearer {token}");
    assert_eq!(served.raw(&head, b"").await.0, 200);
}

#[tokio::test]
async fn an_application_is_deployed_watched_and_removed() {
    let served = Served::new().await;
    let (status, done) = served.ask("PUT", "/api/apps/chat", &archive("one")).await;
    assert_eq!(
        (status, &done["is_new"]),
        (200, &Value::Bool(true)),
        "{done}"
    );
    assert_eq!(done["application"]["version"], 1);
    let (_, list) = served.ask("GET", "/api/apps", b"").await;
    assert_eq!(list["applications"][0]["name"], "chat");

    let (status, refused) = served
        .ask("PUT", "/api/apps/chat", &archive("x\nbroken"))
        .await;
    assert_eq!(status, 422);
    let problem = &refused["error"]["problems"][0];
    assert_eq!(
        (&problem["file"], &problem["line"]),
        (&"main.txt".into(), &2.into())
    );
    let (status, _) = served
        .ask("PUT", "/api/apps/chat", &archive("throws"))
        .await;
    assert_eq!(status, 422);
    let (status, forced) = served
        .ask("PUT", "/api/apps/chat?force=true", &archive("throws"))
        .await;
    assert_eq!(status, 200);
    assert!(
        forced["overlooked"][0]["message"]
            .as_str()
            .unwrap()
            .contains("it throws")
    );

    let (status, done) = served.ask("POST", "/api/apps/chat/restart", b"").await;
    assert_eq!((status, &done["restarted"]), (200, &Value::from(0)));
    let (_, log) = served.ask("GET", "/api/apps/chat/logs?lines=2", b"").await;
    let lines = log["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 2);
    assert!(
        lines[1]["text"].as_str().unwrap().contains("restarts"),
        "{log}"
    );
    let last = lines[1]["number"].as_u64().unwrap();
    let (_, log) = served
        .ask("GET", &format!("/api/apps/chat/logs?after={last}"), b"")
        .await;
    assert_eq!(log["lines"], Value::Array(Vec::new()));

    let (status, _) = served.ask("DELETE", "/api/apps/chat", b"").await;
    assert_eq!(status, 200);
    for (method, path) in [
        ("GET", "/api/apps/chat"),
        ("DELETE", "/api/apps/chat"),
        ("POST", "/api/apps/chat/restart"),
        ("GET", "/api/apps/chat/logs"),
        ("GET", "/api/none"),
    ] {
        assert_eq!(
            served.ask(method, path, b"").await.0,
            404,
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn bad_requests_are_answered_and_change_nothing() {
    let served = Served::new().await;
    let good = archive("one");
    let mut link = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    link.append_link(&mut header, "main.txt", "/etc/passwd")
        .unwrap();
    let link = link.into_inner().unwrap();
    for (method, path, body, expected) in [
        ("PUT", "/api/apps/..", good.as_slice(), 400),
        ("PUT", "/api/apps/%2e%2e%2fx", &good, 400),
        ("PUT", "/api/apps/.hidden", &good, 400),
        ("PUT", "/api/apps/a%20b", &good, 400),
        ("PUT", "/api/apps/chat?force=maybe", &good, 400),
        ("PUT", "/api/apps/chat?forse=true", &good, 400),
        ("PUT", "/api/apps/chat", b"", 400),
        ("PUT", "/api/apps/chat", b"no archive", 400),
        ("PUT", "/api/apps/chat", &link, 400),
        ("DELETE", "/api/apps/chat?purge=x", b"", 400),
        ("GET", "/api/apps/chat/logs?lines=-1", b"", 400),
    ] {
        let (status, body) = served.ask(method, path, body).await;
        assert_eq!(status, expected, "{method} {path}: {body}");
        assert!(body["error"]["remedy"].is_string(), "{body}");
    }
    // Stated, and never sent.
    let token = served.token.reveal();
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    let head = format!(
        "PUT /api/apps/chat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: {}\r\n\r\n",
        MAX_ARCHIVE + 1
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    let apps = fs::read_dir(served.bench.directory.path().join("apps")).unwrap();
    let names: Vec<_> = apps.map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| name == ".staging"), "{names:?}");
}

#[tokio::test]
async fn a_second_upload_is_told_to_wait_until_the_first_has_ended() {
    let served = Served::new().await;
    let token = served.token.reveal();
    let mut slow = TcpStream::connect(served.address).await.unwrap();
    let head = format!(
        "PUT /api/apps/slow HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\
         Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    let good = archive("one");
    let staging = served.bench.directory.path().join("apps/.staging");
    while fs::read_dir(&staging).map_or(0, Iterator::count) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (status, body) = served.ask("PUT", "/api/apps/chat", &good).await;
    assert_eq!(status, 503);
    let reason = body["error"]["reason"].as_str().unwrap();
    assert!(reason.contains("under way"), "{reason}");
    drop(slow);
    loop {
        let (status, _) = served.ask("PUT", "/api/apps/chat", &good).await;
        if status == 200 {
            break;
        }
        assert_eq!(status, 503);
    }
    assert!(served.bench.deployer().status("slow").is_none());
}
