//! The names of types: one that other files see is the only one of its crate.
//!
//! Private types of several files may share a name, as `State` does. `grep`, error texts and debuggers show no modules.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display, Formatter},
};

use super::source::Source;

/// Crates that are held to the rule, each with the names that may stand for several types. `Error` is
/// the error of its module, as in the standard library; AMF0 and AMF3 have an `Encoder` and a
/// `Decoder` each, with the same methods.
pub(crate) const HELD: &[(&str, &[&str])] = &[
    ("protocol", &["Decoder", "Encoder", "Error"]),
    ("node/settings", &[]),
    ("node", &["Error"]),
    ("node/web", &[]),
    ("edge", &[]),
    ("edge/gate", &[]),
    ("origin", &[]),
    ("origin/script", &[]),
    ("", &[]),
];

/// A name that stands for types of several files, one of which other files see.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SharedName {
    pub(crate) name: String,
    files: BTreeSet<String>,
}

/// The names of a crate that break the rule, in order.
pub(crate) fn shared_names(source: &Source) -> Vec<SharedName> {
    let mut names: BTreeMap<&str, (bool, BTreeSet<String>)> = BTreeMap::new();
    for of in &source.types {
        let (is_visible, files) = names.entry(&of.name).or_default();
        *is_visible |= of.is_visible;
        files.insert(source.files[of.file.0].path.clone());
    }
    let shared = names.into_iter();
    let shared = shared.filter(|(_, (is_visible, files))| *is_visible && files.len() > 1);
    shared
        .map(|(name, (_, files))| SharedName {
            name: name.to_owned(),
            files,
        })
        .collect()
}

impl Display for SharedName {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files.iter().map(String::as_str).collect();
        let (name, files) = (&self.name, files.join(", "));
        write!(
            f,
            "the type {name} stands in {files}: rename all but one by what each of them is, \
             or make all of them private to their files"
        )
    }
}
