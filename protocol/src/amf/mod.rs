//! AMF0 and AMF3: the values inside commands, data messages and shared objects.
//!
//! One [`Value`] serves both encodings, since one message may hold both: AMF0 marker `0x11`
//! switches to AMF3 for exactly one value. Property order and duplicates are kept, typed objects
//! are plain maps with a class name, XML is text.
//!
//! # References
//!
//! A reference on the wire never becomes a pointer. Within one top-level value it becomes
//! [`Value::Reference`], which names its target by its position among the *complex* values of that
//! top-level value, in the order of the wire (see [`Value::is_complex`]). So a cycle is finite, an
//! expansion bomb stays as small as on the wire, and a top-level value can move to another message
//! unchanged. A reference to an earlier top-level value of the same message is copied at its first
//! use (both encodings keep their reference tables for a whole message). Such copies, and strings
//! and traits that AMF3 repeats by index, may add at most [`Budget::referenced`] bytes.
//!
//! # Limits
//!
//! A [`Budget`] bounds bytes, elements, depth and referenced bytes of a whole message. A declared
//! count or length never allocates: memory grows with the bytes that are there.
//!
//! # Fidelity
//!
//! Encoding a decoded value gives the same bytes if they were canonical: short strings as short
//! strings, AMF3 strings and traits by reference wherever possible, whole numbers of 29 bits as
//! AMF3 integers. For other bytes the caller keeps the payload, which decoding does not consume.

pub mod amf0;
pub mod amf3;

mod error;
mod limits;
mod needs_amf3;
mod state;
mod value;

pub use error::Error;
pub use limits::Budget;
pub use needs_amf3::needs_amf3;
pub use value::{
    Date, Dictionary, EcmaArray, ExternalBody, Externalizable, MixedArray, Object, ObjectEncoding,
    Traits, Value, Vector, VectorObject,
};

#[cfg(test)]
mod tests;
