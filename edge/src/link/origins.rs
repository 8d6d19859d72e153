//! The origins of this edge.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use super::origin::Origin;
use tributary_protocol::cluster::routing::OriginId;

/// All origins, in the order in which they came.
#[derive(Default)]
pub(super) struct Origins(RefCell<BTreeMap<OriginId, Rc<Origin>>>);

impl Origins {
    pub(super) fn add(&self, origin: Origin) -> Rc<Origin> {
        let origin = Rc::new(origin);
        self.0.borrow_mut().insert(origin.id, Rc::clone(&origin));
        origin
    }

    pub(super) fn remove(&self, origin: OriginId) {
        self.0.borrow_mut().remove(&origin);
    }

    pub(super) fn get(&self, origin: OriginId) -> Option<Rc<Origin>> {
        self.0.borrow().get(&origin).cloned()
    }

    pub(super) fn all(&self) -> Vec<Rc<Origin>> {
        self.0.borrow().values().cloned().collect()
    }

    /// The origin that answers to `host` without its port.
    pub(super) fn named(&self, host: &str) -> Option<OriginId> {
        let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare);
        let origins = self.0.borrow();
        let found = origins.values().find(|it| it.is_named(host, bare));
        found.map(|origin| origin.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_answers_to_its_name_with_or_without_a_port() {
        let origins = Origins::default();
        for (id, address) in [(0, "a@host:1"), (7, "b.example:2")] {
            origins.add(Origin::new(OriginId(id), address.parse().unwrap()));
        }
        for (host, found) in [
            ("a", Some(0)),
            ("A:1935", Some(0)),
            ("B.example:2", Some(7)),
            ("b.example", None),
            ("host:1", None),
        ] {
            assert_eq!(origins.named(host), found.map(OriginId), "{host}");
        }
    }
}
