//! Groups driven by scripted lanes: no sockets, and a clock that the test moves.

mod bandwidth;
mod connections;
mod encoders;
mod failures;
mod life;
mod object_acts;
mod own_streams;
pub(super) mod part;
mod persistent_objects;
mod play_acts;
mod playlists;
mod policy;
mod publishers;
mod relay_changes;
mod relays;
mod restored_objects;
mod restoring;
mod resuming;
mod service_relays;
mod sessions;
mod shared_objects;
mod stage;
mod streams;
mod versions;
mod watched;
