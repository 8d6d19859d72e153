//! Another configuration for an edge that runs.

use std::{collections::BTreeMap, sync::Arc};

use tributary_node::config::{Application, At, Mistakes};

use crate::{Config, config::CertificateFiles, run::Controls, tls::Certificates};

/// Puts other configurations in force while the edge runs.
#[derive(Clone, Debug)]
pub struct Reloader {
    pub(crate) clients: Arc<Controls>,
    pub(crate) certificates: Certificates,
}

impl Reloader {
    /// Puts another configuration in force, as far as it can change while the edge runs: the
    /// listeners and their certificates, the limits of connections and messages, `max_lag`,
    /// `web_origins`, and the settings of applications. Sessions and live streams keep what they
    /// began with. The call reads files, which may block its thread.
    ///
    /// # Errors
    /// Every mistake; then nothing has changed.
    pub fn reload(
        &self,
        config: &Config,
        tls: &BTreeMap<String, CertificateFiles>,
        applications: &BTreeMap<String, Application>,
    ) -> Result<(), Mistakes> {
        let mut mistakes = Mistakes::default();
        let policies = self.clients.policies().load_next(applications);
        let policies = policies.map_err(|others| mistakes.append(others));
        let keys = config.ticket_keys.as_deref();
        let certificates = self.certificates.read_next(tls, keys);
        let certificates = certificates.map_err(|error| error.add_to(&mut mistakes));
        let (Ok(policies), Ok(certificates)) = (policies, certificates) else {
            return Err(mistakes);
        };
        let clients = self.clients.prepare(config, policies).map_err(|error| {
            let what = format!("cannot listen on {}: {}", error.address, error.source);
            let at = At::root().key("edge").key("listen");
            mistakes.add(at, what, "choose another address");
            mistakes
        })?;
        self.certificates.put_in_force(certificates);
        self.clients.streams().limit_lag(config.max_lag.get());
        self.clients.put_in_force(clients);
        Ok(())
    }
}
