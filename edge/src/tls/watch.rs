//! Certificates that are renewed: a pair is read again once both its files have stopped changing.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{task::spawn_blocking, time::sleep};
use tributary_node::drain;

use super::{
    Certificates, TicketKeysError,
    pair::{DAY, Pair, Print, Texts, now},
    tickets::{self, Keys},
};
use crate::{config::CertificateFiles, metrics::Metrics};

/// A pair of files.
#[derive(Debug)]
pub(super) struct Watched {
    name: String,
    files: CertificateFiles,
    /// The contents in use.
    used: Print,
    /// The contents in use, or those found since to be of no use.
    handled: Print,
    /// Other contents at the last look.
    seen: Option<Print>,
}

/// A file of ticket keys.
#[derive(Debug)]
pub(super) struct TicketFile {
    file: PathBuf,
    /// The contents that were used, or found to be of no use.
    handled: Print,
}

/// The interval between two looks. Reason: files are read, not notified, because a renewed name, a
/// changed symbolic link and a network file system all show in the contents.
const LOOK: Duration = Duration::from_secs(2);

/// The days before the end of the validity from which on there is a warning each day.
const WARN_DAYS: i64 = 14;

impl Watched {
    pub(super) fn new(name: &str, files: &CertificateFiles, pair: &Pair) -> Self {
        Self {
            name: name.to_owned(),
            files: files.clone(),
            used: pair.print,
            handled: pair.print,
            seen: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn has_name(&self, name: &str) -> bool {
        self.name == name
    }

    /// Whether this is the pair of that name and these files.
    pub(super) fn is(&self, name: &str, files: &CertificateFiles) -> bool {
        self.has_name(name) && self.files == *files
    }

    /// Whether the files hold the pair in use.
    pub(super) fn is_as_used(&self) -> bool {
        Texts::read(&self.files).is_ok_and(|texts| texts.print() == self.used)
    }

    /// Looks at the files. Returns the new pair if they have changed and are as they were at the
    /// last look: the program that renews them has then written both.
    fn look(&mut self) -> Option<Pair> {
        // A file that is missing is being replaced.
        let print = Texts::read(&self.files).ok()?.print();
        if print == self.handled {
            self.seen = None;
            return None;
        }
        if self.seen != Some(print) {
            self.seen = Some(print);
            return None;
        }
        self.handled = print;
        self.seen = None;
        match Pair::load(&self.files) {
            Ok(pair) => {
                self.used = pair.print;
                Some(pair)
            }
            Err(error) => {
                let name = &self.name;
                tracing::error!(certificate = name, %error, "the certificate before stays in use");
                None
            }
        }
    }
}

impl TicketFile {
    /// Reads a file.
    pub(super) fn read(file: &Path) -> Result<(Self, Keys), TicketKeysError> {
        let (keys, handled) = tickets::read(file)?;
        let file = Self {
            file: file.to_owned(),
            handled,
        };
        Ok((file, keys))
    }

    /// Looks at the file. Returns its keys if it has changed.
    fn look(&mut self) -> Option<Keys> {
        let print = tickets::print(&self.file)?;
        if print == self.handled {
            return None;
        }
        self.handled = print;
        match tickets::read(&self.file) {
            Ok((keys, _)) => {
                tracing::debug!("ticket keys in use");
                Some(keys)
            }
            Err(error) => {
                tracing::error!(%error, "the ticket keys before stay in use");
                None
            }
        }
    }
}

impl Certificates {
    /// Looks at all files once, and puts those in force that have changed.
    fn look(&self) {
        let mut files = self.files();
        for watched in &mut files.pairs {
            if let Some(pair) = watched.look() {
                pair.report(&watched.name);
                self.store.put(&watched.name, pair);
            }
        }
        if let Some(keys) = files.tickets.as_mut().and_then(TicketFile::look) {
            self.tickets.replace(keys);
        }
    }

    /// Swaps certificates and ticket keys whose files change, and reports the ends of their
    /// validity, until the drain begins.
    pub(crate) async fn watch(self, metrics: Arc<Metrics>, drain: drain::Watch) {
        let mut warned = None;
        let mut shown = BTreeSet::new();
        loop {
            let expiries = self.store.expiries();
            for (name, expires) in &expiries {
                metrics.set_certificate_expiry(name, *expires);
            }
            let names = expiries.iter().map(|(name, _)| name.clone()).collect();
            for gone in shown.difference(&names) {
                metrics.forget_certificate(gone);
            }
            shown = names;
            let today = now() / DAY;
            if warned.replace(today) != Some(today) {
                expiries
                    .iter()
                    .for_each(|(name, expires)| warn(name, *expires));
            }
            tokio::select! {
                () = sleep(LOOK) => {}
                () = drain.signaled() => return,
            }
            if self.files().pairs.is_empty() {
                continue;
            }
            let certificates = self.clone();
            let looked = spawn_blocking(move || certificates.look());
            // It fails after a defect of ours, which has been reported; the certificates stay.
            if looked.await.is_err() {
                return;
            }
        }
    }
}

fn warn(name: &str, expires: i64) {
    let days = (expires - now()).div_euclid(DAY);
    if days < WARN_DAYS {
        tracing::warn!(
            certificate = name,
            expires_in_days = days,
            "the certificate ends soon; renew its files, which are then read without a restart"
        );
    }
}
