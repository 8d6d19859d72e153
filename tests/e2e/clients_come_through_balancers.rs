//! Real balancers before an edge: HAProxy, nginx and stunnel name the client with the PROXY
//! protocol, and their health checks leave no trace.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    thread,
    time::Duration,
};

use crate::support::{
    clients::{Player, Publisher, both},
    cluster::Cluster,
    media::{clip, compare},
    port::free,
    program::Program,
    public_ca, wait,
};

/// A cluster whose edge has a proxied listener for RTMP and RTMPS.
fn cluster() -> Cluster {
    let tables = "[[edge.listen]]\naddress = \"127.0.0.1:0\"\nprotocols = [\"rtmp\", \"rtmps\"]\n\
        proxy_protocol = true\ntrusted = [\"loopback\"]\n\
        [tls.main]\ncertificate = \"main/server.pem\"\nkey = \"main/server.key\"\n";
    Cluster::with_applications_and_tables(1, 1, tables, |apps| {
        let directory = apps.parent().expect("the cluster's directory");
        public_ca::init(directory);
        public_ca::issue(directory, "main.example", "main");
    })
}

/// A balancer, and its addresses for clients.
struct Balancer {
    _program: Program,
    /// Plain ones, then one that ends TLS, if it has one.
    plain: Vec<SocketAddr>,
    tls: Option<SocketAddr>,
}

fn await_listener(address: SocketAddr) {
    wait::until("the balancer listens", START_WITHIN, || {
        TcpStream::connect(address).is_ok()
    });
}

/// HAProxy with both versions of the header, plain and behind TLS, and a health check each 100 ms.
fn haproxy(edge: SocketAddr, directory: &Path) -> Balancer {
    let [one, two, tls] = [free(), free(), free()];
    let both = ["main/server.pem", "main/server.key"]
        .map(|file| fs::read_to_string(directory.join(file)).expect("a file of the certificate"));
    let certificate = directory.join("haproxy.pem");
    fs::write(&certificate, both.concat()).expect("a file");
    let options = "check inter 100ms";
    let configuration = format!(
        "global\n maxconn 100\n\
         defaults\n mode tcp\n timeout connect 5s\n timeout client 10m\n timeout server 10m\n\
         listen one\n bind {one}\n server edge {edge} send-proxy {options}\n\
         listen two\n bind {two}\n server edge {edge} send-proxy-v2 {options}\n\
         listen tls\n bind {tls} ssl crt {}\n server edge {edge} send-proxy-v2-ssl-cn \
         proxy-v2-options authority,crc32c,unique-id,ssl,cert-cn {options}\n unique-id-format %ci-%rt\n",
        certificate.display()
    );
    let file = directory.join("haproxy.cfg");
    fs::write(&file, configuration).expect("a configuration file");
    let mut command = Command::new("/usr/sbin/haproxy");
    command.arg("-db").arg("-f").arg(file);
    let program = Program::spawn("haproxy", &mut command, directory);
    [one, two, tls].into_iter().for_each(await_listener);
    Balancer {
        _program: program,
        plain: vec![one, two],
        tls: Some(tls),
    }
}

/// nginx, which sends version 1.
fn nginx(edge: SocketAddr, directory: &Path) -> Balancer {
    let address = free();
    let configuration = format!(
        "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
         daemon off; user root; worker_processes 1;\n\
         error_log {0}/nginx.log info; pid {0}/nginx.pid;\n\
         events {{ worker_connections 100; }}\n\
         stream {{ server {{ listen {address}; proxy_pass {edge}; proxy_protocol on; \
         proxy_timeout 10m; }} }}\n",
        directory.display()
    );
    fs::write(directory.join("nginx.conf"), configuration).expect("a configuration file");
    let mut command = Command::new("nginx");
    command.arg("-p").arg(directory).args(["-c", "nginx.conf"]);
    let program = Program::spawn("nginx", &mut command, directory).with_children();
    await_listener(address);
    Balancer {
        _program: program,
        plain: vec![address],
        tls: None,
    }
}

/// stunnel, which ends TLS and sends version 1.
fn stunnel(edge: SocketAddr, directory: &Path) -> Balancer {
    let address = free();
    let configuration = format!(
        "foreground = yes\npid =\nsyslog = no\n[rtmps]\naccept = {address}\nconnect = {edge}\n\
         cert = {0}/main/server.pem\nkey = {0}/main/server.key\nprotocol = proxy\n",
        directory.display()
    );
    let file = directory.join("stunnel.conf");
    fs::write(&file, configuration).expect("a configuration file");
    let mut command = Command::new("stunnel4");
    command.arg(file);
    let program = Program::spawn("stunnel", &mut command, directory);
    await_listener(address);
    Balancer {
        _program: program,
        plain: Vec::new(),
        tls: Some(address),
    }
}

#[test]
fn clients_of_real_balancers_get_the_same_media_and_keep_their_addresses() {
    let cluster = cluster();
    let directory = cluster.directory();
    let edge = cluster.edges[0].address("rtmps");
    let balancers = [haproxy, nginx, stunnel].map(|start| start(edge, directory));
    let mut playing = Vec::new();
    let plain = balancers.iter().flat_map(|balancer| &balancer.plain);
    for address in plain {
        let url = format!("rtmp://{address}/live/clip");
        playing.push((Player::Ours, Player::Ours.start(&url, directory)));
    }
    for (index, balancer) in balancers.iter().enumerate() {
        let Some(address) = balancer.tls else {
            continue;
        };
        let directory = directory.join(format!("player{index}"));
        fs::create_dir(&directory).expect("a new directory");
        let url = format!("rtmps://{address}/live/clip");
        playing.push((Player::Ffmpeg, Player::Ffmpeg.start(&url, &directory)));
    }
    // It is judged by its real address, which is one of loopback.
    let url = format!("rtmp://{}/live/clip", balancers[0].plain[1]);
    let publishing = Publisher::Ffmpeg.start(&url, clip(), directory);
    publishing.finish(CLIP_WITHIN);
    let sent = Publisher::Ffmpeg.sends(clip(), directory);
    let players = playing.len();
    for (player, playing) in playing {
        let got = playing.finish(PLAYED_WITHIN);
        compare(&sent, &got, both(Publisher::Ffmpeg, player))
            .unwrap_or_else(|fault| panic!("{player:?}: {fault}"));
    }
    // Our own client connects from an address that no balancer has.
    let log = cluster.edges[0].log();
    let begins = log.lines().filter(|line| line.contains("session begins"));
    let own =
        begins.filter(|line| line.contains("address=127.") && !line.contains("address=127.0.0.1:"));
    assert_eq!(own.count(), 3, "{players} players\n{log}");
}

#[test]
fn health_checks_of_haproxy_leave_no_trace() {
    let cluster = cluster();
    let directory = cluster.directory();
    let _haproxy = haproxy(cluster.edges[0].address("rtmps"), directory);
    thread::sleep(CHECKED);
    let metrics = cluster.edge_metrics(0);
    assert_eq!(metrics.sum("tributary_edge_faults_total"), 0.0);
    assert_eq!(metrics.sum("tributary_edge_closed_total"), 0.0);
    let log = cluster.edges[0].log();
    assert!(!log.contains("address="), "{log}");
}

const START_WITHIN: Duration = Duration::from_secs(20);
/// The length of the clip and a margin for a busy machine.
const CLIP_WITHIN: Duration = Duration::from_secs(40);
const PLAYED_WITHIN: Duration = Duration::from_secs(6);
/// Some ten health checks of each of three servers.
const CHECKED: Duration = Duration::from_secs(2);
