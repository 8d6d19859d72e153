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

impl Lapse {
    /// The state after a message to all, and whether the lane takes the message.
    pub(super) fn after(self, is_snapshot: bool, fits: bool) -> (Self, bool) {
        match (self, fits) {
            (Self::None, true) => (Self::None, true),
            (Self::None, false) => (Self::Dropping, false),
            (Self::Asked | Self::Dropping, true) if is_snapshot => (Self::None, true),
            (Self::Asked, false) if is_snapshot => (Self::Dropping, false),
            (lapse @ (Self::Asked | Self::Dropping), _) => (lapse, false),
        }
    }

    /// Asks for a snapshot; false if none is needed, or it was asked for.
    pub(super) fn ask(&mut self) -> bool {
        let asks = *self == Self::Dropping;
        if asks {
            *self = Self::Asked;
        }
        asks
    }
}
