//! The settings of a cluster, and the secret that its origins share.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tributary_node::{
    config::{At, Check, Mistakes},
    token::{Token, TokenError},
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
}

/// The name of the secret's file in a data directory.
const KEY_FILE: &str = "cluster-key";

/// The longest name of a cluster.
const MAX_NAME: usize = 64;

impl ClusterConfig {
    /// The key of the cluster, from its file.
    pub(crate) fn record_key(&self, data: &Path) -> Result<RecordKey, TokenError> {
        let secret = match &self.key {
            Some(file) => Token::load(file)?,
            None => Token::load_or_make(&data.join(KEY_FILE))?,
        };
        Ok(RecordKey::new(secret.reveal().as_bytes()))
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
    }
}
