//! Files that `load()` finds in every application: NetServices and the component framework, written
//! from their documented behaviour.
//!
//! A file of the framework contains the files that it needs, so that one load is enough. Flash
//! Media Server's user interface components (FCChat, FCPeopleList and the others) do not exist
//! here.

/// A file of the framework by the name in `load()`; its letters may be of either case, as on
/// Windows.
pub(crate) fn find(name: &str) -> Option<(&'static str, &'static str)> {
    FILES
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|&(name, text)| (name, text))
}

const FRAMEWORK: &str = concat!(
    include_str!("framework.asc"),
    include_str!("application.asc")
);

const COMPONENT: &str = concat!(
    include_str!("framework.asc"),
    include_str!("application.asc"),
    include_str!("component.asc")
);

const FILES: &[(&str, &str)] = &[
    ("application.asc", FRAMEWORK),
    ("components.asc", COMPONENT),
    ("components/component.asc", COMPONENT),
    ("facade.asc", COMPONENT),
    ("framework.asc", FRAMEWORK),
    ("netservices.asc", include_str!("netservices.asc")),
];
