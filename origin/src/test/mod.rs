//! Applications without sockets: a stage for tests.
//!
//! With the feature `test`. A [`Stage`] runs one application in a process of its own kind: its
//! groups are real, its clients are the test's, and its clock stands still until the test moves
//! it.
//!
//! ```
//! use tributary_origin::{app::live::Live, test::Stage};
//!
//! let stage = Stage::new(Default::default(), |_| Box::new(Live));
//! let alice = stage.connect("room1");
//! assert!(alice.is_accepted());
//! assert!(alice.call("noSuchMethod", []).is_err());
//! ```

mod client;
mod idle;
mod lanes;

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tributary_node::config;
use tributary_protocol::{GroupName, amf::Value};

pub use client::{Client, ConnectAs, Heard};
pub use idle::{IdleGroups, IdleLane};

use crate::{
    app::{Application, Applications, Line},
    session::RecordKey,
    store::{StorageError, Store},
};
use lanes::Lanes;

/// The proof that an origin has the secret of a cluster, as it stands in its Hello.
pub fn proof(secret: &str, cluster: &str, origin: &str, epoch: u64) -> String {
    RecordKey::new(secret.as_bytes()).proof(cluster, origin, epoch)
}

/// One application, called `app`, and its groups.
#[derive(Debug)]
pub struct Stage {
    runner: Arc<Runner>,
    applications: Applications,
}

/// The thread that all tasks of the stage run on.
#[derive(Debug)]
struct Runner {
    jobs: SyncSender<Job>,
    thread: Option<JoinHandle<()>>,
}

type Job = Box<dyn FnOnce(&mut Lanes) + Send>;

impl Stage {
    /// Groups of a Rust application.
    pub fn new(
        settings: config::Application,
        make: impl Fn(&GroupName) -> Box<dyn Application> + Send + Sync + 'static,
    ) -> Self {
        Self::start(settings, None, make)
    }

    /// As [`Stage::new`], with persistent shared objects in this directory.
    pub fn with_data(
        data: &Path,
        settings: config::Application,
        make: impl Fn(&GroupName) -> Box<dyn Application> + Send + Sync + 'static,
    ) -> Result<Self, StorageError> {
        let store = Store::open(data)?;
        Ok(Self::start(settings, Some(store), make))
    }

    fn start(
        settings: config::Application,
        store: Option<Store>,
        make: impl Fn(&GroupName) -> Box<dyn Application> + Send + Sync + 'static,
    ) -> Self {
        let mut applications = Applications::new();
        applications.add(NAME, settings, make);
        let known = applications.clone();
        let (jobs, inbox) = sync_channel::<Job>(1);
        let thread = thread::Builder::new()
            .name("stage".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let mut lanes = Lanes::new(known, store);
                while let Ok(job) = inbox.recv() {
                    job(&mut lanes);
                }
            })
            .expect("a thread can be started");
        let runner = Runner {
            jobs,
            thread: Some(thread),
        };
        Self {
            runner: Arc::new(runner),
            applications,
        }
    }

    /// A client of this instance that has connected, and has its answer if the application answers
    /// at once.
    pub fn connect(&self, instance: &str) -> Client {
        self.connect_as(instance, ConnectAs::default())
    }

    /// As [`Stage::connect`], with a connect of the test's own.
    pub fn connect_as(&self, instance: &str, connect: ConnectAs) -> Client {
        let instance = instance.to_owned();
        let number = self
            .runner
            .run(move |lanes| lanes.connect(&format!("{NAME}/{instance}"), &connect));
        Client::new(Arc::clone(&self.runner), number)
    }

    /// Moves the clock, step by step, so that timers see every moment they ask for.
    pub fn pass(&self, time: Duration) {
        self.runner.run(move |lanes| lanes.pass(time));
    }

    /// Runs all tasks that can run now.
    pub fn settle(&self) {
        self.runner.run(Lanes::settle);
    }

    /// The application's log so far: `trace()`, errors of scripts.
    pub fn log(&self) -> Vec<Line> {
        self.settle();
        let known = self.applications.summary(NAME);
        known.map_or_else(Vec::new, |known| known.log.after(0, usize::MAX))
    }

    /// The text of [`Stage::log`].
    pub fn said(&self) -> Vec<String> {
        self.log().into_iter().map(|line| line.text).collect()
    }

    /// How many groups run.
    pub fn groups(&self) -> usize {
        self.runner.run(|lanes| {
            lanes.settle();
            lanes.groups()
        })
    }

    /// Ends all groups, as a process that stops does.
    pub fn shut_down(&self) {
        self.runner.run(Lanes::shut_down);
    }
}

impl Runner {
    fn run<R: Send + 'static>(&self, work: impl FnOnce(&mut Lanes) -> R + Send + 'static) -> R {
        let (answer, answered) = sync_channel(1);
        let job: Job = Box::new(move |lanes| {
            let _ = answer.send(work(lanes));
        });
        self.jobs
            .send(job)
            .expect("the stage's thread has panicked");
        answered.recv().expect("the stage's thread has panicked")
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        // Without its queue's other end the thread ends.
        let (closed, _) = sync_channel(1);
        self.jobs = closed;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The stack of the stage's thread, in bytes. Reason: an application may have an engine of its own;
/// only pages that are used are memory.
const STACK: usize = 32 * 1024 * 1024;

/// The name of the application on a stage.
const NAME: &str = "app";

/// An answer to a call: the value of its `_result`, or of its `_error`.
pub type Answer = Result<Value, Value>;
