//! RTMPS with real clients: media, certificates by host name, their renewal, and ports that serve
//! several protocols.

use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use crate::support::{
    clients::{Player, Publisher, both},
    cluster::Cluster,
    media::{clip, compare},
    public_ca, wait,
};

fn rtmps(cluster: &Cluster) -> SocketAddr {
    cluster.edges[0].address("rtmps")
}

#[test]
fn every_client_gets_the_same_media_over_tls() {
    // The same port serves RTMP.
    let cluster = Cluster::with_certificates("\"rtmp\", \"rtmps\"");
    let address = rtmps(&cluster);
    let url = format!("rtmps://{address}/live/clip");
    let plain = format!("rtmp://{address}/live/clip");
    for publisher in [Publisher::Ffmpeg, Publisher::Gstreamer] {
        let directory = cluster.directory().join(format!("{publisher:?}"));
        fs::create_dir(&directory).expect("a new directory");
        let players = [Player::Ffmpeg, Player::Gstreamer, Player::Rtmpdump];
        let over_tls = players.map(|player| (player, player.start(&url, &directory)));
        let in_plain = (Player::Ours, Player::Ours.start(&plain, &directory));
        publisher
            .start(&url, clip(), &directory)
            .finish(CLIP_WITHIN);
        let sent = publisher.sends(clip(), &directory);
        for (player, playing) in over_tls.into_iter().chain([in_plain]) {
            let got = playing.finish(PLAYED_WITHIN);
            compare(&sent, &got, both(publisher, player))
                .unwrap_or_else(|fault| panic!("{publisher:?} to {player:?}: {fault}"));
        }
    }
}

/// The subject and the serial number that a client sees which asks for a host.
fn certificate(address: SocketAddr, host: &str) -> String {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &address.to_string()])
        .args(["-servername", host, "-showcerts"])
        .stdin(Stdio::null())
        .output()
        .expect("openssl runs");
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(shown.matches("BEGIN CERTIFICATE").count(), 2, "{shown}");
    let begin = shown.find("-----BEGIN").expect("a certificate");
    let end = shown.find("-----END").expect("a certificate");
    let subject = shown.lines().find(|line| line.trim().starts_with("0 s:"));
    format!("{} {}", subject.expect("a subject"), &shown[begin..end])
}

#[test]
fn certificates_are_chosen_by_host_and_renewed_under_sessions() {
    let cluster = Cluster::with_certificates("\"rtmps\"");
    let address = rtmps(&cluster);
    for (host, expected) in [
        ("main.example", "main.example"),
        ("OTHER.example", "other.example"),
        ("nowhere.example", "main.example"),
    ] {
        let seen = certificate(address, host);
        assert!(seen.contains(&format!("CN = {expected}")), "{host}: {seen}");
    }
    let before = certificate(address, "main.example");

    // A session that was there stays.
    let url = format!("rtmps://{address}/live/clip");
    let directory = cluster.directory();
    let playing = Player::Ffmpeg.start(&url, directory);
    let publishing = Publisher::Ffmpeg.start(&url, clip(), directory);
    wait::until("the clip is published", CLIP_WITHIN, || {
        cluster.edge_metrics(0).sum("tributary_edge_publishers") > 0.0
    });
    // A pair that does not fit changes nothing; a good one does.
    let at = |file: &str| directory.join("main").join(file);
    fs::copy(directory.join("other/server.key"), at("server.key")).expect("a copy");
    wait::until("the mistake is reported", CLIP_WITHIN, || {
        cluster.edges[0]
            .log()
            .contains("is not the key of the certificate")
    });
    assert_eq!(certificate(address, "main.example"), before);
    public_ca::issue(directory, "main.example", "renewed");
    for file in ["server.pem", "server.key"] {
        fs::rename(directory.join("renewed").join(file), at(file)).expect("a rename");
    }
    wait::until("the new certificate is used", CLIP_WITHIN, || {
        certificate(address, "main.example") != before
    });
    publishing.finish(CLIP_WITHIN);
    let sent = Publisher::Ffmpeg.sends(clip(), directory);
    let got = playing.finish(PLAYED_WITHIN);
    compare(&sent, &got, both(Publisher::Ffmpeg, Player::Ffmpeg)).expect("the same media");
    let metrics = cluster.edge_metrics(0);
    let expires = metrics.sum("tributary_edge_certificate_expires_seconds");
    assert!(expires > 2.0 * 1_790_000_000.0, "{expires}");
}

#[test]
fn bytes_that_are_no_tls_are_counted_and_disturb_nobody() {
    let cluster = Cluster::with_certificates("\"rtmps\"");
    let address = rtmps(&cluster);
    let mut silent = TcpStream::connect(address).expect("the edge listens");
    let mut rtmp = TcpStream::connect(address).expect("the edge listens");
    rtmp.write_all(&[3; 1537]).expect("the edge reads");
    let mut answer = Vec::new();
    let _ = rtmp.read_to_end(&mut answer);
    assert_eq!(answer.first(), Some(&21), "an alert");
    drop(TcpStream::connect(address).expect("the edge listens"));
    silent
        .set_read_timeout(Some(CLIP_WITHIN))
        .expect("a socket");
    let mut rest = Vec::new();
    silent
        .read_to_end(&mut rest)
        .expect("the edge closes it after 5 s");
    for reason in ["tls_handshake", "door_timeout"] {
        wait::until("the fault is counted", CLIP_WITHIN, || {
            let label = format!("reason=\"{reason}\"");
            let metrics = cluster.edge_metrics(0);
            metrics.with("tributary_edge_faults_total", &label) == 1.0
        });
    }
    certificate(address, "main.example");
}

/// The length of the clip and a margin for a busy machine.
const CLIP_WITHIN: Duration = Duration::from_secs(40);
const PLAYED_WITHIN: Duration = Duration::from_secs(6);
