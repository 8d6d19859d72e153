//! The deliveries of live streams that tributary's edges know: docs/configuration.md.

use clap::ValueEnum;

/// How tributary delivers the measured streams; other servers know no such setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Delivery {
    Interactive,
    Standard,
    Broadcast,
}

impl Delivery {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Standard => "standard",
            Self::Broadcast => "broadcast",
        }
    }

    /// Whether tributary lets the kernel merge the writes to many viewers.
    pub(crate) fn merges(self) -> bool {
        self == Self::Standard
    }

    /// The words for the head of a report.
    pub(crate) fn remark(delivery: Option<Self>) -> String {
        delivery.map_or_else(String::new, |own| format!("; delivery {}", own.name()))
    }
}
