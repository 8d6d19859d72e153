//! The files of a crate, the arrows between them, and the circles that the arrows make.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Display, Formatter},
};

use super::source::{FileId, Source};

/// Which file of a crate uses which.
#[derive(Debug)]
pub(crate) struct Graph {
    files: Vec<String>,
    arrows: BTreeMap<(FileId, FileId), Vec<Use>>,
}

/// A place at which one file uses a name of another.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    pub(crate) line: usize,
    pub(crate) name: String,
}

/// One arrow, as failures print it.
#[derive(Debug)]
pub(crate) struct Arrow<'a> {
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    uses: &'a [Use],
}

/// Files each of which reaches every other along arrows.
#[derive(Debug)]
pub(crate) struct Circle<'a> {
    pub(crate) files: BTreeSet<&'a str>,
    arrows: Vec<Arrow<'a>>,
}

/// Places that are printed for one arrow.
const SHOWN: usize = 6;

impl Graph {
    pub(crate) fn new(source: &Source) -> Self {
        let mut arrows: BTreeMap<_, Vec<Use>> = BTreeMap::new();
        for mention in &source.mentions {
            let from = source.modules[mention.module.0].file;
            for to in source.defining(mention) {
                if from == to || source.files[from.0].parent == Some(to) {
                    continue;
                }
                arrows.entry((from, to)).or_default().push(Use {
                    line: mention.line,
                    name: mention.path.join("::"),
                });
            }
        }
        for uses in arrows.values_mut() {
            uses.sort();
            uses.dedup();
        }
        let files = source.files.iter().map(|file| file.path.clone()).collect();
        Self { files, arrows }
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &str> {
        self.files.iter().map(String::as_str)
    }

    pub(crate) fn arrows(&self) -> impl Iterator<Item = Arrow<'_>> {
        self.arrows.iter().map(|(&(from, to), uses)| Arrow {
            from: &self.files[from.0],
            to: &self.files[to.0],
            uses,
        })
    }

    pub(crate) fn circles(&self) -> Vec<Circle<'_>> {
        let mut search = Search::new(self);
        for file in 0..self.files.len() {
            search.visit(FileId(file));
        }
        let circles = search.groups.iter().filter(|group| group.len() > 1);
        circles.map(|group| self.circle(group)).collect()
    }

    fn circle(&self, group: &BTreeSet<FileId>) -> Circle<'_> {
        let files: BTreeSet<_> = group
            .iter()
            .map(|file| self.files[file.0].as_str())
            .collect();
        let inner = |arrow: &Arrow<'_>| files.contains(arrow.from) && files.contains(arrow.to);
        let arrows = self.arrows().filter(inner).collect();
        Circle { files, arrows }
    }
}

/// Tarjan's search for strongly connected files.
struct Search<'a> {
    graph: &'a Graph,
    order: BTreeMap<FileId, usize>,
    lowest: BTreeMap<FileId, usize>,
    stack: Vec<FileId>,
    groups: Vec<BTreeSet<FileId>>,
}

impl<'a> Search<'a> {
    fn new(graph: &'a Graph) -> Self {
        Self {
            graph,
            order: BTreeMap::new(),
            lowest: BTreeMap::new(),
            stack: Vec::new(),
            groups: Vec::new(),
        }
    }

    fn visit(&mut self, file: FileId) {
        if self.order.contains_key(&file) {
            return;
        }
        let number = self.order.len();
        self.order.insert(file, number);
        self.lowest.insert(file, number);
        self.stack.push(file);
        let reached = (file, FileId(0))..=(file, FileId(usize::MAX));
        for (&(_, next), _) in self.graph.arrows.range(reached) {
            let known = self.order.get(&next).copied();
            self.visit(next);
            let low = match known {
                Some(number) if self.stack.contains(&next) => number,
                Some(_) => continue,
                None => self.lowest[&next],
            };
            let lowest = self.lowest[&file].min(low);
            self.lowest.insert(file, lowest);
        }
        if self.lowest[&file] == number {
            let begin = self.stack.iter().position(|&open| open == file);
            let group = self.stack.split_off(begin.expect("it was pushed"));
            self.groups.push(group.into_iter().collect());
        }
    }
}

impl Display for Arrow<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}:", self.from, self.to)?;
        for used in self.uses.iter().take(SHOWN) {
            write!(f, " {} (line {})", used.name, used.line)?;
        }
        match self.uses.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl Display for Circle<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files.iter().copied().collect();
        writeln!(f, "a circle of {}: {}", files.len(), files.join(", "))?;
        for arrow in &self.arrows {
            writeln!(f, "  {arrow}")?;
        }
        Ok(())
    }
}
