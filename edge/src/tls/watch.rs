//! Certificates that are renewed: a pair is read again once both its files have stopped changing.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{task::spawn_blocking, time::sleep};
use tributary_node::drain;

use super::{
    Certificates,
    pair::{DAY, Pair, Print, Texts, now},
    resolver::Store,
    tickets::Tickets,
};
use crate::{config::CertificateFiles, metrics::Metrics};

/// A pair of files.
#[derive(Debug)]
pub(super) struct Watched {
    name: String,
    files: CertificateFiles,
    /// The contents that were used, or found to be of no use.
    handled: Print,
    /// Other contents at the last look.
    seen: Option<Print>,
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
            handled: pair.print,
            seen: None,
        }
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
            Ok(pair) => Some(pair),
            Err(error) => {
                let name = &self.name;
                tracing::error!(certificate = name, %error, "the certificate before stays in use");
                None
            }
        }
    }
}

/// All that is looked at; it moves to a thread that may block and back.
struct Looks {
    store: Arc<Store>,
    tickets: Arc<Tickets>,
    files: Vec<Watched>,
    ticket_file: Option<PathBuf>,
    ticket_print: Option<Vec<u8>>,
}

impl Looks {
    fn look(&mut self) {
        for watched in &mut self.files {
            if let Some(pair) = watched.look() {
                pair.report(&watched.name);
                self.store.put(&watched.name, pair);
            }
        }
        let Some(file) = &self.ticket_file else {
            return;
        };
        let print = std::fs::read(file).ok();
        if print.is_some() && print != self.ticket_print {
            self.ticket_print = print;
            match self.tickets.reload(file) {
                Ok(()) => tracing::debug!("ticket keys in use"),
                Err(error) => tracing::error!(%error, "the ticket keys before stay in use"),
            }
        }
    }
}

impl Certificates {
    /// Swaps certificates and ticket keys whose files change, and reports the ends of their
    /// validity, until the drain begins.
    pub(crate) async fn watch(self, metrics: Arc<Metrics>, drain: drain::Watch) {
        if self.files.is_empty() {
            return;
        }
        let ticket_print = self
            .ticket_file
            .as_ref()
            .and_then(|file| std::fs::read(file).ok());
        let mut looks = Looks {
            store: self.store,
            tickets: self.tickets,
            files: self.files,
            ticket_file: self.ticket_file,
            ticket_print,
        };
        let mut warned = None;
        loop {
            let expiries = looks.store.expiries();
            for (name, expires) in &expiries {
                metrics.set_certificate_expiry(name, *expires);
            }
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
            let looked = spawn_blocking(move || {
                looks.look();
                looks
            });
            match looked.await {
                Ok(back) => looks = back,
                // A defect of ours, which has been reported; the certificates stay.
                Err(_) => return,
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
