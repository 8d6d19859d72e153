//! Compiles a program's files without running them.

use std::{collections::BTreeSet, sync::Arc};

use rquickjs::{Ctx, Error, Module, Runtime, context::EvalOptions};

use super::{failure::ScriptError, modules::Modules, script_files::ScriptFiles, source};

/// The way in which the main file is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// As a sloppy global script, like all Server-Side ActionScript.
    Script,
    /// As a module, since it has `import` or `export`.
    Module,
}

/// Compiles the main file and every file that it reaches by `load("...")` or `import`; returns the
/// kind of the main file, or every error.
pub(crate) fn check(scripts: &Arc<ScriptFiles>) -> Result<Kind, Vec<ScriptError>> {
    let broken = |error: Error| vec![ScriptError::plain(error.to_string())];
    let runtime = Runtime::new().map_err(broken)?;
    runtime.set_memory_limit(MEMORY);
    runtime.set_loader(Modules(Arc::clone(scripts)), Modules(Arc::clone(scripts)));
    let context = rquickjs::Context::full(&runtime).map_err(broken)?;
    context.with(|ctx| {
        let text = scripts.source(scripts.main()).unwrap_or_default();
        let Err(error) = compile(&ctx, scripts, scripts.main(), text) else {
            return reached(&ctx, scripts).map(|()| Kind::Script);
        };
        if !has_module_syntax(text) {
            return Err(vec![error]);
        }
        match Module::declare(ctx.clone(), scripts.main(), text) {
            Ok(_) => Ok(Kind::Module),
            Err(error) => Err(vec![caught(&ctx, scripts, &error)]),
        }
    })
}

/// Compiles the files that `load("...")` reaches from the main file.
fn reached(ctx: &Ctx<'_>, scripts: &ScriptFiles) -> Result<(), Vec<ScriptError>> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::from([scripts.main()]);
    let mut left = vec![scripts.main()];
    while let Some(file) = left.pop() {
        let text = scripts.source(file).unwrap_or_default();
        if file != scripts.main()
            && let Err(error) = compile(ctx, scripts, file, text)
        {
            errors.push(error);
        }
        // A file with a computed name is compiled when it is loaded.
        let loads = source::loads(text).filter_map(|name| scripts.find(file, name));
        left.extend(loads.filter(|file| seen.insert(file)));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// Compiles a sloppy global script. The engine compiles the whole script before it runs the first
/// statement, which ends the run here.
fn compile(
    ctx: &Ctx<'_>,
    scripts: &ScriptFiles,
    file: &str,
    text: &str,
) -> Result<(), ScriptError> {
    let (directive, rest) = if begins_strict(text) {
        ("\"use strict\";", text)
    } else {
        ("", text)
    };
    let mut options = script_options(file);
    options.strict = !directive.is_empty();
    match ctx.eval_with_options::<(), _>(format!("throw 0;{rest}"), options) {
        Ok(()) => Ok(()),
        Err(error) => {
            let thrown = ctx.catch();
            if matches!(error, Error::Exception) && thrown.as_int() == Some(0) {
                return Ok(());
            }
            Err(ScriptError::thrown(ctx, &thrown, scripts))
        }
    }
}

fn caught(ctx: &Ctx<'_>, scripts: &ScriptFiles, error: &Error) -> ScriptError {
    if matches!(error, Error::Exception) {
        ScriptError::thrown(ctx, &ctx.catch(), scripts)
    } else {
        ScriptError::plain(error.to_string())
    }
}

/// Options of script files: sloppy global code under their own name.
pub(crate) fn script_options(file: &str) -> EvalOptions {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(file.to_owned());
    options
}

/// Whether a line begins with `import`, `export` or `await`, as only lines of modules can.
fn has_module_syntax(text: &str) -> bool {
    text.split(['\r', '\n']).map(str::trim_start).any(|line| {
        ["import", "export", "await"].iter().any(|word| {
            line.strip_prefix(word)
                .is_some_and(|rest| rest.starts_with([' ', '\t', '{', '*', '"', '\'']))
        })
    })
}

/// Whether the text is strict by its first directive.
fn begins_strict(text: &str) -> bool {
    let mut rest = text.trim_start();
    loop {
        rest = if let Some(comment) = rest.strip_prefix("//") {
            comment
                .split_once(['\r', '\n'])
                .map_or("", |(_, rest)| rest)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            comment.split_once("*/").map_or("", |(_, rest)| rest)
        } else {
            return rest.starts_with("\"use strict\"") || rest.starts_with("'use strict'");
        }
        .trim_start();
    }
}

/// The memory for compiling. Reason: the text is at most 8 MiB, and its code some times that.
const MEMORY: usize = 256 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_known_by_their_lines() {
        assert!(has_module_syntax("// x\rimport { a } from './a.js'"));
        assert!(has_module_syntax("  export default 1"));
        assert!(!has_module_syntax("imported = 1; exports = 2"));
        assert!(begins_strict("// a\n/* b */ 'use strict'; x"));
        assert!(!begins_strict("var a = 'use strict'"));
    }
}
