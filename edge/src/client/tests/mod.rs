//! Clients on real sockets, with the test as their origin.

mod bad_input;
mod departing;
mod gate;
mod hooks;
#[cfg(target_os = "linux")]
mod merging;
mod moved;
mod moved_aborts;
mod moved_hooks;
mod moved_live;
mod moved_objects;
mod moved_parcels;
mod moved_tunnel;
mod moved_web;
mod objects;
mod pair;
mod playing;
mod proxied;
mod publishing;
mod reloading;
mod sessions;
mod support;
mod tunnel;
#[cfg(target_os = "linux")]
mod upkeep;
mod watched;
mod web;
