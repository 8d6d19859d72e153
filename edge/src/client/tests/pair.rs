//! Two edges in one process: the sessions of the first go on at the second, each on its real socket, with
//! the test as the link thread of both.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    thread,
    time::Instant,
};

use tokio::{runtime::Handle, spawn, sync::mpsc, task::spawn_blocking, time::timeout};
use tributary_node::queue;
use tributary_protocol::{
    SessionId,
    link::{CloseReason, FromSession},
};

use super::support::{Edge, LONG, Peer};
use crate::{
    link::{
        MovedLinks,
        handle::{FromOrigin, Movement, Opening, Park, ToLane},
        publish::PublishSource,
    },
    live::{Frozen, LiveClients, SharedUpstream, Taken, Taking},
    moving::{LinksState, Moved, ON_THE_WAY, Stage, WorkerOrder},
    objects::HubOut,
};

/// The test's part as the link thread of an edge.
#[derive(Debug, Default)]
pub(super) struct LinkScript {
    /// Events that have come while the test waited for something else.
    pub(super) kept: VecDeque<(SessionId, FromSession<Box<Opening>>)>,
    /// Sessions that have come from another process and have a driver, and its hub.
    pub(super) adopted: HashMap<SessionId, Option<Arc<HubOut>>>,
    /// Feeds of publishes that have come.
    pub(super) feeds: Vec<PublishSource>,
    /// Sessions that have come and have no driver.
    pub(super) orphans: Vec<SessionId>,
    pub(super) thaws: usize,
    has_left: bool,
}

/// Sessions that stand still, and the items that another process gets.
pub(super) struct Standing {
    pub(super) frozen: Frozen,
    pub(super) moved: Vec<Moved>,
}

/// The link thread's end of a session that is to come.
type Berth = (queue::Sender<FromOrigin>, Arc<Park>);

/// The items that follow after a leave.
pub(super) type Following = mpsc::Receiver<Moved>;

impl LinkScript {
    /// Does the part of the link thread; in a freeze the inboxes of these get its mark.
    pub(super) fn act(&mut self, told: ToLane, marked: &[&Peer]) {
        match told {
            ToLane::Session { .. } if self.has_left => {}
            ToLane::Session { session, event } => self.kept.push_back((session, event)),
            ToLane::Move(Movement::Freeze { number, done, .. }) => {
                for peer in marked {
                    peer.try_say(FromOrigin::Freeze(number));
                }
                done.send(()).expect("the freeze waits");
            }
            ToLane::Move(Movement::Thaw) => self.thaws += 1,
            ToLane::Move(Movement::Export { exported, .. }) => {
                let part = || b"a part".to_vec();
                let links = MovedLinks {
                    head: part(),
                    lanes: vec![part()],
                    waiting: vec![part()],
                };
                exported.send(Ok(links)).expect("the freeze waits");
            }
            ToLane::Move(Movement::Leave(done)) => {
                self.has_left = true;
                done.send(()).expect("the leave waits");
            }
            ToLane::Move(Movement::Adopt { session, hub }) => {
                self.adopted.insert(session, hub);
            }
            ToLane::Move(Movement::AdoptFeed(feed)) => self.feeds.push(*feed),
            ToLane::Move(Movement::Adopted(orphans)) => self.orphans = orphans,
            other => panic!("not expected: {other:?}"),
        }
    }

    /// The sessions that have said that they close.
    pub(super) fn closes(&self) -> Vec<(SessionId, CloseReason)> {
        let closes = self.kept.iter().filter_map(|(session, event)| match event {
            FromSession::Close(reason) => Some((*session, *reason)),
            _ => None,
        });
        closes.collect()
    }
}

impl Edge {
    /// Does work that blocks, while the test is the link thread.
    pub(super) async fn during<T: Send + 'static>(
        &mut self,
        marked: &[&Peer],
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let mut working = spawn_blocking(work);
        let done = timeout(LONG, async {
            loop {
                tokio::select! {
                    biased;
                    told = self.lanes.next() => self.links.act(told.expect("it runs"), marked),
                    done = &mut working => break done.expect("no panic"),
                }
            }
        });
        done.await.expect("the work is done in time")
    }

    pub(super) fn live_clients(&self) -> LiveClients {
        LiveClients {
            controls: Arc::clone(self.running.controls()),
            upstream: SharedUpstream::new(self.upstream.clone()),
            runtime: Handle::current(),
        }
    }

    /// Lets all sessions stand still. `peers` are those with a lane.
    pub(super) async fn freeze(&mut self, peers: &[&Peer]) -> Standing {
        let live = self.live_clients();
        let standing = self.during(peers, move || {
            let mut frozen = live.freeze(Instant::now() + LONG).expect("it runs");
            let mut moved = Vec::new();
            loop {
                let next = frozen.next_clients().expect("all stand still in time");
                if next.is_empty() {
                    break;
                }
                moved.extend(next);
            }
            Standing { frozen, moved }
        });
        standing.await
    }

    /// Lets the sessions go on here.
    pub(super) async fn thaw(&mut self, standing: Standing) {
        self.during(&[], move || drop(standing)).await;
    }

    /// Leaves the sessions to another process.
    pub(super) async fn leave(&mut self, frozen: Frozen) -> Following {
        let mut followers = self.during(&[], move || frozen.leave()).await;
        let (send, following) = mpsc::channel(ON_THE_WAY);
        thread::spawn(move || {
            loop {
                let next = followers.next_clients();
                if next.is_empty() {
                    return;
                }
                for moved in next {
                    // The test may have ended.
                    let _ = send.blocking_send(moved);
                }
            }
        });
        following
    }

    /// An edge for sessions of another process, which are to wait. It takes any links.
    pub(super) async fn holding(&mut self) -> Taking {
        let (state, links) = LinksState::new();
        spawn(async move {
            if let Ok((_, answer)) = state.state.await {
                let _ = answer.send(Ok(()));
            }
        });
        self.upstream.continue_at(1_000);
        let controls = Arc::clone(self.running.controls());
        let (done, mut begun) = mpsc::channel(controls.workers.len());
        for worker in &controls.workers {
            let (stage, done) = (Stage::Holds, done.clone());
            let order = WorkerOrder::Begin { stage, done };
            worker.send(order).await.expect("a worker");
            begun.recv().await.expect("it begins");
        }
        Taking::new(controls, SharedUpstream::new(self.upstream.clone()), links)
    }

    /// Takes sessions of another process, whose lanes have these peers. They wait until
    /// [`Self::serve`].
    pub(super) async fn take(
        &mut self,
        moved: Vec<Moved>,
        peers: &[Peer],
    ) -> (Taking, Taken, Vec<Peer>) {
        let taking = self.holding().await;
        let berths = self.berths(peers);
        // Sessions come before the requests for them.
        let (mut sessions, others): (Vec<_>, Vec<_>) = moved
            .into_iter()
            .partition(|moved| matches!(moved, Moved::Client(_)));
        sessions.extend(others);
        let (taking, taken) = self
            .during(&[], move || {
                let taken = taking.take_clients(sessions).expect("it runs");
                (taking, taken)
            })
            .await;
        // Everything that the sessions have said is in the queue.
        self.during(&[], || ()).await;
        (taking, taken, self.arrived(peers, berths))
    }

    /// The lane's end of sessions that are to come.
    pub(super) fn berths(&self, peers: &[Peer]) -> Vec<Berth> {
        let berth = |peer: &Peer| self.upstream.berth(peer.session, 0).expect("a new session");
        peers.iter().map(berth).collect()
    }

    /// The sessions of these peers, which have come.
    pub(super) fn arrived(&self, peers: &[Peer], berths: Vec<Berth>) -> Vec<Peer> {
        let peers = peers.iter().zip(berths).map(|(peer, (inbox, park))| {
            let hub = self.links.adopted.get(&peer.session).cloned();
            Peer {
                session: peer.session,
                request: peer.request.clone(),
                park,
                // A session that was refused has none.
                hub: hub.flatten().unwrap_or_else(|| Arc::clone(&peer.hub)),
                inbox,
            }
        });
        peers.collect()
    }

    /// Lets sessions of another process go on.
    pub(super) async fn serve(&mut self, taking: Taking) -> Taking {
        self.during(&[], move || {
            taking.begin().expect("it runs");
            taking
        })
        .await
    }

    /// Takes an item that follows.
    pub(super) async fn follow(&mut self, taking: Taking, moved: Moved) -> Taking {
        self.during(&[], move || {
            taking.follow(vec![moved]).expect("it runs");
            taking
        })
        .await
    }
}

/// Two edges, of which the second has taken the place of the first.
pub(super) struct Replaced {
    pub(super) taking: Taking,
    pub(super) following: Following,
}

/// Moves all sessions of an edge, which are those of these peers, to another one.
pub(super) async fn replace(old: &mut Edge, new: &mut Edge, peers: &mut Vec<Peer>) -> Replaced {
    let standing = old.freeze(&peers.iter().collect::<Vec<_>>()).await;
    assert_eq!(standing.moved.len(), peers.len());
    finish(old, new, standing, peers).await
}

/// Moves sessions that stand still.
pub(super) async fn finish(
    old: &mut Edge,
    new: &mut Edge,
    standing: Standing,
    peers: &mut Vec<Peer>,
) -> Replaced {
    let count = standing.moved.len();
    let (taking, taken, moved) = new.take(standing.moved, peers).await;
    let (clients, refused) = (count, 0);
    assert_eq!(taken, Taken { clients, refused });
    let following = old.leave(standing.frozen).await;
    assert_eq!(old.links.closes(), []);
    *peers = moved;
    let taking = new.serve(taking).await;
    assert_eq!(new.links.orphans, []);
    Replaced { taking, following }
}
