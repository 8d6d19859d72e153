//! The journal of a session that is not accepted: with it the session can be opened at another
//! origin.

use tributary_protocol::{
    Message,
    link::{FromSession, Generation, credit},
};

use super::handle::OpenRequest;

mod parcel;

/// The request of a session, and the messages that it has sent since.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) request: OpenRequest,
    messages: Vec<(Message, Generation)>,
    /// Whether the home of the group was asked, and the group does not live there. The session may
    /// then go to the origin that its client names.
    pub(super) asked_home: bool,
}

/// The journal is full: [`MAX_JOURNAL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JournalFull;

/// Messages in a journal. Reason: the credit of a session allows as many before its connect is
/// decided.
const MAX_JOURNAL: usize = (credit::BASE / credit::MESSAGE_COST) as usize;

impl Journal {
    pub(super) fn new(request: OpenRequest) -> Self {
        Self {
            request,
            messages: Vec::new(),
            asked_home: false,
        }
    }

    /// Appends a message.
    pub(super) fn append(
        &mut self,
        message: Message,
        generation: Generation,
    ) -> Result<(), JournalFull> {
        if self.messages.len() >= MAX_JOURNAL {
            return Err(JournalFull);
        }
        self.messages.push((message, generation));
        Ok(())
    }

    /// The events that open the session in a lane, in order.
    pub(super) fn events(&self) -> impl Iterator<Item = FromSession> {
        let open = FromSession::Open(self.request.open.clone());
        let messages = self.messages.iter();
        let messages = messages.map(|(message, generation)| FromSession::Message {
            generation: *generation,
            message: message.clone(),
        });
        std::iter::once(open).chain(messages)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tributary_protocol::{MessageStreamId, MessageType, RtmpTimestamp, link::OpenSession};

    use super::*;

    fn message(number: u32) -> Message {
        Message {
            kind: MessageType::COMMAND_AMF0,
            stream: MessageStreamId(0),
            timestamp: RtmpTimestamp(number),
            payload: Bytes::from_static(b"command"),
        }
    }

    #[test]
    fn a_journal_opens_the_session_and_repeats_its_messages_in_order() {
        let mut journal = Journal::new(OpenRequest {
            group: "live/room".parse().unwrap(),
            origin: None,
            open: OpenSession {
                peer: "192.0.2.1:1".parse().unwrap(),
                protocol: "rtmp".into(),
                connect: Bytes::from_static(b"connect"),
                claims: None,
            },
        });
        for number in 0..MAX_JOURNAL as u32 {
            assert_eq!(journal.append(message(number), Generation(1)), Ok(()));
        }
        assert_eq!(journal.append(message(0), Generation(1)), Err(JournalFull));
        let mut events = journal.events();
        assert!(
            matches!(events.next(), Some(FromSession::Open(open)) if &open.connect[..] == b"connect")
        );
        let mut number = 0;
        for event in events {
            let FromSession::Message { message, .. } = event else {
                panic!("{event:?}");
            };
            assert_eq!(message.timestamp, RtmpTimestamp(number));
            number += 1;
        }
        assert_eq!(number as usize, MAX_JOURNAL);
    }
}
