//! Plays of a client that wait for the end of those before them.

use tributary_protocol::{
    MessageStreamId,
    command::{Status, stream::PlayStart},
};

use super::{
    client::{Asked, MAX_PLAYLIST, PlayHow, Playlist, Queued, Role},
    core::Core,
    name::{MAX_NAME, MAX_QUERY},
    streams::Place,
    turn::Turn,
};
use crate::session::SessionKey;

impl Turn<'_> {
    /// A play that does not replace what plays: it waits for its end. Its application is asked
    /// when its turn comes.
    pub(super) fn play_behind(
        &mut self,
        key: SessionKey,
        stream: MessageStreamId,
        name: String,
        start: PlayStart,
        how: PlayHow,
    ) {
        let client = self.core.clients.get_mut(&key);
        let Some(net_stream) = client.and_then(|client| client.stream(stream)) else {
            return self.play(key, stream, &name, start, how);
        };
        let plays = match &net_stream.role {
            Role::Playing(_) => true,
            Role::Asking(asking) => matches!(asking.what, Asked::Play(_)),
            _ => false,
        };
        if !plays {
            return self.play(key, stream, &name, start, how);
        }
        let waiting = net_stream
            .playlist
            .as_ref()
            .map_or(0, |list| list.waiting.len());
        if waiting >= MAX_PLAYLIST || name.len() > MAX_NAME + MAX_QUERY {
            let why = "Too much waits to be played.";
            return self
                .core
                .stream_status(key, stream, Status::PlayFailed, why, &name);
        }
        let queued = Queued { name, start, how };
        net_stream
            .playlist
            .get_or_insert_default()
            .waiting
            .push_back(queued);
        let place = Place {
            session: key,
            stream,
        };
        if self.core.has_ended(place) {
            self.play_next(place);
        }
    }

    /// Begins with what waits on a message stream.
    pub(super) fn play_next(&mut self, place: Place) {
        let Place { session, stream } = place;
        let Some(mut playlist) = self.core.take_playlist(place) else {
            return;
        };
        let Some(Queued { name, start, how }) = playlist.waiting.pop_front() else {
            return;
        };
        self.play(session, stream, &name, start, how);
        if playlist.waiting.is_empty() {
            return;
        }
        let client = self.core.clients.get_mut(&session);
        let Some(net_stream) = client.and_then(|client| client.stream(stream)) else {
            return;
        };
        let refused = matches!(net_stream.role, Role::Idle);
        net_stream.playlist = Some(playlist);
        if refused {
            self.core.play_next_later(place);
        }
    }
}

impl Core {
    pub(super) fn take_playlist(&mut self, place: Place) -> Option<Box<Playlist>> {
        let client = self.clients.get_mut(&place.session)?;
        client.stream(place.stream)?.playlist.take()
    }

    /// Lets what waits on a message stream follow, if there is something.
    pub(super) fn play_next_later(&mut self, place: Place) {
        let client = self.clients.get_mut(&place.session);
        let waits = client
            .and_then(|client| client.stream(place.stream))
            .is_some_and(|net_stream| net_stream.playlist.is_some());
        if waits {
            self.notices.push_back(super::core::Notice::PlayNext(place));
        }
    }
}
