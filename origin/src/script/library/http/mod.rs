//! HTTP for scripts: LoadVars, XML, fetch, remoting.
//!
//! One thread of the process does it for all groups. A group may have a few requests under way,
//! the others wait their turn; each has its time, and a body a bound. Only targets that the
//! application's settings name are reached, redirects included.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use rustls_pki_types::CertificateDer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

mod perform;
mod url;

#[cfg(test)]
pub(crate) mod tests;

use super::thread::OutboundThread;

/// Requests a group has under way at a time; the others wait.
pub(crate) const MAX_GROUP_RUNNING: usize = 8;

/// Requests of a group in all, waiting ones included. Reason: each holds its body and a callback.
pub(crate) const MAX_GROUP_REQUESTS: usize = 128;

/// Requests the process has under way at a time; the others wait.
pub(crate) const MAX_RUNNING: usize = 256;

/// Bytes of a request's body.
pub(crate) const MAX_REQUEST_BODY: usize = 2 * 1024 * 1024;

/// Bytes of a response's body. Reason: it becomes a string of the script, whose memory is bounded
/// as well.
pub(crate) const MAX_RESPONSE_BODY: usize = 2 * 1024 * 1024;

/// Bytes of a response's head.
pub(crate) const MAX_RESPONSE_HEAD: usize = 64 * 1024;

/// Header lines of a request that a script sets.
pub(crate) const MAX_REQUEST_HEADERS: usize = 64;

/// Redirects of one request.
pub(crate) const MAX_REDIRECTS: usize = 5;

/// From the call to the whole response, waiting included.
pub(crate) const TIME: Duration = Duration::from_secs(30);

/// For a TCP connection.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(5);

/// How long a connection without a request stays open.
const IDLE_TIME: Duration = Duration::from_secs(15);

/// Connections without a request to one host.
const IDLE_PER_HOST: usize = 8;

/// What a script asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// `GET`, `POST`, ...; any token.
    pub(crate) method: String,
    /// The whole address.
    pub(crate) url: String,
    /// Header lines; those that belong to the connection are refused.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Bytes,
}

/// What came back, whatever its status.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    /// 200, 404, ...
    pub(crate) status: u16,
    /// Header lines, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: Bytes,
    /// Where it came from at last.
    pub(crate) url: String,
}

impl Response {
    /// The header line of this name, the first of several.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(key, _)| key == name);
        named.next().map(|(_, value)| value.as_str())
    }

    /// The body as text: UTF-8, or Latin-1 if the response says so.
    pub(crate) fn text(&self) -> String {
        let kind = self.header("content-type").unwrap_or_default();
        let kind = kind.to_ascii_lowercase();
        let latin = [
            "charset=iso-8859-1",
            "charset=\"iso-8859-1",
            "charset=windows-1252",
        ];
        if latin.iter().any(|charset| kind.contains(charset)) {
            return self.body.iter().copied().map(char::from).collect();
        }
        let text = String::from_utf8_lossy(&self.body);
        text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned()
    }
}

/// Why there is no response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HttpError {
    /// The address, a header line or the method is none: what is wrong.
    BadRequest(String),
    /// The application's `outgoing` does not name this target, `HOST:PORT`.
    NotAllowed(String),
    /// The group has [`MAX_GROUP_REQUESTS`] requests.
    TooMany,
    /// The request's body, or the response, is longer than its bound.
    TooLong,
    /// [`TIME`] is over.
    Timeout,
    /// More than [`MAX_REDIRECTS`] redirects.
    Redirects,
    /// The connection, TLS or HTTP failed: how.
    Failed(String),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRequest(what) => f.write_str(what),
            Self::NotAllowed(target) => {
                write!(f, "{target} is not in the application's setting outgoing")
            }
            Self::TooMany => write!(f, "{MAX_GROUP_REQUESTS} requests are under way already"),
            Self::TooLong => f.write_str("a body is longer than 2 MiB"),
            Self::Timeout => write!(f, "no whole response within {} s", TIME.as_secs()),
            Self::Redirects => write!(f, "more than {MAX_REDIRECTS} redirects"),
            Self::Failed(how) => f.write_str(how),
        }
    }
}

/// What became of a request. A response holds its request's place until it is dropped, so that
/// responses do not pile up before a group that is busy.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The response, or why there is none.
    pub(crate) result: Result<Response, HttpError>,
    _counted: Option<(Pending, Option<Permits>)>,
}

type Permits = [OwnedSemaphorePermit; 2];

/// Whether a script may connect to a host and port.
pub(crate) type Allowed = Arc<dyn Fn(&str, u16) -> bool + Send + Sync>;

/// The process's HTTP client.
#[derive(Clone)]
pub(crate) struct HttpClient {
    shared: Arc<Shared>,
}

struct Shared {
    thread: OutboundThread,
    roots: Roots,
    client: OnceLock<HyperClient>,
    running: Arc<Semaphore>,
}

type HyperClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Which certificates servers are trusted by.
#[derive(Clone, Debug, Default)]
pub(crate) enum Roots {
    /// Those of the machine.
    #[default]
    System,
    /// These alone.
    #[cfg_attr(not(test), expect(dead_code, reason = "tests have a CA of their own"))]
    Only(Vec<CertificateDer<'static>>),
}

/// A group's way to HTTP.
pub(crate) struct GroupHttp {
    client: HttpClient,
    allowed: Allowed,
    running: Arc<Semaphore>,
    pending: Arc<AtomicUsize>,
}

impl HttpClient {
    /// A client that works on `thread`. It costs nothing until the first request.
    pub(crate) fn new(thread: OutboundThread, roots: Roots) -> Self {
        Self {
            shared: Arc::new(Shared {
                thread,
                roots,
                client: OnceLock::new(),
                running: Arc::new(Semaphore::new(MAX_RUNNING)),
            }),
        }
    }

    /// A group's way to it.
    pub(crate) fn group(&self, allowed: Allowed) -> GroupHttp {
        GroupHttp {
            client: self.clone(),
            allowed,
            running: Arc::new(Semaphore::new(MAX_GROUP_RUNNING)),
            pending: Arc::default(),
        }
    }
}

impl Shared {
    fn client(&self) -> &HyperClient {
        self.client.get_or_init(|| {
            let mut http = HttpConnector::new();
            http.enforce_http(false);
            http.set_connect_timeout(Some(CONNECT_TIME));
            http.set_nodelay(true);
            let connector = hyper_rustls::HttpsConnectorBuilder::new()
                .with_tls_config(self.roots.tls())
                .https_or_http()
                .enable_http1()
                .wrap_connector(http);
            Client::builder(TokioExecutor::new())
                .pool_idle_timeout(IDLE_TIME)
                .pool_max_idle_per_host(IDLE_PER_HOST)
                .pool_timer(TokioTimer::new())
                .http1_max_buf_size(MAX_RESPONSE_HEAD)
                .build(connector)
        })
    }
}

impl Roots {
    fn tls(&self) -> rustls::ClientConfig {
        let mut roots = rustls::RootCertStore::empty();
        match self {
            Self::Only(certificates) => {
                roots.add_parsable_certificates(certificates.iter().cloned());
            }
            Self::System => {
                let found = rustls_native_certs::load_native_certs();
                for error in &found.errors {
                    tracing::warn!(%error, "a certificate of the machine cannot be read");
                }
                let (added, _) = roots.add_parsable_certificates(found.certs);
                if added == 0 {
                    tracing::warn!("the machine has no root certificates: scripts have no https");
                }
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the default protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth()
    }
}

impl GroupHttp {
    /// Begins a request; `done` is called on another thread, exactly once unless the process
    /// ends, also if the request fails at once. The request counts until the [`Answer`] is
    /// dropped.
    pub(crate) fn send(&self, request: Request, done: impl FnOnce(Answer) + Send + 'static) {
        let pending = Pending::take(&self.pending);
        let shared = Arc::clone(&self.client.shared);
        let allowed = Arc::clone(&self.allowed);
        let running = Arc::clone(&self.running);
        self.client.shared.thread.spawn(async move {
            let Some(pending) = pending else {
                return done(Answer {
                    result: Err(HttpError::TooMany),
                    _counted: None,
                });
            };
            let work = async {
                let permits = permits(running, &shared).await?;
                let response = perform::perform(shared.client(), &allowed, request).await?;
                Ok((response, permits))
            };
            let timed = tokio::time::timeout(TIME, work).await;
            let (result, permits) = match timed.unwrap_or(Err(HttpError::Timeout)) {
                Ok((response, permits)) => (Ok(response), Some(permits)),
                Err(error) => (Err(error), None),
            };
            done(Answer {
                result,
                _counted: Some((pending, permits)),
            });
        });
    }

    /// How many requests are under way or wait.
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }
}

impl Drop for GroupHttp {
    /// What still waits is not begun.
    fn drop(&mut self) {
        self.running.close();
    }
}

impl fmt::Debug for GroupHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GroupHttp")
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClient")
    }
}

/// The group's turn first, so that one group's waiting requests take no place of the process.
async fn permits(group: Arc<Semaphore>, shared: &Shared) -> Result<Permits, HttpError> {
    let ended = |_| HttpError::Failed("the group has ended".to_owned());
    let group = group.acquire_owned().await.map_err(ended)?;
    let process = Arc::clone(&shared.running)
        .acquire_owned()
        .await
        .map_err(ended)?;
    Ok([group, process])
}

/// A place among a group's requests.
#[derive(Debug)]
struct Pending(Arc<AtomicUsize>);

impl Pending {
    fn take(count: &Arc<AtomicUsize>) -> Option<Self> {
        if count.fetch_add(1, Ordering::Relaxed) < MAX_GROUP_REQUESTS {
            return Some(Self(Arc::clone(count)));
        }
        count.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
