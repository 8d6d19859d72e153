//! The link to one origin: the edge dials it, greets, keeps it, and dials again.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng};
use tokio::{task::spawn_local, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tributary_node::{
    backoff::Backoff,
    drain,
    link::{ControlDriver, Greeted, Traffic, connect, control_queue, greet, run_control},
    queue,
    transport::{CloseCode, Endpoint, Link, LinkError},
};
use tributary_protocol::{
    GroupName,
    link::{Control, Hello, features},
};

use super::{
    config::LinkConfig,
    feeds,
    origin::{LEFT_LINKS, Origin},
    shared::Shared,
    silence,
};
use tributary_protocol::cluster::routing::OriginId;

/// The dialling of one origin.
pub(super) struct Dialler<O> {
    pub(super) config: Rc<LinkConfig>,
    /// Drawn when the process started.
    pub(super) epoch: u64,
    pub(super) shared: Rc<Shared>,
    pub(super) origin: Rc<Origin>,
    pub(super) observer: Rc<O>,
    pub(super) drain: drain::Watch,
    /// Ends the dialling, and the link.
    pub(super) end: CancellationToken,
    /// The tasks that end with the links, with those that close sockets.
    pub(super) tasks: TaskTracker,
    /// The end of the grace time of an origin whose link another process has had.
    pub(super) lost_until: Option<Instant>,
}

/// The receiver of an origin's news.
pub(super) trait Observer {
    /// Handles the news before the link goes on.
    fn report(&self, origin: OriginId, news: News);

    /// Makes the heartbeat, which has the edge's load.
    fn heartbeat(&self) -> Control;
}

/// A change at an origin.
#[derive(Debug)]
pub(super) enum News {
    /// The link to the origin is up. Lanes get the link after this news.
    Up {
        /// The process is not the one that was greeted before.
        new_process: bool,
    },
    /// The link to the origin is lost.
    Lost {
        /// The time at which the origin's groups may start elsewhere.
        until: Instant,
    },
    /// The origin's groups may start elsewhere.
    Down,
    /// The origin will go away.
    Leaving,
    /// Groups that live at the origin away from their home, and groups that no longer do.
    Displaced {
        complete: bool,
        added: Vec<GroupName>,
        removed: Vec<GroupName>,
    },
    /// Groups with stored data at the origin.
    Kept { anew: bool, groups: Vec<GroupName> },
}

/// The extensions of the link that an edge knows.
const FEATURES: u64 = features::CLAIMS
    | features::RESTORE
    | features::MOVE
    | features::PUBLICATION
    | features::UNREAD
    | features::NAMED
    | features::REPEATS;

/// The pauses between dials.
struct Pauses {
    random: StdRng,
    near: Backoff,
    far: Backoff,
    /// The end of the lost origin's grace time.
    lost_until: Option<Instant>,
}

/// Time for a dial before the next one. Reason: after an outage the next packet has to leave soon.
const DIAL: Duration = Duration::from_millis(1500);

/// The longest pause between dials while sessions wait for the origin.
const REDIAL_GRACE: Duration = Duration::from_millis(250);

/// The longest pause between dials of an origin that has been away for longer.
const REDIAL_DOWN: Duration = Duration::from_secs(3);

/// Age of a link after which the pauses start over.
const HEALTHY: Duration = Duration::from_secs(10);

/// A link that was greeted.
struct Dialled {
    link: Link,
    /// Keeps the link's socket.
    endpoint: Endpoint,
    greeted: Greeted,
}

/// The control stream of a link that is up.
struct ControlEnd<'a, O> {
    dialler: &'a Dialler<O>,
    link: &'a Link,
    traffic: Traffic,
}

impl<O: Observer> Dialler<O> {
    /// Keeps the link until the dialling ends.
    pub(super) async fn run(self) {
        let mut pauses = Pauses::new(self.lost_until);
        let mut last_error = None;
        while let Some(dialled) = self.unless_over(self.dial()).await {
            let soon = match dialled {
                Ok(dialled) => {
                    last_error = None;
                    pauses.near.began(Instant::now());
                    let error = self.carry(dialled).await;
                    if self.end.is_cancelled() || self.shared.stages.has_left() {
                        tracing::info!(origin = self.origin.name(), "link ends");
                        break;
                    }
                    Some(self.lost(&error, &mut pauses))
                }
                Err(error) => {
                    let text = error.to_string();
                    // An edge that drains needs no link.
                    if last_error.as_ref() != Some(&text) && !self.drain.is_signaled() {
                        tracing::warn!(
                            origin = self.origin.name(),
                            address = self.origin.configured.address,
                            error = text,
                            "no link; dialling goes on"
                        );
                        last_error = Some(text);
                    }
                    None
                }
            };
            let pause = tokio::time::sleep(self.pause(&mut pauses, soon));
            if self.unless_over(pause).await.is_none() {
                break;
            }
        }
    }

    /// Waits for `what`, unless the dialling ends or another process dials.
    async fn unless_over<T>(&self, what: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.end.cancelled() => None,
            () = self.shared.stages.left() => None,
            value = what => Some(value),
        }
    }

    /// Reports that the link is lost. Returns the pause before the next dial.
    fn lost(&self, error: &LinkError, pauses: &mut Pauses) -> Duration {
        let now = Instant::now();
        let until = self.origin.free_at(error, now);
        let origin = self.origin.name();
        if self.drain.is_signaled() {
            tracing::info!(origin, %error, "link ends");
        } else {
            tracing::warn!(origin, %error, "link lost");
        }
        let label = self.origin.label();
        self.shared.metrics.lost.get_or_create(&label).inc();
        pauses.lost_until = Some(until);
        pauses.far.reset();
        self.report(News::Lost { until });
        pauses.near.ended(now, &mut pauses.random)
    }

    /// The pause before the next dial. Reports the end of the grace time.
    fn pause(&self, pauses: &mut Pauses, soon: Option<Duration>) -> Duration {
        let now = Instant::now();
        match pauses.lost_until {
            Some(until) if until > now => {
                let delay = soon.unwrap_or_else(|| pauses.near.failed(&mut pauses.random));
                delay.min(until - now)
            }
            Some(_) => {
                pauses.lost_until = None;
                self.report(News::Down);
                Duration::ZERO
            }
            None => pauses.far.failed(&mut pauses.random),
        }
    }

    fn report(&self, news: News) {
        if self.shared.stages.has_left() {
            return;
        }
        self.shared.note_change();
        self.observer.report(self.origin.id, news);
    }

    async fn dial(&self) -> Result<Dialled, LinkError> {
        let connected = connect(&self.config.identity, &self.origin.configured).await;
        let (link, endpoint) = connected?;
        let greeted = timeout(DIAL, greet(&link, self.hello()))
            .await
            .map_err(|_| LinkError::TimedOut)??;
        Ok(Dialled {
            link,
            endpoint,
            greeted,
        })
    }

    fn hello(&self) -> Hello {
        Hello {
            node: self.config.identity.peer().name.clone(),
            epoch: self.epoch,
            incarnation: self.shared.next_incarnation(),
            connection: 0,
            features: FEATURES,
            zone: self.config.zone.clone(),
            capacity: self.config.capacity,
            known_as: self.origin.name().to_owned(),
            grace_ms: 0,
        }
    }

    /// Runs a link until it is gone, or the dialling ends.
    async fn carry(&self, dialled: Dialled) -> LinkError {
        let Dialled {
            link,
            endpoint,
            greeted:
                Greeted {
                    hello,
                    mut send,
                    mut recv,
                },
        } = dialled;
        let queued = self.link_up(&link, &hello);
        let feeds = feeds::accept(
            Rc::clone(&self.shared),
            Rc::clone(&self.origin),
            link.clone(),
        );
        let feeds = spawn_local(feeds);
        let control = ControlEnd {
            dialler: self,
            link: &link,
            traffic: Traffic::new(&self.shared.metrics, &self.origin.label()),
        };
        let error = tokio::select! {
            // After its end a link counts and reports nothing.
            biased;
            () = self.end.cancelled() => LinkError::Local,
            () = self.has_outlived() => LinkError::Local,
            error = link.closed() => error,
            error = self.is_succeeded(&link) => error,
            error = run_control(&control, &mut send, &mut recv, Vec::new(), queued) => error,
        };
        feeds.abort();
        link.close(CloseCode::Shutdown);
        self.origin.set_control(None);
        self.origin.set_link(None);
        if !self.end.is_cancelled() {
            self.set_up(false);
        }
        // The socket is dropped last: it sends the close to the peer.
        let close = async move { endpoint.close().await };
        self.tasks.spawn_local(close);
        error
    }

    /// Waits until the link has another process at its other end, to which sessions can be brought.
    async fn is_succeeded(&self, link: &Link) -> LinkError {
        if !self.origin.has(features::RESTORE) {
            std::future::pending::<()>().await;
        }
        silence::is_answered_elsewhere(&self.config.identity, &self.origin, link).await
    }

    /// Waits until another process should have had a link in place of this one for long.
    async fn has_outlived(&self) {
        self.shared.stages.left().await;
        tokio::time::sleep(LEFT_LINKS).await;
    }

    /// Records and reports that the link is up, then gives it to the lanes.
    fn link_up(&self, link: &Link, hello: &Hello) -> queue::Receiver<Control> {
        let new_process = self.origin.greeted(hello, link.peer().clone());
        if new_process {
            self.origin.set_process(self.shared.new_process());
        }
        let (control, queued) = control_queue();
        self.origin.set_control(Some(control));
        tracing::info!(
            origin = self.origin.name(),
            node = hello.node,
            new_process,
            "link up"
        );
        self.set_up(true);
        self.report(News::Up { new_process });
        self.origin.set_link(Some(link.clone()));
        queued
    }

    fn set_up(&self, is_up: bool) {
        let up = self.shared.metrics.up.get_or_create(&self.origin.label());
        up.set(i64::from(is_up));
    }
}

impl<O: Observer> ControlDriver for ControlEnd<'_, O> {
    fn handle(&self, control: Control) -> Result<(), LinkError> {
        match control {
            Control::Displaced {
                complete,
                added,
                removed,
            } => self.dialler.report(News::Displaced {
                complete,
                added,
                removed,
            }),
            Control::Kept { anew, groups } => self.dialler.report(News::Kept { anew, groups }),
            Control::GoAway { within_ms } => {
                let origin = &self.link.peer().name;
                tracing::info!(origin, within_ms, "origin goes away");
                self.dialler.report(News::Leaving);
            }
            _ => {}
        }
        Ok(())
    }

    fn heartbeat(&self) -> Control {
        self.traffic.count(self.link);
        let Dialler {
            shared,
            origin,
            observer,
            ..
        } = self.dialler;
        let round_trip = self.link.round_trip().as_secs_f64();
        let measured = &shared.metrics.round_trip;
        measured.get_or_create(&origin.label()).set(round_trip);
        observer.heartbeat()
    }

    fn send(&self, control: Control) {
        self.dialler.origin.send(control);
    }
}

impl Pauses {
    fn new(lost_until: Option<Instant>) -> Self {
        Self {
            random: StdRng::from_os_rng(),
            near: Backoff::new(Duration::from_millis(20), REDIAL_GRACE, HEALTHY),
            far: Backoff::new(REDIAL_GRACE, REDIAL_DOWN, HEALTHY),
            lost_until,
        }
    }
}
