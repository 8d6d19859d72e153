//! The map: which folder of a crate may import which.
//!
//! A folder is a directory below `src`, or a file with the directory of its name. Folders stand from the bottom up:
//! one may use only what stands above it in its list, so that the map has no circle.

use std::collections::BTreeSet;

use super::graph::Arrow;

/// One crate's folders, and the known exceptions.
#[derive(Debug)]
pub(crate) struct CrateMap {
    /// The crate's directory in the workspace.
    pub(crate) member: &'static str,
    /// Each folder, and the folders it may use.
    pub(crate) folders: &'static [(&'static str, &'static str)],
    /// Known uses against the direction. This list only shrinks.
    pub(crate) against: &'static [Pair],
    /// Known files in circles. This list only shrinks.
    pub(crate) circles: &'static [&'static str],
}

/// A folder and one that it uses.
pub(crate) type Pair = (&'static str, &'static str);

/// The map's judgement of an arrow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Allowed,
    /// Not allowed, but known.
    Against(Pair),
    Forbidden,
}

impl CrateMap {
    /// The folder of a file: the deepest one that the map has.
    pub(crate) fn folder(&self, file: &str) -> Option<&'static str> {
        let stem = file.strip_suffix(".rs").unwrap_or(file);
        let stem = stem.strip_suffix("/mod").unwrap_or(stem);
        let holds = |folder: &str| {
            let rest = stem.strip_prefix(folder);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let folders = self.folders.iter().map(|(folder, _)| *folder);
        folders.filter(|it| holds(it)).max_by_key(|it| it.len())
    }

    pub(crate) fn judge(&self, arrow: &Arrow<'_>) -> Verdict {
        let (Some(from), Some(to)) = (self.folder(arrow.from), self.folder(arrow.to)) else {
            return Verdict::Forbidden;
        };
        if from == to || self.uses(from).any(|used| used == to) {
            return Verdict::Allowed;
        }
        match self.against.contains(&(from, to)) {
            true => Verdict::Against((from, to)),
            false => Verdict::Forbidden,
        }
    }

    fn uses(&self, folder: &str) -> impl Iterator<Item = &'static str> {
        let entry = self.folders.iter().find(|(name, _)| *name == folder);
        entry.map_or("", |(_, uses)| *uses).split_whitespace()
    }

    /// Folders that use a folder which does not stand above them in the list.
    pub(crate) fn mistakes(&self) -> Vec<String> {
        let mut above = Vec::new();
        let mut mistakes = Vec::new();
        for (folder, uses) in self.folders {
            let wrong = uses.split_whitespace();
            let wrong = wrong.filter(|used| !above.contains(used));
            mistakes.extend(wrong.map(|used| {
                format!(
                    "{}: {folder} may use {used}, which does not stand above it",
                    self.member
                )
            }));
            above.push(*folder);
        }
        mistakes
    }

    /// Entries of the map that no folder and no use needs any more.
    pub(crate) fn unused(&self, folders: &BTreeSet<&str>, against: &BTreeSet<Pair>) -> Vec<String> {
        let member = self.member;
        let gone = self.folders.iter().filter(|(it, _)| !folders.contains(it));
        let gone = gone.map(|(folder, _)| format!("{member}: there is no folder {folder}"));
        let done = self.against.iter().filter(|pair| !against.contains(*pair));
        let done = done.map(|(from, to)| {
            format!("{member}: {from} does not use {to} any more: the pair leaves the list")
        });
        gone.chain(done).collect()
    }
}

pub(crate) const CRATES: &[CrateMap] = &[
    PROTOCOL, SETTINGS, NODE, WEB, EDGE, GATE, ORIGIN, SCRIPT, PATH, PROGRAM,
];

const PROTOCOL: CrateMap = CrateMap {
    member: "protocol",
    folders: &[
        ("mutant", ""),
        ("ids", ""),
        ("timestamp", ""),
        ("group_name", ""),
        ("parcel", ""),
        ("message", "ids parcel timestamp"),
        ("proxy", ""),
        ("http", ""),
        ("websocket", "http parcel"),
        ("tunnel", "http parcel"),
        ("handshake", ""),
        ("amf", ""),
        ("chunk", "ids message parcel timestamp"),
        ("media", "message timestamp"),
        ("flv", "chunk ids message timestamp"),
        ("command", "amf chunk ids message timestamp"),
        ("shared_object", "amf command message"),
        ("ring", "chunk media message parcel timestamp"),
        (
            "session",
            "amf chunk command handshake ids message parcel timestamp",
        ),
        (
            "link",
            "amf chunk command group_name ids message mutant parcel ring shared_object timestamp",
        ),
        ("cluster", "group_name link mutant"),
        ("lib", "group_name ids message timestamp"),
    ],
    against: &[],
    circles: &[],
};

const PATH: CrateMap = CrateMap {
    member: "tests/path",
    folders: &[
        ("error", ""),
        ("namespace", "error"),
        ("conditions", ""),
        ("line", "conditions"),
        ("carrier", "line"),
        ("path", "carrier conditions error line namespace"),
        ("lib", "conditions error line namespace path"),
        ("main", ""),
    ],
    against: &[],
    circles: &[],
};

const SETTINGS: CrateMap = CrateMap {
    member: "node/settings",
    folders: &[
        ("address", ""),
        ("mistake", ""),
        ("changes", "mistake"),
        ("units", ""),
        ("tree", "mistake"),
        ("de", "mistake tree"),
        ("lib", "address changes de mistake tree units"),
    ],
    against: &[],
    circles: &[],
};

const NODE: CrateMap = CrateMap {
    member: "node",
    folders: &[
        ("backoff", ""),
        ("drain", ""),
        ("encoder", ""),
        ("load", ""),
        ("queue", ""),
        ("rate", ""),
        ("token", ""),
        ("metrics", ""),
        ("config", ""),
        ("log", "config"),
        ("admin", "drain token"),
        ("tls", ""),
        ("cert", "tls"),
        ("transport", "tls"),
        ("feed", "transport"),
        ("link", "feed metrics queue rate tls transport"),
        ("lib", ""),
    ],
    against: &[],
    circles: &[],
};

const WEB: CrateMap = CrateMap {
    member: "node/web",
    folders: &[
        ("limits", ""),
        ("message", "limits"),
        ("target", "message"),
        ("connect", "limits"),
        ("perform", "connect limits message target"),
        ("thread", ""),
        ("client", "connect limits message perform target thread"),
        ("lib", "client connect limits message target thread"),
    ],
    against: &[],
    circles: &[],
};

const EDGE: CrateMap = CrateMap {
    member: "edge",
    folders: &[
        ("departure", ""),
        ("admission", ""),
        ("metrics", "admission"),
        ("wire/transport", ""),
        ("wire", "wire/transport"),
        ("tunnel", "wire wire/transport"),
        ("objects", "metrics wire"),
        ("spread", ""),
        ("fanout", "metrics wire"),
        ("link", "fanout objects"),
        ("moving", "admission link spread"),
        ("config", "departure link"),
        ("hooks", "metrics"),
        ("policies", "hooks"),
        ("in_force", "config policies"),
        ("tls", "config metrics wire wire/transport"),
        ("door", "admission config tls tunnel wire wire/transport"),
        (
            "worker",
            "departure fanout hooks in_force link metrics moving objects policies tunnel wire",
        ),
        (
            "client",
            "admission config departure door fanout hooks link metrics moving objects spread tunnel wire wire/transport worker",
        ),
        (
            "requests",
            "admission client config door metrics moving spread tunnel wire wire/transport worker",
        ),
        (
            "thread",
            "admission client door moving requests spread wire wire/transport worker",
        ),
        ("listeners", "config door tls tunnel wire"),
        (
            "listener",
            "admission departure door listeners metrics spread thread",
        ),
        (
            "run",
            "admission config departure door fanout in_force link listener listeners metrics moving policies thread tls tunnel wire worker",
        ),
        ("live", "admission link listeners moving run spread tunnel"),
        ("handover", "link live moving"),
        ("reload", "config fanout run tls"),
        (
            "start",
            "config departure fanout hooks link listeners live metrics moving policies reload run tls wire",
        ),
        ("lib", "config listeners metrics policies reload start"),
    ],
    against: &[],
    circles: &[],
};

const GATE: CrateMap = CrateMap {
    member: "edge/gate",
    folders: &[
        ("networks", ""),
        ("query", ""),
        ("refusal", ""),
        ("secret", ""),
        ("access", "networks refusal"),
        ("rates", "refusal"),
        ("encoders", "query refusal secret"),
        ("tokens", "query refusal secret"),
        ("hooks", "access refusal"),
        ("gate", "access encoders rates refusal tokens"),
        (
            "lib",
            "access encoders gate hooks networks rates refusal secret tokens",
        ),
    ],
    against: &[],
    circles: &[],
};

const ORIGIN: CrateMap = CrateMap {
    member: "origin",
    folders: &[
        ("live", ""),
        ("store", ""),
        ("session", "live"),
        ("app", "session"),
        ("outgoing", "app live session"),
        ("exchange", "app live outgoing"),
        ("metrics", "exchange"),
        ("group", "app exchange live metrics outgoing session store"),
        ("cluster", "session"),
        ("link", "cluster group live session"),
        ("deploy", "app cluster exchange group"),
        ("config", ""),
        ("run", "app cluster config deploy group link metrics store"),
        ("lib", "cluster config link run store"),
    ],
    against: &[("app", "group")],
    circles: &[],
};

const SCRIPT: CrateMap = CrateMap {
    member: "origin/script",
    folders: &[
        ("text", ""),
        ("library", "text"),
        ("program", "library text"),
        ("host", "library program text"),
        ("value", "host text"),
        ("api", "host library program value text"),
        ("instance", "api host library program value text"),
        ("loader", "host instance library program"),
        ("lib", "host instance library loader program"),
    ],
    against: &[],
    circles: &[],
};

const PROGRAM: CrateMap = CrateMap {
    member: ".",
    folders: &[
        ("node", ""),
        ("sample", "node"),
        ("config", "node"),
        ("cert", "node"),
        ("local", "config"),
        ("check", "config local node"),
        ("plan", "node"),
        ("dev", "config node sample"),
        ("admin_client", "config dev node"),
        ("system", ""),
        ("reload", "admin_client config node system"),
        ("replace", "config node"),
        ("edge", "config local node reload replace system"),
        ("origin", "config node reload system"),
        ("table", ""),
        ("apps", "admin_client node table"),
        ("cluster", "admin_client node table"),
        ("drain", "admin_client node"),
        (
            "main",
            "apps cert check cluster dev drain edge origin plan reload",
        ),
    ],
    against: &[],
    circles: &[],
};
