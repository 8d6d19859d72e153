//! Errors of scripts and their places.

use std::fmt;

use rquickjs::{Ctx, Value};
use tributary_origin::deploy::Problem;

use super::{script_files::ScriptFiles, source};
use crate::text::{shown, text};

/// An error of a script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptError {
    /// The message with the error's class: `TypeError: x is not a function`.
    pub message: String,
    /// The file, relative to the application's folder.
    pub file: Option<String>,
    /// The line in the file, from 1.
    pub line: Option<u32>,
    /// The text of that line.
    pub source_line: Option<String>,
}

impl ScriptError {
    /// An error without a place.
    pub(crate) fn plain(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            ..Self::default()
        }
    }

    /// The error of a thrown value, which may be of any kind.
    pub(crate) fn thrown<'js>(ctx: &Ctx<'js>, thrown: &Value<'js>, scripts: &ScriptFiles) -> Self {
        let mut error = Self::plain(describe(ctx, thrown));
        let stack: Option<String> = thrown
            .as_object()
            .and_then(|object| object.get("stack").ok());
        if ctx.has_exception() {
            ctx.catch();
        }
        if let Some((file, line)) = stack.as_deref().and_then(place) {
            error.source_line = scripts
                .source(file)
                .and_then(|source| source::line(source, line))
                .map(str::to_owned);
            error.file = Some(file.to_owned());
            error.line = Some(line);
        }
        error
    }
}

impl From<ScriptError> for Problem {
    fn from(error: ScriptError) -> Self {
        Self {
            message: error.message,
            file: error.file,
            line: error.line,
            source: error.source_line,
        }
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An error has one form here and in the answers of a deployment.
        Problem::from(self.clone()).fmt(f)
    }
}

impl std::error::Error for ScriptError {}

/// A thrown value as text. An exception of its own code is dropped.
fn describe<'js>(ctx: &Ctx<'js>, thrown: &Value<'js>) -> String {
    let described = match thrown.as_object().filter(|object| object.is_error()) {
        Some(error) => {
            let part = |name: &str| {
                error
                    .get::<_, Value<'js>>(name)
                    .ok()
                    .and_then(|value| text(&value))
                    .filter(|text| !text.is_empty())
            };
            let name = part("name").unwrap_or_else(|| "Error".to_owned());
            part("message").map_or_else(|| name.clone(), |message| format!("{name}: {message}"))
        }
        None => shown(ctx, thrown),
    };
    if ctx.has_exception() {
        ctx.catch();
    }
    source::shortened(&described, MESSAGE_SHOWN).to_owned()
}

/// The first place of a stack that is in a file: `    at name (file:line:column)`.
fn place(stack: &str) -> Option<(&str, u32)> {
    stack.lines().find_map(|frame| {
        let frame = frame.trim().strip_prefix("at ")?;
        let place = match frame.rsplit_once('(') {
            Some((_, place)) => place.strip_suffix(')')?,
            None => frame,
        };
        let (rest, last) = place.rsplit_once(':')?;
        let (file, line) = match rest.rsplit_once(':') {
            Some((file, line)) if line.bytes().all(|byte| byte.is_ascii_digit()) => (file, line),
            _ => (rest, last),
        };
        Some((file, line.parse().ok()?)).filter(|(file, _)| !file.starts_with('<'))
    })
}

/// The longest message that is shown. Reason: a script can throw a text of any length.
const MESSAGE_SHOWN: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_an_error_is_the_first_frame_in_a_file() {
        for (stack, expected) in [
            (
                "    at f (main.asc:3:7)\n    at <eval> (main.asc:9:1)\n",
                Some(("main.asc", 3)),
            ),
            ("    at main.asc:12:4\n", Some(("main.asc", 12))),
            (
                "    at call (native)\n    at g (lib/a b.asc:2:1)\n",
                Some(("lib/a b.asc", 2)),
            ),
            (
                "    at f (<boot>:1:1)\n    at g (x.asc:5:1)\n",
                Some(("x.asc", 5)),
            ),
            ("", None),
            ("    at f (native)", None),
        ] {
            assert_eq!(place(stack), expected, "{stack:?}");
        }
    }
}
