//! The places of groups as their origins come, go and come back.

use super::*;
use crate::cluster::{
    routing::{Rendezvous, STARTING},
    tests::start,
};

/// A router with three origins, and a group with the origins in order of its weight.
struct Routed {
    router: Router,
    now: Instant,
    group: GroupName,
    order: Vec<OriginId>,
}

fn routed() -> Routed {
    let now = start();
    let group = GroupName::from_app("live/x").unwrap();
    let (mut router, mut rule) = (
        Router::new(Box::new(Rendezvous::default()), now),
        Rendezvous::default(),
    );
    for name in ["a", "b", "c"] {
        let origin = router.add(name);
        rule.added(origin, name);
    }
    Routed {
        router,
        now,
        order: rule.order(&group),
        group,
    }
}

/// The same, with every origin up.
fn up() -> Routed {
    let mut routed = routed();
    for &origin in &routed.order {
        set_up(&mut routed.router, origin);
    }
    routed
}

fn set_up(router: &mut Router, origin: OriginId) {
    router.table_mut().set_health(origin, Health::Up);
    router.table_mut().displaced(origin, true, vec![], &[]);
}

/// An origin that is not its home says that it has the group.
fn starts_at(router: &mut Router, origin: OriginId, group: &GroupName) {
    let table = router.table_mut();
    table.displaced(origin, false, vec![group.clone()], &[]);
}

/// It says that it has the group no longer.
fn ends_at(router: &mut Router, origin: OriginId, group: &GroupName) {
    let table = router.table_mut();
    table.displaced(origin, false, vec![], std::slice::from_ref(group));
}

#[test]
fn a_starting_edge_waits_for_every_list_but_not_for_ever() {
    let Routed {
        mut router,
        now,
        group,
        order,
    } = routed();
    assert_eq!(
        router.place(&group, now),
        SessionPlace::Wait(now + STARTING)
    );
    let home = order[0];
    set_up(&mut router, home);
    assert_eq!(
        router.place(&group, now),
        SessionPlace::Wait(now + STARTING)
    );
    assert_eq!(router.place(&group, now + STARTING), SessionPlace::At(home));
    for origin in order {
        set_up(&mut router, origin);
    }
    assert_eq!(router.place(&group, now), SessionPlace::At(home));
}

#[test]
fn the_next_origin_takes_over_and_home_takes_back_what_is_new() {
    let Routed {
        mut router,
        now,
        group,
        order,
    } = up();
    router.table_mut().set_health(
        order[0],
        Health::Lost {
            until: now + STARTING,
        },
    );
    assert_eq!(router.place(&group, now), SessionPlace::At(order[1]));
    router.table_mut().set_health(order[1], Health::Down);
    assert_eq!(router.place(&group, now), SessionPlace::At(order[2]));
    router.table_mut().set_health(order[0], Health::Up);
    assert_eq!(router.place(&group, now), SessionPlace::At(order[0]));
}

#[test]
fn an_origin_that_goes_away_gets_nothing_new_while_another_is_up() {
    let Routed {
        mut router,
        now,
        group,
        order,
    } = up();
    router.table_mut().set_leaving(order[0]);
    assert!(router.table().is_leaving(order[0]));
    assert_eq!(router.place(&group, now), SessionPlace::At(order[1]));
    router.table_mut().set_leaving(order[1]);
    assert_eq!(router.place(&group, now), SessionPlace::At(order[2]));
    // All origins go away: the home's own answer is better than none.
    router.table_mut().set_leaving(order[2]);
    assert_eq!(router.place(&group, now), SessionPlace::At(order[0]));
    // A group that lives there stays there.
    starts_at(&mut router, order[1], &group);
    assert_eq!(router.place(&group, now), SessionPlace::At(order[1]));
    ends_at(&mut router, order[1], &group);
    // The mark ends with the next link.
    let until = now + STARTING;
    router
        .table_mut()
        .set_health(order[0], Health::Lost { until });
    router.table_mut().set_health(order[0], Health::Up);
    assert_eq!(router.place(&group, now), SessionPlace::At(order[0]));
}

#[test]
fn a_displaced_group_stays_where_it_is_until_it_is_empty_or_its_origin_gone() {
    let Routed {
        mut router,
        now,
        group,
        order,
    } = up();
    let (home, away) = (order[0], order[2]);
    starts_at(&mut router, away, &group);
    assert_eq!(router.place(&group, now), SessionPlace::At(away));
    let until = now + STARTING;
    router.table_mut().set_health(away, Health::Lost { until });
    assert_eq!(router.place(&group, now), SessionPlace::Wait(until));
    router.table_mut().set_health(away, Health::Up);
    assert_eq!(router.place(&group, now), SessionPlace::At(away));
    ends_at(&mut router, away, &group);
    assert_eq!(router.place(&group, now), SessionPlace::At(home));
    starts_at(&mut router, away, &group);
    router.table_mut().set_health(away, Health::Down);
    assert_eq!(router.place(&group, now), SessionPlace::At(home));
}

#[test]
fn a_group_that_went_while_there_was_no_link_is_not_looked_for_there() {
    let Routed {
        mut router,
        now,
        group,
        order,
    } = up();
    let (home, away) = (order[0], order[2]);
    let stays = GroupName::from_app("live/stays").expect("a name");
    let table = router.table_mut();
    table.displaced(away, false, vec![group.clone(), stays.clone()], &[]);
    table.set_health(away, Health::Lost { until: now });
    table.set_health(away, Health::Up);
    table.displaced(away, false, vec![stays.clone()], &[]);
    assert_eq!(
        router.place(&group, now),
        SessionPlace::At(away),
        "it may follow"
    );
    router.table_mut().displaced(away, true, vec![], &[]);
    assert_eq!(router.place(&group, now), SessionPlace::At(home));
    assert_eq!(router.place(&stays, now), SessionPlace::At(away));
}

#[test]
fn a_group_with_data_at_its_home_starts_there_or_not_at_all() {
    let Routed {
        mut router,
        now,
        group,
        order,
    } = up();
    router.table_mut().kept(order[0], true, vec![group.clone()]);
    assert!(router.is_kept(&group));
    assert_eq!(router.table().kept_count(), 1);
    assert_eq!(router.place(&group, now), SessionPlace::At(order[0]));
    let until = now + STARTING;
    router
        .table_mut()
        .set_health(order[0], Health::Lost { until });
    assert_eq!(router.place(&group, now), SessionPlace::Wait(until));
    router.table_mut().set_health(order[0], Health::Down);
    assert_eq!(router.place(&group, now), SessionPlace::Nowhere);
    // The data stays known for another process of the origin, until its list is replaced.
    router.table_mut().forget(order[0]);
    router.table_mut().set_health(order[0], Health::Up);
    router.table_mut().set_leaving(order[0]);
    assert_eq!(router.place(&group, now), SessionPlace::At(order[0]));
    router.table_mut().kept(order[0], true, vec![]);
    assert_eq!(router.place(&group, now), SessionPlace::At(order[1]));
    // Data at an origin other than the home does not decide.
    router.table_mut().kept(order[2], true, vec![group.clone()]);
    assert!(!router.is_kept(&group));
    assert_eq!(router.place(&group, now), SessionPlace::At(order[1]));
    // A copy that was started before stays where it is.
    router
        .table_mut()
        .kept(order[0], false, vec![group.clone()]);
    starts_at(&mut router, order[1], &group);
    assert_eq!(router.place(&group, now), SessionPlace::At(order[1]));
}

#[test]
fn with_no_origin_up_sessions_wait_for_the_grace_time_only() {
    let Routed {
        mut router,
        now,
        group,
        order,
    } = up();
    let until = now + STARTING;
    for origin in order {
        router
            .table_mut()
            .set_health(origin, Health::Lost { until });
    }
    assert!(!router.table().is_ready());
    assert_eq!(router.place(&group, now), SessionPlace::Wait(until));
    assert_eq!(router.place(&group, until), SessionPlace::Nowhere);
}

#[test]
fn an_origin_that_goes_leaves_nothing_behind_and_its_number_is_not_used_again() {
    let Routed {
        mut router,
        now,
        group,
        order,
    } = up();
    let gone = order[0];
    router.table_mut().kept(gone, true, vec![group.clone()]);
    starts_at(&mut router, gone, &group);
    router.remove(gone);
    assert_eq!(router.home(&group), Some(order[1]));
    assert_eq!(router.place(&group, now), SessionPlace::At(order[1]));
    assert_eq!(
        (
            router.table().kept_count(),
            router.table().displaced_at(&group)
        ),
        (0, None)
    );
    // Late news of the origin change nothing.
    set_up(&mut router, gone);
    router
        .table_mut()
        .displaced(gone, true, vec![group.clone()], &[]);
    assert_eq!(router.place(&group, now), SessionPlace::At(order[1]));
    let new = router.add("a");
    assert!(!order.contains(&new));
    set_up(&mut router, new);
}

#[test]
fn without_origins_there_is_no_place() {
    let now = start();
    let router = Router::new(Box::new(Rendezvous::default()), now);
    let group = GroupName::from_app("live/x").unwrap();
    assert_eq!(router.home(&group), None);
    assert_eq!(router.place(&group, now + STARTING), SessionPlace::Nowhere);
}
