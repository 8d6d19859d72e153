//! Notices for an application, which it gets once the present call of it has returned.

use std::{collections::VecDeque, rc::Rc};

use tributary_protocol::{
    Message,
    amf::Value,
    link::{CloseReason, Generation, WriterId},
};

use super::{shared_objects::ObjectNotice, streams::StreamSlot};
use crate::{
    app::{CallToken, ObjectId},
    session::SessionKey,
};

/// Something the application, or the turn itself, has to attend to.
#[derive(Debug)]
pub(super) enum Notice {
    /// The client was accepted and had sent these messages before.
    Ready(SessionKey, VecDeque<(Generation, Message)>),
    /// An accepted client is gone.
    Left(SessionKey, CloseReason),
    /// This writer's publisher has claimed the name and goes on air once the application knows.
    Published(StreamSlot, Rc<str>, WriterId),
    /// A client publishes this name, with this query, no more.
    Unpublished(SessionKey, Rc<str>, Box<str>),
    /// What a message stream plays is over, and something waits behind it.
    PlayNext(StreamSlot),
    Answered(SessionKey, CallToken, Result<Value, Value>),
    Object(ObjectId, ObjectNotice),
    /// Many shared objects live.
    ObjectsCrowd,
}
