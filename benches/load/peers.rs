//! The generator's own servers, which do nothing but the least work of a load.

use std::{
    env,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::ground::{Ground, Tier};

/// A process of the generator that serves; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Peer {
    /// The bare loop of writes, with so many of them for each message and viewer.
    pub(crate) fn bare(ground: &Ground, writes: f64, merging: bool) -> Self {
        let mut command = role("bare");
        command.args(["--writes", &writes.to_string()]);
        if merging {
            command.arg("--merging");
        }
        Self::start(command, ground, Tier::Edge)
    }

    /// The bare echo.
    pub(crate) fn echo(ground: &Ground) -> Self {
        Self::start(role("echo"), ground, Tier::Edge)
    }

    /// The end of the bare relay that answers, with the certificate in this folder.
    pub(crate) fn relay_far(ground: &Ground, certificate: &Path) -> Self {
        let mut command = role("relay-far");
        command.arg("--certificate").arg(certificate);
        Self::start(command, ground, Tier::Origin)
    }

    /// The end of the bare relay to which clients connect.
    pub(crate) fn relay_near(ground: &Ground, certificate: &Path, far: &Self) -> Self {
        let mut command = role("relay-near");
        command.arg("--certificate").arg(certificate);
        command.args(["--far", &far.address.to_string()]);
        Self::start(command, ground, Tier::Edge)
    }

    /// Starts the process where a tier stands.
    fn start(mut command: Command, ground: &Ground, tier: Tier) -> Self {
        command
            .args(["--address", &ground.address(tier).to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let started = ground.at(tier, || command.spawn());
        let mut child = started.expect("this program starts itself");
        let output = child.stdout.take().expect("its output is piped");
        let mut line = String::new();
        BufReader::new(output)
            .read_line(&mut line)
            .expect("its first line");
        let ready: Value = serde_json::from_str(&line).expect("its first line is JSON");
        let listening = ready["listening"].as_str();
        let address = listening.and_then(|text| text.parse().ok());
        Self {
            child,
            address: address.expect("its address"),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The process may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn role(name: &str) -> Command {
    let executable = env::current_exe().expect("the path of this program");
    let mut command = Command::new(executable);
    command.args(["generate", name]);
    command
}
