//! A client of a node's admin API.

use std::{
    error::Error,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tributary_node::{
    config::address,
    tls::Role,
    token::{self, Token},
};

use crate::{
    config::Admin,
    node::{ADDRESS_FILE, Failure},
};

/// A node's admin API.
pub(crate) struct Client {
    /// The tier of the node, for messages.
    tier: Role,
    address: SocketAddr,
    token: Token,
}

/// The flags that lead to an origin's admin API.
#[derive(clap::Args)]
pub(crate) struct OriginAdmin {
    /// The origin's admin address [default: what the origin has written to its data directory]
    #[arg(long, global = true, value_name = "ADDR", value_parser = address)]
    admin: Option<SocketAddr>,
    /// The file with the origin's token [default: the one in its data directory]
    #[arg(long, global = true, value_name = "FILE")]
    token: Option<PathBuf>,
    /// The origin's data directory, for an origin on this machine
    #[arg(long, global = true, value_name = "DIR", default_value = DATA)]
    data: PathBuf,
}

impl OriginAdmin {
    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Client::new(self.admin, self.token.as_deref(), &self.data)
    }
}

/// The data directory of `dev`, and of an origin with that setting.
pub(crate) const DATA: &str = crate::dev::DATA;

/// The time for an origin to accept.
const CONNECT: Duration = Duration::from_secs(5);

/// The time for an answer. Reason: a deployment waits for others, and for its trial.
const ANSWER: Duration = Duration::from_secs(120);

/// The longest answer that is read. Reason: the longest possible answer, a thousand applications
/// with all their problems, is far shorter.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Bytes of an answer without a reason that are shown.
const SHOWN: usize = 200;

impl Client {
    /// The origin of the flags, or the one that uses this data directory.
    pub(crate) fn new(
        admin: Option<SocketAddr>,
        file: Option<&Path>,
        data: &Path,
    ) -> Result<Self, Failure> {
        let token = match file {
            Some(file) => Token::load(file),
            None => Token::load(&data.join(token::FILE)),
        };
        let token = token.map_err(|error| {
            format!("{error}; name the origin's data directory with --data, or a file with --token")
        })?;
        let address = admin.unwrap_or_else(|| written(data));
        Ok(Self {
            tier: Role::Origin,
            address: reachable(address),
            token,
        })
    }

    /// The edge at this address.
    pub(crate) fn of_edge(admin: Option<SocketAddr>, token: &Path) -> Result<Self, Failure> {
        let address = admin.unwrap_or_else(|| Admin::EDGE.into());
        Ok(Self {
            tier: Role::Edge,
            address: reachable(address),
            token: Token::load(token)?,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::GET, path, Vec::new()).await
    }

    pub(crate) async fn post(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::POST, path, Vec::new()).await
    }

    pub(crate) async fn post_json(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(Method::POST, path, body.to_string().into_bytes())
            .await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::DELETE, path, Vec::new()).await
    }

    pub(crate) async fn put(&self, path: &str, archive: Vec<u8>) -> Result<Value, Failure> {
        self.ask(Method::PUT, path, archive).await
    }

    async fn ask(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Value, Failure> {
        let failed = |why: &dyn std::fmt::Display| {
            format!(
                "the {tier}'s admin address {}: {why}; is the {tier} running? name its address \
                 with --admin",
                self.address,
                tier = self.tier
            )
        };
        let (status, body) = match timeout(ANSWER, self.exchange(method, path, body)).await {
            Ok(answer) => answer.map_err(|error| failed(&error))?,
            Err(_) => return Err(failed(&"no answer in time").into()),
        };
        let value = serde_json::from_slice(&body).ok();
        match value {
            Some(value) if status.is_success() => Ok(value),
            value => Err(self.refusal(status, value.as_ref(), &body).into()),
        }
    }

    fn refusal(&self, status: StatusCode, answer: Option<&Value>, body: &[u8]) -> String {
        answer.and_then(refusal).unwrap_or_else(|| {
            let said = String::from_utf8_lossy(&body[..body.len().min(SHOWN)]);
            let (tier, said) = (self.tier, said.trim());
            format!("the {tier} answered {status}: {said}; is this an {tier}'s admin address?")
        })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<(StatusCode, Bytes), Box<dyn Error + Send + Sync>> {
        let stream = timeout(CONNECT, TcpStream::connect(self.address)).await??;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(
                header::AUTHORIZATION,
                format!("Bearer {}", self.token.reveal()),
            )
            .header(header::CONTENT_TYPE, "application/x-tar")
            .body(Full::new(Bytes::from(body)))?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER).collect();
        let body = body.await?.to_bytes();
        connection.abort();
        Ok((status, body))
    }
}

/// The address that the origin has written to its data directory, or an origin's usual address.
fn written(data: &Path) -> SocketAddr {
    let text = fs::read_to_string(data.join(ADDRESS_FILE)).ok();
    let address = text.and_then(|text| text.trim().parse().ok());
    address.unwrap_or_else(|| Admin::ORIGIN.into())
}

/// On this machine, the loopback address reaches a server that is bound to every interface.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// The reason of a refusal.
fn refusal(answer: &Value) -> Option<String> {
    let error = answer.get("error")?;
    let text = |key: &str| error.get(key).and_then(Value::as_str).unwrap_or_default();
    let (thing, reason, remedy) = (text("thing"), text("reason"), text("remedy"));
    // After several lines of a script, text on the same line would look like a part of it.
    let between = if reason.contains('\n') { "\n" } else { "; " };
    Some(format!("{thing}: {reason}{between}{remedy}"))
}
