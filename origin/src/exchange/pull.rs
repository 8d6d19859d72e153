//! The pull of one stream from another server.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, oneshot},
    time::{sleep, sleep_until},
};
use tributary_node::backoff::Backoff;
use tributary_protocol::{amf::Value, command::Status};

use super::{
    ANSWER, Dialler, Relayed, backoff,
    call::{Dialogue, STREAM, is_error, reason},
};
use crate::{
    live::LiveStream,
    outgoing::{Happening, OutgoingOrder},
};

/// The group's end of a pull. Its drop ends the pull.
#[derive(Debug)]
pub(crate) struct Pulling {
    _over: oneshot::Sender<()>,
    refused: Arc<Notify>,
}

/// A report of a pull to its group. [`PullReport::Up`] and [`PullReport::Down`] alternate.
#[derive(Debug)]
pub(crate) enum PullReport {
    /// Media comes, into this stream.
    Up(Arc<LiveStream>),
    /// It comes no more.
    Down(PullEnd),
}

/// The end of a pull's media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PullEnd {
    /// The other side has ended the publication.
    Ended,
    /// The connection is lost, or nothing came for [`SILENT`].
    Lost,
}

/// Takes a pull's reports to its group.
pub(crate) type ReportPull = Box<dyn Fn(PullReport) + Send + Sync>;

/// A pull at work.
struct Pull {
    place: Relayed,
    dialler: Dialler,
    /// The name there, with its query.
    name: String,
    report: ReportPull,
    refused: Arc<Notify>,
}

/// One connection of a pull.
struct Source {
    live: Option<Arc<LiveStream>>,
    /// Messages of the stream that have come.
    seen: u64,
    /// When the last of them came, while media comes.
    running: Option<Flow>,
    /// When the other side has to have answered.
    answer: Option<Instant>,
    /// When its silence is reported.
    patience: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Flow {
    since: Instant,
    last: Instant,
}

/// How long a stream that runs may bring no message. Reason: some servers do not announce the end of a
/// publication.
const SILENT: Duration = Duration::from_secs(10);

/// The time between two looks at a stream that runs. Reason: a look at each message would wake the task
/// for each.
const LOOK: Duration = Duration::from_secs(1);

/// The time from a play to the report that there is no media. Reason: it comes at once if there is
/// some.
const PATIENCE: Duration = Duration::from_secs(2);

/// The shortest publication after which the connection stays. Reason: publications that come and go
/// without end would keep the group busy.
const LEAST_LIFE: Duration = Duration::from_secs(1);

/// A pull of the stream with this name, and the task that does the work.
pub(crate) fn pull(
    place: Relayed,
    dialler: Dialler,
    name: String,
    report: ReportPull,
) -> (Pulling, impl Future<Output = ()> + Send + 'static) {
    let (alive, over) = oneshot::channel();
    let refused = Arc::new(Notify::new());
    let pull = Pull {
        place,
        dialler,
        name,
        report,
        refused: Arc::clone(&refused),
    };
    let pulling = Pulling {
        _over: alive,
        refused,
    };
    (pulling, async move {
        tokio::select! {
            () = pull.run() => {}
            _ = over => {}
        }
    })
}

impl Pulling {
    /// Refuses the media that was reported: another publisher has the name. The pull waits.
    pub(crate) fn refuse(&self) {
        self.refused.notify_one();
    }
}

impl Pull {
    async fn run(mut self) {
        let mut backoff = backoff();
        loop {
            self.place.connects();
            let why = self.attempt(&mut backoff).await;
            let wait = backoff.ended(crate::live::now(), &mut rand::rng());
            self.place.failed(&why, wait);
            sleep(wait).await;
        }
    }

    /// Makes a connection and uses it to its end. Returns the reason of the end.
    async fn attempt(&mut self, backoff: &mut Backoff) -> String {
        let mut source = Source::new(crate::live::now());
        let why = self.converse(backoff, &mut source).await;
        if source.running.is_some() {
            (self.report)(PullReport::Down(PullEnd::Lost));
        }
        why
    }

    async fn converse(&mut self, backoff: &mut Backoff, source: &mut Source) -> String {
        let mut call = Dialogue::begin(&self.dialler);
        call.order(OutgoingOrder::Play {
            stream: STREAM,
            name: self.name.clone(),
            start: LIVE,
        });
        loop {
            let due = source.due();
            let refused = Arc::clone(&self.refused);
            tokio::select! {
                happening = call.next() => {
                    if let Some(why) = self.happens(happening, source) {
                        return why;
                    }
                }
                () = source.media(), if source.running.is_none() => self.media(backoff, source),
                () = refused.notified(), if source.running.is_some() => {
                    source.running = None;
                    return TAKEN.to_owned();
                }
                () = sleep_until(due.into()) => {
                    if let Some(why) = self.due(source) {
                        return why;
                    }
                }
            }
        }
    }

    /// Handles a report. Returns the reason if the connection is of no more use.
    fn happens(&self, happening: Happening, source: &mut Source) -> Option<String> {
        match happening {
            Happening::Closed(info) => Some(reason(&info)),
            Happening::Media { live, .. } => {
                source.live = live;
                None
            }
            Happening::StreamStatus { info, .. } => {
                source.answered(crate::live::now());
                self.status(&info, source)
            }
            _ => None,
        }
    }

    fn status(&self, info: &Value, source: &mut Source) -> Option<String> {
        let code = info.get("code").and_then(Value::as_str);
        let now = crate::live::now();
        match code.and_then(Status::from_code) {
            Some(Status::PlayUnpublishNotify | Status::PlayStop | Status::PlayComplete) => {
                let ran = source.running.take()?;
                (self.report)(PullReport::Down(PullEnd::Ended));
                source.forget();
                source.patience = Some(now);
                let is_short = now.saturating_duration_since(ran.since) < LEAST_LIFE;
                is_short.then(|| reason(info))
            }
            Some(Status::PlayStreamNotFound | Status::PlayFailed | Status::StreamFailed) => {
                Some(reason(info))
            }
            _ => is_error(info).then(|| reason(info)),
        }
    }

    /// Notes media that has come.
    fn media(&mut self, backoff: &mut Backoff, source: &mut Source) {
        let now = crate::live::now();
        source.answer = None;
        source.patience = None;
        source.running = Some(Flow {
            since: now,
            last: now,
        });
        backoff.began(now);
        self.place.runs();
        if let Some(live) = &source.live {
            (self.report)(PullReport::Up(Arc::clone(live)));
        }
    }

    /// Handles a deadline. Returns the reason if the connection is given up.
    fn due(&mut self, source: &mut Source) -> Option<String> {
        let now = crate::live::now();
        if source.answer.is_some_and(|at| at <= now) {
            return Some(NO_ANSWER.to_owned());
        }
        if source.is_silent(now) {
            return Some(format!("no media came for {} s", SILENT.as_secs()));
        }
        if source.patience.take_if(|at| *at <= now).is_some() {
            self.place.waits_for_media(NO_MEDIA);
        }
        None
    }
}

impl Source {
    fn new(now: Instant) -> Self {
        Self {
            live: None,
            seen: 0,
            running: None,
            answer: Some(now + ANSWER),
            patience: None,
        }
    }

    /// Notes that the other side has answered the play.
    fn answered(&mut self, now: Instant) {
        if self.answer.take().is_some() {
            self.patience = Some(now + PATIENCE);
        }
    }

    /// Resolves when messages have come since the last time.
    async fn media(&mut self) {
        let Some(live) = self.live.clone() else {
            return std::future::pending().await;
        };
        loop {
            let changed = live.changed();
            if self.has_more(&live) {
                return;
            }
            changed.await;
        }
    }

    /// Whether messages have come since the last time.
    fn has_more(&mut self, live: &LiveStream) -> bool {
        let messages = live.counts().messages;
        std::mem::replace(&mut self.seen, messages) < messages
    }

    /// Takes no message that has come for a new one.
    fn forget(&mut self) {
        if let Some(live) = &self.live {
            self.seen = live.counts().messages;
        }
    }

    /// Whether a stream that runs has brought nothing for [`SILENT`].
    fn is_silent(&mut self, now: Instant) -> bool {
        let (Some(mut flow), Some(live)) = (self.running, self.live.clone()) else {
            // New messages are for `media` to notice.
            return false;
        };
        if self.has_more(&live) {
            flow.last = now;
            self.running = Some(flow);
        }
        flow.last + SILENT <= now
    }

    fn due(&self) -> Instant {
        let look = match self.running {
            Some(_) => LOOK,
            None => SILENT,
        };
        let look = crate::live::now() + look;
        let due = self.answer.into_iter().chain(self.patience).chain([look]);
        due.min().unwrap_or(look)
    }
}

/// The start of a play command that asks for a live stream.
const LIVE: f64 = -1.0;

const NO_ANSWER: &str = "the server does not answer the play";
const NO_MEDIA: &str = "connected; the stream has no publisher there";
const TAKEN: &str = "another publisher has the name here, or the application has ended the stream";
