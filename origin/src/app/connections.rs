//! Connections of an application to other servers and instances.

use std::fmt;

use tributary_protocol::{
    TransactionId,
    amf::{Object, Value},
};

/// A connection that the application has opened, never used twice by one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) u64);

/// A NetStream of such a connection, never used twice by one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetStreamId(pub(crate) u64);

/// A shared object of the other side that the application uses, never used twice by one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteObjectId(pub(crate) u64);

/// The target of a new connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectTo {
    /// `rtmp://HOST[:PORT]/APP[/INSTANCE]`. Without a host, or with that of this machine and no
    /// port but 1935, it names an instance of this process, and no network is used.
    pub uri: String,
    /// Arguments of the connect command, behind its properties.
    pub arguments: Vec<Value>,
    /// Properties of the connect command in place of the usual ones: `objectEncoding`, `pageUrl`.
    pub properties: Object,
}

impl ConnectTo {
    /// This URI, without arguments.
    pub fn uri(uri: impl Into<String>) -> Self {
        Self {
            uri: uri.into(),
            ..Self::default()
        }
    }
}

/// A call that came on a connection of the application.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionCall {
    pub name: String,
    /// For [`Connection::respond`](super::Connection::respond), if the answer comes later.
    pub transaction: TransactionId,
    pub arguments: Vec<Value>,
}

/// A connection or a NetStream cannot be made: the instance has as many as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the application has as many as it may")
    }
}

impl std::error::Error for TooMany {}
