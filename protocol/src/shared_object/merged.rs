//! Merging of bodies that wait for the same members.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};

use super::body::{CHANGE, CLEAR, EVENT, Events, HEADER, MESSAGE, REMOVE, RawEvent, write_header};

/// Bodies merged into one, in which the last event of each slot counts. A message to the members
/// stays between the events before it and behind it.
#[derive(Clone, Debug)]
pub struct Merged {
    object: Box<str>,
    version: u32,
    /// The events up to the last message.
    sealed: BytesMut,
    /// Whether all slots are removed before the events that follow.
    clears: bool,
    /// The last event of each slot since the last message.
    slots: BTreeMap<Box<str>, Bytes>,
    /// The bytes of the events in `slots`.
    open: usize,
}

impl Merged {
    /// Begins with a body; `None` if it has events other than changes of slots and messages.
    pub fn new(body: &[u8]) -> Option<Self> {
        let mut made = Self {
            object: Events::read(body).ok()?.object.into(),
            version: 0,
            sealed: BytesMut::new(),
            clears: false,
            slots: BTreeMap::new(),
            open: 0,
        };
        made.add(body).then_some(made)
    }

    /// Adds a body of the same object; `false`, without any change, if it has events other than
    /// changes of slots and messages.
    pub fn add(&mut self, body: &[u8]) -> bool {
        let Ok(events) = Events::read(body) else {
            return false;
        };
        let known = |event: &RawEvent<'_>| match event.kind {
            CHANGE | REMOVE => event.slot().is_some(),
            CLEAR | MESSAGE => true,
            _ => false,
        };
        if !events.clone().all(|event| event.as_ref().is_ok_and(known)) {
            return false;
        }
        self.version = events.version;
        for event in events.flatten() {
            self.event(event);
        }
        true
    }

    /// The bytes of the merged body.
    pub fn size(&self) -> usize {
        let clear = if self.clears { EVENT } else { 0 };
        HEADER + self.object.len() + self.sealed.len() + clear + self.open
    }

    /// The merged body.
    pub fn into_body(mut self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.size());
        write_header(&mut out, &self.object, self.version);
        self.seal();
        out.put_slice(&self.sealed);
        out.freeze()
    }

    fn event(&mut self, event: RawEvent<'_>) {
        if event.is_message() {
            self.seal();
            write(&mut self.sealed, event);
        } else if let Some((name, _)) = event.slot() {
            let mut bytes = BytesMut::with_capacity(EVENT + event.data.len());
            write(&mut bytes, event);
            self.open += bytes.len();
            if let Some(before) = self.slots.insert(name.into(), bytes.freeze()) {
                self.open -= before.len();
            }
        } else {
            self.clears = true;
            self.slots.clear();
            self.open = 0;
        }
    }

    /// Moves the last events of the slots before the events that follow.
    fn seal(&mut self) {
        if std::mem::take(&mut self.clears) {
            let (kind, data) = (CLEAR, &[][..]);
            write(&mut self.sealed, RawEvent { kind, data });
        }
        for event in std::mem::take(&mut self.slots).into_values() {
            self.sealed.put_slice(&event);
        }
        self.open = 0;
    }
}

fn write(out: &mut BytesMut, event: RawEvent<'_>) {
    out.put_u8(event.kind);
    out.put_u32(event.data.len() as u32);
    out.put_slice(event.data);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        amf::{ObjectEncoding, Value},
        shared_object::{Body, Encoded, Mirror, Told},
    };

    fn change(name: &str, value: f64) -> Told {
        Told::Change {
            name: Arc::from(name),
            value: Encoded::new(&value.into()),
        }
    }

    fn remove(name: &str) -> Told {
        let name = Arc::from(name);
        Told::Remove { name }
    }

    fn message(number: f64) -> Told {
        Told::Message(Encoded::list(&["hear".into(), number.into()]))
    }

    fn body(version: u32, events: Vec<Told>) -> Bytes {
        Body { version, events }.encode("room", ObjectEncoding::Amf3)
    }

    fn merged(bodies: &[Vec<Told>]) -> Bytes {
        let mut bodies = (1..)
            .zip(bodies)
            .map(|(version, events)| body(version, events.clone()));
        let mut merged = Merged::new(&bodies.next().unwrap()).unwrap();
        for body in bodies {
            assert!(merged.add(&body));
        }
        let size = merged.size();
        let body = merged.into_body();
        assert_eq!(body.len(), size);
        body
    }

    #[test]
    fn the_last_word_on_a_slot_counts_and_messages_stay_in_their_place() {
        let cases = [
            (
                vec![
                    vec![change("a", 1.0)],
                    vec![change("a", 2.0), change("b", 1.0)],
                ],
                vec![change("a", 2.0), change("b", 1.0)],
            ),
            (
                vec![vec![change("a", 1.0)], vec![remove("a")]],
                vec![remove("a")],
            ),
            (
                vec![
                    vec![change("a", 1.0)],
                    vec![change("a", 2.0), message(1.0)],
                    vec![change("a", 3.0)],
                    vec![message(2.0), change("a", 4.0)],
                    vec![change("a", 5.0)],
                ],
                vec![
                    change("a", 2.0),
                    message(1.0),
                    change("a", 3.0),
                    message(2.0),
                    change("a", 5.0),
                ],
            ),
            (
                vec![
                    vec![change("a", 1.0), Told::Clear],
                    vec![change("b", 1.0)],
                    vec![Told::Clear, change("c", 1.0)],
                ],
                vec![Told::Clear, change("c", 1.0)],
            ),
        ];
        for (bodies, expected) in cases {
            assert_eq!(merged(&bodies), body(bodies.len() as u32, expected));
        }
    }

    #[test]
    fn what_is_for_one_member_is_not_put_together() {
        let whole = body(2, vec![change("a", 2.0)]);
        let mut merged = Merged::new(&body(1, vec![change("a", 1.0)])).unwrap();
        let name = || Arc::from("a");
        for event in [Told::UseSuccess, Told::Success { name: name() }] {
            let other = body(9, vec![change("a", 9.0), event]);
            assert!(Merged::new(&other).is_none());
            assert!(!merged.add(&other));
        }
        for length in 0..whole.len() {
            // A body may be without events.
            let empty = body(2, Vec::new()).len();
            assert_eq!(merged.add(&whole[..length]), length == empty, "{length}");
        }
        assert_eq!(merged.into_body(), body(2, vec![change("a", 1.0)]));
    }

    fn event() -> impl Strategy<Value = Told> {
        let name = prop::sample::select(vec!["a", "b", "c", "d"]);
        prop_oneof![
            6 => (name.clone(), 0..9).prop_map(|(name, value)| change(name, f64::from(value))),
            3 => name.prop_map(remove),
            1 => Just(Told::Clear),
            1 => (0..9).prop_map(|number| message(f64::from(number))),
        ]
    }

    /// The slots at a message, or at the end.
    #[derive(Debug, PartialEq)]
    struct Seen {
        message: Option<Vec<u8>>,
        slots: Vec<(String, Value)>,
    }

    fn seen(bodies: &[Bytes]) -> Vec<Seen> {
        let mut mirror = Mirror::new();
        let mut seen = Vec::new();
        let slots = |mirror: &Mirror| {
            let slots = mirror.slots();
            slots
                .map(|(name, _, value)| {
                    let value = Encoded::from_full(value.clone()).unwrap();
                    (name.to_owned(), value.value())
                })
                .collect()
        };
        for body in bodies {
            let events = Events::read(body).unwrap();
            for event in events.clone().flatten() {
                if event.is_message() {
                    let message = Some(event.data.to_vec());
                    let slots = slots(&mirror);
                    seen.push(Seen { message, slots });
                }
                let mut one = BytesMut::new();
                write_header(&mut one, "room", events.version);
                write(&mut one, event);
                mirror.apply(&one).unwrap();
            }
        }
        let slots = slots(&mirror);
        let message = None;
        seen.push(Seen { message, slots });
        seen
    }

    proptest! {
        #[test]
        fn members_see_the_same_at_every_message_and_in_the_end(
            bodies in prop::collection::vec(prop::collection::vec(event(), 1..5), 1..30)
        ) {
            let apart: Vec<_> = (1..)
                .zip(&bodies)
                .map(|(version, events)| body(version, events.clone()))
                .collect();
            prop_assert_eq!(seen(&apart), seen(&[merged(&bodies)]));
        }
    }
}
