//! A cluster of origins: its settings, the secret that its origins share, and the orders of operators.

mod orders;

use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use tributary_node::{
    config::{At, Check, Mistakes},
    link::OriginAddress,
    token::{Token, TokenError},
};

pub(crate) use orders::{
    ClusterHandle, ClusterOrder, ClusterOrders, ClusterStatus, GroupStatus, LinkedEdge, MovedGroup,
    OriginState, OtherOrigin, StayingGroup,
};

use crate::session::RecordKey;

/// The table `[cluster]` of the configuration. With it an origin has its edges keep what its sessions
/// need to go on at the origin's next process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// The cluster's name.
    pub name: String,
    /// The file with the secret that the origins of the cluster share and no edge has. Unset: one in the
    /// data directory, made if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<PathBuf>,
    /// The origins of the cluster, as `NAME@HOST:PORT`: the name is the one on the origin's certificate.
    /// This origin may be among them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
}

/// The name of the secret's file in a data directory.
const KEY_FILE: &str = "cluster-key";

/// The most origins of a cluster.
const MAX_ORIGINS: usize = 64;

/// The longest name of a cluster.
const MAX_NAME: usize = 64;

impl ClusterConfig {
    /// The other origins; `own` is the name on this one's certificate.
    pub(crate) fn others(&self, own: &str) -> Vec<OriginAddress> {
        let origins = self.origins.iter().filter_map(|it| it.parse().ok());
        origins
            .filter(|it: &OriginAddress| it.known_as() != own)
            .collect()
    }

    /// The key of the cluster, from its file.
    pub(crate) fn record_key(&self, data: &Path) -> Result<RecordKey, ClusterKeyError> {
        let secret = match &self.key {
            Some(file) => Token::load(file),
            None => Token::load_or_make(&data.join(KEY_FILE)),
        };
        let secret = secret.map_err(|error| ClusterKeyError {
            error,
            is_named: self.key.is_some(),
        })?;
        Ok(RecordKey::new(secret.reveal().as_bytes()))
    }
}

/// The reason for which the secret of a cluster was not read or made.
#[derive(Debug)]
pub struct ClusterKeyError {
    error: TokenError,
    /// Whether the configuration names its file.
    is_named: bool,
}

impl fmt::Display for ClusterKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = match self.is_named {
            true => "cluster.key",
            false => "the cluster's secret in the data directory",
        };
        write!(
            f,
            "{at}: {}. If other origins of the cluster run, copy the file of one of them: records that \
             another secret has signed are refused",
            self.error
        )
    }
}

impl std::error::Error for ClusterKeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl Check for ClusterConfig {
    fn check(&self, at: &At, mistakes: &mut Mistakes) {
        let is_name = |text: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            (1..=MAX_NAME).contains(&text.len()) && text.chars().all(allowed)
        };
        if !is_name(&self.name) {
            let remedy = "write 1 to 64 letters, digits, \"-\", \"_\" or \".\"";
            mistakes.add(at.key("name"), "it is no name", remedy);
        }
        let mut names = BTreeSet::new();
        for origin in &self.origins {
            let read = origin.parse::<OriginAddress>();
            let reason = match &read {
                Ok(OriginAddress { name: None, .. }) => "it has no name".to_owned(),
                Ok(OriginAddress {
                    name: Some(name), ..
                }) if !names.insert(name.clone()) => "another has the same name".to_owned(),
                Ok(_) => continue,
                Err(error) => error.to_string(),
            };
            let remedy = "write NAME@HOST:PORT, with the name on the origin's certificate";
            mistakes.add(at.key("origins"), format!("{origin:?}: {reason}"), remedy);
        }
        if self.origins.len() > MAX_ORIGINS {
            let remedy = format!("name at most {MAX_ORIGINS}");
            mistakes.add(at.key("origins"), "there are too many", &remedy);
        }
    }
}
