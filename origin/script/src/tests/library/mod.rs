//! The classes of `api::library`, in scripts.

mod bytes;

mod declarations;
mod files;
mod framework;
mod load_vars;
mod remoting;
mod settings;
mod web;
mod xml;

use std::{
    net::SocketAddr,
    path::Path,
    time::{Duration, Instant},
};

use super::*;

/// A stage for files whose script may connect to these addresses.
fn connecting(files: &[(&str, &str)], to: &[SocketAddr]) -> Stage {
    let outgoing = to
        .iter()
        .map(|address| address.to_string().parse().unwrap())
        .collect();
    let settings = config::Application {
        outgoing,
        ..config::Application::default()
    };
    test::program(
        with_settings(files, Path::new(""), &settings),
        Host::default(),
    )
}

fn with_settings(
    files: &[(&str, &str)],
    folder: &Path,
    settings: &config::Application,
) -> Arc<Program> {
    let files = files
        .iter()
        .map(|&(name, text)| (name.to_owned(), Arc::from(text)))
        .collect();
    Program::of_files("app", folder, files, settings).unwrap_or_else(|error| panic!("{error}"))
}

/// The log lines of a script in `onAppStart`.
fn said(script: &str) -> Vec<String> {
    let stage = stage(&starting(script));
    stage.connect("x");
    stage.said()
}

/// A script that runs this code when its instance starts.
fn starting(script: &str) -> String {
    format!("application.onAppStart = function() {{ {script}\n }};")
}

/// The log lines of a script once there are this many; answers come from another thread.
fn said_at_last(stage: &Stage, lines: usize) -> Vec<String> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let said = stage.said();
        if said.len() >= lines || Instant::now() > until {
            return said;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
