//! Where a session's lane is: found, waited for, or looked for again.

use std::{rc::Rc, time::Instant};

use tributary_protocol::{
    GroupName,
    link::{CloseReason, FromSession, ToSession},
};

use super::{Driver, until};
use crate::{
    link::{
        handle::FromOrigin,
        lane::{Journal, Lane, Session},
        waiting::Waiting,
    },
    routing::{Health, Place},
};

/// Groups with waiting sessions that are placed before others get a turn.
const PLACED: usize = 64;

/// Sessions that may wait for an origin at once. Reason: while no origin can be reached, clients
/// that reconnect must not fill the edge's memory; beyond it they are told at once.
const MAX_WAITING: usize = 20_000;

impl Driver {
    /// Gives a session its lane, lets it wait, or tells it that there is none.
    pub(in crate::link) fn place(self: &Rc<Self>, session: Waiting) {
        let place = self.find_place(&session.journal);
        self.place_at(session, place);
    }

    pub(in crate::link) fn place_at(self: &Rc<Self>, session: Waiting, place: Place) {
        match place {
            Place::At(origin) => self.open(session, origin),
            Place::Wait(until) if self.waiting.borrow().len() < MAX_WAITING => {
                self.wait(session, until);
            }
            Place::Wait(_) | Place::Nowhere => {
                let what = match &session.journal.request.origin {
                    Some(host) if self.origin_named(host).is_none() => FromOrigin::UnknownOrigin,
                    _ => FromOrigin::NoOrigin,
                };
                let _ = session.inbox.push_final(what);
            }
        }
    }

    /// Lets a session wait, at most until then.
    pub(in crate::link) fn wait(&self, session: Waiting, until: Instant) {
        self.waiting.borrow_mut().add(session, until);
        if self.look_at.get().is_none_or(|at| until < at) {
            self.look_at.set(Some(until));
            self.placed.notify_one();
        }
    }

    pub(in crate::link) fn find_place(&self, journal: &Journal) -> Place {
        let request = &journal.request;
        if let Some(lane) = self.lanes.borrow().get(&request.group) {
            return Place::At(lane.origin);
        }
        let (table, now) = (self.table.borrow(), Instant::now());
        let Some(host) = &request.origin else {
            return table.place(&request.group, now);
        };
        if let Some(until) = table.starting(now) {
            // Neither the origins' names nor their displaced groups are all known.
            return Place::Wait(until);
        }
        let Some(named) = self.origin_named(host) else {
            return Place::Nowhere;
        };
        let group = &request.group;
        if table.displaced_at(group).is_some() || table.is_kept(group) {
            return table.place(group, now);
        }
        let home = table.home(&request.group);
        if home != named && !journal.asked_home && table.health(home) == Health::Up {
            return Place::At(home);
        }
        match table.health(named) {
            Health::Up => Place::At(named),
            Health::Lost { until } if until > now => Place::Wait(until),
            _ => Place::Nowhere,
        }
    }

    /// Whether a session goes to an origin other than the one its client names, to see whether the
    /// group lives there.
    pub(in crate::link) fn only_asks(&self, journal: &Journal, origin: usize) -> bool {
        let request = &journal.request;
        let named = request.origin.as_ref().map(|host| self.origin_named(host));
        let displaced = self.table.borrow().displaced_at(&request.group);
        named.is_some_and(|named| named != Some(origin)) && displaced.is_none()
    }

    /// The configured origin that answers to `host`, a port cut off.
    pub(in crate::link) fn origin_named(&self, host: &str) -> Option<usize> {
        let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare);
        (0..self.origins.len()).find(|&index| {
            let configured = &self.config.origins[index];
            configured.known_as().eq_ignore_ascii_case(host)
                || configured.known_as().eq_ignore_ascii_case(bare)
                || self.origins[index].answers_to(bare)
        })
    }

    pub(in crate::link) fn open(self: &Rc<Self>, waiting: Waiting, origin: usize) {
        let Waiting {
            session,
            journal,
            inbox,
            park,
            hub,
        } = waiting;
        let lane = self.lane(&journal, origin);
        {
            let mut state = lane.state.borrow_mut();
            state.send(session, FromSession::Open(journal.request.open.clone()));
            for (message, generation) in &journal.messages {
                let event = FromSession::Message {
                    generation: *generation,
                    message: message.clone(),
                };
                state.send(session, event);
            }
        }
        let entry = Session {
            inbox,
            park,
            journal: Some(journal),
            hub,
            audiences: Vec::new(),
            place: 0,
        };
        lane.sessions.borrow_mut().insert(session, entry);
        lane.idle_since.set(None);
        lane.wake.notify_one();
        self.sessions.borrow_mut().insert(session, lane);
        self.count_sessions();
    }

    /// Ends a lane whose origin cannot go on with it. Sessions not yet accepted find a new place;
    /// accepted ones are closed if `close`, and there are none otherwise.
    pub(in crate::link) fn replace(self: &Rc<Self>, lane: &Rc<Lane>, close: bool) {
        debug_assert!(close || !lane.state.borrow().has_accepted());
        self.unlist(lane);
        let sessions = std::mem::take(&mut *lane.sessions.borrow_mut());
        // As they came, not as they lie in the table.
        let mut sessions: Vec<_> = sessions.into_iter().collect();
        sessions.sort_unstable_by_key(|(session, _)| *session);
        for (
            session,
            Session {
                inbox,
                park,
                journal,
                hub,
                ..
            },
        ) in sessions
        {
            self.sessions.borrow_mut().remove(&session);
            match journal {
                Some(journal) => {
                    let waiting = Waiting {
                        session,
                        journal,
                        inbox,
                        park,
                        hub,
                    };
                    self.wait(waiting, Instant::now());
                }
                None => {
                    let close = ToSession::Close(CloseReason::OriginLost);
                    let _ = inbox.push_final(close.into());
                }
            }
        }
        lane.end(CloseReason::OriginLost);
    }

    /// The origin does not open the lane yet: its sessions look for their place once more.
    pub(in crate::link) fn place_again(self: &Rc<Self>, lane: &Rc<Lane>) {
        self.replace(lane, false);
    }

    /// The origin has no such lane any more: what was accepted is over, the rest goes elsewhere.
    pub(in crate::link) fn lane_unknown(self: &Rc<Self>, lane: &Rc<Lane>) {
        if lane.only_if_living {
            for session in lane.sessions.borrow_mut().values_mut() {
                if let Some(journal) = &mut session.journal {
                    journal.asked_home = true;
                }
            }
        }
        self.replace(lane, true);
    }

    /// Tries every waiting session again.
    pub(in crate::link) fn place_all(&self) {
        self.changed.set(true);
        self.placed.notify_one();
    }

    /// Tries waiting sessions again whenever something changes or a wait is over.
    pub(in crate::link) async fn place_waiting(self: Rc<Self>) {
        loop {
            let due = self.waiting.borrow().due();
            self.look_at.set(due);
            tokio::select! {
                () = self.placed.notified() => {}
                () = until(due) => {}
            }
            let now = (!self.changed.take()).then(Instant::now);
            let groups = self.waiting.borrow().groups(now);
            for (index, group) in groups.iter().enumerate() {
                self.place_group(group);
                if index % PLACED == PLACED - 1 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Tries again the sessions that wait for a group, all that want the same at once.
    pub(in crate::link) fn place_group(self: &Rc<Self>, group: &GroupName) {
        let wishes = self.waiting.borrow_mut().take(group);
        for wish in wishes {
            let Some(first) = wish.first() else { continue };
            let place = self.find_place(&first.journal);
            for session in wish {
                self.place_at(session, place);
            }
        }
    }
}
