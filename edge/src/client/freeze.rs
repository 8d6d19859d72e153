//! A session in a replacement of the edge's program: it becomes a parcel and stands still, until it
//! goes on here or has gone to another process.

use std::{
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::spawn_local, time::sleep};
use tributary_protocol::link::CloseReason;

use super::{
    end::End,
    outcome::{Freeze, Outcome},
    reading::read,
    session::Session,
};
use crate::{
    hooks::MovedQuestion,
    moving::{Moved, MovedClient, Stage},
    wire::Pump,
    worker::REQUEST,
};

/// The interval between two looks for the end of a request.
const LOOK: Duration = Duration::from_millis(2);

/// Stands still for as long as the worker's stage wants it. Returns the outcome, or `None` if the
/// session goes on here.
pub(super) async fn stand_still(session: &mut Session) -> Option<Outcome> {
    let begun = Instant::now();
    let worker = Rc::clone(&session.worker);
    let freezes = matches!(*worker.stage(), Stage::Freezes(_)) && session.is_linked();
    if freezes && let Err(end) = freeze(session).await {
        return Some(Outcome::Ended(end));
    }
    let stood = loop {
        match *worker.stage() {
            Stage::Holds | Stage::Freezes(_) => {}
            Stage::Serves => break true,
            Stage::Left(_) => break false,
        }
        worker.leaves().await;
    };
    if stood {
        return match session.thaw(begun.elapsed()) {
            Ok(()) => None,
            Err(end) => Some(Outcome::Ended(end)),
        };
    }
    match std::mem::take(&mut session.freeze) {
        Freeze::Out(pump) => Some(Outcome::Moved(pump)),
        // A younger one.
        Freeze::None if !session.is_linked() => match session.is_ready_to_follow() {
            true => Some(send_after(session).await),
            false => None,
        },
        _ => Some(Outcome::Ended(End::because(CloseReason::Transport))),
    }
}

/// Handles the inbox up to its mark, and becomes a parcel.
async fn freeze(session: &mut Session) -> Result<(), End> {
    let worker = Rc::clone(&session.worker);
    let wire = Rc::clone(&session.wire);
    let is_marked =
        |session: &Session| session.number().is_none() || matches!(session.freeze, Freeze::Marked);
    while !is_marked(session) || session.awaits_objects() {
        if !matches!(*worker.stage(), Stage::Freezes(_)) {
            return Ok(());
        }
        let takes = !session.awaits_objects();
        tokio::select! {
            what = session.forwarding.next(), if takes => {
                session.on_origin(Instant::now(), what)?;
            }
            () = wire.signal().notified() => {}
            () = worker.leaves() => {}
        }
        session.settle(Instant::now())?;
    }
    // The answer to a request takes along what is there.
    let until = Instant::now() + REQUEST;
    while wire.transport().is_in_request() && Instant::now() < until {
        read(session, Instant::now())?;
        session.settle(Instant::now())?;
        sleep(LOOK).await;
    }
    let place = worker.hub.newest();
    while session.has_seat() && !worker.hub.has_passed(place) {
        worker.hub.wake_at(place, &wire);
        tokio::select! {
            () = wire.signal().notified() => {}
            () = worker.leaves() => {}
        }
        if !matches!(*worker.stage(), Stage::Freezes(_)) {
            return Ok(());
        }
    }
    let out = match &*worker.stage() {
        Stage::Freezes(out) => out.clone(),
        _ => None,
    };
    let Some(out) = out else { return Ok(()) };
    // Without a reader the freeze is over.
    let Ok(place) = out.reserve().await else {
        return Ok(());
    };
    session.freeze = match depart(session) {
        SessionWay::Goes(client, pump) => {
            place.send(Moved::Client(client));
            Freeze::Out(pump)
        }
        SessionWay::Stays => Freeze::Stays,
        // The next client could not go either.
        SessionWay::Failed(error) => {
            place.send(Moved::Failed(error));
            Freeze::Stays
        }
    };
    session.report_parcel();
    Ok(())
}

/// Sends a session after those that have moved before.
async fn send_after(session: &mut Session) -> Outcome {
    let gone = Outcome::Ended(End::because(CloseReason::Transport));
    let worker = Rc::clone(&session.worker);
    let out = match &*worker.stage() {
        Stage::Left(out) => out.clone(),
        _ => return gone,
    };
    let Ok(place) = out.reserve().await else {
        return gone;
    };
    match depart(session) {
        SessionWay::Goes(client, pump) => {
            place.send(Moved::Client(client));
            Outcome::Moved(pump)
        }
        SessionWay::Stays | SessionWay::Failed(_) => gone,
    }
}

/// The way of a session to another process.
enum SessionWay {
    /// The pump does the work that stays.
    Goes(MovedClient, Option<Box<Pump>>),
    /// Its state cannot go.
    Stays,
    /// There is no descriptor for it.
    Failed(io::Error),
}

/// The session for another process. Nothing is written to the client any more.
fn depart(session: &mut Session) -> SessionWay {
    session.wire.seal(true);
    let address = session.peer;
    let parcel = match session.export(Instant::now()) {
        Ok(parcel) => parcel,
        Err(error) => {
            tracing::info!(%address, %error, "a session cannot go to another process");
            return SessionWay::Stays;
        }
    };
    match session.wire.transport().depart() {
        Ok(departed) => {
            let client = MovedClient {
                parcel,
                socket: departed.socket,
            };
            SessionWay::Goes(client, departed.pump.map(Box::new))
        }
        Err(error) => {
            tracing::warn!(%address, %error, "a socket cannot go to another process");
            SessionWay::Failed(error)
        }
    }
}

/// Ends the session here after it has gone to another process. Of TLS the work goes on.
pub(super) async fn move_away(mut session: Session, pump: Option<Box<Pump>>) {
    let worker = Rc::clone(&session.worker);
    let question = session.leave();
    if let (Some(question), Stage::Left(out)) = (question, &*worker.stage()) {
        spawn_local(follow(question, out.clone()));
    }
    let address = session.peer;
    let wire = Rc::clone(&session.wire);
    let permit = session.into_permit();
    tracing::debug!(%address, "a session goes on in another process");
    let Some(pump) = pump else { return };
    let ended = tokio::select! {
        ended = wire.transport().pump(*pump) => ended,
        () = worker.drained() => Ok(()),
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "a TLS connection ends");
    }
    drop(permit);
}

/// Waits for the answer to the question of a session that has moved, and sends it after the session.
async fn follow(mut question: MovedQuestion, out: mpsc::Sender<Moved>) {
    let session = question.session();
    let answer = question.answer().await;
    let kept = answer.clone();
    if out.send(Moved::Answer { session, answer }).await.is_err() {
        question.lose(&kept);
    }
}
