//! The decision where a session goes: by its client's wish and the state of the origins.

use std::time::Instant;

use crate::GroupName;

use super::{
    placement::SessionPlace,
    router::Router,
    table::{Health, OriginId, OriginTable},
};

/// The wish of a session without a lane: a group, and the origin that its client names.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    pub group: &'a GroupName,
    pub named: Named,
    /// Whether the home of the group was asked, and the group does not live there.
    pub asked_home: bool,
}

/// The origin that a client names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// The client names no origin.
    None,
    /// The client names an origin that is not configured.
    Unknown,
    /// The client names a configured origin.
    Origin(OriginId),
}

impl Wish<'_> {
    /// The place of a session whose group has no lane at this edge.
    pub fn decide(&self, router: &Router, now: Instant) -> SessionPlace {
        let (group, table) = (self.group, router.table());
        if self.named == Named::None {
            return router.place(group, now);
        }
        if let Some(until) = table.starting(now) {
            // The names and the displaced groups of some origins are not known yet.
            return SessionPlace::Wait(until);
        }
        let Named::Origin(named) = self.named else {
            return SessionPlace::Nowhere;
        };
        if table.displaced_at(group).is_some() || router.is_kept(group) {
            return router.place(group, now);
        }
        if let Some(home) = router.home(group)
            && home != named
            && !self.asked_home
            && table.health(home) == Health::Up
        {
            return SessionPlace::At(home);
        }
        match table.health(named) {
            Health::Up => SessionPlace::At(named),
            Health::Lost { until } if until > now => SessionPlace::Wait(until),
            _ => SessionPlace::Nowhere,
        }
    }

    /// Whether the session goes to an origin other than the one its client names, and asks there
    /// whether the group lives there.
    pub fn only_asks(&self, table: &OriginTable, origin: OriginId) -> bool {
        let elsewhere = match self.named {
            Named::None => false,
            Named::Unknown => true,
            Named::Origin(named) => named != origin,
        };
        elsewhere && table.displaced_at(self.group).is_none()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::routing::Rendezvous;
    use crate::cluster::tests::start;

    /// Two new origins.
    fn starting(now: Instant) -> (Router, [OriginId; 2]) {
        let mut router = Router::new(Box::new(Rendezvous::default()), now);
        let origins = ["a", "b"].map(|name| router.add(name));
        (router, origins)
    }

    /// Two origins that are up; the group's home and the other.
    fn routed(group: &GroupName, now: Instant) -> (Router, OriginId, OriginId) {
        let (mut router, origins) = starting(now);
        for origin in origins {
            router.table_mut().set_health(origin, Health::Up);
            router.table_mut().displaced(origin, true, Vec::new(), &[]);
        }
        let home = router.home(group).unwrap();
        let other = origins.into_iter().find(|&it| it != home).unwrap();
        (router, home, other)
    }

    fn wish(group: &GroupName, named: Named) -> Wish<'_> {
        Wish {
            group,
            named,
            asked_home: false,
        }
    }

    #[test]
    fn a_client_that_names_an_origin_gets_it_once_the_home_was_asked() {
        let (group, now) = (GroupName::from_app("live/x").unwrap(), start());
        let (mut router, home, other) = routed(&group, now);
        let mut wish = wish(&group, Named::Origin(other));
        assert_eq!(wish.decide(&router, now), SessionPlace::At(home));
        assert!(wish.only_asks(router.table(), home));
        wish.asked_home = true;
        assert_eq!(wish.decide(&router, now), SessionPlace::At(other));
        assert!(!wish.only_asks(router.table(), other));
        wish.asked_home = false;
        router.table_mut().set_health(home, Health::Down);
        assert_eq!(wish.decide(&router, now), SessionPlace::At(other));
    }

    #[test]
    fn a_named_origin_is_waited_for_as_long_as_its_groups_are_bound_to_it() {
        let (group, now) = (GroupName::from_app("live/x").unwrap(), start());
        let (mut router, home, _) = routed(&group, now);
        let wish = wish(&group, Named::Origin(home));
        let until = now + Duration::from_secs(15);
        router.table_mut().set_health(home, Health::Lost { until });
        assert_eq!(wish.decide(&router, now), SessionPlace::Wait(until));
        assert_eq!(wish.decide(&router, until), SessionPlace::Nowhere);
    }

    #[test]
    fn a_displaced_group_is_reached_where_it_lives() {
        let (group, now) = (GroupName::from_app("live/x").unwrap(), start());
        let (mut router, home, other) = routed(&group, now);
        let wish = wish(&group, Named::Origin(home));
        router
            .table_mut()
            .displaced(other, false, vec![group.clone()], &[]);
        assert_eq!(wish.decide(&router, now), SessionPlace::At(other));
        assert!(!wish.only_asks(router.table(), other));
    }

    #[test]
    fn an_unknown_name_waits_for_the_start_and_then_leads_nowhere() {
        let (group, now) = (GroupName::from_app("live/x").unwrap(), start());
        let (starting, _) = starting(now);
        let wish = wish(&group, Named::Unknown);
        assert!(matches!(wish.decide(&starting, now), SessionPlace::Wait(_)));
        let (router, ..) = routed(&group, now);
        assert_eq!(wish.decide(&router, now), SessionPlace::Nowhere);
    }
}
