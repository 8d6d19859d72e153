//! The files that `load()` finds although no application brings them: NetServices and the
//! component framework, written from their documented behaviour.
//!
//! Files of the framework hold what they stand on, so that one load is enough. Flash Media
//! Server's user interface components (FCChat, FCPeopleList and the others) are not among them.

/// A file of the framework by the name scripts load it by; its letters may be of either case, as
/// they were on Windows.
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
