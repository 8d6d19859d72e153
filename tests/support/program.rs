//! A process under test: its start, addresses, signals, and end.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

/// A running process whose output goes to files; killed when dropped.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    addresses: HashMap<String, SocketAddr>,
    has_children: bool,
}

impl Program {
    /// Starts a command, with its output in `directory`.
    pub(crate) fn spawn(name: &str, command: &mut Command, directory: &Path) -> Self {
        let stdout = directory.join(format!("{name}.out"));
        let stderr = directory.join(format!("{name}.err"));
        let child = command
            .stdin(Stdio::null())
            .stdout(create(&stdout))
            .stderr(create(&stderr))
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self {
            name: name.to_owned(),
            child,
            stdout,
            stderr,
            addresses: HashMap::new(),
            has_children: false,
        }
    }

    /// Marks a process with children: it is asked to end before it is killed.
    pub(crate) fn with_children(mut self) -> Self {
        self.has_children = true;
        self
    }

    /// Starts a subcommand of tributary and waits for its line of addresses.
    pub(crate) fn tributary<A: AsRef<OsStr>>(
        name: &str,
        executable: &Path,
        directory: &Path,
        arguments: &[A],
    ) -> Self {
        Self::tributary_with(name, executable, directory, arguments, &[])
    }

    /// As [`Self::tributary`], with these variables.
    pub(crate) fn tributary_with<A: AsRef<OsStr>>(
        name: &str,
        executable: &Path,
        directory: &Path,
        arguments: &[A],
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(executable);
        command.args(arguments).current_dir(directory);
        // The program reads every variable with its prefix as a setting; these belong to the tests.
        for variable in OF_THE_TESTS {
            command.env_remove(variable);
        }
        command.envs(variables.iter().copied());
        let mut program = Self::spawn(name, &mut command, directory);
        program.await_listening();
        program
    }

    /// An address of the `listening` line.
    pub(crate) fn address(&self, key: &str) -> SocketAddr {
        self.addresses.get(key).copied().unwrap_or_else(|| {
            panic!(
                "{} printed no {key} address: {:?}",
                self.name, self.addresses
            )
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal)
            .unwrap_or_else(|error| panic!("{} takes no signal: {error}", self.name));
    }

    /// Waits until the process has ended by itself.
    pub(crate) fn wait_exit(&mut self, at_most: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + at_most;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(POLL);
        }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends the process at once.
    pub(crate) fn kill(&mut self) {
        // The process may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The output so far, standard output first.
    pub(crate) fn log(&self) -> String {
        let read =
            |path: &Path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned();
        read(&self.stdout) + &read(&self.stderr)
    }

    /// Waits for its line of addresses.
    pub(crate) fn await_listening(&mut self) {
        let deadline = Instant::now() + START_WITHIN;
        loop {
            let output = fs::read_to_string(&self.stdout).unwrap_or_default();
            if let Some(addresses) = listening(&output) {
                self.addresses = addresses;
                return;
            }
            assert!(
                self.is_running() && Instant::now() < deadline,
                "{} does not listen:\n{}",
                self.name,
                self.log()
            );
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.has_children && self.is_running() {
            self.signal(Signal::TERM);
            self.wait_exit(CHILDREN_END_WITHIN);
        }
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(60).collect();
            eprintln!("--- {} ({})", self.name, self.stderr.display());
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}

/// Runs a command to its end, which must be a success.
pub(crate) fn run(command: &mut Command) {
    let output = command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The addresses in a complete line that begins with `listening`.
fn listening(output: &str) -> Option<HashMap<String, SocketAddr>> {
    let (complete, _) = output.rsplit_once('\n')?;
    let line = complete
        .lines()
        .find_map(|line| line.strip_prefix("listening "))?;
    let pairs = line.split_whitespace().filter_map(|pair| {
        let (key, address) = pair.split_once('=')?;
        Some((key.to_owned(), address.parse().ok()?))
    });
    Some(pairs.collect())
}

fn create(path: &Path) -> File {
    File::create(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

const OF_THE_TESTS: [&str; 2] = ["TRIBUTARY_CHURN_SECONDS", "TRIBUTARY_CHURN_SEED"];
const POLL: Duration = Duration::from_millis(5);
const CHILDREN_END_WITHIN: Duration = Duration::from_secs(3);
const START_WITHIN: Duration = Duration::from_secs(20);
