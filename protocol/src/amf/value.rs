//! The values of both encodings.

use bytes::Bytes;

/// The encoding that a peer asked for in its connect: messages to the peer use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ObjectEncoding {
    /// AMF0 only.
    #[default]
    Amf0,
    /// AMF0 with AMF3 values where AMF0 has no form.
    Amf3,
}

impl ObjectEncoding {
    /// The number of the `objectEncoding` property.
    pub fn number(self) -> f64 {
        match self {
            Self::Amf0 => 0.0,
            Self::Amf3 => 3.0,
        }
    }
}

/// One value of AMF0 or AMF3.
///
/// AMF3 integers are [`Value::Number`]s: clients do not distinguish the two, and the AMF3 encoder
/// writes whole numbers of 29 bits as integers again.
///
/// Text that is not UTF-8 on the wire has U+FFFD in place of the malformed bytes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// ActionScript's `undefined`.
    Undefined,
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// A number; AMF3's integers too.
    Number(f64),
    /// Text; AMF0's short and long strings.
    String(String),
    /// An anonymous or typed object.
    Object(Object),
    /// AMF0's associative array.
    EcmaArray(EcmaArray),
    /// AMF0's strict array, or an AMF3 array with a dense part alone.
    StrictArray(Vec<Self>),
    /// A date.
    Date(Date),
    /// An XML document (`flash.xml.XMLDocument`), unparsed.
    XmlDocument(String),
    /// A complex value that occurs elsewhere in the same top-level value: the number of complex
    /// values (see [`Value::is_complex`]) that begin before it.
    Reference(u32),
    /// AMF0's marker for a value that could not be written.
    Unsupported,
    /// AMF0's reserved movie clip marker, which has no body.
    MovieClip,
    /// AMF0's reserved record set marker, which has no body.
    RecordSet,
    /// AMF3: an array with an associative part.
    MixedArray(Box<MixedArray>),
    /// AMF3: an E4X XML value, unparsed.
    Xml(String),
    /// AMF3: bytes.
    ByteArray(Bytes),
    /// AMF3: a vector of 32-bit signed numbers.
    VectorInt(Vector<i32>),
    /// AMF3: a vector of 32-bit unsigned numbers.
    VectorUint(Vector<u32>),
    /// AMF3: a vector of doubles.
    VectorDouble(Vector<f64>),
    /// AMF3: a vector of objects.
    VectorObject(Box<VectorObject>),
    /// AMF3: a map whose keys are values.
    Dictionary(Dictionary),
    /// AMF3: an object that writes its own body.
    Externalizable(Box<Externalizable>),
}

impl Value {
    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is one.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// The boolean, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(bool) => Some(*bool),
            _ => None,
        }
    }

    /// The object, if it is one.
    pub fn as_object(&self) -> Option<&Object> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The items of an array without names.
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::StrictArray(items) => Some(items),
            _ => None,
        }
    }

    /// Whether it is null or undefined.
    pub fn is_nullish(&self) -> bool {
        matches!(self, Self::Null | Self::Undefined)
    }

    /// The named members of an object or of an array with names; none for anything else.
    pub fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Object(object) => &object.properties,
            Self::EcmaArray(array) => &array.properties,
            Self::MixedArray(array) => &array.associative,
            _ => &[],
        }
    }

    /// The member with this name: the last one, as clients read it.
    pub fn get(&self, name: &str) -> Option<&Self> {
        last(self.members(), name)
    }

    /// Whether references can point to it. Every kind that either encoding can refer to counts, so
    /// that numbering does not depend on the encoding.
    pub fn is_complex(&self) -> bool {
        !matches!(
            self,
            Self::Undefined
                | Self::Null
                | Self::Bool(_)
                | Self::Number(_)
                | Self::String(_)
                | Self::Reference(_)
                | Self::Unsupported
                | Self::MovieClip
                | Self::RecordSet
        )
    }

    /// The complex value that a [`Value::Reference`] inside this top-level value names.
    pub fn target(&self, reference: u32) -> Option<&Self> {
        fn find<'v>(value: &'v Value, left: &mut u32) -> Option<&'v Value> {
            if !value.is_complex() {
                return None;
            }
            if *left == 0 {
                return Some(value);
            }
            *left -= 1;
            let mut found = None;
            value.for_each_child(|child| {
                if found.is_none() {
                    found = find(child, left);
                }
            });
            found
        }
        let mut left = reference;
        find(self, &mut left)
    }

    /// Calls `visit` for each value directly inside this one, in the order of the wire.
    pub fn for_each_child<'v>(&'v self, mut visit: impl FnMut(&'v Self)) {
        match self {
            Self::Object(object) => object.properties.iter().for_each(|(_, value)| visit(value)),
            Self::EcmaArray(array) => array.properties.iter().for_each(|(_, value)| visit(value)),
            Self::StrictArray(items) => items.iter().for_each(visit),
            Self::MixedArray(array) => {
                array.associative.iter().for_each(|(_, value)| visit(value));
                array.dense.iter().for_each(visit);
            }
            Self::VectorObject(vector) => vector.items.iter().for_each(visit),
            Self::Dictionary(dictionary) => dictionary.entries.iter().for_each(|(key, value)| {
                visit(key);
                visit(value);
            }),
            Self::Externalizable(object) => {
                if let ExternalBody::Value(value) = &object.body {
                    visit(value);
                }
            }
            _ => {}
        }
    }

    /// Moves every [`Value::Reference`] by `offset`, for a value that becomes part of another one
    /// in which `offset` complex values begin before it.
    pub fn shift_references(&mut self, offset: u32) {
        if offset == 0 {
            return;
        }
        match self {
            Self::Reference(index) => *index = index.saturating_add(offset),
            Self::Object(object) => shift_members(&mut object.properties, offset),
            Self::EcmaArray(array) => shift_members(&mut array.properties, offset),
            Self::StrictArray(items) => shift_items(items, offset),
            Self::MixedArray(array) => {
                shift_members(&mut array.associative, offset);
                shift_items(&mut array.dense, offset);
            }
            Self::VectorObject(vector) => shift_items(&mut vector.items, offset),
            Self::Dictionary(dictionary) => {
                for (key, value) in &mut dictionary.entries {
                    key.shift_references(offset);
                    value.shift_references(offset);
                }
            }
            Self::Externalizable(object) => {
                if let ExternalBody::Value(value) = &mut object.body {
                    value.shift_references(offset);
                }
            }
            _ => {}
        }
    }
}

/// Named members in the order of the wire, duplicates included, and their class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    pub properties: Vec<(String, Value)>,
    /// The object's class; none for the usual anonymous, dynamic object.
    pub traits: Option<Box<Traits>>,
}

impl Object {
    /// An anonymous object without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// A typed object without members.
    pub fn typed(class_name: impl Into<String>) -> Self {
        Self {
            properties: Vec::new(),
            traits: Some(Box::new(Traits {
                class_name: class_name.into(),
                sealed: 0,
                dynamic: true,
            })),
        }
    }

    /// The count of members, from the first, that are sealed ones of the class: AMF3 writes them
    /// without their names.
    pub(super) fn sealed(&self) -> usize {
        let sealed = self.traits.as_ref().map_or(0, |traits| traits.sealed);
        (sealed as usize).min(self.properties.len())
    }

    /// Appends a member.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.properties.push((name.into(), value.into()));
    }

    /// Appends a member.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.push(name, value);
        self
    }

    /// The member with this name: the last one, as clients read it.
    pub fn get(&self, name: &str) -> Option<&Value> {
        last(&self.properties, name)
    }

    /// The class name of a typed object.
    pub fn class_name(&self) -> Option<&str> {
        self.traits
            .as_ref()
            .map(|traits| traits.class_name.as_str())
            .filter(|name| !name.is_empty())
    }

    /// The members in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.properties
            .iter()
            .map(|(name, value)| (name.as_str(), value))
    }

    /// The count of members.
    pub fn len(&self) -> usize {
        self.properties.len()
    }

    pub fn is_empty(&self) -> bool {
        self.properties.is_empty()
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Object {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(members: I) -> Self {
        Self {
            properties: members
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            traits: None,
        }
    }
}

/// The class of an object as described on the wire; the decoder looks up no class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traits {
    /// The class name or alias; empty for an anonymous object.
    pub class_name: String,
    /// The count of members, from the first, that AMF3 writes as sealed.
    pub sealed: u32,
    /// Whether members beyond the sealed ones are allowed.
    pub dynamic: bool,
}

/// AMF0's associative array.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EcmaArray {
    /// The members in the order of the wire, duplicates included.
    pub properties: Vec<(String, Value)>,
    /// The count that the sender wrote, which need not be the number of members.
    pub declared: u32,
}

impl EcmaArray {
    /// The member with this name: the last one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        last(&self.properties, name)
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for EcmaArray {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(members: I) -> Self {
        let properties: Vec<_> = members
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self {
            declared: properties.len() as u32,
            properties,
        }
    }
}

/// An AMF3 array with an associative part.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MixedArray {
    /// The named members, which come first on the wire.
    pub associative: Vec<(String, Value)>,
    /// The items 0, 1, 2 and so on.
    pub dense: Vec<Value>,
}

/// A point in time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Date {
    /// Milliseconds since 1970, UTC.
    pub milliseconds: f64,
    /// AMF0's time zone in minutes, reserved and to be ignored; AMF3 has none.
    pub time_zone: i16,
}

/// An AMF3 vector of plain numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector<T> {
    /// Whether its length is fixed.
    pub fixed: bool,
    pub items: Vec<T>,
}

/// An AMF3 vector of objects.
#[derive(Clone, Debug, PartialEq)]
pub struct VectorObject {
    /// Whether its length is fixed.
    pub fixed: bool,
    /// The class of its items; empty or `*` for any.
    pub class_name: String,
    pub items: Vec<Value>,
}

/// An AMF3 dictionary.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dictionary {
    /// Whether the player holds its keys weakly.
    pub weak_keys: bool,
    /// Keys and values in the order of the wire.
    pub entries: Vec<(Value, Value)>,
}

/// An AMF3 object that writes its own body.
#[derive(Clone, Debug, PartialEq)]
pub struct Externalizable {
    /// Its class, which determines the form of the body.
    pub class_name: String,
    pub body: ExternalBody,
}

/// The body of an [`Externalizable`].
#[derive(Clone, Debug, PartialEq)]
pub enum ExternalBody {
    /// One AMF3 value: the classes `ArrayCollection`, `ArrayList` and `ObjectProxy` of
    /// `flex.messaging.io`.
    Value(Value),
    /// All bytes to the end of the message; only a top-level value can have them.
    Opaque(Bytes),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for Value {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}

impl From<Object> for Value {
    fn from(object: Object) -> Self {
        Self::Object(object)
    }
}

impl From<EcmaArray> for Value {
    fn from(array: EcmaArray) -> Self {
        Self::EcmaArray(array)
    }
}

impl From<Vec<Self>> for Value {
    fn from(items: Vec<Self>) -> Self {
        Self::StrictArray(items)
    }
}

impl From<Date> for Value {
    fn from(date: Date) -> Self {
        Self::Date(date)
    }
}

fn last<'v>(members: &'v [(String, Value)], name: &str) -> Option<&'v Value> {
    members
        .iter()
        .rev()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}

fn shift_members(members: &mut [(String, Value)], offset: u32) {
    for (_, value) in members {
        value.shift_references(offset);
    }
}

fn shift_items(items: &mut [Value], offset: u32) {
    for value in items {
        value.shift_references(offset);
    }
}
