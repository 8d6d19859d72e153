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

/// The value of the first field of this name; a query may contain question marks. Nothing is
/// decoded: tokens have only characters that a query keeps.
pub(super) fn field<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = query.split(['&', '?']);
    fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_field_of_a_query_counts() {
        for (query, value) in [
            ("token=a", Some("a")),
            ("x=y&token=a&token=b", Some("a")),
            ("rtmp://edge/live?token=a", Some("a")),
            ("token=a=b", Some("a=b")),
            ("token=", Some("")),
            ("token", None),
            ("tokens=a", None),
            ("xtoken=a", None),
            ("", None),
        ] {
            assert_eq!(field(query, "token"), value, "{query}");
        }
    }
}
