//! The names of nodes and groups in frames.

use bytes::BufMut;

use super::{
    FrameError,
    frame::{put_str, take_str},
    varint,
};
use crate::GroupName;

/// The longest name of a node or zone, in bytes.
pub const MAX_NAME: usize = 255;

pub(super) fn put_groups(groups: &[GroupName], out: &mut impl BufMut) {
    varint::encode(groups.len() as u64, out);
    for group in groups {
        put_str(&group.to_string(), out);
    }
}

pub(super) fn take_groups(input: &mut &[u8]) -> Result<Vec<GroupName>, FrameError> {
    let count = varint::decode(input)?;
    let mut groups = Vec::new();
    for _ in 0..count {
        groups.push(take_group(input)?);
    }
    Ok(groups)
}

/// Takes a group's name.
pub(super) fn take_group(input: &mut &[u8]) -> Result<GroupName, FrameError> {
    let name = take_str(input, GroupName::MAX_LENGTH)?;
    GroupName::from_app(name).map_err(|_| FrameError::Value)
}
