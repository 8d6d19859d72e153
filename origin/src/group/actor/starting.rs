//! The start of a group's application.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{Actor, RunningApp, discard, panic_text};
use crate::{
    app::Instance,
    group::{
        context::Context, mailbox::KeepToken, open_refused::OpenRefused, restarts::Restarts,
        room::Ending,
    },
};

impl Actor {
    /// Starts the application if it does not run, and keeps the token as long as it does.
    pub(super) fn keep(&mut self, token: KeepToken) {
        if self.app.is_none() && self.start().is_err() {
            return;
        }
        if let Some(running) = &mut self.app {
            running.kept = Some(token);
        }
    }

    /// Starts the application.
    pub(super) fn start(&mut self) -> Result<(), OpenRefused> {
        self.take_newest()?;
        if !self.restarts.may_start(self.core.room.now) {
            return Err(OpenRefused::DoesNotStart);
        }
        // The application may ask for more pulls while it starts.
        self.core.set_up_pulls();
        self.launch().map_err(|why| {
            self.failed(&why);
            OpenRefused::DoesNotStart
        })?;
        self.core.publish_acts().begin_pulls();
        Ok(())
    }

    /// Starts the application. Returns the failure as text.
    fn launch(&mut self) -> Result<(), String> {
        let (core, factory) = (&mut self.core, &self.factory);
        let started = catch_unwind(AssertUnwindSafe(|| {
            let mut app = factory(&core.room.name);
            let result = app.application().start(&mut Context::new(core));
            (app, result)
        }));
        match started {
            Ok((app, Ok(()))) => {
                if let Some(Ending::Failed(why)) = &self.core.room.agenda.ending {
                    let why = why.clone();
                    discard(app);
                    return Err(why);
                }
                let counted = Instance::new(Arc::clone(&self.core.room.version));
                self.app = Some(RunningApp {
                    app,
                    counted,
                    kept: None,
                });
                self.end_if_asked();
                let runs = self.app.is_some();
                runs.then_some(())
                    .ok_or_else(|| "the application ended itself".to_owned())
            }
            Ok((app, Err(error))) => {
                discard(app);
                Err(error.0)
            }
            Err(panic) => Err(panic_text(&*panic)),
        }
    }

    /// Starts the application and drops it, for a group that is no more than a trial.
    pub(in crate::group) fn try_out(mut self) -> Result<(), String> {
        self.launch()?;
        self.drop_app();
        Ok(())
    }

    /// Takes the version in force for the start; a new version has not failed yet.
    fn take_newest(&mut self) -> Result<(), OpenRefused> {
        let core = &mut self.core;
        let newest = self.home.newest(&core.room.name, &core.room.version)?;
        if !Arc::ptr_eq(&newest.version, &core.room.version) {
            core.take_version(newest.version);
            self.restarts = Restarts::default();
        }
        self.factory = newest.factory;
        Ok(())
    }
}
