//! The surroundings of every act of a group: its name, its version, its time and its agenda.
//!
//! State that a restore needs is in [`Agenda`] alone: deadlines and notices. The rest is handles of
//! the process, which a restored group gets anew.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use tributary_node::queue;
use tributary_protocol::GroupName;

use super::{
    freeing::Freeing,
    mailbox::Item,
    notice::Notice,
    process::Process,
    streams::StreamSlot,
    timers::{Timer, Timers},
    worker::Load,
};
use crate::app::{AppVersion, Level};

/// The surroundings of a group's acts: each part's acts borrow it beside the parts they work on.
pub(super) struct Room {
    pub(super) name: Arc<GroupName>,
    pub(super) version: Arc<AppVersion>,
    pub(super) process: Arc<Process>,
    /// The group's own mailbox, for items that other threads send back.
    pub(super) mailbox: queue::Sender<Item>,
    pub(super) load: Load,
    /// The time of this turn.
    pub(super) now: Instant,
    pub(super) agenda: Agenda,
}

/// The open tasks for the application that runs. They end with it.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    pub(super) timers: Timers,
    pub(super) notices: VecDeque<Notice>,
    /// When the application's own deadline is due.
    pub(super) app_deadline: Option<Instant>,
    /// The end that the application has asked for; it comes after the present turn.
    pub(super) ending: Option<Ending>,
    /// The client whose command to free a name the application answers just now.
    pub(super) freeing: Option<Box<Freeing>>,
    /// The name whose publish has ended, and its query, while the application gets that notice.
    pub(super) unpublished: Option<Box<(Arc<str>, Box<str>)>>,
}

/// The end of an application that has asked for it.
#[derive(Debug)]
pub(super) enum Ending {
    /// The application has failed, for this reason.
    Failed(String),
    /// The application is unloaded.
    Unloaded,
}

impl Room {
    pub(super) fn new(
        name: Arc<GroupName>,
        version: Arc<AppVersion>,
        process: Arc<Process>,
        mailbox: queue::Sender<Item>,
        load: Load,
    ) -> Self {
        Self {
            name,
            version,
            process,
            mailbox,
            load,
            now: Instant::now(),
            agenda: Agenda::default(),
        }
    }

    /// Queues a notice for after the present call of the application.
    pub(super) fn notify(&mut self, notice: Notice) {
        self.agenda.notices.push_back(notice);
    }

    /// Sets a deadline.
    pub(super) fn wake_at(&mut self, at: Instant, timer: Timer) {
        self.agenda.timers.add(at, timer);
    }

    /// The earliest deadline of the group's parts and of its application.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let timers = self.agenda.timers.next().into_iter();
        timers.chain(self.agenda.app_deadline).min()
    }

    /// Adds a line to the application's log.
    pub(super) fn log(&self, level: Level, text: &str) {
        let log = &self.version.common.log;
        log.push(level, Some(self.name.instance()), text);
    }

    /// Logs a step in the life of a live stream.
    pub(super) fn log_stream(&self, what: &str, publisher: StreamSlot, name: &str, fresh: bool) {
        tracing::info!(
            client = %publisher,
            application = self.name.application(),
            instance = self.name.instance(),
            stream = %self.process.shown(name, self.version.settings().secret_names),
            fresh,
            "{what}",
        );
    }
}
