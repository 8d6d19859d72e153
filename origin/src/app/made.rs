//! An instance of an application, and the threads that it may run on.

use super::Application;

/// An instance of an application, as its factory has made it.
pub(crate) enum Made {
    /// It stays on the thread that has made it.
    Fixed(Box<dyn Application>),
    /// Between two turns it may go to another thread.
    Mobile(Box<dyn Application + Send>),
}

impl Made {
    pub(crate) fn application(&mut self) -> &mut dyn Application {
        match self {
            Self::Fixed(application) => &mut **application,
            Self::Mobile(application) => &mut **application,
        }
    }
}
