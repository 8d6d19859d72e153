//! Reads settings out of a [`Node`], and reports the source of each mistake.

use std::fmt;

use serde::{
    Deserializer,
    de::{
        self, DeserializeSeed, Error as _, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
        Visitor, value::MapAccessDeserializer,
    },
    forward_to_deserialize_any,
};

use crate::{
    mistake::{At, Mistake},
    tree::{Node, Place, Value, parse_value},
};

/// A setting that cannot be read.
#[derive(Debug)]
pub(crate) struct SettingError {
    pub(crate) path: Vec<String>,
    place: Option<String>,
    what: String,
    remedy: String,
}

impl SettingError {
    fn new(what: String, remedy: String) -> Self {
        Self {
            path: Vec::new(),
            place: None,
            what,
            remedy,
        }
    }

    /// This error with the key of the enclosing table or list.
    fn within(mut self, key: impl ToString, place: &Place) -> Self {
        self.path.insert(0, key.to_string());
        self.place = self.place.or_else(|| place.text());
        self
    }

    pub(crate) fn into_mistake(self) -> Mistake {
        let Self {
            path,
            place,
            what,
            remedy,
        } = self;
        Mistake {
            at: At::from_keys(path),
            place,
            what,
            remedy,
        }
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.remedy)
    }
}

impl std::error::Error for SettingError {}

impl de::Error for SettingError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        // A type's own message may have a remedy behind a semicolon.
        let text = message.to_string();
        let (what, remedy) = text.split_once("; ").unwrap_or((&text, ""));
        Self::new(what.to_owned(), remedy.to_owned())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(
            format!("{found} does not fit here"),
            format!("write {expected}"),
        )
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::new(
            format!("{found} is not possible here"),
            format!("write {expected}"),
        )
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        let mut replaced = REPLACED.iter();
        let remedy = replaced.find_map(|(old, remedy)| (*old == field).then_some(*remedy));
        let choice = || choice(field, expected);
        Self::new(
            "unknown key".to_owned(),
            remedy.map_or_else(choice, str::to_owned),
        )
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(
            format!("{variant:?} is not possible here"),
            choice(variant, expected),
        )
    }
}

/// Keys of earlier versions, with the keys that replace them.
const REPLACED: &[(&str, &str)] = &[(
    "coalesce",
    "it is gone: applications.NAME.delivery (\"interactive\", \"standard\" or \"broadcast\") and \
     applications.NAME.delivery_cap take its place",
)];

/// The nearest of the possible words, or all of them.
fn choice(given: &str, possible: &[&str]) -> String {
    let near = possible
        .iter()
        .map(|&known| (distance(given, known), known))
        .min()
        .filter(|&(distance, _)| distance <= given.chars().count().div_ceil(3));
    match near {
        Some((_, known)) => format!("did you mean `{known}`?"),
        None if possible.is_empty() => "nothing is possible here; remove it".to_owned(),
        None => format!("possible are {}", possible.join(", ")),
    }
}

/// The count of letters to change, add or remove.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, &to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

impl<'de> Deserializer<'de> for &'de Node {
    type Error = SettingError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        match &self.value {
            Value::Bool(on) => visitor.visit_bool(*on),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::Raw(text) => match parse_value(&self.place, text) {
                Some(node) => owned(&node, visitor),
                None => visitor.visit_borrowed_str(text),
            },
            Value::List(list) => visitor.visit_seq(List { list, next: 0 }),
            Value::Table(table) => visitor.visit_map(Table {
                entries: table.iter(),
                pending: None,
            }),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        match &self.value {
            Value::Raw(text) => visitor.visit_borrowed_str(text),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        let Value::Raw(text) = &self.value else {
            return self.deserialize_any(visitor);
        };
        if let Some(node) = parse_value(&self.place, text)
            && matches!(node.value, Value::List(_))
        {
            return owned(&node, visitor);
        }
        let item = |item: &str| Node::new(self.place.clone(), Value::Raw(item.trim().to_owned()));
        let list: Vec<Node> = text
            .split(',')
            .filter(|i| !i.trim().is_empty())
            .map(item)
            .collect();
        owned(&Node::new(self.place.clone(), Value::List(list)), visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SettingError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, SettingError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SettingError> {
        match &self.value {
            Value::Text(text) | Value::Raw(text) => {
                let variant: de::value::StrDeserializer<'_, SettingError> =
                    text.as_str().into_deserializer();
                variant.deserialize_enum(name, variants, visitor)
            }
            Value::Table(table) => {
                let access = Table {
                    entries: table.iter(),
                    pending: None,
                };
                visitor.visit_enum(MapAccessDeserializer::new(access))
            }
            _ => Err(SettingError::custom(format!(
                "it is not one word; possible are {}",
                variants.join(", ")
            ))),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        tuple tuple_struct map struct identifier ignored_any
    }
}

/// Visits a temporary node, from which nothing can be borrowed.
fn owned<'de, V: Visitor<'de>>(node: &Node, visitor: V) -> Result<V::Value, SettingError> {
    match &node.value {
        Value::Bool(on) => visitor.visit_bool(*on),
        Value::Integer(number) => visitor.visit_i64(*number),
        Value::Float(number) => visitor.visit_f64(*number),
        Value::Text(text) | Value::Raw(text) => visitor.visit_str(text),
        Value::List(list) => visitor.visit_seq(Owned { list, next: 0 }),
        Value::Table(_) => Err(SettingError::custom(
            "a table cannot stand in a variable or flag; set its keys one by one",
        )),
    }
}

struct List<'de> {
    list: &'de [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for List<'de> {
    type Error = SettingError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, SettingError> {
        let Some(node) = self.list.get(self.next) else {
            return Ok(None);
        };
        let index = self.next;
        self.next += 1;
        seed.deserialize(node)
            .map(Some)
            .map_err(|e| e.within(index, &node.place))
    }
}

/// The items of a list in a variable: plain values, each read by itself.
struct Owned<'a> {
    list: &'a [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Owned<'_> {
    type Error = SettingError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, SettingError> {
        let Some(node) = self.list.get(self.next) else {
            return Ok(None);
        };
        self.next += 1;
        // The mistake belongs to the whole variable: its items have no source of their own.
        let value = match &node.value {
            Value::Text(text) | Value::Raw(text) => {
                seed.deserialize(text.clone().into_deserializer())
            }
            Value::Integer(number) => seed.deserialize((*number).into_deserializer()),
            Value::Float(number) => seed.deserialize((*number).into_deserializer()),
            Value::Bool(on) => seed.deserialize((*on).into_deserializer()),
            Value::List(_) | Value::Table(_) => Err(SettingError::custom(
                "a list in a variable holds plain values; use the file",
            )),
        };
        value.map(Some)
    }
}

struct Table<'de> {
    entries: std::collections::btree_map::Iter<'de, String, Node>,
    pending: Option<(&'de str, &'de Node)>,
}

impl<'de> MapAccess<'de> for Table<'de> {
    type Error = SettingError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, SettingError> {
        let Some((key, node)) = self.entries.next() else {
            return Ok(None);
        };
        self.pending = Some((key, node));
        let name: de::value::StrDeserializer<'_, SettingError> = key.as_str().into_deserializer();
        seed.deserialize(name)
            .map(Some)
            .map_err(|e| e.within(key, &node.place))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<T::Value, SettingError> {
        let (key, node) = self
            .pending
            .take()
            .expect("a value is asked for after its key");
        seed.deserialize(node)
            .map_err(|e| e.within(key, &node.place))
    }
}
