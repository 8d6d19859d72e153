//! The parts of the script API that need no engine: what they read, write and allow is decided
//! here, what scripts see of it in `api`.

pub(crate) mod application_xml;
pub(crate) mod files;
pub(crate) mod legacy;
pub(crate) mod outbound;
pub(crate) mod remoting;
pub(crate) mod scriptlib;
pub(crate) mod socket;
pub(crate) mod url_encoded;
pub(crate) mod xml;
