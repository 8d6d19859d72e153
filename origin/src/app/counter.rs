//! The diagnostic application `counter`: shows whether each call arrives exactly once.
//!
//! Configure it with `[applications.NAME] builtin = "counter"`. Its methods:
//!
//! | method | answer |
//! |---|---|
//! | `echo(value...)` | the value; an array of them if there are several |
//! | `count(n)` | `n`; a client numbers its calls from 1 |
//! | `report()` | `{calls, duplicates, gaps, late, group: {clients, calls, duplicates, gaps, late}}` |
//!
//! `duplicates` are numbers that came before, `gaps` numbers that were skipped and have not come
//! since, `late` numbers that came after a higher one.

use std::collections::{BTreeSet, HashMap};

use tributary_protocol::{
    amf::{Object, Value},
    command::Connect,
    link::CloseReason,
};

use super::{Admission, Answer, Application, Call, ClientId, Context};

/// The application.
#[derive(Debug, Default)]
pub struct Counter {
    clients: HashMap<ClientId, Sequence>,
    /// Clients that have ever connected; `left` has the counts of those that left.
    seen: u64,
    left: Totals,
}

/// The numbered calls of one client.
#[derive(Debug, Default)]
struct Sequence {
    highest: u64,
    missing: BTreeSet<u64>,
    totals: Totals,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    calls: u64,
    duplicates: u64,
    gaps: u64,
    late: u64,
}

/// How many skipped numbers are remembered for each client. Reason: a client may send any number;
/// beyond this a skipped number that comes late counts as a duplicate.
const MISSING_KEPT: usize = 4_096;

/// The highest number of a call: above it an AMF number skips whole numbers.
const LARGEST: u64 = 1 << 53;

impl Application for Counter {
    fn connect(&mut self, _: &mut Context<'_>, client: ClientId, _: &Connect) -> Admission {
        self.seen += 1;
        self.clients.insert(client, Sequence::default());
        Admission::Accept
    }

    fn disconnect(&mut self, _: &mut Context<'_>, client: ClientId, _: CloseReason) {
        if let Some(sequence) = self.clients.remove(&client) {
            self.left.add(sequence.totals);
        }
    }

    fn call(&mut self, _: &mut Context<'_>, call: &Call) -> Answer {
        match call.name.as_str() {
            "echo" => Answer::Result(echo(&call.arguments)),
            "count" => self.count(call.responder.client, call.arguments.first()),
            "report" => Answer::Result(self.report(call.responder.client)),
            _ => Answer::Unknown,
        }
    }
}

impl Counter {
    fn count(&mut self, client: ClientId, number: Option<&Value>) -> Answer {
        let Some(number) = number.and_then(Value::as_number) else {
            return Answer::Error(Value::from("count needs a number"));
        };
        let whole = number as u64;
        if !(1..=LARGEST).contains(&whole) || whole as f64 != number {
            return Answer::Error(Value::from("count needs a whole number from 1"));
        }
        self.clients.entry(client).or_default().take(whole);
        Answer::Result(Value::from(number))
    }

    fn report(&self, client: ClientId) -> Value {
        let own = self
            .clients
            .get(&client)
            .map_or_else(Totals::default, |known| known.totals);
        let mut group = self.left;
        for sequence in self.clients.values() {
            group.add(sequence.totals);
        }
        let all = group.write(Object::new().with("clients", self.seen as f64));
        Value::Object(own.write(Object::new()).with("group", Value::Object(all)))
    }
}

impl Sequence {
    fn take(&mut self, number: u64) {
        self.totals.calls += 1;
        if number > self.highest {
            self.totals.gaps += number - self.highest - 1;
            for skipped in (self.highest + 1..number).take(MISSING_KEPT - self.missing.len()) {
                self.missing.insert(skipped);
            }
            self.highest = number;
        } else if self.missing.remove(&number) {
            self.totals.gaps -= 1;
            self.totals.late += 1;
        } else {
            self.totals.duplicates += 1;
        }
    }
}

impl Totals {
    fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.duplicates += other.duplicates;
        // Unlike the others not bounded by the number of calls.
        self.gaps = self.gaps.saturating_add(other.gaps);
        self.late += other.late;
    }

    fn write(self, object: Object) -> Object {
        object
            .with("calls", self.calls as f64)
            .with("duplicates", self.duplicates as f64)
            .with("gaps", self.gaps as f64)
            .with("late", self.late as f64)
    }
}

fn echo(arguments: &[Value]) -> Value {
    match arguments {
        [] => Value::Null,
        [one] => one.clone(),
        several => Value::StrictArray(several.to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_go_wrong_is_counted() {
        let mut sequence = Sequence::default();
        for number in [1, 2, 2, 5, 3, 3, 6, 1] {
            sequence.take(number);
        }
        let expected = Totals {
            calls: 8,
            duplicates: 3,
            gaps: 1,
            late: 1,
        };
        assert_eq!(sequence.totals, expected);
        sequence.take(LARGEST);
        assert!(sequence.missing.len() <= MISSING_KEPT);
    }
}
