//! Services redirect a publish to nginx-rtmp, and a play to a stream of it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::support::{
    clients::{Player, Publisher, both, publisher_in, refused, tracks},
    cluster::Cluster,
    hook_service::{Asked, HookService, Reply, hooks},
    media::{Likeness, Recording, clip, compare},
    nginx_rtmp::{KEPT_BY_NGINX, Nginx},
    port::free,
    wait,
};

const SECRET: &str = "s3cret";
const PATIENCE: Duration = Duration::from_secs(60);
const CLIP_WITHIN: Duration = Duration::from_secs(40);

/// A service that redirects the publish and the play of `clip` to a server.
fn redirecting(server: String) -> HookService {
    HookService::start(move |asked: &Asked| match asked.field("name") {
        "clip" => Reply::header("302 Found", &format!("Location: {server}?key={SECRET}")),
        _ => Reply::allow(),
    })
}

fn cluster(service: &HookService, outgoing: &str) -> Cluster {
    let table = format!("[applications.ngx]\noutgoing = [{outgoing}]\n");
    let hooks = hooks("ngx", "nginx", service, &["on_publish", "on_play"], "");
    Cluster::with_applications_and_tables(1, 1, &(table + &hooks), |_| {})
}

/// A new directory for the files of a program.
fn place(cluster: &Cluster, name: &str) -> PathBuf {
    let place = cluster.directory().join(name);
    fs::create_dir_all(&place).expect("a new directory");
    place
}

fn is_running(cluster: &Cluster, relays: f64) {
    let label = "state=\"running\"";
    wait::until("the relays are running", PATIENCE, || {
        let metrics = cluster.origin_metrics(0);
        metrics.with("tributary_origin_relays", label) == relays
    });
}

fn has_all(got: &Recording, player: Player, directory: &Path) {
    let sent = Publisher::Ffmpeg.sends(clip(), directory);
    let like = Likeness {
        missing_at_end: KEPT_BY_NGINX,
        interleaving: false,
        ..both(Publisher::Ffmpeg, player)
    };
    compare(&sent, got, like).unwrap_or_else(|fault| panic!("{player:?}: {fault}"));
}

fn shows_no_secret(cluster: &Cluster) {
    for program in [&cluster.edges[0], &cluster.origins[0]] {
        assert!(!program.log().contains(SECRET), "{}", program.log());
    }
    let metrics = cluster.origin_metrics(0);
    assert!(!metrics.text().contains(SECRET));
}

#[test]
fn a_publish_is_pushed_to_nginx_and_stays_here_as_well() {
    let address = free();
    let service = redirecting(format!("rtmp://{address}/app/out"));
    let cluster = cluster(&service, "\"127.0.0.1\"");
    let nginx = Nginx::start(address, &place(&cluster, "nginx"));
    let far = Player::Ffmpeg.start(&nginx.url("out"), &place(&cluster, "far"));
    let url = cluster.url(0, "ngx", "clip");
    let publishing = Publisher::Ffmpeg.start(&url, clip(), &place(&cluster, "clip"));
    is_running(&cluster, 1.0);
    // A play is redirected as well, and has no effect: the stream is published here.
    let late = Player::Rtmpdump.start(&url, &place(&cluster, "late"));
    wait::until("a viewer here has media", PATIENCE, || {
        !late.so_far().packets.is_empty()
    });
    publishing.finish(CLIP_WITHIN);
    has_all(
        &far.finish(Duration::from_secs(5)),
        Player::Ffmpeg,
        cluster.directory(),
    );
    is_running(&cluster, 0.0);
    shows_no_secret(&cluster);
}

#[test]
fn a_play_pulls_from_nginx_while_it_has_viewers() {
    let address = free();
    let service = redirecting(format!("rtmp://{address}/app/src"));
    let cluster = cluster(&service, &format!("\"{address}\""));
    let nginx = Nginx::start(address, &place(&cluster, "nginx"));
    let url = cluster.url(0, "ngx", "clip");
    let playing = [Player::Ffmpeg, Player::Rtmpdump].map(|player| {
        (
            player,
            player.start(&url, &place(&cluster, &format!("{player:?}"))),
        )
    });
    wait::logged(&cluster.origins[0], "has no publisher there");
    let publishing = Publisher::Ffmpeg.start(&nginx.url("src"), clip(), &place(&cluster, "clip"));
    is_running(&cluster, 1.0);
    publishing.finish(CLIP_WITHIN);
    // nginx does not announce the end: the silence does.
    for (player, playing) in playing {
        let got = playing.finish(Duration::from_secs(15));
        has_all(&got, player, cluster.directory());
    }
    assert_eq!(service.asked("/on_play").len(), 2);
    wait::until("the pull is over", PATIENCE, || {
        cluster.origin_metrics(0).sum("tributary_origin_relays") == 0.0
    });
    shows_no_secret(&cluster);
}

#[test]
fn a_server_that_outgoing_does_not_name_is_refused_in_words() {
    let service = redirecting("rtmp://127.0.0.1:1/app/x".to_owned());
    let cluster = cluster(&service, "\"127.0.0.1:2\"");
    let url = cluster.url(0, "ngx", "clip");
    refused(
        publisher_in(&cluster, "first", &url),
        "a relay that is not permitted here",
    );
    let line = wait::logged(&cluster.origins[0], "a relay was refused");
    assert!(line.contains("rtmp://127.0.0.1:1/app\""), "{line}");
    assert_eq!(tracks(&url), Vec::<String>::new());
    let log = cluster.origins[0].log();
    assert_eq!(log.matches("a relay was refused").count(), 2, "{log}");
    shows_no_secret(&cluster);
}
