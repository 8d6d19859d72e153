//! The task of one client's connection: it waits, reads and closes.

use std::{
    future::poll_fn,
    io,
    rc::Rc,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use rand::RngCore;
use tokio::{
    io::{Interest, Ready},
    time::{Sleep, sleep_until, timeout},
};
use tributary_protocol::{
    handshake,
    link::CloseReason,
    parcel::ParcelError,
    session::{ConnectionLimits, ServerConnection},
};

use super::{
    end::End,
    freeze,
    outcome::{Freeze, Outcome},
    reading::read,
    session::{READ_LIMITS, Session},
    ticks,
};
use crate::{
    admission::Permit,
    door::Entrant,
    hooks::HookNews,
    link::{SessionLink, handle::FromOrigin},
    metrics::Counted,
    moving::MovedClient,
    spread::WorkerSlot,
    wire::{Rest, Upkeep, Wire},
    worker::Worker,
};

/// The events that wake a session's task.
enum Wake {
    Socket(io::Result<Ready>),
    Origin(Option<FromOrigin>),
    Hook(HookNews),
    Timer,
    Drain,
    /// A change within the session, which settles.
    Other,
}

/// Items of the inbox per wake, for the same reason.
const MAX_ITEMS: usize = 64;

/// The time for which the edge sends queued output before it closes a connection.
const FLUSH: Duration = Duration::from_secs(2);

/// A timer that fires later than this shows that the process was stopped.
const STOPPED: Duration = Duration::from_secs(1);

/// Reads of a client whose connection has failed. Reason: they take what a socket holds.
const LAST_READS: usize = 64;

/// The longest wait for the next of them. Reason: all that is to come is there already.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// The sleep of a session that has no deadline.
const NEVER: Duration = Duration::from_secs(3600);

/// Begins the session of a client. Returns the serving of it until its connection ends.
pub(crate) fn serve(
    worker: Rc<Worker>,
    entry: Entrant,
    permit: Permit,
    slot: WorkerSlot,
) -> impl Future<Output = ()> {
    let Entrant {
        transport,
        peer,
        protocol,
        upkeep,
    } = entry;
    let now = Instant::now();
    let all_sent = worker.metrics.bytes_out.clone();
    let (session, rest) = (connection(now, upkeep), Rest::new(upkeep, now));
    let wire = Rc::new(Wire::new(transport, session, all_sent, rest));
    let session = Session::new(worker, wire, peer, protocol, permit, now);
    drive(Box::new(session), slot)
}

/// Takes a client of another process, which stands still until the worker serves. Returns the serving of
/// it.
///
/// # Errors
/// The parcel cannot be read, or does not fit this edge.
pub(crate) fn take(
    worker: &Rc<Worker>,
    client: MovedClient,
    permit: Permit,
    slot: WorkerSlot,
) -> Result<impl Future<Output = ()> + use<>, ParcelError> {
    let MovedClient { parcel, socket } = client;
    let moved = Session::import(worker, &parcel, socket, permit, Instant::now())?;
    if let (Some(answering), Some(number)) = (moved.answering, moved.session.number()) {
        worker.await_answer(number, answering);
    }
    Ok(drive(Box::new(moved.session), slot))
}

/// Drives a session to its end. The box and the block are for the memory of a client: the future of an
/// `async fn` keeps room for its arguments beside what became of them.
fn drive(session: Box<Session>, slot: WorkerSlot) -> impl Future<Output = ()> {
    let counted = Counted::new(&session.worker.metrics.connections);
    async move {
        // The session is dropped first.
        let (_kept, mut session) = ((slot, counted), session);
        match run(&mut session).await {
            Outcome::Ended(end) => {
                session.end(Instant::now(), end);
                if !matches!(end.reason, CloseReason::Client | CloseReason::Transport) {
                    close(&session.worker, &session.wire).await;
                }
            }
            Outcome::Moved(pump) => Box::pin(freeze::move_away(*session, pump)).await,
        }
    }
}

fn connection(now: Instant, upkeep: &Upkeep) -> ServerConnection {
    let mut random = [0; handshake::RANDOM];
    rand::rng().fill_bytes(&mut random);
    let limits = ConnectionLimits {
        read: READ_LIMITS,
        ping_after: upkeep.ping_after,
        ..ConnectionLimits::default()
    };
    ServerConnection::new(random, now, limits)
}

async fn run(session: &mut Session) -> Outcome {
    let timer = sleep_until(Instant::now().into());
    tokio::pin!(timer);
    loop {
        if session.worker.is_moving() || matches!(session.freeze, Freeze::Arrived) {
            // The box is for the memory of a client that stands in no replacement.
            let outcome = Box::pin(freeze::stand_still(session)).await;
            if let Some(outcome) = outcome {
                return outcome;
            }
        }
        let wake = match wait(session, timer.as_mut()).await {
            Ok(wake) => wake,
            Err(end) => return Outcome::Ended(end),
        };
        let now = Instant::now();
        let result = handle(session, now, wake, timer.deadline().into_std())
            .and_then(|()| session.settle(now));
        if let Err(end) = result {
            return Outcome::Ended(match session.wire.has_failed() {
                // The box is for the memory of all others.
                true => Box::pin(last_words(session)).await.unwrap_or(end),
                false => end,
            });
        }
    }
}

/// Reads what a client had sent before its connection failed. An encoder that leaves with bytes of the
/// edge unread resets its connection behind its last commands: they would be lost if a write meets the
/// reset first. Returns the end of a client that broke a rule in them.
async fn last_words(session: &mut Session) -> Option<End> {
    let wire = Rc::clone(&session.wire);
    // On an error the reads below end at once.
    let _ = wire.transport().watch(true);
    for _ in 0..LAST_READS {
        if !session.may_read() {
            break;
        }
        if let Err(end) = read(session, Instant::now()) {
            return end.fault.is_some().then_some(end);
        }
        let readable = wire.transport().ready(Interest::READABLE);
        if !matches!(timeout(LAST_WORDS, readable).await, Ok(Ok(_))) {
            break;
        }
    }
    None
}

/// Waits for the next event of the session.
async fn wait(session: &mut Session, mut timer: std::pin::Pin<&mut Sleep>) -> Result<Wake, End> {
    let now = Instant::now();
    let throttled = session.throttled_until(now);
    // The link's thread may make room at any moment. A client that is not read because of the park
    // has to wait for its room, so that both follow from one look.
    let parked = session.forwarding.is_parked();
    let may_read = !parked && session.may_read() && throttled.is_none();
    let read_at = session.plan_read(now, may_read);
    let due = session.deadline().into_iter().chain(throttled);
    let due = due.chain(session.next_of_parting());
    let due = due.chain(read_at).min().unwrap_or(now + NEVER);
    let due = ticks::far(session.worker.began(), now, due);
    // A deadline that moves away does not reset the timer: it fires early once.
    if timer.is_elapsed() || due < timer.deadline().into_std() {
        timer.as_mut().reset(due.into());
    }
    let wire = Rc::clone(&session.wire);
    let worker = Rc::clone(&session.worker);
    if worker.is_draining() {
        return Ok(Wake::Drain);
    }
    let reads = may_read && read_at.is_none();
    let watch = read_at.is_none() || wire.awaits_socket();
    let watched = wire.transport().watch(watch);
    watched.map_err(|_| End::because(CloseReason::Transport))?;
    let interest = match (reads, wire.awaits_socket()) {
        (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
        (true, false) => Some(Interest::READABLE),
        (false, true) => Some(Interest::WRITABLE),
        (false, false) => None,
    };
    let takes = session.forwarding.link().is_some() && !session.awaits_objects();
    let hooked = session.gate.as_deref_mut();
    let hooked = hooked.and_then(|gate| gate.hooked.as_deref_mut());
    let mut hooked = hooked.filter(|hooked| hooked.has_news());
    let asks = hooked.is_some();
    let park = session
        .forwarding
        .link()
        .filter(|_| parked)
        .map(|link| Arc::clone(link.park()));
    Ok(tokio::select! {
        ready = wire.transport().ready(interest.unwrap_or(Interest::READABLE)), if interest.is_some() => {
            Wake::Socket(ready)
        }
        what = session.forwarding.next(), if takes => Wake::Origin(what),
        news = poll_fn(|cx| match &mut hooked {
            Some(hooked) => hooked.poll(cx),
            None => Poll::Pending,
        }), if asks => Wake::Hook(news),
        () = wire.signal().notified() => Wake::Other,
        () = worker.leaves() => match worker.is_draining() {
            true => Wake::Drain,
            false => Wake::Other,
        },
        () = async { if let Some(park) = &park { park.room().await } }, if park.is_some() => Wake::Other,
        () = timer => Wake::Timer,
    })
}

fn handle(session: &mut Session, now: Instant, wake: Wake, due: Instant) -> Result<(), End> {
    match wake {
        Wake::Socket(Ok(ready)) => {
            if ready.is_writable() || ready.is_error() {
                session.wire.note_room();
            }
            let readable = ready.is_readable() || ready.is_read_closed() || ready.is_error();
            if readable && session.may_read() {
                read(session, now)?;
            }
            Ok(())
        }
        Wake::Socket(Err(_)) => Err(End::because(CloseReason::Transport)),
        Wake::Origin(what) => {
            session.on_origin(now, what)?;
            for _ in 1..MAX_ITEMS {
                if session.awaits_objects() {
                    break;
                }
                let Some(what) = session
                    .forwarding
                    .link_mut()
                    .and_then(SessionLink::try_next)
                else {
                    break;
                };
                session.on_origin(now, Some(what))?;
            }
            Ok(())
        }
        Wake::Hook(news) => session.on_hook(now, news),
        Wake::Timer => {
            let late = now.saturating_duration_since(due);
            if late > STOPPED {
                session.postpone(late);
            }
            session.on_timeout(now)?;
            session.part_if_due(now)?;
            if session.is_read_due(now) {
                read(session, now)?;
                // The messages have waited here, and do not wait again.
                session.forwarding.publishing.flush();
            }
            Ok(())
        }
        Wake::Drain => Err(session.on_drain()),
        Wake::Other => Ok(()),
    }
}

/// Sends the queued output, then closes the connection so that the client receives all of it.
async fn close(worker: &Worker, wire: &Wire) {
    // The waits below need the runtime. On an error they end at once.
    let _ = wire.transport().watch(true);
    let flushed = timeout(FLUSH, async {
        while !wire.flush() {
            if wire.has_failed() {
                return false;
            }
            if let Some(until) = wire.paced_until() {
                sleep_until(until.into()).await;
            } else if wire.transport().ready(Interest::WRITABLE).await.is_err() {
                return false;
            }
        }
        true
    });
    if flushed.await != Ok(true) {
        return;
    }
    if wire.transport().shutdown().is_err() {
        return;
    }
    let transport = wire.transport();
    transport
        .linger(|it| it.try_read(&mut worker.scratch()))
        .await;
}
