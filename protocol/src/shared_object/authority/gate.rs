//! Messages to members that wait for the store.
//!
//! A member that waits for its success stands aside. It receives the messages behind the success in
//! one message, so it never sees the object's versions go back. All other members receive them at
//! once.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Debug,
    hash::Hash,
    mem::size_of,
    sync::Arc,
};

use super::{Body, Flags, Limits, Output, Ticket, To, Told, event_list::EventList};

#[derive(Debug)]
pub(super) struct StoreGate<M> {
    /// The waiting messages of each member that stands aside.
    held: HashMap<M, VecDeque<Held>>,
    /// The messages to all that wait, in order.
    strict: VecDeque<Strict<M>>,
    bytes: usize,
}

#[derive(Debug)]
struct Held {
    /// The write to wait for; none if the message only follows another that waits.
    ticket: Option<Ticket>,
    version: u32,
    events: EventList,
    bytes: usize,
}

#[derive(Debug)]
struct Strict<M> {
    /// The write to wait for.
    until: Ticket,
    /// The write that the output acknowledges.
    ticket: Option<Ticket>,
    output: Output<M>,
}

impl<M: Copy + Eq + Hash + Debug> StoreGate<M> {
    pub(super) fn new() -> Self {
        Self {
            held: HashMap::new(),
            strict: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Whether so many bytes wait that members' messages must wait too.
    pub(super) fn is_full(&self) -> bool {
        self.bytes > Limits::MAX_WAITING
    }

    /// Whether messages to all pass this member by.
    pub(super) fn is_aside(&self, member: M) -> bool {
        self.held.contains_key(&member)
    }

    /// Passes an output on, or keeps it. It waits until `ticket`, which it acknowledges, is stored,
    /// or until `all`, for which all output waits.
    pub(super) fn pass(
        &mut self,
        output: Output<M>,
        ticket: Option<Ticket>,
        all: Option<Ticket>,
        out: &mut VecDeque<Output<M>>,
    ) {
        let before = self.strict.back().map(|strict| strict.until);
        let Some(until) = all.max(before) else {
            return self.route(output, ticket, out);
        };
        self.bytes += size(&output);
        self.strict.push_back(Strict {
            until: ticket.map_or(until, |ticket| ticket.max(until)),
            ticket,
            output,
        });
    }

    /// Releases the outputs that waited for writes up to this one, which are stored or have failed.
    pub(super) fn open(
        &mut self,
        stored: Ticket,
        members: &HashMap<M, Flags>,
        out: &mut VecDeque<Output<M>>,
    ) {
        let Self { held, bytes, .. } = self;
        held.retain(|&member, held| {
            *bytes -= release(member, held, stored, out);
            if held.is_empty()
                && let Some(&flags) = members.get(&member)
            {
                out.push_back(Output::Back { member, flags });
            }
            !held.is_empty()
        });
        if held.is_empty() {
            *held = HashMap::new();
        }
        while let Some(strict) = self.strict.pop_front_if(|strict| strict.until <= stored) {
            self.bytes -= size(&strict.output);
            self.route(strict.output, None, out);
        }
    }

    /// Replaces the events that acknowledge a write by `events`, since the write has failed.
    pub(super) fn fail(&mut self, ticket: Ticket, events: &[Told]) {
        let of_it = |waits: Option<Ticket>| waits.is_some_and(|waits| waits <= ticket);
        for held in self.held.values_mut().flatten() {
            if of_it(held.ticket) {
                held.events = events.iter().cloned().collect();
            }
        }
        for strict in &mut self.strict {
            if of_it(strict.ticket)
                && let Output::Body { body, .. } = &mut strict.output
            {
                self.bytes -= body.size();
                *body = Arc::new(Body {
                    version: body.version,
                    events: events.to_vec(),
                });
                self.bytes += body.size();
            }
        }
    }

    /// Drops the messages of a member that is gone.
    pub(super) fn forget(&mut self, member: M) {
        for held in self.held.remove(&member).into_iter().flatten() {
            self.bytes -= held.bytes;
        }
    }

    fn route(&mut self, output: Output<M>, ticket: Option<Ticket>, out: &mut VecDeque<Output<M>>) {
        let Output::Body { to, body } = output else {
            return out.push_back(output);
        };
        match to {
            To::One(member) if ticket.is_some() || self.held.contains_key(&member) => {
                let held = Held::new(ticket, &body);
                self.bytes += held.bytes;
                self.held
                    .entry(member)
                    .or_insert_with(|| {
                        out.push_back(Output::Aside { member });
                        VecDeque::new()
                    })
                    .push_back(held);
                return;
            }
            To::One(_) => {}
            To::All => self.follow(&body, None),
            To::AllBut(author) => self.follow(&body, Some(author)),
        }
        out.push_back(Output::Body { to, body });
    }

    /// Queues a body for the members that stand aside.
    fn follow(&mut self, body: &Body, but: Option<M>) {
        for (&member, held) in &mut self.held {
            if but == Some(member) {
                continue;
            }
            match held.back_mut().filter(|held| held.ticket.is_none()) {
                Some(last) => self.bytes += last.append(body),
                None => {
                    let next = Held::new(None, body);
                    self.bytes += next.bytes;
                    held.push_back(next);
                }
            }
        }
    }
}

impl Held {
    fn new(ticket: Option<Ticket>, body: &Body) -> Self {
        let mut held = Self {
            ticket,
            version: body.version,
            events: EventList::default(),
            bytes: 0,
        };
        held.append(body);
        held
    }

    /// Appends a body; returns the bytes that it adds.
    fn append(&mut self, body: &Body) -> usize {
        self.version = body.version;
        for event in &body.events {
            self.events.push(event.clone());
        }
        let bytes = self.events.size() + size_of::<Self>();
        let more = bytes.saturating_sub(self.bytes);
        self.bytes += more;
        more
    }
}

/// Releases the messages that a member need not wait for any more, as one body. Returns their
/// bytes.
fn release<M>(
    member: M,
    held: &mut VecDeque<Held>,
    stored: Ticket,
    out: &mut VecDeque<Output<M>>,
) -> usize {
    let mut freed = 0;
    let mut version = 0;
    let mut events = EventList::default();
    while let Some(next) = held.pop_front_if(|held| held.ticket.is_none_or(|held| held <= stored)) {
        freed += next.bytes;
        version = next.version;
        for event in next.events.into_list() {
            events.push(event);
        }
    }
    if !events.is_empty() {
        let body = Arc::new(Body {
            version,
            events: events.into_list(),
        });
        let to = To::One(member);
        out.push_back(Output::Body { to, body });
    }
    freed
}

fn size<M>(output: &Output<M>) -> usize {
    match output {
        Output::Body { body, .. } => body.size(),
        _ => size_of::<Output<M>>(),
    }
}
