//! Costs of a script group: memory, the time to start, the time of a call. Times are figures, not
//! bounds:
//! `cargo test --release -p tributary-script --test memory -- --nocapture`.

use std::{fs, sync::Arc, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use tributary_node::config;
use tributary_origin::test::Stage;
use tributary_script::{Host, Program, ScriptApplication};

/// The chat example, reduced: presence, a shared object, a timer, an answered call.
const CHAT: &str = r#"
application.onAppStart = function() {
    this.users = SharedObject.get("users", false);
    this.said = 0;
    this.ticker = setInterval(function() { application.tick(); }, 60000);
};
application.tick = function() { this.users.setProperty("now", new Date().getTime()); };
application.onConnect = function(client, nick) {
    client.nick = nick || "guest";
    this.acceptConnection(client);
    this.users.setProperty(client.id, client.nick);
    return true;
};
application.onDisconnect = function(client) { this.users.setProperty(client.id, null); };
Client.prototype.say = function(text) {
    application.said++;
    application.broadcastMsg("said", this.nick, text);
    return application.said;
};
Client.prototype.history = function() { return [1, 2, 3]; };
"#;

fn stage() -> Stage {
    let program = Program::of_text("app", CHAT, &config::Application::default()).unwrap();
    Stage::new(program.settings().clone(), move |_| {
        let program = Arc::clone(&program);
        Box::new(ScriptApplication::new(program, Host::default()))
    })
}

/// The process's own memory, in bytes.
fn resident() -> usize {
    let text = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap();
    let kib: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib * 1024
}

/// The processor time of all threads of this process.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn a_script_group_stays_below_256_kib() {
    let stage = stage();
    let connect = |numbers: std::ops::Range<usize>| -> Vec<_> {
        numbers
            .map(|number| {
                let client = stage.connect(&format!("room{number}"));
                client.call("say", ["hello".into()]).unwrap();
                client
            })
            .collect()
    };
    let _first = connect(0..50);
    let before = resident();
    let began = processor_time();
    let clients = connect(50..250);
    let each = (processor_time() - began) / clients.len() as u32;
    let memory = (resident() - before) / clients.len();
    println!("{memory} B and {each:?} for each group, its client and a call included");
    assert!(memory <= 256 * 1024, "{memory}");
}

#[test]
fn a_call_takes_its_time() {
    let stage = stage();
    let client = stage.connect("room");
    for (method, argument) in [("history", "x"), ("say", "hello"), ("missing", "x")] {
        let began = processor_time();
        for _ in 0..CALLS {
            client.queue(method, [argument.into()]);
        }
        let queued = processor_time() - began;
        client.heard();
        println!(
            "{method}: {:?} a call, {:?} of it to make it",
            (processor_time() - began) / CALLS,
            queued / CALLS
        );
    }
}

/// Calls that are handled at one go.
const CALLS: u32 = 5_000;
