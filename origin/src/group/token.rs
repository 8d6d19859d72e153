//! The places of a publisher's token, and the token's part in its identity.

use tributary_node::config::{self, PublishRefused};
use tributary_protocol::link::TakeoverKey;

use super::Client;

impl Client {
    /// Whether the client's token, if the application wants one, permits a publish of a name with
    /// this query. The query is read first, then those of `app` and `tcUrl`.
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

    /// The query that identifies the publisher of a name: the name's own query, with the token
    /// added where that stood elsewhere.
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

    /// The key of a client that its former edge has asked to reconnect, from the query of `app` or of
    /// `tcUrl`.
    pub(super) fn takeover_key(&self) -> Option<TakeoverKey> {
        let connect = self.connect()?;
        let of_url = connect.tc_url.as_deref().and_then(TakeoverKey::of);
        TakeoverKey::of(&connect.app).or(of_url)
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
