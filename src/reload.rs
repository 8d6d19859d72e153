//! A reload of the configuration: all of it, or nothing.

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use serde::Serialize;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::spawn_blocking,
};
use tributary_node::{
    admin::{self, Declined, Guard, Routes},
    config::{At, Layers, Mistakes, address, changes},
    log::Log,
};

use crate::{
    admin_client::{self, Client},
    config::Config,
    node::{self, Failure},
    system,
};

/// Lets a running node read its configuration again, as SIGHUP does.
#[derive(clap::Args)]
pub(crate) struct ReloadArgs {
    /// The node's admin address [default: 127.0.0.1:8080 with --token, else the one in the data
    /// directory]
    #[arg(long, value_name = "ADDR", value_parser = address)]
    admin: Option<SocketAddr>,
    /// The file with the node's token: its `admin.token_file`
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// The data directory of an origin, which has its address and token [default: ./tributary-data,
    /// without --token]
    #[arg(long, value_name = "DIR", conflicts_with = "token")]
    data: Option<PathBuf>,
}

/// Asks the node, and prints the settings that have changed.
pub(crate) fn run(args: &ReloadArgs) -> Result<(), Failure> {
    let client = match (&args.token, &args.data) {
        (Some(token), _) => Client::of_edge(args.admin, token)?,
        (None, data) => {
            let data = data.as_deref();
            let data = data.unwrap_or_else(|| admin_client::DATA.as_ref());
            Client::new(args.admin, None, data)?
        }
    };
    node::block_on(async {
        let answer = client.post("/api/reload").await?;
        let keys = |of: &str| {
            let keys = answer.get(of).and_then(serde_json::Value::as_array);
            let keys = keys.into_iter().flatten();
            keys.filter_map(|key| key.as_str().map(str::to_owned))
                .collect::<Vec<_>>()
        };
        let (changed, waiting) = (keys("changed"), keys("needs_new_process"));
        if changed.is_empty() {
            println!("no setting has changed; the files that they name have been read again");
        }
        for key in changed {
            println!("changed: {key}");
        }
        for key in waiting {
            println!("needs a new process: {key}");
        }
        Ok(())
    })?
}

/// The result of a reload, in dotted keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Reloaded {
    /// The settings that have other values now.
    changed: Vec<String>,
    /// The settings with other values in the configuration that only a new process takes.
    needs_new_process: Vec<String>,
}

/// The part of a node that takes other settings.
pub(crate) trait Adjustable: Send + 'static {
    /// Gives the settings of the other tier the values in force: they concern nothing here.
    fn ignore(&self, in_force: &Config, asked: &mut Config);

    /// Gives the settings that need a new process the values in force.
    fn keep(&self, in_force: &Config, next: &mut Config);

    /// Puts a configuration in force, or changes nothing.
    fn put_in_force(&self, next: &Config) -> Result<(), Mistakes>;
}

/// The configuration of a running node; clones are the same.
#[derive(Clone)]
pub(crate) struct Reload {
    running: Arc<Mutex<Running>>,
    in_force: InForce,
}

/// The configuration in force, which can be read during a reload.
type InForce = Arc<RwLock<Arc<Config>>>;

struct Running {
    /// Reads the layers again.
    layers: Box<dyn Fn() -> Layers + Send>,
    in_force: InForce,
    log: Log,
    tier: Box<dyn Adjustable>,
}

impl Reload {
    /// A node that runs with this configuration of these layers.
    pub(crate) fn new(
        layers: impl Fn() -> Layers + Send + 'static,
        in_force: Config,
        log: Log,
        tier: impl Adjustable,
    ) -> Self {
        let in_force: InForce = Arc::new(RwLock::new(Arc::new(in_force)));
        let running = Running {
            layers: Box::new(layers),
            in_force: Arc::clone(&in_force),
            log,
            tier: Box::new(tier),
        };
        Self {
            running: Arc::new(Mutex::new(running)),
            in_force,
        }
    }

    /// Asks the configuration in force.
    pub(crate) fn read<T>(&self, ask: impl FnOnce(&Config) -> T) -> T {
        ask(&self.in_force.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// `POST /api/reload`.
    pub(crate) fn route(&self, guard: &Guard) -> Routes {
        let reload = self.clone();
        admin::command("/api/reload", guard, move |()| {
            let reload = reload.clone();
            async move { reload.run().await.map_err(declined) }
        })
    }

    /// Reloads at each SIGHUP until the runtime ends.
    pub(crate) fn at_hangup(&self) -> io::Result<()> {
        let mut hangups = signal(SignalKind::hangup())?;
        let reload = self.clone();
        tokio::spawn(async move {
            while hangups.recv().await.is_some() {
                // The log has the mistakes.
                let _ = reload.run().await;
            }
        });
        Ok(())
    }

    /// Reads the configuration again and puts it in force.
    async fn run(&self) -> Result<Reloaded, Mistakes> {
        let running = Arc::clone(&self.running);
        // Files are read, and scripts compiled.
        let reloaded = spawn_blocking(move || {
            let mut running = running.lock().unwrap_or_else(PoisonError::into_inner);
            running.reload()
        });
        reloaded.await.unwrap_or_else(|error| {
            let mut mistakes = Mistakes::default();
            mistakes.add(At::root(), format!("the reload failed: {error}"), "");
            Err(mistakes)
        })
    }
}

impl Running {
    fn reload(&mut self) -> Result<Reloaded, Mistakes> {
        system::reloading();
        let reloaded = self.try_reload();
        system::ready();
        match &reloaded {
            Ok(reloaded) => reloaded.log(),
            Err(mistakes) => {
                for mistake in mistakes.iter() {
                    tracing::error!(%mistake, "the configuration before stays in force");
                }
            }
        }
        reloaded
    }

    fn try_reload(&mut self) -> Result<Reloaded, Mistakes> {
        let in_force = {
            let in_force = self.in_force.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&in_force)
        };
        let mut asked: Config = (self.layers)().read()?;
        self.tier.ignore(&in_force, &mut asked);
        let mut next = asked.clone();
        next.admin = in_force.admin.clone();
        next.log.format = in_force.log.format;
        self.tier.keep(&in_force, &mut next);
        self.tier.put_in_force(&next)?;
        self.log.filter(&next.log);
        let reloaded = Reloaded {
            changed: differences(&in_force, &next),
            needs_new_process: differences(&next, &asked),
        };
        *self
            .in_force
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(next);
        Ok(reloaded)
    }
}

impl Reloaded {
    fn log(&self) {
        tracing::info!(
            changed = self.changed.len(),
            needs_new_process = self.needs_new_process.len(),
            "configuration read again"
        );
        for setting in &self.changed {
            tracing::info!(setting, "setting changed");
        }
        for setting in &self.needs_new_process {
            tracing::warn!(setting, "setting changes with a new process only");
        }
    }
}

/// The keys of settings that differ.
fn differences(before: &Config, after: &Config) -> Vec<String> {
    // Both have been read from TOML.
    let changed = changes(before, after).unwrap_or_default();
    let mut keys: Vec<_> = changed.iter().map(At::to_string).collect();
    // Secrets are equal in text.
    for (name, after) in &after.applications {
        let Some(before) = before.applications.get(name) else {
            continue;
        };
        for (key, differs) in [
            ("publish_token", before.publish_token != after.publish_token),
            ("push", before.push != after.push),
            ("pull", before.pull != after.pull),
        ] {
            let key = format!("applications.{name}.{key}");
            if differs && !keys.iter().any(|named| named.starts_with(&key)) {
                keys.push(key);
            }
        }
    }
    keys.sort();
    keys.dedup();
    keys
}

fn declined(mistakes: Mistakes) -> Declined {
    Declined {
        thing: "the configuration".to_owned(),
        reason: mistakes.to_string(),
        remedy: "the configuration before stays in force".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use tributary_node::config::Secret;

    use super::*;

    fn config(text: &str) -> Config {
        toml::from_str(text).expect("a configuration")
    }

    #[test]
    fn the_keys_that_differ_are_named_and_so_are_secrets() {
        let before = config("[edge]\nworkers = 1\n[applications.live]\nstall_time = '5 s'");
        assert!(differences(&before, &before.clone()).is_empty());
        let mut after =
            config("[edge]\nworkers = 2\nmax_lag = '2 s'\n[applications.live]\nstall_time = '6 s'");
        let keys = [
            "applications.live.stall_time",
            "edge.max_lag",
            "edge.workers",
        ];
        assert_eq!(differences(&before, &after), keys);
        after = before.clone();
        let live = after.applications.get_mut("live").expect("the application");
        live.publish_token = Some(Secret::new("one"));
        let with_one = after.clone();
        let live = after.applications.get_mut("live").expect("the application");
        live.publish_token = Some(Secret::new("two"));
        let key = ["applications.live.publish_token"];
        assert_eq!(differences(&before, &with_one), key);
        assert_eq!(differences(&with_one, &after), key);
        let pushes = |url: &str| {
            config(&format!(
                "[[applications.live.push]]\nurl = 'rtmp://h/app/{url}'"
            ))
        };
        let keys = ["applications.live.push"];
        assert_eq!(differences(&pushes("one"), &pushes("two")), keys);
        let other = config("[[applications.live.push]]\nurl = 'rtmp://other/app/one'");
        let keys = ["applications.live.push.0.url"];
        assert_eq!(differences(&pushes("one"), &other), keys);
    }
}
