//! The host's state of one running script, shared by all functions it gives to the script.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    fmt,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use rquickjs::{
    Array, Class, Constructor, Ctx, Function, Object, Result, Symbol, Value as JsValue,
    class::JsClass, function::IntoArgs,
};
use tributary_origin::app::{Level, Poster, embed::lent};
use tributary_protocol::GroupName;

use super::{
    Host,
    allowance::Allowance,
    calls::Calls,
    clients::Clients,
    kept::{Keeper, Kept},
    later::Later,
    library::Library,
    loads::Loads,
    media::Media,
    objects::Objects,
    pace::{Pace, Pass},
    shape::Shape,
    timers::Timers,
};
use crate::program::{Program, check::script_options};

/// The host's side of one script runtime.
///
/// Functions of the host hold it in an `Rc` and hold no script value, which would never be freed.
/// The [`Keeper`] holds script values for the host and ties them to the life of the runtime.
pub(crate) struct State {
    pub(crate) program: Arc<Program>,
    pub(crate) host: Host,
    pub(crate) group: Arc<GroupName>,
    pub(crate) allowance: Rc<Allowance>,
    pub(crate) keeper: Keeper,
    pub(crate) clients: RefCell<Clients>,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) calls: RefCell<Calls>,
    pub(crate) media: RefCell<Media>,
    pub(crate) objects: RefCell<Objects>,
    pub(crate) library: Library,
    pub(crate) loads: RefCell<Loads>,
    /// Whether an exception was left uncaught in this turn.
    pub(crate) failed: Cell<bool>,
    /// Whether `application.onStatus` runs with an error at this moment.
    pub(crate) telling: Cell<bool>,
    pace: Pace,
    /// The group's time in this turn.
    pub(crate) now: Cell<Instant>,
    poster: Poster,
    number: u64,
    prototypes: RefCell<HashMap<&'static str, Kept>>,
    classes: RefCell<Vec<(String, Kept)>>,
    tools: RefCell<Option<Tools>>,
    values: RefCell<Option<Values>>,
}

/// The functions of the boot script.
struct Tools {
    find: Kept,
    lazy: Kept,
    remove: Kept,
    foreign: Kept,
    weak: Kept,
    strong: Kept,
    probe: Kept,
    handles: Kept,
    /// The value of `Object.prototype`.
    objects: Kept,
}

/// Functions for objects other than plain ones and arrays.
struct Values {
    shape: Kept,
    bytes: Kept,
    items: Kept,
}

/// The last number of a script of this process.
static LAST: AtomicU64 = AtomicU64::new(1);

/// The most classes that `application.registerClass` takes. Reason: every typed object that a
/// script sends is compared with them.
const MAX_CLASSES: usize = 256;

impl State {
    pub(crate) fn new(
        program: Arc<Program>,
        host: Host,
        group: Arc<GroupName>,
        poster: Poster,
        allowance: Rc<Allowance>,
        now: Instant,
    ) -> Self {
        let loads = RefCell::new(Loads::new(program.main()));
        let library = Library::new(&program, &host, &group);
        Self {
            program,
            host,
            group,
            allowance,
            keeper: Keeper::default(),
            clients: RefCell::default(),
            timers: RefCell::default(),
            calls: RefCell::default(),
            media: RefCell::default(),
            objects: RefCell::default(),
            library,
            loads,
            failed: Cell::new(false),
            telling: Cell::new(false),
            pace: Pace::new(),
            now: Cell::new(now),
            poster,
            number: LAST.fetch_add(1, Ordering::Relaxed),
            prototypes: RefCell::default(),
            classes: RefCell::default(),
            tools: RefCell::default(),
            values: RefCell::default(),
        }
    }

    /// The script's number in this process.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Posts work to the script from other threads and tasks.
    pub(crate) fn later(&self) -> Later<Self> {
        Later::new(self.poster.clone(), self.number)
    }

    /// Runs `work` soon, in a turn of its own.
    pub(crate) fn soon(
        &self,
        work: impl for<'js> FnOnce(&Ctx<'js>, &Rc<Self>) -> Result<()> + Send + 'static,
    ) {
        self.later().run(work);
    }

    /// Adds a line of the script to the application's log and to the process's, unless the script
    /// logs too much.
    pub(crate) fn log(&self, level: Level, text: &str) {
        match self.pace.line(self.now.get()) {
            Pass::Dropped => return,
            Pass::After(0) => {}
            Pass::After(dropped) => {
                let why = format!("{dropped} lines of the script were too many and are not here");
                self.write(Level::Warning, &why);
            }
        }
        self.write(level, text);
    }

    fn write(&self, level: Level, text: &str) {
        match level {
            // The end of a trial reports its result.
            _ if self.host.is_trial => tracing::debug!(group = %self.group, "trial: {text}"),
            Level::Info => tracing::info!(group = %self.group, "{text}"),
            Level::Warning => tracing::warn!(group = %self.group, "{text}"),
            Level::Error => tracing::error!(group = %self.group, "{text}"),
        }
        lent(|context| context.log(level, text));
    }

    /// Names the prototype of a host class.
    pub(crate) fn set_prototype<'js>(
        &self,
        ctx: &Ctx<'js>,
        class: &'static str,
        prototype: &Object<'js>,
    ) {
        let kept = self.keeper.keep(ctx, prototype.as_value());
        let old = self.prototypes.borrow_mut().insert(class, kept);
        self.keeper.forget(old);
    }

    /// Whether a host class has been used.
    pub(crate) fn has_prototype(&self, class: &str) -> bool {
        self.prototypes.borrow().contains_key(class)
    }

    /// The prototype of a host class.
    pub(crate) fn prototype<'js>(&self, ctx: &Ctx<'js>, class: &str) -> Result<Object<'js>> {
        let kept = self.prototypes.borrow();
        match kept.get(class) {
            Some(kept) => self.keeper.kept_object(ctx, kept),
            None => Object::new(ctx.clone()),
        }
    }

    /// Makes an object of a host class.
    pub(crate) fn instance<'js, C: JsClass<'js>>(
        &self,
        ctx: &Ctx<'js>,
        value: C,
    ) -> Result<Class<'js, C>> {
        Class::instance_proto(value, self.prototype(ctx, C::NAME)?)
    }

    /// Hides the members of an object of the host from peers' calls.
    pub(crate) fn hide<'js>(&self, ctx: &Ctx<'js>, object: &JsValue<'js>) -> Result<()> {
        self.tool(ctx, |tools| &tools.foreign, (object.clone(),))
    }

    /// Defines globals that `make(name)` makes at their first use.
    pub(crate) fn lazy<'js>(
        &self,
        ctx: &Ctx<'js>,
        names: Vec<&'static str>,
        make: Function<'js>,
    ) -> Result<()> {
        self.tool(ctx, |tools| &tools.lazy, (ctx.globals(), names, make))
    }

    /// The function that a peer's call names, and its object.
    pub(crate) fn find<'js>(
        &self,
        ctx: &Ctx<'js>,
        client: &Object<'js>,
        name: &str,
    ) -> Result<Option<(Object<'js>, Function<'js>)>> {
        let found: Option<Array<'js>> =
            self.tool(ctx, |tools| &tools.find, (client.clone(), name))?;
        found.map_or(Ok(None), |found| Ok(Some((found.get(0)?, found.get(1)?))))
    }

    /// The kind of this object.
    pub(crate) fn kind<'js>(&self, ctx: &Ctx<'js>, object: &Object<'js>) -> Result<Shape> {
        if object.is_array() {
            return Ok(Shape::Array);
        }
        let plain = self
            .tools
            .borrow()
            .as_ref()
            .map(|tools| self.keeper.kept(ctx, &tools.objects));
        if let (Some(plain), Some(prototype)) = (plain, object.get_prototype())
            && *prototype.as_value() == plain
        {
            return Ok(Shape::Object);
        }
        self.of_value(ctx, |values| &values.shape, object)
            .map(Shape::of)
    }

    /// The bytes of a typed array or of a buffer.
    pub(crate) fn bytes<'js>(&self, ctx: &Ctx<'js>, object: &Object<'js>) -> Result<Vec<u8>> {
        let text: String = self.of_value(ctx, |values| &values.bytes, object)?;
        // Every character of the text is below 256.
        Ok(text.chars().map(|byte| byte as u8).collect())
    }

    /// The items of a set, the entries of a map.
    pub(crate) fn items<'js>(&self, ctx: &Ctx<'js>, object: &Object<'js>) -> Result<Array<'js>> {
        self.of_value(ctx, |values| &values.items, object)
    }

    /// Removes an item from an array and closes the gap.
    pub(crate) fn remove<'js>(
        &self,
        ctx: &Ctx<'js>,
        list: &Object<'js>,
        item: &JsValue<'js>,
    ) -> Result<()> {
        self.tool(ctx, |tools| &tools.remove, (list.clone(), item.clone()))
    }

    /// A weak reference to an object, for [`Self::strong`].
    pub(crate) fn weak<'js>(&self, ctx: &Ctx<'js>, object: &Object<'js>) -> Result<JsValue<'js>> {
        self.tool(ctx, |tools| &tools.weak, (object.clone(),))
    }

    /// Whether an object has a function that a client's message can name.
    pub(crate) fn has_handlers<'js>(&self, ctx: &Ctx<'js>, object: &Object<'js>) -> Result<bool> {
        self.tool(ctx, |tools| &tools.handles, (object.clone(),))
    }

    /// The object of a weak reference, if the script still holds it.
    pub(crate) fn strong<'js>(
        &self,
        ctx: &Ctx<'js>,
        weak: JsValue<'js>,
    ) -> Result<Option<Object<'js>>> {
        self.tool(ctx, |tools| &tools.strong, (weak,))
    }

    /// Allocates this much memory for a moment; an exception if it is not available.
    pub(crate) fn probe(&self, ctx: &Ctx<'_>, size: usize) -> Result<()> {
        self.tool(ctx, |tools| &tools.probe, (size as f64,))
    }

    /// Registers the class of typed objects.
    pub(crate) fn register_class<'js>(
        &self,
        ctx: &Ctx<'js>,
        name: &str,
        class: &Function<'js>,
    ) -> Result<()> {
        let mut classes = self.classes.borrow_mut();
        let old = classes.iter().position(|(known, _)| known == name);
        if let Some(old) = old {
            let (_, kept) = classes.remove(old);
            self.keeper.forget(kept);
        } else if classes.len() >= MAX_CLASSES {
            return Err(rquickjs::Exception::throw_range(ctx, "too many classes"));
        }
        let kept = self.keeper.keep(ctx, class.as_value());
        classes.push((name.to_owned(), kept));
        Ok(())
    }

    /// The class registered for typed objects of this name.
    pub(crate) fn class<'js>(&self, ctx: &Ctx<'js>, name: &str) -> Option<Constructor<'js>> {
        let classes = self.classes.borrow();
        let (_, kept) = classes.iter().find(|(known, _)| known == name)?;
        Constructor::from_value(self.keeper.kept(ctx, kept)).ok()
    }

    /// The class name with which an object is written.
    pub(crate) fn class_of<'js>(
        &self,
        ctx: &Ctx<'js>,
        object: &Object<'js>,
    ) -> Result<Option<String>> {
        for (name, kept) in self.classes.borrow().iter() {
            let class = self.keeper.kept_object(ctx, kept)?;
            let prototype: JsValue<'js> = class.get("prototype")?;
            if object
                .get_prototype()
                .is_some_and(|own| *own.as_value() == prototype)
            {
                return Ok(Some(name.clone()));
            }
        }
        object.get(self.class_symbol(ctx)?)
    }

    /// The symbol under which an object keeps the class name it came with.
    pub(crate) fn class_symbol<'js>(&self, ctx: &Ctx<'js>) -> Result<Symbol<'js>> {
        Symbol::new_global(ctx.clone(), "amf.class")
    }

    pub(crate) fn boot<'js>(&self, ctx: &Ctx<'js>, tools: &Object<'js>) -> Result<()> {
        let tool = |name: &str| -> Result<Kept> {
            let value: JsValue<'js> = tools.get(name)?;
            Ok(self.keeper.keep(ctx, value))
        };
        *self.tools.borrow_mut() = Some(Tools {
            find: tool("find")?,
            lazy: tool("lazy")?,
            remove: tool("remove")?,
            foreign: tool("foreign")?,
            weak: tool("weak")?,
            strong: tool("strong")?,
            probe: tool("probe")?,
            handles: tool("handles")?,
            objects: tool("objects")?,
        });
        Ok(())
    }

    /// Calls one of [`Values`], which are made at the first use.
    fn of_value<'js, R: rquickjs::FromJs<'js>>(
        &self,
        ctx: &Ctx<'js>,
        which: impl FnOnce(&Values) -> &Kept,
        object: &Object<'js>,
    ) -> Result<R> {
        if self.values.borrow().is_none() {
            let mut options = script_options("<values>");
            options.strict = true;
            let make: Function<'js> = ctx.eval_with_options(include_str!("values.js"), options)?;
            let made: Object<'js> = make.call(())?;
            let part = |name: &str| -> Result<Kept> {
                let value: JsValue<'js> = made.get(name)?;
                Ok(self.keeper.keep(ctx, value))
            };
            *self.values.borrow_mut() = Some(Values {
                shape: part("shape")?,
                bytes: part("bytes")?,
                items: part("items")?,
            });
        }
        let function = {
            let values = self.values.borrow();
            let kept = values.as_ref().map(which);
            kept.map_or_else(
                || JsValue::new_undefined(ctx.clone()),
                |kept| self.keeper.kept(ctx, kept),
            )
        };
        Function::from_value(function)?.call((object.clone(),))
    }

    fn tool<'js, R: rquickjs::FromJs<'js>>(
        &self,
        ctx: &Ctx<'js>,
        which: impl FnOnce(&Tools) -> &Kept,
        arguments: impl IntoArgs<'js>,
    ) -> Result<R> {
        let tool = {
            let tools = self.tools.borrow();
            let kept = tools.as_ref().map(which);
            kept.map_or_else(
                || JsValue::new_undefined(ctx.clone()),
                |kept| self.keeper.kept(ctx, kept),
            )
        };
        Function::from_value(tool)?.call(arguments)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("group", &self.group)
            .field("keeper", &self.keeper)
            .finish_non_exhaustive()
    }
}
