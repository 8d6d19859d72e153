//! Live streams that go on with those of the process before.

use std::{sync::Arc, time::Instant};

use tributary_protocol::{
    RtmpTimestamp,
    link::{LiveId, WriterId},
};

use super::{Holding, LostHolder, ReachedStreams, ReturnTimer, StreamSlot, Streams};

impl Streams {
    /// Notes how far the live streams of the process before had come.
    pub(in crate::group) fn remember_reached(&mut self, reached: ReachedStreams) {
        self.reached = (!reached.is_empty()).then(|| Box::new(reached));
    }

    /// How far a live stream of the process before had come.
    pub(in crate::group) fn reached(&self, was: LiveId) -> Option<(RtmpTimestamp, Instant)> {
        self.reached.as_ref()?.get(&was).copied()
    }

    /// The publisher of a name, whose claim this was, has had its statuses.
    pub(in crate::group) fn go_on_silently(&mut self, name: &str, writer: WriterId) {
        if let Some(Holding::Held(holder)) = self.table.get_mut(name).map(|it| &mut it.holding)
            && holder.writer == writer
        {
            holder.silent = true;
        }
    }

    /// A viewer of this name had its stream, under this number, at the process before. A name without a
    /// publisher waits for it as after its loss; the result is the name then.
    pub(in crate::group) fn expect_again(
        &mut self,
        name: &str,
        was: LiveId,
        viewer: StreamSlot,
        now: Instant,
    ) -> Option<Arc<str>> {
        let reached = self.reached(was);
        let live = self.live(name);
        let key = Arc::clone(live.name());
        let wait = self.app.settings().return_time.get();
        let stream = self.table.get_mut(&key)?;
        if !matches!(stream.holding, Holding::Free) {
            return None;
        }
        if let Some((time, at)) = reached {
            live.had_reached(time, at);
        }
        stream.holding = Holding::Lost(LostHolder {
            publisher: viewer,
            lane: viewer.session.lane,
            writer: WriterId(0),
            identity: None,
            since: now,
            timer: ReturnTimer::Runs(now + wait),
        });
        stream.announced = true;
        Some(key)
    }
}
