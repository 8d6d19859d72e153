//! Bytes from tests of other projects, with the meaning that these give them.

use serde_json::Value as Json;

use super::*;
use crate::{
    media::{self, Kind},
    message::{control::ControlMessage, user_control::UserControl},
    test_vectors::{load, unhex},
};

fn text<'a>(json: &'a Json, key: &str) -> &'a str {
    json[key].as_str().unwrap_or_default()
}

fn number(json: &Json, key: &str) -> u32 {
    json[key]
        .as_u64()
        .and_then(|value| value.try_into().ok())
        .expect("a number")
}

/// Type, time and message stream of each recorded message.
fn expected(messages: &Json) -> Vec<(u8, u32, u32)> {
    let messages = messages.as_array().expect("a list of messages").iter();
    messages
        .filter(|message| !matches!(number(message, "type"), 1 | 2))
        .map(|message| {
            (
                number(message, "type") as u8,
                number(message, "ts"),
                number(message, "sid"),
            )
        })
        .collect()
}

fn found(messages: &[Message]) -> Vec<(u8, u32, u32)> {
    let mut found = Vec::new();
    for message in messages {
        found.push((message.kind.0, message.timestamp.0, message.stream.0));
    }
    found
}

#[test]
fn the_answer_of_a_real_server_reads() {
    let Some(json) = load("shared-objects.json") else {
        return;
    };
    let vectors = json["vectors"].as_array().expect("a list").iter();
    let record = vectors
        .clone()
        .find(|vector| text(vector, "id") == "so-real-nofound");
    let record = record.expect("the record is in the file");
    let bytes = unhex(text(record, "hex"));
    for step in [1, usize::MAX] {
        let (messages, reader) = read_pieces(bytes.chunks(step)).expect("valid chunks");
        assert_eq!(found(&messages), expected(&record["expected"]));
        assert_eq!(
            messages[0].payload,
            unhex(text(&record["expected"][1], "payload_hex"))
        );
        assert_eq!(reader.chunk_size(), 1024);
    }
}

#[test]
fn messages_of_gortmplib_read_and_classify() {
    let Some(json) = load("gortmplib.json") else {
        return;
    };
    let mut count = 0;
    for record in json.as_array().expect("a list") {
        if text(&record["decode"], "kind") != "chunk-stream" {
            continue;
        }
        count += 1;
        let name = format!("line {} {}", record["line"], text(record, "case"));
        let bytes = unhex(text(record, "hex"));
        if !record["decode"]["stopped"].is_null() {
            // The header of the record states a length of 0 in place of the payload's.
            check_stopped(&name, text(record, "case"), &bytes);
            continue;
        }
        let (messages, _) = read_pieces([&bytes[..]]).expect(&name);
        assert_eq!(
            found(&messages),
            expected(&record["decode"]["messages"]),
            "{name}"
        );
        assert_eq!(
            read_pieces(bytes.chunks(1)).expect(&name).0,
            messages,
            "{name}"
        );
        for message in &messages {
            check_kind(text(record, "case"), message);
            write_back(&name, message);
        }
    }
    assert!(count >= 46, "{count} records");
}

/// Checks a record of one chunk whose length field is 0: an empty message, then bytes that are no
/// chunk.
fn check_stopped(name: &str, case: &str, bytes: &[u8]) {
    let mut input = bytes;
    let mut reader = Reader::new(ReadLimits::default());
    let empty = reader.read(&mut input).expect(name).expect(name);
    let payload = Bytes::copy_from_slice(input);
    check_kind(case, &Message { payload, ..empty });
    let error = reader.read(&mut input).expect_err(name);
    assert!(
        matches!(error, ReadError::UnknownChunkStream { .. }),
        "{name}: {error}"
    );
}

/// Checks the kind of a message against the case's name.
fn check_kind(case: &str, message: &Message) {
    let kind = media::classify(message.kind, &message.payload).kind;
    let kinds: &[Kind] = match case {
        "audio ex sequence start ac3" => &[Kind::AudioHeader],
        "audio ex sequence end" => &[Kind::AudioEnd],
        "audio ex coded frames" => &[Kind::Audio],
        "audio ex multichannel config" => &[Kind::MultichannelConfig],
        "audio ex multitrack" => &[Kind::AudioHeader],
        "video eos" | "video ex sequence end" => &[Kind::VideoEnd],
        "video ex metadata" => &[Kind::VideoMetadata],
        case if case.starts_with("video ex coded frames")
            || case.starts_with("video ex frames") =>
        {
            &[Kind::VideoInter, Kind::VideoKey]
        }
        _ => return,
    };
    assert!(kinds.contains(&kind), "{case}: {kind:?}");
}

/// Checks that this project's own encoding of the message has the same meaning, and the control
/// value too.
fn write_back(name: &str, message: &Message) {
    let mut out = BytesMut::new();
    Writer::new().write(ChunkStreamId(4), message, &mut out);
    assert_eq!(read(&out), Ok(vec![message.clone()]), "{name}");
    if message.kind == MessageType::USER_CONTROL {
        let event = UserControl::decode(&message.payload).expect(name);
        assert_eq!(event.to_message().payload, message.payload, "{name}");
    } else if let Some(control) = ControlMessage::decode(message.kind, &message.payload) {
        let control = control.expect(name);
        assert_eq!(control.to_message().payload, message.payload, "{name}");
    }
}
