//! Temporary shared objects go on with the copies of edges, and the application that opens them.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tributary_protocol::{
    amf::Value,
    command::{Connect, ObjectEncoding},
    link::{ClientClaims, CloseReason, RestoredObject, RestoredSession},
    shared_object::{
        Encoded, Event, Flags, Mirror,
        body::{Body, Told},
    },
};

use super::stage::{Lane, Stage, live_settings, pass, play};
use crate::{
    app::{
        Admission, Answer, AppStartError, Application, Call, ClientId, Context, ObjectId,
        Rejection, Restored,
    },
    session::Brought,
};

const SECRET: &[u8] = b"the secret of the cluster";

fn lane_of(stage: &mut Stage, app: &str) -> Lane {
    let group = format!("{app}/_definst_");
    stage.lane(&group).remembering(&group, SECRET)
}

/// An edge's copy of an object that has this version.
fn copy(name: &str, version: u32, slots: &[(&str, f64)]) -> Brought {
    let changes = slots.iter().map(|(name, value)| Told::Change {
        name: (*name).into(),
        value: Encoded::new(&(*value).into()),
    });
    let body = Body {
        version,
        events: [Told::Clear].into_iter().chain(changes).collect(),
    };
    let mut mirror = Mirror::new();
    mirror
        .apply(&body.encode(name, ObjectEncoding::Amf3))
        .unwrap();
    Brought::Contents(RestoredObject {
        name: name.into(),
        persistent: false,
        body: mirror.snapshot(name, ObjectEncoding::Amf3),
    })
}

/// A client of this name, which uses the object `users`.
fn client(lane: &Lane, session: u64, name: &str) -> RestoredSession {
    let mut salvaged = lane.salvage(session);
    salvaged.open.claims = Some(Arc::new(ClientClaims {
        user: Some(name.to_owned()),
        json: None,
    }));
    salvaged.uses = vec![("users".to_owned(), Flags::TEMPORARY)];
    salvaged
}

#[test]
fn temporary_objects_go_on_with_the_newest_of_the_edges_copies() {
    play(async {
        let mut stage = Stage::live(live_settings());
        let mut lane = lane_of(&mut stage, "live");
        for (version, value) in [(3, 1.0), (9, 2.0), (5, 3.0)] {
            lane.restore(copy("users", version, &[("slot", value)]));
        }
        lane.bring(1, client(&lane, 1, "ann"));
        lane.gathered();
        let heard = lane.heard(1).await;
        assert_eq!(heard[0], "Restored");
        let said = heard.join(", ");
        assert!(said.contains("slot") && said.contains('2'), "{said}");
        // Its versions are beyond those that any member can have seen.
        let name = "slot".into();
        let value = 4.0.into();
        let change = Event::RequestChange { name, value };
        lane.object(1, "users", 9, Flags::TEMPORARY, [change]);
        let heard = lane.heard(1).await.join(", ");
        assert!(heard.contains("slot"), "{heard}");
    });
}

/// The answers of [`Roster`] to its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// It decides at once.
    AtOnce,
    /// It decides after a second.
    Later,
    /// It expects clients of the process before, and accepts them.
    Expecting,
}

/// Keeps the names of its clients in the object `users`, and refuses a second one of a name.
struct Roster {
    style: Style,
    users: Option<ObjectId>,
    undecided: HashSet<ClientId>,
}

impl Roster {
    fn new(style: Style) -> Self {
        Self {
            style,
            users: None,
            undecided: HashSet::new(),
        }
    }

    fn enter(&self, context: &mut Context<'_>, id: ClientId) -> Admission {
        let name = name(context, id);
        let mut users = context.object_mut(self.users.unwrap()).unwrap();
        if users.as_ref().unwrap().get(&name).is_some() {
            return Admission::Reject(Rejection::default());
        }
        users.set(&name, &1.0.into()).unwrap();
        Admission::Accept
    }

    fn slots(&self, context: &Context<'_>) -> String {
        let users = context.object(self.users.unwrap()).unwrap();
        let mut slots: Vec<_> = users.slot_names().collect();
        slots.sort_unstable();
        slots.join(" ")
    }
}

fn name(context: &Context<'_>, id: ClientId) -> String {
    context.client(id).unwrap().user().unwrap().to_owned()
}

impl Application for Roster {
    fn start(&mut self, context: &mut Context<'_>) -> Result<(), AppStartError> {
        self.users = context.open_object("users", false).ok();
        assert_eq!(self.slots(context), "", "as after any start");
        Ok(())
    }

    fn expects_restore(&mut self, _: &mut Context<'_>) -> bool {
        self.style == Style::Expecting
    }

    fn restored(&mut self, context: &mut Context<'_>, _: Restored<'_>) {
        let expected = match self.style {
            Style::Expecting => "ann bob cat title",
            _ => "",
        };
        assert_eq!(self.slots(context), expected);
    }

    fn connect(&mut self, context: &mut Context<'_>, id: ClientId, _: &Connect) -> Admission {
        if self.style == Style::Later {
            self.undecided.insert(id);
            context.set_deadline(Some(context.now() + Duration::from_secs(1)));
            return Admission::Pending;
        }
        self.enter(context, id)
    }

    fn readmit(
        &mut self,
        context: &mut Context<'_>,
        id: ClientId,
        connect: &Connect,
        _: &[u8],
    ) -> Admission {
        match self.style {
            Style::Expecting => Admission::Accept,
            _ => self.connect(context, id, connect),
        }
    }

    fn disconnect(&mut self, context: &mut Context<'_>, _: ClientId, _: CloseReason) {
        let mut users = context.object_mut(self.users.unwrap()).unwrap();
        assert!(users.remove("cat"));
    }

    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        assert_eq!(call.name, "slots");
        Answer::Result(Value::from(self.slots(context)))
    }

    fn deadline(&mut self, context: &mut Context<'_>) {
        for id in std::mem::take(&mut self.undecided) {
            match self.enter(context, id) {
                Admission::Accept => context.accept(id),
                _ => context.reject(id, Rejection::default()),
            }
        }
    }
}

fn result(lines: &[String]) -> Vec<&str> {
    let results = lines.iter().filter(|line| line.starts_with("_result"));
    results.map(String::as_str).collect()
}

#[test]
fn an_application_takes_no_client_for_a_second_one_of_its_name() {
    for style in [Style::AtOnce, Style::Expecting] {
        play(async {
            let mut stage = Stage::app(move || Roster::new(style));
            let mut lane = lane_of(&mut stage, "app");
            let slots = [("ann", 0.0), ("bob", 0.0), ("cat", 0.0), ("title", 7.0)];
            lane.restore(copy("users", 20, &slots));
            lane.restore(copy("others", 3, &[("slot", 5.0)]));
            for (session, name) in [(1, "ann"), (2, "bob"), (3, "cat")] {
                let mut client = client(&lane, session, name);
                let others = ("others".to_owned(), Flags::TEMPORARY);
                client.uses.push(others);
                lane.bring(session, client);
            }
            // This one has left meanwhile.
            lane.closed(3, CloseReason::Client);
            lane.gathered();
            let heard = lane.heard(1).await.join(", ");
            assert!(heard.starts_with("Restored"), "{heard}");
            assert!(heard.contains("title"), "{style:?}: {heard}");
            assert!(heard.contains("slot"), "of an object of clients: {heard}");
            lane.call(1, 0, "slots", 5.0, &[]);
            let heard = lane.heard(1).await;
            assert_eq!(result(&heard), ["_result 5 ann bob title"], "{style:?}");
            let heard = lane.heard(2).await;
            assert_eq!(heard[0], "Restored", "{style:?}");
        });
    }
}

#[test]
fn objects_wait_for_clients_that_are_decided_later() {
    play(async {
        let mut stage = Stage::app(|| Roster::new(Style::Later));
        let mut lane = lane_of(&mut stage, "app");
        lane.restore(copy("users", 20, &[("ann", 0.0), ("title", 7.0)]));
        lane.restore(copy("others", 3, &[("slot", 5.0)]));
        for (session, name) in [(1, "ann"), (2, "ann")] {
            let mut client = client(&lane, session, name);
            let others = ("others".to_owned(), Flags::TEMPORARY);
            client.uses.push(others);
            lane.bring(session, client);
        }
        lane.gathered();
        assert_eq!(lane.heard(1).await, [""; 0]);
        assert_eq!(lane.heard(2).await, [""; 0]);
        pass(Duration::from_secs(2)).await;
        let (mut first, mut second) = (lane.heard(1).await, lane.heard(2).await);
        if first[0] != "Restored" {
            std::mem::swap(&mut first, &mut second);
        }
        let refused = ["0 NetConnection.Connect.Closed", "close", "Close rejected"];
        assert_eq!(second, refused, "one of two of a name");
        let heard = first.join(", ");
        assert!(heard.contains("title") && heard.contains("slot"), "{heard}");
    });
}
