//! Where a publisher's token may stand, and what that makes of its identity.

use tributary_node::config::{self, PublishRefused};

use super::Client;

impl Client {
    /// Whether its token, if the application wants one, lets it publish a name with this query: the
    /// query is looked at first, then those of `app` and `tcUrl`.
    pub fn may_publish(
        &self,
        settings: &config::Application,
        query: &str,
    ) -> Result<(), PublishRefused> {
        if settings.publish_token.is_none() {
            return settings.may_publish(self.peer().ip(), None);
        }
        let token = self.publish_token(query);
        settings.may_publish(self.peer().ip(), token.as_deref())
    }

    /// What tells it from other publishers of the name: the name's query, with the token in it
    /// wherever that stood.
    pub(super) fn publish_query(&self, settings: &config::Application, query: &str) -> String {
        if settings.publish_token.is_none() || config::token(query).is_some() {
            return query.to_owned();
        }
        match self.publish_token(query) {
            Some(token) if query.is_empty() => format!("token={token}"),
            Some(token) => format!("{query}&token={token}"),
            None => query.to_owned(),
        }
    }

    /// The first token in the query of the name, of `app` and of `tcUrl`.
    fn publish_token(&self, query: &str) -> Option<String> {
        if let Some(token) = config::token(query) {
            return Some(token.to_owned());
        }
        let connect = self.connect()?;
        let urls = [Some(connect.app.as_str()), connect.tc_url.as_deref()];
        let mut queries = urls
            .into_iter()
            .flatten()
            .filter_map(|url| url.split_once('?'));
        let token = queries.find_map(|(_, query)| config::token(query));
        token.map(str::to_owned)
    }
}
