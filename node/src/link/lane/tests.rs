use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use tributary_protocol::{GroupName, LaneId};

use super::*;
use crate::transport::tests::pair;

/// One end of a lane, without a state machine.
struct End {
    /// The bytes to transmit.
    out: RefCell<VecDeque<Bytes>>,
    /// The time before which `out` waits.
    due: Cell<Option<Instant>>,
    got: RefCell<Vec<u8>>,
    carriage: Cell<Carriage>,
    /// The carriage once everything is transmitted.
    then: Cell<Carriage>,
    is_broken: bool,
    wake: Notify,
}

impl End {
    fn new(out: &[&'static [u8]]) -> Self {
        let out = out.iter().map(|&bytes| Bytes::from_static(bytes));
        Self {
            out: RefCell::new(out.collect()),
            due: Cell::default(),
            got: RefCell::default(),
            carriage: Cell::new(Carriage::On),
            then: Cell::new(Carriage::On),
            is_broken: false,
            wake: Notify::new(),
        }
    }

    fn that_then(self, then: Carriage) -> Self {
        self.then.set(then);
        self
    }
}

impl LaneDriver for End {
    fn receive(&self, _now: Instant, pieces: &mut Vec<Bytes>) -> Result<(), FrameError> {
        for piece in pieces.drain(..) {
            if self.is_broken {
                return Err(FrameError::Value);
            }
            self.got.borrow_mut().extend_from_slice(&piece);
        }
        Ok(())
    }

    fn transmit(&self, now: Instant) -> Option<Bytes> {
        if self.due.get().is_some_and(|due| now < due) {
            return None;
        }
        self.due.set(None);
        self.out.borrow_mut().pop_front()
    }

    fn settle(&self) {
        if self.carriage.get() == Carriage::On && self.out.borrow().is_empty() {
            self.carriage.set(self.then.get());
        }
    }

    fn is_blocked(&self) -> bool {
        false
    }

    fn due(&self) -> Option<Instant> {
        self.due.get()
    }

    fn wake(&self) -> &Notify {
        &self.wake
    }

    fn carriage(&self) -> Carriage {
        self.carriage.get()
    }
}

fn open_lane() -> OpenLane {
    OpenLane {
        lane: LaneId(7),
        group: GroupName::from_app("live/room").unwrap(),
        home: "home".to_owned(),
        resume: None,
        only_if_living: false,
        restore: false,
    }
}

/// The two ends of an opened stream.
async fn opened(dialled: &Link, accepted: &Link) -> (LaneStream, LaneStream) {
    let open = LaneAnswer::Open { received: 3 };
    let asking = async {
        let mut stream = LaneStream::open(dialled).await.unwrap();
        assert_eq!(stream.ask(&open_lane()).await, Some(open));
        stream
    };
    let answering = async {
        let stream = accepted.accept_lane(StreamKind::Lane).await.unwrap();
        let mut stream = LaneStream::new(stream);
        assert_eq!(stream.opening().await, Ok(Some(open_lane())));
        stream.answer(&open).await.unwrap();
        stream
    };
    tokio::join!(asking, answering)
}

#[tokio::test]
async fn a_lane_that_is_over_finishes_its_stream_after_the_rest() {
    let (_edge, _origin, dialled, accepted) = pair().await;
    let (one, other) = opened(&dialled, &accepted).await;
    let sender = End::new(&[b"one", b"two"]).that_then(Carriage::Finish);
    let receiver = End::new(&[]);
    let (sent, received) = tokio::join!(one.carry(&sender), other.carry(&receiver));
    assert_eq!((sent, received), (Carried::Done, Carried::Disconnected));
    assert_eq!(*receiver.got.borrow(), b"onetwo");
}

#[tokio::test]
async fn a_lane_that_is_off_its_stream_sends_nothing() {
    let (_edge, _origin, dialled, accepted) = pair().await;
    let (one, other) = opened(&dialled, &accepted).await;
    let sender = End::new(&[b"for the next stream"]);
    sender.carriage.set(Carriage::Off);
    let receiver = End::new(&[]);
    let (sent, received) = tokio::join!(one.carry(&sender), other.carry(&receiver));
    assert_eq!(
        (sent, received),
        (Carried::Disconnected, Carried::Disconnected)
    );
    assert_eq!(sender.out.borrow().len(), 1);
    assert!(receiver.got.borrow().is_empty());
}

#[tokio::test]
async fn bytes_that_are_due_later_leave_at_their_time() {
    let (_edge, _origin, dialled, accepted) = pair().await;
    let (one, other) = opened(&dialled, &accepted).await;
    let sender = End::new(&[b"later"]).that_then(Carriage::Finish);
    let due = Instant::now() + Duration::from_millis(30);
    sender.due.set(Some(due));
    let receiver = End::new(&[]);
    tokio::join!(one.carry(&sender), other.carry(&receiver));
    assert_eq!(*receiver.got.borrow(), b"later");
    assert!(Instant::now() >= due);
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_ends_the_stream() {
    let (_edge, _origin, dialled, accepted) = pair().await;
    let (one, other) = opened(&dialled, &accepted).await;
    let sender = End::new(&[b"x"]);
    let receiver = End {
        is_broken: true,
        ..End::new(&[])
    };
    let (sent, received) = tokio::join!(one.carry(&sender), other.carry(&receiver));
    assert_eq!(received, Carried::Broken(FrameError::Value));
    assert_eq!(sent, Carried::Disconnected);
}

#[tokio::test]
async fn a_lane_that_is_refused_gets_its_answer() {
    let (_edge, _origin, dialled, accepted) = pair().await;
    let wait = LaneAnswer::Wait { retry_ms: 250 };
    let asking = async {
        let mut stream = LaneStream::open(&dialled).await.unwrap();
        stream.ask(&open_lane()).await
    };
    let refusing = async {
        let stream = accepted.accept_lane(StreamKind::Lane).await.unwrap();
        let mut stream = LaneStream::new(stream);
        stream.opening().await.unwrap();
        stream.refuse(&wait).await;
    };
    let (answer, ()) = tokio::join!(asking, refusing);
    assert_eq!(answer, Some(wait));
}
