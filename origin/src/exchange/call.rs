//! One connection to another server, as a push or a pull uses it.

use std::{fmt, sync::Arc};

use tokio::sync::mpsc;
use tributary_protocol::amf::Value;

use crate::{
    app::NetStreamId,
    outgoing::{self, Happening, Inbox, Outgoing, OutgoingOrder, Told},
};

/// Starts the task of a connection, each time anew.
#[derive(Clone)]
pub(crate) struct Dialler(Arc<dyn Fn(Inbox) + Send + Sync>);

/// A connection with one NetStream.
pub(super) struct Dialogue {
    outgoing: Outgoing,
    reports: mpsc::Receiver<Told>,
}

/// The only NetStream of a connection.
pub(super) const STREAM: NetStreamId = NetStreamId(1);

/// Reports of a connection that wait. Reason: its task is on the same thread and takes them at once.
const REPORTS: usize = 64;

impl Dialler {
    pub(crate) fn new(dial: impl Fn(Inbox) + Send + Sync + 'static) -> Self {
        Self(Arc::new(dial))
    }
}

impl Dialogue {
    pub(super) fn begin(dialler: &Dialler) -> Self {
        let (tell, reports) = mpsc::channel(REPORTS);
        let (outgoing, inbox) =
            outgoing::open(Box::new(move |told, _| tell.try_send(told).is_ok()));
        (dialler.0)(inbox);
        Self { outgoing, reports }
    }

    pub(super) fn order(&self, order: OutgoingOrder) {
        self.outgoing.order_final(order);
    }

    /// The next report. The call is over after [`Happening::Closed`].
    pub(super) async fn next(&mut self) -> Happening {
        let told = self.reports.recv().await;
        told.map_or(Happening::Closed(Value::Undefined), |told| told.what)
    }
}

/// The text of an info object: its description, or else its code.
pub(super) fn reason(info: &Value) -> String {
    let text = |name| info.get(name).and_then(Value::as_str).unwrap_or_default();
    match (text("code"), text("description")) {
        ("", "") => "the connection is over".to_owned(),
        (code, "") => code.to_owned(),
        // These are of the connection itself.
        ("NetConnection.Connect.Failed" | "NetConnection.Connect.Closed", description) => {
            description.to_owned()
        }
        (code, description) => format!("{code}: {description}"),
    }
}

/// Whether an info object reports a failure.
pub(super) fn is_error(info: &Value) -> bool {
    info.get("level").and_then(Value::as_str) == Some("error")
}

impl fmt::Debug for Dialler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Dialler")
    }
}
