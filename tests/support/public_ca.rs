//! Certificates for clients, from a CA that no client knows.

use std::{path::Path, process::Command};

use super::{cluster::TRIBUTARY, program};

/// The directory of the CA, below the cluster's.
const CA: &str = "public";

/// Makes the CA.
pub(crate) fn init(directory: &Path) {
    program::run(
        Command::new(TRIBUTARY)
            .args(["cert", "init"])
            .arg(directory.join(CA)),
    );
}

/// Makes a certificate for a host and for 127.0.0.1: `server.pem` and `server.key` in `out`.
pub(crate) fn issue(directory: &Path, host: &str, out: &str) {
    let names = ["--name", host, "--name", "127.0.0.1"];
    program::run(
        Command::new(TRIBUTARY)
            .args(["cert", "server"])
            .args(names)
            .arg("--ca")
            .arg(directory.join(CA))
            .arg("--out")
            .arg(directory.join(out)),
    );
}
