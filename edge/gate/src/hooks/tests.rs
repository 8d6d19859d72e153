//! Tests of hooks.

mod answers;
mod requests;

use proptest::prelude::*;

/// A golden parcel, changed or cut.
pub(super) fn changed(golden: &'static [u8]) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let changes = prop::collection::vec(change, 0..4);
    (changes, 0..=golden.len()).prop_map(move |(changes, end)| {
        let mut parcel = golden.to_vec();
        for (place, byte) in changes {
            parcel[place.index(golden.len())] = byte;
        }
        parcel.truncate(end);
        parcel
    })
}

use super::*;

fn settings(style: HookStyle) -> HookSettings {
    let urls = || Urls::from(["http://h/x"]);
    HookSettings {
        style,
        on_connect: urls(),
        on_disconnect: urls(),
        on_publish: urls(),
        on_publish_done: urls(),
        on_play: urls(),
        on_play_done: urls(),
        on_done: urls(),
        on_update: urls(),
        ..HookSettings::default()
    }
}
