//! Clients whose edge is killed come back by another one.

use std::{fs, path::Path, thread, time::Duration};

use crate::support::{
    clients::wired::{PATIENCE, Wired},
    cluster::Cluster,
    synthetic::{Codec, Synthetic},
    wait,
    wire::{self, Amf, Message},
};

/// It knows its clients, and who has left.
const ROOM: &str = "
    var next = 0, left = [];
    application.onConnect = function (client, name) {
        client.name = 'client ' + ++next;
        client.who = function () { return this.name; };
        client.left = function () { return left.join(','); };
        client.published = function () { return published.join(','); };
        return true;
    };
    application.onDisconnect = function (client) { left.push(client.name); };
    var published = [];
    application.onPublish = function (client, stream) { published.push('+' + stream.name); };
    application.onUnpublish = function (client, stream) { published.push('-' + stream.name); };
";

fn cluster(in_cluster: bool) -> Cluster {
    let write = |apps: &Path| {
        let folder = apps.join("room");
        fs::create_dir(&folder).expect("a directory");
        fs::write(folder.join("main.asc"), ROOM).expect("a script");
    };
    match in_cluster {
        true => Cluster::of_origins(1, 3, write),
        false => Cluster::with_applications(1, 3, write),
    }
}

fn result(answer: &Message) -> Option<Amf> {
    answer.values().get(3).cloned()
}

fn token(info: &Amf) -> Amf {
    info.field("resume").expect("a token").clone()
}

/// A client that publishes and plays, and a viewer of its stream.
struct Busy {
    client: Wired,
    token: Amf,
    mine: u32,
    sent: u32,
    viewer: Wired,
}

impl Busy {
    /// A client at edge 0, and a viewer of its stream and a publisher for it at edge 2.
    fn start(cluster: &Cluster) -> (Self, Synthetic) {
        let publisher = Synthetic::start(cluster.rtmp(2), "room", "theirs", Codec::Avc, 1000);
        let (mut client, info) = Wired::resumable(cluster.rtmp(0), "room", Amf::Bool(true));
        assert_eq!(info.field("resumed"), Some(&Amf::Bool(false)));
        let mine = client.create_stream();
        let theirs = client.create_stream();
        client.set_chunk_size(4096);
        assert_eq!(client.publish(mine, "mine"), "NetStream.Publish.Start");
        client.play(theirs, "theirs");
        let (mut viewer, _) = Wired::viewer(cluster.rtmp(2), "room", "mine");
        viewer.wait_code("NetStream.Play.Start");
        let mut busy = Self {
            client,
            token: token(&info),
            mine,
            sent: 0,
            viewer,
        };
        busy.goes_on();
        (busy, publisher)
    }

    fn comes_back(&mut self, cluster: &Cluster, edge: usize) {
        let (client, info) = Wired::resumable(cluster.rtmp(edge), "room", self.token.clone());
        assert_eq!(info.field("resumed"), Some(&Amf::Bool(true)));
        self.token = token(&info);
        self.client = client;
        self.client.set_chunk_size(4096);
        self.client.wait_code("NetStream.Publish.Start");
    }

    fn goes_on(&mut self) {
        self.client.pictures(20);
        let frames = self.sent..self.sent + 50;
        self.sent += 50;
        for number in frames {
            for (kind, payload) in Codec::Avc.frames(number, number % 25 == 0, 500) {
                let sent = self.client.media(self.mine, kind, 40 * number, &payload);
                sent.expect("an open connection");
            }
        }
        let messages = self.viewer.pictures(25);
        let said: Vec<_> = messages.iter().filter_map(Message::code).collect();
        assert!(said.is_empty(), "no break is seen: {said:?}");
    }

    fn ask(&mut self, what: &str) -> Option<Amf> {
        result(&self.client.call(what, &[]))
    }
}

#[test]
fn a_client_goes_on_by_another_edge() {
    let mut cluster = cluster(false);
    let (mut busy, publisher) = Busy::start(&cluster);
    let who = busy.ask("who");
    for (lost, other) in [(0, 1), (1, 0)] {
        cluster.edges[lost].kill();
        busy.comes_back(&cluster, other);
        busy.goes_on();
        cluster.restart_edge(lost);
    }
    assert_eq!(busy.ask("who"), who);
    assert_eq!(busy.ask("left"), Some("".into()));
    assert_eq!(busy.ask("published"), Some("+theirs,+mine".into()));
    let metrics = cluster.origin_metrics(0);
    let resumed = metrics.sum("tributary_origin_clients_resumed_total");
    assert_eq!(resumed, 2.0);
    publisher.finish();
}

/// The token is in the record that its edge keeps: it outlives the origin, then the edge is lost too.
#[test]
fn a_token_outlives_the_origin() {
    let mut cluster = cluster(true);
    let (mut busy, publisher) = Busy::start(&cluster);
    cluster.edges[0].kill();
    busy.comes_back(&cluster, 1);
    cluster.origins[0].kill();
    cluster.restart_origin(0);
    busy.ask("who");
    busy.goes_on();
    cluster.edges[1].kill();
    cluster.restart_edge(0);
    busy.comes_back(&cluster, 0);
    busy.goes_on();
    publisher.finish();
}

/// It has what it uses of shared objects without asking again, and may ask.
#[test]
fn a_client_stays_a_member_of_objects() {
    let mut cluster = cluster(false);
    let board = |events: &[u8]| {
        let mut message = vec![0, 5];
        message.extend_from_slice(b"board");
        message.extend_from_slice(&[0; 12]);
        message.extend_from_slice(events);
        message
    };
    let uses = board(&[1, 0, 0, 0, 0]);
    let is_object = |message: &Message| message.header.kind == wire::SHARED_OBJECT_AMF0;
    let (mut client, info) = Wired::resumable(cluster.rtmp(0), "room", Amf::Bool(true));
    client.shared_object(&uses).expect("an open connection");
    client.wait(PATIENCE, is_object).expect("it is a member");
    cluster.edges[0].kill();
    let (mut client, info) = Wired::resumable(cluster.rtmp(1), "room", token(&info));
    assert_eq!(info.field("resumed"), Some(&Amf::Bool(true)));
    client
        .wait(PATIENCE, is_object)
        .expect("it is a member again");
    let mut other = Wired::session(cluster.rtmp(1), "room");
    other.shared_object(&uses).expect("an open connection");
    // Change "a" to the number 1.
    let change = [&[3, 0, 0, 0, 12, 0, 1, b'a', 0][..], &1f64.to_be_bytes()].concat();
    other
        .shared_object(&board(&change))
        .expect("an open connection");
    let changed = |message: &Message| is_object(message) && message.payload.contains(&b'a');
    client
        .wait(PATIENCE, changed)
        .expect("it hears of the change");
}

/// An encoder that takes no token has its name again as soon as its edge counts as lost.
#[test]
fn a_bare_name_is_free_again_when_its_edge_is_lost() {
    let mut cluster = Cluster::start(1, 2);
    let (_publisher, _) = Wired::publisher(cluster.rtmp(0), "live", "cam");
    let (mut viewer, _) = Wired::viewer(cluster.rtmp(1), "live", "cam");
    viewer.wait_code("NetStream.Play.Start");
    let publish = |cluster: &Cluster| {
        let mut client = Wired::session(cluster.rtmp(1), "live");
        let stream = client.create_stream();
        (client.publish(stream, "cam"), client)
    };
    assert_eq!(publish(&cluster).0, "NetStream.Publish.BadName");
    cluster.edges[0].kill();
    let mut kept = None;
    wait::until("the name is free", Duration::from_secs(10), || {
        let (code, client) = publish(&cluster);
        kept = Some(client);
        code == "NetStream.Publish.Start"
    });
    thread::sleep(Duration::from_millis(200));
    let (code, _) = publish(&cluster);
    assert_eq!(code, "NetStream.Publish.BadName", "it has its publisher");
}
