//! Every status code, once: its level and its usual description.

use std::fmt;

use crate::amf::Object;

/// The severity of a status code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// A success or a plain notice.
    Status,
    /// A fault that does not end the operation.
    Warning,
    /// A failure.
    Error,
}

impl Level {
    /// The `level` of an info object.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! statuses {
    ($($name:ident $level:ident $code:literal $description:literal)*) => {
        /// A status code of a NetConnection, NetStream, SharedObject or application.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Status {
            $(#[doc = concat!("`", $code, "`: ", $description)] $name,)*
        }

        impl Status {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The `code` of an info object.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                }
            }

            pub fn level(self) -> Level {
                match self {
                    $(Self::$name => Level::$level,)*
                }
            }

            /// The usual description.
            pub fn description(self) -> &'static str {
                match self {
                    $(Self::$name => $description,)*
                }
            }
        }
    };
}

statuses! {
    ConnectSuccess Status "NetConnection.Connect.Success" "Connection succeeded."
    ConnectRejected Error "NetConnection.Connect.Rejected" "Connection rejected."
    ConnectFailed Error "NetConnection.Connect.Failed" "Connection failed."
    ConnectClosed Status "NetConnection.Connect.Closed" "Connection closed."
    ConnectAppShutdown Error "NetConnection.Connect.AppShutdown" "The application is shutting down."
    ConnectInvalidApp Error "NetConnection.Connect.InvalidApp" "There is no such application."
    ConnectIdleTimeout Status "NetConnection.Connect.IdleTimeout" "The connection was idle for too long."
    ConnectNetworkChange Status "NetConnection.Connect.NetworkChange" "The network has changed."
    ConnectReconnectRequest Status "NetConnection.Connect.ReconnectRequest" "The server asks for a reconnect."
    CallFailed Error "NetConnection.Call.Failed" "The call failed."
    CallBadVersion Error "NetConnection.Call.BadVersion" "The packet's encoding is not known."
    CallProhibited Error "NetConnection.Call.Prohibited" "The call is not allowed."
    ProxyNotResponding Error "NetConnection.Proxy.NotResponding" "The proxied server does not respond."

    PlayReset Status "NetStream.Play.Reset" "Playing and resetting stream."
    PlayStart Status "NetStream.Play.Start" "Started playing stream."
    PlayStop Status "NetStream.Play.Stop" "Stopped playing stream."
    PlayFailed Error "NetStream.Play.Failed" "Failed to play stream."
    PlayStreamNotFound Error "NetStream.Play.StreamNotFound" "There is no such stream."
    PlayPublishNotify Status "NetStream.Play.PublishNotify" "The stream is now published."
    PlayUnpublishNotify Status "NetStream.Play.UnpublishNotify" "The stream is now unpublished."
    PlayInsufficientBandwidth Warning "NetStream.Play.InsufficientBW" "The connection is too slow for the stream."
    PlaySwitch Status "NetStream.Play.Switch" "Switched to another stream."
    PlayComplete Status "NetStream.Play.Complete" "Played to the end."
    PlayTransition Status "NetStream.Play.Transition" "Moving to another stream."
    PlayTransitionComplete Status "NetStream.Play.TransitionComplete" "Moved to another stream."
    PlayFileStructureInvalid Error "NetStream.Play.FileStructureInvalid" "The file is damaged or of an unknown form."
    PlayNoSupportedTrackFound Error "NetStream.Play.NoSupportedTrackFound" "The file has no track that can be played."
    DataStart Status "NetStream.Data.Start" "Data begins."
    PauseNotify Status "NetStream.Pause.Notify" "Paused."
    UnpauseNotify Status "NetStream.Unpause.Notify" "Playing again."
    SeekNotify Status "NetStream.Seek.Notify" "Seeking."
    SeekFailed Error "NetStream.Seek.Failed" "Failed to seek."
    SeekInvalidTime Error "NetStream.Seek.InvalidTime" "The time is beyond what can be sought."
    BufferEmpty Status "NetStream.Buffer.Empty" "The buffer is empty."
    BufferFull Status "NetStream.Buffer.Full" "The buffer is full."
    BufferFlush Status "NetStream.Buffer.Flush" "The rest of the buffer is played."
    StepNotify Status "NetStream.Step.Notify" "Stepped."

    PublishStart Status "NetStream.Publish.Start" "Started publishing stream."
    PublishBadName Error "NetStream.Publish.BadName" "The stream cannot be published under this name."
    PublishDenied Error "NetStream.Publish.Denied" "The stream may not be published here."
    PublishIdle Status "NetStream.Publish.Idle" "The publisher has sent nothing for a while."
    UnpublishSuccess Status "NetStream.Unpublish.Success" "Stopped publishing stream."
    RecordStart Status "NetStream.Record.Start" "Recording started."
    RecordStop Status "NetStream.Record.Stop" "Recording stopped."
    RecordNoAccess Error "NetStream.Record.NoAccess" "The stream cannot be recorded."
    RecordFailed Error "NetStream.Record.Failed" "Recording failed."
    RecordDiskQuotaExceeded Error "NetStream.Record.DiskQuotaExceeded" "There is no room left to record."
    ClearSuccess Status "NetStream.Clear.Success" "The recording was deleted."
    ClearFailed Error "NetStream.Clear.Failed" "The recording could not be deleted."
    StreamFailed Error "NetStream.Failed" "The operation failed."

    SharedObjectNoReadAccess Error "SharedObject.NoReadAccess" "The shared object may not be read."
    SharedObjectNoWriteAccess Error "SharedObject.NoWriteAccess" "The shared object may not be written."
    SharedObjectCreationFailed Error "SharedObject.ObjectCreationFailed" "The shared object may not be created."
    SharedObjectBadPersistence Error "SharedObject.BadPersistence" "The shared object has another persistence."
    SharedObjectNoObjectFound Error "SharedObject.NoObjectFound" "The shared object is not in use."
    SharedObjectUriMismatch Error "SharedObject.UriMismatch" "The shared object belongs to another connection."
    SharedObjectFlushSuccess Status "SharedObject.Flush.Success" "The shared object was stored."
    SharedObjectFlushFailed Error "SharedObject.Flush.Failed" "The shared object could not be stored."
    SharedObjectProxyConnect Status "SharedObject.Proxy.Connect" "The proxied shared object is connected."

    ScriptError Error "Application.Script.Error" "The script failed."
    ScriptWarning Warning "Application.Script.Warning" "The script is doubtful."
    ResourceLowMemory Warning "Application.Resource.LowMemory" "Memory is low."
    ApplicationShutdown Status "Application.Shutdown" "The application is shutting down."
    ApplicationGc Status "Application.GC" "The application is idle."
}

impl Status {
    /// The status with this code.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|status| status.code() == code)
    }

    /// The info object: level, code, description (the usual one if none is given), and details.
    pub fn info(self, description: Option<&str>, details: Option<&str>) -> Object {
        let info = Object::new()
            .with("level", self.level().as_str())
            .with("code", self.code())
            .with(
                "description",
                description.unwrap_or_else(|| self.description()),
            );
        match details {
            Some(details) => info.with("details", details),
            None => info,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}
