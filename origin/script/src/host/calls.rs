//! Calls of a script to its clients that wait for an answer.

use std::collections::HashMap;

use tributary_origin::app::CallToken;

use super::kept::Kept;

/// The responders of calls without an answer. A client has at most 1,024.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    last: u64,
    responders: HashMap<CallToken, Kept>,
}

impl Calls {
    /// Notes the responder of a call.
    pub(crate) fn add(&mut self, responder: Kept) -> CallToken {
        self.last += 1;
        let token = CallToken(self.last);
        self.responders.insert(token, responder);
        token
    }

    /// Takes the responder of a call that is over.
    pub(crate) fn take(&mut self, token: CallToken) -> Option<Kept> {
        self.responders.remove(&token)
    }
}
