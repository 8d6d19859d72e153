//! Calls to a client that it has not answered, and calls of a client whose answers are deferred.

use tributary_protocol::TransactionId;

use crate::app::CallToken;
use crate::group::bandwidth::Measurement;

/// The calls of one client. Hardly any client is called, so that one without calls is a pointer.
#[derive(Default)]
pub(in crate::group) struct Calls(Option<Box<Open>>);

struct Open {
    last: u32,
    waiting: Vec<(u32, CallToken)>,
    /// The calls of the client whose answers are deferred.
    deferred: Vec<TransactionId>,
    measurement: Option<Box<Measurement>>,
}

/// The most calls to one client that may be without an answer. Reason: a client need not answer,
/// and each is remembered.
pub(in crate::group) const OPEN_CALLS: usize = 1_024;

/// Calls to a client are numbered from here. Reason: npm `rtmp-client` takes any command whose
/// transaction id is that of a call it waits for as the answer; clients count from 1.
const BEFORE_FIRST_CALL: u32 = 1 << 24;

impl Calls {
    /// For a client that may yet answer calls of another process: the numbers begin at a random place.
    pub(in crate::group) fn after_others() -> Self {
        let mut calls = Self::default();
        calls.open().last = rand::random_range(BEFORE_FIRST_CALL..u32::MAX / 2);
        calls
    }

    /// Notes a call with an answer to come, and gives its transaction id; `None` if too many wait.
    pub(in crate::group) fn begin(&mut self, token: CallToken) -> Option<TransactionId> {
        if self.open().waiting.len() >= OPEN_CALLS {
            return None;
        }
        let transaction = self.next_transaction();
        let open = self.open();
        open.waiting.push((open.last, token));
        Some(transaction)
    }

    /// The call that an answer with this transaction id belongs to.
    pub(in crate::group) fn end(&mut self, transaction: TransactionId) -> Option<CallToken> {
        let waiting = &mut self.0.as_mut()?.waiting;
        let at = waiting
            .iter()
            .position(|(id, _)| f64::from(*id) == transaction.0)?;
        Some(waiting.remove(at).1)
    }

    /// Notes a call of the client that is not answered yet. Of too many the oldest are forgotten.
    pub(in crate::group) fn defer(&mut self, transaction: TransactionId) {
        let deferred = &mut self.open().deferred;
        if deferred.len() >= OPEN_CALLS {
            deferred.remove(0);
        }
        deferred.push(transaction);
    }

    /// A call of the client is answered.
    pub(in crate::group) fn answered(&mut self, transaction: TransactionId) {
        if let Some(open) = &mut self.0
            && let Some(at) = open.deferred.iter().rposition(|it| *it == transaction)
        {
            open.deferred.remove(at);
        }
    }

    /// The calls of the client that are not answered yet.
    pub(in crate::group) fn deferred(&self) -> &[TransactionId] {
        self.0.as_ref().map_or(&[], |open| &open.deferred)
    }

    /// All calls without an answer.
    pub(in crate::group) fn take_all(&mut self) -> Vec<CallToken> {
        let waiting = self.0.take().map(|open| open.waiting);
        let waiting = waiting.unwrap_or_default().into_iter();
        waiting.map(|(_, token)| token).collect()
    }

    /// A transaction id for a call to the client.
    pub(in crate::group) fn next_transaction(&mut self) -> TransactionId {
        let open = self.open();
        open.last = open.last.checked_add(1).unwrap_or(BEFORE_FIRST_CALL + 1);
        TransactionId(f64::from(open.last))
    }

    /// The measurement that runs, or the last one.
    pub(in crate::group) fn measurement(&mut self) -> &mut Option<Box<Measurement>> {
        &mut self.open().measurement
    }

    /// The measurement that waits for the answer to this call.
    pub(in crate::group) fn take_measurement(
        &mut self,
        transaction: TransactionId,
    ) -> Option<Box<Measurement>> {
        let measurement = &mut self.0.as_mut()?.measurement;
        measurement.take_if(|running| running.waits_for(transaction))
    }

    fn open(&mut self) -> &mut Open {
        self.0.get_or_insert_with(|| {
            Box::new(Open {
                last: BEFORE_FIRST_CALL,
                waiting: Vec::new(),
                deferred: Vec::new(),
                measurement: None,
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ends_its_own_call_alone() {
        let mut calls = Calls::default();
        assert_eq!(calls.end(TransactionId(1.0)), None);
        let first = calls.begin(CallToken(1)).unwrap();
        let second = calls.begin(CallToken(2)).unwrap();
        assert_eq!(calls.end(second), Some(CallToken(2)));
        assert_eq!(calls.end(second), None);
        assert_eq!(calls.take_all(), [CallToken(1)]);
        assert_eq!(calls.end(first), None);
    }

    #[test]
    fn calls_without_an_answer_are_bounded() {
        let mut calls = Calls::default();
        for number in 0..OPEN_CALLS {
            assert!(calls.begin(CallToken(number as u64)).is_some());
        }
        assert!(calls.begin(CallToken(0)).is_none());
        calls.end(TransactionId(f64::from(BEFORE_FIRST_CALL + 1)));
        assert!(calls.begin(CallToken(0)).is_some());
    }
}
