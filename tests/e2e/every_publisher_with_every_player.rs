//! The media that a player gets at another edge equals the published media, packet by packet, for
//! every publisher and every player.

use std::{fs, path::Path, process::Command, thread, time::Duration};

use crate::support::{
    clients::{Player, Publisher, both},
    cluster::Cluster,
    media::{Likeness, Recording, clip, compare},
    port::free,
    program::Program,
    wait,
};

#[test]
fn ffmpeg_publishes() {
    across_the_tiers(Publisher::Ffmpeg);
}

#[test]
fn gstreamer_publishes() {
    across_the_tiers(Publisher::Gstreamer);
}

#[test]
fn rml_rtmp_publishes() {
    across_the_tiers(Publisher::Rml);
}

#[test]
fn our_own_client_publishes() {
    across_the_tiers(Publisher::Ours);
}

/// The clients and the comparison themselves, against another server: a difference here is a fault
/// of the tests.
#[test]
fn the_clients_agree_with_another_server() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (_nginx, address) = nginx(directory.path());
    thread::scope(|scope| {
        for publisher in PUBLISHERS {
            let directory = directory.path().join(format!("{publisher:?}"));
            let url = format!("rtmp://{address}/live/{publisher:?}");
            scope.spawn(move || {
                fs::create_dir(&directory).expect("a new directory");
                // This server does not let a player wait for a stream.
                let (sent, got) = run(publisher, &url, &url, &directory, Order::PublisherFirst);
                for (player, got) in Player::ALL.into_iter().zip(&got) {
                    // The order of audio and video is the server's own.
                    let like = Likeness {
                        interleaving: false,
                        ..both(publisher, player)
                    };
                    compare(&sent, got, like)
                        .unwrap_or_else(|fault| panic!("{publisher:?} to {player:?}: {fault}"));
                }
            });
        }
    });
}

fn across_the_tiers(publisher: Publisher) {
    let cluster = Cluster::start(1, 2);
    let (sent, got) = run(
        publisher,
        &cluster.url(0, "live", "clip"),
        &cluster.url(1, "live", "clip"),
        cluster.directory(),
        Order::PlayersFirst,
    );
    for (player, got) in Player::ALL.into_iter().zip(&got) {
        compare(&sent, got, both(publisher, player))
            .unwrap_or_else(|fault| panic!("{publisher:?} to {player:?}: {fault}"));
    }
}

/// The order of publisher and players.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    PublisherFirst,
    PlayersFirst,
}

/// Publishes the clip to every kind of player; returns the sent media and the media that each got.
fn run(
    publisher: Publisher,
    publish: &str,
    play: &str,
    directory: &Path,
    order: Order,
) -> (Recording, Vec<Recording>) {
    let begin = || publisher.start(publish, clip(), directory);
    let early = (order == Order::PublisherFirst).then(begin);
    let playing: Vec<_> = Player::ALL
        .into_iter()
        .map(|player| player.start(play, directory))
        .collect();
    early.unwrap_or_else(begin).finish(CLIP_WITHIN);
    let got = playing
        .into_iter()
        .map(|playing| playing.finish(PLAYED_WITHIN))
        .collect();
    (publisher.sends(clip(), directory), got)
}

fn nginx(directory: &Path) -> (Program, std::net::SocketAddr) {
    let address = free();
    let configuration = format!(
        "load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;\n\
         daemon off; user root; worker_processes 1;\n\
         error_log {0}/error.log info; pid {0}/nginx.pid;\n\
         events {{ worker_connections 1000; }}\n\
         rtmp {{ access_log off; server {{ listen {address}; chunk_size 4096;\n\
         application live {{ live on; wait_key on; publish_notify on; }} }} }}\n",
        directory.display()
    );
    fs::write(directory.join("nginx.conf"), configuration).expect("a configuration file");
    let mut command = Command::new("nginx");
    command.arg("-p").arg(directory).args(["-c", "nginx.conf"]);
    let program = Program::spawn("nginx", &mut command, directory).with_children();
    wait::until("nginx listens", Duration::from_secs(10), || {
        std::net::TcpStream::connect(address).is_ok()
    });
    (program, address)
}

const PUBLISHERS: [Publisher; 4] = [
    Publisher::Ffmpeg,
    Publisher::Gstreamer,
    Publisher::Rml,
    Publisher::Ours,
];
/// The length of the clip and a margin for a busy machine.
const CLIP_WITHIN: Duration = Duration::from_secs(40);
const PLAYED_WITHIN: Duration = Duration::from_secs(6);
