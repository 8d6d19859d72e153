//! The requests of members: change, remove, clear, send.

use std::{fmt::Debug, hash::Hash};

use super::{Access, Contents, Encoded, Status, Told, batch::ChangeBatch};
use crate::shared_object::{Event, Flags};

/// The member that makes a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Requester<M> {
    pub(super) member: M,
    pub(super) access: Access,
    /// The version that the member knows.
    pub(super) known: u32,
    /// The flags of its Use.
    pub(super) flags: Flags,
}

/// The reason for which a member's request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Denied {
    /// The member may not write.
    Access,
    /// The request exceeds a limit.
    Limit,
    /// The slot has changed since the version that the member knows.
    Conflict,
}

impl<M: Copy + Eq + Hash + Debug> Requester<M> {
    /// Makes the changes of a request, or refuses it; the batch has the answers.
    pub(super) fn request(
        &self,
        event: Event,
        contents: &mut Contents<M>,
        batch: &mut ChangeBatch<M>,
    ) {
        match event {
            Event::RequestChange { name, value } => {
                let value = Encoded::new(&value);
                match self.may_change(contents, &name, &value) {
                    Ok(()) => self.change(contents, batch, &name, value),
                    Err(denied) => deny(contents, batch, denied, Some(&name)),
                }
            }
            Event::RequestRemove { name } => {
                match self.may_touch(contents, &name) {
                    Ok(()) if contents.slot(&name).is_some() => {
                        batch.acknowledge();
                        batch.remove(contents, &name);
                    }
                    // The slot is gone already.
                    Ok(()) => batch.push_own(contents.present(&name)),
                    Err(denied) => deny(contents, batch, denied, Some(&name)),
                }
            }
            Event::RequestClear if self.access.write => {
                batch.acknowledge();
                batch.clear(contents);
            }
            Event::SendMessage { values } if self.access.write => {
                let values = Encoded::list(&values);
                match contents.fits_message(&values) {
                    Ok(()) => batch.message(values),
                    Err(_) => deny(contents, batch, Denied::Limit, None),
                }
            }
            Event::RequestClear | Event::SendMessage { .. } => {
                deny(contents, batch, Denied::Access, None);
            }
            // Other events are no requests.
            _ => {}
        }
    }

    fn may_change(
        &self,
        contents: &Contents<M>,
        name: &str,
        value: &Encoded,
    ) -> Result<(), Denied> {
        self.may_touch(contents, name)?;
        contents.fits(name, value).map_err(|_| Denied::Limit)
    }

    /// Whether the member may write, and knows the last version of the slot.
    fn may_touch(&self, contents: &Contents<M>, name: &str) -> Result<(), Denied> {
        if !self.access.write {
            return Err(Denied::Access);
        }
        if contents.has_later(self.member, self.known, name) {
            return Err(Denied::Conflict);
        }
        Ok(())
    }

    fn change(
        &self,
        contents: &mut Contents<M>,
        batch: &mut ChangeBatch<M>,
        name: &str,
        value: Encoded,
    ) {
        let name = batch.set(contents, name, value.clone());
        batch.acknowledge();
        batch.push_own(if self.flags.is_server_style() {
            Told::Accepted { name, value }
        } else {
            Told::Success { name }
        });
    }
}

/// Refuses a request; the author receives the slot's present state.
fn deny<M: Copy + Eq + Hash + Debug>(
    contents: &Contents<M>,
    batch: &mut ChangeBatch<M>,
    denied: Denied,
    name: Option<&str>,
) {
    if denied == Denied::Limit {
        batch.count_refused();
    }
    if denied != Denied::Conflict {
        batch.push_own(Told::Status(Status::SharedObjectNoWriteAccess));
    }
    if let Some(name) = name {
        batch.push_own(contents.present(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        amf::Value,
        shared_object::{Limits, authority::batch::BatchEvents},
    };

    fn change() -> Event {
        Event::RequestChange {
            name: "a".to_owned(),
            value: Value::Null,
        }
    }

    /// The answers to the requests of a member that knows the first version.
    fn answers(
        contents: &mut Contents<u8>,
        write: bool,
        requests: impl IntoIterator<Item = Event>,
    ) -> Vec<Told> {
        let requester = Requester {
            member: 1,
            access: Access { write },
            known: 1,
            flags: Flags::TEMPORARY,
        };
        let mut batch = ChangeBatch::of_member(1, false);
        for request in requests {
            requester.request(request, contents, &mut batch);
        }
        match batch.into_events(true) {
            BatchEvents::Differ { own, .. } => own,
            BatchEvents::Same(_) => panic!("a member has answers of its own"),
        }
    }

    #[test]
    fn a_change_without_access_or_against_a_later_one_is_answered_with_the_present_state() {
        let name = || "a".into();
        let mut contents = Contents::new(1, Limits::default());
        let denied = Told::Status(Status::SharedObjectNoWriteAccess);
        let gone = Told::Remove { name: name() };
        let refused = [denied.clone(), gone];
        assert_eq!(answers(&mut contents, false, [change()]), refused);
        let accepted = [Told::Success { name: name() }];
        assert_eq!(answers(&mut contents, true, [change()]), accepted);
        let mut others = ChangeBatch::of_member(2, false);
        let value = Encoded::new(&Value::from("other"));
        others.set(&mut contents, "a", value.clone());
        let present = [Told::Change {
            name: name(),
            value,
        }];
        assert_eq!(answers(&mut contents, true, [change()]), present);
        let clear = [Event::RequestClear];
        assert_eq!(answers(&mut contents, false, clear), [denied]);
    }
}
