//! The admin server: health, readiness, metrics, and the routes of a tier.

use std::{fmt, io, net::SocketAddr, sync::Arc};

/// Routes that a tier adds to the admin server.
pub use axum::Router as Routes;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use prometheus_client::registry::Registry;
use serde::Serialize;
use tokio::net::TcpListener;

use crate::drain;

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

/// The admin server, bound and not yet serving.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    routes: Router,
}

struct Shared {
    registry: Registry,
    ready: Ready,
    drain: drain::Watch,
}

impl Admin {
    /// Binds the address. Port 0 takes any free port.
    pub async fn bind(address: SocketAddr) -> Result<Self, AdminError> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|source| AdminError { address, source })?;
        Ok(Self {
            listener,
            routes: Router::new(),
        })
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
            .fallback(unknown);
        let served = axum::serve(self.listener, router)
            .with_graceful_shutdown(async move { watch.signaled().await });
        if let Err(error) = served.await {
            tracing::error!(%error, "the admin server ended");
        }
    }
}

/// Answers a request for an unknown path with the paths that exist.
async fn unknown() -> (StatusCode, &'static str) {
    let there =
        "nothing is here; there are /healthz, /readyz, /metrics, and /api/apps on an origin\n";
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
        let admin = Admin::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
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
}
