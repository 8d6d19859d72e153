//! The steps of the links on their way to another process, or from it.

use std::time::Instant;

use tokio::{sync::oneshot, task::spawn_local};
use tributary_node::queue;
use tributary_protocol::{
    link::{CloseReason, FromSession},
    parcel::{Carried, pack},
};

use super::{LinkStage, LinkThread, Rc, ToLane};
use crate::link::{
    handle::Movement,
    head::Head,
    moved::{MoveError, MovedLinks},
};

/// Exports before one is given up because origins change meanwhile. Reason: an export takes some
/// milliseconds, and news of origins are rare.
const ATTEMPTS: usize = 3;

impl LinkThread {
    /// Makes a step. A step that does not fit the stage changes nothing.
    pub(super) async fn make(&self, movement: Movement) {
        match (movement, self.shared.stages.now()) {
            (
                Movement::Freeze {
                    number,
                    commands,
                    done,
                },
                LinkStage::Running,
            ) => {
                self.shared.stages.set(LinkStage::Frozen);
                self.stand_still(commands, number, done);
            }
            // Without a caller, the freeze has been given up.
            (Movement::Mark { number, done }, LinkStage::Frozen) if !done.is_closed() => {
                self.placing.mark_all(number);
                let _ = done.send(());
            }
            (
                Movement::Export {
                    next_session,
                    exported,
                },
                stage,
            ) => {
                let links = match stage {
                    LinkStage::Frozen => self.export(next_session).await,
                    _ => Err(MoveError::Unsettled),
                };
                let _ = exported.send(links);
            }
            (Movement::Thaw, LinkStage::Frozen) => self.go_on(),
            (Movement::Leave(done), LinkStage::Frozen) => {
                self.shared.stages.set(LinkStage::Left);
                let _ = done.send(());
            }
            (Movement::Adopt { session, hub }, _) => self.placing.adopt(session, hub),
            (Movement::AdoptFeed(source), _) => self.placing.adopt_feed(*source),
            (Movement::Adopted(left), LinkStage::Arriving) => {
                for session in left {
                    let close = FromSession::Close(CloseReason::Transport);
                    self.placing.handle(session, close);
                }
                self.go_on();
                self.dial_all();
            }
            _ => {}
        }
    }

    fn go_on(&self) {
        self.shared.stages.set(LinkStage::Running);
        self.placing.go_on();
    }

    /// Waits, beside the commands, until no stream carries a lane. The mark follows as a command, so
    /// that all commands before it are handled.
    fn stand_still(&self, commands: queue::Sender<ToLane>, number: u64, done: oneshot::Sender<()>) {
        let placing = Rc::clone(&self.placing);
        spawn_local(async move {
            placing.stand_still().await;
            // A freeze is one; a queue that has closed has no sessions.
            let _ = commands.push_final(ToLane::Move(Movement::Mark { number, done }));
        });
    }

    /// Writes the state of the links, at one moment: what origins change meanwhile, while other tasks
    /// have their turns, makes the export begin again.
    async fn export(&self, next_session: u64) -> Result<MovedLinks, MoveError> {
        for _ in 0..ATTEMPTS {
            let changes = self.shared.changes();
            let head = self.placing.head(self.epoch, next_session);
            let head = pack(&head, Instant::now()).map_err(|error| MoveError::Parcel {
                of: Head::NAME.to_owned(),
                error,
            })?;
            let moved = self.placing.export().await?;
            if self.shared.changes() == changes {
                let head = head.to_vec();
                return Ok(MovedLinks { head, ..moved });
            }
        }
        Err(MoveError::Unsettled)
    }
}
