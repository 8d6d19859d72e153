//! The settings of certificates: `[tls.NAME]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// The files of a certificate for clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateFiles {
    /// A PEM file: the server's certificate, then those of its issuers.
    pub certificate: PathBuf,
    /// A PEM file with its private key.
    pub key: PathBuf,
}
