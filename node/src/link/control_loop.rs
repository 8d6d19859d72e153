//! The loop over a link's control stream: heartbeats, queued frames, and the peer's silence.

use std::{future::Future, time::Duration};

use tokio::time::timeout;
use tributary_protocol::link::Control;

use crate::{queue, transport::LinkError};

/// The driver of one end of a control stream.
pub trait ControlDriver {
    /// Handles a frame of the peer. An error ends the link.
    fn handle(&self, control: Control) -> Result<(), LinkError>;

    /// The next heartbeat, with the load of this end. The loop asks once for each heartbeat, which
    /// is also the time to count the link's traffic.
    fn heartbeat(&self) -> Control;

    /// Pushes a frame to the queue of the control stream.
    fn send(&self, control: Control);
}

/// The reading end of a control stream.
pub trait ControlSource {
    /// The next frame. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Result<Control, LinkError>>;
}

/// The writing end of a control stream.
pub trait ControlSink {
    /// Writes one frame.
    fn write(&mut self, control: &Control) -> impl Future<Output = Result<(), LinkError>>;
}

/// The period of heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// The silence of the control stream after which the link is given up: QUIC's keep-alive only shows
/// that the peer's QUIC task lives.
const CONTROL_SILENCE: Duration = Duration::from_secs(5);

/// The most control frames that wait for the stream.
const CONTROL_QUEUE: usize = 4096;

/// The queue of a control stream. Each frame weighs 1.
pub fn control_queue() -> (queue::Sender<Control>, queue::Receiver<Control>) {
    queue::queue(CONTROL_QUEUE)
}

/// Sends `first`, then the queued frames and heartbeats, and hands the peer's frames to the driver.
/// Returns the reason for which the link ends.
pub async fn run_control(
    driver: &impl ControlDriver,
    sink: &mut impl ControlSink,
    source: &mut impl ControlSource,
    first: Vec<Control>,
    queued: queue::Receiver<Control>,
) -> LinkError {
    let ended = tokio::select! {
        ended = read(driver, source) => ended,
        ended = write(driver, sink, first, queued) => ended,
    };
    match ended {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

/// No value: the loops end with an error only.
enum Never {}

async fn read(
    driver: &impl ControlDriver,
    source: &mut impl ControlSource,
) -> Result<Never, LinkError> {
    loop {
        let next = timeout(CONTROL_SILENCE, source.next()).await;
        let control = next.map_err(|_| LinkError::TimedOut)??;
        let pong = match control {
            Control::Ping(number) => Some(Control::Pong(number)),
            _ => None,
        };
        driver.handle(control)?;
        if let Some(pong) = pong {
            driver.send(pong);
        }
    }
}

async fn write(
    driver: &impl ControlDriver,
    sink: &mut impl ControlSink,
    first: Vec<Control>,
    mut queued: queue::Receiver<Control>,
) -> Result<Never, LinkError> {
    for control in first {
        sink.write(&control).await?;
    }
    let mut beat = tokio::time::interval(HEARTBEAT);
    loop {
        let control = tokio::select! {
            Some(control) = queued.next() => control,
            _ = beat.tick() => driver.heartbeat(),
        };
        sink.write(&control).await?;
    }
}

#[cfg(test)]
mod tests;
