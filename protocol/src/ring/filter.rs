//! The kinds of messages that a reader gets.

/// The state of a viewer's pause, receiveAudio and receiveVideo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Whether audio messages pass.
    pub audio: bool,
    /// Whether video messages pass; after a change to true from the next key frame on.
    pub video: bool,
    /// Whether all messages are held back; after a pause the viewer joins at a key frame again.
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
