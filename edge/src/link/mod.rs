//! The edge's end of its links: lanes, feeds, and the sessions in them.

pub mod handle;
