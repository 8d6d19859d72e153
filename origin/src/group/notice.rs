//! Notices for an application, which it gets once the present call of it has returned.

use std::{collections::VecDeque, sync::Arc};

use tributary_node::config::RelayUrl;
use tributary_protocol::{
    Message,
    amf::Value,
    link::{CloseReason, Generation, RestoredSession, WriterId},
};

use super::{shared_objects::ObjectNotice, streams::StreamSlot};
use crate::{
    app::{CallToken, ObjectId},
    session::SessionKey,
};

/// A notice for the application, or a task for the turn itself.
#[derive(Debug)]
pub(super) enum Notice {
    /// The client was accepted and had sent these messages before.
    Ready(SessionKey, VecDeque<(Generation, Message)>),
    /// The application goes on with a client that the process before had accepted; this is what its edge
    /// has of it.
    Restored(SessionKey, Box<RestoredSession>),
    /// An accepted client is gone.
    Left(SessionKey, CloseReason),
    /// This writer's publisher has claimed the name and goes on air once the application has its
    /// notice.
    Published(StreamSlot, Arc<str>, WriterId),
    /// A client no longer publishes this name, with this query.
    Unpublished(SessionKey, Arc<str>, Box<str>),
    /// The play of a message stream is over, and another one waits behind it.
    PlayNext(StreamSlot),
    /// A service of the viewer's edge wants this stream to come from another server.
    Pull(Arc<str>, Box<RelayUrl>),
    Answered(SessionKey, CallToken, Result<Value, Value>),
    Object(ObjectId, ObjectNotice),
    /// The group has many shared objects.
    ObjectsCrowd,
}
