//! The sources of streams of the application: each begins, ends, and gives way to the next.

use std::sync::Arc;

use tributary_protocol::command::Status;

use super::{Found, OnAir, OwnStream, OwnStreams, Source};
use crate::{
    app::StreamId,
    group::{
        connections::Connections,
        name::without_query,
        room::Room,
        streams::{StreamSlot, Streams, Viewing},
        timers::{LONGEST_TIMER, Timer},
    },
    live::LiveStream,
};

/// The streams of an application at work as players of others.
pub(in crate::group) struct SourceActs<'a> {
    pub(in crate::group) room: &'a mut Room,
    pub(in crate::group) streams: &'a mut Streams,
    pub(in crate::group) own_streams: &'a mut OwnStreams,
    pub(in crate::group) connections: &'a mut Connections,
}

/// Whether a stream of the application has a source left to play. The end of a stream reaches
/// viewers, which are no part here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(in crate::group) enum Air {
    Stays,
    /// No source is left: the stream is to be taken off air.
    Leaves,
}

pub(super) const CIRCLE: &str = "The stream would play itself.";
const TOO_MANY_WAITED: &str = "Too many streams are waited for.";

impl SourceActs<'_> {
    /// Begins a source that streams of the application wait for: it has a publisher.
    pub(in crate::group) fn begins(
        &mut self,
        id: StreamId,
        name: &Arc<str>,
        live: &Arc<LiveStream>,
    ) {
        let description = format!("{name} is now published.");
        self.room
            .own_status(id, Status::PlayPublishNotify, &description, name);
        self.play_media(id, live);
    }

    /// Ends a source that has lost its publisher for good.
    pub(in crate::group) fn ends(&mut self, id: StreamId, name: &Arc<str>) -> Air {
        let description = format!("{name} is now unpublished.");
        self.room
            .own_status(id, Status::PlayUnpublishNotify, &description, name);
        self.give_way(id)
    }

    /// Ends the present source: the next in the list follows. Without a next one the stream waits
    /// for the present source again.
    pub(in crate::group) fn give_way(&mut self, id: StreamId) -> Air {
        let waits = |stream: &OwnStream| !stream.playlist.is_empty();
        if !self.own_streams.get(id).is_some_and(waits) {
            return Air::Stays;
        }
        self.end(id);
        self.next(id)
    }

    /// Ends a play if its time is over.
    pub(in crate::group) fn may_be_over(&mut self, id: StreamId, serial: u64) -> Air {
        let Some(OnAir {
            serial: present,
            playing: Some(playing),
            ..
        }) = self.own_streams.get(id).and_then(|own| own.on_air.as_ref())
        else {
            return Air::Stays;
        };
        let Some(until) = playing.until.filter(|_| *present == serial) else {
            return Air::Stays;
        };
        if until > self.room.now {
            let at = until.min(self.room.now + LONGEST_TIMER);
            self.room.wake_at(at, Timer::Source(id, serial));
            return Air::Stays;
        }
        self.end(id);
        self.next(id)
    }

    /// Ends the present source, if there is one.
    pub(in crate::group) fn end(&mut self, id: StreamId) {
        let Some(on_air) = self.own_streams.on_air(id) else {
            return;
        };
        let Some(playing) = on_air.playing.take() else {
            return;
        };
        on_air.relay.play(None);
        match playing.remote {
            Some(stream) => self.connections.close_source(stream),
            None => self
                .streams
                .unwatch(&playing.name, StreamSlot::of_application(id)),
        }
        let name = without_query(&playing.name);
        let description = format!("Stopped playing {name}.");
        self.room
            .own_status(id, Status::PlayStop, &description, name);
    }

    /// Begins the next source in the list.
    pub(in crate::group) fn next(&mut self, id: StreamId) -> Air {
        loop {
            let Some(stream) = self.own_streams.get_mut(id) else {
                return Air::Leaves;
            };
            let own_name = Arc::clone(&stream.name);
            let Some(item) = stream.playlist.pop_front() else {
                return Air::Leaves;
            };
            let found = match item.remote {
                Some((connection, start)) => self.find_remote(connection, id, &item.name, start),
                None => self.find_local(id, &own_name, &item.name),
            };
            let shown = without_query(&item.name);
            let (remote, live) = match found {
                Ok(found) => found,
                Err(why) => {
                    self.room.own_status(id, Status::PlayFailed, why, shown);
                    continue;
                }
            };
            let description = format!("Started playing {shown}.");
            self.room
                .own_status(id, Status::PlayStart, &description, shown);
            if let Some(on_air) = self.own_streams.on_air(id) {
                on_air.serial += 1;
                on_air.playing = Some(Source {
                    name: item.name,
                    length: item.length,
                    remote,
                    live: None,
                    until: None,
                });
            }
            if let Some(live) = live {
                self.play_media(id, &live);
            }
            return Air::Stays;
        }
    }

    /// A source of this group, and its media if there is some.
    fn find_local(&mut self, id: StreamId, own_name: &str, name: &Arc<str>) -> Found {
        // The loop is checked again: plays have changed since the source was queued.
        if self.own_streams.leads_to(name, own_name) {
            return Err(CIRCLE);
        }
        match self.streams.watch(name, StreamSlot::of_application(id)).1 {
            Viewing::Full => Err(TOO_MANY_WAITED),
            Viewing::Live(live) => Ok((None, Some(live))),
            Viewing::Wait => Ok((None, None)),
        }
    }

    /// Copies from a source whose media is there.
    pub(in crate::group) fn play_media(&mut self, id: StreamId, live: &Arc<LiveStream>) {
        let now = self.room.now;
        let Some(on_air) = self.own_streams.on_air(id) else {
            return;
        };
        let Some(playing) = &mut on_air.playing else {
            return;
        };
        let before = playing.live.replace(Arc::clone(live));
        if before.is_some_and(|before| Arc::ptr_eq(&before, live)) {
            // The ring is the same, and the relay still reads it.
            return;
        }
        on_air.relay.play(Some(Arc::clone(live)));
        if let (Some(length), None) = (playing.length, playing.until) {
            let until = now + length;
            playing.until = Some(until);
            let timer = Timer::Source(id, on_air.serial);
            self.room.wake_at(until.min(now + LONGEST_TIMER), timer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use tributary_node::config;
    use tributary_protocol::link::LiveId;

    use super::{
        super::{MAX_PLAYLIST, PlaylistItem},
        *,
    };
    use crate::{
        group::tests::part,
        live::{Begins, relay::Relay},
    };

    /// A stream of the application, `out`, that is on air, with the parts around it.
    struct Parts {
        room: Room,
        streams: Streams,
        own_streams: OwnStreams,
        connections: Connections,
        out: StreamId,
    }

    impl Parts {
        fn new() -> Self {
            let (room, _) = part::room(config::Application::default());
            let streams = part::streams(&room);
            let mut own_streams = OwnStreams::default();
            let out = own_streams.open("out").unwrap();
            let live = LiveStream::new(LiveId(1_000), "s");
            let writer = live.begin_writer(Begins::Afresh);
            let (relay, _) = Relay::new(Arc::clone(&live), writer);
            own_streams.get_mut(out).unwrap().on_air = Some(OnAir {
                live,
                writer,
                relay,
                since: room.now,
                serial: 0,
                playing: None,
            });
            Self {
                room,
                streams,
                own_streams,
                connections: Connections::default(),
                out,
            }
        }

        fn acts(&mut self) -> SourceActs<'_> {
            SourceActs {
                room: &mut self.room,
                streams: &mut self.streams,
                own_streams: &mut self.own_streams,
                connections: &mut self.connections,
            }
        }

        fn queue(&mut self, name: &str, length: Option<Duration>) {
            let stream = self.own_streams.get_mut(self.out).unwrap();
            assert!(stream.playlist.len() < MAX_PLAYLIST);
            stream.playlist.push_back(PlaylistItem {
                name: name.into(),
                length,
                remote: None,
            });
        }

        fn source(&self) -> Option<&str> {
            let stream = self.own_streams.get(self.out)?;
            stream.source().map(|name| &**name)
        }
    }

    #[test]
    fn a_source_that_ends_gives_way_to_the_next_or_is_waited_for() {
        let mut parts = Parts::new();
        let (out, a): (_, Arc<str>) = (parts.out, "a".into());
        parts.queue("a", None);
        assert_eq!(parts.acts().next(out), Air::Stays);
        assert_eq!(parts.source(), Some("a"), "nobody publishes it yet");
        assert_eq!(parts.acts().ends(out, &a), Air::Stays);
        assert_eq!(parts.source(), Some("a"), "nothing waits behind it");
        parts.queue("b", None);
        assert_eq!(parts.acts().ends(out, &a), Air::Stays);
        assert_eq!(parts.source(), Some("b"));
        assert!(parts.streams.viewers("a").is_empty());
        assert_eq!(parts.streams.viewers("b").len(), 1);
    }

    #[test]
    fn a_stream_whose_sources_all_fail_leaves_the_air() {
        let mut parts = Parts::new();
        let out = parts.out;
        assert_eq!(parts.acts().next(out), Air::Leaves, "an empty playlist");
        parts.queue("out", None);
        parts.queue("a", None);
        assert_eq!(parts.acts().next(out), Air::Stays);
        assert_eq!(parts.source(), Some("a"), "it does not play itself");
        parts.queue("out", None);
        assert_eq!(parts.acts().give_way(out), Air::Leaves);
        assert_eq!(parts.source(), None);
    }

    #[test]
    fn the_time_of_a_play_begins_with_its_media() {
        let mut parts = Parts::new();
        let (out, length) = (parts.out, Duration::from_secs(90));
        parts.queue("a", Some(length));
        assert_eq!(parts.acts().next(out), Air::Stays);
        assert_eq!(parts.room.deadline(), None, "there is no media");
        parts.room.now += Duration::from_secs(5);
        let live = part::publish(&mut parts.streams, "a", parts.room.now);
        parts.acts().begins(out, &"a".into(), &live);
        let begun = parts.room.now;
        let due = |parts: &mut Parts| -> Instant {
            let at = parts.room.deadline().unwrap();
            assert!(parts.room.agenda.timers.take_due(at).is_some());
            at
        };
        // Each timer lasts a minute at most.
        assert_eq!(due(&mut parts), begun + LONGEST_TIMER);
        parts.room.now = begun + LONGEST_TIMER;
        assert_eq!(parts.acts().may_be_over(out, 1), Air::Stays);
        assert_eq!(due(&mut parts), begun + length);
        parts.room.now = begun + length;
        assert_eq!(parts.acts().may_be_over(out, 0), Air::Stays, "another play");
        assert_eq!(parts.acts().may_be_over(out, 1), Air::Leaves);
    }
}
