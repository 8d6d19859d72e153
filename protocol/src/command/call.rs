//! Answers and notices of a server.

use super::{Command, Status};
use crate::TransactionId;
use crate::amf::{Object, Value};

/// Whether a command of this name, sent by a server, is not a call of its application.
pub fn is_server_name(name: &str) -> bool {
    matches!(
        name,
        "_result"
            | "_error"
            | "onStatus"
            | "close"
            | "onFCPublish"
            | "onFCUnpublish"
            | "onFCSubscribe"
            | "onBWDone"
    )
}

/// The answer to a call that succeeded: null, then its result.
pub fn result(transaction: TransactionId, value: impl Into<Value>) -> Command {
    Command::new("_result", transaction).with(value)
}

/// The answer to a call that failed: null, then the info object.
pub fn error(transaction: TransactionId, info: Object) -> Command {
    Command::new("_error", transaction).with(info)
}

/// A notice to a NetConnection or, on its message stream, to a NetStream. It has no answer.
pub fn on_status(info: Object) -> Command {
    Command::new("onStatus", TransactionId::NONE).with(info)
}

/// The notice that the server is about to close the connection.
pub fn close() -> Command {
    Command::new("close", TransactionId::NONE)
}

/// The answer of Flash Media Server's scripts to FCPublish.
pub fn on_fc_publish(name: &str) -> Command {
    notice("onFCPublish", Status::PublishStart, name)
}

/// The answer of Flash Media Server's scripts to FCUnpublish.
pub fn on_fc_unpublish(name: &str) -> Command {
    notice("onFCUnpublish", Status::UnpublishSuccess, name)
}

/// The answer to FCSubscribe.
pub fn on_fc_subscribe(name: &str) -> Command {
    notice("onFCSubscribe", Status::PlayStart, name)
}

/// The end of a bandwidth check: kbit/s, and further figures; none if nothing was measured.
pub fn on_bw_done(figures: &[f64]) -> Command {
    let mut command = Command::new("onBWDone", TransactionId::NONE);
    command.arguments = figures.iter().copied().map(Value::Number).collect();
    command
}

fn notice(method: &str, status: Status, name: &str) -> Command {
    Command::new(method, TransactionId::NONE).with(status.info(Some(name), None))
}
