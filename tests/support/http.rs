//! The admin address: health, readiness and metrics.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// The status and body of a GET; `None` without an answer.
pub(crate) fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// The metrics of a process at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Metrics(String);

impl Metrics {
    pub(crate) fn scrape(admin: SocketAddr) -> Self {
        let (status, body) =
            get(admin, "/metrics").unwrap_or_else(|| panic!("no metrics from {admin}"));
        assert_eq!(status, 200, "{body}");
        Self(body)
    }

    /// The sum over all label sets of a metric; 0 if it does not exist.
    pub(crate) fn sum(&self, name: &str) -> f64 {
        self.with(name, "")
    }

    /// The sum over the label sets that contain `label`, written as `key="value"`.
    pub(crate) fn with(&self, name: &str, label: &str) -> f64 {
        self.samples(name)
            .filter(|(labels, _)| labels.contains(label))
            .map(|(_, value)| value)
            .sum()
    }

    /// The names of all metrics.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.0
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE "))
            .filter_map(|line| line.split_whitespace().next())
            .collect()
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    fn samples<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, f64)> {
        self.0.lines().filter_map(move |line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once('}')?,
                None if rest.starts_with(' ') => ("", rest),
                None => return None,
            };
            Some((labels, value.trim().parse().ok()?))
        })
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
