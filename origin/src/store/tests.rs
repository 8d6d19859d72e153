//! Stores on storages that fail, wait and forget.

mod lossy;
mod memory;
mod objects;

pub(crate) use memory::Memory;
