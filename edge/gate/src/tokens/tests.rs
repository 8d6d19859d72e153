//! Tests of tokens as a whole: place, form, keys, settings.

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use serde::Deserialize;
use tributary_settings::{At, Check, Layers, Mistakes};

use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";
const OTHER: &str = "fedcba9876543210fedcba9876543210";
/// HMAC-SHA-256 of `publish`, `live/_definst_/cam1` and 2000000000, by another implementation.
const SIGN: &str = "tlOUzzkB5-sYBatFrtbO_8HqsQtsY-j9GBoJwgtivpM";

fn key(kind: KeyKind, secret: &str) -> Key {
    let setting = TokenKey {
        kind,
        file: "key".into(),
        id: None,
    };
    Key::read(&setting, secret.as_bytes()).unwrap()
}

fn tokens(settings: TokenSettings, keys: &[(KeyKind, &str)]) -> Tokens {
    let keys = keys.iter().map(|(kind, secret)| key(*kind, secret));
    Tokens::new(settings, keys.collect())
}

fn jwt(claims: &str, secret: &str) -> String {
    let header = BASE64URL_NOPAD.encode(br#"{"alg":"HS256"}"#);
    let text = format!("{header}.{}", BASE64URL_NOPAD.encode(claims.as_bytes()));
    let key = SharedKey::new(secret.as_bytes()).unwrap();
    let sign = key.sign(&[text.as_bytes()]);
    format!("{text}.{}", BASE64URL_NOPAD.encode(sign.as_ref()))
}

fn request(action: Action, queries: Queries<'_>) -> TokenRequest<'_> {
    TokenRequest {
        action,
        application: "live",
        instance: "_definst_",
        name: if action == Action::Connect {
            ""
        } else {
            "cam1"
        },
        queries,
        address: Some("::ffff:192.0.2.1".parse().unwrap()),
    }
}

fn in_name(query: &str) -> Queries<'_> {
    Queries {
        name: query,
        ..Queries::default()
    }
}

/// `ok`, or the label of the refusal.
fn label(judged: Result<Option<Claims>, TokenRefused>) -> &'static str {
    judged.map_or_else(TokenRefused::label, |_| "ok")
}

#[test]
fn a_signature_is_for_one_act() {
    let all = TokenSettings {
        require: vec![Action::Connect, Action::Publish, Action::Play],
        ..TokenSettings::default()
    };
    let tokens = tokens(all, &[(KeyKind::Hmac, SECRET)]);
    let play = "VCpgVcY6titbPaeSe9bYbf68lz9M87JLqn3hVRsFWrM";
    let connect = "ZWdIdFvb97CxSQnI5FzGQtKcvcqmVAxek8XjL6fG4PM";
    let with = |sign: &str| format!("expires=2000000000&sign={sign}");
    for (action, query, now, expected) in [
        (Action::Publish, with(SIGN), 0, "ok"),
        (
            Action::Publish,
            format!("sign={SIGN}&expires=2000000000"),
            0,
            "ok",
        ),
        (Action::Publish, with(&format!("{SIGN}=")), 0, "ok"),
        (Action::Publish, with(SIGN), 2_000_000_029, "ok"),
        (Action::Publish, with(SIGN), 2_000_000_030, "token_expired"),
        (Action::Play, with(SIGN), 0, "token_signature"),
        (Action::Play, with(play), 0, "ok"),
        (Action::Connect, with(connect), 0, "ok"),
        (Action::Connect, with(play), 0, "token_signature"),
        (Action::Publish, with(""), 0, "token_signature"),
        (Action::Publish, with(&SIGN[..42]), 0, "token_malformed"),
        (Action::Publish, with("+"), 0, "token_malformed"),
        (Action::Publish, with(&"A".repeat(65)), 0, "token_malformed"),
        (
            Action::Publish,
            format!("sign={SIGN}"),
            0,
            "token_malformed",
        ),
        (Action::Publish, String::new(), 0, "token_missing"),
        (
            Action::Publish,
            "expires=2000000000".into(),
            0,
            "token_missing",
        ),
    ] {
        let judged = tokens.judge(&request(action, in_name(&query)), now);
        assert_eq!(label(judged), expected, "{action:?} {query} {now}");
    }
    for expires in [
        "+2000000000",
        "-1",
        "02000000000",
        "2e9",
        "",
        "99999999999999999999",
        "2000000000000",
    ] {
        let query = format!("expires={expires}&sign={SIGN}");
        let judged = tokens.judge(&request(Action::Publish, in_name(&query)), 0);
        assert!(judged.is_err(), "{expires}");
    }
}

#[test]
fn a_signature_may_be_bound_to_an_address() {
    let settings = TokenSettings {
        bind_address: true,
        ..TokenSettings::default()
    };
    let tokens = tokens(settings, &[(KeyKind::Hmac, SECRET)]);
    let bound = "expires=2000000000&sign=3CLLxr3EhjsBLhKwgi2C-xA3BBdOkxpr00d5Gf9TuGs";
    let free = format!("expires=2000000000&sign={SIGN}");
    for (address, query, expected) in [
        (Some("192.0.2.1"), bound, "ok"),
        (Some("::ffff:192.0.2.1"), bound, "ok"),
        (Some("192.0.2.2"), bound, "token_signature"),
        (None, bound, "token_address"),
        (Some("192.0.2.1"), &*free, "token_signature"),
    ] {
        let request = TokenRequest {
            address: address.map(|address| address.parse().unwrap()),
            ..request(Action::Publish, in_name(query))
        };
        assert_eq!(label(tokens.judge(&request, 0)), expected, "{address:?}");
    }
}

#[test]
fn a_jwt_says_who_and_what() {
    let tokens = tokens(TokenSettings::default(), &[(KeyKind::Hs256, SECRET)]);
    let payload = r#"{"exp":2000,"may":"publish","sub":"alice","stream":"cam*","room":7}"#;
    let query = format!("token={}", jwt(payload, SECRET));
    let judged = tokens.judge(&request(Action::Publish, in_name(&query)), 1000);
    let expected = Claims {
        subject: Some("alice".to_owned()),
        expires: 2000,
        json: Some(payload.to_owned()),
    };
    assert_eq!(judged, Ok(Some(expected)));
    let other = TokenRequest {
        name: "other",
        ..request(Action::Publish, in_name(&query))
    };
    assert_eq!(tokens.judge(&other, 1000), Err(TokenRefused::Stream));
    let strange = TokenRequest {
        name: "cam\n1",
        ..other
    };
    assert_eq!(label(tokens.judge(&strange, 1000)), "token_malformed");
    // A play needs no token here, and one that is there does not count.
    let play = tokens.judge(&request(Action::Play, in_name("token=x")), 1000);
    assert_eq!(play, Ok(None));
}

#[test]
fn the_first_place_that_has_a_token_decides() {
    let tokens = tokens(TokenSettings::default(), &[(KeyKind::Hs256, SECRET)]);
    let good = format!("token={}", jwt(r#"{"exp":2000,"may":"publish"}"#, SECRET));
    let good = good.as_str();
    for (name, app, tc_url, expected) in [
        (good, "", "", "ok"),
        ("", good, "", "ok"),
        ("", "", good, "ok"),
        (good, "token=x", "token=x", "ok"),
        ("token=x", good, good, "token_malformed"),
        ("other=1", good, "token=x", "ok"),
        ("sign=x&expires=1", good, "", "ok"),
        ("", "", "", "token_missing"),
    ] {
        let queries = Queries { name, app, tc_url };
        let judged = tokens.judge(&request(Action::Publish, queries), 1000);
        assert_eq!(label(judged), expected, "{name:.9} {app:.9} {tc_url:.9}");
    }
}

#[test]
fn two_keys_hold_during_a_rotation_and_each_for_its_form() {
    let claims = r#"{"exp":2000,"may":"publish"}"#;
    let (old, new) = (jwt(claims, OTHER), jwt(claims, SECRET));
    let (old, new) = (format!("token={old}"), format!("token={new}"));
    let signed = format!("expires=2000000000&sign={SIGN}");
    let rotating = [(KeyKind::Hs256, SECRET), (KeyKind::Hs256, OTHER)];
    let both = [(KeyKind::Hs256, OTHER), (KeyKind::Hmac, SECRET)];
    for (keys, query, expected) in [
        (&rotating[..], &old, "ok"),
        (&rotating, &new, "ok"),
        (&rotating[..1], &old, "token_signature"),
        (&both, &signed, "ok"),
        (&both, &old, "ok"),
        // The secret of signatures is none of JWTs.
        (&both, &new, "token_signature"),
        (&both[1..], &new, "token_missing"),
    ] {
        let tokens = tokens(TokenSettings::default(), keys);
        let judged = tokens.judge(&request(Action::Publish, in_name(query)), 1000);
        assert_eq!(label(judged), expected, "{query}");
    }
}

#[test]
fn refusals_say_why_and_show_no_secret() {
    let tokens = tokens(TokenSettings::default(), &[(KeyKind::Hs256, SECRET)]);
    let expired = jwt(r#"{"exp":900,"may":"publish"}"#, SECRET);
    let query = format!("token={expired}");
    let refused = tokens.judge(&request(Action::Publish, in_name(&query)), 1000);
    let refusal = refused.unwrap_err().refusal(Action::Publish);
    assert_eq!(refusal.text, "the token has expired: ask for a new one");
    assert_eq!(refusal.label, "token_expired");
    assert!(!format!("{tokens:?}").contains(SECRET));
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Whole {
    tokens: TokenSettings,
}

impl Check for Whole {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        self.tokens.check(&at.key("tokens"), mistakes);
    }
}

fn read(text: &str) -> Result<TokenSettings, String> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    let read = Layers::new().file(file.path()).read::<Whole>();
    read.map(|whole| whole.tokens)
        .map_err(|mistakes| mistakes.to_string())
}

#[test]
fn settings_are_read() {
    let settings = read(
        "[tokens]\nrequire = [\"connect\", \"play\"]\naudience = \"edge\"\nleeway = \"5 s\"\n\
         bind_address = true\nstrip = true\nparameter = \"jwt\"\n\
         [[tokens.keys]]\nkind = \"EdDSA\"\nfile = \"/etc/new.pem\"\nid = \"2\"\n\
         [[tokens.keys]]\nkind = \"hmac\"\nfile = \"secret\"\n",
    )
    .unwrap();
    assert_eq!(settings.require, [Action::Connect, Action::Play]);
    let kinds: Vec<_> = settings.keys.iter().map(|key| key.kind).collect();
    assert_eq!(kinds, [KeyKind::EdDsa, KeyKind::Hmac]);
}

#[test]
fn mistakes_name_key_reason_and_remedy() {
    let hmac = "[[tokens.keys]]\nkind = \"hmac\"\nfile = \"f\"\n";
    let jwt = "[[tokens.keys]]\nkind = \"RS256\"\nfile = \"f\"\nid = \"a\"\n";
    for (text, parts) in [
        (String::new(), &["tokens.keys", "no key", "add [["][..]),
        (hmac.repeat(5), &["tokens.keys", "more than 4"]),
        (format!("{hmac}id = \"a\""), &["tokens.keys.0.id", "leave"]),
        (jwt.repeat(2), &["tokens.keys.1.id", "another key"]),
        (
            format!("[tokens]\nrequire = []\n{hmac}"),
            &["tokens.require", "no act"],
        ),
        (
            format!("[tokens]\nparameter = \"sign\"\n{hmac}"),
            &["tokens.parameter", "\"sign\""],
        ),
        (
            format!("[tokens]\nparameter = \"a=b\"\n{hmac}"),
            &["tokens.parameter", "letters"],
        ),
        (
            format!("[tokens]\nleeway = \"1 h\"\n{hmac}"),
            &["tokens.leeway", "5 min"],
        ),
        (
            format!("[tokens]\naudience = \"a\"\n{hmac}"),
            &["tokens.audience", "leave it out"],
        ),
        (
            format!("[tokens]\nbind_address = true\n{jwt}"),
            &["tokens.bind_address", "hmac"],
        ),
        (
            "[[tokens.keys]]\nkind = \"none\"\nfile = \"f\"\n".to_owned(),
            &["tokens.keys.0.kind", "HS256"],
        ),
        ("[[tokens.keys]]\nkind = \"hmac\"\n".to_owned(), &["file"]),
    ] {
        let mistakes = read(&text).unwrap_err();
        for part in parts {
            assert!(mistakes.contains(part), "{part} in {mistakes}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_judged(query in "\\PC{0,80}", header in "\\PC{0,40}", payload in "\\PC{0,80}") {
        let keys = [(KeyKind::Hs256, SECRET), (KeyKind::Hmac, SECRET)];
        let tokens = tokens(TokenSettings::default(), &keys);
        let header = BASE64URL_NOPAD.encode(header.as_bytes());
        let token = jwt(&payload, SECRET);
        for query in [query.clone(), format!("token={query}"), format!("token={header}.{token}"), format!("token={token}")] {
            let judged = tokens.judge(&request(Action::Publish, in_name(&query)), 1000);
            prop_assert!(judged.is_err(), "{}", query);
        }
    }

    /// A token that permits, changed at one place, permits no more.
    #[test]
    fn no_change_of_a_token_holds(place in any::<prop::sample::Index>(), with in "[A-Za-z0-9_.-]") {
        let tokens = tokens(TokenSettings::default(), &[(KeyKind::Hs256, SECRET)]);
        let token = jwt(r#"{"exp":2000,"may":"publish"}"#, SECRET);
        let mut other = token.clone();
        let place = place.index(token.len());
        other.replace_range(place..=place, &with);
        let query = format!("token={other}");
        let judged = tokens.judge(&request(Action::Publish, in_name(&query)), 1000);
        prop_assert_eq!(judged.is_ok(), token == other);
    }
}
