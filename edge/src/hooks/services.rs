//! Requests to services by HTTP.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{Semaphore, oneshot};
use tributary_gate::{HookFault, HookRequest, HookResponse, MAX_ANSWER};
use tributary_web::{CallerBounds, HttpCaller, HttpClient, HttpError, Request, Response};

/// The response of a service, or the reason why there is none.
pub(super) type Reply = Pin<Box<dyn Future<Output = Result<Response, Silent>> + Send>>;

/// A service that has not answered.
#[derive(Debug)]
pub(super) struct Silent {
    pub(super) fault: HookFault,
    /// The cause in words, if the connection failed.
    pub(super) cause: Option<String>,
}

impl From<HookFault> for Silent {
    fn from(fault: HookFault) -> Self {
        Self { fault, cause: None }
    }
}

/// The way to services.
pub(super) trait Services: Send + Sync {
    /// Sends a question, which is under way at the return. `time` bounds its wait for a turn as well.
    fn ask(&self, request: HookRequest, time: Duration) -> Reply;

    /// Sends a done-hook, whose `time` begins with its turn.
    fn tell(&self, request: HookRequest, time: Duration) -> Reply;
}

/// Services by HTTP and HTTPS.
#[derive(Debug)]
pub(super) struct WebServices {
    client: HttpClient,
    /// By their hosts with ports, which settings name.
    services: Mutex<HashMap<String, Arc<Service>>>,
}

#[derive(Debug)]
struct Service {
    caller: HttpCaller,
    /// The places of questions; without one, a question fails at once.
    places: Arc<Semaphore>,
    /// The turns of done-hooks, for which they wait.
    turns: Semaphore,
}

/// Requests that run at a time to one service, each on a connection of its own.
const MAX_CONNECTIONS: usize = 32;

/// Requests to one service that wait for their turn. Reason: each is a client that waits.
const MAX_WAITING: usize = 1_024;

/// Done-hooks among [`MAX_CONNECTIONS`]. Reason: after an outage, or in a drain, there are many, and
/// clients do not wait behind them.
const MAX_TELLING: usize = 16;

impl WebServices {
    pub(super) fn new(client: HttpClient) -> Self {
        Self {
            client,
            services: Mutex::default(),
        }
    }

    fn of(&self, request: &HookRequest) -> Arc<Service> {
        let mut services = self.services.lock().unwrap_or_else(PoisonError::into_inner);
        let service = services.entry(request.host().to_owned());
        Arc::clone(service.or_insert_with(|| Arc::new(Service::new(&self.client))))
    }
}

impl Service {
    fn new(client: &HttpClient) -> Self {
        let bounds = CallerBounds {
            running: MAX_CONNECTIONS,
            requests: MAX_CONNECTIONS + MAX_WAITING + MAX_TELLING,
            response_body: MAX_ANSWER,
            redirects: 0,
            reuse: false,
        };
        Self {
            // A redirect is never followed, so that no request goes to another host.
            caller: client.caller_within(Arc::new(|_, _| true), bounds),
            places: Arc::new(Semaphore::new(MAX_CONNECTIONS + MAX_WAITING)),
            turns: Semaphore::new(MAX_TELLING),
        }
    }

    fn send(
        &self,
        request: HookRequest,
        time: Duration,
    ) -> oneshot::Receiver<Result<Response, HttpError>> {
        let (sender, answered) = oneshot::channel();
        let content_type = request.content_type.map(str::to_owned);
        let headers = content_type.map(|kind| ("Content-Type".to_owned(), kind));
        let request = Request {
            method: request.method.to_owned(),
            url: request.url,
            headers: headers.into_iter().collect(),
            body: request.body.into(),
            time: Some(time),
        };
        self.caller.send(request, move |answer| {
            // If nobody waits any more, the response is dropped.
            let _ = sender.send(answer.result);
        });
        answered
    }
}

impl Services for WebServices {
    fn ask(&self, request: HookRequest, time: Duration) -> Reply {
        let service = self.of(&request);
        let Ok(place) = Arc::clone(&service.places).try_acquire_owned() else {
            let busy = Silent::from(HookFault::Busy);
            return Box::pin(std::future::ready(Err(busy)));
        };
        let answered = service.send(request, time);
        Box::pin(async move {
            let _place = place;
            result(answered.await)
        })
    }

    fn tell(&self, request: HookRequest, time: Duration) -> Reply {
        let service = self.of(&request);
        Box::pin(async move {
            // The semaphore is never closed.
            let _turn = service.turns.acquire().await;
            result(service.send(request, time).await)
        })
    }
}

/// The client drops a request without an answer if the system gives it no thread.
fn result(
    answered: Result<Result<Response, HttpError>, oneshot::error::RecvError>,
) -> Result<Response, Silent> {
    let (fault, cause) = match answered {
        Ok(Ok(response)) => return Ok(response),
        Ok(Err(HttpError::TooMany)) => (HookFault::Busy, None),
        Ok(Err(HttpError::TooLong)) => (HookFault::TooLong, None),
        Ok(Err(HttpError::Timeout)) => (HookFault::TimedOut, None),
        Ok(Err(HttpError::Failed(cause))) => (HookFault::NoAnswer, Some(cause)),
        // The other texts have the URL.
        Ok(Err(_)) | Err(_) => (HookFault::NoAnswer, None),
    };
    Err(Silent { fault, cause })
}

/// The parts of a response that decide.
pub(super) fn deciding(response: &Response) -> HookResponse<'_> {
    HookResponse {
        status: response.status,
        location: response.header("location"),
        reason: response.header("x-reason"),
        body: &response.body,
    }
}

#[cfg(test)]
mod tests {
    use tributary_web::{OutboundThread, Roots, test};

    use super::*;

    #[tokio::test]
    async fn questions_beyond_the_bound_fail_at_once_and_done_hooks_wait() {
        let address = test::serve(|_, _| {
            std::thread::sleep(Duration::from_millis(200));
            test::response("200 OK", "", b"")
        });
        let services = WebServices::new(HttpClient::new(OutboundThread::default(), Roots::System));
        let request = || HookRequest {
            method: "POST",
            url: format!("http://{address}/x?key=secret"),
            content_type: None,
            body: String::new(),
        };
        let short = Duration::from_millis(100);
        let asked: Vec<_> = (0..MAX_CONNECTIONS + MAX_WAITING)
            .map(|_| services.ask(request(), short))
            .collect();
        let busy = services.ask(request(), short).await.unwrap_err();
        assert_eq!(busy.fault, HookFault::Busy);
        let told = services.tell(request(), Duration::from_secs(20));
        for answer in asked {
            assert_eq!(answer.await.unwrap_err().fault, HookFault::TimedOut);
        }
        assert_eq!(told.await.expect("it waits for its turn").status, 200);
        let again = services.ask(request(), Duration::from_secs(20)).await;
        assert_eq!(again.expect("there are places again").status, 200);
    }
}
