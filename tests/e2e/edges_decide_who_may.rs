//! An edge refuses clients before their origin hears of them, with ffmpeg as the client: users of
//! encoders, tokens, access lists.

use std::{
    fs,
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use socket2::{Domain, Socket, Type};

use crate::support::{
    clients::{Publisher, await_stream, publisher_in, refused, tracks, wired::Wired},
    cluster::Cluster,
    media::clip,
    wire::Amf,
};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

/// A balancer that sends each connection to the next edge, from an address of its own.
struct Balancer {
    address: SocketAddr,
}

impl Balancer {
    fn start(edges: Vec<SocketAddr>, from: [u8; 4]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        thread::spawn(move || {
            for (client, edge) in listener.incoming().zip(edges.into_iter().cycle()) {
                let client = client.expect("a connection");
                let edge = connect(edge, from.into()).expect("the edge listens");
                let back = (edge.try_clone(), client.try_clone());
                thread::spawn(move || carry(client, edge));
                let (Ok(edge), Ok(client)) = back else { break };
                thread::spawn(move || carry(edge, client));
            }
        });
        Self { address }
    }

    fn url(&self, user: &str, app: &str, name: &str) -> String {
        format!("rtmp://{user}{}/{app}/{name}", self.address)
    }
}

fn connect(edge: SocketAddr, from: IpAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(from, 0).into())?;
    socket.connect(&edge.into())?;
    Ok(socket.into())
}

/// Carries bytes until one side ends.
fn carry(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    // The other side may have closed already.
    let _ = to.shutdown(Shutdown::Write);
}

/// A cluster with these tables of applications, and a file `key` with a secret.
fn cluster(edges: usize, tables: &str) -> Cluster {
    Cluster::with_applications_and_tables(1, edges, tables, |apps| {
        let directory = apps.parent().expect("the cluster's directory");
        let write = |name: &str, text: &str| {
            fs::write(directory.join(name), text).expect("a file of the test");
        };
        write("key", &format!("{SECRET}\n"));
        write("users", "# encoders\nalice:s3cr3t\n");
    })
}

fn edges(cluster: &Cluster) -> Vec<SocketAddr> {
    (0..cluster.edges.len())
        .map(|edge| cluster.rtmp(edge))
        .collect()
}

fn faults(cluster: &Cluster, fault: &str) -> f64 {
    let all = 0..cluster.edges.len();
    let label = format!("reason=\"{fault}\"");
    all.map(|edge| {
        cluster
            .edge_metrics(edge)
            .with("tributary_edge_faults_total", &label)
    })
    .sum()
}

#[test]
fn encoders_log_in_at_two_edges_in_turn() {
    let table = |scheme: &str| {
        format!(
            "[applications.{scheme}.encoders]\nusers_file = \"users\"\nkey_file = \"key\"\n\
             schemes = [\"{scheme}\"]\n"
        )
    };
    let cluster = cluster(2, &(table("adobe") + &table("llnw")));
    let balancer = Balancer::start(edges(&cluster), [127, 0, 0, 1]);
    for scheme in ["adobe", "llnw"] {
        let url = balancer.url("alice:s3cr3t@", scheme, "cam");
        let mut publisher = publisher_in(&cluster, scheme, &url);
        await_stream(&cluster.url(0, scheme, "cam"));
        assert!(publisher.is_running(), "{}", publisher.log());
    }
    let url = balancer.url("alice:s3cr3t@", "adobe", "gstreamer");
    let gstreamer = Publisher::Gstreamer.start(&url, clip(), cluster.directory());
    gstreamer.finish(Duration::from_secs(40));
    assert_eq!(faults(&cluster, "user_password"), 0.0);
    for (scheme, user) in [("adobe", "alice:wrong@"), ("llnw", "bob:s3cr3t@")] {
        let url = balancer.url(user, scheme, "other");
        refused(
            publisher_in(&cluster, &format!("{scheme}-wrong"), &url),
            "auth",
        );
    }
    assert_eq!(faults(&cluster, "user_password"), 2.0);
    // ffmpeg has no password to answer with.
    let url = balancer.url("", "adobe", "other");
    refused(publisher_in(&cluster, "nobody", &url), "need auth");
}

/// The query that the script of docs/configuration.md makes for an act.
fn signature(directory: &Path, act: &str, name: &str, lasts: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let expires = now.expect("a time after 1970").as_secs() as i64 + lasts;
    let script = format!(
        "sign=$(printf '{act}\\nsigned/_definst_/{name}\\n%s' {expires} \
         | openssl dgst -sha256 -hmac \"$(cat key)\" -binary \
         | basenc --base64url | tr -d '='); printf 'expires={expires}&sign=%s' $sign"
    );
    let mut command = Command::new("sh");
    let output = command
        .args(["-c", &script])
        .current_dir(directory)
        .output();
    String::from_utf8(output.expect("a shell").stdout).expect("a query")
}

#[test]
fn a_signed_name_is_published_and_played_until_its_time_is_over() {
    let table = "[applications.signed.tokens]\nrequire = [\"publish\", \"play\"]\n\
                 [[applications.signed.tokens.keys]]\nkind = \"hmac\"\nfile = \"key\"\n";
    let cluster = cluster(1, table);
    let signed = |act, lasts| {
        let query = signature(cluster.directory(), act, "cam", lasts);
        cluster.url(0, "signed", &format!("cam?{query}"))
    };
    for (name, url, text) in [
        (
            "none",
            cluster.url(0, "signed", "cam"),
            "this needs a token",
        ),
        ("expired", signed("publish", -60), "the token has expired"),
        (
            "other",
            signed("play", 600),
            "the signature of the token is wrong",
        ),
    ] {
        refused(publisher_in(&cluster, name, &url), text);
    }
    let mut publisher = publisher_in(&cluster, "good", &signed("publish", 600));
    await_stream(&signed("play", 600));
    assert_eq!(
        tracks(&cluster.url(0, "signed", "cam")),
        Vec::<String>::new()
    );
    assert!(publisher.is_running(), "{}", publisher.log());
    for fault in ["token_expired", "token_signature"] {
        assert!(faults(&cluster, fault) >= 1.0, "{fault}");
    }
}

/// A JWT with these claims, signed by the secret.
fn jwt(directory: &Path, claims: &str) -> String {
    let script = "url() { basenc --base64url -w 0 | tr -d '='; }; \
         signed=$(printf '{\"alg\":\"HS256\"}' | url).$(printf '%s' \"$1\" | url); \
         sign=$(printf '%s' \"$signed\" | openssl dgst -sha256 -hmac \"$(cat key)\" -binary | url); \
         printf '%s.%s' \"$signed\" \"$sign\"";
    let mut command = Command::new("sh");
    let command = command.args(["-c", script, "sh", claims]);
    let output = command.current_dir(directory).output();
    String::from_utf8(output.expect("a shell").stdout).expect("a token")
}

#[test]
fn a_script_hears_what_the_edge_has_verified() {
    let table = "[applications.who.tokens]\nrequire = [\"connect\"]\n\
                 [[applications.who.tokens.keys]]\nkind = \"HS256\"\nfile = \"key\"\n";
    let cluster = Cluster::with_applications_and_tables(1, 1, table, |apps| {
        let who = apps.join("who");
        fs::create_dir(&who).expect("a directory of the test");
        let script = "application.onConnect = function(client) { \
             client.who = function() { return client.user + ' ' + JSON.stringify(client.claims); }; \
             return true; };";
        fs::write(who.join("main.asc"), script).expect("a script of the test");
        let key = apps.parent().expect("the cluster's directory").join("key");
        fs::write(key, format!("{SECRET}\n")).expect("a file of the test");
    });
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let expires = now.expect("a time after 1970").as_secs() + 600;
    for (claims, user) in [
        (
            format!("{{\"exp\":{expires},\"sub\":\"alice\",\"seat\":[7]}}"),
            "alice",
        ),
        (format!("{{\"exp\":{expires}}}"), "null"),
    ] {
        let token = jwt(cluster.directory(), &claims);
        let mut client = Wired::session(cluster.rtmp(0), &format!("who?token={token}"));
        let told = client.call("who", &[]);
        let expected = Amf::String(format!("{user} {claims}"));
        assert!(told.values().contains(&expected), "{:?}", told.values());
    }
}

#[test]
fn access_lists_judge_the_address_of_the_client() {
    let table = "[applications.listed.access]\npublish = [\"127.3.0.0/16\"]\n\
                 deny = [\"127.3.0.66\"]\n";
    let cluster = cluster(1, table);
    let from = |address| Balancer::start(edges(&cluster), address).url("", "listed", "cam");
    for (name, address, text) in [
        (
            "denied",
            [127, 3, 0, 66],
            "the address 127.3.0.66 may not connect here",
        ),
        (
            "other",
            [127, 4, 0, 1],
            "the address 127.4.0.1 may not publish here",
        ),
    ] {
        refused(publisher_in(&cluster, name, &from(address)), text);
    }
    let mut publisher = publisher_in(&cluster, "listed", &from([127, 3, 0, 1]));
    await_stream(&cluster.url(0, "listed", "cam"));
    assert!(publisher.is_running(), "{}", publisher.log());
}
