//! Script values as AMF values.

use std::{collections::HashMap, rc::Rc};

use bytes::Bytes;
use rquickjs::{
    Array, Ctx, Exception, Function, Object, Result, Type, Value as JsValue, function::This,
    object::Filter,
};
use tributary_protocol::amf::{Budget, Date, Dictionary, EcmaArray, Object as AmfObject, Value};

use crate::{
    host::{shape::Shape, state::State},
    text::{shown, text},
};

/// Converts script values to AMF values, for example the arguments of a call.
pub(crate) fn to_values<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    values: &[JsValue<'js>],
) -> Result<Vec<Value>> {
    values
        .iter()
        .map(|value| from_script(ctx, state, value))
        .collect()
}

/// Converts a script value to an AMF value. A value that is too deep or too large is a RangeError.
pub(crate) fn from_script<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    value: &JsValue<'js>,
) -> Result<Value> {
    Writer {
        ctx: ctx.clone(),
        state,
        begun: HashMap::new(),
        depth: 0,
        bytes: 0,
    }
    .value(value)
}

/// The most that one value may become, in bytes as counted here. Reason: a message is at most 16
/// MiB.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The bytes that a value counts besides its text.
const VALUE_COST: usize = 8;

/// Indices that an array may have above twice its entries; a sparser one is written with names.
const SPARSE: usize = 16;

struct Writer<'a, 'js> {
    ctx: Ctx<'js>,
    state: &'a Rc<State>,
    /// Objects by the order in which they begin.
    begun: HashMap<JsValue<'js>, u32>,
    depth: u32,
    bytes: usize,
}

impl<'js> Writer<'_, 'js> {
    fn value(&mut self, value: &JsValue<'js>) -> Result<Value> {
        self.count(VALUE_COST)?;
        Ok(match value.type_of() {
            Type::Null => Value::Null,
            Type::Bool => Value::Bool(value.as_bool().unwrap_or_default()),
            Type::Int | Type::Float => Value::Number(value.as_number().unwrap_or(f64::NAN)),
            Type::String => {
                let text = text(value).unwrap_or_default();
                self.count(text.len())?;
                Value::String(text)
            }
            Type::BigInt => Value::Number(shown(&self.ctx, value).parse().unwrap_or(f64::NAN)),
            _ => match value.as_object() {
                Some(object) if !value.is_function() => self.complex(object)?,
                _ => Value::Undefined,
            },
        })
    }

    fn count(&mut self, bytes: usize) -> Result<()> {
        self.bytes += bytes;
        if self.bytes > MAX_BYTES {
            let why = "the value is longer than a message can be";
            return Err(Exception::throw_range(&self.ctx, why));
        }
        Ok(())
    }

    fn complex(&mut self, object: &Object<'js>) -> Result<Value> {
        if let Some(index) = self.begun.get(object.as_value()) {
            return Ok(Value::Reference(*index));
        }
        let kind = self.state.kind(&self.ctx, object)?;
        if let Some(plain) = self.unboxed(object, kind)? {
            return Ok(plain);
        }
        let index = self.begun.len() as u32;
        self.begun.insert(object.as_value().clone(), index);
        if self.depth >= Budget::MAX_DEPTH {
            return Err(Exception::throw_range(
                &self.ctx,
                "the value nests too deeply",
            ));
        }
        self.depth += 1;
        let made = self.begun_value(object, kind);
        self.depth -= 1;
        made
    }

    /// The plain value of an object that wraps one.
    fn unboxed(&mut self, object: &Object<'js>, kind: Shape) -> Result<Option<Value>> {
        if kind != Shape::Boxed {
            return Ok(None);
        }
        let value: Function<'js> = object.get("valueOf")?;
        let value: JsValue<'js> = value.call((This(object.clone()),))?;
        if value.is_object() {
            return Ok(Some(Value::Undefined));
        }
        self.value(&value).map(Some)
    }

    fn begun_value(&mut self, object: &Object<'js>, kind: Shape) -> Result<Value> {
        match kind {
            Shape::Array => match object.clone().into_array() {
                Some(array) => self.array(&array),
                None => self.object(object),
            },
            Shape::Date => {
                let time: Function<'js> = object.get("getTime")?;
                let milliseconds = time.call((This(object.clone()),))?;
                Ok(Value::Date(Date {
                    milliseconds,
                    time_zone: 0,
                }))
            }
            Shape::Bytes => {
                let bytes = self.state.bytes(&self.ctx, object)?;
                self.count(bytes.len())?;
                Ok(Value::ByteArray(Bytes::from(bytes)))
            }
            Shape::Map => self.map(object),
            Shape::Set => {
                let items: Array<'js> = self.state.items(&self.ctx, object)?;
                let items: Result<Vec<Value>> =
                    items.iter().map(|item| self.value(&item?)).collect();
                Ok(Value::StrictArray(items?))
            }
            Shape::Error => {
                let mut made = AmfObject::new();
                for name in ["name", "message"] {
                    let part: JsValue<'js> = object.get(name)?;
                    made.push(name, self.value(&part)?);
                }
                Ok(Value::Object(made))
            }
            Shape::Object | Shape::Boxed => self.object(object),
        }
    }

    fn object(&mut self, object: &Object<'js>) -> Result<Value> {
        let mut made = match self.state.class_of(&self.ctx, object)? {
            Some(class) => AmfObject::typed(class),
            None => AmfObject::new(),
        };
        made.properties = self.members(object)?;
        Ok(Value::Object(made))
    }

    /// The data members of an object: functions are left out.
    fn members(&mut self, object: &Object<'js>) -> Result<Vec<(String, Value)>> {
        let mut members = Vec::new();
        let names = object.own_keys::<rquickjs::Atom<'js>>(Filter::new().string().enum_only());
        for name in names {
            let name = name?;
            let value: JsValue<'js> = object.get(name.clone())?;
            if value.is_function() || value.is_symbol() {
                continue;
            }
            let name = text(&name.to_value()?).unwrap_or_default();
            self.count(name.len())?;
            members.push((name, self.value(&value)?));
        }
        Ok(members)
    }

    /// A dense array is strict; one with names, or with gaps, is associative.
    fn array(&mut self, array: &Array<'js>) -> Result<Value> {
        let length = array.len();
        let object = array.as_object();
        let mut names = object.own_keys::<rquickjs::Atom<'js>>(Filter::new().string().enum_only());
        let count = names.len();
        let last_is_index = match names.next_back() {
            Some(last) => {
                let last = text(&last?.to_value()?).unwrap_or_default();
                last.parse::<u32>()
                    .is_ok_and(|index| index.to_string() == last)
            }
            None => true,
        };
        if !last_is_index || length > count * 2 + SPARSE {
            let members = self.members(object)?;
            return Ok(Value::EcmaArray(EcmaArray {
                declared: members.len() as u32,
                properties: members,
            }));
        }
        let mut items = Vec::with_capacity(length);
        for index in 0..length {
            let item: JsValue<'js> = array.get(index)?;
            items.push(self.value(&item)?);
        }
        Ok(Value::StrictArray(items))
    }

    fn map(&mut self, map: &Object<'js>) -> Result<Value> {
        let entries: Array<'js> = self.state.items(&self.ctx, map)?;
        let mut dictionary = Dictionary::default();
        for entry in entries.iter::<Array<'js>>() {
            let entry = entry?;
            let key = self.value(&entry.get(0)?)?;
            let value = self.value(&entry.get(1)?)?;
            dictionary.entries.push((key, value));
        }
        Ok(Value::Dictionary(dictionary))
    }
}
