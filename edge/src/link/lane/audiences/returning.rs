//! Objects on their way to the present process of their origin: it is lost as well, perhaps, before it has
//! taken in all members.

use std::time::{Duration, Instant};

use tributary_protocol::SessionId;

use super::SalvagedObject;

/// The objects of the process before, each until its members have joined.
#[derive(Debug, Default)]
pub(super) struct Returning {
    objects: Vec<SalvagedObject>,
    /// When they are forgotten.
    until: Option<Instant>,
}

/// The longest time. Reason: a member that the origin refuses never joins, and contents take memory.
const LONGEST: Duration = Duration::from_secs(60);

impl Returning {
    pub(super) fn new(objects: Vec<SalvagedObject>) -> Self {
        let until = (!objects.is_empty()).then(|| Instant::now() + LONGEST);
        Self { objects, until }
    }

    /// The origin has taken in a member.
    pub(super) fn joined(&mut self, name: &str, session: SessionId) {
        self.keep(|object| {
            if object.name == name {
                object.members.remove(&session);
            }
        });
    }

    /// The client of a session has left.
    pub(super) fn left(&mut self, session: SessionId) {
        self.keep(|object| {
            object.members.remove(&session);
        });
    }

    pub(super) fn tick(&mut self, now: Instant) {
        if self.until.is_some_and(|until| until <= now) {
            *self = Self::default();
        }
    }

    /// Adds to the objects of the lane those members, and those contents, that the lane does not have.
    pub(super) fn add_to(self, objects: &mut Vec<SalvagedObject>) {
        for object in self.objects {
            match objects.iter_mut().find(|it| it.name == object.name) {
                None => objects.push(object),
                Some(present) => {
                    for (session, flags) in object.members {
                        present.members.entry(session).or_insert(flags);
                    }
                    if !present.mirror.is_complete() {
                        present.mirror = object.mirror;
                    }
                }
            }
        }
    }

    /// Changes the objects, and forgets those without members.
    fn keep(&mut self, mut change: impl FnMut(&mut SalvagedObject)) {
        if self.until.is_none() {
            return;
        }
        self.objects.retain_mut(|object| {
            change(object);
            !object.members.is_empty()
        });
        if self.objects.is_empty() {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use tributary_protocol::shared_object::{Flags, Mirror};

    use super::*;

    fn object(name: &str, members: &[u64]) -> SalvagedObject {
        let member = |id: &u64| (SessionId(*id), Flags::TEMPORARY);
        SalvagedObject {
            name: name.to_owned(),
            persistent: false,
            mirror: Mirror::new(),
            members: members.iter().map(member).collect(),
        }
    }

    fn members(objects: &[SalvagedObject], name: &str) -> Vec<u64> {
        let object = objects.iter().find(|it| it.name == name);
        let members = object.into_iter().flat_map(|it| it.members.keys());
        let mut members: Vec<_> = members.map(|id| id.0).collect();
        members.sort_unstable();
        members
    }

    #[test]
    fn members_that_have_not_joined_are_brought_again() {
        let mut returning = Returning::new(vec![object("a", &[1, 2, 3]), object("b", &[1])]);
        returning.joined("a", SessionId(1));
        returning.left(SessionId(3));
        let mut objects = vec![object("a", &[1])];
        returning.add_to(&mut objects);
        assert_eq!(members(&objects, "a"), [1, 2]);
        assert_eq!(members(&objects, "b"), [1]);
    }

    #[test]
    fn they_are_forgotten_once_all_have_joined_or_after_a_time() {
        let mut returning = Returning::new(vec![object("a", &[1])]);
        returning.tick(Instant::now());
        assert_eq!(returning.objects.len(), 1);
        returning.joined("a", SessionId(1));
        assert!(returning.until.is_none());
        let mut returning = Returning::new(vec![object("a", &[1])]);
        returning.tick(Instant::now() + LONGEST);
        assert!(returning.objects.is_empty());
    }
}
