//! Messages of shared objects, which this server does not have yet.

use tributary_protocol::{
    Message, MessageStreamId, RtmpTimestamp,
    command::Status,
    shared_object::{Event, Flags, SharedObjectMessage},
};

use super::core::Core;
use crate::link::handle::SessionKey;

impl Core {
    /// Says that there is no such object and will be none: a client would wait for ever. At most
    /// one event for each message; what cannot be read, and a release, are not answered.
    pub(super) fn refuse_shared_object(&mut self, key: SessionKey, message: &Message) {
        let Ok(asked) = SharedObjectMessage::decode(message.kind, &message.payload) else {
            return;
        };
        let uses = asked.events.contains(&Event::Use);
        if !uses && asked.events.iter().all(|event| *event == Event::Release) {
            return;
        }
        let status = if uses {
            Status::SharedObjectCreationFailed
        } else {
            Status::SharedObjectNoObjectFound
        };
        let answer = SharedObjectMessage {
            name: asked.name,
            version: 0,
            flags: Flags::default(),
            events: vec![Event::status(status)],
        };
        if let Some(client) = self.clients.get_mut(&key) {
            let (kind, payload) = answer.encode(client.encoding());
            client.send(Message {
                kind,
                stream: MessageStreamId::CONNECTION,
                timestamp: RtmpTimestamp::default(),
                payload,
            });
        }
    }
}
