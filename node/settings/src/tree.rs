//! A configuration as written, with the source of each setting.

use std::{collections::BTreeMap, fmt, sync::Arc};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::mistake::{At, Mistake};

/// One setting or table, with its source.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

#[derive(Clone, Debug)]
pub(crate) enum Value {
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    /// Text of the environment or a flag, whose type depends on the setting.
    Raw(String),
    List(Vec<Node>),
    Table(BTreeMap<String, Node>),
}

/// The source of a setting.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Default,
    File {
        file: Arc<str>,
        line: usize,
        column: usize,
    },
    Variable(String),
    Flag(&'static str),
}

impl Node {
    pub(crate) fn new(place: Place, value: Value) -> Self {
        Self { place, value }
    }

    pub(crate) fn root() -> Self {
        Self::new(Place::Default, Value::Table(BTreeMap::new()))
    }

    /// Puts `over` on top: tables merge, other values are replaced.
    pub(crate) fn overlay(&mut self, over: Self) {
        match (&mut self.value, over.value) {
            (Value::Table(under), Value::Table(over)) => {
                for (key, node) in over {
                    match under.get_mut(&key) {
                        Some(there) => there.overlay(node),
                        None => {
                            under.insert(key, node);
                        }
                    }
                }
            }
            (_, value) => *self = Self::new(over.place, value),
        }
    }

    /// Removes the setting at `path`; `false` if there is none.
    pub(crate) fn remove(&mut self, path: &[String]) -> bool {
        let Some((key, rest)) = path.split_first() else {
            return false;
        };
        match &mut self.value {
            Value::Table(table) if rest.is_empty() => table.remove(key).is_some(),
            Value::Table(table) => table.get_mut(key).is_some_and(|node| node.remove(rest)),
            Value::List(list) => match key.parse::<usize>() {
                Ok(i) if i < list.len() && rest.is_empty() => {
                    list.remove(i);
                    true
                }
                Ok(i) if i < list.len() => list[i].remove(rest),
                _ => false,
            },
            _ => false,
        }
    }

    /// The source of the setting at `path`, or of the nearest table around it.
    pub(crate) fn place(&self, path: &[String]) -> Option<String> {
        let below = path
            .split_first()
            .and_then(|(key, rest)| match &self.value {
                Value::Table(table) => table.get(key)?.place(rest),
                Value::List(list) => list.get(key.parse::<usize>().ok()?)?.place(rest),
                _ => None,
            });
        below.or_else(|| self.place.text())
    }
}

impl Place {
    pub(crate) fn text(&self) -> Option<String> {
        (!matches!(self, Self::Default)).then(|| self.to_string())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(flag) => f.write_str(flag),
        }
    }
}

/// The most faults of TOML that are reported for a file. Reason: a file with more of them is of
/// another kind.
const SHOWN_MISTAKES: usize = 10;

/// Reads the well-formed part of a TOML text, and the faults.
pub(crate) fn parse(file: &str, text: &str) -> (Node, Vec<Mistake>) {
    let reader = Reader {
        file: file.into(),
        text,
    };
    let (table, errors) = DeTable::parse_recoverable(text);
    let mistakes = errors
        .into_iter()
        .take(SHOWN_MISTAKES)
        .map(|e| Mistake {
            at: At::root(),
            place: reader.place(e.span().map_or(0, |span| span.start)).text(),
            what: e.message().to_owned(),
            remedy: "the file must be TOML 1.0".to_owned(),
        })
        .collect();
    (
        Node::new(Place::Default, reader.table(table.into_inner())),
        mistakes,
    )
}

/// One TOML value by itself, as in a variable.
pub(crate) fn parse_value(place: &Place, text: &str) -> Option<Node> {
    let value = DeValue::parse(text).ok()?.into_inner();
    let reader = Reader {
        file: "".into(),
        text,
    };
    let mut node = Node::new(place.clone(), reader.value(value));
    node.settle(place);
    Some(node)
}

impl Node {
    fn settle(&mut self, place: &Place) {
        self.place = place.clone();
        match &mut self.value {
            Value::List(list) => list.iter_mut().for_each(|node| node.settle(place)),
            Value::Table(table) => table.values_mut().for_each(|node| node.settle(place)),
            _ => {}
        }
    }
}

struct Reader<'a> {
    file: Arc<str>,
    text: &'a str,
}

impl Reader<'_> {
    fn table(&self, table: DeTable<'_>) -> Value {
        let entry = |(key, value): (Spanned<_>, Spanned<DeValue<'_>>)| {
            let place = self.place(key.span().start);
            let key: std::borrow::Cow<'_, str> = key.into_inner();
            (
                key.into_owned(),
                Node::new(place, self.value(value.into_inner())),
            )
        };
        Value::Table(table.into_iter().map(entry).collect())
    }

    fn value(&self, value: DeValue<'_>) -> Value {
        match value {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or_else(|_| Value::Text(number.as_str().to_owned()), Value::Integer),
            DeValue::Float(number) => number
                .as_str()
                .parse()
                .map_or_else(|_| Value::Text(number.as_str().to_owned()), Value::Float),
            DeValue::Boolean(on) => Value::Bool(on),
            DeValue::Datetime(time) => Value::Text(time.to_string()),
            DeValue::Array(items) => {
                let node = |item: Spanned<DeValue<'_>>| {
                    Node::new(self.place(item.span().start), self.value(item.into_inner()))
                };
                Value::List(items.into_iter().map(node).collect())
            }
            DeValue::Table(table) => self.table(table),
        }
    }

    fn place(&self, offset: usize) -> Place {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |start| start.chars().count())
            + 1;
        Place::File {
            file: Arc::clone(&self.file),
            line,
            column,
        }
    }
}
