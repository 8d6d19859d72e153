//! The built-in applications, by their setting.

use std::sync::Arc;

use tributary_node::config;

use super::{
    counter::Counter,
    live::Live,
    made::Made,
    registry::{Applications, Factory},
    version::Runs,
};

impl Applications {
    /// Adds the built-in application that its settings name, if they name one.
    pub fn add_builtin(&mut self, name: impl Into<String>, settings: config::Application) {
        self.replace_with_builtin(name, settings);
    }

    /// As [`Applications::replace`], with the built-in application that the settings name; without
    /// one the application is removed.
    pub fn replace_with_builtin(
        &self,
        name: impl Into<String>,
        settings: config::Application,
    ) -> Option<u64> {
        let name = name.into();
        let Some((settings, factory, runs)) = builtin(settings) else {
            self.remove(&name);
            return None;
        };
        Some(self.put(name, None, settings, factory, runs))
    }

    /// Puts other settings of a built-in application in force, for the groups that run too; a new
    /// version only where another application takes its place.
    pub(crate) fn configure_builtin(&self, name: &str, settings: config::Application) {
        let is_same = self.find(name).is_some_and(|now| {
            let before = now.version.settings();
            (before.builtin, before.shared_objects) == {
                let objects = settings.shared_objects.unwrap_or(TEMPORARY);
                (settings.builtin, Some(objects))
            }
        });
        match builtin(settings.clone()) {
            Some((settings, factory, _)) if is_same => self.configure(name, settings, factory),
            _ => {
                self.replace_with_builtin(name, settings);
            }
        }
    }
}

/// The objects that clients of a built-in application may create by default. Reason: it never
/// removes what they store.
const TEMPORARY: config::SharedObjects = config::SharedObjects::Temporary;

/// The settings in force of a built-in application, and the way its groups start.
fn builtin(mut settings: config::Application) -> Option<(config::Application, Factory, Runs)> {
    settings.shared_objects.get_or_insert(TEMPORARY);
    let factory: Factory = match settings.builtin {
        config::Builtin::Counter => Arc::new(|_| Made::Mobile(Box::new(Counter::default()))),
        config::Builtin::Live => {
            // `live` has no state but its streams, and those end by themselves.
            settings.idle_time.get_or_insert_default();
            Arc::new(|_| Made::Mobile(Box::new(Live)))
        }
        _ => return None,
    };
    // Groups with data read it from the disk.
    let runs = match settings.shared_objects {
        Some(config::SharedObjects::All) => Runs::OnWorker,
        _ => Runs::BesideLink,
    };
    Some((settings, factory, runs))
}
