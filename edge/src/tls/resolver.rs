//! The choice of a certificate by the host name that a client asks for (SNI, RFC 6066, 3).

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::pair::Pair;

/// The certificates of now.
#[derive(Debug, Default)]
pub(super) struct Store(RwLock<HashMap<String, Stored>>);

#[derive(Debug)]
struct Stored {
    key: Arc<CertifiedKey>,
    hosts: Vec<String>,
    expires: i64,
}

/// The choice of one listener.
#[derive(Debug)]
pub(super) struct Resolver {
    store: Arc<Store>,
    default: Option<String>,
}

impl Store {
    /// Puts a certificate in the place of the one with its name.
    pub(super) fn put(&self, name: &str, pair: Pair) {
        let stored = Stored {
            key: pair.key,
            hosts: pair.hosts,
            expires: pair.expires,
        };
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(name.to_owned(), stored);
    }

    /// Removes the certificate of this name.
    pub(super) fn remove(&self, name: &str) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.remove(name);
    }

    /// The names, and the ends of validity in seconds since 1970.
    pub(super) fn expiries(&self) -> Vec<(String, i64)> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let each = all.iter().map(|(name, it)| (name.clone(), it.expires));
        each.collect()
    }

    /// The certificate for a host; a name that fits exactly goes before a wildcard.
    fn for_host(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        let host = host.to_ascii_lowercase();
        let parent = host.split_once('.').map(|(_, parent)| parent);
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let find = |fits: &dyn Fn(&str) -> bool| {
            let mut fitting = all
                .values()
                .filter(|it| it.hosts.iter().any(|own| fits(own)));
            fitting.next().map(|it| Arc::clone(&it.key))
        };
        find(&|own| own == host).or_else(|| {
            find(&|own| {
                own.strip_prefix("*.")
                    .is_some_and(|own| Some(own) == parent)
            })
        })
    }

    fn by_name(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let stored = match name {
            Some(name) => all.get(name),
            None => all.values().next(),
        };
        stored.map(|it| Arc::clone(&it.key))
    }
}

impl Resolver {
    pub(super) fn new(store: Arc<Store>, default: Option<&str>) -> Self {
        Self {
            store,
            default: default.map(str::to_owned),
        }
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let host = hello.server_name();
        host.and_then(|host| self.store.for_host(host))
            .or_else(|| self.store.by_name(self.default.as_deref()))
    }
}
