//! One instance of a script application: it calls the script for its group.

mod admission;
mod engine;
mod hooks;
mod idle;
mod rpc;

use std::{
    fmt,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use rquickjs::{Ctx, Object, Result};
use tributary_origin::app::{
    Admission, Answer, AppStartError, Application, Call, CallToken, ClientId, ConnectionCall,
    ConnectionId, Context, Decision, Event, Level, NetStreamId, News, ObjectChange, ObjectId,
    PublishGrant, Rejection, RemoteObjectId, Restored, StopReason, StreamId, StreamRequest,
    StreamStatus,
};
use tributary_protocol::{
    amf::{Budget, ObjectEncoding, Value, amf0},
    command::{Connect, Status},
    link::CloseReason,
};

use crate::{
    api::{
        self, application as api_application, class, client as api_client, net_connection,
        net_stream, remote_object, shared_object, stream as api_stream,
    },
    host::{
        Host,
        allowance::Exceeded,
        clients::{CRASHED, HANDED_OVER},
        later::Reply,
        state::State,
    },
    program::Program,
    value::{to_script, to_values},
};

use engine::{Engine, TurnOutcome};
use idle::IdleClients;

/// A script application's instance.
pub struct ScriptApplication {
    program: Arc<Program>,
    host: Host,
    engine: Option<Engine>,
    strikes: Strikes,
    /// Present if `Application.xml` closes clients that send nothing.
    idle: Option<IdleClients>,
}

/// Turns that exceeded a bound.
#[derive(Debug, Default)]
struct Strikes {
    at: Vec<Instant>,
    memory: u32,
}

/// Turns within [`STRIKE_PERIOD`] that exceed their allowance until the group ends. Reason: each
/// holds up the other groups of its worker for as long as a turn may take.
const STRIKES: usize = 3;

/// The period of [`STRIKES`].
const STRIKE_PERIOD: Duration = Duration::from_secs(60);

/// Times that a script runs out of memory until the group ends. Reason: a script can catch the
/// first time and make room.
const MEMORY_STRIKES: u32 = 2;

/// The first turn's allowance, in turns. Reason: it compiles every file and runs it.
const START_TIMES: u32 = 10;

/// Timers that one turn calls; the next turn calls the others. Reason: they share its allowance.
const TIMERS_PER_TURN: usize = 256;

impl ScriptApplication {
    /// An instance of the program; [`Application::start`] runs its main file.
    pub fn new(program: Arc<Program>, host: Host) -> Self {
        Self {
            program,
            host,
            engine: None,
            strikes: Strikes::default(),
            idle: None,
        }
    }

    /// Asks the script about a client, which comes anew, or from the process before with what it was to
    /// remember.
    fn ask(
        &mut self,
        context: &mut Context<'_>,
        client: ClientId,
        connect: &Connect,
        remembered: Option<&[u8]>,
    ) -> Admission {
        let asked = self.turn(context, |ctx, state| {
            admission::ask(ctx, state, client, connect, remembered)
        });
        if asked.is_none() {
            return Admission::Reject(Rejection::default());
        }
        // The group has the script's decision already.
        Admission::Pending
    }

    /// Runs one turn of the script. `None` after an error, which is logged.
    fn turn<R>(
        &mut self,
        context: &mut Context<'_>,
        work: impl for<'js> FnOnce(&Ctx<'js>, &Rc<State>) -> Result<R>,
    ) -> Option<R> {
        self.turn_of(1, context, work)
    }

    fn turn_of<R>(
        &mut self,
        times: u32,
        context: &mut Context<'_>,
        work: impl for<'js> FnOnce(&Ctx<'js>, &Rc<State>) -> Result<R>,
    ) -> Option<R> {
        let engine = self.engine.as_ref()?;
        let now = context.now();
        engine.state().now.set(now);
        let TurnOutcome {
            result,
            exceeded,
            failed,
        } = context.lend(|| engine.turn(times, work));
        if let Some(exceeded) = exceeded {
            self.exceeded(context, exceeded);
        }
        if failed && context.release_locks() > 0 {
            let why = "a turn that failed had locked shared objects; they are unlocked";
            context.log(Level::Error, why);
        }
        self.settle(context);
        result
    }

    fn exceeded(&mut self, context: &mut Context<'_>, exceeded: Exceeded) {
        let full = exceeded == Exceeded::Memory;
        match (self.strikes.add(context.now(), full), &self.engine) {
            (Some(why), _) => context.fail(why),
            (None, Some(engine)) if full => {
                engine.open_reserve();
                engine.state().soon(api_application::low_memory);
            }
            _ => {}
        }
    }

    /// Whether the script has one of these handlers of `application`.
    fn has_handler(&mut self, context: &mut Context<'_>, names: &[&str]) -> bool {
        let has = self.turn(context, |ctx, state| {
            let application = api_application::object(ctx, state)?;
            let handlers = names.iter().map(|name| application.get(*name));
            let mut handlers = handlers.filter_map(Result::ok);
            Ok(handlers.any(|handler: rquickjs::Value<'_>| handler.is_function()))
        });
        has.unwrap_or_default()
    }

    /// Calls the responder of an answered call.
    fn answered_call(
        &mut self,
        context: &mut Context<'_>,
        token: CallToken,
        answer: &std::result::Result<Value, Value>,
    ) {
        self.turn(context, |ctx, state| {
            let responder = state.calls.borrow_mut().take(token);
            responder.map_or(Ok(()), |responder| {
                api_client::answered(ctx, state, responder, answer)
            })
        });
    }

    /// The reason why a configured token refuses a publisher.
    fn token_refuses(&self, context: &Context<'_>, request: &StreamRequest) -> Option<String> {
        let settings = context.settings();
        settings.publish_token.as_ref()?;
        let client = context.client(request.id.client)?;
        let refused = client.may_publish(&settings, &request.query).err()?;
        Some(refused.to_string())
    }

    /// Ends a turn: removes clients that left undecided, and sets the next deadline.
    fn settle(&mut self, context: &mut Context<'_>) {
        let Some(engine) = &self.engine else { return };
        let state = engine.state();
        let gone: Vec<_> = {
            let clients = state.clients.borrow();
            let pending = clients.pending().iter().copied();
            pending
                .filter(|client| context.client(*client).is_none())
                .collect()
        };
        for client in gone {
            let object = state.clients.borrow_mut().remove(client);
            state.keeper.forget(object);
        }
        let dropped = state.objects.borrow().take_dropped();
        for object in dropped {
            context.close_object(object);
            let last = state.objects.borrow_mut().remove(object);
            state.keeper.forget(last);
        }
        let timers = state.timers.borrow().next();
        let jobs = engine.has_jobs().then(|| context.now());
        let idle = self.idle.as_ref().map(IdleClients::next);
        context.set_deadline([timers, jobs, idle].into_iter().flatten().min());
    }
}

impl Strikes {
    /// Notes a turn that exceeded its allowance; returns the reason why the group must end, if it
    /// must.
    fn add(&mut self, now: Instant, memory: bool) -> Option<String> {
        self.at
            .retain(|at| now.saturating_duration_since(*at) < STRIKE_PERIOD);
        self.at.push(now);
        if memory {
            self.memory += 1;
        }
        if self.memory >= MEMORY_STRIKES {
            return Some("the script ran out of memory again".to_owned());
        }
        (self.at.len() >= STRIKES).then(|| {
            let seconds = STRIKE_PERIOD.as_secs();
            format!("{STRIKES} turns of the script exceeded what they may use within {seconds} s")
        })
    }
}

impl Application for ScriptApplication {
    fn start(&mut self, context: &mut Context<'_>) -> std::result::Result<(), AppStartError> {
        let limit = self.program.application_xml().auto_close_idle_clients;
        self.idle = limit.map(|limit| IdleClients::new(limit, context.now()));
        let engine = Engine::new(
            Arc::clone(&self.program),
            self.host.clone(),
            Arc::new(context.name().clone()),
            context.poster(),
            context.now(),
        );
        let engine = engine.map_err(|error| AppStartError(error.to_string()))?;
        self.engine = Some(engine);
        let started = self.turn_of(START_TIMES, context, |ctx, state| {
            Engine::main(ctx, state)?;
            let application = api_application::object(ctx, state)?;
            class::callback(&application, "onAppStart", ()).map(drop)
        });
        started.ok_or_else(|| AppStartError("the script could not be started".to_owned()))
    }

    fn connect(
        &mut self,
        context: &mut Context<'_>,
        client: ClientId,
        connect: &Connect,
    ) -> Admission {
        self.ask(context, client, connect, None)
    }

    fn expects_restore(&mut self, context: &mut Context<'_>) -> bool {
        self.has_handler(context, &["onRestore", "onReconnect"])
    }

    fn restored(&mut self, context: &mut Context<'_>, restored: Restored<'_>) {
        let (how, left) = match restored {
            Restored::HandedOver { state } => (HANDED_OVER, state),
            _ => (CRASHED, &[][..]),
        };
        self.turn(context, |ctx, state| {
            state.clients.borrow_mut().restored = how;
            let application = api_application::object(ctx, state)?;
            let info = Object::new(ctx.clone())?;
            info.set("how", how)?;
            let values = amf0::decode_all(left, &Budget::default()).unwrap_or_default();
            if let Some(value) = values.first() {
                info.set("state", to_script(ctx, state, value)?)?;
            }
            class::callback(&application, "onRestore", (info,)).map(drop)
        });
    }

    fn may_hand_over(&mut self, context: &mut Context<'_>) -> bool {
        self.has_handler(context, &["onHandover", "onRestore", "onReconnect"])
    }

    fn hand_over(&mut self, context: &mut Context<'_>) -> Vec<u8> {
        let left = self.turn(context, |ctx, state| {
            let application = api_application::object(ctx, state)?;
            let said = class::callback(&application, "onHandover", ())?;
            let values = to_values(ctx, state, &said.into_iter().collect::<Vec<_>>())?;
            let mut bytes = BytesMut::new();
            amf0::encode_all(&mut bytes, ObjectEncoding::Amf3, &values);
            Ok(bytes.to_vec())
        });
        left.unwrap_or_default()
    }

    fn readmit(
        &mut self,
        context: &mut Context<'_>,
        client: ClientId,
        connect: &Connect,
        remembered: &[u8],
    ) -> Admission {
        self.ask(context, client, connect, Some(remembered))
    }

    fn disconnect(&mut self, context: &mut Context<'_>, client: ClientId, _: CloseReason) {
        self.turn(context, |ctx, state| admission::left(ctx, state, client));
    }

    fn call(&mut self, context: &mut Context<'_>, call: &Call) -> Answer {
        let answer = self.turn(context, |ctx, state| rpc::call(ctx, state, call));
        answer.unwrap_or_else(|| Answer::Error(api_application::call_failed(&call.name, None)))
    }

    fn answered(
        &mut self,
        context: &mut Context<'_>,
        _: ClientId,
        token: CallToken,
        answer: std::result::Result<Value, Value>,
    ) {
        self.answered_call(context, token, &answer);
    }

    fn publish(
        &mut self,
        context: &mut Context<'_>,
        request: &StreamRequest,
    ) -> Decision<PublishGrant> {
        if let Some(refused) = self.token_refuses(context, request) {
            return Decision::Refuse(refused);
        }
        self.turn(context, |ctx, state| hooks::publish(ctx, state, request))
            .unwrap_or_else(|| Decision::Refuse(String::new()))
    }

    fn play(&mut self, context: &mut Context<'_>, request: &StreamRequest) -> Decision<()> {
        self.turn(context, |ctx, state| hooks::play(ctx, state, request))
            .unwrap_or_else(|| Decision::Refuse(String::new()))
    }

    fn published(&mut self, context: &mut Context<'_>, client: ClientId, name: &str) {
        self.turn(context, |ctx, state| {
            hooks::notify(ctx, state, "onPublish", client, name)
        });
    }

    fn unpublished(&mut self, context: &mut Context<'_>, client: ClientId, name: &str) {
        self.turn(context, |ctx, state| {
            hooks::notify(ctx, state, "onUnpublish", client, name)
        });
    }

    fn stream_status(
        &mut self,
        context: &mut Context<'_>,
        stream: StreamId,
        status: &StreamStatus,
    ) {
        self.turn(context, |ctx, state| {
            api_stream::status(ctx, state, stream, status)
        });
    }

    fn connection_status(
        &mut self,
        context: &mut Context<'_>,
        connection: ConnectionId,
        info: &Value,
    ) {
        self.turn(context, |ctx, state| {
            net_connection::status(ctx, state, connection, info)
        });
    }

    fn connection_call(
        &mut self,
        context: &mut Context<'_>,
        connection: ConnectionId,
        call: &ConnectionCall,
    ) -> Answer {
        let answer = self.turn(context, |ctx, state| {
            net_connection::called(ctx, state, connection, call)
        });
        answer.unwrap_or_else(|| Answer::Error(api_application::call_failed(&call.name, None)))
    }

    fn connection_answered(
        &mut self,
        context: &mut Context<'_>,
        _: ConnectionId,
        token: CallToken,
        answer: std::result::Result<Value, Value>,
    ) {
        self.answered_call(context, token, &answer);
    }

    fn remote_object_news(
        &mut self,
        context: &mut Context<'_>,
        object: RemoteObjectId,
        news: &[News],
    ) {
        self.turn(context, |ctx, state| {
            remote_object::news(ctx, state, object, news)
        });
    }

    fn net_stream_status(&mut self, context: &mut Context<'_>, stream: NetStreamId, info: &Value) {
        self.turn(context, |ctx, state| {
            net_stream::status(ctx, state, stream, info)
        });
    }

    fn shared_object_changed(
        &mut self,
        context: &mut Context<'_>,
        object: ObjectId,
        _: ClientId,
        changes: &[ObjectChange],
    ) {
        self.turn(context, |ctx, state| {
            shared_object::changed(ctx, state, object, changes)
        });
    }

    fn shared_object_message(
        &mut self,
        context: &mut Context<'_>,
        object: ObjectId,
        _: ClientId,
        handler: &str,
        arguments: &[Value],
    ) {
        self.turn(context, |ctx, state| {
            shared_object::message(ctx, state, object, handler, arguments)
        });
    }

    fn shared_object_status(
        &mut self,
        context: &mut Context<'_>,
        object: ObjectId,
        status: Status,
    ) {
        self.turn(context, |ctx, state| {
            shared_object::status(ctx, state, object, status)
        });
    }

    fn shared_objects_crowd(&mut self, context: &mut Context<'_>) {
        self.turn(context, shared_object::make_room);
    }

    fn event(&mut self, context: &mut Context<'_>, event: Event) {
        if let Ok(reply) = event.0.downcast::<Reply<State>>() {
            self.turn(context, |ctx, state| reply.run(ctx, state.number(), state));
        }
    }

    fn deadline(&mut self, context: &mut Context<'_>) {
        if let Some(idle) = &mut self.idle {
            idle.look(context);
        }
        self.turn(context, run_timers);
    }

    fn stop(&mut self, context: &mut Context<'_>, reason: StopReason) -> bool {
        let status = match reason {
            StopReason::Idle => Status::ApplicationGc,
            _ => Status::ApplicationShutdown,
        };
        let stops = self.turn(context, |ctx, state| {
            let application = api_application::object(ctx, state)?;
            let info = api_application::info(ctx, status, status.description())?;
            let said = class::callback(&application, "onAppStop", (info,))?;
            Ok(said.is_none_or(|said| said.as_bool() != Some(false)))
        });
        stops.unwrap_or(true)
    }
}

/// Calls the due timers.
fn run_timers(ctx: &Ctx<'_>, state: &Rc<State>) -> Result<()> {
    let now = state.now.get();
    for _ in 0..TIMERS_PER_TURN {
        let due = state.timers.borrow_mut().take_due(now);
        let Some(number) = due else { break };
        let call = {
            let timers = state.timers.borrow();
            timers
                .call(number)
                .map(|(kept, over)| (state.keeper.kept(ctx, kept), over))
        };
        let Some((call, over)) = call else { continue };
        if over {
            let kept = state.timers.borrow_mut().remove(number);
            state.keeper.forget(kept);
        }
        if let Some(call) = call.as_array()
            && api::globals::run_timer(ctx, call).is_err()
        {
            let thrown = ctx.catch();
            api_application::thrown(ctx, state, &thrown);
            if state.allowance.is_over() {
                break;
            }
        }
    }
    Ok(())
}

impl fmt::Debug for ScriptApplication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptApplication")
            .field("program", &self.program)
            .finish_non_exhaustive()
    }
}
