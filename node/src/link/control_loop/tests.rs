use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use tokio::time::Instant;

use super::*;

/// A driver that keeps the frames of its peer.
struct Recorder {
    control: queue::Sender<Control>,
    handled: RefCell<Vec<Control>>,
    beats: Cell<u64>,
    /// The driver refuses frames from now on.
    fenced: Cell<bool>,
}

/// The peer's frames.
struct Frames(queue::Receiver<Control>);

/// The frames written, each with the seconds since the start.
struct Written {
    start: Instant,
    frames: Rc<RefCell<Vec<(u64, Control)>>>,
}

impl ControlDriver for Recorder {
    fn handle(&self, control: Control) -> Result<(), LinkError> {
        if self.fenced.get() {
            return Err(LinkError::Local);
        }
        self.handled.borrow_mut().push(control);
        Ok(())
    }

    fn heartbeat(&self) -> Control {
        self.beats.set(self.beats.get() + 1);
        heartbeat(self.beats.get())
    }

    fn send(&self, control: Control) {
        self.control.push(control, 1).unwrap();
    }
}

impl ControlSource for Frames {
    async fn next(&mut self) -> Result<Control, LinkError> {
        self.0.next().await.ok_or(LinkError::Reset)
    }
}

impl ControlSink for Written {
    async fn write(&mut self, control: &Control) -> Result<(), LinkError> {
        let seconds = self.start.elapsed().as_secs();
        self.frames.borrow_mut().push((seconds, control.clone()));
        Ok(())
    }
}

fn heartbeat(sessions: u64) -> Control {
    Control::Heartbeat {
        sessions,
        groups: 0,
    }
}

/// One end of a control stream, the peer's frames, and the frames written.
struct Stage {
    driver: Recorder,
    peer: queue::Sender<Control>,
    frames: Rc<RefCell<Vec<(u64, Control)>>>,
    source: Frames,
    queued: Option<queue::Receiver<Control>>,
    start: Instant,
}

impl Stage {
    fn new() -> Self {
        let (control, queued) = control_queue();
        let (peer, source) = queue::queue(usize::MAX);
        Self {
            driver: Recorder {
                control,
                handled: RefCell::default(),
                beats: Cell::new(0),
                fenced: Cell::new(false),
            },
            peer,
            frames: Rc::default(),
            source: Frames(source),
            queued: Some(queued),
            start: Instant::now(),
        }
    }

    async fn run(&mut self, first: Vec<Control>) -> LinkError {
        let mut sink = Written {
            start: self.start,
            frames: Rc::clone(&self.frames),
        };
        let queued = self.queued.take().unwrap();
        run_control(&self.driver, &mut sink, &mut self.source, first, queued).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_peer_is_given_up_after_five_seconds_and_gets_heartbeats_until_then() {
    let mut stage = Stage::new();
    let going = Control::GoAway { within_ms: 7 };
    assert_eq!(stage.run(vec![going.clone()]).await, LinkError::TimedOut);
    assert_eq!(stage.start.elapsed(), CONTROL_SILENCE);
    let mut expected = vec![(0, going)];
    expected.extend((0..5).map(|second| (second, heartbeat(second + 1))));
    let mut frames = stage.frames.take();
    // The last beat and the end of the silence come at the same time.
    frames.retain(|(second, _)| *second < 5);
    assert_eq!(frames, expected);
}

#[tokio::test(start_paused = true)]
async fn each_frame_of_the_peer_ends_its_silence() {
    let mut stage = Stage::new();
    let peer = stage.peer.clone();
    let peer = async move {
        for _ in 0..3 {
            tokio::time::sleep(CONTROL_SILENCE - Duration::from_millis(1)).await;
            peer.push(heartbeat(0), 1).unwrap();
        }
    };
    let start = stage.start;
    let (error, ()) = tokio::join!(stage.run(Vec::new()), peer);
    assert_eq!(error, LinkError::TimedOut);
    assert_eq!(stage.driver.handled.borrow().len(), 3);
    let waits = 4 * CONTROL_SILENCE - Duration::from_millis(3);
    assert_eq!(start.elapsed(), waits);
}

#[tokio::test(start_paused = true)]
async fn a_ping_is_answered_unless_the_driver_ends_the_link() {
    let mut stage = Stage::new();
    stage.peer.push(Control::Ping(3), 1).unwrap();
    assert_eq!(stage.run(Vec::new()).await, LinkError::TimedOut);
    let pong = |(_, control): &(u64, Control)| *control == Control::Pong(3);
    assert!(stage.frames.borrow().iter().any(pong));

    let mut stage = Stage::new();
    stage.driver.fenced.set(true);
    stage.peer.push(Control::Ping(3), 1).unwrap();
    assert_eq!(stage.run(Vec::new()).await, LinkError::Local);
    assert!(!stage.frames.borrow().iter().any(pong));
}
