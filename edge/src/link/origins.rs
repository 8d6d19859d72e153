//! The origins of the configuration.

use std::rc::Rc;

use tributary_protocol::link::Control;

use super::{config::OriginAddress, origin::Origin};

/// All origins, in the order of the configuration.
pub(super) struct Origins(Vec<Rc<Origin>>);

impl Origins {
    pub(super) fn new(configured: &[OriginAddress]) -> Self {
        let origins = configured.iter().cloned().enumerate();
        Self(
            origins
                .map(|(index, address)| Rc::new(Origin::new(index, address)))
                .collect(),
        )
    }

    pub(super) fn get(&self, origin: usize) -> &Rc<Origin> {
        &self.0[origin]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Rc<Origin>> {
        self.0.iter()
    }

    /// The origin that answers to `host`, a port cut off.
    pub(super) fn named(&self, host: &str) -> Option<usize> {
        let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare);
        let mut origins = self.iter();
        let found = origins.find(|origin| origin.is_named(host, bare));
        found.map(|origin| origin.index)
    }

    /// Queues a control frame for all origins but one.
    pub(super) fn send_others(&self, but: usize, control: &Control) {
        for origin in self.iter().filter(|origin| origin.index != but) {
            origin.send(control.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_answers_to_its_name_with_or_without_a_port() {
        let addresses = ["a@host:1", "b.example:2"].map(|it| it.parse().unwrap());
        let origins = Origins::new(&addresses);
        for (host, found) in [
            ("a", Some(0)),
            ("A:1935", Some(0)),
            ("B.example:2", Some(1)),
            ("b.example", None),
            ("host:1", None),
        ] {
            assert_eq!(origins.named(host), found, "{host}");
        }
    }
}
