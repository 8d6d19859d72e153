//! The place of a token: three queries, in an order.

/// The queries of a client, each without its `?`; empty where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Queries<'a> {
    /// Behind the name that the client publishes or plays.
    pub name: &'a str,
    /// Behind `app` of the connect.
    pub app: &'a str,
    /// Behind `tcUrl` of the connect; the whole `tcUrl` is good as well.
    pub tc_url: &'a str,
}

impl<'a> Queries<'a> {
    /// The first result of `find` in these queries: the name's, then `app`'s, then `tcUrl`'s.
    pub(super) fn first<T>(&self, find: impl Fn(&'a str) -> Option<T>) -> Option<T> {
        [self.name, self.app, self.tc_url]
            .into_iter()
            .find_map(find)
    }
}
