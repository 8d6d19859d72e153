//! The file that defines the thing a path names.

use std::collections::BTreeSet;

use super::source::{FileId, Mention, ModuleId, Name, Source};

/// Where a path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Item(FileId),
    Module(ModuleId),
}

/// Finds the things that paths name. One walk keeps the names it is looking up, so that imports in
/// a circle end it.
struct Walk<'a> {
    source: &'a Source,
    open: Vec<(ModuleId, String, bool)>,
}

impl Source {
    /// The files that define the mentioned thing: as a rule one. A name of a type and of a function
    /// has several; a module, or a name of another crate, has none.
    pub(crate) fn defining(&self, mention: &Mention) -> BTreeSet<FileId> {
        let mut walk = Walk {
            source: self,
            open: Vec::new(),
        };
        let mut files: BTreeSet<_> = walk
            .resolve(mention.module, &mention.path, true)
            .into_iter()
            .filter_map(|found| match found {
                Found::Item(file) => Some(file),
                Found::Module(_) => None,
            })
            .collect();
        if let ([name], true, true) = (&mention.path[..], mention.is_macro, files.is_empty()) {
            files.extend(self.macros.get(name));
        }
        files
    }
}

impl Walk<'_> {
    /// `is_whole`: no part of the path follows. A module then has precedence.
    fn resolve(&mut self, from: ModuleId, path: &[String], is_whole: bool) -> Vec<Found> {
        let Some((first, mut rest)) = path.split_first() else {
            return Vec::new();
        };
        let mut start = Some(match first.as_str() {
            "crate" => ModuleId(0),
            "self" => from,
            "super" => match self.source.modules[from.0].parent {
                Some(parent) => parent,
                None => return Vec::new(),
            },
            _ => {
                let found = self.look_up(from, first, is_whole && rest.is_empty());
                return self.follow(found, rest, is_whole);
            }
        });
        while let (Some((next, after)), Some(module)) = (rest.split_first(), start) {
            if next != "super" {
                break;
            }
            start = self.source.modules[module.0].parent;
            rest = after;
        }
        let found = start.into_iter().map(Found::Module).collect();
        self.follow(found, rest, is_whole)
    }

    /// Goes down from modules. The parts of an item are in the item's file.
    fn follow(&mut self, found: Vec<Found>, rest: &[String], is_whole: bool) -> Vec<Found> {
        let Some((next, rest)) = rest.split_first() else {
            return found;
        };
        let mut all = Vec::new();
        for found in found {
            match found {
                Found::Item(_) => all.push(found),
                Found::Module(module) => {
                    let found = self.look_up(module, next, is_whole && rest.is_empty());
                    all.extend(self.follow(found, rest, is_whole));
                }
            }
        }
        all
    }

    fn look_up(&mut self, module: ModuleId, name: &str, is_last: bool) -> Vec<Found> {
        let key = (module, name.to_owned(), is_last);
        if self.open.contains(&key) {
            return Vec::new();
        }
        self.open.push(key);
        let source = self.source;
        let here = &source.modules[module.0];
        let mut found = Vec::new();
        for meaning in here.names.get(name).into_iter().flatten() {
            match meaning {
                Name::Item => found.push(Found::Item(here.file)),
                Name::Module(child) => found.push(Found::Module(*child)),
                Name::Import(path) => found.extend(self.resolve(module, path, is_last)),
            }
        }
        if found.is_empty() {
            for glob in &here.globs {
                for within in self.resolve(module, glob, false) {
                    if let Found::Module(within) = within {
                        found.extend(self.look_up(within, name, is_last));
                    }
                }
            }
        }
        let is_module = |found: &Found| matches!(found, Found::Module(_));
        if !is_last && found.iter().any(is_module) {
            found.retain(is_module);
        }
        self.open.pop();
        found
    }
}
