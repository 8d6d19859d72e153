//! AMF values as script values.

use std::rc::Rc;

use rquickjs::{
    Array, Constructor, Ctx, Function, Object, Result, TypedArray, Value as JsValue,
    object::Property,
};
use tributary_protocol::amf::{Dictionary, ExternalBody, Object as AmfObject, Value};

use crate::host::state::State;

/// Converts an AMF value to a script value.
///
/// The decoder has bounded its depth and its size.
pub(crate) fn to_script<'js>(
    ctx: &Ctx<'js>,
    state: &Rc<State>,
    value: &Value,
) -> Result<JsValue<'js>> {
    Reader {
        ctx: ctx.clone(),
        state,
        begun: Vec::new(),
    }
    .value(value)
}

struct Reader<'a, 'js> {
    ctx: Ctx<'js>,
    state: &'a Rc<State>,
    /// The complex values so far, in the order in which they begin.
    begun: Vec<Option<JsValue<'js>>>,
}

impl<'js> Reader<'_, 'js> {
    fn value(&mut self, value: &Value) -> Result<JsValue<'js>> {
        let ctx = self.ctx.clone();
        Ok(match value {
            Value::Null => JsValue::new_null(ctx),
            Value::Bool(value) => JsValue::new_bool(ctx, *value),
            Value::Number(number) => JsValue::new_number(ctx, *number),
            Value::String(text) => string(&ctx, text)?,
            Value::Reference(index) => self.begun_value(*index),
            Value::Object(object) => self.object(object)?,
            Value::EcmaArray(array) => self.array(&array.properties, &[])?,
            Value::StrictArray(items) => self.array(&[], items)?,
            Value::MixedArray(array) => self.array(&array.associative, &array.dense)?,
            Value::Date(date) => {
                let class: Constructor<'js> = ctx.globals().get("Date")?;
                let made = class.construct((date.milliseconds,))?;
                self.simple(made)
            }
            Value::XmlDocument(text) | Value::Xml(text) => {
                let made = string(&ctx, text)?;
                self.simple(made)
            }
            Value::ByteArray(bytes) => self.bytes(bytes)?,
            Value::VectorInt(vector) => self.numbers(vector.items.iter().map(|n| f64::from(*n)))?,
            Value::VectorUint(vector) => {
                self.numbers(vector.items.iter().map(|n| f64::from(*n)))?
            }
            Value::VectorDouble(vector) => self.numbers(vector.items.iter().copied())?,
            Value::VectorObject(vector) => self.array(&[], &vector.items)?,
            Value::Dictionary(dictionary) => self.dictionary(dictionary)?,
            Value::Externalizable(object) => match &object.body {
                ExternalBody::Value(inner) => {
                    let place = self.begin(None);
                    let made = self.value(inner)?;
                    self.begun[place] = Some(made.clone());
                    made
                }
                ExternalBody::Opaque(bytes) => self.bytes(bytes)?,
            },
            _ => JsValue::new_undefined(ctx),
        })
    }

    /// Notes the start of a complex value.
    fn begin(&mut self, value: Option<JsValue<'js>>) -> usize {
        self.begun.push(value);
        self.begun.len() - 1
    }

    fn simple(&mut self, value: JsValue<'js>) -> JsValue<'js> {
        self.begin(Some(value.clone()));
        value
    }

    fn begun_value(&self, index: u32) -> JsValue<'js> {
        let known = self.begun.get(index as usize).cloned().flatten();
        known.unwrap_or_else(|| JsValue::new_null(self.ctx.clone()))
    }

    fn object(&mut self, object: &AmfObject) -> Result<JsValue<'js>> {
        let class = object.class_name();
        let registered = class.and_then(|class| self.state.class(&self.ctx, class));
        let made: Object<'js> = match &registered {
            Some(class) => class.construct(())?,
            None => Object::new(self.ctx.clone())?,
        };
        if registered.is_none()
            && let Some(class) = class
        {
            made.prop(self.state.class_symbol(&self.ctx)?, Property::from(class))?;
        }
        self.begin(Some(made.clone().into_value()));
        self.members(&made, &object.properties)?;
        if registered.is_some()
            && let Some(ready) = made.get::<_, JsValue<'js>>("onInitialize")?.as_function()
        {
            ready.call::<_, ()>((rquickjs::function::This(made.clone()),))?;
        }
        Ok(made.into_value())
    }

    fn members(&mut self, object: &Object<'js>, members: &[(String, Value)]) -> Result<()> {
        for (name, value) in members {
            let value = self.value(value)?;
            if name == "__proto__" {
                // An ordinary member: a peer must not choose the prototype of an object.
                let own = Property::from(value).writable().enumerable().configurable();
                object.prop(name.as_str(), own)?;
            } else {
                object.set(name.as_str(), value)?;
            }
        }
        Ok(())
    }

    fn array(&mut self, named: &[(String, Value)], items: &[Value]) -> Result<JsValue<'js>> {
        let array = Array::new(self.ctx.clone())?;
        self.begin(Some(array.clone().into_value()));
        for (name, value) in named {
            let value = self.value(value)?;
            match name.as_str() {
                // The items determine the length.
                "length" => {}
                // An index this high becomes a name: an array of that length would only be slow.
                name => match name.parse::<usize>() {
                    Ok(index) if index <= HIGHEST_INDEX && name == index.to_string() => {
                        array.set(index, value)?;
                    }
                    _ => self.member(array.as_object(), name, value)?,
                },
            }
        }
        for (index, item) in items.iter().enumerate() {
            let item = self.value(item)?;
            array.set(index, item)?;
        }
        Ok(array.into_value())
    }

    fn member(&self, object: &Object<'js>, name: &str, value: JsValue<'js>) -> Result<()> {
        object.prop(
            name,
            Property::from(value).writable().enumerable().configurable(),
        )
    }

    fn numbers(&mut self, items: impl Iterator<Item = f64>) -> Result<JsValue<'js>> {
        let array = Array::new(self.ctx.clone())?;
        for (index, item) in items.enumerate() {
            array.set(index, item)?;
        }
        Ok(self.simple(array.into_value()))
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<JsValue<'js>> {
        let array = TypedArray::new_copy(self.ctx.clone(), bytes)?;
        Ok(self.simple(array.into_value()))
    }

    fn dictionary(&mut self, dictionary: &Dictionary) -> Result<JsValue<'js>> {
        let class: Constructor<'js> = self.ctx.globals().get("Map")?;
        let map: Object<'js> = class.construct(())?;
        self.begin(Some(map.clone().into_value()));
        let set: Function<'js> = map.get("set")?;
        for (key, value) in &dictionary.entries {
            let (key, value) = (self.value(key)?, self.value(value)?);
            set.call::<_, ()>((rquickjs::function::This(map.clone()), key, value))?;
        }
        Ok(map.into_value())
    }
}

fn string<'js>(ctx: &Ctx<'js>, text: &str) -> Result<JsValue<'js>> {
    Ok(rquickjs::String::from_str(ctx.clone(), text)?.into_value())
}

/// The highest index of an array in a peer's message.
const HIGHEST_INDEX: usize = 0xFFFF_FFFE;
