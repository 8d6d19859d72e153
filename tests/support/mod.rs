//! The common parts of the end-to-end tests: processes, a network between them, and clients.

pub(crate) mod clients;
pub(crate) mod cluster;
pub(crate) mod hook_service;
pub(crate) mod http;
pub(crate) mod media;
pub(crate) mod nginx_rtmp;
pub(crate) mod port;
pub(crate) mod program;
pub(crate) mod public_ca;
pub(crate) mod relay;
pub(crate) mod shared_object;
pub(crate) mod synthetic;
pub(crate) mod wait;
pub(crate) mod wire;
