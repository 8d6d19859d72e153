//! The server's own commands, typed.

use super::super::stream::{ArgumentError, PlayOptions, PlayStart, PublishKind, Reset};
use super::*;
use crate::MessageStreamId;

fn parse(name: &str, arguments: Vec<Value>) -> Result<NetStreamCommand, ArgumentError> {
    let mut command = Command::new(name, TransactionId(1.0));
    command.arguments = arguments;
    NetStreamCommand::parse(&command)
}

fn play(start: PlayStart, length: Option<u32>, reset: Reset) -> NetStreamCommand {
    let name = "s?k=1".into();
    NetStreamCommand::Play {
        name,
        start,
        length,
        reset,
    }
}

#[test]
fn play_reads_its_numbers_as_players_write_them() {
    use PlayStart::{Live, LiveOrRecorded, Recorded};
    let number = Value::Number;
    let table: Vec<(Vec<Value>, NetStreamCommand)> = vec![
        (vec![], play(LiveOrRecorded, None, Reset::Replace)),
        (
            vec![number(-2.0)],
            play(LiveOrRecorded, None, Reset::Replace),
        ),
        (
            vec![number(-2000.0)],
            play(LiveOrRecorded, None, Reset::Replace),
        ),
        (vec![number(-1.0)], play(Live, None, Reset::Replace)),
        (vec![number(-1000.0)], play(Live, None, Reset::Replace)),
        (
            vec![number(-77.0)],
            play(LiveOrRecorded, None, Reset::Replace),
        ),
        (vec![number(0.0)], play(Recorded(0), None, Reset::Replace)),
        (
            vec![number(1500.9)],
            play(Recorded(1500), None, Reset::Replace),
        ),
        (
            vec![number(f64::NAN)],
            play(LiveOrRecorded, None, Reset::Replace),
        ),
        (
            vec![number(f64::INFINITY)],
            play(Recorded(u32::MAX), None, Reset::Replace),
        ),
        (
            vec![number(f64::NEG_INFINITY)],
            play(LiveOrRecorded, None, Reset::Replace),
        ),
        (
            vec!["text".into()],
            play(LiveOrRecorded, None, Reset::Replace),
        ),
        (
            vec![number(0.0), number(-1.0)],
            play(Recorded(0), None, Reset::Replace),
        ),
        (
            vec![number(0.0), number(0.0)],
            play(Recorded(0), Some(0), Reset::Replace),
        ),
        (
            vec![number(0.0), number(9e99)],
            play(Recorded(0), Some(u32::MAX), Reset::Replace),
        ),
        (
            vec![number(0.0), number(f64::NAN)],
            play(Recorded(0), None, Reset::Replace),
        ),
    ];
    for (mut arguments, expected) in table {
        arguments.insert(0, "s?k=1".into());
        assert_eq!(parse("play", arguments), Ok(expected));
    }
}

#[test]
fn play_takes_a_boolean_or_a_number_for_its_reset() {
    let table: Vec<(Value, Reset)> = vec![
        (false.into(), Reset::Append),
        (true.into(), Reset::Replace),
        (0.0.into(), Reset::Append),
        (1.0.into(), Reset::Replace),
        (2.0.into(), Reset::AppendMessages),
        (3.0.into(), Reset::ReplaceMessages),
        (f64::NAN.into(), Reset::Replace),
        ("yes".into(), Reset::Replace),
    ];
    for (value, reset) in table {
        let arguments = vec!["s?k=1".into(), (-2.0).into(), (-1.0).into(), value];
        let expected = play(PlayStart::LiveOrRecorded, None, reset);
        assert_eq!(parse("play", arguments), Ok(expected));
    }
    assert!(Reset::ReplaceMessages.replaces() && !Reset::AppendMessages.replaces());
}

#[test]
fn commands_read_their_arguments() {
    let name = String::from("s");
    let publish = |kind| NetStreamCommand::Publish {
        name: "s".into(),
        kind,
    };
    let table: Vec<(&str, Vec<Value>, NetStreamCommand)> = vec![
        ("createStream", vec![], NetStreamCommand::CreateStream),
        ("publish", vec!["s".into()], publish(PublishKind::Live)),
        (
            "publish",
            vec!["s".into(), "live".into()],
            publish(PublishKind::Live),
        ),
        (
            "publish",
            vec!["s".into(), "record".into()],
            publish(PublishKind::Record),
        ),
        (
            "publish",
            vec!["s".into(), "append".into()],
            publish(PublishKind::Append),
        ),
        (
            "publish",
            vec!["s".into(), "appendWithGap".into()],
            publish(PublishKind::AppendWithGap),
        ),
        (
            "publish",
            vec!["s".into(), "myapp".into()],
            publish(PublishKind::Live),
        ),
        ("publish", vec![false.into()], NetStreamCommand::StopPublish),
        ("play", vec![false.into()], NetStreamCommand::StopPlay),
        (
            "pause",
            vec![true.into(), 1000.0.into()],
            NetStreamCommand::Pause {
                paused: Some(true),
                position: 1000,
            },
        ),
        (
            "pause",
            vec![],
            NetStreamCommand::Pause {
                paused: None,
                position: 0,
            },
        ),
        (
            "pauseRaw",
            vec![false.into(), Value::Undefined],
            NetStreamCommand::Pause {
                paused: Some(false),
                position: 0,
            },
        ),
        (
            "seek",
            vec![2000.0.into()],
            NetStreamCommand::Seek { position: 2000 },
        ),
        (
            "seek",
            vec![(-5.0).into()],
            NetStreamCommand::Seek { position: 0 },
        ),
        ("closeStream", vec![], NetStreamCommand::CloseStream),
        (
            "deleteStream",
            vec![3.0.into()],
            NetStreamCommand::DeleteStream(MessageStreamId(3)),
        ),
        (
            "receiveAudio",
            vec![false.into()],
            NetStreamCommand::ReceiveAudio(false),
        ),
        (
            "receiveVideo",
            vec![1.0.into()],
            NetStreamCommand::ReceiveVideo(true),
        ),
        (
            "releaseStream",
            vec!["s".into()],
            NetStreamCommand::ReleaseStream { name: name.clone() },
        ),
        (
            "FCPublish",
            vec!["s".into()],
            NetStreamCommand::FcPublish { name: name.clone() },
        ),
        (
            "FCUnpublish",
            vec!["s".into()],
            NetStreamCommand::FcUnpublish { name: name.clone() },
        ),
        (
            "FCSubscribe",
            vec!["s".into()],
            NetStreamCommand::FcSubscribe { name: name.clone() },
        ),
        (
            "getStreamLength",
            vec!["s".into()],
            NetStreamCommand::GetStreamLength { name },
        ),
        ("_checkbw", vec![], NetStreamCommand::CheckBw),
        (
            "setBufferLength",
            vec![1.0.into(), 3000.0.into()],
            NetStreamCommand::SetBufferLength {
                stream: Some(MessageStreamId(1)),
                milliseconds: 3000,
            },
        ),
        (
            "setBufferLength",
            vec![3000.0.into()],
            NetStreamCommand::SetBufferLength {
                stream: None,
                milliseconds: 3000,
            },
        ),
        ("anything", vec!["s".into()], NetStreamCommand::Call),
        ("PLAY", vec!["s".into()], NetStreamCommand::Call),
    ];
    for (command, arguments, expected) in table {
        assert_eq!(parse(command, arguments), Ok(expected), "{command}");
    }
}

#[test]
fn play2_reads_its_options() {
    let options = Object::new()
        .with("streamName", "new")
        .with("oldStreamName", "old")
        .with("start", -1.0)
        .with("len", 5000.0)
        .with("offset", 100.0)
        .with("transition", "switch");
    let expected = PlayOptions {
        name: "new".into(),
        old_name: Some("old".into()),
        start: PlayStart::Live,
        length: Some(5000),
        offset: Some(100),
        transition: Some("switch".into()),
    };
    let parsed = parse("play2", vec![options.into()]);
    assert_eq!(parsed, Ok(NetStreamCommand::Play2(expected)));
}

#[test]
fn arguments_that_cannot_be_are_told_with_a_status() {
    let huge = || vec![Value::Number(1e300)];
    let table: Vec<(&str, Vec<Value>, &str)> = vec![
        ("publish", vec![], "NetStream.Publish.BadName"),
        ("publish", vec![5.0.into()], "NetStream.Publish.BadName"),
        ("releaseStream", vec![], "NetStream.Publish.BadName"),
        ("play", vec![], "NetStream.Play.Failed"),
        ("play", vec![Value::Null], "NetStream.Play.Failed"),
        ("play2", vec![1.0.into()], "NetStream.Play.Failed"),
        ("seek", vec![], "NetStream.Seek.Failed"),
        ("seek", vec![f64::NAN.into()], "NetStream.Seek.Failed"),
        ("seek", vec![f64::INFINITY.into()], "NetStream.Seek.Failed"),
        (
            "pause",
            vec![true.into(), f64::NAN.into()],
            "NetStream.Failed",
        ),
        ("receiveAudio", vec![], "NetStream.Failed"),
        ("deleteStream", vec![], "NetConnection.Call.Failed"),
        (
            "deleteStream",
            vec![f64::NAN.into()],
            "NetConnection.Call.Failed",
        ),
        (
            "deleteStream",
            vec![(-1.0).into()],
            "NetConnection.Call.Failed",
        ),
        (
            "deleteStream",
            vec![1.5.into()],
            "NetConnection.Call.Failed",
        ),
        ("deleteStream", huge(), "NetConnection.Call.Failed"),
        ("getStreamLength", huge(), "NetConnection.Call.Failed"),
        (
            "setBufferLength",
            vec!["x".into(), 1.0.into()],
            "NetConnection.Call.Failed",
        ),
    ];
    for (command, arguments, code) in table {
        let error = parse(command, arguments).unwrap_err();
        assert_eq!(error.status().code(), code, "{error}");
        let info = error.info();
        let description = info.get("description").and_then(Value::as_str).unwrap();
        assert!(description.starts_with(command));
    }
}

#[test]
fn calls_are_told_from_the_servers_own_commands_by_name() {
    for own in [
        "play",
        "receiveAudio",
        "setBufferLength",
        "_checkbw",
        "_result",
        "_error",
    ] {
        assert!(!NetStreamCommand::is_call(own), "{own}");
    }
    for call in ["chat", "Play", ""] {
        assert!(NetStreamCommand::is_call(call), "{call}");
    }
}
