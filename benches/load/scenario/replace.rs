//! An edge that is replaced over and over under its clients: nobody may notice more than a pause.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use clap::Args;

use crate::{
    driver::{Generator, number},
    histogram::quantile,
    hooks::HookService,
    report::{Figures, Report},
    servers,
    transport::Transport,
};

/// Load and replacements.
#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// The replacements.
    #[arg(long, default_value_t = 50)]
    replacements: usize,
    /// Clients that connect and leave each second.
    #[arg(long, default_value_t = 500.0)]
    connects: f64,
    /// Publishers, each with its own stream.
    #[arg(long, default_value_t = 200)]
    publishers: usize,
    /// Viewers; half of them come by TCP, the others in WebSockets.
    #[arg(long, default_value_t = 2_000)]
    viewers: usize,
    /// Sessions that make numbered calls.
    #[arg(long, default_value_t = 20)]
    callers: usize,
    /// Seconds of each replacement's measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

/// Clients that connect at the same time. Reason: they wait while an edge stands still.
const AT_ONCE: &str = "600";

/// The settings of the edge beside the hooks: where it is replaced, and a port for RTMPT.
const SETTINGS: &str = r#"
[[edge.listen]]
address = "127.0.0.1:0"
protocols = ["rtmpt"]

[edge]
handover = "handover.sock"
drain_deadline = "20 s"
"#;

pub(crate) fn run(options: &Options) {
    let remarks = format!(
        "{} connects per second, {} publishers, {} viewers (rtmp and ws), {} callers, two rtmpdump by \
         RTMPT, hooks of nginx-rtmp's style for all of them",
        options.connects, options.publishers, options.viewers, options.callers
    );
    let mut report = Report::begin("replace", &remarks)
        .however_busy()
        .of_runs(options.replacements);
    let service = HookService::start();
    let settings = format!("{SETTINGS}{}", service.settings("live"));
    let mut server = servers::replaceable(Transport::Ws, &settings);
    let count = options.publishers.to_string();
    let publishers = server.generator(
        "publisher",
        &[
            ("--app", "live"),
            ("--name", "s{}"),
            ("--count", &count),
            ("--bitrate", "64000"),
            ("--slowness", "10"),
        ],
    );
    let each = options.viewers / 2 / options.publishers.max(1);
    let arguments = [("--app", "live"), ("--name", "s{}"), ("--count", &*count)];
    let mut viewers: Vec<_> = (0..each)
        .flat_map(|_| {
            [
                server.generator("viewers", &arguments),
                server.crowd("viewers", &arguments),
            ]
        })
        .collect();
    let rate = options.connects.to_string();
    let connects = [
        ("--app", "live"),
        ("--concurrency", AT_ONCE),
        ("--rate", &*rate),
    ];
    let mut comers = server.generator("connects", &connects);
    let callers = options.callers.to_string();
    let callers = [("--app", "counter/replaced"), ("--count", &*callers)];
    let mut callers = server.generator("numbered", &callers);
    let dumps = [0, 1].map(|number| server.dump_by_rtmpt("live", &format!("s{number}"), number));
    thread::sleep(Duration::from_secs(2));
    let (mut pauses, mut stands) = (Vec::new(), Vec::new());
    for replacement in 0..options.replacements {
        let before = server.sample(&[]);
        let measure = format!("measure {}", options.seconds);
        let generators = viewers.iter_mut().chain([&mut comers, &mut callers]);
        let mut generators: Vec<&mut Generator> = generators.collect();
        generators.iter_mut().for_each(|it| it.begin(&measure));
        let begun = Instant::now();
        let stood = server.replace_edge(replacement);
        let took = begun.elapsed();
        let answers: Vec<_> = generators.iter_mut().map(|it| it.answer()).collect();
        let (of_viewers, others) = answers.split_at(answers.len() - 2);
        let sum = |name: &str| of_viewers.iter().map(|it| number(it, name)).sum::<f64>();
        let most = |name: &str| {
            of_viewers
                .iter()
                .map(|it| number(it, name))
                .fold(0.0, f64::max)
        };
        stands.push(stood);
        pauses.push(most("/latency/max_ms"));
        let mut figures = Figures::new();
        let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
        put(
            "ms to the end of the old process",
            took.as_secs_f64() * 1000.0,
        );
        put("stand-still ms", stood);
        put("longest delay of a message ms", most("/latency/max_ms"));
        put("p99 of messages ms", most("/latency/p99_ms"));
        put("messages lost", sum("/lost"));
        put("messages repeated", sum("/repeated"));
        put("viewers without a connection", sum("/failed"));
        put("connects", number(&others[0], "/done"));
        put("connects failed", number(&others[0], "/failed"));
        put("callers failed", number(&others[1], "/failed"));
        let busy = server.sample(&[]).since(&before).busy;
        report.add("tributary", "replacement", busy, figures);
    }
    let calls = callers.ask("finish");
    let mut figures = Figures::new();
    let mut put = |name: &str, value: f64| figures.insert(name.to_owned(), value);
    put("p99 of the longest delays ms", quantile(&mut pauses, 0.99));
    put("p99 of the stand-stills ms", quantile(&mut stands, 0.99));
    put("calls made", number(&calls, "/made"));
    put("calls counted", number(&calls, "/counted"));
    put("calls wrong", number(&calls, "/wrong"));
    for (number, (program, file)) in dumps.into_iter().enumerate() {
        let mut program = program;
        put(
            &format!("rtmpdump {number} runs"),
            f64::from(u8::from(program.is_running())),
        );
        let bytes = fs::metadata(file).map_or(0, |file| file.len());
        put(&format!("rtmpdump {number} bytes"), bytes as f64);
        drop(program);
    }
    drop((publishers, viewers, comers, callers));
    // Ends of clients become done-hooks, which have attempts. A session of RTMPT ends 60 s after its last
    // request.
    let late = Instant::now() + Duration::from_secs(90);
    while service.counts().0 != service.counts().1 && Instant::now() < late {
        thread::sleep(Duration::from_millis(100));
    }
    let (allowed, done) = service.counts();
    put("hooks allowed", allowed as f64);
    put("hooks told as over", done as f64);
    report.add("tributary", "all", 0.0, figures);
    report.finish();
}
