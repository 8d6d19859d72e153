//! Every publisher with every player, each over every transport that it speaks. `just square` runs it
//! and prints the table; it is no part of the ordinary tests, which have the sides and the diagonal.

use std::{
    fmt,
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::support::{
    clients::{
        Player, Playing, Publisher, Publishing, both,
        carrier::{Carrier, ws, wss},
        ours,
    },
    cluster::Cluster,
    media::{Recording, clip, compare},
};

/// A client and the transport over which it comes.
#[derive(Clone, Copy, Debug)]
struct Way<C>(C, &'static str);

const PUBLISHERS: [Way<Publisher>; 10] = [
    Way(Publisher::Ffmpeg, "rtmp"),
    Way(Publisher::Ffmpeg, "rtmps"),
    Way(Publisher::Ffmpeg, "rtmpt"),
    Way(Publisher::Ffmpeg, "rtmpts"),
    Way(Publisher::Gstreamer, "rtmp"),
    Way(Publisher::Gstreamer, "rtmps"),
    Way(Publisher::Rml, "rtmp"),
    Way(Publisher::Ours, "rtmp"),
    Way(Publisher::Ours, "ws"),
    Way(Publisher::Ours, "wss"),
];

const PLAYERS: [Way<Player>; 14] = [
    Way(Player::Ffmpeg, "rtmp"),
    Way(Player::Ffmpeg, "rtmps"),
    Way(Player::Ffmpeg, "rtmpt"),
    Way(Player::Ffmpeg, "rtmpts"),
    Way(Player::Rtmpdump, "rtmp"),
    Way(Player::Rtmpdump, "rtmps"),
    Way(Player::Rtmpdump, "rtmpt"),
    Way(Player::Rtmpdump, "rtmpts"),
    Way(Player::Gstreamer, "rtmp"),
    Way(Player::Gstreamer, "rtmps"),
    Way(Player::Rml, "rtmp"),
    Way(Player::Ours, "rtmp"),
    Way(Player::Ours, "ws"),
    Way(Player::Ours, "wss"),
];

/// The port that serves all transports, and the certificates' issuer.
struct Server<'a> {
    address: SocketAddr,
    ca: &'a Path,
}

impl Server<'_> {
    fn url(&self, scheme: &str, name: &str) -> String {
        format!("{scheme}://{}/live/{name}", self.address)
    }

    /// The WebSocket of our client, if it comes in one.
    fn carrier(&self, scheme: &str) -> Option<Box<dyn Carrier>> {
        match scheme {
            "ws" => Some(ws(self.address)),
            "wss" => Some(wss(self.address, self.ca)),
            _ => None,
        }
    }
}

impl Way<Publisher> {
    fn start(self, server: &Server<'_>, name: &str, directory: &Path) -> Publishing {
        let Self(publisher, scheme) = self;
        let Some(carrier) = server.carrier(scheme) else {
            return publisher.start(&server.url(scheme, name), clip(), directory);
        };
        let url = server.url("rtmp", name);
        let publish = move || ours::publish_over(carrier, &url, clip());
        Publishing::Thread(thread::spawn(publish))
    }
}

impl Way<Player> {
    fn start(self, server: &Server<'_>, name: &str, directory: &Path) -> Playing {
        let Self(player, scheme) = self;
        let Some(carrier) = server.carrier(scheme) else {
            return player.start(&server.url(scheme, name), directory);
        };
        let url = server.url("rtmp", name);
        Playing::Thread(thread::spawn(move || ours::play_over(carrier, &url)))
    }
}

impl<C: fmt::Debug> fmt::Display for Way<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = format!("{:?}", self.0).to_lowercase();
        f.pad(&format!("{name} {}", self.1))
    }
}

/// A new directory for the files of a client.
fn place(of: &Path, name: &str) -> PathBuf {
    let place = of.join(name.replace(' ', "-"));
    std::fs::create_dir_all(&place).expect("a new directory");
    place
}

/// The faults of all players of one publisher, in their order.
fn row(
    publisher: Way<Publisher>,
    server: &Server<'_>,
    directory: &Path,
) -> Vec<Result<(), String>> {
    let name = publisher.to_string().replace(' ', "-");
    let directory = place(directory, &name);
    let playing: Vec<_> = PLAYERS
        .iter()
        .map(|player| {
            let place = place(&directory, &player.to_string());
            player.start(server, &name, &place)
        })
        .collect();
    let publish = || {
        let publishing = publisher.start(server, &name, &directory);
        publishing.finish(CLIP_WITHIN);
        publisher.0.sends(clip(), &directory)
    };
    let sent = caught(publish);
    let judge = |(way, playing): (&Way<Player>, Playing)| {
        let got: Recording = caught(|| playing.finish(PLAYED_WITHIN))?;
        compare(sent.as_ref()?, &got, both(publisher.0, way.0))
    };
    let results = PLAYERS.iter().zip(playing).map(judge);
    results.collect()
}

/// The result, or the words of a panic.
fn caught<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.unwrap_or_else(|| "it failed".to_owned())
    })
}

#[test]
#[ignore = "takes two minutes: just square"]
fn every_publisher_with_every_player_over_every_transport() {
    let protocols = "\"rtmp\", \"rtmps\", \"rtmpt\", \"rtmpts\", \"ws\", \"wss\"";
    let cluster = Cluster::with_certificates(protocols);
    let ca = cluster.directory().join("public/ca.pem");
    let server = Server {
        address: cluster.edges[0].address("wss"),
        ca: &ca,
    };
    let begun = Instant::now();
    let rows: Vec<_> = PUBLISHERS
        .iter()
        .map(|publisher| (publisher, row(*publisher, &server, cluster.directory())))
        .collect();
    let mut faults = Vec::new();
    println!("\n{:16} {}", "player", publishers());
    for (column, player) in PLAYERS.iter().enumerate() {
        let cells = rows.iter().map(|(publisher, row)| match &row[column] {
            Ok(()) => "  ok",
            Err(fault) => {
                faults.push(format!("{publisher} to {player}: {fault}"));
                "FAIL"
            }
        });
        println!("{player:16} {}", cells.collect::<Vec<_>>().join(" "));
    }
    for (number, publisher) in PUBLISHERS.iter().enumerate() {
        println!("{number:4}: {publisher}");
    }
    let pairs = PUBLISHERS.len() * PLAYERS.len();
    let seconds = begun.elapsed().as_secs();
    println!("{} of {pairs} pairs in {seconds} s", pairs - faults.len());
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

fn publishers() -> String {
    let numbers = (0..PUBLISHERS.len()).map(|number| format!("{number:4}"));
    numbers.collect::<Vec<_>>().join(" ")
}

/// The length of the clip and a margin for fifteen clients on a small machine.
const CLIP_WITHIN: Duration = Duration::from_secs(60);
const PLAYED_WITHIN: Duration = Duration::from_secs(8);
