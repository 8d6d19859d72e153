//! A group's task: takes its mail in turns, contains its application's failures, ends it.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use tributary_node::queue;
use tributary_protocol::{
    GroupName,
    link::{CloseReason, FromSession, ToSession},
};

use super::{
    core::Core,
    heat::Heat,
    mailbox::{Item, KeepToken},
    open_refused::OpenRefused,
    restarts::Restarts,
    room::Ending,
    turn::Turn,
    worker::Load,
};
use crate::{
    app::{AppVersion, Application, Factory, Instance, Level, Made, Registered, Runs, StopReason},
    session::{Brought, Mail, Opening},
};

mod ending;
mod gathering;
mod leaving;
mod starting;

use gathering::Arrival;
use leaving::Leaving;

/// ```text
///              open              panic, failed start
/// no app ─────────────► running ─────────────────────► no app
///    │ idle, shutdown      │ idle, shutdown
///    └──────► ended ◄──────┘
/// ```
pub(super) struct Actor {
    core: Core,
    factory: Factory,
    home: Arc<dyn Home>,
    app: Option<RunningApp>,
    inbox: queue::Receiver<Item>,
    /// The item that made the group move here from the thread of the links.
    first: Option<Box<Item>>,
    restarts: Restarts,
    /// Since when the group has had nothing to do and no lane, as far as the actor has noticed.
    idle_since: Option<Instant>,
    /// The share of the link's thread that the group takes, while it runs there.
    heat: Option<Heat>,
    /// While edges bring sessions of the process before.
    arrival: Option<Box<Arrival>>,
    /// Whether the application knows of those sessions.
    has_restored: bool,
    /// While the group finishes what it has begun, before it goes on elsewhere.
    leaving: Option<Box<Leaving>>,
}

/// The table of groups.
pub(super) trait Home: Send + Sync {
    /// Takes a group out for good.
    fn remove(&self, name: &GroupName);

    /// Takes a group out that no lane holds on to and that has nothing in its mailbox.
    fn remove_idle(&self, name: &GroupName, nothing_waits: &mut dyn FnMut() -> bool) -> bool;

    /// The version in force, for a group whose application starts.
    fn newest(
        &self,
        name: &GroupName,
        present: &Arc<AppVersion>,
    ) -> Result<Registered, OpenRefused>;

    /// Whether a lane holds on to the group.
    fn is_leased(&self, name: &GroupName) -> bool;

    /// Whether a worker takes another group now.
    fn has_worker(&self) -> bool;

    /// Runs a group on a worker from here on. Without a worker the group is gone.
    fn go_on_at_worker(self: Arc<Self>, moved: Moved);
}

/// A group that leaves the thread of the links, between two turns.
pub(super) struct Moved {
    core: Core,
    factory: Factory,
    app: Option<(Box<dyn Application + Send>, Instance, Option<KeepToken>)>,
    inbox: queue::Receiver<Item>,
    first: Option<Box<Item>>,
    restarts: Restarts,
    idle_since: Option<Instant>,
    arrival: Option<Box<Arrival>>,
    has_restored: bool,
}

/// An application at work.
struct RunningApp {
    app: Made,
    counted: Instance,
    kept: Option<KeepToken>,
}

enum Wake {
    Item(Item),
    Deadline,
}

/// Whether the group goes on.
#[derive(PartialEq, Eq)]
enum Life {
    GoesOn,
    Ends,
}

/// Turns before the other groups of the worker get theirs.
const TURNS_PER_WAKE: u32 = 64;

/// After a turn that took this long the other groups get theirs at once.
const LONG_TURN: Duration = Duration::from_millis(1);

impl Actor {
    pub(super) fn new(
        core: Core,
        factory: Factory,
        home: Arc<dyn Home>,
        inbox: queue::Receiver<Item>,
    ) -> Self {
        let beside_link = core.room.load.is_beside_link();
        Self {
            core,
            factory,
            home,
            app: None,
            inbox,
            first: None,
            restarts: Restarts::default(),
            idle_since: None,
            heat: beside_link.then(|| Heat::new(Instant::now())),
            arrival: None,
            has_restored: false,
            leaving: None,
        }
    }

    /// A group that has come to a worker with this load, which counts the group already.
    pub(super) fn arrived(moved: Moved, home: Arc<dyn Home>, load: Load) -> Self {
        let mut core = moved.core;
        load.add(core.clients.len());
        core.room.load = load;
        let app = moved.app.map(|(app, counted, kept)| RunningApp {
            app: Made::Mobile(app),
            counted,
            kept,
        });
        Self {
            core,
            factory: moved.factory,
            home,
            app,
            inbox: moved.inbox,
            first: moved.first,
            restarts: moved.restarts,
            idle_since: moved.idle_since,
            heat: None,
            arrival: moved.arrival,
            has_restored: moved.has_restored,
            leaving: None,
        }
    }

    pub(super) async fn run(mut self) {
        let mut turns = 0;
        loop {
            let wake = self.wait().await;
            let began = Instant::now();
            self.core.room.now = self.core.room.process.clock.read(now());
            match wake {
                Wake::Item(Item::Shutdown) => {
                    match self.leaving.take() {
                        // In boxes: all groups have this future.
                        Some(leaving) => Box::pin(self.leave(*leaving)).await,
                        None => Box::pin(self.shut_down()).await,
                    }
                    break;
                }
                Wake::Item(item) if self.moves_for(&item) => {
                    self.first = Some(Box::new(item));
                    return self.move_to_worker("its new version runs there");
                }
                Wake::Item(item) => self.item(item),
                Wake::Deadline => {}
            }
            let now = self.core.room.now;
            let until = self.arrival.as_ref().and_then(|arrival| arrival.until());
            if until.is_some_and(|until| until <= now) {
                self.end_gathering();
            }
            if self.is_due() {
                self.turn(|turn| turn.expire());
            }
            if let Some(leaving) = self.leaving_now() {
                Box::pin(self.leave(*leaving)).await;
                break;
            }
            if self.rest() == Life::Ends {
                break;
            }
            turns += 1;
            let took = began.elapsed();
            if self.is_hot(began + took, took) {
                return self.move_to_worker("it takes much of the link's thread");
            }
            let was_long = took > LONG_TURN;
            if was_long && self.core.room.load.note_long_turn() {
                self.core.room.process.metrics.long_turns.inc();
            }
            if was_long || turns % TURNS_PER_WAKE == 0 {
                tokio::task::yield_now().await;
            }
        }
        self.core.room.load.remove(1);
        tracing::debug!(group = %self.core.room.name, "group ends");
    }

    /// Whether this item starts a version that must not run on the thread of the links. A folder of
    /// scripts may take the place of a built-in application while its groups live.
    fn moves_for(&self, item: &Item) -> bool {
        let starts = matches!(
            item,
            Item::Keep(_)
                | Item::Mail(
                    Mail::Session {
                        event: FromSession::Open(_),
                        ..
                    } | Mail::Restore { .. }
                )
        );
        let room = &self.core.room;
        if !starts || self.app.is_some() || !room.load.is_beside_link() {
            return false;
        }
        let newest = self.home.newest(&room.name, &room.version);
        newest.is_ok_and(|newest| newest.version.runs == Runs::OnWorker)
    }

    /// Notes a turn. Returns whether the group takes too much of the link's thread and can leave it.
    fn is_hot(&mut self, now: Instant, took: Duration) -> bool {
        let is_hot = self.heat.as_mut().is_some_and(|heat| heat.note(now, took));
        let is_fixed = |app: &RunningApp| matches!(app.app, Made::Fixed(_));
        let is_hot = is_hot && self.arrival.is_none() && self.leaving.is_none();
        is_hot && !self.app.as_ref().is_some_and(is_fixed) && self.home.has_worker()
    }

    /// Ends here and goes on at a worker.
    fn move_to_worker(self, why: &str) {
        let room = &self.core.room;
        room.load.remove(1 + self.core.clients.len());
        tracing::info!(group = %room.name, why, "group moves to a worker");
        let app = self.app.and_then(|running| match running.app {
            Made::Mobile(app) => Some((app, running.counted, running.kept)),
            // It does not run: see the callers.
            Made::Fixed(_) => None,
        });
        let moved = Moved {
            core: self.core,
            factory: self.factory,
            app,
            inbox: self.inbox,
            first: self.first,
            restarts: self.restarts,
            idle_since: self.idle_since,
            arrival: self.arrival,
            has_restored: self.has_restored,
        };
        self.home.go_on_at_worker(moved);
    }

    async fn wait(&mut self) -> Wake {
        if let Some(first) = self.first.take() {
            return Wake::Item(*first);
        }
        if let Some(item) = self.inbox.try_next() {
            return Wake::Item(item);
        }
        let Some(deadline) = self.deadline() else {
            return self.next_item().await;
        };
        // In a box: most groups have no deadline, and all have this future.
        let deadline = self.core.room.process.clock.real(deadline, now());
        let sleep = Box::pin(tokio::time::sleep_until(deadline.into()));
        tokio::select! {
            biased;
            item = self.next_item() => item,
            () = sleep => Wake::Deadline,
        }
    }

    async fn next_item(&mut self) -> Wake {
        // The group holds a sender of its own queue, so the queue never ends.
        self.inbox
            .next()
            .await
            .map_or(Wake::Item(Item::Shutdown), Wake::Item)
    }

    fn deadline(&self) -> Option<Instant> {
        let due = self.core.room.deadline();
        let gathered = self.arrival.as_ref().and_then(|arrival| arrival.until());
        let left = self.leaving.as_ref().map(|leaving| leaving.until());
        let times = due.into_iter().chain(self.idle_end()).chain(gathered);
        let times = times.chain(left);
        times.min()
    }

    fn is_due(&self) -> bool {
        let next = self.core.room.deadline();
        next.is_some_and(|at| at <= self.core.room.now)
    }

    fn item(&mut self, item: Item) {
        let item = match item {
            Item::Mail(Mail::Restore { lane, brought }) => return self.bring(lane, brought),
            Item::Mail(Mail::Gathered) => return self.end_gathering(),
            Item::HandOver(order) => return self.begin_leaving(*order),
            Item::MayHandOver(answer) => {
                let may = self.turn(|turn| turn.ask(|app, context| app.may_hand_over(context)));
                let _ = answer.send(may.unwrap_or(true));
                return;
            }
            other => match self.hold(other) {
                Some(item) => item,
                None => return,
            },
        };
        match item {
            Item::Mail(
                mail @ Mail::Session {
                    event: FromSession::Open(_),
                    ..
                },
            ) => {
                if self.app.is_none()
                    && let Err(refused) = self.start()
                {
                    refuse_mail(&self.core, mail, refused);
                } else {
                    self.turn(|turn| turn.mail(mail));
                }
            }
            Item::Mail(mail) => {
                self.turn(|turn| turn.mail(mail));
            }
            Item::Overflow(session) => {
                self.turn(|turn| turn.overflow(session));
            }
            Item::Event(event) => {
                self.turn(|turn| turn.event(event));
            }
            Item::Stream(stream, status) => {
                self.turn(|turn| turn.stream_status(stream, &status));
            }
            Item::Connection(connection, told) => {
                self.turn(|turn| turn.connection(connection, told));
            }
            Item::Pulled(pull, run, report) => {
                self.turn(|turn| turn.pulled(pull, run, report));
            }
            Item::RelaysChanged => {
                self.turn(|turn| turn.relays_changed());
            }
            Item::Keep(token) => self.keep(token),
            Item::Released => {
                self.idle_since = None;
                // No lane is left that would bring the rest.
                self.arrival = None;
            }
            Item::Stored(object, ticket, stored) => {
                self.core.object_acts().stored(object, ticket, stored);
                self.turn(|turn| turn.settle());
            }
            Item::EndIfIdle => {
                let idle_time = self.core.room.version.idle_time();
                self.idle_since = self.core.room.now.checked_sub(idle_time);
            }
            Item::Restart => self.restart(),
            // They are taken before, and the loop ends after the latter: see `run`.
            Item::MayHandOver(_) | Item::HandOver(_) | Item::Shutdown => {}
        }
    }

    /// Runs one turn of the application; a panic ends its sessions and nothing else.
    fn turn<R>(&mut self, turn: impl FnOnce(&mut Turn<'_>) -> R) -> Option<R> {
        let app = self.app.as_mut()?;
        let core = &mut self.core;
        // Output of the turn leaves together.
        let _together = queue::gather();
        let result = catch_unwind(AssertUnwindSafe(|| {
            let mut running = Turn {
                core,
                app: app.app.application(),
            };
            turn(&mut running)
        }));
        match result {
            Ok(result) => {
                self.end_if_asked();
                Some(result)
            }
            Err(panic) => {
                self.failed(&panic_text(&*panic));
                None
            }
        }
    }

    fn end_if_asked(&mut self) {
        match self.core.room.agenda.ending.take() {
            Some(Ending::Failed(why)) => self.failed(&why),
            Some(Ending::Unloaded) => self.end_application(),
            None => {}
        }
    }

    fn failed(&mut self, why: &str) {
        tracing::error!(group = %self.core.room.name, why, "application failed");
        self.core.room.log(Level::Error, why);
        self.core.room.process.metrics.failures.inc();
        self.restarts.failed(self.core.room.now);
        let _counted = self.drop_app();
        self.core.reset(CloseReason::Application);
    }

    /// When the group ends if it stays idle.
    fn idle_end(&self) -> Option<Instant> {
        let idle_time = match &self.app {
            Some(_) => self.core.room.version.idle_time(),
            None => Duration::ZERO,
        };
        let end = self.idle_since? + idle_time;
        // The group of a failed application stays, or it could be restarted without end.
        Some(
            self.restarts
                .settled()
                .map_or(end, |settled| settled.max(end)),
        )
    }

    /// Ends an idle group when its time has come.
    fn rest(&mut self) -> Life {
        if !self.core.is_empty() || self.arrival.is_some() || self.leaving.is_some() {
            self.idle_since = None;
            return Life::GoesOn;
        }
        if self.home.is_leased(&self.core.room.name) {
            // The lane's end brings `Released`.
            self.idle_since = None;
            return Life::GoesOn;
        }
        self.idle_since.get_or_insert(self.core.room.now);
        if self.core.objects.are_dirty() {
            // The store's answer wakes the group.
            self.core.object_acts().commit_all();
            return Life::GoesOn;
        }
        if self.idle_end().is_some_and(|end| end > self.core.room.now) {
            return Life::GoesOn;
        }
        if self.turn(|turn| turn.stop(StopReason::Idle)) == Some(false) {
            self.idle_since = Some(self.core.room.now);
            return Life::GoesOn;
        }
        let _counted = self.drop_app();
        let inbox = &self.inbox;
        let nothing_waits = &mut || inbox.weight() == 0;
        if self.home.remove_idle(&self.core.room.name, nothing_waits) {
            self.core.room.mailbox.close();
            return Life::Ends;
        }
        // A lane came at the last moment; the application starts anew for it.
        self.idle_since = None;
        self.core.reset(CloseReason::Shutdown);
        Life::GoesOn
    }

    /// Ends the sessions and the application; the next session starts it anew.
    fn restart(&mut self) {
        tracing::info!(group = %self.core.room.name, "group restarts");
        self.core.room.process.metrics.restarts.inc();
        self.end_application();
        self.restarts = Restarts::default();
        self.idle_since = None;
    }

    /// Drops the application. The returned count of the instance lasts until its end is complete.
    fn drop_app(&mut self) -> Option<Instance> {
        let RunningApp { app, counted, .. } = self.app.take()?;
        discard(app);
        Some(counted)
    }
}

fn refuse_mail(core: &Core, mail: Mail, refused: OpenRefused) {
    match mail {
        Mail::Session {
            session,
            event: FromSession::Open(Opening { lane, open, .. }),
        } => {
            let (name, process) = (&core.room.name, &core.room.process);
            process.refuse(name, &lane, session, &open, refused.into());
        }
        Mail::Restore {
            brought: Brought::Session { session, lane, .. },
            ..
        } => lane.send(session.session, ToSession::Close(refused.reason())),
        _ => {}
    }
}

/// Drops an application; a failed application may panic in its drop as well.
fn discard(app: Made) {
    if catch_unwind(AssertUnwindSafe(|| drop(app))).is_err() {
        tracing::error!("application failed while it was dropped");
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default()
}

impl Moved {
    pub(super) fn name(&self) -> &Arc<GroupName> {
        &self.core.room.name
    }
}

/// The time on tokio's clock, which tests can stop.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
