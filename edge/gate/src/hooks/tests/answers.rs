//! The reading of answers.

use proptest::prelude::*;

use super::settings;
use crate::{Action, MAX_DESCRIPTION, hooks::*};

/// `allow`, `name NAME`, `relay URL`, `LABEL: sentence`, or the label of a fault.
fn read(style: HookStyle, action: Action, response: &HookResponse<'_>) -> String {
    match settings(style).read(action, response) {
        Err(fault) => fault.label().to_owned(),
        Ok(HookAnswer { verdict, user }) => {
            let user = user.map(|user| format!(" as {user}")).unwrap_or_default();
            let verdict = match verdict {
                HookVerdict::Allow => "allow".to_owned(),
                HookVerdict::Rename(name) => format!("name {name}"),
                HookVerdict::Relay(url) => format!("relay {url}"),
                HookVerdict::Refuse(refused) => {
                    let refusal = refused.refusal(action);
                    format!("{}: {}", refusal.label, refusal.text)
                }
            };
            verdict + &user
        }
    }
}

const REFUSED: &str = "hook_refused: the service that decides about this has refused it";

#[test]
fn nginx_decides_by_the_status() {
    use Action::{Connect, Play, Publish};
    for (action, status, location, expected) in [
        (Publish, 200, None, "allow"),
        (Publish, 204, Some("ignored"), "allow"),
        (Publish, 302, None, "allow"),
        (Publish, 302, Some(" "), "allow"),
        (Publish, 302, Some(" other "), "name other"),
        (Publish, 301, Some("other?key=1"), "name other?key=1"),
        (Publish, 302, Some("rtmp://h/a/b"), "relay rtmp://h/a/b"),
        (Play, 302, Some("RTMPS://h/a/b"), "relay RTMPS://h/a/b"),
        (Connect, 302, Some("other/room"), "name other/room"),
        (Connect, 302, Some("rtmp://h/a"), "hook_malformed"),
        (
            Publish,
            302,
            Some("https://login.example/"),
            "hook_malformed",
        ),
        (Publish, 302, Some("a\nb"), "hook_malformed"),
        (Publish, 302, Some(&*"x".repeat(2000)), "hook_malformed"),
        (Publish, 401, None, REFUSED),
        (Publish, 404, Some("other"), REFUSED),
        (Publish, 500, None, "hook_status"),
        (Publish, 199, None, "hook_status"),
        (Publish, 0, None, "hook_status"),
        (Publish, 999, None, "hook_status"),
    ] {
        let response = HookResponse {
            status,
            location,
            reason: None,
            body: b"anything",
        };
        let decided = read(HookStyle::Nginx, action, &response);
        assert_eq!(decided, expected, "{action:?} {status} {location:?}");
    }
}

#[test]
fn srs_decides_by_the_code() {
    for (status, body, expected) in [
        (200, "0", "allow"),
        (201, " 0\n", "allow"),
        (200, r#"{"code":0}"#, "allow"),
        (200, r#"{"code":0,"data":{"urls":[]}}"#, "allow"),
        (202, "0", REFUSED),
        (302, "0", REFUSED),
        (404, "0", REFUSED),
        (500, "0", "hook_status"),
        (200, "", REFUSED),
        (200, "1", REFUSED),
        (200, "00", REFUSED),
        (200, "0.0", REFUSED),
        (200, "\"0\"", REFUSED),
        (200, "[0]", REFUSED),
        (200, "null", REFUSED),
        (200, r#"{"code":1}"#, REFUSED),
        (200, r#"{"code":"0"}"#, REFUSED),
        (200, r#"{"code":0.0}"#, REFUSED),
        (200, r#"{"other":0}"#, REFUSED),
        (200, r#"{"code":0} {}"#, REFUSED),
        (
            200,
            r#"{"code":1,"reason":"no stream today"}"#,
            "hook_refused: no stream today",
        ),
    ] {
        let response = HookResponse {
            status,
            location: Some("other"),
            reason: None,
            body: body.as_bytes(),
        };
        let decided = read(HookStyle::Srs, Action::Publish, &response);
        assert_eq!(decided, expected, "{status} {body}");
    }
}

#[test]
fn our_own_style_says_it_in_words() {
    let long = format!(r#"{{"allow":true,"user":"{}"}}"#, "u".repeat(300));
    for (status, body, expected) in [
        (200, r#"{"allow":true}"#, "allow"),
        (200, r#"{"allow":true,"user":"alice"}"#, "allow as alice"),
        (200, r#"{"allow":true,"user":null,"x":1}"#, "allow"),
        (
            200,
            r#"{"allow":true,"name":"b?c=1","user":"u"}"#,
            "name b?c=1 as u",
        ),
        (
            200,
            r#"{"allow":true,"relay":"rtmp://h/a/b"}"#,
            "relay rtmp://h/a/b",
        ),
        (200, r#"{"allow":false}"#, REFUSED),
        (
            200,
            r#"{"allow":false,"reason":"not today","user":7}"#,
            "hook_refused: not today",
        ),
        (403, "", REFUSED),
        (403, r#"{"reason":"why"}"#, "hook_refused: why"),
        (403, r#"{"allow":true}"#, REFUSED),
        (500, r#"{"allow":true}"#, "hook_status"),
        (204, "", "hook_malformed"),
        (302, r#"{"allow":true}"#, "hook_malformed"),
        (200, "", "hook_malformed"),
        (200, "true", "hook_malformed"),
        (200, r#"{"allow":"true"}"#, "hook_malformed"),
        (200, r#"{"allow":true,"name":7}"#, "hook_malformed"),
        (200, r#"{"allow":true,"name":""}"#, "hook_malformed"),
        (200, r#"{"allow":true,"name":"rtmp://h"}"#, "hook_malformed"),
        (200, r#"{"allow":true,"relay":"b"}"#, "hook_malformed"),
        (200, r#"{"allow":true,"user":"a\nb"}"#, "hook_malformed"),
        (200, &long, "hook_malformed"),
        (
            200,
            r#"{"allow":true,"name":"b","relay":"rtmp://h/a"}"#,
            "hook_malformed",
        ),
    ] {
        let response = HookResponse {
            status,
            location: Some("other"),
            reason: None,
            body: body.as_bytes(),
        };
        let decided = read(HookStyle::Json, Action::Publish, &response);
        assert_eq!(decided, expected, "{status} {body}");
    }
}

#[test]
fn a_reason_is_one_clean_line() {
    let long = "x".repeat(500);
    for (reason, expected) in [
        (Some("pay first"), "pay first"),
        (Some(" a\r\nb\u{7} "), "a  b"),
        (Some(""), &REFUSED[14..]),
        (None, "from the body"),
        (Some(&*long), &long[..MAX_DESCRIPTION]),
    ] {
        let response = HookResponse {
            status: 403,
            location: None,
            reason,
            body: br#"{"reason":"from the body"}"#,
        };
        let answer = settings(HookStyle::Json).read(Action::Play, &response);
        let HookVerdict::Refuse(refused) = answer.unwrap().verdict else {
            panic!("{reason:?}");
        };
        assert_eq!(refused.refusal(Action::Play).text, expected);
    }
}

#[test]
fn a_service_that_fails_refuses_unless_it_is_told_to_allow() {
    let body = vec![b' '; MAX_ANSWER + 1];
    let response = HookResponse {
        status: 200,
        location: None,
        reason: None,
        body: &body,
    };
    for style in [HookStyle::Nginx, HookStyle::Srs, HookStyle::Json] {
        assert_eq!(read(style, Action::Publish, &response), "hook_too_long");
    }
    let mut settings = settings(HookStyle::Srs);
    let HookVerdict::Refuse(refused) = settings.failed(HookFault::TimedOut).verdict else {
        panic!("allowed");
    };
    assert_eq!(refused.refusal(Action::Publish).label, "hook_timeout");
    settings.on_failure = OnFailure::Allow;
    let allowed = HookAnswer::from(HookVerdict::Allow);
    assert_eq!(settings.failed(HookFault::TimedOut), allowed);
}

#[test]
fn several_services_must_agree() {
    let allow = || HookAnswer::from(HookVerdict::Allow);
    let name = || HookAnswer::from(HookVerdict::Rename("b".to_owned()));
    let refuse = || settings(HookStyle::Srs).failed(HookFault::NoAnswer);
    let user = || HookAnswer {
        verdict: HookVerdict::Allow,
        user: Some("alice".to_owned()),
    };
    for (answers, expected) in [
        (vec![], allow()),
        (vec![allow(), allow()], allow()),
        (vec![allow(), name(), allow()], name()),
        (vec![name(), refuse(), allow()], refuse()),
        (vec![refuse(), name()], refuse()),
        (vec![allow(), user()], user()),
    ] {
        assert_eq!(HookAnswer::of_all(answers), expected);
    }
}

#[test]
fn an_update_goes_on_as_with_nginx() {
    for (status, is_strict, on_failure, expected) in [
        (Ok(200), false, OnFailure::Refuse, true),
        (Ok(200), true, OnFailure::Refuse, true),
        (Ok(302), false, OnFailure::Refuse, true),
        (Ok(302), true, OnFailure::Refuse, false),
        (Ok(404), false, OnFailure::Allow, false),
        (Ok(500), false, OnFailure::Refuse, false),
        (Ok(500), false, OnFailure::Allow, true),
        (Err(HookFault::TimedOut), false, OnFailure::Refuse, false),
        (Err(HookFault::TimedOut), true, OnFailure::Allow, true),
    ] {
        let settings = HookSettings {
            update_strict: is_strict,
            on_failure,
            ..settings(HookStyle::Nginx)
        };
        let response = status.map(|status| HookResponse {
            status,
            location: Some("other"),
            reason: None,
            body: b"",
        });
        let goes_on = settings.goes_on(Action::Publish, response.as_ref().map_err(|fault| *fault));
        assert_eq!(goes_on, expected, "{status:?} {is_strict} {on_failure:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_answer_is_read(status in 0_u16..1000, location in prop::option::of("(rtmp://)?\\PC{0,20}"), body in prop::collection::vec(any::<u8>(), 0..60)) {
        for style in [HookStyle::Nginx, HookStyle::Srs, HookStyle::Json] {
            for action in [Action::Connect, Action::Publish, Action::Play] {
                let response = HookResponse { status, location: location.as_deref(), reason: None, body: &body };
                let decided = read(style, action, &response);
                prop_assert!(status >= 200 || decided == "hook_status");
            }
        }
    }
}
