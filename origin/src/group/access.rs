//! What a client may read and write, by the folders of names.

use tributary_protocol::MessageStreamId;

use super::Client;

/// A list of folders, of streams and shared objects alike: `/`, which is everything, or paths
/// with `;` between them. A name is in a folder, or in one below it; a single name cannot be
/// listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Access(
    /// None for everything, which nearly all clients have.
    Option<Box<str>>,
);

impl Access {
    pub(super) fn new(list: &str) -> Self {
        Self((list != EVERYTHING).then(|| list.into()))
    }

    pub(super) fn list(&self) -> &str {
        self.0.as_deref().unwrap_or(EVERYTHING)
    }

    /// Whether this name is in one of the folders.
    pub(super) fn allows(&self, name: &str) -> bool {
        let Some(list) = &self.0 else { return true };
        let name = name.trim_start_matches('/');
        list.split(';').any(|folder| is_in(name, folder.trim()))
    }
}

fn is_in(name: &str, folder: &str) -> bool {
    if folder.is_empty() {
        return false;
    }
    let folder = folder.trim_matches('/');
    folder.is_empty()
        || name
            .strip_prefix(folder)
            .is_some_and(|rest| rest.starts_with('/'))
}

const EVERYTHING: &str = "/";

/// The streams whose sound and pictures a player may read: Flash Player gives those of others to
/// nobody. Hardly any client has one.
#[derive(Debug)]
pub(super) struct SampleAccess {
    audio: Access,
    video: Access,
}

impl Default for SampleAccess {
    fn default() -> Self {
        Self {
            audio: Access::new(""),
            video: Access::new(""),
        }
    }
}

impl Client {
    /// The folders of the streams it may play and the shared objects it may use: paths with `;`
    /// between them, `/` for everything.
    pub fn read_access(&self) -> &str {
        self.read_access.list()
    }

    /// Sets the folders it may read, from now on.
    pub fn set_read_access(&mut self, folders: &str) {
        self.read_access = Access::new(folders);
    }

    /// The folders of the streams it may publish and the shared objects it may create and change.
    pub fn write_access(&self) -> &str {
        self.write_access.list()
    }

    /// Sets the folders it may write, from now on.
    pub fn set_write_access(&mut self, folders: &str) {
        self.write_access = Access::new(folders);
    }

    /// Whether it may play this stream, or use this shared object.
    pub fn may_read(&self, name: &str) -> bool {
        self.read_access.allows(name)
    }

    /// Whether it may publish this stream, or create and change this shared object.
    pub fn may_write(&self, name: &str) -> bool {
        self.write_access.allows(name)
    }

    /// The folders of the streams whose sound its player may read (`SoundMixer.computeSpectrum`):
    /// paths with `;` between them, nothing at first.
    pub fn audio_sample_access(&self) -> &str {
        self.samples.as_ref().map_or("", |known| known.audio.list())
    }

    /// Sets the folders whose sound its player may read. A play that has begun is not told.
    pub fn set_audio_sample_access(&mut self, folders: &str) {
        self.samples.get_or_insert_default().audio = Access::new(folders);
    }

    /// The folders of the streams whose pictures its player may read (`BitmapData.draw`): paths
    /// with `;` between them, nothing at first.
    pub fn video_sample_access(&self) -> &str {
        self.samples.as_ref().map_or("", |known| known.video.list())
    }

    /// Sets the folders whose pictures its player may read. A play that has begun is not told.
    pub fn set_video_sample_access(&mut self, folders: &str) {
        self.samples.get_or_insert_default().video = Access::new(folders);
    }

    /// Whether its player may read the sound and the pictures of what a message stream plays.
    pub(super) fn may_sample(&mut self, stream: MessageStreamId) -> (bool, bool) {
        let Some(known) = self.samples.take() else {
            return (false, false);
        };
        let playing = self.stream(stream).and_then(|found| found.playing());
        let may = playing.map_or((false, false), |playing| {
            let name = &playing.name;
            (known.audio.allows(name), known.video.allows(name))
        });
        self.samples = Some(known);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_folders_of_the_list() {
        for (list, name, allowed) in [
            ("/", "cam", true),
            ("/", "a/b", true),
            ("", "cam", false),
            (";", "cam", false),
            ("/a", "a/cam", true),
            ("a", "a/cam", true),
            ("a/", "a/b/cam", true),
            ("/a", "/a/cam", true),
            ("/a", "cam", false),
            ("/a", "a", false),
            ("/a", "ab/cam", false),
            ("/a/b", "a/cam", false),
            ("/a/b", "a/b/cam", true),
            ("/a; /b", "b/cam", true),
            ("/a;/b", "c/cam", false),
            ("/c;/", "cam", true),
            ("/A", "a/cam", false),
        ] {
            assert_eq!(Access::new(list).allows(name), allowed, "{list} {name}");
            assert_eq!(Access::new(list).list(), list);
        }
    }
}
