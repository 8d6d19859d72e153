//! The parts of the script API that need no engine. They decide what is read, written and
//! permitted; `api` shows the results to scripts.

pub(crate) mod application_xml;
pub(crate) mod files;
pub(crate) mod legacy;
pub(crate) mod outbound;
pub(crate) mod remoting;
pub(crate) mod scriptlib;
pub(crate) mod socket;
pub(crate) mod url_encoded;
pub(crate) mod xml;
