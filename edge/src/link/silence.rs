//! A silent link to an origin that may have been started again.
//!
//! QUIC gives a link up after 3 s of silence. An origin whose process is lost is often back after 1 s, and
//! the packets of the old link tell its new process nothing until QUIC sends the next one, which it does
//! less and less often. So the edge knocks at the origin's address.

use std::time::{Duration, Instant};

use tokio::time::timeout;
use tributary_node::{
    link::connect,
    tls::Identity,
    transport::{CloseCode, Link, LinkError},
};
use tributary_protocol::link::Control;

use super::origin::Origin;

/// The silence after which the edge knocks. Reason: both ends send a heartbeat each second.
const SILENCE: Duration = Duration::from_millis(1250);

/// The time between two looks at a link, and from one knock to the next.
const LOOK: Duration = Duration::from_millis(200);

/// The time for a knock, beyond three round trips. Reason: the library sends its first packet again only
/// after 1 s, and the next knock finds a process that has started meanwhile.
const KNOCK: Duration = Duration::from_millis(250);

/// The time for which an origin that has answered a knock may still answer on its link.
const ANSWER: Duration = Duration::from_millis(100);

/// Waits until the origin answers at its address and its link stays silent all the same. No greeting
/// follows a knock: if the process is the same, its link goes on.
pub(super) async fn is_answered_elsewhere(
    identity: &Identity,
    origin: &Origin,
    link: &Link,
) -> LinkError {
    let received = || link.bytes().1;
    let (mut heard, mut heard_bytes) = (Instant::now(), received());
    let mut knocks = 0;
    loop {
        tokio::time::sleep(LOOK).await;
        let bytes = received();
        if bytes != heard_bytes {
            (heard, heard_bytes) = (Instant::now(), bytes);
            continue;
        }
        if heard.elapsed() < SILENCE {
            continue;
        }
        knocks += 1;
        // A process that lives answers this on the link.
        origin.send(Control::Ping(knocks));
        let knock = timeout(
            KNOCK + 3 * link.round_trip(),
            connect(identity, &origin.configured),
        );
        let Ok(Ok((knock, endpoint))) = knock.await else {
            continue;
        };
        let round_trip = knock.round_trip();
        knock.close(CloseCode::Shutdown);
        endpoint.close().await;
        tokio::time::sleep(ANSWER + round_trip).await;
        if received() == heard_bytes {
            return LinkError::Reset;
        }
    }
}
