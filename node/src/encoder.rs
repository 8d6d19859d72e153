//! Encoders whose publish is refused or lost. Without a close they would go on sending into
//! nothing.

use std::time::{Duration, Instant};

use tributary_protocol::command::Connect;

mod parcel;

/// Whether a client is an encoder, and when its connection is closed.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    /// The client has done nothing but publish.
    is_one: bool,
    /// When the connection of an encoder whose publish was refused or lost is closed.
    parting_at: Option<Instant>,
}

/// How long an encoder keeps its connection after its publish was refused or taken. Reason: it reads
/// the status, and may publish another name.
const PARTING: Duration = Duration::from_secs(1);

impl Encoder {
    /// A client is an encoder if its connect has `type: nonprivate`, or the name of Flash Media Live
    /// Encoder, as those of nearly all encoders do.
    pub fn of(connect: &Connect) -> Self {
        let kind = connect.properties.get("type");
        let is_named = |agent: &str| agent.starts_with("FMLE/");
        let is_one = kind.is_some_and(|kind| kind.as_str() == Some("nonprivate"))
            || connect.flash_ver.as_deref().is_some_and(is_named);
        Self {
            is_one,
            parting_at: None,
        }
    }

    /// Whether the client has done nothing but publish.
    pub fn is_one(&self) -> bool {
        self.is_one
    }

    /// Notes that the client calls a method of the application, plays or uses a shared object: its
    /// connection is more than a publish.
    pub fn is_more(&mut self) {
        self.is_one = false;
    }

    /// Notes that a publish of this client was refused, or taken from it. Returns when the
    /// connection of an encoder closes, unless it publishes again; `None` if that is known already.
    pub fn publish_is_over(&mut self, now: Instant) -> Option<Instant> {
        if !self.is_one || self.parting_at.is_some() {
            return None;
        }
        self.parting_at = Some(now + PARTING);
        self.parting_at
    }

    /// Notes that a publish of this client is accepted.
    pub fn publish_goes_on(&mut self) {
        self.parting_at = None;
    }

    /// The time for [`Self::parts`].
    pub fn parting_at(&self) -> Option<Instant> {
        self.parting_at.filter(|_| self.is_one)
    }

    /// Shifts that time by the time for which the process was stopped.
    pub fn postpone(&mut self, by: Duration) {
        if let Some(at) = &mut self.parting_at {
            *at += by;
        }
    }

    /// Whether the time of an encoder without a publish is over.
    pub fn parts(&mut self, now: Instant) -> bool {
        self.parting_at.take_if(|at| *at <= now).is_some() && self.is_one
    }
}

#[cfg(test)]
mod tests {
    use tributary_protocol::{TransactionId, amf::Object, command::Command};

    use super::*;

    fn encoder(flash_ver: &str) -> Encoder {
        let mut connect = Command::new("connect", TransactionId(1.0));
        let object = Object::new()
            .with("app", "live")
            .with("flashVer", flash_ver);
        connect.object = object.into();
        Encoder::of(&Connect::parse(connect).unwrap())
    }

    #[test]
    fn an_encoder_has_a_second_to_publish_again() {
        let start = Instant::now();
        let mut encoder = encoder("FMLE/3.0 (compatible; FMSc/1.0)");
        assert_eq!(encoder.publish_is_over(start), Some(start + PARTING));
        let later = start + PARTING / 2;
        assert_eq!(encoder.publish_is_over(later), None, "the first counts");
        assert!(!encoder.parts(later));
        assert!(encoder.parts(start + PARTING));
        assert!(!encoder.parts(start + PARTING), "once");
    }

    #[test]
    fn an_encoder_that_publishes_again_or_does_more_stays() {
        let start = Instant::now();
        let mut again = encoder("FMLE/3.0");
        again.publish_is_over(start);
        again.publish_goes_on();
        assert!(!again.parts(start + PARTING));
        let mut more = encoder("FMLE/3.0");
        more.publish_is_over(start);
        more.is_more();
        assert!(!more.parts(start + PARTING));
        let mut player = encoder("WIN 10,0,32,18");
        assert_eq!(player.publish_is_over(start), None);
    }
}
