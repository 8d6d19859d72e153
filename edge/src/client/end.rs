//! The end of a client's session.

use std::io;

use tributary_protocol::{
    link::CloseReason,
    session::{self, ErrorKind},
    tunnel::TunnelFault,
    websocket::WebSocketFault,
};

/// The reason for which a session is over. The output that is queued is still sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) reason: CloseReason,
    /// The client's fault, as metrics and logs name it; none if it is not to blame.
    pub(super) fault: Option<&'static str>,
}

impl End {
    pub(super) fn because(reason: CloseReason) -> Self {
        Self {
            reason,
            fault: None,
        }
    }

    pub(super) fn fault(reason: CloseReason, fault: &'static str) -> Self {
        Self {
            reason,
            fault: Some(fault),
        }
    }
}

impl From<session::Error> for End {
    fn from(error: session::Error) -> Self {
        let reason = match error.kind() {
            ErrorKind::Protocol | ErrorKind::Unsupported => CloseReason::Protocol,
            ErrorKind::Limit => CloseReason::Limit,
            ErrorKind::Timeout => CloseReason::Timeout,
        };
        Self::fault(reason, error.reason())
    }
}

/// The end of a client whose connection could not be read.
impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        let Some(fault) = error.get_ref() else {
            return Self::because(CloseReason::Transport);
        };
        if let Some(fault) = fault.downcast_ref::<WebSocketFault>() {
            return Self::fault(CloseReason::Protocol, fault.reason());
        }
        match fault.downcast_ref::<TunnelFault>() {
            Some(fault) if fault.is_limit() => Self::fault(CloseReason::Limit, fault.reason()),
            Some(fault) => Self::fault(CloseReason::Protocol, fault.reason()),
            None => Self::because(CloseReason::Transport),
        }
    }
}
