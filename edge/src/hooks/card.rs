//! A session, as services learn of it.

use std::{fmt, net::IpAddr};

use tributary_gate::{Caller, Transport};

mod parcel;

/// The names of the edge and of its process, as services learn of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct EdgeName {
    pub(crate) edge: String,
    /// Another text for each process of the edge.
    pub(crate) process: String,
}

/// The properties of a session, kept for as long as a hook may be owed.
#[derive(Clone)]
pub(crate) struct Card {
    /// `app` of the connect, with its query.
    pub(crate) app: String,
    pub(crate) flash_ver: String,
    pub(crate) swf_url: String,
    pub(crate) tc_url: String,
    pub(crate) page_url: String,
    pub(crate) address: Option<IpAddr>,
    pub(crate) transport: Transport,
    /// The session's number.
    pub(crate) session: u64,
    /// The milliseconds of the worker's clock at the connection's begin, cut to 32 bits.
    pub(crate) epoch: u32,
    /// The user who has proved to be one, or the identity that a service gave.
    pub(crate) user: Option<String>,
}

impl Card {
    pub(super) fn caller<'a>(&'a self, of: &'a EdgeName) -> Caller<'a> {
        let (app, query) = self.app.split_once('?').unwrap_or((&self.app, ""));
        Caller {
            app,
            query,
            flash_ver: &self.flash_ver,
            swf_url: &self.swf_url,
            tc_url: &self.tc_url,
            page_url: &self.page_url,
            address: self.address,
            transport: self.transport,
            virtual_host: None,
            session: self.session,
            epoch: self.epoch,
            edge: &of.edge,
            process: &of.process,
            user: self.user.as_deref(),
        }
    }
}

/// Without the URLs, whose queries may be secret.
impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Card")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}
