//! One request from its first byte to the end of its response.

use std::error::Error;

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Method, StatusCode,
    body::{Body, Incoming},
    header::{self, HeaderName, HeaderValue},
};

use crate::{
    connect::HyperClient,
    limits::{CallerBounds, MAX_REQUEST_BODY, MAX_REQUEST_HEADERS},
    message::{HttpError, Request, Response},
    target::{Allowed, Target},
};

/// Header lines that belong to the connection; a caller's are not sent.
const OURS: &[HeaderName] = &[
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::HOST,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Header lines that only the first host receives.
const PRIVATE: &[HeaderName] = &[header::AUTHORIZATION, header::COOKIE];

const AGENT: &str = concat!("Tributary/", env!("CARGO_PKG_VERSION"));

pub(crate) async fn perform(
    client: &HyperClient,
    allowed: &Allowed,
    bounds: CallerBounds,
    request: Request,
) -> Result<Response, HttpError> {
    if request.body.len() > MAX_REQUEST_BODY {
        return Err(HttpError::TooLong);
    }
    let mut target = Target::parse(&request.url)?;
    let mut headers = headers(&request.headers)?;
    if !bounds.reuse {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let mut method = Method::from_bytes(request.method.to_ascii_uppercase().as_bytes())
        .map_err(|_| HttpError::BadRequest(format!("{} is not a method", request.method)))?;
    if method == Method::CONNECT {
        return Err(HttpError::BadRequest("CONNECT is for proxies".to_owned()));
    }
    let mut body = request.body;
    for _ in 0..=bounds.redirects {
        if !allowed(&target.host, target.port) {
            return Err(HttpError::NotAllowed(target.name()));
        }
        let response = once(client, &method, &target, &headers, &body).await?;
        let next = match bounds.redirects {
            0 => None,
            _ => redirect(&response, &target)?,
        };
        let Some(next) = next else {
            return whole(response, &target, bounds.response_body).await;
        };
        if see_other(response.status(), &method) {
            (method, body) = (Method::GET, Bytes::new());
            headers.remove(header::CONTENT_TYPE);
        }
        if (&next.host, next.port) != (&target.host, target.port) {
            for name in PRIVATE {
                headers.remove(name);
            }
        }
        target = next;
    }
    Err(HttpError::Redirects)
}

fn headers(lines: &[(String, String)]) -> Result<HeaderMap, HttpError> {
    if lines.len() > MAX_REQUEST_HEADERS {
        let what = format!("more than {MAX_REQUEST_HEADERS} header lines");
        return Err(HttpError::BadRequest(what));
    }
    let mut headers = HeaderMap::new();
    headers.insert(header::USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    for (name, value) in lines {
        let bad = || HttpError::BadRequest(format!("{name:?} is not a header line"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| bad())?;
        if !OURS.contains(&name) {
            headers.insert(name, value);
        }
    }
    Ok(headers)
}

async fn once(
    client: &HyperClient,
    method: &Method,
    target: &Target,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<hyper::Response<Incoming>, HttpError> {
    let mut request = hyper::Request::new(Full::new(body.clone()));
    *request.method_mut() = method.clone();
    *request.uri_mut() = target.uri.clone();
    *request.headers_mut() = headers.clone();
    client
        .request(request)
        .await
        .map_err(|error| failed(&error))
}

fn redirect(
    response: &hyper::Response<Incoming>,
    target: &Target,
) -> Result<Option<Target>, HttpError> {
    let status = response.status().as_u16();
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = response.headers().get(header::LOCATION);
    let location = location.and_then(|location| location.to_str().ok());
    location
        .map(|location| target.redirect(location))
        .transpose()
}

/// Whether a redirect turns the method into GET, as in browsers.
fn see_other(status: StatusCode, method: &Method) -> bool {
    match status.as_u16() {
        303 => method != Method::HEAD,
        301 | 302 => method == Method::POST,
        _ => false,
    }
}

async fn whole(
    response: hyper::Response<Incoming>,
    target: &Target,
    most: usize,
) -> Result<Response, HttpError> {
    let (head, mut incoming) = response.into_parts();
    let declared = incoming.size_hint().lower();
    if declared > most as u64 {
        return Err(HttpError::TooLong);
    }
    let mut body = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|error| failed(&error))?;
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if body.len() + data.len() > most {
            return Err(HttpError::TooLong);
        }
        body.extend_from_slice(data);
    }
    let headers = head.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    Ok(Response {
        status: head.status.as_u16(),
        headers: headers.collect(),
        body: body.freeze(),
        url: target.uri.to_string(),
    })
}

/// An error with its causes; the outer error alone does not name the cause.
fn failed(error: &dyn Error) -> HttpError {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    HttpError::Failed(text)
}
