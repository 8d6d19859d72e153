//! The handle by which a lane reaches its group.

use std::{fmt, sync::Arc};

use tributary_node::{config, queue};
use tributary_protocol::{
    GroupName,
    link::{FromSession, OpenSession, ToSession},
};

use super::{mailbox::Item, open_refused::OpenRefused, process::Process};
use crate::{
    app::AppVersion,
    session::{Brought, Destination, LaneOut, Mail, Opening, SessionKey},
};

/// A lane's handle to its group. The group lives at least as long as a handle to it.
#[derive(Clone)]
pub struct GroupHandle {
    pub(super) lease: Arc<Lease>,
}

/// Keeps a group alive while a lane holds on to it.
pub(super) struct Lease {
    pub(super) name: Arc<GroupName>,
    pub(super) version: Arc<AppVersion>,
    pub(super) process: Arc<Process>,
    pub(super) mailbox: queue::Sender<Item>,
}

/// The weight of a piece of mail beyond its payload.
const MAIL_WEIGHT: usize = 256;

impl GroupHandle {
    /// The settings of the group's application, the grace time among them.
    pub fn application(&self) -> Arc<config::Application> {
        self.lease.version.settings()
    }

    /// Puts mail into the group's mailbox. A session whose mail does not fit is closed. An open
    /// that does not fit, or that meets a group that shuts down, is answered here.
    pub fn send(&self, mail: Mail) {
        let mailbox = &self.lease.mailbox;
        let pushed = match &mail {
            Mail::Session { event, .. } => match event {
                FromSession::Open(Opening { open, .. }) => {
                    let weight = open.connect.len() + MAIL_WEIGHT;
                    mailbox.push(Item::Mail(mail), weight)
                }
                FromSession::Message { message, .. } => {
                    let weight = message.payload.len() + MAIL_WEIGHT;
                    mailbox.push(Item::Mail(mail), weight)
                }
                // If the mailbox has no room, the next figures replace these.
                FromSession::Statistics(_) => mailbox.push(Item::Mail(mail), MAIL_WEIGHT),
                // There is one for each session.
                FromSession::Close(_) => mailbox.push_final(Item::Mail(mail)),
                // It is dropped when a group that hangs has too many items; its timers are late
                // anyway.
                _ => mailbox.push_control(Item::Mail(mail)),
            },
            Mail::Outage { .. } | Mail::Silence { .. } => mailbox.push_control(Item::Mail(mail)),
            // There is one for each lane.
            Mail::Restore {
                brought: Brought::End,
                ..
            } => mailbox.push_final(Item::Mail(mail)),
            Mail::Restore { brought, .. } => {
                let weight = brought.size() + MAIL_WEIGHT;
                mailbox.push(Item::Mail(mail), weight)
            }
            // There is one for each lane.
            Mail::Gathered => mailbox.push_final(Item::Mail(mail)),
            // There is one for each audience that has lapsed.
            Mail::SnapshotWanted { .. } => mailbox.push_final(Item::Mail(mail)),
        };
        match pushed {
            Ok(()) => {}
            Err(queue::PushError::Full(item)) => self.undelivered(item, OpenRefused::Limit),
            Err(queue::PushError::Closed(item)) => self.undelivered(item, OpenRefused::Shutdown),
        }
    }

    /// Answers for mail that the mailbox did not take. The next figures replace lost ones, and the
    /// next change replaces a lost state.
    fn undelivered(&self, item: Item, why: OpenRefused) {
        let (session, event) = match item {
            Item::Mail(Mail::Session { session, event }) => (session, event),
            Item::Mail(Mail::Restore {
                brought: Brought::Session { session, lane, .. },
                ..
            }) => {
                let order = ToSession::Close(OpenRefused::reason(why));
                return lane.send(session.session, order);
            }
            _ => return,
        };
        match event {
            FromSession::Open(Opening { lane, open, .. }) => {
                self.refuse(&lane, session, &open, why)
            }
            FromSession::Message { .. } if why == OpenRefused::Limit => {
                let _ = self.lease.mailbox.push_final(Item::Overflow(session));
            }
            _ => {}
        }
    }

    fn refuse(&self, lane: &LaneOut, key: SessionKey, open: &OpenSession, why: OpenRefused) {
        let Lease { name, process, .. } = &*self.lease;
        process.refuse(name, lane, key, open, why.into());
    }
}

impl Destination for GroupHandle {
    fn send(&self, mail: Mail) {
        Self::send(self, mail);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = self.mailbox.push_final(Item::Released);
    }
}

impl fmt::Debug for GroupHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("GroupHandle")
            .field(&self.lease.name)
            .finish()
    }
}
