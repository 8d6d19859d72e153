//! The way to another server: its addresses, anew for each attempt, and the first that answers.

use std::{
    fmt::Write as _,
    future::Future,
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tributary_node::tls::Trust;

use super::{
    socket::ServerStream,
    target::{Scheme, Target},
};

/// The certificates by which servers are trusted, read when the first one is reached by RTMPS.
#[derive(Clone, Debug, Default)]
pub(crate) struct Roots(Arc<OnceLock<Trust>>);

/// The most addresses of one host that an attempt tries. Reason: each is a socket for a moment.
const MAX_ADDRESSES: usize = 16;

/// The time after which the next address is tried beside the ones before (RFC 8305).
const STEP: Duration = Duration::from_millis(250);

/// The first keep-alive probe comes after this silence, the others after [`PROBE`]. Reason: a server
/// that is gone while it had nothing to send is noticed within a minute.
const SILENCE: Duration = Duration::from_secs(30);

/// The time between keep-alive probes.
const PROBE: Duration = Duration::from_secs(10);

/// Keep-alive probes without an answer before the connection is given up.
const PROBES: u32 = 3;

impl Roots {
    async fn trust(&self) -> io::Result<Trust> {
        if let Some(trust) = self.0.get() {
            return Ok(trust.clone());
        }
        let trust = tokio::task::spawn_blocking(Trust::system).await;
        let trust = trust.map_err(io::Error::other)?;
        Ok(self.0.get_or_init(|| trust).clone())
    }
}

/// Connects to a server. The caller sets the time.
///
/// # Errors
/// No address of the server answers, or it is not trusted.
pub(super) async fn reach(target: &Target, roots: &Roots) -> io::Result<ServerStream> {
    let addresses = resolve(target).await?;
    let socket = race(&addresses, STEP, TcpStream::connect).await?;
    socket.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(SILENCE)
        .with_interval(PROBE)
        .with_retries(PROBES);
    SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
    if target.scheme() == Scheme::Rtmp {
        return Ok(ServerStream::Plain(socket));
    }
    let trust = roots.trust().await?;
    let secured = trust.secure(target.host(), socket).await?;
    Ok(ServerStream::Secure(Box::new(secured)))
}

/// The addresses of a server, in the order of the attempts.
async fn resolve(target: &Target) -> io::Result<Vec<SocketAddr>> {
    let found = lookup_host((target.host(), target.port())).await;
    let found = found.map_err(|error| {
        let text = format!("{} has no address: {error}", target.host());
        io::Error::new(error.kind(), text)
    })?;
    let addresses = in_turn(found);
    if addresses.is_empty() {
        let text = format!("{} has no address", target.host());
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    Ok(addresses)
}

/// The addresses with the two families in turn; the family of the first one begins.
fn in_turn(found: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let mut all = Vec::new();
    for address in found {
        if !all.contains(&address) {
            all.push(address);
        }
    }
    let first = all.first().map(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|address| Some(address.is_ipv6()) == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut order = Vec::new();
    loop {
        let (a, b) = (one.next(), other.next());
        if a.is_none() && b.is_none() {
            order.truncate(MAX_ADDRESSES);
            return order;
        }
        order.extend(a.into_iter().chain(b));
    }
}

/// The first connection that is made to one of these addresses, each tried `step` after the one
/// before, or at once when all before have failed.
async fn race<T, F>(
    addresses: &[SocketAddr],
    step: Duration,
    mut connect: impl FnMut(SocketAddr) -> F,
) -> io::Result<T>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut rest = addresses.iter().copied();
    let mut attempts = JoinSet::new();
    let mut failures = Failures::default();
    let mut next = Instant::now();
    loop {
        if (attempts.is_empty() || next <= Instant::now())
            && let Some(address) = rest.next()
        {
            let attempt = connect(address);
            attempts.spawn(async move { (address, attempt.await) });
            next = Instant::now() + step;
        }
        if attempts.is_empty() {
            return Err(failures.into_error());
        }
        tokio::select! {
            Some(ended) = attempts.join_next() => match ended {
                Ok((_, Ok(connected))) => return Ok(connected),
                Ok((address, Err(error))) => failures.add(address, &error),
                Err(_) => {}
            },
            () = sleep_until(next), if rest.len() > 0 => {}
        }
    }
}

/// The failures of an attempt, as one text.
#[derive(Default)]
struct Failures {
    text: String,
    kind: Option<io::ErrorKind>,
    count: usize,
}

/// Failures that a text shows.
const SHOWN: usize = 4;

impl Failures {
    fn add(&mut self, address: SocketAddr, error: &io::Error) {
        self.kind.get_or_insert_with(|| error.kind());
        self.count += 1;
        if self.count <= SHOWN {
            let separator = if self.text.is_empty() { "" } else { "; " };
            let _ = write!(self.text, "{separator}{address}: {error}");
        }
    }

    fn into_error(self) -> io::Error {
        let kind = self.kind.unwrap_or(io::ErrorKind::NotConnected);
        match self.count.saturating_sub(SHOWN) {
            0 => io::Error::new(kind, self.text),
            more => io::Error::new(kind, format!("{}; and {more} more", self.text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(text: &str) -> Vec<SocketAddr> {
        text.split(' ').map(|one| one.parse().unwrap()).collect()
    }

    const SIX: &str = "[::1]:1";
    const FOUR: &str = "10.0.0.1:1";

    #[test]
    fn families_take_turns() {
        let found = addresses("[::1]:1 [::2]:1 [::3]:1 10.0.0.1:1 [::1]:1 10.0.0.2:1");
        let expected = addresses("[::1]:1 10.0.0.1:1 [::2]:1 10.0.0.2:1 [::3]:1");
        assert_eq!(in_turn(found.into_iter()), expected);
        let many = (1..100).map(|port| SocketAddr::from(([10, 0, 0, 1], port)));
        assert_eq!(in_turn(many).len(), MAX_ADDRESSES);
        assert!(in_turn(std::iter::empty()).is_empty());
    }

    /// Connects as a server whose addresses answer after so many milliseconds: an even number is a
    /// success. Returns the address, the time, and the number of attempts.
    fn raced(script: &'static [(&'static str, u64)]) -> (Result<String, String>, u64, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let all: Vec<SocketAddr> = script.iter().map(|(at, _)| at.parse().unwrap()).collect();
            let began = Instant::now();
            let mut attempts = 0;
            let result = race(&all, STEP, |address| {
                attempts += 1;
                let find = |(at, _): &&(&str, u64)| *at == address.to_string();
                let (_, after) = *script.iter().find(find).unwrap();
                async move {
                    tokio::time::sleep(Duration::from_millis(after)).await;
                    match after % 2 {
                        0 => Ok(address),
                        _ => Err(io::ErrorKind::ConnectionRefused.into()),
                    }
                }
            })
            .await;
            let result = result.map(|address| address.to_string());
            let result = result.map_err(|error| error.to_string());
            (result, began.elapsed().as_millis() as u64, attempts)
        })
    }

    #[test]
    fn the_first_that_answers_wins() {
        let ok = |at: &str| Ok(at.to_owned());
        assert_eq!(raced(&[(SIX, 100), (FOUR, 0)]), (ok(SIX), 100, 1));
        // The first hangs: the second is tried beside it.
        assert_eq!(raced(&[(SIX, 90_000), (FOUR, 20)]), (ok(FOUR), 270, 2));
        // The first is late, but before the second.
        assert_eq!(raced(&[(SIX, 300), (FOUR, 900)]), (ok(SIX), 300, 2));
        // The first fails: the second is tried at once.
        assert_eq!(raced(&[(SIX, 1), (FOUR, 20)]), (ok(FOUR), 21, 2));
    }

    #[test]
    fn all_failures_are_named() {
        let (result, took, attempts) = raced(&[(SIX, 1), (FOUR, 3)]);
        let expected = "[::1]:1: connection refused; 10.0.0.1:1: connection refused";
        assert_eq!(result, Err(expected.to_owned()));
        assert_eq!((took, attempts), (4, 2));
        let mut failures = Failures::default();
        for _ in 0..6 {
            failures.add(addresses(FOUR)[0], &io::ErrorKind::TimedOut.into());
        }
        let text = failures.into_error().to_string();
        assert!(text.ends_with("; and 2 more"), "{text}");
        assert_eq!(text.matches("timed out").count(), SHOWN);
    }
}
