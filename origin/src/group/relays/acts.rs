//! Pushes and pulls begun and ended, and the publications of pulls.

use std::sync::Arc;

use tributary_node::config::{RelayUrl, When};
use tributary_protocol::{amf::Object, handshake, link::Generation};

use super::{MAX_ASKED_PUSHES, PullOnAir, PullRun, PulledStream, PushTarget};
use crate::{
    app::{Identity, RelayRefused},
    exchange::{
        Course, Dialler, NewRelay, Relayed,
        pull::{PullEnd, PullReport, pull},
        push::push,
    },
    group::{
        mailbox::Item,
        name::StreamName,
        publishing::PublishActs,
        pull_id::PullId,
        room::Room,
        streams::{Claim, Claimant, Holds, Own, StreamSlot},
        timers::{LONGEST_TIMER, Timer},
    },
    live::{LiveStream, relay::Relay},
    outgoing::{
        Connect,
        rtmp::{self, Dial},
        socket::Meter,
        target::Target,
    },
};

/// A property of the connect of pushes: the process that sends it. A stream that comes to its own
/// process like that is not pushed again.
const MARK: &str = "tributaryProcess";

/// The `flashVer` of pushes. Servers treat its owner as an encoder.
const ENCODER: &str = "FMLE/3.0 (compatible; Tributary)";

/// Pushes.
impl PublishActs<'_> {
    /// Begins the pushes of a stream that has gone on air.
    pub(in crate::group) fn push_begins(&mut self, name: &Arc<str>, live: &Arc<LiveStream>) {
        let settings = self.room.version.settings();
        let instance = self.room.name.instance().to_owned();
        let pushes = settings.push.iter();
        let fitting: Vec<_> = pushes.filter(|push| push.fits(&instance, name)).collect();
        if fitting.is_empty() || self.comes_from_here(name) {
            return;
        }
        for to in fitting {
            let (connect, name_there) = (to.url.connect().to_owned(), to.url.name_of(name));
            let target = PushTarget::Configured(connect, name_there);
            self.push(name, live, target, &to.url);
        }
    }

    /// Pushes a stream that is published now to a server that `outgoing` names, until its publication
    /// is over.
    pub(in crate::group) fn push_asked(
        &mut self,
        name: &str,
        url: &str,
    ) -> Result<(), RelayRefused> {
        let url = self.asked_url(url)?;
        let known = self.streams.known(name);
        let live = known.map(|known| Arc::clone(known.live));
        let live = live.ok_or(RelayRefused::NotPublished)?;
        if self.relays.asked_pushes(name) >= MAX_ASKED_PUSHES {
            return Err(RelayRefused::TooMany);
        }
        let target = PushTarget::Asked(url.connect().to_owned(), url.name_of(name));
        match self.push(&Arc::from(name), &live, target, &url) {
            true => Ok(()),
            false => Err(RelayRefused::TooMany),
        }
    }

    /// Pushes a stream that is about to go on air to the server that a service of its publisher's edge
    /// has named, until its publication is over.
    pub(in crate::group) fn push_for(
        &mut self,
        name: &Arc<str>,
        live: &Arc<LiveStream>,
        url: &RelayUrl,
    ) {
        let target = PushTarget::Asked(url.connect().to_owned(), url.name_of(name));
        let refused = if self.comes_from_here(name) {
            Some("this process has pushed the stream itself")
        } else if self.relays.has_push(name, &target) {
            None
        } else if self.relays.asked_pushes(name) >= MAX_ASKED_PUSHES
            || !self.push(name, live, target, url)
        {
            Some("there are too many")
        } else {
            None
        };
        if let Some(why) = refused {
            self.note_left_out(url, why);
        }
    }

    /// Begins a push; `false` if there are too many.
    fn push(
        &mut self,
        name: &Arc<str>,
        live: &Arc<LiveStream>,
        to: PushTarget,
        url: &RelayUrl,
    ) -> bool {
        if self.relays.has_push(name, &to) {
            return true;
        }
        let Some(place) = self.room.place(Course::Push, name, url, !to.is_asked()) else {
            return false;
        };
        let meter = Meter {
            written: place.bytes(),
            ..Meter::default()
        };
        let Some(dialler) = self.room.dialler(Course::Push, url, &meter) else {
            return false;
        };
        let (pushing, task) = push(place, dialler, url.name_of(name), Arc::clone(live));
        self.room.process.media.spawn(task);
        let pushes = self.relays.pushes.get_or_insert_default();
        pushes.insert((Arc::clone(name), to), pushing);
        true
    }

    /// Whether a stream is a push of this very process.
    fn comes_from_here(&self, name: &str) -> bool {
        let holder = self.streams.holder(name);
        let client = holder.and_then(|holder| self.clients.get(holder.slot.session));
        let connect = client.and_then(|client| client.connect());
        let mark = connect.as_ref().and_then(|connect| {
            let mark = connect.properties.get(MARK)?;
            mark.as_str()
        });
        mark == Some(&*self.room.process.mark)
    }
}

/// Pulls.
impl PublishActs<'_> {
    /// Begins the pulls that run as long as the group.
    pub(in crate::group) fn begin_pulls(&mut self) {
        for place in 0..self.relays.pulls.len() {
            let pull = &self.relays.pulls[place];
            if !pull.is_for_viewers() && pull.run.is_none() {
                self.begin_pull(PullId(place as u64));
            }
        }
    }

    /// Begins the pulls whose streams have viewers, and starts the time of those that have none any
    /// more.
    pub(in crate::group) fn look_at_viewers(&mut self) {
        for place in 0..self.relays.pulls.len() {
            let pull = &mut self.relays.pulls[place];
            if !pull.is_for_viewers() {
                continue;
            }
            let is_watched = self.streams.is_watched(&pull.name);
            match (&pull.run, is_watched) {
                (None, true) => {
                    let holder = self.streams.holder(&pull.name);
                    if holder.is_none() && pull.asked != Some(false) {
                        self.begin_pull(PullId(place as u64));
                    }
                }
                (Some(_), true) => pull.unwatched = None,
                (Some(_), false) if pull.unwatched.is_none() => {
                    self.unwatched(PullId(place as u64))
                }
                _ => {}
            }
        }
    }

    /// Pulls a stream from a server that `outgoing` names, for as long as it has viewers.
    pub(in crate::group) fn pull_asked(
        &mut self,
        name: &str,
        url: &str,
    ) -> Result<(), RelayRefused> {
        let url = self.asked_url(url)?;
        let name = StreamName::parse(name).ok_or(RelayRefused::BadName)?.name;
        self.pull(name, url)
    }

    /// Pulls a stream for a viewer from the server that a service of its edge has named, unless the
    /// stream is published here.
    pub(in crate::group) fn pull_for(&mut self, name: &str, url: RelayUrl) {
        if self.streams.holder(name).is_some() {
            return;
        }
        let asked = url.clone();
        match self.pull(name, url) {
            Ok(()) | Err(RelayRefused::Configured) => {}
            Err(why) => self.note_left_out(&asked, &why.to_string()),
        }
    }

    /// Begins a pull that was asked for.
    fn pull(&mut self, name: &str, url: RelayUrl) -> Result<(), RelayRefused> {
        let place = match self.relays.pull_named(name) {
            Some(place) if self.relays.pulls[place].run.is_some() => return Ok(()),
            Some(place) if self.relays.pulls[place].asked.is_none() => {
                return Err(RelayRefused::Configured);
            }
            Some(place) => place,
            None => {
                let place = self.relays.place_for_asked();
                place.ok_or(RelayRefused::TooMany)?
            }
        };
        let asked = PulledStream {
            name: Arc::from(name),
            url,
            when: When::Watched,
            linger: LINGER_ASKED,
            asked: Some(true),
            run: None,
            unwatched: None,
        };
        match self.relays.pulls.get_mut(place) {
            Some(over) => *over = asked,
            None => self.relays.pulls.push(asked),
        }
        let id = PullId(place as u64);
        if !self.begin_pull(id) {
            return Err(RelayRefused::TooMany);
        }
        // The viewer may be about to come.
        self.unwatched(id);
        self.look_at_viewers();
        Ok(())
    }

    /// Handles a report of a pull.
    pub(in crate::group) fn pulled(&mut self, id: PullId, run: u64, report: PullReport) {
        let pull = self.relays.pull_mut(id);
        let Some(pull) = pull.filter(|pull| pull.run.as_ref().is_some_and(|it| it.number == run))
        else {
            return;
        };
        let name = Arc::clone(&pull.name);
        match report {
            PullReport::Up(source) => self.pull_up(id, &name, source),
            PullReport::Down(end) => self.pull_down(id, &name, end),
        }
    }

    /// Ends a pull that has had no viewer for its time.
    pub(in crate::group) fn may_be_unwatched(&mut self, id: PullId) {
        let now = self.room.now;
        let Some(pull) = self.relays.pull_mut(id) else {
            return;
        };
        let Some(end) = pull.unwatched.map(|since| since + pull.linger) else {
            return;
        };
        if end > now {
            let at = end.min(now + LONGEST_TIMER);
            return self.room.wake_at(at, Timer::Unwatched(id));
        }
        if pull.asked.is_some() {
            pull.asked = Some(false);
        }
        self.end_pull(id);
    }

    /// Ends a pull and its publication.
    pub(super) fn end_pull(&mut self, id: PullId) {
        let Some(pull) = self.relays.pull_mut(id) else {
            return;
        };
        pull.unwatched = None;
        let name = Arc::clone(&pull.name);
        if let Some(run) = pull.run.take()
            && let Some(on_air) = run.on_air
        {
            on_air.live.end_writer(on_air.writer);
            self.unpublish(&name, StreamSlot::of_pull(id));
        }
        // A stream that waits for this publisher's return waits for nothing.
        self.give_up(&name, id);
    }

    /// Ends a stream that waits for the return of a pull.
    fn give_up(&mut self, name: &Arc<str>, id: PullId) {
        let known = self.streams.known(name);
        let is_its_own = known.is_some_and(|known| known.publisher.of() == Some(Own::Pull(id)));
        if is_its_own {
            self.kick(name, "");
        }
    }

    fn unwatched(&mut self, id: PullId) {
        let now = self.room.now;
        if let Some(pull) = self.relays.pull_mut(id) {
            pull.unwatched = Some(now);
            let at = now + pull.linger.min(LONGEST_TIMER);
            self.room.wake_at(at, Timer::Unwatched(id));
        }
    }

    /// Begins a pull; `false` if there are too many.
    pub(super) fn begin_pull(&mut self, id: PullId) -> bool {
        let number = self.relays.next_run();
        let Some(pulled) = self.relays.pull_mut(id) else {
            return false;
        };
        let (name, url) = (Arc::clone(&pulled.name), pulled.url.clone());
        let is_configured = pulled.asked.is_none();
        let Some(place) = self.room.place(Course::Pull, &name, &url, is_configured) else {
            return false;
        };
        let meter = Meter {
            read: place.bytes(),
            ..Meter::default()
        };
        let Some(dialler) = self.room.dialler(Course::Pull, &url, &meter) else {
            return false;
        };
        let mailbox = self.room.mailbox.clone();
        let report = move |report| {
            // A pull reports once a second at most.
            let _ = mailbox.push_final(Item::Pulled(id, number, report));
        };
        let (pulling, task) = pull(place, dialler, url.name_of(&name), Box::new(report));
        self.room.process.media.spawn(task);
        if let Some(pulled) = self.relays.pull_mut(id) {
            pulled.unwatched = None;
            pulled.run = Some(PullRun {
                number,
                pulling,
                on_air: None,
            });
        }
        true
    }

    /// Publishes a pull's media under its name, if the name is free or waits for it.
    fn pull_up(&mut self, id: PullId, name: &Arc<str>, source: Arc<LiveStream>) {
        let slot = StreamSlot::of_pull(id);
        let claimant = Claimant {
            slot,
            generation: Generation::default(),
            identity: Some(Identity::Pull(id.0)),
            key: None,
            query: Box::default(),
            holds: Holds::Firmly,
        };
        let (live, writer, fresh) = match self.streams.claim(name, claimant, self.room.now).1 {
            Claim::Fresh { live, writer } => (live, writer, true),
            Claim::Continued {
                live,
                writer,
                displaced,
            } => {
                if let Some(holder) = displaced {
                    self.displace(name, &holder, slot.session);
                }
                (live, writer, false)
            }
            Claim::Taken => {
                if let Some(run) = self.relays.pull_mut(id).and_then(|pull| pull.run.as_ref()) {
                    run.pulling.refuse();
                }
                return;
            }
        };
        let (relay, task) = Relay::new(Arc::clone(&live), writer);
        relay.play_all(source);
        self.room.process.media.spawn(task);
        if let Some(run) = self.relays.pull_mut(id).and_then(|pull| pull.run.as_mut()) {
            run.on_air = Some(PullOnAir {
                live: Arc::clone(&live),
                writer,
                _relay: relay,
            });
        }
        self.room.log_stream("publish begins", slot, name, fresh);
        if fresh {
            self.room.process.metrics.streams.inc();
        }
        self.goes_on_air(name, &live);
    }

    fn pull_down(&mut self, id: PullId, name: &Arc<str>, end: PullEnd) {
        let run = self.relays.pull_mut(id).and_then(|pull| pull.run.as_mut());
        let Some(on_air) = run.and_then(|run| run.on_air.take()) else {
            return;
        };
        on_air.live.end_writer(on_air.writer);
        match end {
            PullEnd::Ended => self.unpublish(name, StreamSlot::of_pull(id)),
            PullEnd::Lost => self.lose(name, StreamSlot::of_pull(id)),
        }
    }

    /// Notes that a relay which a service has asked for is not made.
    fn note_left_out(&self, url: &RelayUrl, why: &str) {
        let target = url.shown();
        tracing::warn!(group = %self.room.name, target, why, "a relay of a service is left out");
    }

    /// Takes the relay that a service of the client's edge wants for the publish or play that the
    /// client asks for now, if there is one and the settings permit it.
    pub(in crate::group) fn take_relay(
        &mut self,
        slot: StreamSlot,
    ) -> Result<Option<Box<RelayUrl>>, RelayRefused> {
        let client = self.clients.get_mut(slot.session);
        let Some(address) = client.and_then(|client| client.take_relay(slot.stream)) else {
            return Ok(None);
        };
        let url = self.asked_url(address.as_str());
        if let Err(RelayRefused::Address(why)) = &url {
            tracing::warn!(group = %self.room.name, %why, "a relay of a service was refused");
        }
        url.map(|url| Some(Box::new(url)))
    }

    /// The address of a relay that was asked for, if the settings permit it.
    fn asked_url(&self, url: &str) -> Result<RelayUrl, RelayRefused> {
        let url: RelayUrl = url.parse().map_err(RelayRefused::Address)?;
        let (host, port) = url.server();
        match self.room.version.settings().may_connect(host, port) {
            true => Ok(url),
            false => {
                tracing::warn!(
                    group = %self.room.name,
                    target = url.shown(),
                    "a relay was refused: applications.{}.outgoing does not name the server",
                    self.room.name.application(),
                );
                Err(RelayRefused::NotNamed)
            }
        }
    }
}

impl Room {
    /// A place on the board for a relay of a stream.
    fn place(
        &self,
        course: Course,
        name: &str,
        url: &RelayUrl,
        configured: bool,
    ) -> Option<Relayed> {
        let is_secret = self.version.settings().secret_names;
        let stream = self.process.shown(name, is_secret);
        self.process.metrics.relays.begin(&NewRelay {
            application: self.name.application(),
            instance: self.name.instance(),
            stream: &stream,
            secret: is_secret.then_some(name),
            course,
            url,
            configured,
        })
    }

    /// Makes the connections of a relay.
    fn dialler(&self, course: Course, url: &RelayUrl, meter: &Meter) -> Option<Dialler> {
        #[cfg(test)]
        if let Some(servers) = self.process.servers.lock().unwrap().clone() {
            return Some(servers);
        }
        let target = Target::parse(url.connect())?;
        let mut over = Object::new();
        if course == Course::Push {
            over.push("flashVer", ENCODER);
            over.push("type", "nonprivate");
            over.push(MARK, &*self.process.mark);
        }
        let connect = Connect::new(&target.app, url.connect(), &over, Vec::new());
        let roots = self.process.roots.clone();
        let live_ids = Arc::clone(&self.process.live_ids);
        let meter = meter.clone();
        Some(Dialler::new(move |inbox| {
            let mut random = [0; handshake::RANDOM];
            rand::fill(&mut random);
            let dial = Dial {
                target: target.clone(),
                connect: connect.clone(),
                random,
                roots: roots.clone(),
                live_ids: Arc::clone(&live_ids),
                meter: meter.clone(),
            };
            tokio::spawn(rtmp::run(dial, inbox));
        }))
    }
}

/// For how long a pull that was asked for goes on after its last viewer.
const LINGER_ASKED: std::time::Duration = std::time::Duration::from_secs(10);
