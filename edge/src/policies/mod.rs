//! The settings of applications as edges need them, with the files that they name read.

mod files;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use tributary_gate::{Encoders, Gate, SharedKey, Tokens};
use tributary_node::config::{Application, At, Deliveries, Mistakes};

use crate::hooks::{Hooks, OfApplication};

/// The policies of all applications that have settings.
#[derive(Debug)]
pub struct Policies {
    by_name: HashMap<String, Arc<Policy>>,
    /// The key behind the challenges of encoders where the settings name no file.
    own_key: SharedKey,
    hooks: Hooks,
}

/// The settings of an application that concern edges.
#[derive(Debug)]
pub(crate) struct Policy {
    /// The time for which a publisher may be silent.
    pub(crate) stall_time: Duration,
    pub(crate) deliveries: Deliveries,
    /// The judge of clients; `None` where it would refuse nothing and there are no hooks.
    pub(crate) gate: Option<Gate>,
    /// The services that decide with the gate; `None` if there are none.
    pub(crate) hooks: Option<OfApplication>,
}

impl Policies {
    /// Reads the files of keys and users that the settings name.
    ///
    /// # Errors
    /// Every file that cannot be used, with the setting that names it.
    pub fn load(applications: &BTreeMap<String, Application>) -> Result<Self, Mistakes> {
        Self::load_with(files::own_key(), applications)
    }

    /// As [`Self::load`], in place of these policies.
    pub(crate) fn load_next(
        &self,
        applications: &BTreeMap<String, Application>,
    ) -> Result<Self, Mistakes> {
        let next = Self::load_with(self.own_key.clone(), applications)?;
        Ok(next.with_hooks(self.hooks.clone()))
    }

    fn load_with(
        own_key: SharedKey,
        applications: &BTreeMap<String, Application>,
    ) -> Result<Self, Mistakes> {
        let mut mistakes = Mistakes::default();
        let mut by_name = HashMap::with_capacity(applications.len());
        for (name, settings) in applications {
            let at = At::root().key("applications").key(name);
            let hooks = settings.hooks.as_ref().map(|hooks| OfApplication {
                application: name.as_str().into(),
                settings: Arc::new(hooks.clone()),
            });
            let gate = gate(name, settings, &own_key, &at, &mut mistakes);
            let policy = Policy {
                stall_time: settings.stall_time.get(),
                deliveries: settings.deliveries(),
                gate: gate.filter(|gate| !gate.is_open() || hooks.is_some()),
                hooks,
            };
            by_name.insert(name.clone(), Arc::new(policy));
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Self {
            by_name,
            own_key,
            hooks: Hooks::default(),
        })
    }

    /// The same policies, with these hooks in place of some that nobody counts.
    pub(crate) fn with_hooks(self, hooks: Hooks) -> Self {
        Self { hooks, ..self }
    }

    pub(crate) fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    /// The policy of an application, if it has settings.
    pub(crate) fn of(&self, application: &str) -> Option<&Arc<Policy>> {
        self.by_name.get(application)
    }
}

/// The gate of an application; `None` after a mistake.
fn gate(
    name: &str,
    settings: &Application,
    own_key: &SharedKey,
    at: &At,
    mistakes: &mut Mistakes,
) -> Option<Gate> {
    let encoders = settings.encoders.as_ref().map(|encoders| {
        let at = at.key("encoders");
        let users = files::users(&encoders.users_file, &at.key("users_file"), mistakes);
        let key = match &encoders.key_file {
            Some(file) => files::shared_key(file, &at.key("key_file"), mistakes),
            None => Some(own_key.clone()),
        };
        Some(Encoders::new(encoders.schemes.clone(), users?, key?))
    });
    let tokens = settings.tokens.as_ref().map(|tokens| {
        let keys: Vec<_> = (tokens.keys.iter().enumerate())
            .map(|(index, key)| {
                let at = at.key("tokens").key("keys").key(index).key("file");
                files::token_key(key, &at, mistakes)
            })
            .collect();
        let keys = keys.into_iter().collect::<Option<_>>()?;
        Some(Tokens::new(tokens.clone(), keys))
    });
    Some(Gate {
        application: name.into(),
        access: settings.access.clone(),
        limits: settings.limits.clone(),
        encoders: encoders.map_or(Some(None), |encoders| encoders.map(Some))?,
        tokens: tokens.map_or(Some(None), |tokens| tokens.map(Some))?,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tributary_gate::{EncoderSettings, KeyKind, Scheme, TokenKey, TokenSettings};

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef\n";

    #[test]
    fn the_files_of_a_gate_are_read_and_every_mistake_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, content: &str| {
            let path = folder.path().join(name);
            fs::write(&path, content).unwrap();
            path
        };
        let (users, key) = (file("users", "alice:s3cr3t\n"), file("key", SECRET));
        let token = |file| TokenKey {
            kind: KeyKind::Hmac,
            file,
            id: None,
        };
        let settings = |users_file, key_file, keys| Application {
            encoders: Some(EncoderSettings {
                users_file,
                key_file,
                schemes: vec![Scheme::Adobe],
            }),
            tokens: Some(TokenSettings {
                keys,
                ..TokenSettings::default()
            }),
            ..Application::default()
        };
        let load = |settings| Policies::load(&BTreeMap::from([("live".to_owned(), settings)]));
        let whole = settings(users.clone(), Some(key.clone()), vec![token(key.clone())]);
        let policies = load(whole).unwrap();
        assert!(policies.of("live").is_some_and(|it| it.gate.is_some()));
        assert!(load(settings(users, None, vec![token(key.clone())])).is_ok());

        let missing = folder.path().join("missing");
        let wrong = settings(
            file("wrong", "alice\nbob:{x}\n"),
            Some(file("short", "0123")),
            vec![token(key), token(missing)],
        );
        let text = load(wrong).unwrap_err().to_string();
        for expected in [
            "applications.live.encoders.users_file: ",
            "wrong: line 1: no user; write USER:PASSWORD",
            "wrong: line 2: this form of a verifier is not known",
            "applications.live.encoders.key_file: ",
            "short: the secret has less than 32 bytes; make one",
            "applications.live.tokens.keys.1.file: ",
            "missing: cannot be read: No such file",
        ] {
            assert!(text.contains(expected), "missing: {expected}\nin:\n{text}");
        }
    }

    #[test]
    fn an_application_that_refuses_nothing_has_no_gate() {
        let applications = BTreeMap::from([("live".to_owned(), Application::default())]);
        let policies = Policies::load(&applications).unwrap();
        assert!(policies.of("live").is_some_and(|it| it.gate.is_none()));
        assert!(policies.of("other").is_none());
    }
}
