use tributary_protocol::{MessageType, media};

use super::*;

const KEY: &[u8] = &[0x17, 1, 0, 0, 0];
const PICTURE: &[u8] = &[0x27, 1, 0, 0, 0];
const SOUND: &[u8] = &[0xaf, 1, 0];
const HEADER: &[u8] = b"\x17\x00\x00\x00\x00h";

fn repeats(joint: &mut Joint, kind: MessageType, payload: &[u8], time: u32) -> bool {
    let (class, time) = (media::classify(kind, payload), RtmpTimestamp(time));
    let repeats = joint.repeats(class, time);
    if !repeats {
        joint.note(class, time);
    }
    repeats
}

/// A stream up to 1,000 ms whose source has changed.
fn joined() -> Joint {
    let mut joint = Joint::default();
    for time in [900, 960, 1_000] {
        assert!(!repeats(&mut joint, MessageType::VIDEO, PICTURE, time));
        assert!(!repeats(&mut joint, MessageType::AUDIO, SOUND, time - 10));
    }
    joint.begin();
    joint
}

#[test]
fn frames_of_one_source_pass_in_any_order() {
    let mut joint = Joint::default();
    for time in [5, 3, 4, 1_000, 0, u32::MAX] {
        assert!(!repeats(&mut joint, MessageType::VIDEO, PICTURE, time));
    }
    assert!(joint.newest().is_some());
}

#[test]
fn what_the_next_source_says_again_is_dropped_for_each_kind() {
    let mut joint = joined();
    for (kind, payload, time, is_old) in [
        (MessageType::VIDEO, HEADER, 900, false),
        (MessageType::VIDEO, KEY, 900, true),
        (MessageType::AUDIO, SOUND, 950, true),
        (MessageType::AUDIO, SOUND, 990, true),
        (MessageType::AUDIO, SOUND, 991, false),
        (MessageType::VIDEO, PICTURE, 1_000, true),
        (MessageType::VIDEO, PICTURE, 1_040, false),
        // Beyond the joint times pass as they are.
        (MessageType::VIDEO, PICTURE, 1_030, false),
        (MessageType::AUDIO, SOUND, 500, false),
    ] {
        assert_eq!(repeats(&mut joint, kind, payload, time), is_old, "{time}");
    }
}

#[test]
fn a_source_with_another_clock_is_not_dropped() {
    let mut joint = joined();
    joint.video = Some(RtmpTimestamp(3_600_000));
    assert!(!repeats(&mut joint, MessageType::VIDEO, KEY, 0));
}

#[test]
fn the_joint_is_wrap_safe() {
    let mut joint = Joint::default();
    repeats(&mut joint, MessageType::VIDEO, PICTURE, u32::MAX);
    joint.begin();
    assert!(repeats(&mut joint, MessageType::VIDEO, KEY, u32::MAX - 40));
    assert!(!repeats(&mut joint, MessageType::VIDEO, PICTURE, 39));
}

#[test]
fn data_messages_are_dropped_only_while_frames_are() {
    let mut joint = Joint::default();
    let data = b"\x02\0\x04cue!";
    assert!(!repeats(&mut joint, MessageType::DATA_AMF0, data, 0));
    assert!(!repeats(&mut joint, MessageType::VIDEO, PICTURE, 40));
    joint.begin();
    assert!(repeats(&mut joint, MessageType::DATA_AMF0, data, 0));
    assert!(!repeats(&mut joint, MessageType::VIDEO, PICTURE, 80));
    assert!(!repeats(&mut joint, MessageType::DATA_AMF0, data, 0));
    // A track that does not come again holds nothing back for long.
    joint.begin();
    assert!(!repeats(&mut joint, MessageType::DATA_AMF0, data, 90));
    assert!(!repeats(&mut joint, MessageType::DATA_AMF0, data, 90));
}
