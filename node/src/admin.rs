//! The admin server: health, readiness, metrics, and the routes of a tier.

use std::{
    collections::BTreeMap,
    fmt, io,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

/// Routes that a tier adds to the admin server.
pub use axum::Router as Routes;
use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use prometheus_client::registry::Registry;
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::TcpListener;

use crate::{drain, token::Token};

/// Whether the process can do its work now; the reason if it cannot.
pub type Ready = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// A route that answers with the result of `ask`, as JSON.
pub fn json<T, F>(path: &str, ask: impl Fn() -> F + Clone + Send + Sync + 'static) -> Routes
where
    T: Serialize,
    F: Future<Output = T> + Send + 'static,
{
    let answer = move || {
        let found = ask();
        async { Json(found.await) }
    };
    Routes::new().route(path, get(answer))
}

/// A command that was not carried out. Its answer has the status 422, and is JSON as a refusal of
/// the applications' API is: `{"error": {"thing": ..., "reason": ..., "remedy": ...}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Declined {
    pub thing: String,
    pub reason: String,
    pub remedy: String,
}

impl IntoResponse for Declined {
    fn into_response(self) -> Response {
        let body = BTreeMap::from([("error", self)]);
        (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
    }
}

/// A route that carries out a command for a caller with the guard's token. The body is JSON; an
/// empty one is the default. The answer is JSON too.
pub fn command<T, R, F>(
    path: &str,
    guard: &Guard,
    run: impl Fn(T) -> F + Clone + Send + Sync + 'static,
) -> Routes
where
    T: DeserializeOwned + Default + Send + 'static,
    R: Serialize,
    F: Future<Output = Result<R, Declined>> + Send + 'static,
{
    let guard = guard.clone();
    let answer = move |headers: HeaderMap, body: Bytes| {
        let asked = guard.allows(&headers).and_then(|()| {
            let asked = match body.is_empty() {
                true => Ok(T::default()),
                false => serde_json::from_slice(&body),
            };
            asked.map_err(|error| {
                (
                    StatusCode::BAD_REQUEST,
                    format!("no such request: {error}\n"),
                )
            })
        });
        let run = run.clone();
        async move {
            match asked {
                Ok(asked) => run(asked).await.map(Json).into_response(),
                Err(refusal) => refusal.into_response(),
            }
        }
    };
    Routes::new().route(path, post(answer).layer(DefaultBodyLimit::max(MOST_BODY)))
}

/// The bytes of a command. Reason: it has a few settings.
const MOST_BODY: usize = 4 * 1024;

/// The token of the admin server, and the routes that need it.
///
/// Commands always need it. On an address that other machines reach, the metrics and `/debug` need
/// it too; health and readiness never do.
#[derive(Clone, Debug)]
pub struct Guard {
    token: Option<Token>,
    is_public: bool,
    opens_metrics: bool,
}

impl Guard {
    /// The guard of a server at this address. `opens_metrics`: the metrics need no token.
    ///
    /// # Errors
    /// Other machines reach the address, and there is no token.
    pub fn new(
        address: SocketAddr,
        token: Option<Token>,
        opens_metrics: bool,
    ) -> Result<Self, Unguarded> {
        let is_public = !address.ip().to_canonical().is_loopback();
        match token {
            None if is_public => Err(Unguarded(address)),
            token => Ok(Self {
                token,
                is_public,
                opens_metrics,
            }),
        }
    }

    fn needs_token(&self, path: &str) -> bool {
        let is_open = match path {
            "/healthz" | "/readyz" => true,
            "/metrics" => self.opens_metrics,
            // The routes below check it themselves.
            path => path.starts_with("/api/"),
        };
        self.is_public && !is_open
    }

    /// Whether a request has the token.
    fn allows(&self, headers: &HeaderMap) -> Result<(), (StatusCode, String)> {
        let Some(token) = &self.token else {
            let why = "this process has no token; set admin.token_file\n";
            return Err((StatusCode::FORBIDDEN, why.to_owned()));
        };
        let given = headers.get(header::AUTHORIZATION);
        match given.and_then(|given| given.to_str().ok()) {
            Some(given) if token.is_in(given) => Ok(()),
            _ => {
                let why = "Authorization: Bearer TOKEN is missing or wrong; the token is in the \
                           file of admin.token_file, or in admin-token of an origin's data \
                           directory\n";
                Err((StatusCode::UNAUTHORIZED, why.to_owned()))
            }
        }
    }
}

async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    if guard.needs_token(request.uri().path())
        && let Err((status, why)) = guard.allows(request.headers())
    {
        return (status, [(header::WWW_AUTHENTICATE, "Bearer")], why).into_response();
    }
    next.run(request).await
}

/// Other machines reach the admin address, and no token guards it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unguarded(SocketAddr);

impl fmt::Display for Unguarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the admin address {} can be reached from other machines, and no token guards it; {}",
            self.0,
            Self::REMEDY
        )
    }
}

impl Unguarded {
    /// The remedy, for a mistake in the configuration too.
    pub const REMEDY: &str = "name a file with a secret of 32 characters or more, which only its \
                              owner may read, in admin.token_file, or write a loopback address";
}

impl std::error::Error for Unguarded {}

/// The admin server, bound and not yet serving.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    routes: Router,
    guard: Guard,
}

struct Shared {
    registry: Registry,
    ready: Ready,
    drain: drain::Watch,
}

impl Admin {
    /// Binds the address. Port 0 takes any free port.
    pub async fn bind(address: SocketAddr, guard: Guard) -> Result<Self, AdminError> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| AdminError { address, source })?;
        Ok(Self {
            listener,
            routes: Router::new(),
            guard,
        })
    }

    /// Takes over a socket that another process has bound.
    pub fn adopt(listener: std::net::TcpListener, guard: Guard) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: TcpListener::from_std(listener)?,
            routes: Router::new(),
            guard,
        })
    }

    /// A descriptor of the socket, for another process.
    pub fn socket(&self) -> io::Result<OwnedFd> {
        self.listener.as_fd().try_clone_to_owned()
    }

    /// Adds routes, which check their callers themselves.
    pub fn with_routes(mut self, routes: Router) -> Self {
        self.routes = self.routes.merge(routes);
        self
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until the drain begins.
    pub async fn serve(self, registry: Registry, ready: Ready, drain: drain::Watch) {
        let watch = drain.clone();
        let shared = Arc::new(Shared {
            registry,
            ready,
            drain,
        });
        let router = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readiness))
            .route("/metrics", get(metrics))
            .with_state(shared)
            .merge(self.routes)
            .fallback(unknown)
            .layer(middleware::from_fn_with_state(self.guard, check));
        let served = axum::serve(self.listener, router)
            .with_graceful_shutdown(async move { watch.signaled().await });
        if let Err(error) = served.await {
            tracing::error!(%error, "the admin server ended");
        }
    }
}

/// Answers a request for an unknown path with the paths that exist.
async fn unknown() -> (StatusCode, &'static str) {
    let there = "nothing is here; there are /healthz, /readyz, /metrics, /api/reload, /api/apps on an \
         origin, and /api/drain on an edge\n";
    (StatusCode::NOT_FOUND, there)
}

async fn readiness(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    let ready = if shared.drain.is_signaled() {
        Err("the process is stopping".to_owned())
    } else {
        (shared.ready)()
    };
    match ready {
        Ok(()) => (StatusCode::OK, "ready\n".to_owned()),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &shared.registry) {
        Ok(()) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            Ok(([(header::CONTENT_TYPE, kind)], text))
        }
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))),
    }
}

/// The admin address could not be bound.
#[derive(Debug)]
pub struct AdminError {
    pub address: SocketAddr,
    pub source: io::Error,
}

impl fmt::Display for AdminError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, source } = self;
        write!(
            f,
            "cannot bind the admin address {address}: {source}; choose another with --admin"
        )
    }
}

impl std::error::Error for AdminError {}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn health_readiness_and_metrics_are_served() {
        let local = "127.0.0.1:0".parse().unwrap();
        let guard = Guard::new(local, None, false).unwrap();
        let admin = Admin::bind(local, guard).await.unwrap();
        let address = admin.address().unwrap();
        let able = Arc::new(AtomicBool::new(false));
        let ready: Ready = {
            let able = Arc::clone(&able);
            let answer = move || {
                able.load(Ordering::Relaxed)
                    .then_some(())
                    .ok_or_else(|| "no origin".into())
            };
            Arc::new(answer)
        };
        let (signal, watch) = drain::channel();
        let served = tokio::spawn(admin.serve(crate::metrics::registry("0"), ready, watch));
        assert!(ask(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let answer = ask(address, "/readyz").await;
        assert!(
            answer.starts_with("HTTP/1.1 503") && answer.contains("no origin"),
            "{answer}"
        );
        able.store(true, Ordering::Relaxed);
        assert!(ask(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(ask(address, "/metrics").await.contains("process_open_fds"));
        let answer = ask(address, "/else").await;
        assert!(
            answer.starts_with("HTTP/1.1 404") && answer.contains("/healthz"),
            "{answer}"
        );
        signal.begin();
        served.await.unwrap();
    }

    /// The status of the answer to a request with this line, these fields and this body.
    async fn status(address: SocketAddr, line: &str, fields: &str, body: &str) -> u16 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let length = body.len();
        let request = format!(
            "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\
             {fields}\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// Declines the number 13.
    fn echoed(asked: Option<u32>) -> Result<Option<u32>, Declined> {
        match asked {
            Some(13) => Err(Declined {
                thing: "13".to_owned(),
                reason: "unlucky".to_owned(),
                remedy: "write 12".to_owned(),
            }),
            asked => Ok(asked),
        }
    }

    #[tokio::test]
    async fn other_machines_need_the_token_for_all_but_health_and_readiness() {
        let directory = tempfile::tempdir().unwrap();
        let token = Token::of(directory.path()).unwrap();
        let good = format!("Authorization: Bearer {}\r\n", token.reveal());
        let wrong = format!("Authorization: Bearer {}\r\n", "0".repeat(64));
        let public: SocketAddr = "0.0.0.0:0".parse().unwrap();
        assert_eq!(
            Guard::new(public, None, true).unwrap_err(),
            Unguarded(public)
        );
        for opens_metrics in [false, true] {
            let guard = Guard::new(public, Some(token.clone()), opens_metrics).unwrap();
            let echo = |asked: Option<u32>| async move { echoed(asked) };
            let routes =
                command("/api/echo", &guard, echo).merge(json("/debug/state", || async { 7 }));
            let admin = Admin::bind(public, guard)
                .await
                .unwrap()
                .with_routes(routes);
            let address = SocketAddr::from(([127, 0, 0, 1], admin.address().unwrap().port()));
            let (_signal, watch) = drain::channel();
            let registry = crate::metrics::registry("0");
            tokio::spawn(admin.serve(registry, Arc::new(|| Ok(())), watch));
            let metrics = if opens_metrics { 200 } else { 401 };
            for (line, without) in [
                ("GET /healthz", 200),
                ("GET /readyz", 200),
                ("GET /metrics", metrics),
                ("GET /debug/state", 401),
                ("GET /nothing", 401),
                ("POST /api/echo", 401),
            ] {
                assert_eq!(status(address, line, "", "").await, without, "{line}");
                assert_eq!(status(address, line, &wrong, "").await, without, "{line}");
                let with = if line == "GET /nothing" { 404 } else { 200 };
                assert_eq!(status(address, line, &good, "").await, with, "{line}");
            }
            assert_eq!(status(address, "POST /api/echo", &good, "5").await, 200);
            assert_eq!(status(address, "POST /api/echo", &good, "13").await, 422);
            assert_eq!(status(address, "POST /api/echo", &good, "{").await, 400);
            let long = "5".repeat(MOST_BODY + 1);
            assert_eq!(status(address, "POST /api/echo", &good, &long).await, 413);
        }
    }

    #[tokio::test]
    async fn on_loopback_only_commands_need_a_token() {
        let local: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let guard = Guard::new(local, None, false).unwrap();
        let routes = command("/api/echo", &guard, |asked: Option<u32>| async move {
            echoed(asked)
        });
        let admin = Admin::bind(local, guard).await.unwrap().with_routes(routes);
        let address = admin.address().unwrap();
        let (_signal, watch) = drain::channel();
        tokio::spawn(admin.serve(crate::metrics::registry("0"), Arc::new(|| Ok(())), watch));
        assert_eq!(status(address, "GET /metrics", "", "").await, 200);
        assert_eq!(status(address, "POST /api/echo", "", "").await, 403);
    }
}
