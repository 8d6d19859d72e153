//! Reading from a client.

use std::{io, rc::Rc, time::Instant};

use tributary_protocol::link::CloseReason;

use super::{end::End, session::Session};

/// Reads per wake. Reason: a client that sends without pause leaves other clients their turn.
const MAX_READS: usize = 4;

/// Reads the bytes that are there, as far as the session takes them.
pub(super) fn read(session: &mut Session, now: Instant) -> Result<(), End> {
    let worker = Rc::clone(&session.worker);
    let mut scratch = worker.scratch();
    for _ in 0..MAX_READS {
        match session.wire.transport().try_read(&mut scratch) {
            Ok(0) => return Err(End::because(CloseReason::Client)),
            Ok(bytes) => {
                session.on_bytes(now, &scratch[..bytes])?;
                let is_all = bytes < scratch.len();
                if is_all || !session.may_read() || session.throttled_until(now).is_some() {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
