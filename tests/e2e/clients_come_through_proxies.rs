//! Real proxies of HTTP before an edge: nginx and HAProxy pass WebSockets and the requests of RTMPT on,
//! and name the client in X-Forwarded-For.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use crate::support::{
    clients::{
        Player, Playing, Publisher, Publishing, both,
        carrier::{ws, wss},
        ours,
    },
    cluster::Cluster,
    media::{clip, compare},
    port::free,
    program::Program,
    public_ca, wait,
};

/// The address from which proxies come to the edge, which trusts no other.
const PROXY: &str = "127.0.0.9";

/// A proxy, and its addresses for clients.
struct Proxy {
    _program: Program,
    plain: SocketAddr,
    tls: SocketAddr,
}

fn cluster() -> Cluster {
    let tables = format!(
        "[[edge.listen]]\naddress = \"127.0.0.1:0\"\nprotocols = [\"ws\", \"rtmpt\"]\n\
         forwarded = true\ntrusted = [\"{PROXY}\"]\n"
    );
    Cluster::with_applications_and_tables(1, 1, &tables, |apps| {
        let directory = apps.parent().expect("the cluster's directory");
        public_ca::init(directory);
        public_ca::issue(directory, "main.example", "main");
    })
}

fn start(name: &str, command: &mut Command, directory: &Path, addresses: [SocketAddr; 2]) -> Proxy {
    let program = Program::spawn(name, command, directory).with_children();
    let [plain, tls] = addresses;
    for address in addresses {
        wait::until("the proxy listens", START_WITHIN, || {
            TcpStream::connect(address).is_ok()
        });
    }
    Proxy {
        _program: program,
        plain,
        tls,
    }
}

/// nginx as `docs/configuration.md` says.
fn nginx(edge: SocketAddr, directory: &Path) -> Proxy {
    let addresses = [free(), free()];
    let [plain, tls] = addresses;
    let configuration = format!(
        "daemon off; user root; worker_processes 1;\n\
         error_log {0}/proxy.log info; pid {0}/proxy.pid;\n\
         events {{ worker_connections 100; }}\n\
         http {{ access_log off; client_body_temp_path {0}/body; proxy_temp_path {0}/proxied;\n\
         fastcgi_temp_path {0}/f; uwsgi_temp_path {0}/u; scgi_temp_path {0}/s;\n\
         map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}\n\
         upstream edge {{ server {edge}; keepalive 16; }}\n\
         server {{ listen {plain}; listen {tls} ssl;\n\
         ssl_certificate {0}/main/server.pem; ssl_certificate_key {0}/main/server.key;\n\
         location / {{ proxy_pass http://edge; proxy_bind {PROXY}; proxy_http_version 1.1;\n\
         proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;\n\
         proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         proxy_set_header X-Forwarded-Proto $scheme; proxy_read_timeout 10m; }} }} }}\n",
        directory.display()
    );
    fs::write(directory.join("proxy.conf"), configuration).expect("a configuration file");
    let mut command = Command::new("nginx");
    command.arg("-p").arg(directory).args(["-c", "proxy.conf"]);
    start("nginx", &mut command, directory, addresses)
}

/// HAProxy in `mode http`, as in `examples/deploy`.
fn haproxy(edge: SocketAddr, directory: &Path) -> Proxy {
    let addresses = [free(), free()];
    let [plain, tls] = addresses;
    let both = ["main/server.pem", "main/server.key"]
        .map(|file| fs::read_to_string(directory.join(file)).expect("a file of the certificate"));
    let certificate = directory.join("haproxy.pem");
    fs::write(&certificate, both.concat()).expect("a file");
    let configuration = format!(
        "global\n maxconn 100\n h1-case-adjust content-length Content-Length\n\
         defaults\n mode http\n option forwardfor\n option h1-case-adjust-bogus-client\n\
         timeout connect 5s\n timeout client 10m\n timeout server 10m\n timeout tunnel 10m\n\
         listen web\n bind {plain}\n bind {tls} ssl crt {}\n\
         http-request set-header X-Forwarded-Proto https if {{ ssl_fc }}\n\
         http-request set-header X-Forwarded-Proto http unless {{ ssl_fc }}\n\
         server edge {edge} source {PROXY}\n",
        certificate.display()
    );
    let file = directory.join("haproxy.cfg");
    fs::write(&file, configuration).expect("a configuration file");
    let mut command = Command::new("/usr/sbin/haproxy");
    command.arg("-db").arg("-f").arg(file);
    start("haproxy", &mut command, directory, addresses)
}

/// A new directory for the files of a client.
fn place(cluster: &Cluster, name: &str) -> PathBuf {
    let place = cluster.directory().join(name);
    fs::create_dir_all(&place).expect("a new directory");
    place
}

/// A player of each kind by each way of a proxy.
fn players(cluster: &Cluster, name: &str, proxy: &Proxy) -> Vec<(Player, String, Playing)> {
    let Proxy { plain, tls, .. } = *proxy;
    let ca = cluster.directory().join("public/ca.pem");
    let mut playing = Vec::new();
    for (player, scheme, server) in [
        (Player::Ffmpeg, "rtmpt", plain),
        (Player::Ffmpeg, "rtmpts", tls),
        (Player::Rtmpdump, "rtmpt", plain),
    ] {
        let way = format!("{name}-{player:?}-{scheme}");
        let url = format!("{scheme}://{server}/live/clip");
        let place = place(cluster, &way);
        playing.push((player, way, player.start(&url, &place)));
    }
    let url = format!("rtmp://{plain}/live/clip");
    for (scheme, carrier) in [("ws", ws(plain)), ("wss", wss(tls, &ca))] {
        let url = url.clone();
        let player = thread::spawn(move || ours::play_over(carrier, &url));
        let way = format!("{name}-{scheme}");
        playing.push((Player::Ours, way, Playing::Thread(player)));
    }
    playing
}

/// The addresses and protocols of the sessions in an edge's log.
fn sessions(cluster: &Cluster) -> Vec<String> {
    let log = cluster.origins[0].log();
    let begins = log.lines().filter(|line| line.contains("session begins"));
    let address = begins.filter_map(|line| line.split_once("address="));
    let host =
        |(_, rest): (&str, &str)| rest.split([' ', ':']).next().unwrap_or_default().to_owned();
    address.map(host).collect()
}

#[test]
fn clients_of_real_proxies_get_the_same_media_and_keep_their_addresses() {
    let cluster = cluster();
    let edge = cluster.edges[0].address("rtmpt");
    let nginx = nginx(edge, cluster.directory());
    let haproxy = haproxy(edge, cluster.directory());
    for publisher in [Publisher::Ffmpeg, Publisher::Ours] {
        let name = |proxy: &str| format!("{publisher:?}-{proxy}");
        let mut playing = players(&cluster, &name("nginx"), &nginx);
        playing.extend(players(&cluster, &name("haproxy"), &haproxy));
        let place = place(&cluster, &name("publisher"));
        let publishing = match publisher {
            Publisher::Ours => {
                let url = format!("rtmp://{}/live/clip", nginx.plain);
                let carrier = ws(nginx.plain);
                let publish = move || ours::publish_over(carrier, &url, clip());
                Publishing::Thread(thread::spawn(publish))
            }
            _ => {
                let url = format!("rtmpt://{}/live/clip", haproxy.plain);
                publisher.start(&url, clip(), &place)
            }
        };
        publishing.finish(CLIP_WITHIN);
        let sent = publisher.sends(clip(), &place);
        for (player, way, playing) in playing {
            let got = playing.finish(PLAYED_WITHIN);
            compare(&sent, &got, both(publisher, player))
                .unwrap_or_else(|fault| panic!("{way}: {fault}"));
        }
    }
    // ffmpeg and rtmpdump come from 127.0.0.1, and our own client from an address of its own.
    let addresses = sessions(&cluster);
    let of_programs = addresses.iter().filter(|it| *it == "127.0.0.1").count();
    let own = |it: &&String| it.starts_with("127.") && *it != "127.0.0.1" && *it != PROXY;
    let of_ours = addresses.iter().filter(own).count();
    assert_eq!((of_programs, of_ours), (13, 9), "{addresses:?}");
    assert_eq!(addresses.len(), 22, "{addresses:?}");
}

const START_WITHIN: Duration = Duration::from_secs(20);
/// The length of the clip and a margin for a busy machine.
const CLIP_WITHIN: Duration = Duration::from_secs(40);
const PLAYED_WITHIN: Duration = Duration::from_secs(10);
