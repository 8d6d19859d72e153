use super::*;
use crate::{
    MessageStreamId, RtmpTimestamp,
    amf::{ObjectEncoding, Value},
    shared_object::Flags,
};

fn kept() -> Kept {
    Kept::new(OpenSession {
        peer: "192.0.2.1:1".parse().unwrap(),
        protocol: "rtmp".into(),
        connect: Bytes::from_static(b"connect"),
        claims: None,
    })
    .told()
}

fn command(name: &str, transaction: f64) -> Message {
    let command = Command::new(name, TransactionId(transaction));
    let (kind, payload) = command.encode(ObjectEncoding::Amf0);
    message(kind, payload)
}

fn message(kind: MessageType, payload: Bytes) -> Message {
    Message {
        kind,
        stream: MessageStreamId(1),
        timestamp: RtmpTimestamp(0),
        payload,
    }
}

fn object(events: Vec<Event>) -> Message {
    let object = SharedObjectMessage {
        name: "board".into(),
        version: 3,
        flags: Flags::TEMPORARY,
        events,
    };
    let (kind, payload) = object.encode(ObjectEncoding::Amf0);
    message(kind, payload)
}

fn record(part: u32, bytes: &'static [u8]) -> Record {
    Record {
        part,
        bytes: Bytes::from_static(bytes),
    }
}

fn names(salvage: &Salvage) -> Vec<String> {
    let messages = salvage.again.iter();
    let name = |message: &Message| {
        let (name, _) = Command::peek(message.kind, &message.payload)?;
        Some(name.to_owned())
    };
    messages.filter_map(|(_, message)| name(message)).collect()
}

#[test]
fn the_newest_record_of_each_part_is_kept() {
    let mut kept = kept();
    kept.remember(record(3, b"old"));
    kept.remember(record(4, b"other"));
    kept.remember(record(3, b"new"));
    kept.remember(record(4, b""));
    let salvage = kept.salvage(false);
    assert_eq!(salvage.records, [record(3, b"new")]);
}

#[test]
fn a_session_whose_records_are_too_much_is_not_restored() {
    let mut many = kept();
    for part in 0..Record::MAX_PARTS as u32 {
        many.remember(record(part, b"r"));
    }
    assert!(many.is_whole());
    many.remember(record(1_000, b"r"));
    assert!(!many.is_whole());

    let mut large = kept();
    let bytes = Bytes::from(vec![1; Record::MAX]);
    for part in 0..MAX_BYTES / Record::MAX {
        let part = part as u32;
        large.remember(Record {
            part,
            bytes: bytes.clone(),
        });
        large.remember(Record {
            part,
            bytes: bytes.clone(),
        });
    }
    assert!(large.is_whole(), "records in place of others count once");
    large.remember(record(99, b"r"));
    assert!(!large.is_whole());
}

#[test]
fn commands_of_the_server_are_sent_again_and_calls_are_not() {
    let mut kept = kept();
    let sent = [
        command("createStream", 2.0),
        command("play", 0.0),
        command("chat", 3.0),
        command("notify", 0.0),
        command("_result", 9.0),
        command("pause", 0.0),
    ];
    for message in sent {
        kept.left(Generation(1), message);
    }
    let salvage = kept.salvage(false);
    assert_eq!(names(&salvage), ["createStream", "play", "pause"]);
    assert_eq!(salvage.unanswered, [TransactionId(3.0)], "the call fails");
}

#[test]
fn messages_that_are_done_with_or_answered_are_not_sent_again() {
    let mut kept = kept();
    for (name, transaction) in [("createStream", 2.0), ("chat", 3.0), ("createStream", 4.0)] {
        kept.left(Generation(0), command(name, transaction));
    }
    kept.handled(1);
    // The answer of the second has come, and the count of what is done with has not.
    let answer = command("_result", 3.0);
    kept.came(answer.kind, &answer.payload);
    let answer = command("onStatus", 4.0);
    kept.came(answer.kind, &answer.payload);
    let salvage = kept.salvage(false);
    assert_eq!(names(&salvage), ["createStream"]);
    assert_eq!(salvage.unanswered, []);
}

/// ffmpeg numbers its publish as it does a call, and ends at an `_error`.
#[test]
fn the_answer_of_a_command_of_the_server_is_not_missed() {
    let mut kept = kept();
    kept.left(Generation(0), command("publish", 5.0));
    kept.left(Generation(0), command("chat", 6.0));
    kept.handled(2);
    let salvage = kept.salvage(false);
    assert_eq!(names(&salvage), [""; 0]);
    assert_eq!(
        salvage.unanswered,
        [TransactionId(6.0)],
        "it may be under way for long"
    );
}

#[test]
fn messages_to_the_members_of_an_object_are_sent_at_most_once() {
    let mut kept = kept();
    let change = Event::RequestChange {
        name: "slot".into(),
        value: Value::from(1.0),
    };
    let say = Event::SendMessage {
        values: vec!["hello".into()],
    };
    kept.left(Generation(0), object(vec![Event::Use]));
    kept.left(Generation(0), object(vec![say.clone()]));
    kept.left(Generation(0), object(vec![change.clone(), say]));
    let salvage = kept.salvage(false);
    let events: Vec<_> = (salvage.again.iter())
        .map(|(_, it)| {
            SharedObjectMessage::decode(it.kind, &it.payload)
                .unwrap()
                .events
        })
        .collect();
    assert_eq!(events, [vec![Event::Use], vec![change]]);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut kept = kept();
    for number in 0..3 * MAX_UNHANDLED {
        kept.left(Generation(0), command("chat", number as f64 + 1.0));
    }
    assert_eq!(kept.unhandled.len(), MAX_UNHANDLED);
    assert_eq!(kept.unanswered.len(), MAX_UNANSWERED);
    kept.handled(3 * MAX_UNHANDLED as u64 - 1);
    assert_eq!(kept.unhandled.len(), 1);
    kept.handled(u64::MAX);
    assert!(kept.unhandled.is_empty());
}
