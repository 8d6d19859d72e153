//! Which messages of a stream a reader gets.

/// What a viewer has asked not to get (pause, receiveAudio, receiveVideo).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Audio messages pass.
    pub audio: bool,
    /// Video messages pass, from the next key frame after being turned on.
    pub video: bool,
    /// Nothing passes; after it the viewer joins at a key frame again.
    pub paused: bool,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            audio: true,
            video: true,
            paused: false,
        }
    }
}
