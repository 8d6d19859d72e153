//! The host's functions for File.

use std::{
    cell::RefCell,
    rc::Rc,
    time::{Duration, SystemTime},
};

use rquickjs::{Class, Ctx, Exception, JsLifetime, Object, Result, TypedArray, Value};
use tributary_origin::app::Level;
use tributary_protocol::command::Status;

use crate::{
    api::{
        application,
        class::{callback, host_class, method},
    },
    host::state::State,
    library::files::{FileError, FileName, Files, Mode, OpenFile, Text},
    value::to_script,
};

/// A script's open file; the engine closes it with the last reference.
#[derive(JsLifetime)]
pub(crate) struct FileHandle {
    #[qjs(skip_trace)]
    files: Rc<RefCell<Files>>,
    #[qjs(skip_trace)]
    open: RefCell<Option<OpenFile>>,
    #[qjs(skip_trace)]
    text: Text,
}

host_class!(FileHandle, "FileHandle");

impl FileHandle {
    fn close(&self) {
        if self.open.borrow_mut().take().is_some() {
            self.files.borrow_mut().closed();
        }
    }

    fn with<R>(
        &self,
        ctx: &Ctx<'_>,
        work: impl FnOnce(&mut OpenFile, &mut Files) -> std::result::Result<R, FileError>,
    ) -> Result<R> {
        let mut open = self.open.borrow_mut();
        let result = match open.as_mut() {
            Some(open) => work(open, &mut self.files.borrow_mut()),
            None => Err(FileError::NotOpenFor("anything")),
        };
        result.map_err(|error| throw(ctx, &error))
    }
}

impl Drop for FileHandle {
    fn drop(&mut self) {
        self.close();
    }
}

/// The class name of errors that `file.js` logs; the method then returns false.
const EXPECTED: &str = "FileError";

fn throw(ctx: &Ctx<'_>, error: &FileError) -> rquickjs::Error {
    let thrown = match error {
        FileError::Allowance | FileError::Limit(_) => {
            return Exception::throw_range(ctx, &format!("File: {error}"));
        }
        error => Exception::from_message(ctx.clone(), &error.to_string()),
    };
    match thrown {
        Ok(exception) => {
            // The error is thrown even if it cannot have this name.
            let _ = exception.as_object().set("name", EXPECTED);
            exception.throw()
        }
        Err(error) => error,
    }
}

/// The functions that `file.js` calls. Paths are results of `path`.
pub(super) fn host<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let known = Rc::clone(state);
    method(host, "failed", move |ctx: Ctx<'js>, text: String| {
        failed(&ctx, &known, &text)
    })?;
    method(host, "path", |path: String| {
        FileName::parse(&path).ok().map(|name| name.path())
    })?;
    let files = state.library.files();
    names(host, state, &files)?;
    folders(host, state, &files)?;
    handles(host)?;
    bytes(host, state)
}

/// Logs a failure, and calls `application.onStatus`.
fn failed<'js>(ctx: &Ctx<'js>, state: &Rc<State>, text: &str) -> Result<()> {
    state.log(Level::Warning, text);
    let info = Status::ScriptWarning.info(Some(text), None);
    let info = to_script(ctx, state, &info.into())?;
    callback(&application::object(ctx, state)?, "onStatus", (info,)).map(drop)
}

/// stat, list, open.
fn names<'js>(host: &Object<'js>, state: &Rc<State>, files: &Rc<RefCell<Files>>) -> Result<()> {
    let (known, of) = (Rc::clone(state), Rc::clone(files));
    method(host, "stat", move |ctx: Ctx<'js>, path: String| {
        let stat = on(&ctx, &known, &of, &path, |files, name| files.stat(name))?;
        let Some(stat) = stat else { return Ok(None) };
        let array = rquickjs::Array::new(ctx)?;
        array.set(0, stat.is_folder)?;
        array.set(1, stat.length as f64)?;
        array.set(2, milliseconds(stat.modified))?;
        array.set(3, milliseconds(stat.changed))?;
        Ok::<_, rquickjs::Error>(Some(array))
    })?;
    let (known, of) = (Rc::clone(state), Rc::clone(files));
    method(host, "list", move |ctx: Ctx<'js>, path: String| {
        on(&ctx, &known, &of, &path, |files, name| files.list(name))
    })?;
    let (known, of) = (Rc::clone(state), Rc::clone(files));
    method(
        host,
        "open",
        move |ctx: Ctx<'js>, path: String, text: String, mode: String| {
            let Some((text, mode)) = Text::parse(&text).zip(Mode::parse(&mode)) else {
                return Err(throw(&ctx, &FileError::BadMode));
            };
            let open = on(&ctx, &known, &of, &path, |files, name| {
                files.open(name, mode)
            })?;
            let handle = FileHandle {
                files: Rc::clone(&of),
                open: RefCell::new(Some(open)),
                text,
            };
            known.instance(&ctx, handle)
        },
    )
}

/// makeFolder, remove, rename, copy.
fn folders<'js>(host: &Object<'js>, state: &Rc<State>, files: &Rc<RefCell<Files>>) -> Result<()> {
    let (known, of) = (Rc::clone(state), Rc::clone(files));
    method(host, "makeFolder", move |ctx: Ctx<'js>, path: String| {
        on(&ctx, &known, &of, &path, |files, name| {
            files.make_folder(name)
        })
    })?;
    let (known, of) = (Rc::clone(state), Rc::clone(files));
    method(
        host,
        "remove",
        move |ctx: Ctx<'js>, path: String, recursive: bool| {
            on(&ctx, &known, &of, &path, |files, name| {
                files.remove(name, recursive)
            })
        },
    )?;
    let (known, of) = (Rc::clone(state), Rc::clone(files));
    method(
        host,
        "rename",
        move |ctx: Ctx<'js>, path: String, to: String| {
            on(&ctx, &known, &of, &path, |files, name| {
                files.rename(name, &FileName::parse(&to)?)
            })
        },
    )?;
    let (known, of) = (Rc::clone(state), Rc::clone(files));
    method(
        host,
        "copy",
        move |ctx: Ctx<'js>, path: String, to: String| {
            on(&ctx, &known, &of, &path, |files, name| {
                files.copy(name, &FileName::parse(&to)?)
            })
        },
    )
}

fn on<R>(
    ctx: &Ctx<'_>,
    state: &State,
    files: &RefCell<Files>,
    path: &str,
    work: impl FnOnce(&mut Files, &FileName) -> std::result::Result<R, FileError>,
) -> Result<R> {
    state.library.new_turn(state.now.get());
    let name = FileName::parse(path).map_err(|error| throw(ctx, &error))?;
    work(&mut files.borrow_mut(), &name).map_err(|error| throw(ctx, &error))
}

fn milliseconds(time: SystemTime) -> f64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or(Duration::ZERO).as_secs_f64() * 1000.0
}

type Handle<'js> = Class<'js, FileHandle>;

/// Functions of an open file.
fn handles<'js>(host: &Object<'js>) -> Result<()> {
    method(host, "close", |handle: Handle<'js>| handle.borrow().close())?;
    method(host, "length", |ctx: Ctx<'js>, handle: Handle<'js>| {
        handle
            .borrow()
            .with(&ctx, |open, _| Ok(open.length() as f64))
    })?;
    method(host, "position", |ctx: Ctx<'js>, handle: Handle<'js>| {
        handle
            .borrow()
            .with(&ctx, |open, _| Ok(open.position() as f64))
    })?;
    method(host, "atEnd", |ctx: Ctx<'js>, handle: Handle<'js>| {
        handle.borrow().with(&ctx, |open, _| Ok(open.at_end()))
    })?;
    method(
        host,
        "seek",
        |ctx: Ctx<'js>, handle: Handle<'js>, to: f64| {
            handle
                .borrow()
                .with(&ctx, |open, _| Ok(open.seek(to as u64) as f64))
        },
    )?;
    method(host, "flush", |ctx: Ctx<'js>, handle: Handle<'js>| {
        handle.borrow().with(&ctx, OpenFile::flush)
    })
}

/// Functions that read and write an open file.
fn bytes<'js>(host: &Object<'js>, state: &Rc<State>) -> Result<()> {
    let state = Rc::clone(state);
    method(
        host,
        "read",
        |ctx: Ctx<'js>, handle: Handle<'js>, count: f64| {
            let handle = handle.borrow();
            handle.with(&ctx, |open, files| {
                open.read_chars(files, handle.text, count as usize)
            })
        },
    )?;
    method(host, "readLine", |ctx: Ctx<'js>, handle: Handle<'js>| {
        let handle = handle.borrow();
        let line = handle.with(&ctx, |open, files| open.read_line(files, handle.text))?;
        Ok::<_, rquickjs::Error>(match line {
            Some(line) => rquickjs::String::from_str(ctx, &line)?.into_value(),
            None => Value::new_null(ctx),
        })
    })?;
    method(
        host,
        "readBytes",
        |ctx: Ctx<'js>, handle: Handle<'js>, count: f64| {
            let handle = handle.borrow();
            let bytes = handle.with(&ctx, |open, files| open.read(files, count as usize))?;
            TypedArray::<u8>::new_copy(ctx, bytes)
        },
    )?;
    method(
        host,
        "write",
        |ctx: Ctx<'js>, handle: Handle<'js>, text: String| {
            let handle = handle.borrow();
            let bytes = handle.text.encode(&text);
            handle.with(&ctx, |open, files| open.write(files, &bytes))
        },
    )?;
    method(
        host,
        "writeBytes",
        move |ctx: Ctx<'js>, handle: Handle<'js>, bytes: Object<'js>| {
            let bytes = state.bytes(&ctx, &bytes)?;
            handle
                .borrow()
                .with(&ctx, |open, files| open.write(files, &bytes))
        },
    )
}
