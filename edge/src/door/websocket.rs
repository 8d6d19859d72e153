//! The request that opens a WebSocket, and the answer to it.

use std::io;

use tokio::io::Interest;
use tributary_protocol::{
    http::{AfterAnswer, HttpRequest, HttpStatus, MAX_HEAD, MAX_RESPONSE, write_response},
    websocket::{MAX_ACCEPT, write_accept},
};

use super::Refusal;
use crate::wire::Transport;

/// Bytes of a request that are received together.
const PIECE: usize = 1024;

/// Reads the request, answers it, and puts the connection into a WebSocket if `admit` permits it. A
/// refused client gets a status.
pub(super) async fn open(
    transport: Transport,
    admit: impl FnOnce(&HttpRequest<'_>) -> Result<(), Refusal>,
) -> Result<Transport, Refusal> {
    let mut received = Vec::new();
    let judged = loop {
        receive(&transport, &mut received).await?;
        match HttpRequest::read(&received) {
            Ok(None) => {}
            Ok(Some((request, length))) => {
                break accept(&request, admit).map(|answer| (answer, length));
            }
            Err(fault) => break Err(fault.into()),
        }
    };
    match judged {
        Ok((answer, length)) => {
            let sent = write_all(&transport, &answer).await;
            sent.map_err(|_| Refusal::RequestGone)?;
            Ok(transport.into_web(received.split_off(length)))
        }
        Err(refusal) => {
            if let Some(status) = refusal.status() {
                refuse(&transport, status, &mut received).await;
            }
            Err(refusal)
        }
    }
}

/// The answer to a request that is admitted.
fn accept(
    request: &HttpRequest<'_>,
    admit: impl FnOnce(&HttpRequest<'_>) -> Result<(), Refusal>,
) -> Result<Vec<u8>, Refusal> {
    let upgrade = request.upgrade.as_ref().ok_or(Refusal::NotHere)?;
    admit(request)?;
    let mut answer = Vec::with_capacity(MAX_ACCEPT);
    write_accept(upgrade, &mut answer);
    Ok(answer)
}

/// Sends a status and closes the connection so that the client receives it.
async fn refuse(transport: &Transport, status: HttpStatus, scratch: &mut Vec<u8>) {
    let mut answer = Vec::with_capacity(MAX_RESPONSE);
    write_response(status, None, 0, AfterAnswer::Closes, &mut answer);
    let sent = write_all(transport, &answer).await;
    if sent.and_then(|()| transport.shutdown()).is_ok() {
        scratch.resize(MAX_HEAD, 0);
        transport.linger(|it| it.try_read(scratch)).await;
    }
}

async fn receive(transport: &Transport, received: &mut Vec<u8>) -> Result<(), Refusal> {
    let before = received.len();
    let room = PIECE.min(MAX_HEAD.saturating_sub(before)).max(1);
    loop {
        let ready = transport.ready(Interest::READABLE).await;
        received.resize(before + room, 0);
        let read = ready.and_then(|_| transport.try_read(&mut received[before..]));
        received.truncate(before + read.as_ref().map_or(0, |bytes| *bytes));
        match read {
            Ok(1..) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) if before == 0 => return Err(Refusal::Gone),
            Ok(0) | Err(_) => return Err(Refusal::RequestGone),
        }
    }
}

async fn write_all(transport: &Transport, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() || !transport.try_flush()? {
        transport.ready(Interest::WRITABLE).await?;
        match transport.try_write(bytes) {
            Ok(sent) => bytes = &bytes[sent..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
