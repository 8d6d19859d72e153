//! Claims precede the opening of their session, and nothing comes between.

use super::*;
use crate::link::{
    FrameError,
    frame::{self, FrameReader, MAX_BODY},
    lane_frame::ToOrigin,
};

fn claims(session: u64) -> ToOrigin {
    ToOrigin::Claims {
        session: SessionId(session),
        claims: claims_of(SessionId(1)).expect("the first session has some"),
    }
}

fn open(session: u64) -> ToOrigin {
    ToOrigin::Session {
        session: SessionId(session),
        event: FromSession::Open(OpenSession {
            peer: "192.0.2.1:1".parse().unwrap(),
            protocol: "rtmp".into(),
            connect: Bytes::from_static(b"connect"),
            claims: None,
        }),
    }
}

/// The sessions that these frames open, each with the user of its claims.
fn opened(frames: &[ToOrigin]) -> Result<Vec<(u64, Option<String>)>, FrameError> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes);
    }
    let mut lane = OriginLane::new(1 << 24, CreditBudget::new(1 << 20));
    lane.handle_bytes(start(), &bytes)?;
    let mut opened = Vec::new();
    while let Some(event) = lane.poll_event() {
        if let OriginEvent::Session {
            session,
            event: FromSession::Open(open),
        } = event
        {
            let user = open.claims.and_then(|claims| claims.user.clone());
            opened.push((session.0, user));
        }
    }
    Ok(opened)
}

#[test]
fn claims_are_those_of_the_session_that_opens_next() {
    let user = || Some("user 1".to_owned());
    assert_eq!(
        opened(&[open(3), claims(5), open(5), open(7)]),
        Ok(vec![(3, None), (5, user()), (7, None)])
    );
    // An acknowledgement has no number and comes anywhere.
    let ack = || ToOrigin::Ack(0);
    assert_eq!(opened(&[claims(5), ack(), open(5)]), Ok(vec![(5, user())]));
    let close = ToOrigin::Session {
        session: SessionId(3),
        event: FromSession::Close(crate::link::CloseReason::Client),
    };
    for between in [open(7), claims(5), close, ToOrigin::End] {
        let frames = [open(3), claims(5), between, open(5)];
        assert_eq!(opened(&frames), Err(FrameError::Session(5)));
    }
}

#[test]
fn claims_of_a_later_version_are_read_and_long_ones_are_an_error() {
    let mut bytes = Vec::new();
    claims(5).encode(&mut bytes);
    let read = |kind_and_body: (u64, &[u8])| {
        let mut bytes = Vec::new();
        frame::encode(kind_and_body.0, kind_and_body.1, &mut bytes);
        let mut reader = FrameReader::new(MAX_BODY);
        reader.push(&bytes);
        ToOrigin::decode(&reader.poll_frame().unwrap().expect("a frame"))
    };
    let body = &bytes[2..];
    assert_eq!(read((0x26, body)), Ok(claims(5)));
    assert_eq!(read((0x26, &[body, b"and more"].concat())), Ok(claims(5)));
    for cut in 0..body.len() {
        assert!(read((0x26, &body[..cut])).is_err(), "{cut}");
    }
    let none = ToOrigin::Claims {
        session: SessionId(5),
        claims: Arc::default(),
    };
    assert_eq!(read((0x26, &[5, 0, 0])), Ok(none));
    for (user, json) in [
        (ClientClaims::MAX_USER + 1, 0),
        (0, ClientClaims::MAX_JSON + 1),
    ] {
        let long = ToOrigin::Claims {
            session: SessionId(5),
            claims: Arc::new(ClientClaims {
                user: Some("u".repeat(user)),
                json: Some("j".repeat(json)),
            }),
        };
        assert_eq!(opened(&[long]), Err(FrameError::TooLong));
    }
    assert_eq!(read((0x26, &[5, 1, 0xff, 0])), Err(FrameError::Value));
}

mod arbitrary {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_claims_arrive_as_they_were(
            session in 0_u64..1 << 62,
            user in proptest::option::of(".{1,60}"),
            json in proptest::option::of(".{1,1000}"),
        ) {
            let claims = Arc::new(ClientClaims { user, json });
            let frame = ToOrigin::Claims { session: SessionId(session), claims };
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            let mut reader = FrameReader::new(MAX_BODY);
            reader.push(&bytes);
            let read = reader.poll_frame().unwrap().expect("a whole frame");
            prop_assert_eq!(ToOrigin::decode(&read), Ok(frame));
        }
    }
}
