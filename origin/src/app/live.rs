//! The built-in application `live`: clients publish if the settings permit it, and play without a
//! permit.

use super::{Application, Context, Decision, PublishGrant, StreamRequest};

/// The application; it keeps no state of its own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Live;

impl Application for Live {
    fn publish(
        &mut self,
        context: &mut Context<'_>,
        request: &StreamRequest,
    ) -> Decision<PublishGrant> {
        let Some(client) = context.client(request.id.client) else {
            return Decision::Refuse(String::new());
        };
        match client.may_publish(&context.settings(), &request.query) {
            Ok(()) => Decision::Accept(PublishGrant::default()),
            Err(refused) => Decision::Refuse(refused.to_string()),
        }
    }

    fn plays_live_from_any_start(&self) -> bool {
        true
    }
}
