//! The admin API of applications, over HTTP. Every request needs the bearer token.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{DefaultBodyLimit, Path, Query, Request, State},
    http::{HeaderMap, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
use bytes::{Buf, Bytes};
use http_body_util::BodyExt;
use prometheus_client::{metrics::counter::Counter, registry::Registry};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tributary_node::token::Token;

use crate::cluster::ClusterHandle;

use super::{
    Deployed, Deployer, Force, Problem, Purge, Status,
    archive::MAX_ARCHIVE,
    status::{LogLine, RelayStatus},
};

mod answer;
mod cluster;

#[cfg(test)]
mod tests;

use answer::ApiRefusal;

/// State that all requests share.
struct Api {
    deployer: Deployer,
    /// Set if the origin is in a cluster.
    cluster: Option<ClusterHandle>,
    token: Token,
    denied: Counter,
    began: Instant,
    /// When a denied request was last logged, in seconds since `began`.
    logged: AtomicU64,
}

/// The methods of a path.
type Methods = fn() -> MethodRouter<Arc<Api>>;

/// The description of this API.
const OPENAPI: &str = include_str!("openapi.json");

/// The paths with their methods: the description has to agree with them.
const PATHS: [(&str, Methods); 11] = [
    ("/openapi.json", || get(openapi)),
    ("/apps", || get(list)),
    ("/apps/{name}", || get(one).put(deploy).delete(remove)),
    ("/apps/{name}/restart", || post(restart)),
    ("/apps/{name}/logs", || get(logs)),
    ("/relays", || get(relays)),
    ("/cluster", || get(cluster::status)),
    ("/cluster/groups/{application}/{instance}", || {
        get(cluster::group)
    }),
    ("/cluster/move", || post(cluster::move_group)),
    ("/cluster/drain", || post(cluster::drain)),
    ("/cluster/undrain", || post(cluster::undrain)),
];

/// Pieces of an upload that wait to be unpacked. Reason: a few keep the disk busy.
const PIECES: usize = 8;

/// How long an upload may send nothing. Reason: it holds up every other deployment.
const MAX_SILENCE: Duration = Duration::from_secs(30);

/// How long an upload may take in all. Reason: as for [`MAX_SILENCE`].
const MAX_UPLOAD: Duration = Duration::from_secs(600);

/// Lines of a log in one answer, where the request gives no number.
const LINES: usize = 100;

/// The routes below `/api`, with their metrics.
pub(crate) fn routes(
    deployer: Deployer,
    cluster: Option<ClusterHandle>,
    token: Token,
    registry: &mut Registry,
) -> Router {
    let denied = Counter::default();
    registry.register(
        "tributary_admin_denied",
        "Requests to the admin API without its token",
        denied.clone(),
    );
    let api = Arc::new(Api {
        deployer,
        cluster,
        token,
        denied,
        began: Instant::now(),
        logged: AtomicU64::new(0),
    });
    let mut routes = Router::new();
    for (path, methods) in PATHS {
        routes = routes.route(path, methods().fallback(wrong_method));
    }
    let routes = routes
        .fallback(async || ApiRefusal::no_such_path())
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(Arc::clone(&api), authorise))
        .with_state(api);
    Router::new().nest("/api", routes)
}

/// The routes below `/api` of an origin that cannot have a token.
pub(crate) fn closed() -> Router {
    Router::new().nest(
        "/api",
        Router::new().fallback(async || ApiRefusal::no_token_made()),
    )
}

async fn authorise(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    match api.allows(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(refusal) => {
            api.count_denied(request.uri().path());
            refusal.into_response()
        }
    }
}

impl Api {
    fn allows(&self, headers: &HeaderMap) -> Result<(), ApiRefusal> {
        let given = headers.get(header::AUTHORIZATION);
        let given = given.ok_or_else(ApiRefusal::token_missing)?;
        match given.to_str() {
            Ok(given) if self.token.is_in(given) => Ok(()),
            _ => Err(ApiRefusal::token_wrong()),
        }
    }

    /// Counts every denied request, and logs one a second at most.
    fn count_denied(&self, path: &str) {
        self.denied.inc();
        let now = self.began.elapsed().as_secs() + 1;
        if self.logged.swap(now, Ordering::Relaxed) != now {
            tracing::warn!("a request to the admin API without its token: /api{path}");
        }
    }
}

async fn openapi() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI)
}

async fn wrong_method() -> ApiRefusal {
    ApiRefusal::wrong_method()
}

#[derive(Serialize)]
struct List {
    applications: Vec<Status>,
}

async fn list(State(api): State<Arc<Api>>) -> impl IntoResponse {
    Json(List {
        applications: api.deployer.list(),
    })
}

async fn one(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
) -> Result<Json<Status>, ApiRefusal> {
    let status = api.deployer.status(&name);
    status.map(Json).ok_or_else(|| ApiRefusal::unknown(&name))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct PutQuery {
    force: bool,
}

#[derive(Serialize)]
struct Put {
    application: Option<Status>,
    is_new: bool,
    restarted: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    overlooked: Vec<Problem>,
}

async fn deploy(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    query: Result<Query<PutQuery>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Put>, ApiRefusal> {
    let Query(query) = query.map_err(|error| ApiRefusal::bad_query(&error))?;
    let stated = headers.get(header::CONTENT_LENGTH);
    let stated = stated.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if stated.is_some_and(|length| length > MAX_ARCHIVE) {
        return Err(ApiRefusal::too_long(&name));
    }
    let force = if query.force {
        Force::DespiteTrial
    } else {
        Force::No
    };
    let (pieces, archive) = mpsc::channel(PIECES);
    let receiving = receive(body, pieces);
    let (to, deployer) = (name.clone(), api.deployer.clone());
    let deploying = blocking(move || deployer.put(&to, Pieces::new(archive), force));
    let (deployed, ()) = tokio::join!(deploying, receiving);
    let Deployed {
        is_new,
        overlooked,
        restarted,
    } = deployed.and_then(|deployed| deployed.map_err(|error| ApiRefusal::of(&name, &error)))?;
    Ok(Json(Put {
        application: api.deployer.status(&name),
        is_new,
        restarted,
        overlooked,
    }))
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct DeleteQuery {
    purge: bool,
}

#[derive(Serialize)]
struct Restarted {
    restarted: usize,
}

async fn remove(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    query: Result<Query<DeleteQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Restarted>, ApiRefusal> {
    let Query(query) = query.map_err(|error| ApiRefusal::bad_query(&error))?;
    let purge = if query.purge { Purge::Data } else { Purge::No };
    let (of, deployer) = (name.clone(), api.deployer.clone());
    let removed = blocking(move || deployer.delete(&of, purge)).await?;
    let restarted = removed.map_err(|error| ApiRefusal::of(&name, &error))?;
    Ok(Json(Restarted { restarted }))
}

async fn restart(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
) -> Result<Json<Restarted>, ApiRefusal> {
    let restarted = api.deployer.restart(&name);
    let restarted = restarted.map_err(|error| ApiRefusal::of(&name, &error))?;
    Ok(Json(Restarted { restarted }))
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LogQuery {
    after: u64,
    lines: usize,
}

impl Default for LogQuery {
    fn default() -> Self {
        Self {
            after: 0,
            lines: LINES,
        }
    }
}

#[derive(Serialize)]
struct Lines {
    lines: Vec<LogLine>,
}

async fn logs(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    query: Result<Query<LogQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Lines>, ApiRefusal> {
    let Query(query) = query.map_err(|error| ApiRefusal::bad_query(&error))?;
    let log = api.deployer.log(&name);
    let log = log.ok_or_else(|| ApiRefusal::unknown(&name))?;
    let lines = log.after(query.after, query.lines).into_iter();
    Ok(Json(Lines {
        lines: lines.map(LogLine::from).collect(),
    }))
}

#[derive(Serialize)]
struct RelayList {
    relays: Vec<RelayStatus>,
}

async fn relays(State(api): State<Arc<Api>>) -> impl IntoResponse {
    let lines = api.deployer.relays().into_iter();
    Json(RelayList {
        relays: lines.map(RelayStatus::from).collect(),
    })
}

/// Runs work that blocks on a thread of its own.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ApiRefusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| ApiRefusal::broken(&error))
}

/// Passes a body on piece by piece, as fast as it is taken. If the receiver is gone, the rest is
/// dropped, so that the client gets to the answer.
async fn receive(mut body: Body, to: mpsc::Sender<io::Result<Bytes>>) {
    let end = tokio::time::Instant::now() + MAX_UPLOAD;
    let mut to = Some(to);
    let mut left = MAX_ARCHIVE;
    loop {
        let silence = tokio::time::Instant::now() + MAX_SILENCE;
        let piece = match tokio::time::timeout_at(silence.min(end), body.frame()).await {
            Ok(None) => return,
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => Ok(data),
                Err(_) => continue,
            },
            Ok(Some(Err(error))) => Err(io::Error::other(error)),
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut)),
        };
        let failed = piece.is_err();
        left = left.saturating_sub(piece.as_ref().map_or(0, |piece| piece.len() as u64));
        if let Some(taker) = &to
            && taker.send(piece).await.is_err()
        {
            to = None;
        }
        if failed || left == 0 {
            return;
        }
    }
}

/// The other end: an archive that comes in pieces.
struct Pieces {
    from: mpsc::Receiver<io::Result<Bytes>>,
    present: Bytes,
}

impl Pieces {
    fn new(from: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self {
            from,
            present: Bytes::new(),
        }
    }
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.present.is_empty() {
            match self.from.blocking_recv() {
                None => return Ok(0),
                Some(piece) => self.present = piece?,
            }
        }
        let length = self.present.len().min(into.len());
        self.present.copy_to_slice(&mut into[..length]);
        Ok(length)
    }
}
