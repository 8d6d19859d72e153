//! User and password of encoders: both schemes that encoders know.

mod digest;
mod nonce;
mod offer;
mod settings;
mod users;

#[cfg(test)]
mod tests;

use std::fmt;

use subtle::ConstantTimeEq;

pub use nonce::{MAX_USED, RANDOM, UsedNonces};
pub use settings::{EncoderSettings, Scheme};
pub use users::{MAX_USER, MAX_USERS_FILE, UserMistake, Users};

use crate::{
    refusal::{Action, Refusal},
    secret::SharedKey,
};
use nonce::{LENGTH, Nonce, salt};
use offer::{Answer, Offer};
use users::Proof;

/// The judge of an application's encoders.
///
/// An encoder never offers a password by itself: the edge asks by refusing, and each step is a new
/// connection, which the client closes.
///
/// ```text
/// app                                    the edge answers
/// live                                   Ask: need auth, with a scheme
/// live?authmod=..&user=..                Ask: a challenge
/// live?authmod=..&user=..&response=..    User, or Refused
/// ```
#[derive(Debug)]
pub struct Encoders {
    schemes: Vec<Scheme>,
    users: Users,
    key: SharedKey,
}

/// The outcome of a connect.
///
/// `Ask` and `Refused` are `_error`s of the connect with `NetConnection.Connect.Rejected` and this
/// description, and without the command `close`: ffmpeg and OBS act on the `_error` and close. Only
/// `Refused` counts as a failure of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// The client is no encoder and names no user. It may connect, and not publish.
    NotAsked,
    /// The user has proved to know the password.
    User(String),
    /// The next step.
    Ask(String),
    /// The user does not exist, the password is wrong, or the answer has been used.
    Refused(String),
}

/// The label of a refused login in metrics and logs.
pub const LOGIN_LABEL: &str = "user_password";

impl Encoders {
    /// The judge with these schemes and users. All edges have the same key.
    pub fn new(schemes: Vec<Scheme>, users: Users, key: SharedKey) -> Self {
        Self {
            schemes,
            users,
            key,
        }
    }

    /// Judges a connect.
    ///
    /// `app` is the property of the command, with its query. `is_encoder` says that the client
    /// publishes by its kind (`type: nonprivate`, or a flashVer that begins with `FMLE/`): another
    /// client is asked for nothing. `now` is in seconds of UNIX time.
    pub fn judge(
        &self,
        app: &str,
        is_encoder: bool,
        used: &mut UsedNonces,
        now: u64,
        random: [u8; RANDOM],
    ) -> Login {
        let (app, query) = app.split_once('?').unwrap_or((app, ""));
        match Offer::read(query) {
            Offer::None if !is_encoder => Login::NotAsked,
            Offer::None | Offer::OtherScheme => Login::Ask(self.need_auth()),
            Offer::User(scheme, _) | Offer::Strange(scheme) if !self.has(scheme) => {
                Login::Ask(self.need_auth())
            }
            Offer::Strange(scheme) => Login::Refused(failed(scheme, "")),
            Offer::User(scheme, user) => Login::Ask(self.challenge(scheme, user, now, random)),
            Offer::Answer(_, answer) if !self.has(answer.scheme()) => Login::Ask(self.need_auth()),
            Offer::Answer(user, answer) => {
                let (scheme, text) = (answer.scheme(), answer.ours());
                let Some(nonce) = Nonce::read(&self.key, user, text) else {
                    return Login::Refused(failed(scheme, ""));
                };
                if !nonce.is_fresh(now) {
                    return Login::Ask(self.challenge(scheme, user, now, random));
                }
                if self.holds(user, answer, app) && used.note(nonce, now) {
                    return Login::User(user.to_owned());
                }
                Login::Refused(failed(scheme, text))
            }
        }
    }

    /// Whether a session may publish: `user` is the one that its connect has proved.
    pub fn may_publish(&self, user: Option<&str>) -> Result<(), NoUser> {
        user.map(drop).ok_or(NoUser)
    }

    fn has(&self, scheme: Scheme) -> bool {
        self.schemes.contains(&scheme)
    }

    /// The description that asks for a user.
    fn need_auth(&self) -> String {
        let scheme = self.schemes.first().copied().unwrap_or(Scheme::Adobe);
        let scheme = scheme.name();
        format!("{REJECT} : [ code=403 need auth; authmod={scheme} ] : ")
    }

    /// The description with a challenge. A user who does not exist has a salt as well.
    fn challenge(&self, scheme: Scheme, user: &str, now: u64, random: [u8; RANDOM]) -> String {
        let ours = Nonce::make(&self.key, user, now, random);
        let name = scheme.name();
        let begin = format!("{REJECT} : [ authmod={name} ] : ?reason=needauth&user={user}");
        match scheme {
            // Clients take `challenge` where there is no `opaque`: both are the same.
            Scheme::Adobe => {
                let salt = self.salt(user);
                format!("{begin}&salt={salt}&challenge={ours}&opaque={ours}")
            }
            Scheme::Llnw => format!("{begin}&nonce={ours}"),
        }
    }

    fn salt(&self, user: &str) -> String {
        match self.users.find(user) {
            Some(Proof::Adobe { salt, .. }) => salt.clone(),
            _ => salt(&self.key, user),
        }
    }

    /// Whether the answer proves that the client knows the user's password. The same digests are made
    /// for a user who does not exist.
    fn holds(&self, user: &str, answer: Answer<'_>, app: &str) -> bool {
        let proof = self.users.find(user);
        let (password, is_known) = match proof {
            Some(Proof::Password(password)) => (password.reveal(), true),
            _ => ("no password", false),
        };
        let (expected, response, is_known) = match answer {
            Answer::Adobe {
                opaque,
                challenge,
                response,
            } => {
                let made = digest::adobe_verifier(user, &self.salt(user), password);
                let (verifier, is_known) = match proof {
                    Some(Proof::Adobe { verifier, .. }) => (verifier.reveal(), true),
                    _ => (&*made, is_known),
                };
                let expected = digest::adobe_response(verifier, opaque, challenge);
                (expected, response, is_known)
            }
            Answer::Llnw {
                nonce,
                cnonce,
                nc,
                response,
            } => {
                let made = digest::llnw_verifier(user, password);
                let (verifier, is_known) = match proof {
                    Some(Proof::Llnw(verifier)) => (verifier.reveal(), true),
                    _ => (&*made, is_known),
                };
                let expected = digest::llnw_response(verifier, nonce, nc, cnonce, app);
                (expected, response, is_known)
            }
        };
        let is_right = bool::from(expected.as_bytes().ct_eq(response.as_bytes()));
        is_right && is_known
    }
}

/// The description of a login that failed, for whatever reason. `ours` is the challenge that the
/// client has answered, if it is one of ours.
fn failed(scheme: Scheme, ours: &str) -> String {
    let name = scheme.name();
    let end = match scheme {
        Scheme::Adobe if ours.len() == LENGTH => format!("&opaque={ours}"),
        _ => String::new(),
    };
    format!("{REJECT} : [ authmod={name} ] : ?reason=authfailed{end}")
}

/// The beginning of each description.
const REJECT: &str = "[ AccessManager.Reject ]";

/// A session without a user may not publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoUser;

impl NoUser {
    /// The refusal of an act for this reason.
    pub fn refusal(self, action: Action) -> Refusal {
        Refusal::new(action, "user_missing", &self)
    }
}

impl fmt::Display for NoUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("publishing here needs a user and a password: set them in the encoder")
    }
}

impl std::error::Error for NoUser {}
