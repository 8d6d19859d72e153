//! Clients on real sockets, with the test as their origin.

mod bad_input;
mod playing;
mod publishing;
mod sessions;
mod support;
