//! One live stream in, any number of viewers out.
//!
//! ```text
//!  link thread                    worker thread (one of several)
//!  push ─► LiveStream ──bell──►   pass: for each viewer of the stream on this worker
//!          (encoded once)           batch = what its cursor gets (shared by equal cursors)
//!                                   one write to its socket
//!                                   blocked? parked: its connection goes on when writable
//! ```
//!
//! A stream's ring is shared by all workers; a viewer belongs to one. A pass costs one lock of the
//! ring for each different cursor among the viewers, which usually is one, and one system call for
//! each viewer. While a pass runs, messages gather, and the next pass sends them together. Where a
//! pass is expensive, messages also wait in a window for others (`window`).

mod batch;
mod forms;
mod joint;
mod pass;
mod reader;
mod stream;
mod streams;
mod viewer;
mod window;

pub use stream::{LiveStream, StreamKey};
pub use streams::Streams;

pub(crate) use pass::{LocalStream, Settings};
pub(crate) use reader::PlaysOn;
pub(crate) use viewer::Viewer;
