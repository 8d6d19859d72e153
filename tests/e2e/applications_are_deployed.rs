//! Applications come, change and go while an origin runs: by copying, by the program, by the API.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    clients::wired::{PATIENCE, Wired},
    cluster::TRIBUTARY,
    http,
    program::{self, Program},
    shared_object::{PERSISTENT, Told, change, message},
    wait,
    wire::Amf,
};

/// `dev` with an applications directory of its own.
struct Dev {
    program: Program,
    directory: TempDir,
}

impl Dev {
    /// Starts `dev` with these applications and this configuration.
    fn start(applications: &[(&str, &str)], configuration: &str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(directory.path().join("applications")).expect("a directory");
        fs::write(directory.path().join("dev.toml"), configuration).expect("a file");
        for (name, script) in applications {
            write(&directory.path().join("applications"), name, script);
        }
        let program = Self::program(directory.path());
        Self { program, directory }
    }

    fn program(directory: &Path) -> Program {
        let arguments = [
            "dev",
            "--rtmp=127.0.0.1:0",
            "--admin=127.0.0.1:0",
            "--no-sample",
            "--config=dev.toml",
        ];
        Program::tributary("dev", Path::new(TRIBUTARY), directory, &arguments)
    }

    /// Copies an application's folder into the directory of applications.
    fn copy(&self, name: &str, script: &str) {
        write(&self.directory.path().join("applications"), name, script);
    }

    /// Writes an application's folder outside the directory of applications; returns its path.
    fn draft(&self, name: &str, script: &str) -> String {
        let drafts = self.directory.path().join("drafts");
        write(&drafts, name, script);
        drafts.join(name).display().to_string()
    }

    fn session(&self, app: &str) -> Wired {
        Wired::session(self.program.address("rtmp"), app)
    }

    /// The output of `tributary apps`, and whether it succeeds.
    fn apps(&self, arguments: &[&str]) -> (bool, String) {
        let output = Command::new(TRIBUTARY)
            .arg("apps")
            .args(arguments)
            .current_dir(self.directory.path())
            .output()
            .expect("it starts");
        let said = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    }

    /// As [`Self::apps`]; asserts that the command succeeds.
    fn apps_do(&self, arguments: &[&str]) -> String {
        let (good, said) = self.apps(arguments);
        assert!(good, "{arguments:?}: {said}");
        said
    }

    fn token(&self) -> String {
        let file = self.directory.path().join("tributary-data/admin-token");
        fs::read_to_string(file).expect("a token").trim().to_owned()
    }

    fn ask(&self, method: &str, path: &str, token: Option<&str>, body: &[u8]) -> (u16, Value) {
        let admin = self.program.address("admin");
        let (status, body) = ask(admin, method, path, token, body);
        (status, serde_json::from_str(&body).unwrap_or(Value::Null))
    }
}

fn ask(
    admin: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: &[u8],
) -> (u16, String) {
    let mut stream = TcpStream::connect(admin).expect("the admin address");
    let token = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{token}Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream
        .write_all(head.as_bytes())
        .expect("an open connection");
    // The server may refuse before the whole body is sent.
    let _ = stream.write_all(body);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head
        .split_whitespace()
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.unwrap_or_default(), body.to_owned())
}

fn write(at: &Path, name: &str, script: &str) {
    let folder = at.join(name);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("main.asc"), script).expect("a script");
}

/// A script whose clients can ask for its version.
fn answering(version: &str) -> String {
    format!(
        "application.onAppStart = function() {{ trace(\"{version} starts\"); }}\n\
         application.onConnect = function(client) {{\n\
         \tclient.version = function() {{ return \"{version}\"; }}\n\
         \tapplication.acceptConnection(client);\n\
         }}\n"
    )
}

const BROKEN: &str = "application.onConnect = function(client) {\n  var x = ;\n}\n";

fn version(client: &mut Wired) -> String {
    let answer = client.call("version", &[]);
    match answer.values().get(3) {
        Some(Amf::String(text)) => text.clone(),
        other => panic!("no version: {other:?}"),
    }
}

/// Waits until new sessions of an application get this version.
fn await_version(dev: &Dev, app: &str, expected: &str) {
    let rtmp = dev.program.address("rtmp");
    let mut instance = 0;
    wait::until(&format!("{app} is {expected}"), PATIENCE, || {
        instance += 1;
        let mut client = Wired::open(rtmp).expect("a handshake");
        let answer = client.connect(&format!("{app}/try{instance}"));
        answer.code().as_deref() == Some("NetConnection.Connect.Success")
            && version(&mut client) == expected
    });
}

#[test]
fn a_copied_folder_is_an_application() {
    let dev = Dev::start(&[("early", &answering("one"))], "");
    assert_eq!(version(&mut dev.session("early")), "one");
    dev.copy("late", &answering("one"));
    await_version(&dev, "late", "one");
    let mut old = dev.session("late/room");
    dev.copy("late", &answering("two"));
    await_version(&dev, "late", "two");
    assert_eq!(version(&mut old), "one");
    assert_eq!(
        version(&mut dev.session("late/room")),
        "one",
        "the same group, the same version"
    );
    fs::remove_dir_all(dev.directory.path().join("applications/late")).expect("removed");
    let mut instance = 0;
    wait::until("it is gone", PATIENCE, || {
        instance += 1;
        let mut client = Wired::open(dev.program.address("rtmp")).expect("a handshake");
        let answer = client.connect(&format!("late/new{instance}"));
        answer.code().as_deref() == Some("NetConnection.Connect.InvalidApp")
    });
    assert_eq!(version(&mut old), "one", "what runs goes on");
}

#[test]
fn a_broken_version_is_refused_and_the_old_one_keeps_running() {
    let dev = Dev::start(&[("chat", &answering("one"))], "");
    let mut client = dev.session("chat");
    dev.copy("chat", BROKEN);
    wait::until("it is refused", PATIENCE, || {
        dev.program.log().contains("main.asc:2")
    });
    wait::logged(&dev.program, "var x = ;");
    assert_eq!(version(&mut client), "one");
    assert_eq!(version(&mut dev.session("chat/new")), "one");
    let list = dev.apps_do(&["list"]);
    assert!(list.contains("refused: main.asc:2"), "{list}");

    let (good, said) = dev.apps(&["deploy", &dev.draft("chat", BROKEN)]);
    assert!(!good && said.contains("main.asc:2"), "{said}");
    // The folder is unchanged: a broken application does not replace a good one.
    let throws = "function x() {}\nthrow new Error(\"on purpose\");\n";
    let draft = dev.draft("chat", throws);
    let (good, said) = dev.apps(&["deploy", &draft]);
    assert!(!good && said.contains("on purpose"), "{said}");
    assert!(said.contains("main.asc:2"), "with its place: {said}");
    let starts = "application.onAppStart = function() {\n  trace(\"looks\");\n  none.such();\n}\n";
    let (good, _) = dev.apps(&["deploy", &dev.draft("chat", starts)]);
    assert!(!good);
    let log = dev.apps_do(&["logs", "chat"]);
    for expected in ["trial: looks", "main.asc:3", "none.such();", "is refused"] {
        assert!(log.contains(expected), "{expected} in {log}");
    }
    assert_eq!(version(&mut dev.session("chat/newer")), "one");
    let said = dev.apps_do(&["deploy", &dev.draft("chat", throws), "--force"]);
    assert!(said.contains("in spite of"), "{said}");
}

#[test]
fn the_program_deploys_restarts_and_removes() {
    let dev = Dev::start(&[], "");
    let said = dev.apps_do(&["deploy", &dev.draft("chat", &answering("one"))]);
    assert!(said.contains("chat: version 1 is in force"), "{said}");
    let mut old = dev.session("chat/room");
    assert_eq!(version(&mut old), "one");
    let said = dev.apps_do(&["deploy", &dev.draft("chat", &answering("two"))]);
    assert!(
        said.contains("version 2") && said.contains("1 group keeps"),
        "{said}"
    );
    assert_eq!(version(&mut old), "one");
    let said = dev.apps_do(&["deploy", &dev.draft("chat", &answering("two"))]);
    assert!(said.contains("nothing changes"), "{said}");
    let list = dev.apps_do(&["list"]);
    let row = list
        .lines()
        .find(|line| line.starts_with("chat"))
        .expect("its row");
    assert!(row.contains("1 (1 older)"), "{list}");
    let own = list.lines().find(|line| line.starts_with("live"));
    assert!(own.is_some_and(|row| row.contains("built-in")), "{list}");

    let said = dev.apps_do(&["restart", "chat"]);
    assert!(said.contains("1 group ended"), "{said}");
    old.wait_code("NetConnection.Connect.AppShutdown");
    assert!(old.wait_closed(PATIENCE));
    let mut new = dev.session("chat/room");
    assert_eq!(version(&mut new), "two");
    let log = dev.apps_do(&["logs", "chat"]);
    for expected in ["two starts", "room", "version 2 is in force", "restarts"] {
        assert!(log.contains(expected), "{expected} in {log}");
    }

    dev.apps_do(&["remove", "chat", "--purge"]);
    new.wait_code("NetConnection.Connect.AppShutdown");
    let (good, said) = dev.apps(&["restart", "chat"]);
    assert!(!good && said.contains("no such application"), "{said}");
    for (arguments, expected) in [
        (["remove", "live"], "built in"),
        (["remove", "../x"], "name"),
        (["deploy", "nowhere"], "nowhere"),
    ] {
        let (good, said) = dev.apps(&arguments);
        assert!(!good && said.contains(expected), "{arguments:?}: {said}");
    }
}

#[test]
fn a_purge_empties_persistent_objects_and_their_versions_go_on() {
    let mut dev = Dev::start(&[], "");
    let deploy = |dev: &Dev| dev.apps_do(&["deploy", &dev.draft("board", &answering("one"))]);
    deploy(&dev);
    let mut client = dev.session("board/room");
    assert_eq!(use_board(&mut client, 0).events.len(), 2, "it is empty");
    let stored = change_board(&mut client, 0);
    assert_eq!(use_board(&mut client, stored).version, stored);

    dev.apps_do(&["remove", "board", "--purge"]);
    client.wait_code("NetConnection.Connect.AppShutdown");
    deploy(&dev);
    let mut client = dev.session("board/room");
    let mut last = stored;
    for seen in [stored, stored + 1, 0] {
        let told = use_board(&mut client, seen);
        let kinds: Vec<_> = told.events.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [11, 8], "a returning client begins anew: {told:?}");
        assert!(told.version >= last && told.version > stored, "{told:?}");
        last = told.version;
    }
    last = change_board(&mut client, last);

    dev.program.kill();
    dev.program = Dev::program(dev.directory.path());
    let told = use_board(&mut dev.session("board/room"), 0);
    assert!(told.version >= last, "{told:?} after {last}");
    assert_eq!(told.events.len(), 3, "it holds the later changes: {told:?}");
}

const BOARD: &str = "board";

/// The answer to a use of a persistent object by a client with this version.
fn use_board(client: &mut Wired, version: u32) -> Told {
    let message = message(BOARD, version, PERSISTENT, &[(1, Vec::new())]);
    client.shared_object(&message).expect("an open connection");
    board(client, |told| told.events[0].0 == 11)
}

/// Changes the object and waits until the change is stored; returns the version.
fn change_board(client: &mut Wired, version: u32) -> u32 {
    let message = message(BOARD, version, PERSISTENT, &[(3, change("slot", 1.0))]);
    client.shared_object(&message).expect("an open connection");
    board(client, |told| told.events[0].0 == 5).version
}

fn board(client: &mut Wired, wanted: impl Fn(&Told) -> bool) -> Told {
    let heard = client.wait(PATIENCE, |message| {
        Told::read(message).is_some_and(|told| wanted(&told))
    });
    Told::read(&heard.expect("an answer")).expect("it was wanted")
}

#[test]
fn running_groups_restart_where_that_is_the_policy() {
    let dev = Dev::start(
        &[("game", &answering("one"))],
        "[applications.game]\non_deploy = \"restart\"\nmax_groups = 2\n",
    );
    let mut client = dev.session("game/a");
    let _other = dev.session("game/b");
    let mut third = Wired::open(dev.program.address("rtmp")).expect("a handshake");
    let refused = third.connect("game/c");
    assert_eq!(
        refused.code().as_deref(),
        Some("NetConnection.Connect.Failed")
    );
    dev.copy("game", &answering("two"));
    client.wait_code("NetConnection.Connect.AppShutdown");
    assert!(client.wait_closed(PATIENCE));
    assert_eq!(version(&mut dev.session("game/a")), "two");
    let metrics = http::Metrics::scrape(dev.program.address("admin"));
    assert!(metrics.sum("tributary_origin_group_restarts_total") >= 2.0);
}

#[test]
fn the_api_wants_the_token_always() {
    let dev = Dev::start(&[("chat", &answering("one"))], "");
    let file = dev.directory.path().join("tributary-data/admin-token");
    let mode = fs::metadata(&file).expect("a token").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = dev.token();
    for given in [None, Some(""), Some("x"), Some(&token[1..])] {
        for (method, path) in [
            ("GET", "/api/apps"),
            ("GET", "/api/openapi.json"),
            ("DELETE", "/api/apps/chat?purge=true"),
            ("POST", "/api/apps/chat/restart"),
            ("PUT", "/api/apps/chat"),
        ] {
            let (status, body) = dev.ask(method, path, given, b"");
            assert_eq!(status, 401, "{method} {path}");
            assert!(body["error"]["remedy"].is_string(), "{body}");
        }
    }
    assert_eq!(dev.ask("GET", "/api/apps/chat", Some(&token), b"").0, 200);
    assert!(!dev.program.log().contains(&token), "it is in no log");
    let admin = dev.program.address("admin");
    for path in ["/healthz", "/readyz", "/metrics"] {
        let status = http::get(admin, path).map(|(status, _)| status);
        // The node may not be ready yet.
        assert!(matches!(status, Some(200 | 503)), "{path}: {status:?}");
    }
    let metrics = http::Metrics::scrape(admin);
    assert!(metrics.sum("tributary_admin_denied_total") >= 20.0);

    let other = dev.directory.path().join("other-token");
    fs::write(&other, "0".repeat(64)).expect("a file");
    let with = |file: &Path| dev.apps(&["list", "--token", &file.display().to_string()]);
    let (good, said) = with(&other);
    assert!(!good && said.contains("read by others"), "{said}");
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).expect("its mode");
    let (good, said) = with(&other);
    assert!(!good && said.contains("not this origin's"), "{said}");
    let (good, said) = dev.apps(&["list", "--data", "nowhere"]);
    assert!(!good && said.contains("--data"), "{said}");
    assert!(with(&file).0);
}

/// Other machines reach only the addresses that the operator opens.
#[test]
fn the_admin_address_is_loopback_by_default() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut command = Command::new(TRIBUTARY);
    let dev = ["dev", "--rtmp=127.0.0.1:0", "--no-sample"];
    command.args(dev).current_dir(directory.path());
    // The program prints the address whether the port is free or not.
    let program = Program::spawn("default", &mut command, directory.path());
    wait::until("it prints its address or an error", PATIENCE, || {
        program.log().contains("127.0.0.1:8080")
    });
    let help = |of: &str| {
        let output = Command::new(TRIBUTARY).args([of, "--help"]).output();
        String::from_utf8_lossy(&output.expect("it starts").stdout).into_owned()
    };
    assert!(help("apps").contains("--admin"), "another can be named");
}

#[test]
fn an_origin_without_a_data_directory_has_no_api() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path();
    let certificate = |arguments: &[&str]| {
        let mut command = Command::new(TRIBUTARY);
        program::run(command.arg("cert").args(arguments).current_dir(path));
    };
    certificate(&["init", "ca"]);
    let issue = [
        "issue", "--role", "origin", "--name", "o", "--ca", "ca", "--out", "o",
    ];
    certificate(&issue);
    write(&path.join("apps"), "chat", &answering("one"));
    let origin = |name: &str, more: &[&str]| {
        let fixed = [
            "origin",
            "--link=127.0.0.1:0",
            "--admin=127.0.0.1:0",
            "--cert=o",
            "--apps=apps",
        ];
        let all: Vec<_> = fixed.iter().chain(more).copied().collect();
        Program::tributary(name, Path::new(TRIBUTARY), path, &all)
    };
    let bare = origin("bare", &[]);
    let (status, body) = ask(bare.address("admin"), "GET", "/api/apps", Some("x"), b"");
    assert_eq!(status, 403, "{body}");
    assert!(body.contains("--data"), "{body}");
    drop(bare);

    let with_data = origin("with-data", &["--data=data"]);
    let admin = with_data.address("admin").to_string();
    for arguments in [
        &["list", "--data=data"][..],
        &["list", "--token=data/admin-token", "--admin", &admin],
    ] {
        let mut command = Command::new(TRIBUTARY);
        let output = command
            .arg("apps")
            .args(arguments)
            .current_dir(path)
            .output();
        let output = output.expect("it starts");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        assert!(said.lines().any(|line| line.starts_with("chat")), "{said}");
    }
    let mut second = Command::new(TRIBUTARY);
    second.args([
        "origin",
        "--link=127.0.0.1:0",
        "--admin=127.0.0.1:0",
        "--cert=o",
    ]);
    second
        .args(["--apps=apps", "--data=data"])
        .current_dir(path);
    let second = second.output().expect("it starts");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        !second.status.success(),
        "one process to a data directory: {said}"
    );
    assert!(said.contains("another process"), "{said}");
}

#[test]
fn archives_that_attack_are_refused_as_a_whole() {
    let dev = Dev::start(&[], "");
    let token = dev.token();
    let put = |archive: &[u8]| dev.ask("PUT", "/api/apps/chat", Some(&token), archive);
    let script = answering("one");
    let good = tar(&[("main.asc", b'0', script.as_bytes(), "")]);
    let many: Vec<_> = (0..4_100).map(|number| format!("f{number}")).collect();
    let many: Vec<_> = many
        .iter()
        .map(|name| (name.as_str(), b'0', &b""[..], ""))
        .collect();
    for (name, archive, expected) in [
        (
            "a link",
            tar(&[("main.asc", b'2', b"", "/etc/passwd")]),
            400,
        ),
        (
            "a hard link",
            tar(&[("main.asc", b'1', b"", "/etc/passwd")]),
            400,
        ),
        ("a device", tar(&[("main.asc", b'3', b"", "")]), 400),
        ("absolute", tar(&[("/tmp/main.asc", b'0', b"x", "")]), 400),
        ("up", tar(&[("../../main.asc", b'0', b"x", "")]), 400),
        (
            "through a link",
            tar(&[("l", b'2', b"", "/"), ("l/tmp/x", b'0', b"x", "")]),
            400,
        ),
        ("too many", tar(&many), 413),
        (
            "too large",
            header("main.asc", b'0', 65 << 20, "").to_vec(),
            413,
        ),
        ("nothing", Vec::new(), 400),
        ("noise", vec![b'x'; 4096], 400),
    ] {
        let (status, body) = put(&archive);
        assert_eq!(status, expected, "{name}: {body}");
        for key in ["thing", "reason", "remedy"] {
            assert!(body["error"][key].is_string(), "{name}: {body}");
        }
    }
    let apps = dev.directory.path().join("applications");
    assert!(!apps.join("chat").exists());
    let left = fs::read_dir(apps.join(".staging")).map_or(0, Iterator::count);
    assert_eq!(left, 0, "nothing is left over");
    let (status, body) = put(&good);
    assert_eq!(status, 200, "{body}");
    assert_eq!(version(&mut dev.session("chat")), "one");
}

#[test]
fn check_compiles_every_application() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let apps = directory.path().join("apps");
    write(&apps, "good", &answering("one"));
    fs::write(
        directory.path().join("x.toml"),
        "[origin]\napps = \"apps\"\n",
    )
    .expect("a file");
    let check = |what: &str| {
        let output = Command::new(TRIBUTARY)
            .args(["check", what])
            .current_dir(directory.path())
            .output()
            .expect("it starts");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        (output.status.code(), said)
    };
    let xml = "<Application>\n  <JSEngine>\n    <MaxTimeOut>2</MaxTimeOut>\n  </JSEngine>\n</Application>";
    fs::write(apps.join("good/Application.xml"), xml).expect("a file");
    let (code, said) = check("x.toml");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("[origin]"), "{said}");
    let ignored = "apps/good: Application.xml:3: JSEngine/MaxTimeOut is ignored";
    assert!(said.contains(ignored), "{said}");
    write(&apps, "bad", BROKEN);
    write(&apps, "worse", "function (");
    fs::create_dir(apps.join("empty")).expect("a folder");
    let (code, said) = check("x.toml");
    assert_eq!(code, Some(1), "{said}");
    for expected in [
        "apps/bad/main.asc:2",
        "var x = ;",
        "apps/worse/main.asc:1",
        "apps/empty",
    ] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
    assert_eq!(check("apps/good").0, Some(0));
    let (code, said) = check("apps/bad");
    assert!(code == Some(1) && said.contains("main.asc:2"), "{said}");
}

#[test]
fn the_version_in_force_outlives_the_process() {
    let mut dev = Dev::start(&[("chat", &answering("one"))], "");
    assert_eq!(version(&mut dev.session("chat")), "one");
    dev.copy("chat", BROKEN);
    wait::until("it is refused", PATIENCE, || {
        dev.program.log().contains("main.asc:2")
    });
    dev.program.kill();
    dev.program = Dev::program(dev.directory.path());
    assert_eq!(version(&mut dev.session("chat")), "one");
    let list = dev.apps_do(&["list"]);
    assert!(list.contains("refused: main.asc:2"), "{list}");
}

/// A tar archive of members: path, type, content, target of a link.
fn tar(members: &[(&str, u8, &[u8], &str)]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (path, kind, content, link) in members {
        archive.extend(header(path, *kind, content.len(), link));
        archive.extend_from_slice(content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

/// The header of a member in the format of POSIX.
fn header(path: &str, kind: u8, size: usize, link: &str) -> [u8; 512] {
    let mut header = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, path.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{size:011o}\0").as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

#[test]
fn check_says_what_a_cluster_means_for_a_script() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let apps = directory.path().join("apps");
    let login = "application.onConnect = function (client) { client.user = null; return true; };\n\
                 Client.prototype.login = function (name) { this.user = name; };\n";
    write(&apps, "login", login);
    write(
        &apps,
        "knowing",
        "application.onReconnect = function (client) { client.remember(1); };",
    );
    let at = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("a file");
    at("alone.toml", "[origin]\napps = \"apps\"\n");
    let cluster = "[cluster]\nname = \"lab\"\n[origin]\napps = \"apps\"\n";
    at("cluster.toml", cluster);
    let closes = format!("{cluster}data = \"data\"\n[applications.login]\nrestore = \"close\"\n");
    at("closes.toml", &closes);
    let check = |what: &str| {
        let output = Command::new(TRIBUTARY)
            .args(["check", what])
            .current_dir(directory.path())
            .output()
            .expect("it starts");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let lost = "login: in a cluster: main.asc:2: user of a client is set after its connect";
    for what in ["cluster.toml", "apps", "apps/login"] {
        let said = check(what);
        assert!(said.contains(lost), "{what}: {said}");
        assert!(
            said.contains("application.onConnect is called again"),
            "{said}"
        );
    }
    let said = check("cluster.toml");
    assert!(
        said.contains("application.onReconnect is called again"),
        "{said}"
    );
    assert!(said.contains("it has onReconnect, remember"), "{said}");
    assert!(said.contains("set origin.data"), "{said}");
    let said = check("closes.toml");
    assert!(
        !said.contains("user of a client") && said.contains("clients are closed"),
        "{said}"
    );
    assert!(!said.contains("set origin.data"), "{said}");
    assert!(!check("alone.toml").contains("in a cluster"));
}
