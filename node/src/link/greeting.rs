//! The first frames of a link: each end sends a Hello.

use tributary_protocol::link::{Control, Hello};

use super::{
    control::{self, ControlReceiver, ControlSender},
    control_loop::{ControlSink, ControlSource},
};
use crate::transport::{Link, LinkError};

/// The peer's Hello, and the control stream that has brought it.
#[derive(Debug)]
pub struct Greeted {
    pub hello: Hello,
    pub send: ControlSender,
    pub recv: ControlReceiver,
}

/// Greets as the dialling end, which sends first.
pub async fn greet(link: &Link, hello: Hello) -> Result<Greeted, LinkError> {
    let (mut send, mut recv) = control::open(link).await?;
    send.write(&Control::Hello(hello)).await?;
    let hello = peer_hello(&mut recv, link).await?;
    Ok(Greeted { hello, send, recv })
}

/// Greets as the accepting end: `decide` returns the answer to the peer's Hello, and what the caller
/// needs besides.
pub async fn answer<T>(
    link: &Link,
    decide: impl FnOnce(&Hello) -> Result<(T, Hello), LinkError>,
) -> Result<(T, Greeted), LinkError> {
    let (mut send, mut recv) = control::accept(link).await?;
    let hello = peer_hello(&mut recv, link).await?;
    let (decided, answer) = decide(&hello)?;
    send.write(&Control::Hello(answer)).await?;
    Ok((decided, Greeted { hello, send, recv }))
}

/// The peer's Hello, which is the first frame and states the name on the peer's certificate.
async fn peer_hello(recv: &mut ControlReceiver, link: &Link) -> Result<Hello, LinkError> {
    let Control::Hello(hello) = recv.next().await? else {
        return Err(LinkError::Refused("the first frame is not a Hello".into()));
    };
    let name = &link.peer().name;
    if hello.node != *name {
        let why = format!("{name} claims to be {}", hello.node);
        return Err(LinkError::Refused(why));
    }
    Ok(hello)
}
