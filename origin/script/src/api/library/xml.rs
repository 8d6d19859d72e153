//! The host's functions for LoadVars and XML: reading and writing their texts.

use std::rc::Rc;

use rquickjs::{Array, Ctx, Object, Result};

use super::http;
use crate::{
    api::class::method,
    host::state::State,
    library::{
        url_encoded,
        xml::{self, Fault, Piece, XmlReader},
    },
};

/// The longest text that is parsed. Reason: the parser does not check the turn's time.
const MAX_XML: usize = 4 * 1024 * 1024;

/// `decode(text)`: names and values in turn; `encode(list)`: the way back.
pub(super) fn load_vars_host<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    http::delivering(host, state)?;
    method(host, "decode", |text: String| {
        let pairs = url_encoded::decode(&text).into_iter();
        pairs.flat_map(<[String; 2]>::from).collect::<Vec<_>>()
    })?;
    method(host, "encode", |pairs: Vec<String>| {
        let pairs = pairs.chunks_exact(2).filter_map(|pair| match pair {
            [name, value] => Some((name.as_str(), value.as_str())),
            _ => None,
        });
        url_encoded::encode(pairs)
    })
}

/// `parse(text, ignoreWhite)` returns the status, then the pieces; `escape(text)`.
pub(super) fn host<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    http::delivering(host, state)?;
    method(host, "escape", |text: String| {
        xml::escape(&text).into_owned()
    })?;
    method(
        host,
        "parse",
        |ctx: Ctx<'js>, text: String, ignore_white: bool| parse(&ctx, &text, ignore_white),
    )
}

/// The first byte of each piece in the list.
const START: u8 = 1;
const END: u8 = 2;
const TEXT: u8 = 3;
const DECLARATION: u8 = 4;
const DOCTYPE: u8 = 5;

fn parse<'js>(ctx: &Ctx<'js>, text: &str, ignore_white: bool) -> Result<Array<'js>> {
    let mut list = List {
        array: Array::new(ctx.clone())?,
        length: 1,
    };
    let mut status = 0;
    if text.len() > MAX_XML {
        list.array.set(0, Fault::TooMuch.status())?;
        return Ok(list.array);
    }
    for piece in XmlReader::new(text) {
        match piece {
            Ok(Piece::Start { name, attributes }) => {
                list.push(START)?;
                list.push(name)?;
                list.push(attributes.len())?;
                for (name, value) in attributes {
                    list.push(name)?;
                    list.push(value.as_ref())?;
                }
            }
            Ok(Piece::End) => list.push(END)?,
            Ok(Piece::Text(text)) if ignore_white && is_white(&text) => {}
            Ok(Piece::Text(text)) => {
                list.push(TEXT)?;
                list.push(text.as_ref())?;
            }
            Ok(Piece::Declaration(text)) => {
                list.push(DECLARATION)?;
                list.push(text)?;
            }
            Ok(Piece::DocType(text)) => {
                list.push(DOCTYPE)?;
                list.push(text)?;
            }
            Err(fault) => status = fault.status(),
        }
    }
    list.array.set(0, status)?;
    Ok(list.array)
}

fn is_white(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

struct List<'js> {
    array: Array<'js>,
    length: usize,
}

impl<'js> List<'js> {
    fn push(&mut self, value: impl rquickjs::IntoJs<'js>) -> Result<()> {
        self.array.set(self.length, value)?;
        self.length += 1;
        Ok(())
    }
}
