//! The claims of a JWT, and the acts that they permit.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{self, SeqAccess, Visitor},
};

use crate::{
    refusal::Action,
    tokens::{
        refused::TokenRefused,
        time::{Clock, LAST},
    },
};

/// The claims that decide. Others are the application's.
///
/// A claim that stands twice, or is `null` or of another type, makes the token unreadable: a slip of
/// the signer must not permit more.
#[derive(Debug, Deserialize)]
pub(super) struct Judged {
    exp: Time,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<Time>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<Texts>,
    #[serde(default, deserialize_with = "present")]
    sub: Option<String>,
    #[serde(default, deserialize_with = "present")]
    app: Option<Texts>,
    #[serde(default, deserialize_with = "present")]
    stream: Option<Texts>,
    #[serde(default, deserialize_with = "present")]
    may: Option<Texts>,
}

/// The act that claims must permit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) action: Action,
    pub(super) application: &'a str,
    pub(super) instance: &'a str,
    /// Without its query; empty for a connect.
    pub(super) name: &'a str,
    pub(super) audience: Option<&'a str>,
}

impl Judged {
    /// Reads the payload of a token whose signature is right.
    pub(super) fn read(payload: &[u8]) -> Result<Self, TokenRefused> {
        let read: Result<Self, _> = serde_json::from_slice(payload);
        let claims = read.map_err(|_| {
            TokenRefused::Malformed(
                "a claim is missing or of a wrong type; it needs exp in seconds",
            )
        })?;
        let is_clean = |text: &String| !text.chars().any(char::is_control);
        if !claims.sub.as_ref().is_none_or(is_clean) {
            return Err(TokenRefused::Malformed("sub has control characters"));
        }
        Ok(claims)
    }

    /// Whether these claims permit the act now.
    ///
    /// Without `app` and `stream` they permit it for every instance and stream of the application.
    /// Without `may` they permit a connect alone: a token for viewers must not publish.
    pub(super) fn permit(&self, wanted: &Wanted<'_>, clock: Clock) -> Result<(), TokenRefused> {
        clock.before_end(self.exp.0)?;
        if let Some(Time(begin)) = self.nbf {
            clock.after_begin(begin)?;
        }
        match (&self.aud, wanted.audience) {
            (None, None) => {}
            (Some(aud), Some(own)) if aud.has(|text| text == own) => {}
            _ => return Err(TokenRefused::Audience),
        }
        if !self
            .app
            .as_ref()
            .is_none_or(|app| app.has(|it| wanted.is_of(it)))
        {
            return Err(TokenRefused::Application);
        }
        if wanted.action == Action::Connect {
            return Ok(());
        }
        let fits = |pattern: &str| fits(pattern, wanted.name);
        if !self.stream.as_ref().is_none_or(|stream| stream.has(fits)) {
            return Err(TokenRefused::Stream);
        }
        let is_permitted = |may: &Texts| may.has(|it| it == verb(wanted.action));
        if !self.may.as_ref().is_some_and(is_permitted) {
            return Err(TokenRefused::Act);
        }
        Ok(())
    }

    /// The second at which the token ends.
    pub(super) fn expires(&self) -> u64 {
        self.exp.0
    }

    /// The person or program that the token is for.
    pub(super) fn into_subject(self) -> Option<String> {
        self.sub.filter(|subject| !subject.is_empty())
    }
}

impl Wanted<'_> {
    /// Whether this is the application, or `application/instance`.
    fn is_of(&self, app: &str) -> bool {
        match app.split_once('/') {
            Some((application, instance)) => {
                application == self.application && instance == self.instance
            }
            None => app == self.application,
        }
    }
}

fn verb(action: Action) -> &'static str {
    match action {
        Action::Connect => "connect",
        Action::Publish => "publish",
        Action::Play => "play",
    }
}

/// Whether the name is the pattern, or begins with it where a `*` ends it.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == pattern,
    }
}

/// A NumericDate (RFC 7519, section 2), cut to a second: from 1970 to 9999.
#[derive(Clone, Copy, Debug)]
struct Time(u64);

/// One text, or a list of texts.
#[derive(Debug)]
struct Texts(Vec<String>);

impl Texts {
    fn has(&self, is_it: impl Fn(&str) -> bool) -> bool {
        self.0.iter().any(|text| is_it(text))
    }
}

/// A claim that is there is no `null`.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seconds;

        impl Visitor<'_> for Seconds {
            type Value = Time;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time in seconds")
            }

            fn visit_u64<E: de::Error>(self, seconds: u64) -> Result<Time, E> {
                if seconds > LAST {
                    return Err(E::custom("a time beyond the year 9999"));
                }
                Ok(Time(seconds))
            }

            fn visit_f64<E: de::Error>(self, seconds: f64) -> Result<Time, E> {
                if !(0.0..=LAST as f64).contains(&seconds) {
                    return Err(E::custom("no time from 1970 to 9999"));
                }
                Ok(Time(seconds as u64))
            }
        }

        deserializer.deserialize_any(Seconds)
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMore;

        impl<'de> Visitor<'de> for OneOrMore {
            type Value = Texts;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Texts, A::Error> {
                let mut texts = Vec::new();
                while let Some(text) = list.next_element()? {
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }

        deserializer.deserialize_any(OneOrMore)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Clock = Clock {
        now: 1000,
        leeway: 30,
    };
    const WANTED: Wanted<'_> = Wanted {
        action: Action::Publish,
        application: "live",
        instance: "room",
        name: "cam1",
        audience: None,
    };

    /// `ok`, or the label of the refusal.
    fn judge(claims: &str, wanted: &Wanted<'_>) -> &'static str {
        let judged = Judged::read(claims.as_bytes());
        let judged = judged.and_then(|claims| claims.permit(wanted, CLOCK));
        judged.err().map_or("ok", TokenRefused::label)
    }

    #[test]
    fn claims_permit_what_they_name() {
        for (claims, expected) in [
            (r#""may":"publish""#, "ok"),
            (r#""may":["play","publish"]"#, "ok"),
            (r#""may":["play"]"#, "token_scope"),
            (r#""may":[]"#, "token_scope"),
            (r#""may":"Publish""#, "token_scope"),
            (r#""sub":"alice""#, "token_scope"),
            (r#""may":"publish","app":"live""#, "ok"),
            (r#""may":"publish","app":"live/room""#, "ok"),
            (r#""may":"publish","app":["vod","live/room"]"#, "ok"),
            (r#""may":"publish","app":"live/other""#, "token_scope"),
            (r#""may":"publish","app":"liv""#, "token_scope"),
            (r#""may":"publish","app":[]"#, "token_scope"),
            (r#""may":"publish","stream":"cam1""#, "ok"),
            (r#""may":"publish","stream":"cam*""#, "ok"),
            (r#""may":"publish","stream":"*""#, "ok"),
            (r#""may":"publish","stream":["a","cam1"]"#, "ok"),
            (r#""may":"publish","stream":"cam""#, "token_scope"),
            (r#""may":"publish","stream":"c*1""#, "token_scope"),
            (r#""may":"publish","stream":"""#, "token_scope"),
            (r#""may":"publish","aud":"edge""#, "token_scope"),
            (r#""may":"publish","nbf":1030"#, "ok"),
            (r#""may":"publish","nbf":1031"#, "token_not_yet"),
            (r#""may":"publish","other":{"a":[1]}"#, "ok"),
        ] {
            let claims = format!(r#"{{"exp":2000,{claims}}}"#);
            assert_eq!(judge(&claims, &WANTED), expected, "{claims}");
        }
    }

    #[test]
    fn a_connect_needs_no_stream_and_no_may() {
        let wanted = Wanted {
            action: Action::Connect,
            name: "",
            audience: Some("edge"),
            ..WANTED
        };
        for (claims, expected) in [
            (r#""aud":"edge""#, "ok"),
            (r#""aud":["other","edge"],"stream":"cam1""#, "ok"),
            (r#""aud":"other""#, "token_scope"),
            (r#""sub":"alice""#, "token_scope"),
            (r#""aud":"edge","app":"vod""#, "token_scope"),
        ] {
            let claims = format!(r#"{{"exp":2000,{claims}}}"#);
            assert_eq!(judge(&claims, &wanted), expected, "{claims}");
        }
    }

    #[test]
    fn times_are_seconds_of_this_era() {
        for (exp, expected) in [
            ("971", "ok"),
            ("970", "token_expired"),
            ("970.9", "token_expired"),
            ("971.5", "ok"),
            ("1e3", "ok"),
            ("0", "token_expired"),
            ("253402300799", "ok"),
            ("253402300800", "token_malformed"),
            ("1700000000000", "token_malformed"),
            ("18446744073709551616", "token_malformed"),
            ("99999999999999999999999999999999", "token_malformed"),
            ("1e300", "token_malformed"),
            ("1e999", "token_malformed"),
            ("-1", "token_malformed"),
            ("-0.5", "token_malformed"),
            ("NaN", "token_malformed"),
            ("\"2000\"", "token_malformed"),
            ("null", "token_malformed"),
            ("[2000]", "token_malformed"),
            ("true", "token_malformed"),
        ] {
            let claims = format!(r#"{{"exp":{exp},"may":"publish"}}"#);
            assert_eq!(judge(&claims, &WANTED), expected, "{exp}");
        }
    }

    #[test]
    fn a_slip_of_the_signer_permits_nothing() {
        for claims in [
            "",
            "{}",
            "7",
            r#"{"may":"publish"}"#,
            r#"{"exp":2000,"exp":2001,"may":"publish"}"#,
            r#"{"exp":2000,"may":"publish","may":"play"}"#,
            r#"{"exp":2000,"may":"publish","stream":null}"#,
            r#"{"exp":2000,"may":"publish","app":null}"#,
            r#"{"exp":2000,"may":"publish","stream":7}"#,
            r#"{"exp":2000,"may":{"publish":true}}"#,
            r#"{"exp":2000,"may":"publish","sub":7}"#,
            "{\"exp\":2000,\"may\":\"publish\",\"sub\":\"a\\nb\"}",
            r#"{"exp":2000,"may":"publish"} {}"#,
        ] {
            assert_eq!(judge(claims, &WANTED), "token_malformed", "{claims}");
        }
    }

    #[test]
    fn an_empty_subject_is_none() {
        let subject = |claims: &str| Judged::read(claims.as_bytes()).unwrap().into_subject();
        assert_eq!(subject(r#"{"exp":1,"sub":"a"}"#).as_deref(), Some("a"));
        assert_eq!(subject(r#"{"exp":1,"sub":""}"#), None);
        assert_eq!(subject(r#"{"exp":1}"#), None);
    }
}
