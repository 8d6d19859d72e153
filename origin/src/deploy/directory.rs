//! The applications directory: its folders, their states, and the exchange of folders.

use std::{
    fs, io,
    path::Path,
    thread,
    time::{Instant, SystemTime},
};

use super::{
    folder::{self, Fingerprint, FolderError, Listing},
    watch::SETTLED,
};

/// Where uploads are unpacked and removed folders go, in the applications directory.
pub(super) const STAGING: &str = ".staging";

/// The most folders that are applications. Reason: each is looked at twice a second and keeps a
/// log.
pub(crate) const MAX_APPLICATIONS: usize = 1_000;

/// The names of the folders that are applications, in order.
pub(super) fn folders(apps: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(apps)? {
        let entry = entry?;
        // The folder itself may be a link: where it leads is the operator's choice.
        let is_folder = fs::metadata(entry.path()).is_ok_and(|found| found.is_dir());
        let name = entry.file_name().into_string();
        if let Some(name) = name.ok().filter(|name| is_folder && folder::is_name(name)) {
            names.push(name);
        }
    }
    names.sort();
    names.truncate(MAX_APPLICATIONS);
    Ok(names)
}

/// A folder's listing and the fingerprint of its state.
pub(super) fn look_at(folder: &Path) -> (Result<Listing, FolderError>, Fingerprint) {
    let listing = Listing::of(folder);
    let print = match &listing {
        Ok(listing) => listing.fingerprint(),
        Err(error) => Fingerprint::of_error(error),
    };
    (listing, print)
}

/// Puts a folder in the place of another, which takes its place.
pub(super) fn exchange(new: &Path, at: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    if !at.exists() {
        fs::rename(new, at)?;
        // The removal of the staging folder expects a folder there.
        return fs::create_dir(new);
    }
    match renameat_with(CWD, new, CWD, at, RenameFlags::EXCHANGE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            // The file system cannot exchange. For a moment there is no folder, which the watch
            // tolerates.
            let aside = new.with_extension("old");
            fs::rename(at, &aside)?;
            fs::rename(new, at)?;
            fs::rename(aside, new)
        }
        exchanged => Ok(exchanged?),
    }
}

/// Waits until a folder has been unchanged for long enough, unless that takes too long.
pub(super) fn settled(folder: &Path, patience: Instant) -> Option<Fingerprint> {
    loop {
        let (listing, print) = look_at(folder);
        let unchanged = listing.map_or(SETTLED, |listing| listing.unchanged_for(SystemTime::now()));
        if unchanged >= SETTLED {
            return Some(print);
        }
        if Instant::now() >= patience {
            return None;
        }
        thread::sleep(SETTLED - unchanged);
    }
}
