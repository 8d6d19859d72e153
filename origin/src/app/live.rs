//! The built-in application `live`: clients publish if the settings permit it, and play without a
//! permit.

use tributary_node::config;

use super::{Application, Context, Decision, PublishGrant, StreamRequest};

/// The application; it keeps no state of its own.
#[derive(Debug)]
pub struct Live {
    settings: config::Application,
}

impl Live {
    /// An instance with these settings.
    pub fn new(settings: config::Application) -> Self {
        Self { settings }
    }
}

impl Application for Live {
    fn publish(
        &mut self,
        context: &mut Context<'_>,
        request: &StreamRequest,
    ) -> Decision<PublishGrant> {
        let Some(client) = context.client(request.id.client) else {
            return Decision::Refuse(String::new());
        };
        match client.may_publish(&self.settings, &request.query) {
            Ok(()) => Decision::Accept(PublishGrant::default()),
            Err(refused) => Decision::Refuse(refused.to_string()),
        }
    }

    fn plays_live_from_any_start(&self) -> bool {
        true
    }
}
