//! The client, its callers and their turns.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    connect::{self, HyperClient, Roots},
    limits::{CallerBounds, MAX_RUNNING, TIME},
    message::{HttpError, Request, Response},
    perform,
    target::Allowed,
    thread::OutboundThread,
};

/// The end of a request. A response holds its request's place until it is dropped, so that
/// responses do not pile up before a busy caller.
#[derive(Debug)]
pub struct Answer {
    /// The response, or the reason why there is none.
    pub result: Result<Response, HttpError>,
    _counted: Option<(Pending, Option<Permits>)>,
}

type Permits = [OwnedSemaphorePermit; 2];

/// The process's HTTP client.
#[derive(Clone)]
pub struct HttpClient {
    shared: Arc<Shared>,
}

struct Shared {
    thread: OutboundThread,
    roots: Roots,
    client: OnceLock<HyperClient>,
    running: Arc<Semaphore>,
}

/// A caller of a client, such as a group or a hook, with bounds of its own.
pub struct HttpCaller {
    client: HttpClient,
    allowed: Allowed,
    bounds: CallerBounds,
    running: Arc<Semaphore>,
    pending: Arc<AtomicUsize>,
}

impl HttpClient {
    /// A client on `thread`. It costs nothing until the first request.
    pub fn new(thread: OutboundThread, roots: Roots) -> Self {
        Self {
            shared: Arc::new(Shared {
                thread,
                roots,
                client: OnceLock::new(),
                running: Arc::new(Semaphore::new(MAX_RUNNING)),
            }),
        }
    }

    /// A new caller with the usual bounds.
    pub fn caller(&self, allowed: Allowed) -> HttpCaller {
        self.caller_within(allowed, CallerBounds::default())
    }

    /// A new caller with these bounds.
    pub fn caller_within(&self, allowed: Allowed, bounds: CallerBounds) -> HttpCaller {
        HttpCaller {
            client: self.clone(),
            allowed,
            bounds,
            running: Arc::new(Semaphore::new(bounds.running)),
            pending: Arc::default(),
        }
    }
}

impl Shared {
    fn client(&self) -> &HyperClient {
        self.client.get_or_init(|| connect::client(&self.roots))
    }
}

impl HttpCaller {
    /// Begins a request. `done` is called exactly once on another thread, also if the request fails
    /// at once; not if the process ends. The request counts until the [`Answer`] is dropped.
    pub fn send(&self, request: Request, done: impl FnOnce(Answer) + Send + 'static) {
        let bounds = self.bounds;
        let pending = Pending::take(&self.pending, bounds.requests);
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
            let time = request.time.unwrap_or(TIME);
            let work = async {
                let permits = permits(running, &shared).await?;
                let response = perform::perform(shared.client(), &allowed, bounds, request).await?;
                Ok((response, permits))
            };
            let timed = tokio::time::timeout(time, work).await;
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

    /// The requests that run or wait.
    pub fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }
}

impl Drop for HttpCaller {
    /// Drops the requests that wait.
    fn drop(&mut self) {
        self.running.close();
    }
}

impl fmt::Debug for HttpCaller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCaller")
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClient")
    }
}

/// Takes the caller's turn first, so that one caller's waiting requests take no place of the
/// process.
async fn permits(caller: Arc<Semaphore>, shared: &Shared) -> Result<Permits, HttpError> {
    let ended = |_| HttpError::Failed("the caller has ended".to_owned());
    let caller = caller.acquire_owned().await.map_err(ended)?;
    let process = Arc::clone(&shared.running)
        .acquire_owned()
        .await
        .map_err(ended)?;
    Ok([caller, process])
}

/// A place among a caller's requests.
#[derive(Debug)]
struct Pending(Arc<AtomicUsize>);

impl Pending {
    fn take(count: &Arc<AtomicUsize>, most: usize) -> Option<Self> {
        if count.fetch_add(1, Ordering::Relaxed) < most {
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
