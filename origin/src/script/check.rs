//! Compiles a program's files without running them.

use std::{collections::BTreeSet, sync::Arc};

use rquickjs::{Ctx, Error, Module, Runtime, context::EvalOptions};

use super::{
    failure::ScriptError,
    loader::Modules,
    program::{Kind, Program},
};

/// Compiles the main file and every file that is reached from it by `load("...")` or `import`;
/// says how the main file is to be evaluated, or every error.
pub(super) fn check(program: &Arc<Program>) -> Result<Kind, Vec<ScriptError>> {
    let broken = |error: Error| vec![ScriptError::plain(error.to_string())];
    let runtime = Runtime::new().map_err(broken)?;
    runtime.set_memory_limit(MEMORY);
    runtime.set_loader(Modules(Arc::clone(program)), Modules(Arc::clone(program)));
    let context = rquickjs::Context::full(&runtime).map_err(broken)?;
    context.with(|ctx| {
        let text = program.source(program.main()).unwrap_or_default();
        let Err(error) = compile(&ctx, program, program.main(), text) else {
            return reached(&ctx, program).map(|()| Kind::Script);
        };
        if !has_module_syntax(text) {
            return Err(vec![error]);
        }
        match Module::declare(ctx.clone(), program.main(), text) {
            Ok(_) => Ok(Kind::Module),
            Err(error) => Err(vec![caught(&ctx, program, &error)]),
        }
    })
}

/// Compiles what `load("...")` reaches from the main file.
fn reached(ctx: &Ctx<'_>, program: &Program) -> Result<(), Vec<ScriptError>> {
    let mut errors = Vec::new();
    let mut seen = BTreeSet::from([program.main()]);
    let mut left = vec![program.main()];
    while let Some(file) = left.pop() {
        let text = program.source(file).unwrap_or_default();
        if file != program.main()
            && let Err(error) = compile(ctx, program, file, text)
        {
            errors.push(error);
        }
        // What is loaded under a computed name is compiled when it is loaded.
        let loads = loads(text).filter_map(|name| program.find(file, name));
        left.extend(loads.filter(|file| seen.insert(file)));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// Compiles a sloppy global script. The engine compiles all of a script before it runs its first
/// statement, and that one ends it.
fn compile(ctx: &Ctx<'_>, program: &Program, file: &str, text: &str) -> Result<(), ScriptError> {
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
            Err(ScriptError::thrown(ctx, &thrown, program))
        }
    }
}

fn caught(ctx: &Ctx<'_>, program: &Program, error: &Error) -> ScriptError {
    if matches!(error, Error::Exception) {
        ScriptError::thrown(ctx, &ctx.catch(), program)
    } else {
        ScriptError::plain(error.to_string())
    }
}

/// How script files are evaluated: as sloppy global code under their own name.
pub(super) fn script_options(file: &str) -> EvalOptions {
    let mut options = EvalOptions::default();
    options.strict = false;
    options.filename = Some(file.to_owned());
    options
}

/// The names in `load("name")` calls; comments may hold some as well, which does no harm.
pub(super) fn loads(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("load").filter_map(|(at, word)| {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|before| before.is_alphanumeric() || "_$.".contains(before)) {
            return None;
        }
        let rest = text[at + word.len()..].trim_start();
        let rest = rest.strip_prefix('(')?.trim_start();
        let quote = rest
            .chars()
            .next()
            .filter(|&quote| quote == '"' || quote == '\'')?;
        rest[1..].split_once(quote).map(|(name, _)| name)
    })
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

/// What compiling may use. Reason: the text is at most 8 MiB, and code some times that.
const MEMORY: usize = 256 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_found() {
        let text =
            "load(\"a.asc\");load( 'b/c.asc' )\rx.load('no');preload('no');load(name);load()";
        assert_eq!(loads(text).collect::<Vec<_>>(), ["a.asc", "b/c.asc"]);
    }

    #[test]
    fn modules_are_known_by_their_lines() {
        assert!(has_module_syntax("// x\rimport { a } from './a.js'"));
        assert!(has_module_syntax("  export default 1"));
        assert!(!has_module_syntax("imported = 1; exports = 2"));
        assert!(begins_strict("// a\n/* b */ 'use strict'; x"));
        assert!(!begins_strict("var a = 'use strict'"));
    }
}
