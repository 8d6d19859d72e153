//! Tests of hooks with services that answer as a test says.

use std::{
    collections::VecDeque,
    future::poll_fn,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use tributary_gate::{
    Action, Debt, HookEvent, HookFault, HookRequest, HookSettings, HookVerdict, OnFailure, Told,
    Transport, Urls,
};
use tributary_web::{OutboundThread, Response};

use super::{
    card::EdgeName,
    deliver::{Done, Farewell},
    services::{Reply, Services, Silent},
    shared::Teller,
    *,
};
use crate::metrics::HookMetrics;

/// Services that answer in turn; without an answer left, they allow.
#[derive(Clone, Default)]
struct Fake {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Copy)]
enum Answer {
    Status(u16),
    Body(&'static str),
    Silence(HookFault),
    /// An answer after the test has released it.
    Never,
}

impl Fake {
    fn answering(answers: &[Answer]) -> Self {
        let answers = answers.iter().copied().collect();
        Self {
            answers: Arc::new(Mutex::new(answers)),
            ..Self::default()
        }
    }

    fn reply(&self, request: &HookRequest) -> Reply {
        let event = request
            .body
            .split("\"event\":\"")
            .nth(1)
            .unwrap_or_default();
        let event = event.split('"').next().unwrap_or_default();
        let reason = request
            .body
            .split("\"reason\":\"")
            .nth(1)
            .unwrap_or_default();
        let reason = reason.split('"').next().unwrap_or_default();
        let seen = format!("{event} {reason}").trim().to_owned();
        self.seen.lock().unwrap().push(seen);
        let answer = self.answers.lock().unwrap().pop_front();
        Box::pin(async move {
            let response = |status, body: &'static str| Response {
                status,
                headers: Vec::new(),
                body: body.into(),
                url: String::new(),
            };
            match answer.unwrap_or(Answer::Body("{\"allow\":true}")) {
                Answer::Status(status) => Ok(response(status, "")),
                Answer::Body(body) => Ok(response(200, body)),
                Answer::Silence(fault) => Err(Silent::from(fault)),
                Answer::Never => std::future::pending().await,
            }
        })
    }

    fn hooks(&self) -> (Hooks, HookMetrics) {
        let metrics = HookMetrics::default();
        let thread = OutboundThread::default();
        let name = EdgeName::default();
        let hooks = Hooks::with(Box::new(self.clone()), thread, metrics.clone(), name);
        (hooks, metrics)
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Services for Fake {
    fn ask(&self, request: HookRequest, _: Duration) -> Reply {
        self.reply(&request)
    }

    fn tell(&self, request: HookRequest, _: Duration) -> Reply {
        self.reply(&request)
    }
}

fn settings() -> HookSettings {
    let urls = || Urls::from(["http://h/x?key=secret"]);
    HookSettings {
        on_connect: urls(),
        on_disconnect: urls(),
        on_publish: urls(),
        on_publish_done: urls(),
        on_play_done: urls(),
        ..HookSettings::default()
    }
}

fn card() -> Card {
    Card {
        app: "live?user=a".to_owned(),
        flash_ver: String::new(),
        swf_url: String::new(),
        tc_url: "rtmp://edge/live?key=secret".to_owned(),
        page_url: String::new(),
        address: None,
        transport: Transport::Rtmp,
        session: 9,
        epoch: 0,
        user: None,
    }
}

fn of(settings: HookSettings) -> OfApplication {
    OfApplication {
        application: "live".into(),
        settings: Arc::new(settings),
    }
}

fn debt(stream: Option<u32>, action: Action) -> Debt {
    Debt {
        stream,
        action,
        name: "cam".to_owned(),
        query: String::new(),
    }
}

const CAM: Told<'static> = Told {
    name: "cam",
    query: "",
};

const PUBLISH: HookEvent<'static> = HookEvent::Publish {
    stream: CAM,
    kind: "live",
};

/// Asks about an act, and takes the answer.
async fn decided(conversation: &mut Conversation, event: HookEvent<'_>, debt: Debt) -> HookVerdict {
    let now = Instant::now();
    match conversation.ask(now, &event, debt) {
        Asked::Allowed => return HookVerdict::Allow,
        Asked::Refused(refused) => return HookVerdict::Refuse(refused),
        Asked::Waits => assert!(conversation.has_news()),
    }
    match poll_fn(|cx| conversation.poll(cx)).await {
        HookNews::Answer(answer) => conversation.answered(now, answer),
        news => panic!("not an answer: {news:?}"),
    }
}

async fn delivered(answers: &[Answer]) -> (Vec<String>, HookMetrics, Duration) {
    let fake = Fake::answering(answers);
    let (hooks, metrics) = fake.hooks();
    let teller = Teller {
        hooks: hooks.clone(),
        of: of(settings()),
        card: Arc::new(card()),
    };
    let mut requests = teller.requests(&HookEvent::Connect).unwrap();
    let done = Done {
        hook: "on_disconnect",
        request: requests.remove(0),
        owing: hooks.owed().owe(0).expect("there is room"),
    };
    let began = tokio::time::Instant::now();
    teller.deliver(done).await;
    assert_eq!(hooks.owed().number(), 0);
    (fake.seen(), metrics, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_done_hook_has_three_attempts_and_is_lost_then() {
    let silence = Answer::Silence(HookFault::NoAnswer);
    let table = [
        (vec![Answer::Status(200)], 1, 0, 0),
        // A service that refuses an end has heard of it.
        (vec![Answer::Status(403)], 1, 0, 0),
        (
            vec![silence, Answer::Status(503), Answer::Status(200)],
            3,
            3,
            0,
        ),
        (
            vec![silence, silence, silence, Answer::Status(200)],
            3,
            3,
            1,
        ),
    ];
    for (answers, attempts, seconds, lost) in table {
        let (seen, metrics, time) = delivered(&answers).await;
        assert_eq!((seen.len(), time.as_secs()), (attempts, seconds));
        assert_eq!(metrics.lost("on_disconnect"), lost);
        let told = metrics.counted("on_disconnect", "told");
        assert_eq!(told, 1 - lost);
    }
}

#[tokio::test]
async fn each_allowed_decision_is_told_as_over_once() {
    let fake = Fake::default();
    let (hooks, _) = fake.hooks();
    let mut session = Conversation::new(hooks.clone(), of(settings()), card());
    let verdict = decided(
        &mut session,
        HookEvent::Connect,
        debt(None, Action::Connect),
    )
    .await;
    assert_eq!(verdict, HookVerdict::Allow);
    let publish = debt(Some(1), Action::Publish);
    decided(&mut session, PUBLISH, publish.clone()).await;
    // A second one on the same stream replaces it; another stream plays without a question.
    decided(&mut session, PUBLISH, publish).await;
    let play = HookEvent::Play {
        stream: CAM,
        start: 0.0,
        duration: 0.0,
        reset: false,
    };
    decided(&mut session, play, debt(Some(2), Action::Play)).await;
    hooks.owed().none().await;
    assert_eq!(session.act(1), Some(Action::Publish));
    session.end(1, "client_closed");
    session.end(1, "client_closed");
    hooks.owed().none().await;
    let farewell = Farewell {
        reason: "shutdown",
        ..Farewell::default()
    };
    session.leave(farewell);
    session.leave(farewell);
    drop(session);
    hooks.owed().none().await;
    let expected = [
        "connect",
        "publish",
        "publish",
        "publish_done replaced",
        "publish_done client_closed",
        "play_done shutdown",
        "disconnect shutdown",
    ];
    assert_eq!(fake.seen(), expected);
}

#[tokio::test]
async fn a_refused_act_owes_nothing_and_its_reason_is_told() {
    let fake = Fake::answering(&[
        Answer::Body("{\"allow\":false,\"reason\":\"no\"}"),
        Answer::Silence(HookFault::TimedOut),
        Answer::Status(500),
    ]);
    let (hooks, metrics) = fake.hooks();
    let mut session = Conversation::new(hooks.clone(), of(settings()), card());
    for (label, text) in [
        ("hook_refused", "no"),
        ("hook_timeout", "does not answer"),
        ("hook_status", "does not answer"),
    ] {
        let publish = debt(Some(1), Action::Publish);
        let HookVerdict::Refuse(refused) = decided(&mut session, PUBLISH, publish).await else {
            panic!("not refused");
        };
        let refusal = refused.refusal(Action::Publish);
        assert_eq!(refusal.label, label);
        assert!(refusal.text.contains(text), "{}", refusal.text);
    }
    assert_eq!(metrics.counted("on_publish", "refused"), 1);
    assert_eq!(metrics.counted("on_publish", "hook_status"), 1);
    drop(session);
    hooks.owed().none().await;
    assert_eq!(fake.seen().len(), 3);
}

#[tokio::test]
async fn a_service_that_fails_may_be_taken_as_one_that_allows() {
    let fake = Fake::answering(&[Answer::Silence(HookFault::NoAnswer)]);
    let (hooks, _) = fake.hooks();
    let settings = HookSettings {
        on_failure: OnFailure::Allow,
        ..settings()
    };
    let mut session = Conversation::new(hooks.clone(), of(settings), card());
    let publish = debt(Some(1), Action::Publish);
    let verdict = decided(&mut session, PUBLISH, publish).await;
    assert_eq!(verdict, HookVerdict::Allow);
    drop(session);
    hooks.owed().none().await;
    assert_eq!(fake.seen(), ["publish", "publish_done"]);
}

#[tokio::test]
async fn all_services_of_a_hook_must_agree() {
    let fake = Fake::answering(&[
        Answer::Body("{\"allow\":true,\"name\":\"cam2\",\"user\":\"bob\"}"),
        Answer::Body("{\"allow\":true}"),
        Answer::Body("{\"allow\":true}"),
        Answer::Status(403),
    ]);
    let (hooks, _) = fake.hooks();
    let settings = HookSettings {
        on_publish: Urls::from(["http://a/", "http://b/"]),
        ..settings()
    };
    let mut session = Conversation::new(hooks, of(settings), card());
    let publish = debt(Some(1), Action::Publish);
    let verdict = decided(&mut session, PUBLISH, publish.clone()).await;
    assert_eq!(verdict, HookVerdict::Rename("cam2".to_owned()));
    let verdict = decided(&mut session, PUBLISH, publish).await;
    assert!(matches!(verdict, HookVerdict::Refuse(_)), "{verdict:?}");
}

#[tokio::test]
async fn a_client_that_leaves_before_an_answer_is_told_as_over() {
    for answers in 0..2 {
        let fake = match answers {
            0 => Fake::default(),
            _ => Fake::answering(&[Answer::Status(403)]),
        };
        let (hooks, _) = fake.hooks();
        let mut session = Conversation::new(hooks.clone(), of(settings()), card());
        let asked = session.ask(Instant::now(), &PUBLISH, debt(Some(1), Action::Publish));
        assert!(matches!(asked, Asked::Waits));
        session.leave(Farewell {
            reason: "client_closed",
            ..Farewell::default()
        });
        drop(session);
        hooks.owed().none().await;
        let expected: &[_] = match answers {
            0 => &["publish", "publish_done client_closed"],
            _ => &["publish"],
        };
        assert_eq!(fake.seen(), expected);
    }
}

#[tokio::test]
async fn an_update_that_is_refused_stops_its_act_and_no_later_one() {
    let allow = Answer::Body("{\"allow\":true}");
    let fake = Fake::answering(&[allow, allow, Answer::Status(403)]);
    let (hooks, _) = fake.hooks();
    let settings = HookSettings {
        on_update: Urls::from(["http://h/"]),
        ..settings()
    };
    let interval = settings.update_interval.get();
    let mut session = Conversation::new(hooks.clone(), of(settings.clone()), card());
    assert_eq!(session.next_update(), None);
    decided(&mut session, PUBLISH, debt(Some(1), Action::Publish)).await;
    let first = session.next_update().expect("an update");
    assert!(first <= Instant::now() + interval);
    session.update(first - interval / 2, |_| 0);
    assert_eq!(session.next_update(), Some(first));
    session.update(first, |_| 0);
    assert_eq!(session.next_update(), Some(first + interval));
    // An update is skipped while the one before is under way.
    let news = loop {
        let next = session.next_update().expect("an update");
        session.update(next, |_| 0);
        let news = poll_fn(|cx| session.poll(cx));
        if let Ok(news) = tokio::time::timeout(Duration::from_millis(10), news).await {
            break news;
        }
    };
    let HookNews::Stop {
        stream: 1,
        action: Action::Publish,
    } = news
    else {
        panic!("not stopped: {news:?}");
    };
    session.end(1, "hook_update");
    assert_eq!(session.next_update(), None);

    // A service that is slower than the interval is asked once.
    let fake = Fake::answering(&[allow, Answer::Never]);
    let (hooks, _) = fake.hooks();
    let mut session = Conversation::new(hooks, of(settings), card());
    decided(&mut session, PUBLISH, debt(Some(1), Action::Publish)).await;
    for _ in 0..3 {
        let next = session.next_update().expect("an update");
        session.update(next, |_| 0);
    }
    let updates = || {
        fake.seen()
            .iter()
            .filter(|seen| seen.starts_with("update"))
            .count()
    };
    while updates() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(updates(), 1);
}

#[tokio::test]
async fn nothing_secret_is_written_by_debug() {
    let (hooks, _) = Fake::default().hooks();
    let mut session = Conversation::new(hooks, of(settings()), card());
    let publish = Debt {
        query: "key=secret".to_owned(),
        ..debt(Some(1), Action::Publish)
    };
    session.ask(Instant::now(), &PUBLISH, publish);
    let text = format!("{session:?}");
    assert!(!text.contains("secret"), "{text}");
}
