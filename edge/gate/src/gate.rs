//! The order of the decisions that need no answer of others.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    access::{Access, Transport},
    encoders::{Encoders, LOGIN_LABEL, Login, RANDOM, UsedNonces},
    rates::{RateSettings, Rates, Slowing},
    refusal::{Action, Refusal, RefusedStatus},
    tokens::{Claims, Queries, TokenRequest, Tokens},
};

/// The gate of one application.
///
/// Each act is judged by access lists, rates, user and password, and tokens, in this order; the first
/// refusal wins, and the rest is not looked at. Hooks come last, and the caller asks them
/// ([`crate::HookSettings::requests`]).
#[derive(Debug)]
pub struct Gate {
    /// The application's name.
    pub application: Arc<str>,
    pub access: Access,
    pub limits: RateSettings,
    /// `None` where encoders need no user.
    pub encoders: Option<Encoders>,
    /// `None` where no act needs a token.
    pub tokens: Option<Tokens>,
}

/// The memory of all gates of an edge, whose workers share it. Each part is locked for one look-up;
/// tokens are checked outside.
#[derive(Debug, Default)]
pub struct Memory {
    rates: Mutex<Rates>,
    slowing: Mutex<Slowing>,
    used: Mutex<UsedNonces>,
}

/// The moment of a decision, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    pub instant: Instant,
    /// Seconds of UNIX time.
    pub unix: u64,
}

/// A client, as the gate judges it.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    /// `None` if it is unknown.
    pub address: Option<IpAddr>,
    pub transport: Transport,
    /// `type: nonprivate`, or a flashVer that begins with `FMLE/`.
    pub is_encoder: bool,
    /// `app` of its connect, with the query.
    pub app: &'a str,
    /// The instance that `app` names.
    pub instance: &'a str,
    /// `tcUrl` of its connect.
    pub tc_url: &'a str,
    /// The user that its connect has proved: see [`Passed`].
    pub user: Option<&'a str>,
}

/// A name that a client publishes or plays.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    pub action: Action,
    /// Without the query and surrounding slashes.
    pub name: &'a str,
    /// The query of the name.
    pub query: &'a str,
    /// Whether the command only comes beside the act (releaseStream, FCPublish, FCUnpublish): it needs
    /// the same permission and takes nothing from a rate.
    pub is_beside: bool,
}

/// A connect that has passed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// The user of an encoder.
    pub user: Option<String>,
    pub claims: Option<Claims>,
}

/// A connect that has not passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// An encoder is asked for the next step of its login: see [`Login::Ask`].
    Asked(String),
    Refused(Refusal),
}

impl Gate {
    /// Whether the gate refuses nothing, so that nobody needs to ask it.
    pub fn is_open(&self) -> bool {
        let RateSettings {
            connects_per_minute,
            publishes_per_minute,
            failures_per_minute: _,
        } = self.limits;
        let has_rate = connects_per_minute.or(publishes_per_minute).is_some();
        let asks = self.encoders.is_some() || self.tokens.is_some();
        !has_rate && !asks && self.access == Access::default()
    }

    /// Whether the edge takes the query off names that pass.
    pub fn strips(&self) -> bool {
        self.tokens.as_ref().is_some_and(Tokens::strips)
    }

    /// Judges a connect. `random` is drawn for it.
    pub fn connect(
        &self,
        memory: &Memory,
        client: &Client<'_>,
        now: Now,
        random: [u8; RANDOM],
    ) -> Result<Passed, Stopped> {
        let action = Action::Connect;
        let lists = self.access.judge(action, client.address, client.transport);
        let passed = lists
            .map_err(|refused| refused.refusal(action))
            .and_then(|()| self.take(memory, action, client, now))
            .map_err(Stopped::Refused)
            .and_then(|()| self.log_in(memory, client, now, random))
            .and_then(|user| {
                let claims = self.claims(client, action, ("", ""), now);
                let claims = claims.map_err(Stopped::Refused)?;
                Ok(Passed { user, claims })
            });
        if let Err(Stopped::Refused(_)) = passed {
            self.note_refused(memory, client, now);
        }
        passed
    }

    /// Judges an act on a name, which may permit it by the claims of a token.
    pub fn act(
        &self,
        memory: &Memory,
        client: &Client<'_>,
        named: &Named<'_>,
        now: Now,
    ) -> Result<Option<Claims>, Refusal> {
        let action = named.action;
        let lists = self.access.judge(action, client.address, client.transport);
        let claims = lists
            .map_err(|refused| refused.refusal(action))
            .and_then(|()| match named.is_beside {
                true => self.look(memory, client, now),
                false => self.take(memory, action, client, now),
            })
            .and_then(|()| self.may_publish(client, action))
            .and_then(|()| self.claims(client, action, (named.name, named.query), now));
        // A command beside the act gets the same answer in any case, so that it is no guess.
        if claims.is_err() && !named.is_beside {
            self.note_refused(memory, client, now);
        }
        claims
    }

    /// The time for which the answer to a connect of this client waits. The caller asks before it
    /// judges, and judges after the wait.
    pub fn delay(memory: &Memory, address: Option<IpAddr>, now: Now) -> Duration {
        lock(&memory.slowing).delay(address, now.instant)
    }

    /// Notes a refusal of others, such as a hook, against the client's address.
    pub fn note_refused(&self, memory: &Memory, client: &Client<'_>, now: Now) {
        let limit = self.limits.failures_per_minute;
        lock(&memory.slowing).note_refused(client.address, limit, now.instant);
    }

    fn take(
        &self,
        memory: &Memory,
        action: Action,
        client: &Client<'_>,
        now: Now,
    ) -> Result<(), Refusal> {
        let (of, at) = (client.address, now.instant);
        let mut rates = lock(&memory.rates);
        let taken = rates.take(&self.application, &self.limits, action, of, at);
        taken.map_err(|refused| refused.refusal(action))
    }

    fn look(&self, memory: &Memory, client: &Client<'_>, now: Now) -> Result<(), Refusal> {
        let (of, at) = (client.address, now.instant);
        let mut rates = lock(&memory.rates);
        let may = rates.may_publish(&self.application, &self.limits, of, at);
        may.map_err(|refused| refused.refusal(Action::Publish))
    }

    fn log_in(
        &self,
        memory: &Memory,
        client: &Client<'_>,
        now: Now,
        random: [u8; RANDOM],
    ) -> Result<Option<String>, Stopped> {
        let Some(encoders) = &self.encoders else {
            return Ok(None);
        };
        let mut used = lock(&memory.used);
        let (app, is_encoder) = (client.app, client.is_encoder);
        match encoders.judge(app, is_encoder, &mut used, now.unix, random) {
            Login::NotAsked => Ok(None),
            Login::User(user) => Ok(Some(user)),
            Login::Ask(description) => Err(Stopped::Asked(description)),
            Login::Refused(text) => Err(Stopped::Refused(Refusal {
                status: RefusedStatus::ConnectRejected,
                label: LOGIN_LABEL,
                text,
            })),
        }
    }

    fn may_publish(&self, client: &Client<'_>, action: Action) -> Result<(), Refusal> {
        match &self.encoders {
            Some(encoders) if action == Action::Publish => encoders
                .may_publish(client.user)
                .map_err(|refused| refused.refusal(action)),
            _ => Ok(()),
        }
    }

    fn claims(
        &self,
        client: &Client<'_>,
        action: Action,
        (name, query): (&str, &str),
        now: Now,
    ) -> Result<Option<Claims>, Refusal> {
        let Some(tokens) = &self.tokens else {
            return Ok(None);
        };
        let behind = |text: &'_ str| text.find('?').map_or(text.len(), |at| at + 1);
        let request = TokenRequest {
            action,
            application: &self.application,
            instance: client.instance,
            name,
            queries: Queries {
                name: query,
                app: &client.app[behind(client.app)..],
                tc_url: &client.tc_url[behind(client.tc_url)..],
            },
            address: client.address,
        };
        let judged = tokens.judge(&request, now.unix);
        judged.map_err(|refused| refused.refusal(action))
    }
}

fn lock<T>(part: &Mutex<T>) -> MutexGuard<'_, T> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Key, KeyKind, Scheme, SharedKey, TokenKey, TokenSettings, Users, access::Transport,
    };

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    /// For a publish of `live/_definst_/cam1`, until 2000000000.
    const SIGNED: &str = "expires=2000000000&sign=tlOUzzkB5-sYBatFrtbO_8HqsQtsY-j9GBoJwgtivpM";

    #[expect(
        clippy::disallowed_methods,
        reason = "`Instant` offers no other beginning"
    )]
    fn now() -> Now {
        Now {
            instant: Instant::now(),
            unix: 1_790_000_000,
        }
    }

    /// A gate that refuses by each of its means.
    fn gate() -> Gate {
        let setting = TokenKey {
            kind: KeyKind::Hmac,
            file: "key".into(),
            id: None,
        };
        let settings = TokenSettings::default();
        Gate {
            application: "live".into(),
            access: Access {
                publish: Some(["192.0.2.0/24".parse().unwrap()].into_iter().collect()),
                deny: ["192.0.2.66".parse().unwrap()].into_iter().collect(),
                ..Access::default()
            },
            limits: RateSettings {
                connects_per_minute: Some(4),
                publishes_per_minute: Some(2),
                ..RateSettings::default()
            },
            encoders: Some(Encoders::new(
                vec![Scheme::Adobe],
                Users::read("alice:s3cr3t").unwrap(),
                SharedKey::new(SECRET).unwrap(),
            )),
            tokens: Some(Tokens::new(
                settings,
                vec![Key::read(&setting, SECRET).unwrap()],
            )),
        }
    }

    fn client(address: &str) -> Client<'static> {
        Client {
            address: Some(address.parse().unwrap()),
            transport: Transport::Rtmp,
            is_encoder: false,
            app: "live",
            instance: "_definst_",
            tc_url: "rtmp://edge/live",
            user: Some("alice"),
        }
    }

    fn publish(query: &str) -> Named<'_> {
        Named {
            action: Action::Publish,
            name: "cam1",
            query,
            is_beside: false,
        }
    }

    #[test]
    fn the_first_refusal_of_a_connect_wins() {
        let (gate, memory, now) = (gate(), Memory::default(), now());
        let connect = |client: &Client<'_>| match gate.connect(&memory, client, now, [0; 6]) {
            Ok(passed) => format!("{:?}", passed.user),
            Err(Stopped::Asked(_)) => "asked".to_owned(),
            Err(Stopped::Refused(refusal)) => refusal.label.to_owned(),
        };
        let encoder = |address, app| Client {
            is_encoder: true,
            app,
            ..client(address)
        };
        let wrong = "live?authmod=adobe&user=alice&challenge=c&response=r&opaque=o";
        for (client, expected) in [
            (client("192.0.2.66"), "access_denied"),
            (encoder("192.0.2.66", wrong), "access_denied"),
            (client("192.0.2.1"), "None"),
            (encoder("192.0.2.1", "live"), "asked"),
            (
                encoder("192.0.2.1", "live?authmod=adobe&user=alice"),
                "asked",
            ),
            (encoder("192.0.2.1", wrong), "user_password"),
            (encoder("192.0.2.1", wrong), "rate_connects"),
            (client("192.0.2.1"), "rate_connects"),
        ] {
            assert_eq!(connect(&client), expected, "{client:?}");
        }
    }

    #[test]
    fn the_first_refusal_of_an_act_wins() {
        let (gate, memory, now) = (gate(), Memory::default(), now());
        let act = |client: &Client<'_>, named: &Named<'_>| {
            let judged = gate.act(&memory, client, named, now);
            judged.map_or_else(|refusal| refusal.label, |_| "ok")
        };
        let nobody = Client {
            user: None,
            ..client("192.0.2.2")
        };
        let in_url = Client {
            tc_url: &format!("rtmp://edge/live?{SIGNED}"),
            ..client("192.0.2.4")
        };
        let beside = Named {
            is_beside: true,
            ..publish(SIGNED)
        };
        let play = Named {
            action: Action::Play,
            ..publish("")
        };
        for (client, named, expected) in [
            (client("10.0.0.1"), publish(SIGNED), "access_not_listed"),
            (nobody, publish(SIGNED), "user_missing"),
            (nobody, publish(""), "user_missing"),
            (nobody, publish(SIGNED), "rate_publishes"),
            (nobody, play, "ok"),
            (client("192.0.2.3"), beside, "ok"),
            (client("192.0.2.3"), beside, "ok"),
            (client("192.0.2.3"), publish(""), "token_missing"),
            (client("192.0.2.3"), publish(SIGNED), "ok"),
            (client("192.0.2.3"), beside, "rate_publishes"),
            (client("192.0.2.3"), publish(SIGNED), "rate_publishes"),
            (in_url, publish(""), "ok"),
        ] {
            assert_eq!(act(&client, &named), expected, "{client:?} {named:?}");
        }
    }

    #[test]
    fn refusals_slow_their_address_and_questions_do_not() {
        let (mut gate, memory, now) = (gate(), Memory::default(), now());
        gate.limits = RateSettings::default();
        let encoder = Client {
            is_encoder: true,
            ..client("192.0.2.1")
        };
        for _ in 0..20 {
            let asked = gate.connect(&memory, &encoder, now, [0; 6]);
            assert!(matches!(asked, Err(Stopped::Asked(_))));
        }
        assert_eq!(Gate::delay(&memory, encoder.address, now), Duration::ZERO);
        for _ in 0..5 {
            let refused = gate.act(&memory, &encoder, &publish("sign=x"), now);
            assert!(refused.is_err());
        }
        let delay = || Gate::delay(&memory, encoder.address, now).as_secs();
        assert_eq!([delay(), delay(), delay()], [1, 2, 4]);
    }

    #[test]
    fn an_open_gate_passes_all() {
        let gate = Gate {
            application: "live".into(),
            access: Access::default(),
            limits: RateSettings::default(),
            encoders: None,
            tokens: None,
        };
        assert!(gate.is_open());
        let (memory, now) = (Memory::default(), now());
        let client = Client {
            address: None,
            user: None,
            is_encoder: true,
            ..client("::1")
        };
        let passed = gate.connect(&memory, &client, now, [0; 6]);
        assert_eq!(passed, Ok(Passed::default()));
        let acted = gate.act(&memory, &client, &publish(""), now);
        assert_eq!(acted, Ok(None));
    }
}
