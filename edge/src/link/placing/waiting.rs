//! Sessions without a lane, by their wish: sessions with the same wish are placed together.

use std::{
    collections::{BTreeMap, HashMap},
    time::Instant,
};

use tributary_protocol::{GroupName, SessionId};

use crate::link::{journal::Journal, session::Waiting};

/// All sessions that wait.
#[derive(Default)]
pub(super) struct WaitingRoom {
    wishes: HashMap<GroupName, Vec<WaitingWish>>,
    /// The group of each session.
    sessions: HashMap<SessionId, GroupName>,
}

/// Sessions with the same wish.
struct WaitingWish {
    origin: Option<String>,
    /// Whether the home of the group was asked, and the group does not live there.
    asked_home: bool,
    /// The time to try again, if no origin changes before.
    until: Instant,
    /// In order of arrival.
    sessions: BTreeMap<SessionId, Waiting>,
}

impl WaitingRoom {
    /// The number of waiting sessions.
    pub(super) fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Adds a session that waits for a change, until this time at most.
    pub(super) fn add(&mut self, waiting: Waiting, until: Instant) {
        let request = &waiting.journal.request;
        let group = request.group.clone();
        self.sessions.insert(waiting.id, group.clone());
        let wishes = self.wishes.entry(group).or_default();
        let asked_home = waiting.journal.asked_home;
        let same =
            |wish: &WaitingWish| wish.origin == request.origin && wish.asked_home == asked_home;
        let place = wishes.iter().position(same).unwrap_or_else(|| {
            wishes.push(WaitingWish {
                origin: request.origin.clone(),
                asked_home,
                until,
                sessions: BTreeMap::new(),
            });
            wishes.len() - 1
        });
        let wish = &mut wishes[place];
        wish.until = wish.until.min(until);
        wish.sessions.insert(waiting.id, waiting);
    }

    /// All sessions, in the order of their numbers.
    pub(super) fn in_order(&self) -> Vec<&Waiting> {
        let wishes = self.wishes.values().flatten();
        let mut sessions: Vec<_> = wishes.flat_map(|wish| wish.sessions.values()).collect();
        sessions.sort_unstable_by_key(|waiting| waiting.id);
        sessions
    }

    /// A waiting session.
    pub(super) fn get_mut(&mut self, session: SessionId) -> Option<&mut Waiting> {
        let wishes = self.wishes.get_mut(self.sessions.get(&session)?)?;
        let mut wishes = wishes.iter_mut();
        wishes.find_map(|wish| wish.sessions.get_mut(&session))
    }

    /// The journal of a waiting session.
    pub(super) fn journal(&mut self, session: SessionId) -> Option<&mut Journal> {
        self.get_mut(session).map(|waiting| &mut *waiting.journal)
    }

    /// Removes a waiting session.
    pub(super) fn remove(&mut self, session: SessionId) -> Option<Waiting> {
        let group = self.sessions.remove(&session)?;
        let wishes = self.wishes.get_mut(&group)?;
        let found = wishes
            .iter_mut()
            .find_map(|wish| wish.sessions.remove(&session));
        wishes.retain(|wish| !wish.sessions.is_empty());
        if wishes.is_empty() {
            self.wishes.remove(&group);
        }
        found
    }

    /// The end of the first wait.
    pub(super) fn due(&self) -> Option<Instant> {
        let wishes = self.wishes.values().flatten();
        wishes.map(|wish| wish.until).min()
    }

    /// The groups with a wait that is over at `now`; without a time, all groups.
    pub(super) fn groups(&self, now: Option<Instant>) -> Vec<GroupName> {
        let is_due = |wish: &WaitingWish| now.is_none_or(|now| wish.until <= now);
        let due = self
            .wishes
            .iter()
            .filter(|(_, wishes)| wishes.iter().any(is_due));
        due.map(|(group, _)| group.clone()).collect()
    }

    /// Takes the sessions that wait for a group: one list for each wish, in order of arrival.
    pub(super) fn take(&mut self, group: &GroupName) -> Vec<Vec<Waiting>> {
        let wishes = self.wishes.remove(group).unwrap_or_default();
        let taken: Vec<Vec<_>> = wishes
            .into_iter()
            .map(|wish| wish.sessions.into_values().collect())
            .collect();
        for waiting in taken.iter().flatten() {
            self.sessions.remove(&waiting.id);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tributary_node::queue;
    use tributary_protocol::link::OpenSession;

    use super::*;
    use crate::link::handle::{OpenRequest, Opening};

    fn waiting(session: u64, group: &str, origin: Option<&str>) -> Waiting {
        let (inbox, _) = queue::queue(1);
        let opening = Opening {
            request: OpenRequest {
                group: GroupName::from_app(group).unwrap(),
                origin: origin.map(str::to_owned),
                open: OpenSession {
                    peer: "192.0.2.1:1".parse().unwrap(),
                    protocol: "rtmp".into(),
                    connect: Default::default(),
                    claims: None,
                },
            },
            inbox,
            park: Arc::default(),
            hub: None,
        };
        Waiting::new(SessionId(session), opening)
    }

    #[test]
    fn sessions_that_want_the_same_are_placed_together_in_order() {
        let mut room = WaitingRoom::default();
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        for (session, group, origin) in [
            (3, "a/x", None),
            (1, "a/x", None),
            (4, "a/x", Some("o")),
            (2, "a/y", None),
        ] {
            room.add(waiting(session, group, origin), later);
        }
        assert_eq!(room.due(), Some(later));
        assert!(room.groups(Some(now)).is_empty());
        assert_eq!(room.groups(Some(later)).len(), 2);
        assert!(room.journal(SessionId(4)).is_some());
        assert!(room.remove(SessionId(2)).is_some());
        assert!(room.remove(SessionId(2)).is_none());
        assert_eq!(room.groups(None).len(), 1);
        let taken = room.take(&GroupName::from_app("a/x").unwrap());
        let mut taken: Vec<Vec<u64>> = taken
            .iter()
            .map(|wish| wish.iter().map(|w| w.id.0).collect())
            .collect();
        taken.sort();
        assert_eq!(taken, [vec![1, 3], vec![4]]);
        assert_eq!((room.len(), room.due()), (0, None));
    }

    /// The cost of a client's command must not grow with the number of waiting sessions.
    #[test]
    fn twenty_thousand_who_wait_cost_no_scan_each() {
        let mut room = WaitingRoom::default();
        let now = Instant::now();
        let started = Instant::now();
        for n in 0..20_000 {
            room.add(waiting(n, &format!("app/{}", n % 5000), None), now);
        }
        for n in 0..20_000 {
            assert!(room.journal(SessionId(n)).is_some());
        }
        for n in 0..20_000 {
            assert!(room.remove(SessionId(n)).is_some());
        }
        // A scan of all sessions for each would take minutes.
        assert!(started.elapsed() < Duration::from_secs(5));
        assert_eq!(room.len(), 0);
    }
}
