//! Bytes recorded from other implementations.

use std::{env, fs, path::Path};

use serde_json::Value as Json;

use super::*;

/// The vectors, if they are present; with `CI=true` they must be.
fn vectors() -> Option<Vec<Json>> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors/shared-objects.json");
    let Ok(text) = fs::read_to_string(&path) else {
        assert_ne!(
            env::var("CI").as_deref(),
            Ok("true"),
            "{} is missing",
            path.display()
        );
        eprintln!("{} is not there: skipped", path.display());
        return None;
    };
    let json: Json = serde_json::from_str(&text).unwrap();
    Some(json["vectors"].as_array().unwrap().clone())
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}

#[test]
fn a_recorded_client_gets_the_answers_it_understands() {
    let Some(vectors) = vectors() else { return };
    let mut room = Room::with(Authority::temporary(1, Limits::default()));
    let mut asked = 0;
    for vector in &vectors {
        let id = vector["id"].as_str().unwrap();
        if !(id.starts_with("npm-rtmp-client") && id.ends_with("SharedObjectAMF0")) {
            continue;
        }
        let payload = bytes(vector["hex"].as_str().unwrap());
        let message =
            SharedObjectMessage::decode(MessageType::SHARED_OBJECT_AMF0, &payload).unwrap();
        assert!(message.flags.is_server_style());
        room.object
            .handle_messages(1, Access { write: true }, vec![message], payload.len());
        room.settle();
        asked += 1;
    }
    assert_eq!(asked, 4);
    // The recorded client used the object, set foo, removed foo and cleared.
    assert_eq!(
        room.heard(1),
        [
            "v0 use, clear",
            "v1 accepted foo=bar",
            "v2 remove foo",
            "v3 clear"
        ]
    );
}

#[test]
fn what_a_server_says_is_written_as_others_recorded_it() {
    let Some(vectors) = vectors() else { return };
    let name: Arc<str> = Arc::from("foo");
    let value = || Encoded::new(&"bar".into());
    let mut found = 0;
    for (id, told) in [
        (
            "so-doc-change",
            Told::Change {
                name: name.clone(),
                value: value(),
            },
        ),
        (
            "so-doc-13",
            Told::Accepted {
                name: name.clone(),
                value: value(),
            },
        ),
        ("so-doc-remove", Told::Remove { name }),
        ("so-doc-clear", Told::Clear),
        ("so-doc-use-success", Told::UseSuccess),
        (
            "so-doc-status",
            Told::Status(Status::SharedObjectNoReadAccess),
        ),
    ] {
        let body = Body {
            version: 1,
            events: vec![told],
        };
        let written = body.encode("o", ObjectEncoding::Amf0);
        let vector = vectors.iter().find(|vector| vector["id"] == id).unwrap();
        let expected = bytes(vector["hex"].as_str().unwrap());
        assert_eq!(written[2 + 1 + 4 + 8..], expected, "{id}");
        found += 1;
    }
    assert_eq!(found, 6);
}
