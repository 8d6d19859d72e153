//! The settings of the users of encoders.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tributary_settings::{At, Check, Mistakes};

/// The users of an application's encoders: `[applications.NAME.encoders]`.
///
/// The scheme proves that both ends know a password, by MD5, and encrypts nothing: it keeps the curious
/// out. Secrets of worth belong under RTMPS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EncoderSettings {
    /// The file of users: see [`crate::Users::read`].
    pub users_file: PathBuf,
    /// The file of a secret that all edges share, since an encoder's three connections may reach three
    /// edges; unset, the process makes one for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// The schemes; the first one is offered to an encoder that names none.
    #[serde(default = "adobe")]
    pub schemes: Vec<Scheme>,
}

/// A scheme of user and password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// `authmod=adobe`, of Flash Media Server.
    Adobe,
    /// `authmod=llnw`, of Limelight.
    Llnw,
}

impl Scheme {
    /// The value of `authmod`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Adobe => "adobe",
            Self::Llnw => "llnw",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Adobe, Self::Llnw]
            .into_iter()
            .find(|scheme| scheme.name() == name)
    }
}

fn adobe() -> Vec<Scheme> {
    vec![Scheme::Adobe]
}

impl Check for EncoderSettings {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        if self.schemes.is_empty() {
            let remedy =
                "write [\"adobe\"], with \"llnw\" behind it for encoders that know no other";
            mistakes.add(at.key("schemes"), "an empty list admits no encoder", remedy);
        }
        for (index, scheme) in self.schemes.iter().enumerate() {
            if self.schemes[..index].contains(scheme) {
                let what = format!("{:?} stands twice", scheme.name());
                mistakes.add(at.key("schemes").key(index), what, "leave it out");
            }
        }
    }
}
