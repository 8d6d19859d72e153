//! The frames about groups that have stored data.

use tributary_protocol::{
    GroupName,
    link::{Control, hello::GROUPS_PER_FRAME},
};

/// The frames for an edge about groups that have stored data here. With `whole` they replace all
/// earlier ones, also when there are none.
pub(super) fn kept(groups: &[GroupName], whole: bool) -> Vec<Control> {
    let mut frames: Vec<_> = groups
        .chunks(GROUPS_PER_FRAME)
        .map(|groups| Control::Kept {
            anew: false,
            groups: groups.to_vec(),
        })
        .collect();
    if whole {
        let groups = Vec::new();
        frames.insert(0, Control::Kept { anew: true, groups });
    }
    frames
}
