//! The state of an audience that has lapsed.

/// ```text
/// None ──does not fit──► Dropping ──there is room──► Asked ──snapshot──► None
///                            ▲─── that does not fit ───┘
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Lapse {
    #[default]
    None,
    Dropping,
    Asked,
}
