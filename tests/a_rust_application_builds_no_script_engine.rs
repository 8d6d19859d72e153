//! A program that embeds an origin with a Rust application builds no JavaScript engine and no HTTP
//! client.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// The crates that a crate of the workspace is built with, each with its features.
fn built_with(name: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--locked", "--offline", "--package", name])
        .args(["--edges", "normal,build", "--prefix", "none"])
        .args(["--format", "{p}|{f}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = tree.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut crates = BTreeMap::<_, BTreeSet<_>>::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let Some((package, features)) = line.split_once('|') else {
            continue;
        };
        let name = package.split(' ').next().unwrap_or_default();
        let features = features.trim_end_matches(" (*)").split(',');
        let features = features.filter(|feature| !feature.is_empty());
        let known = crates.entry(name.to_owned()).or_default();
        known.extend(features.map(str::to_owned));
    }
    crates
}

/// Crates that only scripts need.
const OF_SCRIPTS: &[&str] = &[
    "encoding_rs",
    "hyper-rustls",
    "rquickjs",
    "rquickjs-sys",
    "tributary-web",
];

/// The features that make these crates a client.
const CLIENTS: &[(&str, &str)] = &[("hyper", "client"), ("hyper-util", "client-legacy")];

#[test]
fn an_origin_needs_no_engine_and_no_http_client() {
    let origin = built_with("tributary-origin");
    assert!(origin.contains_key("tributary-protocol"), "{origin:?}");
    assert!(!origin.contains_key("tributary-script"));
    for name in OF_SCRIPTS {
        assert!(
            !origin.contains_key(*name),
            "an origin is built with {name}"
        );
    }
    for (name, feature) in CLIENTS {
        let features = origin.get(*name);
        let is_client = features.is_some_and(|features| features.contains(*feature));
        assert!(!is_client, "an origin is built with {name}'s {feature}");
    }
}

#[test]
fn scripts_bring_the_engine_and_the_http_client() {
    let script = built_with("tributary-script");
    assert!(script.contains_key("tributary-origin"), "{script:?}");
    for name in OF_SCRIPTS {
        assert!(
            script.contains_key(*name),
            "scripts are built without {name}"
        );
    }
    for (name, feature) in CLIENTS {
        assert!(script[*name].contains(*feature), "{name} has no {feature}");
    }
}
