//! Script applications and their clients: calls, shared objects, encoders, and the examples.

use std::{fs, path::Path};

use crate::support::cluster::Cluster;

mod calls;
mod chat;
mod conference;
mod embedded;
mod encoders;
mod live_tokens;
mod lobby;
mod restored;
mod shared_objects;
mod whiteboard;

/// One origin with an example application, and two edges.
fn example(name: &str) -> Cluster {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/applications");
    Cluster::with_applications(1, 2, |directory| {
        copy(&examples.join(name), &directory.join(name), &|text| text);
    })
}

/// One origin with the application `calls` of the tests, and two edges. The files have a byte-order
/// mark and CR line ends, as old editors wrote them.
fn old_scripts() -> Cluster {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/applications/calls");
    let old = |text: String| format!("\u{feff}{}", text.replace('\n', "\r"));
    Cluster::with_applications(1, 2, |directory| {
        copy(&scripts, &directory.join("calls"), &old)
    })
}

fn copy(from: &Path, to: &Path, write: &dyn Fn(String) -> String) {
    fs::create_dir_all(to).expect("a directory");
    for entry in fs::read_dir(from).expect("a directory of the project") {
        let from = entry.expect("an entry").path();
        let to = to.join(from.file_name().expect("a name"));
        if from.is_dir() {
            copy(&from, &to, write);
        } else {
            let text = fs::read_to_string(&from).expect("a text file");
            fs::write(&to, write(text)).expect("a copy");
        }
    }
}
