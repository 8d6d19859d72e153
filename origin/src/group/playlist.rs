//! Plays of a client that wait for the end of those before them.

use tributary_protocol::command::{Status, stream::PlayStart};

use super::{
    message_stream::{PlayHow, Queued, Role},
    name::{MAX_NAME, MAX_QUERY},
    streams::StreamSlot,
    turn::Turn,
};

impl Turn<'_> {
    /// Queues a play that does not replace the present one: it waits for its end. The application
    /// decides about it when its turn comes.
    pub(super) fn play_behind(
        &mut self,
        slot: StreamSlot,
        name: String,
        start: PlayStart,
        how: PlayHow,
    ) {
        let clients = &mut self.core.clients;
        if !clients.stream(slot).is_some_and(|stream| stream.plays()) {
            return self.play(slot, &name, start, how);
        }
        let relay = clients
            .get_mut(slot.session)
            .and_then(|client| client.take_relay(slot.stream));
        let Some(message_stream) = clients.stream(slot) else {
            return;
        };
        let fits = name.len() <= MAX_NAME + MAX_QUERY;
        let play = Queued {
            name,
            start,
            how,
            relay,
        };
        let refused = if fits {
            message_stream.queue(play).err()
        } else {
            Some(play)
        };
        if let Some(Queued { name, .. }) = refused {
            let why = "Too much waits to be played.";
            return clients.stream_status(slot, Status::PlayFailed, why, &name);
        }
        if clients.playing(slot).is_some_and(|playing| playing.ended) {
            self.play_next(slot);
        }
    }

    /// Begins the next play of a message stream.
    pub(super) fn play_next(&mut self, slot: StreamSlot) {
        let Some(mut playlist) = self.core.clients.take_playlist(slot) else {
            return;
        };
        let Some(next) = playlist.waiting.pop_front() else {
            return;
        };
        let Queued {
            name,
            start,
            how,
            relay,
        } = next;
        if let Some(client) = self.core.clients.get_mut(slot.session) {
            client.relay = relay.map(|address| Box::new((slot.stream, address)));
        }
        self.play(slot, &name, start, how);
        if playlist.waiting.is_empty() {
            return;
        }
        let Some(message_stream) = self.core.clients.stream(slot) else {
            return;
        };
        let refused = matches!(message_stream.role, Role::Idle);
        message_stream.playlist = Some(playlist);
        if refused {
            self.core.play_acts().play_next_later(slot);
        }
    }
}
