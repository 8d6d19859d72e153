//! A lane whose edge brings sessions of another process of this origin.

use std::rc::Rc;

use tributary_protocol::{
    SessionId,
    link::{RestoredSession, ToSession},
};

use super::Lane;
use crate::session::{self, Mail, SessionKey};

impl Lane {
    /// A session goes on in the lane's group.
    pub(super) fn restored(&self, session: SessionId, restored: Box<RestoredSession>) {
        if let Err(refused) = self.join_group() {
            let order = ToSession::Close(refused.reason());
            self.state.borrow_mut().send(session, order);
            self.shared
                .note_refused(&self.name, &restored.open, refused);
            return self.wake.notify_one();
        }
        self.shared.metrics.moves.brought.inc();
        self.bring(session::Brought::Session {
            session: SessionKey {
                lane: self.key,
                session,
            },
            lane: self.out.clone(),
            restored,
        });
    }

    /// Mails the group what the edge has brought.
    pub(in crate::link) fn bring(&self, brought: session::Brought) {
        let lane = self.key;
        self.mail(Mail::Restore { lane, brought });
    }

    /// The edge has brought all.
    pub(super) fn restore_ended(self: &Rc<Self>) {
        self.bring(session::Brought::End);
        if let Some(brought) = self.brought.take() {
            brought(Rc::clone(self));
        }
    }

    /// All edges have brought what they have of the group.
    pub(in crate::link) fn gathered(&self) {
        self.mail(Mail::Gathered);
    }
}
