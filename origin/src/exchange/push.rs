//! The push of one live stream to another server.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};
use tributary_node::backoff::Backoff;
use tributary_protocol::{
    amf::Value,
    command::{Status, stream::PublishKind},
};

use super::{
    ANSWER, Dialler, Relayed, backoff,
    call::{Dialogue, STREAM, is_error, reason},
};
use crate::{
    live::LiveStream,
    outgoing::{Happening, OutgoingOrder},
};

/// The group's end of a push. Its drop ends the push, once the rest of the stream is sent.
#[derive(Debug)]
pub(crate) struct Pushing {
    _over: oneshot::Sender<()>,
}

/// A push at work.
struct Push {
    place: Relayed,
    dialler: Dialler,
    /// The name there, with its query.
    name: String,
    live: Arc<LiveStream>,
}

/// The end of an attempt.
enum PushEnd {
    /// The stream is over.
    Over,
    Failed(String),
}

/// How long the rest of a stream that is over may take.
const FINISH: Duration = Duration::from_secs(3);

/// A push of `live` under this name, and the task that does the work.
pub(crate) fn push(
    place: Relayed,
    dialler: Dialler,
    name: String,
    live: Arc<LiveStream>,
) -> (Pushing, impl Future<Output = ()> + Send + 'static) {
    let (alive, over) = oneshot::channel();
    let push = Push {
        place,
        dialler,
        name,
        live,
    };
    (Pushing { _over: alive }, push.run(over))
}

impl Push {
    async fn run(mut self, mut over: oneshot::Receiver<()>) {
        let mut backoff = backoff();
        loop {
            self.place.connects();
            let PushEnd::Failed(why) = self.attempt(&mut backoff, &mut over).await else {
                return;
            };
            let wait = backoff.ended(crate::live::now(), &mut rand::rng());
            self.place.failed(&why, wait);
            tokio::select! {
                () = sleep(wait) => {}
                _ = &mut over => return,
            }
        }
    }

    async fn attempt(
        &mut self,
        backoff: &mut Backoff,
        over: &mut oneshot::Receiver<()>,
    ) -> PushEnd {
        let mut call = Dialogue::begin(&self.dialler);
        call.order(OutgoingOrder::Publish {
            stream: STREAM,
            name: self.name.clone(),
            kind: PublishKind::Live,
        });
        call.order(OutgoingOrder::Carry {
            stream: STREAM,
            live: Arc::clone(&self.live),
        });
        let mut answer = std::pin::pin!(sleep(ANSWER));
        let mut runs = false;
        loop {
            let happening = tokio::select! {
                happening = call.next() => happening,
                () = &mut answer, if !runs => return PushEnd::Failed(NO_ANSWER.to_owned()),
                _ = &mut *over => {
                    if runs {
                        let _ = timeout(FINISH, finish(&mut call)).await;
                    }
                    return PushEnd::Over;
                }
            };
            match happening {
                Happening::Closed(info) => return PushEnd::Failed(reason(&info)),
                Happening::StreamStatus { info, .. } => match code(&info) {
                    Some(Status::PublishStart) if !runs => {
                        runs = true;
                        backoff.began(crate::live::now());
                        self.place.runs();
                    }
                    Some(Status::UnpublishSuccess | Status::PublishBadName) => {
                        return PushEnd::Failed(reason(&info));
                    }
                    _ if is_error(&info) => return PushEnd::Failed(reason(&info)),
                    _ => {}
                },
                _ => {}
            }
        }
    }
}

/// Sends the rest of the stream.
async fn finish(call: &mut Dialogue) {
    call.order(OutgoingOrder::Finish { stream: STREAM });
    loop {
        match call.next().await {
            Happening::Finished { stream: STREAM } | Happening::Closed(_) => return,
            _ => {}
        }
    }
}

fn code(info: &Value) -> Option<Status> {
    Status::from_code(info.get("code").and_then(Value::as_str)?)
}

/// The reason of a failure by [`ANSWER`].
const NO_ANSWER: &str = "the server does not answer the publish";
