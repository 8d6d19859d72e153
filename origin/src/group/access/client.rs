//! A client's access, as its application reads and sets it.

use tributary_protocol::MessageStreamId;

use super::Access;
use crate::group::client::Client;

impl Client {
    /// The folders of the streams it may play and the shared objects it may use: paths with `;`
    /// between them, `/` for everything.
    pub fn read_access(&self) -> &str {
        self.read_access.list()
    }

    /// Sets the folders it may read, from now on.
    pub fn set_read_access(&mut self, folders: &str) {
        self.read_access = Access::new(folders);
        self.remember_settings();
    }

    /// The folders of the streams it may publish and the shared objects it may create and change.
    pub fn write_access(&self) -> &str {
        self.write_access.list()
    }

    /// Sets the folders it may write, from now on.
    pub fn set_write_access(&mut self, folders: &str) {
        self.write_access = Access::new(folders);
        self.remember_settings();
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

    /// Sets the folders whose sound its player may read. A play that has begun is not notified.
    pub fn set_audio_sample_access(&mut self, folders: &str) {
        self.samples.get_or_insert_default().audio = Access::new(folders);
    }

    /// The folders of the streams whose pictures its player may read (`BitmapData.draw`): paths
    /// with `;` between them, nothing at first.
    pub fn video_sample_access(&self) -> &str {
        self.samples.as_ref().map_or("", |known| known.video.list())
    }

    /// Sets the folders whose pictures its player may read. A play that has begun is not notified.
    pub fn set_video_sample_access(&mut self, folders: &str) {
        self.samples.get_or_insert_default().video = Access::new(folders);
    }

    /// Whether its player may read the sound and the pictures of the stream that a message stream
    /// plays.
    pub(in crate::group) fn may_sample(&mut self, stream: MessageStreamId) -> (bool, bool) {
        let playing = self
            .streams
            .get_mut(stream)
            .and_then(|found| found.playing());
        match (&self.samples, playing) {
            (Some(known), Some(playing)) => {
                let name = &playing.name;
                (known.audio.allows(name), known.video.allows(name))
            }
            _ => (false, false),
        }
    }
}
