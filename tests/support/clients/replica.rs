//! Shared objects of a driven client: its events, applied in order.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    super::cluster::Cluster,
    driven::{Driven, Kind},
};

/// One shared object.
#[derive(Debug, Default)]
pub(crate) struct Replica {
    pub(crate) slots: BTreeMap<String, Value>,
    /// The version of the last message.
    pub(crate) version: u64,
    /// The number of messages.
    pub(crate) received: usize,
    /// The type of the last message, if the client reports it.
    pub(crate) kind: Option<u64>,
    joined: bool,
    /// Messages by `send`: handler and arguments.
    messages: Vec<(String, Value)>,
    /// Slots whose change by this client has succeeded.
    successes: Vec<String>,
    statuses: Vec<String>,
}

impl Replica {
    /// Applies a message. Versions never go back.
    pub(crate) fn apply(&mut self, message: &Value) {
        self.received += 1;
        self.kind = message["kind"].as_u64();
        let version = message["version"].as_u64().unwrap_or_default();
        assert!(
            version == 0 || version >= self.version,
            "version {version} after {}: {message}",
            self.version
        );
        self.version = self.version.max(version);
        for event in message["events"].as_array().into_iter().flatten() {
            self.apply_event(event);
        }
    }

    fn apply_event(&mut self, event: &Value) {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        match event["code"].as_str() {
            Some("connect") => self.joined = true,
            Some("clear") => self.slots.clear(),
            Some("change") => {
                self.slots.insert(text("slot"), event["value"].clone());
            }
            Some("delete") => {
                self.slots.remove(&text("slot"));
            }
            Some("success") => {
                // A client that behaves like a server gets the present value with a success.
                if let Some(value) = event.get("value") {
                    self.slots.insert(text("slot"), value.clone());
                }
                self.successes.push(text("slot"));
            }
            Some("message") => self.messages.push((text("handler"), event["args"].clone())),
            Some("status") => {
                let code = event["info"]["code"].as_str().unwrap_or_default();
                self.statuses.push(code.to_owned());
            }
            _ => {}
        }
    }
}

impl Driven {
    /// Uses an object and waits for its slots.
    pub(crate) fn join(&mut self, object: &str) {
        self.use_object(object, false, 0);
        self.until_joined(object);
    }

    /// Sends use for an object and does not wait.
    pub(crate) fn use_object(&mut self, object: &str, persistent: bool, version: u64) {
        let request = json!({
            "do": "use", "object": object, "persistent": persistent, "version": version,
        });
        self.order(request);
    }

    /// Waits for the answer to the use of an object.
    pub(crate) fn until_joined(&mut self, object: &str) {
        let what = format!("the answer to the use of {object}");
        self.until(&what, |client| {
            client.replica(object).is_some_and(|replica| {
                assert!(replica.statuses.is_empty(), "{:?}", replica.statuses);
                replica.joined
            })
        });
    }

    /// Sets a slot. The client holds the value at once, as a Flash Player does.
    pub(crate) fn set(&mut self, object: &str, slot: &str, value: Value) {
        let replica = self.objects.entry(object.to_owned()).or_default();
        replica.slots.insert(slot.to_owned(), value.clone());
        self.order(json!({"do": "set", "object": object, "slot": slot, "value": value}));
    }

    pub(crate) fn remove(&mut self, object: &str, slot: &str) {
        self.order(json!({"do": "remove", "object": object, "slot": slot}));
    }

    /// Sends a message to all who use the object.
    pub(crate) fn send_to(&mut self, object: &str, handler: &str, args: Value) {
        self.order(json!({"do": "send", "object": object, "handler": handler, "args": args}));
    }

    /// An object of its events.
    pub(crate) fn replica(&self, object: &str) -> Option<&Replica> {
        self.objects.get(object)
    }

    /// The value of a slot.
    pub(crate) fn slot(&self, object: &str, slot: &str) -> Option<&Value> {
        self.replica(object)?.slots.get(slot)
    }

    /// Waits until a slot has a value.
    pub(crate) fn until_slot(&mut self, object: &str, slot: &str, value: &Value) {
        let what = format!("{object}.{slot} = {value}");
        self.until(&what, |client| client.slot(object, slot) == Some(value));
    }

    /// Waits until a slot has any value, or none.
    pub(crate) fn until_there(&mut self, object: &str, slot: &str, there: bool) {
        let what = format!("{object}.{slot}, there: {there}");
        self.until(&what, |client| client.slot(object, slot).is_some() == there);
    }

    /// Waits until this client's change of a slot has succeeded.
    pub(crate) fn until_success(&mut self, object: &str, slot: &str) {
        let succeeded = |client: &Self| {
            let replica = client.replica(object)?;
            replica.successes.iter().position(|done| done == slot)
        };
        self.until(&format!("success of {object}.{slot}"), |client| {
            succeeded(client).is_some()
        });
        if let (Some(at), Some(replica)) = (succeeded(self), self.objects.get_mut(object)) {
            replica.successes.remove(at);
        }
    }

    /// Waits for a message to all members of the object; returns its arguments.
    pub(crate) fn until_message(&mut self, object: &str, handler: &str) -> Value {
        let sent = |client: &Self| {
            let mut messages = client.replica(object)?.messages.iter();
            messages.position(|(name, _)| name == handler)
        };
        self.until(&format!("{handler} of {object}"), |client| {
            sent(client).is_some()
        });
        match (sent(self), self.objects.get_mut(object)) {
            (Some(at), Some(replica)) => replica.messages.remove(at).1,
            _ => Value::Null,
        }
    }

    /// Whether a status of any object has this code. The status may name none.
    pub(crate) fn has_status(&self, code: &str) -> bool {
        let mut objects = self.objects.values();
        objects.any(|replica| replica.statuses.iter().any(|status| status == code))
    }

    /// Waits for a status of the object.
    pub(crate) fn until_status(&mut self, object: &str, code: &str) {
        self.until(&format!("{code} of {object}"), |client| {
            let replica = client.replica(object);
            replica.is_some_and(|replica| replica.statuses.iter().any(|status| status == code))
        });
        if let Some(replica) = self.objects.get_mut(object) {
            replica.statuses.clear();
        }
    }
}

/// npm `rtmp-client`, AMF0 and AMF3, each on both edges of a cluster, in one object.
pub(crate) fn everyone(cluster: &Cluster, app: &str, object: &str) -> Vec<Driven> {
    let kinds = [
        (Kind::Npm, 0),
        (Kind::Amf0, 0),
        (Kind::Amf3, 0),
        (Kind::Amf0, 1),
        (Kind::Amf3, 1),
        (Kind::Npm, 1),
    ];
    kinds
        .into_iter()
        .map(|(kind, edge)| {
            let arguments = json!(["member"]);
            let mut member = Driven::session_with(kind, cluster.rtmp(edge), app, arguments);
            member.join(object);
            member
        })
        .collect()
}
