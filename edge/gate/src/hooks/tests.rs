//! Tests of hooks.

mod answers;
mod requests;

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
