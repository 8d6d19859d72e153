//! Listeners by which a proxy on this machine would let everybody publish.

use tributary_node::config::Application;

use crate::config::Config;

/// Applications without a table of their own.
const LIVE: &str = "live";

/// A sentence for each listener that only this machine reaches and that takes the address of the
/// connection for the client's, if there are applications that let everybody on this machine publish: a
/// proxy here that passes clients on lets all of them publish.
pub(crate) fn warnings(config: &Config) -> Vec<String> {
    let live = Application::default();
    let implied = (!config.applications.contains_key(LIVE)).then_some((LIVE, &live));
    let tables = config.applications.iter();
    let known = tables.map(|(name, settings)| (name.as_str(), settings));
    let open: Vec<_> = known
        .chain(implied)
        .filter(|(_, settings)| settings.trusts_the_machine())
        .map(|(name, _)| name)
        .collect();
    if open.is_empty() {
        return Vec::new();
    }
    let open = open.join(", ");
    let listeners = config.edge.listeners().into_iter();
    listeners
        .filter(|listen| {
            listen.address.ip().to_canonical().is_loopback() && !listen.names_clients()
        })
        .map(|listen| {
            format!(
                "the listener {}: everybody who comes there may publish to {open} \
                 (publish_from = \"loopback\"); if a proxy on this machine passes clients on, let it \
                 name them (proxy_protocol, forwarded), or set a publish_token",
                listen.address
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_that_a_local_proxy_would_open_is_named() {
        let proxied = "[[edge.listen]]\naddress = '127.0.0.1:1936'\n";
        for (text, names) in [
            ("[edge]\nrtmp = '0.0.0.0:1935'", None),
            ("[edge]\nrtmp = '127.0.0.1:1935'", Some("live")),
            ("[edge]\nrtmp = '[::ffff:127.0.0.1]:1935'", Some("live")),
            (proxied, Some("live")),
            (&format!("{proxied}proxy_protocol = true"), None),
            (
                &format!("{proxied}forwarded = true\nprotocols = ['ws', 'rtmpt']"),
                None,
            ),
            // Nothing names a client of plain RTMP there.
            (
                &format!("{proxied}forwarded = true\nprotocols = ['ws', 'rtmp']"),
                Some("live"),
            ),
            (
                &format!("{proxied}[applications.live]\npublish_from = 'anywhere'"),
                None,
            ),
            (
                &format!("{proxied}[applications.live]\npublish_token = 's3cret'"),
                None,
            ),
            (
                &format!("{proxied}[applications.live.access]\npublish = ['10.0.0.0/8']"),
                None,
            ),
            (
                &format!(
                    "{proxied}[applications.live]\npublish_from = 'anywhere'\n\
                     [applications.tv]\n[applications.counter]\nbuiltin = 'counter'"
                ),
                Some("tv"),
            ),
        ] {
            let config = toml::from_str(text).expect("a configuration");
            let found = warnings(&config);
            let named = found.iter().find_map(|it| {
                let (_, rest) = it.split_once("publish to ")?;
                rest.split(' ').next()
            });
            assert_eq!(named, names, "{text}: {found:?}");
        }
    }
}
