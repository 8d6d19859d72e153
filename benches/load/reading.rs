//! The ways in which viewers read, which give different winners.

use clap::ValueEnum;

/// How the viewers of a stream read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reading {
    /// Each viewer reads when bytes arrive, as a program does that does nothing else.
    Prompt,
    /// Each viewer reads every 100 ms, as players do that decode in between. The kernel then merges
    /// more of what a server writes.
    Lazy,
}

impl Reading {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Lazy => "lazy",
        }
    }
}
