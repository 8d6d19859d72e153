//! Other settings for the applications of an origin that runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use tributary_node::config::{Application, At, Mistakes};

use super::{Deployer, Deployments, Loaded, admission::factory, versions::Snapshot};

/// A folder's application, read with its new settings.
struct Configured {
    name: String,
    loaded: Loaded,
    snapshot: Arc<Snapshot>,
}

impl Deployer {
    /// Puts the tables `[applications.NAME]` in force: for the groups that run their newest version
    /// too, as far as a setting concerns them. `own` are the applications of the embedding program,
    /// which have settings of their own. Blocks until it is done: scripts are compiled.
    ///
    /// # Errors
    /// Every application that does not compile with its new settings; then nothing has changed.
    pub(crate) fn configure(
        &self,
        applications: BTreeMap<String, Application>,
        own: &[String],
    ) -> Result<(), Mistakes> {
        let shared = &self.0;
        let _work = shared.work();
        let before = shared.applications().clone();
        let of = |tables: &BTreeMap<String, Application>, name: &String| {
            tables.get(name).cloned().unwrap_or_default()
        };
        let folders: Vec<_> = shared.known().keys().cloned().collect();
        let changed = (folders.iter())
            .filter(|name| of(&before, name) != of(&applications, name))
            .filter_map(|name| shared.read_with(name, &of(&applications, name)).transpose());
        let configured = all(changed)?;

        let registered = shared.groups.applications();
        let is_other = |name: &&String| !folders.contains(name) && !own.contains(name);
        for name in before.keys().filter(is_other) {
            if !applications.contains_key(name) {
                registered.remove(name);
            }
        }
        for (name, settings) in applications.iter().filter(|(name, _)| is_other(name)) {
            if before.get(name) != Some(settings) {
                registered.configure_builtin(name, settings.clone());
            }
        }
        for name in before.keys().chain(applications.keys()) {
            let relays = shared.groups.relays();
            relays.configure(name, &of(&applications, name));
        }
        let names = before.keys().chain(applications.keys());
        let relayed: BTreeSet<_> = names
            .filter(|name| {
                let (before, now) = (of(&before, name), of(&applications, name));
                (before.push, before.pull) != (now.push, now.pull)
            })
            .cloned()
            .collect();
        *shared.applications() = applications;
        for Configured {
            name,
            loaded,
            snapshot,
        } in configured
        {
            let factory = factory(&loaded, snapshot, shared.files(&name));
            registered.configure(&name, loaded.settings, factory);
        }
        shared.groups.keep_for(&shared.applications());
        for name in &relayed {
            shared.groups.relays_changed(name);
        }
        Ok(())
    }
}

impl Deployments {
    /// Reads the version of a folder that is in force, with other settings.
    fn read_with(
        &self,
        name: &str,
        settings: &Application,
    ) -> Result<Option<Configured>, Mistakes> {
        let snapshot = self.known().get(name).and_then(|known| {
            let in_force = known.in_force.as_ref();
            in_force.map(|version| Arc::clone(&version.snapshot))
        });
        let Some(snapshot) = snapshot else {
            return Ok(None);
        };
        let loaded = self.loader.load(name, snapshot.path(), settings);
        let loaded = loaded.map_err(|problems| {
            let mut mistakes = Mistakes::default();
            for problem in problems {
                let at = At::root().key("applications").key(name);
                mistakes.add(at, problem.to_string(), "");
            }
            mistakes
        })?;
        Ok(Some(Configured {
            name: name.to_owned(),
            loaded,
            snapshot,
        }))
    }
}

/// All results, or all mistakes.
fn all<T>(results: impl Iterator<Item = Result<T, Mistakes>>) -> Result<Vec<T>, Mistakes> {
    let mut mistakes = Mistakes::default();
    let mut found = Vec::new();
    for result in results {
        match result {
            Ok(one) => found.push(one),
            Err(others) => mistakes.append(others),
        }
    }
    match mistakes.is_empty() {
        true => Ok(found),
        false => Err(mistakes),
    }
}

#[cfg(test)]
mod tests {
    use tributary_node::config::{Builtin, SharedObjects};

    use super::{super::tests::Bench, *};

    fn tables(of: &[(&str, Application)]) -> BTreeMap<String, Application> {
        let tables = of.iter().map(|(name, it)| ((*name).to_owned(), it.clone()));
        tables.collect()
    }

    fn most(max_groups: usize) -> Application {
        Application {
            max_groups,
            ..Application::default()
        }
    }

    #[test]
    fn groups_that_run_follow_the_settings_of_built_in_and_of_folders() {
        let mut bench = Bench::with(tables(&[("live", most(10)), ("gone", most(10))]));
        bench.write("chat", "one");
        bench.start();
        let (live, _live) = bench.open("live");
        let (chat, _chat) = bench.open("chat");
        let (gone, _gone) = bench.open("gone");
        let version = bench.status("chat").version;
        let next = tables(&[("live", most(5)), ("chat", most(6)), ("own", most(7))]);
        let own = ["own".to_owned()];
        bench.deployer().configure(next, &own).unwrap();
        assert_eq!(live.application().max_groups, 5);
        assert_eq!(chat.application().max_groups, 6);
        assert_eq!(bench.status("chat").max_groups, 6);
        assert_eq!(bench.status("chat").version, version, "no new version");
        let known = bench.groups.applications();
        assert!(known.find("own").is_none(), "the program's own stays");
        assert!(known.find("gone").is_none(), "no new groups");
        assert_eq!(gone.application().max_groups, 10, "its group runs on");
    }

    #[test]
    fn another_kind_of_built_in_application_is_a_new_version() {
        let mut bench = Bench::with(tables(&[("one", most(10))]));
        bench.start();
        let (one, _one) = bench.open("one");
        let counter = Application {
            builtin: Builtin::Counter,
            ..most(3)
        };
        let stores = Application {
            shared_objects: Some(SharedObjects::All),
            ..most(4)
        };
        for (settings, version) in [(counter, 2), (stores, 3)] {
            let next = tables(&[("one", settings)]);
            bench.deployer().configure(next, &[]).unwrap();
            let found = bench.groups.applications().find("one").unwrap();
            assert_eq!(found.version.number, version);
            assert_eq!(one.application().max_groups, 10);
        }
        let none = Application {
            builtin: Builtin::None,
            ..most(3)
        };
        let next = tables(&[("one", none)]);
        bench.deployer().configure(next, &[]).unwrap();
        assert!(bench.groups.applications().find("one").is_none());
    }

    #[test]
    fn a_folder_that_does_not_compile_with_its_settings_keeps_all_as_it_is() {
        let mut bench = Bench::with(tables(&[("live", most(10))]));
        bench.write("a", "one");
        bench.write("b", "wants groups");
        bench.start();
        let next = tables(&[("live", most(5)), ("a", most(1)), ("b", most(1))]);
        let mistakes = bench.deployer().configure(next, &[]).unwrap_err();
        let text = mistakes.to_string();
        assert_eq!(text, "applications.b: main.txt: too few groups");
        for name in ["a", "b"] {
            let before = Application::default().max_groups;
            assert_eq!(bench.status(name).max_groups, before);
        }
        let live = bench.groups.applications().find("live").unwrap();
        assert_eq!(live.version.settings().max_groups, 10);
        let next = tables(&[("b", most(2))]);
        bench.deployer().configure(next, &[]).unwrap();
        assert_eq!(bench.status("b").max_groups, 2);
    }
}
