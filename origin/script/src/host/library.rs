//! The library of one group; each part is made at its first use.

use std::{
    cell::{Cell, OnceCell, RefCell},
    collections::HashMap,
    fmt,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::Instant,
};

use tributary_protocol::GroupName;
use tributary_web::{Allowed, HttpCaller};

use super::{Host, gateways::Gateways, kept::Kept};
use crate::{
    library::{files::Files, outbound::Outbound, socket::GroupSockets},
    program::Program,
};

/// One group's library.
pub(crate) struct Library {
    /// The folder that the instance writes to, if it may.
    written: Option<PathBuf>,
    /// The application's folder, if it has one.
    deployed: Option<PathBuf>,
    outbound: Outbound,
    allowed: Allowed,
    parts: RefCell<HashMap<&'static str, Kept>>,
    files: OnceCell<Rc<RefCell<Files>>>,
    /// The turn of the files' present allowance.
    turn: Cell<Option<Instant>>,
    http: OnceCell<HttpCaller>,
    sockets: OnceCell<GroupSockets>,
    /// The script's listener of each socket.
    listeners: RefCell<HashMap<u64, Kept>>,
    last_socket: Cell<u64>,
    /// Connections to remoting gateways.
    pub(crate) gateways: Gateways,
}

impl Library {
    /// The library of an instance of this program.
    pub(crate) fn new(program: &Arc<Program>, host: &Host, group: &GroupName) -> Self {
        let data = host.data.as_deref();
        let deployed = program.folder();
        Self {
            written: data.map(|data| files_folder(data, group)),
            deployed: (deployed != Path::new("")).then(|| deployed.to_owned()),
            outbound: host.outbound.clone(),
            allowed: allowed(program, host.is_trial),
            parts: RefCell::default(),
            files: OnceCell::new(),
            turn: Cell::new(None),
            http: OnceCell::new(),
            sockets: OnceCell::new(),
            listeners: RefCell::default(),
            last_socket: Cell::new(0),
            gateways: Gateways::default(),
        }
    }

    /// The exports of a part of the host's scripts.
    pub(crate) fn part<R>(&self, name: &str, read: impl FnOnce(&Kept) -> R) -> Option<R> {
        self.parts.borrow().get(name).map(read)
    }

    /// Keeps the exports of a part.
    pub(crate) fn keep_part(&self, name: &'static str, exports: Kept) {
        self.parts.borrow_mut().insert(name, exports);
    }

    /// The group's files.
    pub(crate) fn files(&self) -> Rc<RefCell<Files>> {
        let files = self.files.get_or_init(|| {
            let files = Files::new(self.written.clone(), self.deployed.clone());
            Rc::new(RefCell::new(files))
        });
        Rc::clone(files)
    }

    /// Gives the files a new allowance, unless this turn, which began at `now`, has one already.
    pub(crate) fn new_turn(&self, now: Instant) {
        let now = Some(now);
        if self.turn.replace(now) != now
            && let Some(files) = self.files.get()
        {
            files.borrow_mut().begin_turn();
        }
    }

    /// The group's caller for HTTP.
    pub(crate) fn http(&self) -> &HttpCaller {
        self.http
            .get_or_init(|| self.outbound.http().caller(Arc::clone(&self.allowed)))
    }

    /// The group's sockets.
    pub(crate) fn sockets(&self) -> &GroupSockets {
        self.sockets
            .get_or_init(|| self.outbound.sockets().group(Arc::clone(&self.allowed)))
    }

    /// Keeps the listener of a new socket; returns the socket's number.
    pub(crate) fn add_socket(&self, listener: Kept) -> u64 {
        let number = self.last_socket.get() + 1;
        self.last_socket.set(number);
        self.listeners.borrow_mut().insert(number, listener);
        number
    }

    /// The listener of a socket.
    pub(crate) fn with_socket<R>(&self, number: u64, read: impl FnOnce(&Kept) -> R) -> Option<R> {
        self.listeners.borrow().get(&number).map(read)
    }

    /// Removes a socket's listener.
    pub(crate) fn remove_socket(&self, number: u64) -> Option<Kept> {
        self.listeners.borrow_mut().remove(&number)
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Library")
            .field("written", &self.written)
            .field("deployed", &self.deployed)
            .finish_non_exhaustive()
    }
}

/// Whether the application's setting `outgoing` names a target.
fn allowed(program: &Arc<Program>, is_trial: bool) -> Allowed {
    let program = Arc::clone(program);
    Arc::new(move |host, port| !is_trial && program.settings().may_connect(host, port))
}

/// The folder of an instance's files, below its application's folder. An instance name is any text:
/// bytes other than letters, digits and `-_` are written as `%XX`, and a long name as its digest.
pub(crate) fn files_folder(application: &Path, group: &GroupName) -> PathBuf {
    application
        .join(folder_name(group.instance()))
        .join("files")
}

/// The longest name that is not written as a digest. Reason: file systems take 255 bytes.
const LONGEST_NAME: usize = 200;

fn folder_name(instance: &str) -> String {
    use sha2::{Digest, Sha256};
    let mut name = String::with_capacity(instance.len());
    for byte in instance.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let digest = Sha256::digest(instance);
    digest
        .iter()
        .fold("%".to_owned(), |name, byte| format!("{name}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_instances_share_a_folder() {
        let long = "x".repeat(300);
        let names = [
            "_definst_",
            "room/1",
            "room%2F1",
            "room",
            "../..",
            ".",
            "é",
            &long,
        ];
        let folders = names.map(folder_name);
        let expected = [
            "_definst_",
            "room%2F1",
            "room%252F1",
            "room",
            "%2E%2E%2F%2E%2E",
            "%2E",
        ];
        assert_eq!(folders[..6], expected);
        assert!(
            folders
                .iter()
                .all(|name| name.len() <= LONGEST_NAME && !name.contains('/'))
        );
        let other = folder_name(&format!("{long}y"));
        assert_ne!(folders[7], other);
    }
}
