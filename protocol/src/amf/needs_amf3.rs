//! Finds values that have no AMF0 form.

use super::{Value, amf3};

/// Whether the value's AMF3 form holds something that AMF0 has no form for. A part that the AMF3
/// form leaves out does not count: a member of a dynamic object without a name, and values nested too
/// deep.
pub fn needs_amf3(value: &Value) -> bool {
    needs(value, amf3::BEHIND_MARKER)
}

/// [`needs_amf3`] for a value with so many levels left.
fn needs(value: &Value, depth: u32) -> bool {
    let Some(inside) = depth.checked_sub(1) else {
        return false;
    };
    let in_members = |members: &[(String, Value)]| {
        let mut written = members.iter().filter(|(name, _)| !name.is_empty());
        written.any(|(_, value)| needs(value, inside))
    };
    match value {
        Value::Xml(_)
        | Value::ByteArray(_)
        | Value::VectorInt(_)
        | Value::VectorUint(_)
        | Value::VectorDouble(_)
        | Value::VectorObject(_)
        | Value::Dictionary(_)
        | Value::Externalizable(_) => true,
        Value::Object(object) => {
            let (sealed, dynamic) = object.properties.split_at(object.sealed());
            sealed.iter().any(|(_, value)| needs(value, inside)) || in_members(dynamic)
        }
        Value::EcmaArray(array) => in_members(&array.properties),
        Value::StrictArray(items) => items.iter().any(|item| needs(item, inside)),
        Value::MixedArray(array) => {
            in_members(&array.associative) || array.dense.iter().any(|item| needs(item, inside))
        }
        _ => false,
    }
}
