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
        mut settings: config::Application,
    ) -> Option<u64> {
        let name = name.into();
        // A built-in application never removes what clients store: by default they store nothing.
        let temporary = config::SharedObjects::Temporary;
        settings.shared_objects.get_or_insert(temporary);
        let factory: Factory = match settings.builtin {
            config::Builtin::Counter => Arc::new(|_| Made::Mobile(Box::new(Counter::default()))),
            config::Builtin::Live => {
                // `live` has no state but its streams, and those end by themselves.
                settings.idle_time.get_or_insert_default();
                let live = settings.clone();
                Arc::new(move |_| Made::Mobile(Box::new(Live::new(live.clone()))))
            }
            _ => {
                self.remove(&name);
                return None;
            }
        };
        // Groups with data read it from the disk.
        let runs = match settings.shared_objects {
            Some(config::SharedObjects::All) => Runs::OnWorker,
            _ => Runs::BesideLink,
        };
        Some(self.put(name, None, settings, factory, runs))
    }
}
