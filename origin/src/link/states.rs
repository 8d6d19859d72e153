//! The file in which the applications of a process that stops leave their states for the next one.
//!
//! It begins with a version. For each group follow the length of its name, its name, the length of the state,
//! and the state; the lengths are 4 bytes, the most significant first.

use std::{
    collections::HashMap,
    fs,
    io::{self, Write as _},
    path::Path,
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tributary_protocol::GroupName;

const VERSION: &[u8] = b"tributary states 1\n";

/// The longest file that is read. Reason: a thousand groups with the longest state.
const MAX_FILE: u64 = 1 << 30;

/// Writes the states of groups. Blocks until they are on disk.
pub(super) fn write(file: &Path, states: &[(GroupName, Bytes)]) -> io::Result<()> {
    let mut out = BytesMut::from(VERSION);
    for (group, state) in states {
        for field in [group.to_string().as_bytes(), state] {
            let length = u32::try_from(field.len()).map_err(io::Error::other)?;
            out.put_u32(length);
            out.put_slice(field);
        }
    }
    let new = file.with_extension("new");
    let mut written = fs::File::create(&new)?;
    written.write_all(&out)?;
    written.sync_all()?;
    fs::rename(&new, file)
}

/// Takes the states that the process before has left; a file that cannot be read is reported, and no reason
/// not to start.
pub(super) fn take(file: &Path) -> HashMap<GroupName, Bytes> {
    let read = match fs::metadata(file) {
        Ok(facts) if facts.len() > MAX_FILE => Err(io::Error::other("it is longer than 1 GiB")),
        Ok(_) => fs::read(file),
        Err(error) => Err(error),
    };
    let states = match read {
        Ok(bytes) => decode(bytes.into()).ok_or_else(|| io::Error::other("it is damaged")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return HashMap::new(),
        Err(error) => Err(error),
    };
    let _ = fs::remove_file(file);
    states.unwrap_or_else(|error| {
        let file = file.display();
        tracing::error!(%file, %error, "the states that applications have left are lost");
        HashMap::new()
    })
}

fn decode(mut bytes: Bytes) -> Option<HashMap<GroupName, Bytes>> {
    if !bytes.starts_with(VERSION) {
        return None;
    }
    bytes.advance(VERSION.len());
    let mut states = HashMap::new();
    let mut field = || {
        if bytes.is_empty() {
            return Some(None);
        }
        let length = bytes.try_get_u32().ok()? as usize;
        (length <= bytes.len()).then(|| Some(bytes.split_to(length)))
    };
    while let Some(name) = field()? {
        let group = GroupName::from_app(std::str::from_utf8(&name).ok()?).ok()?;
        states.insert(group, field()??);
    }
    Some(states)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_there_once_and_a_damaged_file_is_none() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("states");
        assert!(take(&file).is_empty());
        let group: GroupName = "live/room".parse().expect("a name");
        let states = [(group.clone(), Bytes::from_static(b"left"))];
        write(&file, &states).expect("a file");
        let bytes = fs::read(&file).expect("a file");
        assert_eq!(take(&file).get(&group), Some(&states[0].1));
        assert!(take(&file).is_empty(), "it was taken");
        for length in [0, 5, bytes.len() - 1] {
            fs::write(&file, &bytes[..length]).expect("a file");
            assert!(take(&file).is_empty(), "{length} bytes");
        }
    }
}
