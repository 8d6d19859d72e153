//! Fuzz bodies for the texts by which clients and services ask the gate: tokens, logins of encoders, and
//! answers of hooks. They are ordinary functions, which the tests run too.

use std::time::Instant;

use data_encoding::BASE64URL_NOPAD;
use tributary_gate::{
    Action, Encoders, HookAnswer, HookResponse, HookSettings, HookStyle, HookVerdict, Key, KeyKind,
    Ledger, Login, MAX_DESCRIPTION, Queries, RANDOM, Scheme, SharedKey, TokenKey, TokenRequest,
    TokenSettings, Tokens, UsedNonces, Users,
};
use tributary_protocol::parcel::{Carried, MAX_PARCEL, pack, unpack};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: u64 = 1_790_000_000;
const ACTIONS: [Action; 3] = [Action::Connect, Action::Publish, Action::Play];

/// Gives any text to the judge of tokens: as a query, as the header or payload of a JWT whose signature
/// is right, and as the file of a key. A payload is good only if it ends later.
pub(crate) fn token(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let kinds = [
        KeyKind::Hmac,
        KeyKind::Hs256,
        KeyKind::Es256,
        KeyKind::EdDsa,
        KeyKind::Rs256,
    ];
    let read = |kind, file: &[u8]| {
        let setting = TokenKey {
            kind,
            file: "key".into(),
            id: None,
        };
        Key::read(&setting, file)
    };
    if choice % 4 == 0 {
        let _ = read(kinds[usize::from(choice / 4) % kinds.len()], data);
        return;
    }
    let settings = TokenSettings {
        require: ACTIONS.to_vec(),
        ..TokenSettings::default()
    };
    let keys = [KeyKind::Hmac, KeyKind::Hs256];
    let keys = keys.map(|kind| read(kind, SECRET).expect("the secret is long enough"));
    let tokens = Tokens::new(settings, keys.into());
    let encode = |part: &[u8]| BASE64URL_NOPAD.encode(part);
    let query = match choice % 4 {
        1 => String::from_utf8_lossy(data).into_owned(),
        2 => signed(
            &encode(data),
            &encode(br#"{"exp":1790000001,"may":"play"}"#),
        ),
        _ => signed(&encode(br#"{"alg":"HS256"}"#), &encode(data)),
    };
    for action in ACTIONS {
        let request = TokenRequest {
            action,
            application: "live",
            instance: "room",
            name: "cam",
            queries: Queries {
                name: &query,
                ..Queries::default()
            },
            address: None,
        };
        if let Ok(claims) = tokens.judge(&request, NOW) {
            let claims = claims.expect("each act needs a token");
            assert!(claims.expires + 30 > NOW);
            assert!(choice % 4 != 1, "no key has signed {query}");
        }
    }
}

fn signed(header: &str, payload: &str) -> String {
    let text = format!("{header}.{payload}");
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET);
    let sign = ring::hmac::sign(&key, text.as_bytes());
    format!("token={text}.{}", BASE64URL_NOPAD.encode(sign.as_ref()))
}

/// Gives any text to the judge of logins, as an `app`, as the fields behind a good challenge, and as a
/// file of users: nobody logs in, and each description is short.
pub(crate) fn encoder_auth(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let text = String::from_utf8_lossy(data);
    let users = match choice % 3 {
        0 => Users::read(&text).unwrap_or_default(),
        _ => Users::read("alice:s3cr3t").expect("a user"),
    };
    let schemes = vec![Scheme::Adobe, Scheme::Llnw];
    let key = SharedKey::new(SECRET).expect("the secret is long enough");
    let encoders = Encoders::new(schemes, users, key);
    let mut used = UsedNonces::default();
    let mut judge = |app: &str| {
        let login = encoders.judge(app, choice & 0x80 != 0, &mut used, NOW, [7; RANDOM]);
        match &login {
            Login::Ask(text) | Login::Refused(text) => {
                assert!(text.len() <= MAX_DESCRIPTION, "{text}");
            }
            Login::User(user) => panic!("{user} by {app}"),
            Login::NotAsked => assert!(choice & 0x80 == 0),
        }
        login
    };
    let app = match choice % 3 {
        1 => text.into_owned(),
        _ => {
            let asked = judge("live?authmod=adobe&user=alice");
            let Login::Ask(asked) = asked else {
                panic!("{asked:?}");
            };
            let ours = asked.rsplit('=').next().unwrap_or_default();
            format!("live?authmod=adobe&user=alice&opaque={ours}&nonce={ours}&{text}")
        }
    };
    judge(&app);
}

/// Gives any response to the reader of answers: a decision is short and in one line, and moves to another
/// process. Parcels of any bytes are read as well.
pub(crate) fn hook_answer(data: &[u8]) {
    held::<HookAnswer>(data);
    held::<Ledger>(data);
    let [choice, high, low, rest @ ..] = data else {
        return;
    };
    let mut parts = rest.splitn(3, |byte| *byte == 0xff);
    let mut text = || {
        let part = parts.next().filter(|part| !part.is_empty())?;
        Some(String::from_utf8_lossy(part).into_owned())
    };
    let (location, reason) = (text(), text());
    let styles = [HookStyle::Nginx, HookStyle::Srs, HookStyle::Json];
    let settings = HookSettings {
        style: styles[usize::from(*choice) % 3],
        update_strict: choice & 0x40 != 0,
        ..HookSettings::default()
    };
    let action = ACTIONS[usize::from(*choice / 3) % 3];
    let response = HookResponse {
        status: u16::from_be_bytes([*high, *low]),
        location: location.as_deref(),
        reason: reason.as_deref(),
        body: parts.next().unwrap_or_default(),
    };
    settings.goes_on(action, Ok(&response));
    let answer = match settings.read(action, &response) {
        Ok(answer) => answer,
        Err(fault) => settings.failed(fault),
    };
    let is_clean = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
    match &answer.verdict {
        HookVerdict::Allow => {}
        HookVerdict::Rename(target) => assert!(target.len() <= 1024 && is_clean(target)),
        HookVerdict::Relay(target) => {
            assert!(target.len() <= 1024 && is_clean(target) && action != Action::Connect);
        }
        HookVerdict::Refuse(refused) => {
            let text = refused.refusal(action).text;
            assert!(text.len() <= MAX_DESCRIPTION && is_clean(&text));
        }
    }
    assert!(answer.user.as_deref().is_none_or(is_clean));
    let parcel = pack(&answer, now()).expect("an answer can move");
    assert_eq!(
        unpack::<HookAnswer>(&parcel, now(), (), MAX_PARCEL),
        Ok(answer)
    );
}

/// A parcel of any bytes is refused, or can move on.
fn held<M: Carried<Limits = ()>>(data: &[u8]) {
    if let Ok(moved) = unpack::<M>(data, now(), (), MAX_PARCEL) {
        let parcel = pack(&moved, now()).expect("a parcel that was read can move on");
        let again = unpack::<M>(&parcel, now(), (), MAX_PARCEL).expect("it is one");
        assert_eq!(pack(&again, now()), Ok(parcel));
    }
}

/// A moment for all parcels.
#[allow(
    clippy::disallowed_methods,
    reason = "`Instant` offers no other beginning"
)]
fn now() -> Instant {
    Instant::now()
}
