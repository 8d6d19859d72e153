//! Tests of logins as a whole: the steps, their texts, and those who may not.

use proptest::prelude::*;
use serde::Deserialize;
use tributary_settings::{At, Check, Layers, Mistakes};

use super::*;
use crate::MAX_DESCRIPTION;

const BOTH: [Scheme; 2] = [Scheme::Adobe, Scheme::Llnw];
const NOW: u64 = 1_790_000_000;

fn encoders(schemes: &[Scheme], users: &str) -> Encoders {
    let key = SharedKey::new(&[1; 32]).unwrap();
    Encoders::new(schemes.to_vec(), Users::read(users).unwrap(), key)
}

/// One connect of an encoder at `now`.
fn connect(encoders: &Encoders, used: &mut UsedNonces, app: &str, now: u64) -> Login {
    encoders.judge(app, true, used, now, [9; RANDOM])
}

fn ask(login: Login) -> String {
    match login {
        Login::Ask(description) => description,
        other => panic!("{other:?}"),
    }
}

/// A client that does as ffmpeg: its next `app`, from the description of the refusal.
struct Client {
    app: &'static str,
    user: &'static str,
    password: &'static str,
}

impl Client {
    fn answer(&self, description: &str) -> String {
        let Self {
            app,
            user,
            password,
        } = self;
        let scheme = description.split("authmod=").nth(1).unwrap();
        let scheme = scheme.split(' ').next().unwrap();
        if description.contains("code=403 need auth") {
            return format!("{app}?authmod={scheme}&user={user}");
        }
        let (_, fields) = description.split_once("?reason=needauth&").unwrap();
        let value = |name: &str| {
            let mut pairs = fields.split('&').map(|pair| pair.split_once('=').unwrap());
            pairs.find(|(key, _)| *key == name).unwrap().1
        };
        assert_eq!(value("user"), *user);
        if scheme == "adobe" {
            assert_eq!(value("challenge"), value("opaque"));
            let verifier = digest::adobe_verifier(user, value("salt"), password);
            let response = digest::adobe_response(&verifier, value("opaque"), "be3ceee4");
            let opaque = value("opaque");
            return format!(
                "{app}?authmod=adobe&user={user}&challenge=be3ceee4&response={response}\
                 &opaque={opaque}"
            );
        }
        let (nonce, verifier) = (value("nonce"), digest::llnw_verifier(user, password));
        let path = app.split('?').next().unwrap();
        let response = digest::llnw_response(&verifier, nonce, "00000001", "9ae53fed", path);
        format!(
            "{app}?authmod=llnw&user={user}&nonce={nonce}&cnonce=9ae53fed&nc=00000001\
             &response={response}"
        )
    }

    /// The three connections, each to the next one of the edges.
    fn log_in(&self, edges: &[&Encoders], used: &mut UsedNonces) -> Login {
        let mut edges = edges.iter().cycle();
        let mut app = self.app.to_owned();
        for _ in 0..3 {
            match connect(edges.next().unwrap(), used, &app, NOW) {
                Login::Ask(description) => app = self.answer(&description),
                decided => return decided,
            }
        }
        panic!("asked three times: {app}");
    }
}

#[test]
fn an_encoder_logs_in_over_three_edges() {
    let users = "alice:s3cr3t\n";
    let edges = [&BOTH[..1], &BOTH[1..]].map(|schemes| [(); 3].map(|()| encoders(schemes, users)));
    for edges in &edges {
        for app in ["live", "live/room", "live?token=x", ""] {
            let client = Client {
                app,
                user: "alice",
                password: "s3cr3t",
            };
            let mut used = UsedNonces::default();
            let edges: Vec<_> = edges.iter().collect();
            let login = client.log_in(&edges, &mut used);
            assert_eq!(login, Login::User("alice".to_owned()), "{app}");
        }
    }
}

#[test]
fn the_descriptions_are_those_that_clients_look_for() {
    let encoders = encoders(&BOTH, "alice:s3cr3t\n");
    let used = &mut UsedNonces::default();
    let first = ask(connect(&encoders, used, "live", NOW));
    assert_eq!(
        first,
        "[ AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : "
    );
    let second = ask(connect(
        &encoders,
        used,
        "live?authmod=adobe&user=alice",
        NOW,
    ));
    let ours = Nonce::make(&encoders.key, "alice", NOW, [9; RANDOM]);
    let salt = salt(&encoders.key, "alice");
    assert_eq!(
        second,
        format!(
            "[ AccessManager.Reject ] : [ authmod=adobe ] : \
             ?reason=needauth&user=alice&salt={salt}&challenge={ours}&opaque={ours}"
        )
    );
    let third = format!("live?authmod=adobe&user=alice&challenge=c&response=r&opaque={ours}");
    assert_eq!(
        connect(&encoders, used, &third, NOW),
        Login::Refused(format!(
            "[ AccessManager.Reject ] : [ authmod=adobe ] : ?reason=authfailed&opaque={ours}"
        ))
    );
    let second = ask(connect(
        &encoders,
        used,
        "live?authmod=llnw&user=alice",
        NOW,
    ));
    assert_eq!(
        second,
        format!(
            "[ AccessManager.Reject ] : [ authmod=llnw ] : \
             ?reason=needauth&user=alice&nonce={ours}"
        )
    );
    let third =
        format!("live?authmod=llnw&user=alice&nonce={ours}&cnonce=c&nc=00000001&response=r");
    assert_eq!(
        connect(&encoders, used, &third, NOW),
        Login::Refused(
            "[ AccessManager.Reject ] : [ authmod=llnw ] : ?reason=authfailed".to_owned()
        )
    );
    let longest = format!("live?authmod=adobe&user={}", "u".repeat(MAX_USER));
    assert!(ask(connect(&encoders, used, &longest, NOW)).len() <= MAX_DESCRIPTION);
}

#[test]
fn an_unknown_user_is_answered_as_a_wrong_password() {
    let encoders = encoders(&BOTH, "alice:s3cr3t\n");
    let mut texts = Vec::new();
    for user in ["alice", "bobby"] {
        let client = Client {
            app: "live",
            user,
            password: "wrong",
        };
        let used = &mut UsedNonces::default();
        let second = ask(connect(
            &encoders,
            used,
            &format!("live?authmod=adobe&user={user}"),
            NOW,
        ));
        let third = connect(&encoders, used, &client.answer(&second), NOW);
        let Login::Refused(third) = third else {
            panic!("{user}: {third:?}");
        };
        assert!(!third.contains("nosuchuser"));
        texts.push((second.len(), third.len()));
    }
    assert_eq!(texts[0], texts[1]);
    // The word in the place of a missing password is none.
    let client = Client {
        app: "live",
        user: "bobby",
        password: "no password",
    };
    let login = client.log_in(&[&encoders], &mut UsedNonces::default());
    assert!(matches!(login, Login::Refused(_)), "{login:?}");
}

#[test]
fn an_answer_counts_once_and_for_a_minute() {
    let encoders = encoders(&BOTH, "alice:s3cr3t\n");
    for scheme in ["adobe", "llnw"] {
        let client = Client {
            app: "live",
            user: "alice",
            password: "s3cr3t",
        };
        let used = &mut UsedNonces::default();
        let app = format!("live?authmod={scheme}&user=alice");
        let answer = client.answer(&ask(connect(&encoders, used, &app, NOW)));
        let late = connect(&encoders, used, &answer, NOW + 61);
        assert!(ask(late).contains("?reason=needauth"), "{scheme}");
        let login = connect(&encoders, used, &answer, NOW + 1);
        assert_eq!(login, Login::User("alice".to_owned()));
        let again = connect(&encoders, used, &answer, NOW + 2);
        assert!(matches!(again, Login::Refused(_)), "{again:?}");
    }
}

#[test]
fn a_stored_verifier_serves_its_scheme_alone() {
    let salt = "c2FsdHNhbHQ=";
    let verifier = digest::adobe_verifier("alice", salt, "s3cr3t");
    let digest = digest::llnw_verifier("bob", "s3cr3t");
    let users = format!("alice:{{adobe}}{salt},{verifier}\nbob:{{llnw}}{digest}\n");
    for (scheme, user, is_in) in [
        (Scheme::Adobe, "alice", true),
        (Scheme::Adobe, "bob", false),
        (Scheme::Llnw, "alice", false),
        (Scheme::Llnw, "bob", true),
    ] {
        for (password, is_right) in [("s3cr3t", true), ("other", false), ("no password", false)] {
            let client = Client {
                app: "live",
                user,
                password,
            };
            let encoders = encoders(&[scheme], &users);
            let login = client.log_in(&[&encoders], &mut UsedNonces::default());
            let expected = is_in && is_right;
            let is_user = matches!(login, Login::User(_));
            assert_eq!(is_user, expected, "{scheme:?} {user} {password}");
        }
    }
}

#[test]
fn only_encoders_are_asked() {
    let encoders = encoders(&BOTH[..1], "alice:s3cr3t\n");
    let used = &mut UsedNonces::default();
    let judge =
        |app: &str, used: &mut UsedNonces| encoders.judge(app, false, used, NOW, [9; RANDOM]);
    assert_eq!(judge("live", used), Login::NotAsked);
    assert_eq!(judge("live?token=x", used), Login::NotAsked);
    assert!(ask(judge("live?authmod=adobe&user=alice", used)).contains("needauth"));
    // A scheme that is not configured is not taken: the client is told which one is.
    for app in [
        "live?authmod=llnw&user=alice",
        "live?authmod=llnw&user=alice&nonce=n&response=r",
        "live?authmod=llnw&user=%20",
        "live?authmod=basic&user=alice",
    ] {
        assert_eq!(ask(judge(app, used)), encoders.need_auth(), "{app}");
    }
    assert_eq!(encoders.may_publish(Some("alice")), Ok(()));
    let refusal = encoders
        .may_publish(None)
        .unwrap_err()
        .refusal(Action::Publish);
    assert_eq!(refusal.label, "user_missing");
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Whole {
    encoders: Option<EncoderSettings>,
}

impl Check for Whole {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        if let Some(encoders) = &self.encoders {
            encoders.check(&at.key("encoders"), mistakes);
        }
    }
}

fn read(settings: &[(&str, &str)]) -> Result<EncoderSettings, String> {
    let variables = settings.iter().map(|(key, value)| {
        let name = format!("TRIBUTARY_ENCODERS_{}", key.to_ascii_uppercase());
        (name, (*value).to_owned())
    });
    let read = Layers::new().environment(variables).read::<Whole>();
    read.map(|whole| whole.encoders.unwrap())
        .map_err(|mistakes| mistakes.to_string())
}

#[test]
fn settings_are_read_and_mistakes_are_named() {
    let settings = read(&[("users_file", "/etc/users")]).unwrap();
    assert_eq!(settings.schemes, [Scheme::Adobe]);
    assert_eq!(settings.key_file, None);
    for (settings, parts) in [
        (&[("schemes", "adobe")][..], &["encoders", "users_file"][..]),
        (
            &[("users_file", "u"), ("schemes", "[]")],
            &["encoders.schemes", "admits no encoder", "[\"adobe\"]"],
        ),
        (
            &[("users_file", "u"), ("schemes", "llnw,llnw")],
            &["encoders.schemes.1", "twice"],
        ),
        (
            &[("users_file", "u"), ("schemes", "basic")],
            &["encoders.schemes", "basic", "adobe"],
        ),
    ] {
        let mistakes = read(settings).unwrap_err();
        for part in parts {
            assert!(mistakes.contains(part), "{part} in {mistakes}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// No text logs anybody in, and each description is short.
    #[test]
    fn any_app_is_judged(app in "(live)?(\\?(authmod=(adobe|llnw)|&|=|\\?|user=alice|response=|opaque=|nonce=|challenge=|\\PC){0,20})?") {
        let encoders = encoders(&BOTH, "alice:s3cr3t\n");
        match encoders.judge(&app, true, &mut UsedNonces::default(), NOW, [0; RANDOM]) {
            Login::Ask(text) | Login::Refused(text) => prop_assert!(text.len() <= MAX_DESCRIPTION),
            login => prop_assert!(false, "{login:?}"),
        }
    }
}
