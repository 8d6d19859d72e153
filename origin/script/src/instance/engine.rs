//! One group's script engine: a runtime of its own, run in turns.

use std::{
    cell::RefCell,
    fmt,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use rquickjs::{Context, Ctx, Error, Function, Module, Object, Runtime, Value as JsValue};
use tributary_origin::app::Poster;
use tributary_protocol::GroupName;

use crate::{
    api,
    host::{
        Host,
        allowance::{Allowance, ENGINE_STACK, Exceeded},
        kept::Kept,
        state::State,
    },
    program::{
        Program,
        check::{Kind, script_options},
        failure::ScriptError,
        modules::Modules,
    },
};

/// A script runtime and the host's state of the script.
pub(crate) struct Engine {
    // Fields are dropped in this order, after every value the host keeps.
    state: Rc<State>,
    rejections: Rejections,
    context: Context,
    runtime: Runtime,
    memory: usize,
}

/// The outcome of a turn.
pub(crate) struct TurnOutcome<R> {
    /// The result; `None` after an error.
    pub(crate) result: Option<R>,
    /// Whether an exception was left uncaught.
    pub(crate) failed: bool,
    /// The bound that the turn exceeded.
    pub(crate) exceeded: Option<Exceeded>,
}

/// Rejected promises without a handler so far, each with its reason.
type Rejections = Rc<RefCell<Vec<(Kept, Kept)>>>;

/// The most rejections of one turn that are kept. Reason: each is logged.
const MAX_REJECTIONS: usize = 16;

/// Methods of `Array.prototype` that visit as many items as the array's length states.
const ARRAY_METHODS: &[&str] = &[
    "join",
    "fill",
    "reverse",
    "slice",
    "copyWithin",
    "splice",
    "unshift",
    "shift",
    "sort",
    "toSorted",
    "toReversed",
    "toSpliced",
    "with",
    "toLocaleString",
    "flatMap",
    "concat",
    "flat",
];

/// Methods of `String.prototype` that search for a text.
const STRING_METHODS: &[&str] = &[
    "indexOf",
    "lastIndexOf",
    "includes",
    "split",
    "replace",
    "replaceAll",
];

/// A script with less than this part of its memory left has used it up. Reason: the allocation that
/// failed may have been large, and the script may have caught the error.
const FULL_PARTS: usize = 16;

/// Memory that a script gets in addition, once, when its own has run out. Reason: a handler needs
/// some to run.
const RESERVE: usize = 64 * 1024;

/// The memory is checked after a turn of more processor time than this. Reason: a check takes some
/// microseconds.
const LONG_TURN: Duration = Duration::from_micros(200);

impl Engine {
    /// Makes a runtime with the host's classes; the program has not run yet.
    pub(crate) fn new(
        program: Arc<Program>,
        host: Host,
        group: Arc<GroupName>,
        poster: Poster,
        now: Instant,
    ) -> Result<Self, ScriptError> {
        let plain = |error: Error| ScriptError::plain(error.to_string());
        let runtime = Runtime::new().map_err(plain)?;
        let memory = program.settings().script_memory.get();
        runtime.set_memory_limit(memory);
        runtime.set_max_stack_size(ENGINE_STACK);
        let allowance = Rc::new(Allowance::new(program.settings().script_turn_time.get()));
        let watch = Rc::clone(&allowance);
        runtime.set_interrupt_handler(Some(Box::new(move || watch.is_over())));
        let modules = || Modules(Arc::clone(program.scripts()));
        runtime.set_loader(modules(), modules());
        let context = Context::full(&runtime).map_err(plain)?;
        let state = Rc::new(State::new(program, host, group, poster, allowance, now));
        let rejections = Rejections::default();
        track(&runtime, &state, &rejections);
        let engine = Self {
            state,
            rejections,
            context,
            runtime,
            memory,
        };
        engine.context.with(|ctx| {
            engine.boot(&ctx).map_err(|error| {
                if matches!(error, Error::Exception) {
                    let thrown = ctx.catch();
                    return ScriptError::thrown(&ctx, &thrown, engine.state.program.scripts());
                }
                plain(error)
            })
        })?;
        Ok(engine)
    }

    pub(crate) fn state(&self) -> &Rc<State> {
        &self.state
    }

    fn boot(&self, ctx: &Ctx<'_>) -> rquickjs::Result<()> {
        api::before_boot(ctx)?;
        let mut options = script_options("<boot>");
        options.strict = true;
        let boot: Function<'_> = ctx.eval_with_options(include_str!("boot.js"), options)?;
        let tools: Object<'_> = boot.call(())?;
        self.state.boot(ctx, &tools)?;
        self.guard(ctx)?;
        api::define(ctx, &self.state)?;
        for (name, text) in self.state.program.extras().scripts() {
            ctx.eval_with_options::<(), _>(text, script_options(name))?;
        }
        Ok(())
    }

    /// Bounds built-in methods that do not check the turn's time, those that the program may call.
    fn guard(&self, ctx: &Ctx<'_>) -> rquickjs::Result<()> {
        let program = &self.state.program;
        let named = |names: &[&'static str]| -> Vec<&'static str> {
            let names = names.iter().copied();
            names
                // The text of an array uses `join`.
                .filter(|name| *name == "join" || program.may_name(name))
                .collect()
        };
        let mut options = script_options("<guards>");
        options.strict = true;
        let guard: Function<'_> = ctx.eval_with_options(include_str!("guards.js"), options)?;
        guard.call((named(ARRAY_METHODS), named(STRING_METHODS)))
    }

    /// Runs one turn: `work` and the promise jobs that it leaves. The group must be lent to the
    /// thread. Errors are reported as the script's.
    pub(crate) fn turn<R>(
        &self,
        times: u32,
        work: impl for<'js> FnOnce(&Ctx<'js>, &Rc<State>) -> rquickjs::Result<R>,
    ) -> TurnOutcome<R> {
        let allowance = &self.state.allowance;
        let began = Instant::now();
        self.state.failed.set(false);
        allowance.begin(times);
        let result = self.context.with(|ctx| match work(&ctx, &self.state) {
            Ok(result) => Some(result),
            Err(error) => {
                self.failed(&ctx, &error);
                None
            }
        });
        self.jobs();
        let unexceeded = allowance.exceeded().is_none();
        // Waiting for a processor does not make a turn long.
        let is_long = began.elapsed() > LONG_TURN && allowance.used() > LONG_TURN;
        if unexceeded && is_long && self.is_full() {
            allowance.exceed(Exceeded::Memory);
        }
        let unreported = allowance.exceeded().filter(|_| !allowance.is_reported());
        if let Some(exceeded) = unreported {
            api::application::report(&self.state, &ScriptError::plain(exceeded.describe()));
        }
        let exceeded = allowance.finish();
        TurnOutcome {
            failed: result.is_none() || exceeded.is_some() || self.state.failed.get(),
            result,
            exceeded,
        }
    }

    /// Runs the promise jobs until there are none or the turn's allowance is used up; the next turn
    /// runs the rest.
    fn jobs(&self) {
        while self.runtime.is_job_pending() && !self.state.allowance.is_over() {
            match self.runtime.execute_pending_job() {
                Ok(true) => {}
                Ok(false) => break,
                Err(job) => {
                    let context = job.0;
                    context.with(|ctx| self.failed(&ctx, &Error::Exception));
                }
            }
        }
        let rejections = std::mem::take(&mut *self.rejections.borrow_mut());
        if rejections.is_empty() {
            return;
        }
        self.context.with(|ctx| {
            for (promise, reason) in rejections {
                self.state.keeper.forget(promise);
                let reason = self.state.keeper.release(&ctx, reason);
                self.thrown(&ctx, &reason);
            }
        });
    }

    /// Whether a turn has left jobs.
    pub(crate) fn has_jobs(&self) -> bool {
        self.runtime.is_job_pending()
    }

    /// Evaluates the main file and the files that it loads.
    pub(crate) fn main(ctx: &Ctx<'_>, state: &Rc<State>) -> rquickjs::Result<()> {
        let program = &state.program;
        let file = program.main();
        let text = program.scripts().source(file).unwrap_or_default();
        match program.kind() {
            Kind::Script => ctx.eval_with_options::<(), _>(text, script_options(file))?,
            Kind::Module => {
                let (_, done) = Module::declare(ctx.clone(), file, text)?.eval()?;
                let allowance = &state.allowance;
                while !allowance.is_over() && ctx.execute_pending_job() {}
                // Without a result the module waits, and goes on in a later turn.
                if let Some(result) = done.result::<JsValue<'_>>() {
                    result?;
                }
            }
        }
        loop {
            let next = state.loads.borrow_mut().next();
            let Some(file) = next else { return Ok(()) };
            api::globals::run_file(ctx, state, &file)?;
        }
    }

    /// Gives a script that has used up its memory a little more, for its handler to make room.
    pub(crate) fn open_reserve(&self) {
        self.runtime.set_memory_limit(self.memory + RESERVE);
    }

    /// Whether the script holds nearly all its memory, after a collection.
    fn is_full(&self) -> bool {
        let rest = self.memory / FULL_PARTS;
        let has_room = || {
            self.context.with(|ctx| {
                let room = self.state.probe(&ctx, rest).is_ok();
                if !room {
                    ctx.catch();
                }
                room
            })
        };
        if has_room() {
            return false;
        }
        self.runtime.run_gc();
        !has_room()
    }

    fn failed(&self, ctx: &Ctx<'_>, error: &Error) {
        if matches!(error, Error::Exception) {
            let thrown = ctx.catch();
            self.thrown(ctx, &thrown);
        } else {
            api::application::report(&self.state, &ScriptError::plain(error.to_string()));
        }
    }

    fn thrown<'js>(&self, ctx: &Ctx<'js>, thrown: &JsValue<'js>) {
        api::application::thrown(ctx, &self.state, thrown);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.rejections.borrow_mut().clear();
        self.state.keeper.clear();
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Keeps rejected promises until the end of the turn; a handler that is added meanwhile removes its
/// promise.
fn track(runtime: &Runtime, state: &Rc<State>, rejections: &Rejections) {
    let (state, rejections) = (Rc::clone(state), Rc::clone(rejections));
    runtime.set_host_promise_rejection_tracker(Some(Box::new(
        move |ctx, promise, reason, is_handled| {
            let mut list = rejections.borrow_mut();
            if is_handled {
                let known = list
                    .iter()
                    .position(|(known, _)| state.keeper.kept(&ctx, known) == promise);
                if let Some(known) = known {
                    let (promise, reason) = list.remove(known);
                    state.keeper.forget(promise);
                    state.keeper.forget(reason);
                }
            } else if list.len() < MAX_REJECTIONS {
                list.push((
                    state.keeper.keep(&ctx, promise),
                    state.keeper.keep(&ctx, reason),
                ));
            }
        },
    )));
}
