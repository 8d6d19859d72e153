//! The series of loads: in each, one number grows tenfold.

use super::load::{Application, Load, Watch};
use crate::delivery::Delivery;

/// Loads of rising size.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: &'static str,
    /// The load without any unit; `None` if the loads differ in more than their size.
    base: Option<Load>,
    /// The number of units, and the load.
    loads: Vec<(usize, Load)>,
}

impl Series {
    fn new(name: &'static str, base: Load, sizes: &[usize], load: impl Fn(usize) -> Load) -> Self {
        Self {
            name,
            base: Some(base),
            loads: sizes.iter().map(|&units| (units, load(units))).collect(),
        }
    }

    /// The loads with their units, the base first.
    pub(super) fn loads(&self) -> impl Iterator<Item = (f64, Load)> {
        let base = self.base.iter().map(|&load| (0.0, load));
        base.chain(self.loads.iter().map(|&(units, load)| (units as f64, load)))
    }

    /// Whether the loads differ in their size alone.
    pub(super) fn grows(&self) -> bool {
        self.base.is_some()
    }

    /// Leaves out what is larger than this.
    fn up_to(mut self, largest: usize) -> Self {
        self.loads.retain(|(units, _)| *units <= largest);
        self
    }
}

/// All series, without loads of more units than this.
pub(super) fn all(largest: usize) -> Vec<Series> {
    let series = [
        held(),
        vec![calls(Application::Rust), calls(Application::Script)],
        streams(),
        vec![kinds_of_viewers(), kinds_of_streams()],
    ];
    let series = series.into_iter().flatten();
    series.map(|series| series.up_to(largest)).collect()
}

/// Things that the nodes hold, and that do nothing.
fn held() -> Vec<Series> {
    let idle = Load::IDLE;
    let groups = |application| {
        move |groups| Load {
            groups,
            members: 1,
            application,
            ..idle
        }
    };
    let many_edges = Load { edges: 4, ..idle };
    vec![
        Series::new("sessions", idle, &[300, 3_000, 15_000], |members| {
            let groups = 1;
            Load {
                groups,
                members,
                ..idle
            }
        }),
        Series::new(
            "groups",
            idle,
            &[100, 1_000, 10_000],
            groups(Application::Rust),
        ),
        Series::new(
            "script groups",
            idle,
            &[10, 100, 1_000],
            groups(Application::Script),
        ),
        // Four lanes and four sessions for each group, in place of one.
        Series::new("lanes", many_edges, &[100, 1_000, 10_000], |lanes| {
            let (groups, members) = (lanes / 4, 4);
            Load {
                groups,
                members,
                ..many_edges
            }
        }),
        // An edge more for each.
        Series::new("links", idle, &[1, 10], |links| Load {
            edges: 1 + links,
            ..idle
        }),
    ]
}

fn calls(application: Application) -> Series {
    let load = move |calls| Load {
        groups: 100,
        members: 1,
        application,
        calls: calls as f64,
        ..Load::IDLE
    };
    let (name, sizes): (_, &[usize]) = match application {
        Application::Rust => ("calls", &[100, 1_000, 10_000]),
        Application::Script => ("script calls", &[100, 1_000, 10_000]),
    };
    Series::new(name, load(0), sizes, load)
}

/// Streams, and viewers of one.
fn streams() -> Vec<Series> {
    let one = |viewers| Load {
        publishers: 1,
        watch: Watch::First(viewers),
        ..Load::IDLE
    };
    let streams = |watch| {
        move |publishers| Load {
            publishers,
            watch,
            ..Load::IDLE
        }
    };
    vec![
        Series::new("viewers", one(1), &[100, 1_000, 10_000], one),
        Series::new(
            "unwatched streams",
            Load::IDLE,
            &[10, 100, 1_000],
            streams(Watch::Nothing),
        ),
        Series::new(
            "watched streams",
            Load::IDLE,
            &[10, 100, 1_000],
            streams(Watch::Each),
        ),
    ]
}

/// Viewers of streams of several bits, messages and deliveries.
fn kinds_of_viewers() -> Series {
    let kinds = [
        (100_000, Delivery::Standard),
        (1_000_000, Delivery::Standard),
        (100_000, Delivery::Interactive),
        (400_000, Delivery::Interactive),
        (100_000, Delivery::Broadcast),
        (1_000_000, Delivery::Broadcast),
    ];
    let loads = kinds.map(|(bitrate, delivery)| {
        let viewers = 1_000;
        let load = Load {
            publishers: 1,
            watch: Watch::First(viewers),
            bitrate,
            slowness: 1,
            delivery,
            ..Load::IDLE
        };
        (viewers, load)
    });
    Series {
        name: "kinds of viewers",
        base: None,
        loads: loads.to_vec(),
    }
}

/// Streams of usual messages, at one edge and at several.
fn kinds_of_streams() -> Series {
    let kinds = [
        (1, 50, 300_000, Watch::Nothing),
        (1, 50, 1_000_000, Watch::Nothing),
        (1, 50, 300_000, Watch::Each),
        (1, 50, 1_000_000, Watch::Each),
        (4, 20, 300_000, Watch::Each),
        (4, 20, 1_000_000, Watch::Each),
    ];
    let loads = kinds.map(|(edges, publishers, bitrate, watch)| {
        let load = Load {
            edges,
            publishers,
            watch,
            bitrate,
            slowness: 1,
            ..Load::IDLE
        };
        (publishers, load)
    });
    Series {
        name: "kinds of streams",
        base: None,
        loads: loads.to_vec(),
    }
}
