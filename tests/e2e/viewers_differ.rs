//! A viewer's wishes, and its failure to read, concern that viewer alone.

use std::{thread, time::Duration};

use crate::support::{
    clients::{
        reader,
        wired::{PATIENCE, Wired},
    },
    cluster::Cluster,
    synthetic::{Codec, Synthetic},
    wait,
    wire::{self, Amf, Message},
};

#[test]
fn a_viewer_gets_what_it_asked_for() {
    let cluster = Cluster::start(1, 2);
    let publisher = Synthetic::start(cluster.rtmp(0), "live", "choice", Codec::Avc, 2000);
    let (mut viewer, stream) = Wired::viewer(cluster.rtmp(1), "live", "choice");
    let (mut other, _) = Wired::viewer(cluster.rtmp(1), "live", "choice");
    viewer.wait(PATIENCE, is_video).expect("video at first");

    switch(&mut viewer, stream, "receiveVideo", false);
    settle(&mut viewer);
    let quiet = viewer.wait(Duration::from_secs(2), is_video);
    assert!(quiet.is_err(), "no video without receiveVideo");
    viewer.wait(PATIENCE, is_audio).expect("but audio");
    switch(&mut viewer, stream, "receiveVideo", true);
    let back = viewer.wait(PATIENCE, is_video).expect("video again");
    assert_eq!(back.payload[0] >> 4, 1, "from a key frame or its header on");

    switch(&mut viewer, stream, "receiveAudio", false);
    settle(&mut viewer);
    let quiet = viewer.wait(Duration::from_secs(1), is_audio);
    assert!(quiet.is_err(), "no audio without receiveAudio");
    switch(&mut viewer, stream, "receiveAudio", true);
    viewer.wait(PATIENCE, is_audio).expect("audio again");

    let pause = |on: bool| {
        [
            "pause".into(),
            0.0.into(),
            Amf::Null,
            Amf::Bool(on),
            0.0.into(),
        ]
    };
    viewer
        .command(stream, &pause(true))
        .expect("an open connection");
    viewer.wait_code("NetStream.Pause.Notify");
    settle(&mut viewer);
    let quiet = viewer.wait(Duration::from_secs(1), |message| {
        is_video(message) || is_audio(message)
    });
    assert!(quiet.is_err(), "nothing while it is paused");
    viewer
        .command(stream, &pause(false))
        .expect("an open connection");
    viewer.wait_code("NetStream.Unpause.Notify");
    viewer
        .wait(PATIENCE, is_video)
        .expect("video after the pause");

    let sent = publisher.finish();
    let got = other.record(PATIENCE, |message, _| {
        message.code().as_deref() == Some("NetStream.Play.UnpublishNotify")
    });
    assert!(
        got.frames().count() * 10 > sent.frames().count() * 9,
        "the other missed nothing"
    );
}

#[test]
fn a_viewer_that_takes_nothing_is_closed_and_no_one_else_waits() {
    let cluster = Cluster::start(1, 1);
    // At this rate the kernel's buffers of a stalled viewer are soon full.
    let publisher = Synthetic::start(cluster.rtmp(0), "live", "slow", Codec::Avc, 60_000);
    let (mut healthy, _) = Wired::viewer(cluster.rtmp(0), "live", "slow");
    healthy.wait(PATIENCE, is_video).expect("the stream plays");
    let stalled: Vec<_> = (0..5)
        .map(|_| Wired::viewer(cluster.rtmp(0), "live", "slow"))
        .collect();
    wait::until("the viewers play", PATIENCE, || viewers(&cluster) >= 6.0);
    wait::until(
        "those that take nothing are closed",
        Duration::from_secs(60),
        || {
            let mut frames = 0;
            // A busy machine may be late; a viewer that waits for the stalled ones gets nothing.
            while frames < 10 && healthy.wait(Duration::from_secs(3), is_video).is_ok() {
                frames += 1;
            }
            assert!(frames > 0, "the healthy viewer waits");
            viewers(&cluster) < 2.0
        },
    );
    drop(stalled);
    let got = healthy.record(Duration::from_secs(2), |_, _| false);
    got.assert_time_never_goes_back();
    publisher.finish();
}

#[test]
fn amf3_and_amf0_clients_understand_each_other() {
    let cluster = Cluster::start(1, 2);
    let mut publisher = Wired::open(cluster.rtmp(0)).expect("a handshake");
    connect_amf3(&mut publisher);
    let stream = publisher.create_stream();
    assert_eq!(publisher.publish(stream, "both"), "NetStream.Publish.Start");
    let (mut amf0, _) = Wired::viewer(cluster.rtmp(1), "live", "both");
    let mut amf3 = Wired::open(cluster.rtmp(1)).expect("a handshake");
    connect_amf3(&mut amf3);
    let played = amf3.create_stream();
    amf3.play(played, "both");
    for (kind, payload) in Codec::Avc.frames(0, true, 300) {
        publisher
            .media(stream, kind, 0, &payload)
            .expect("an open connection");
    }
    for viewer in [&mut amf0, &mut amf3] {
        viewer.wait(PATIENCE, is_video).expect("the stream");
    }
    // AMF0 values under a leading 0, as Flash Player sends them; then one value in AMF3.
    let plain = [&[0][..], &Amf::encode_all(&["onPlain".into(), 7.0.into()])].concat();
    let dense = [
        &[0][..],
        &Amf::encode_all(&["onDense".into()]),
        &[0x11, 4, 9],
    ]
    .concat();
    for data in [&plain, &dense] {
        publisher
            .media(stream, wire::DATA_AMF3, 40, data)
            .expect("an open connection");
    }
    for (who, viewer) in [("AMF0", &mut amf0), ("AMF3", &mut amf3)] {
        for name in ["onPlain", "onDense"] {
            let data = viewer
                .wait(PATIENCE, |message| message.name().as_deref() == Some(name))
                .unwrap_or_else(|nothing| panic!("{who} gets no {name}: {nothing:?}"));
            if who == "AMF0" {
                assert_eq!(data.header.kind, wire::DATA_AMF0, "{name}");
                let number = if name == "onPlain" { 7.0 } else { 9.0 };
                assert_eq!(data.values()[1].number(), Some(number), "{name}");
            }
        }
    }
    let answer = amf3.call("noSuchMethod", &[]);
    assert_eq!(
        answer.header.kind,
        wire::COMMAND_AMF3,
        "later commands are type 17"
    );
}

#[test]
fn what_only_amf3_can_say_reaches_ffmpeg_and_clients_of_both_encodings() {
    // A ByteArray behind a switch to AMF3, in an object that is AMF0 otherwise.
    let message = |name: &str, key: &str, text: &str| {
        let mut body = vec![0];
        body.extend(Amf::encode_all(&[name.into()]));
        let object = Amf::Object(vec![(key.to_owned(), text.into())]);
        let object = Amf::encode_all(&[object]);
        body.extend(&object[..object.len() - 3]);
        body.extend(b"\0\x03raw\x11\x0c\x05\x01\x02\0\0\x09");
        body
    };
    let cluster = Cluster::start(1, 2);
    let mut publisher = Wired::open(cluster.rtmp(0)).expect("a handshake");
    connect_amf3(&mut publisher);
    let stream = publisher.create_stream();
    assert_eq!(
        publisher.publish(stream, "forms"),
        "NetStream.Publish.Start"
    );
    let metadata = message("onMetaData", "title", "in two forms");
    publisher
        .media(stream, wire::DATA_AMF3, 0, &metadata)
        .expect("an open connection");
    let (mut amf0, _) = Wired::viewer(cluster.rtmp(1), "live", "forms");
    let mut amf3 = Wired::open(cluster.rtmp(1)).expect("a handshake");
    connect_amf3(&mut amf3);
    let played = amf3.create_stream();
    amf3.play(played, "forms");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let url = format!("rtmp://{}/live/forms", cluster.rtmp(1));
    let ffmpeg = reader(&url, directory.path());

    let sent = message("onTextData", "text", "spoken");
    for number in 0.. {
        // G.711 needs no header.
        let sound = [&[0x72][..], &[0xd5; 320]].concat();
        for (kind, payload) in [(wire::AUDIO, &sound), (wire::DATA_AMF3, &sent)] {
            publisher
                .media(stream, kind, number * 40, payload)
                .expect("an open connection");
        }
        let log = ffmpeg.log();
        if log.contains("in two forms") && log.contains("OnTextData") {
            break;
        }
        assert!(number < 500, "ffmpeg does not get it:\n{log}");
        thread::sleep(Duration::from_millis(40));
    }
    for name in ["onMetaData", "onTextData"] {
        let wanted = |message: &Message| message.name().as_deref() == Some(name);
        let data = amf0.wait(PATIENCE, wanted).expect("an AMF0 client gets it");
        assert_eq!(data.header.kind, wire::DATA_AMF0, "{name}");
        let data = amf3.wait(PATIENCE, wanted).expect("an AMF3 client gets it");
        assert_eq!(data.header.kind, wire::DATA_AMF3, "{name}");
        let raw = b"\x11\x0c\x05\x01\x02";
        assert!(
            data.payload.windows(raw.len()).any(|bytes| bytes == raw),
            "{name}"
        );
    }
}

fn connect_amf3(client: &mut Wired) {
    let mut values = wire::connect("live", "rtmp://x/live");
    if let Amf::Object(fields) = &mut values[2] {
        fields.push(("objectEncoding".to_owned(), 3.0.into()));
    }
    client.command(0, &values).expect("an open connection");
    let answer = client.wait_code("NetConnection.Connect.Success");
    assert_eq!(
        answer.header.kind,
        wire::COMMAND_AMF0,
        "connect and its answer are type 20"
    );
    let values = answer.values();
    let encoding = values
        .iter()
        .find_map(|value| value.field("objectEncoding"));
    assert_eq!(encoding.and_then(Amf::number), Some(3.0));
}

fn switch(client: &mut Wired, stream: u32, command: &str, on: bool) {
    let values = [command.into(), 0.0.into(), Amf::Null, Amf::Bool(on)];
    client.command(stream, &values).expect("an open connection");
}

/// Waits until the origin has handled the earlier messages, and skips the messages that are under
/// way.
fn settle(client: &mut Wired) {
    client.call("nothing", &[]);
    thread::sleep(Duration::from_millis(300));
    while client.next(Duration::from_millis(1)).is_ok() {}
}

fn viewers(cluster: &Cluster) -> f64 {
    cluster.edge_metrics(0).sum("tributary_edge_viewers")
}

fn is_video(message: &Message) -> bool {
    message.header.kind == wire::VIDEO
}

fn is_audio(message: &Message) -> bool {
    message.header.kind == wire::AUDIO
}
