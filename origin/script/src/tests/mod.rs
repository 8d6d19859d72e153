//! Script applications on a stage.

mod connecting;
mod library;
mod limits;
mod loading;
mod publishers;
mod room;
mod shared_objects;
mod streams;
mod style;
mod values;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use tributary_node::config;
use tributary_origin::test::Stage;
use tributary_protocol::amf::Value;

use crate::{Host, Program, test};

/// A stage for a script of one file.
fn stage(text: &str) -> Stage {
    test::script(text).unwrap_or_else(|error| panic!("{error}"))
}

/// A stage for a script of several files.
fn files(files: &[(&str, &str)]) -> Stage {
    test::program(program(files), Host::default())
}

fn program(files: &[(&str, &str)]) -> Arc<Program> {
    let files = files
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Arc::from(*text)));
    let settings = config::Application::default();
    Program::of_files(
        "app",
        Path::new(""),
        files.collect::<BTreeMap<_, _>>(),
        &settings,
    )
    .unwrap_or_else(|error| panic!("{error}"))
}

fn text(value: &str) -> Value {
    Value::from(value)
}
