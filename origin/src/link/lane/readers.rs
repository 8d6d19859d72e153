//! Accepted publishes: their edge is notified whether anything reads the live stream.

use std::{rc::Rc, sync::Arc};

use tokio::task::spawn_local;
use tributary_protocol::{
    MessageStreamId, SessionId,
    link::{Generation, Target, ToSession, features},
};

use super::{Accepted, Lane};
use crate::live::LiveStream;

impl Lane {
    /// Notes an accepted publish. The order that accepts it leaves before the first report.
    pub(super) fn begin_publish(
        self: &Rc<Self>,
        session: SessionId,
        stream: MessageStreamId,
        generation: Generation,
        target: Target<Arc<LiveStream>>,
    ) {
        let reports = self.feeds.supports(features::UNREAD).then(|| {
            let live = Arc::clone(&target.live);
            let reports = Rc::clone(self).report_readers(session, stream, generation, live);
            spawn_local(reports).abort_handle()
        });
        let accepted = Accepted { target, reports };
        self.publishing
            .borrow_mut()
            .insert((session, stream), accepted);
    }

    async fn report_readers(
        self: Rc<Self>,
        session: SessionId,
        stream: MessageStreamId,
        generation: Generation,
        live: Arc<LiveStream>,
    ) {
        let report = |read| {
            let order = ToSession::PublishRead {
                stream,
                generation,
                read,
            };
            self.state.borrow_mut().send(session, order);
            self.settle();
            self.wake.notify_one();
        };
        live.report_readers(report).await;
    }
}
