//! The request that opens a WebSocket, and the answer to it.

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
            let sent = transport.write_all(&answer).await;
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
pub(crate) async fn refuse(transport: &Transport, status: HttpStatus, scratch: &mut Vec<u8>) {
    let mut answer = Vec::with_capacity(MAX_RESPONSE);
    write_response(status, None, 0, AfterAnswer::Closes, &mut answer);
    let sent = transport.write_all(&answer).await;
    if sent.and_then(|()| transport.shutdown()).is_ok() {
        scratch.resize(MAX_HEAD, 0);
        transport.linger(|it| it.try_read(scratch)).await;
    }
}

async fn receive(transport: &Transport, received: &mut Vec<u8>) -> Result<(), Refusal> {
    let before = received.len();
    let most = PIECE.min(MAX_HEAD.saturating_sub(before)).max(1);
    match transport.receive(received, most).await {
        Ok(true) => Ok(()),
        _ if before == 0 => Err(Refusal::Gone),
        _ => Err(Refusal::RequestGone),
    }
}
