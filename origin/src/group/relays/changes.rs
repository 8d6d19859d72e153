//! Pushes and pulls that follow other settings while their group runs.

use std::sync::Arc;

use tributary_node::config::Pull;

use super::PulledStream;
use crate::group::{publishing::PublishActs, pull_id::PullId, streams::StreamSlot};

impl PublishActs<'_> {
    /// Puts the pushes and pulls of the settings in force. Relays that stay as they were notice
    /// nothing, and those that were asked for stay.
    pub(in crate::group) fn relays_changed(&mut self) {
        let settings = self.room.version.settings();
        let instance = self.room.name.instance().to_owned();
        self.relays.end_other_pushes(&settings, &instance);
        for (name, live) in self.streams.on_air() {
            self.push_begins(&name, &live);
        }
        let pulls = settings.pull.iter();
        let pulls: Vec<_> = pulls.filter(|pull| pull.instance == instance).collect();
        self.change_pulls(&pulls);
        for pull in pulls {
            self.add_pull(pull);
        }
        self.begin_pulls();
        self.look_at_viewers();
    }

    /// Changes the pulls of the settings before to these, and ends those that are not among them.
    fn change_pulls(&mut self, pulls: &[&Pull]) {
        for place in 0..self.relays.pulls.len() {
            let id = PullId(place as u64);
            let known = &mut self.relays.pulls[place];
            if known.asked.is_some() {
                continue;
            }
            match pulls.iter().find(|pull| pull.stream == *known.name) {
                Some(pull) => self.change_pull(id, pull),
                None => {
                    // Its place is free for others, as that of one that was asked for and is over.
                    known.asked = Some(false);
                    self.end_pull(id);
                }
            }
        }
    }

    /// Gives a pull the settings of another. A pull that runs goes on from its new address, and its
    /// viewers stay as they do when a server is lost.
    fn change_pull(&mut self, id: PullId, pull: &Pull) {
        let Some(known) = self.relays.pull_mut(id) else {
            return;
        };
        known.asked = None;
        known.when = pull.when;
        known.linger = pull.linger.get();
        if !known.is_for_viewers() {
            known.unwatched = None;
        }
        if known.url == pull.url {
            return;
        }
        known.url = pull.url.clone();
        let (name, since) = (Arc::clone(&known.name), known.unwatched);
        let Some(run) = known.run.take() else {
            return;
        };
        if let Some(on_air) = run.on_air {
            on_air.live.end_writer(on_air.writer);
            self.lose(&name, StreamSlot::of_pull(id));
        }
        self.begin_pull(id);
        if let Some(known) = self.relays.pull_mut(id) {
            known.unwatched = since;
        }
    }

    /// Adds a pull of the settings; one of its name that was asked for becomes this one.
    fn add_pull(&mut self, pull: &Pull) {
        let pulls = &mut self.relays.pulls;
        if let Some(place) = pulls.iter().position(|known| *known.name == *pull.stream) {
            if pulls[place].asked.is_some() {
                self.change_pull(PullId(place as u64), pull);
            }
            return;
        }
        let is_over = |known: &PulledStream| known.asked == Some(false) && known.run.is_none();
        let place = pulls.iter().position(is_over);
        let added = PulledStream::configured(pull);
        match place {
            Some(over) => pulls[over] = added,
            None => pulls.push(added),
        }
    }
}
