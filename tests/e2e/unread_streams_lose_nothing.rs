//! The messages of a stream without viewers cross the link in batches: neither its viewers nor its
//! publisher notice it.

use std::{thread, time::Duration};

use crate::support::{
    clients::wired::Wired,
    cluster::Cluster,
    media::{Likeness, Recording, compare},
    synthetic::{Codec, Synthetic},
    wait, wire,
};

#[test]
fn a_viewer_gets_the_pictures_before_it_joined_and_then_every_message() {
    let cluster = Cluster::start(1, 2);
    let publisher = Synthetic::start(cluster.rtmp(0), "live", "cam", Codec::Avc, 1000);
    let until = |frames: u64| {
        wait::until("more is published", PATIENCE, || {
            publisher.bytes() > frames * 1200
        });
    };
    // A second and a half without viewers.
    until(45);
    let (mut viewer, _) = Wired::viewer(cluster.rtmp(1), "live", "cam");
    let watching = thread::spawn(move || {
        viewer.record(PATIENCE, |message, _| {
            message.code().as_deref() == Some("NetStream.Play.UnpublishNotify")
        })
    });
    until(90);
    let sent = publisher.finish();
    let got = watching.join().expect("the viewer records");
    compare(&sent, &got, Likeness::EXACT).unwrap();
}

#[test]
fn a_publisher_that_vanishes_leaves_all_that_it_has_sent() {
    let cluster = Cluster::start(1, 2);
    let (mut publisher, stream) = Wired::publisher(cluster.rtmp(0), "live", "cam");
    let mut sent = Recording::default();
    let mut send = |publisher: &mut Wired, kind, timestamp, payload: &[u8]| {
        let written = publisher.media(stream, kind, timestamp, payload);
        written.expect("the publisher is connected");
        sent.push(kind, timestamp, payload);
    };
    for header in Codec::Avc.headers() {
        send(&mut publisher, header.message_type(), 0, &header.payload);
    }
    for number in 0..40 {
        for (kind, payload) in Codec::Avc.frames(number, number % 30 == 0, 1000) {
            send(&mut publisher, kind, number * 33, &payload);
        }
        // The time also takes the messages of the server: a socket that is closed over unread ones
        // resets its connection.
        let _ = publisher.wait(Duration::from_millis(33), |_| false);
    }
    send(
        &mut publisher,
        wire::DATA_AMF0,
        40 * 33,
        b"\x02\x00\x04last",
    );
    drop(publisher);
    // The stream waits for the return of its publisher.
    let (mut viewer, _) = Wired::viewer(cluster.rtmp(1), "live", "cam");
    let got = viewer.record(PATIENCE, |message, _| message.payload.ends_with(b"last"));
    compare(&sent, &got, Likeness::EXACT).unwrap();
    assert!(
        got.packets
            .last()
            .is_some_and(|packet| packet.payload.ends_with(b"last")),
        "the data message has arrived"
    );
}

const PATIENCE: Duration = Duration::from_secs(25);
