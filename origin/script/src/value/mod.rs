//! AMF values as script values, and back.
//!
//! | AMF | script | and back |
//! |---|---|---|
//! | undefined, null, boolean, number, string | the same | the same |
//! | object | object | object |
//! | typed object | instance of the class registered for it; else an object that remembers its class | typed object |
//! | ECMA array, mixed array | array with named members | ECMA array |
//! | strict array, vector | array | strict array |
//! | date | `Date` | date |
//! | XML, XML document | string | string |
//! | byte array | `Uint8Array` | byte array |
//! | dictionary | `Map` | dictionary |
//! | `ArrayCollection`, `ArrayList`, `ObjectProxy` | the wrapped value | array, object |
//! | any other externalizable | `Uint8Array` of its body | byte array |
//! | unsupported, movie clip, record set | undefined | undefined |
//!
//! Functions and symbols are not written: as a member they are left out, elsewhere they are
//! undefined. References, cycles among them, are kept both ways.

mod from_script;
mod to_script;

pub(crate) use from_script::{from_script, to_values};
pub(crate) use to_script::to_script;
