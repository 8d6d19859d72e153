//! The limit on the rate of a connection in one direction, set by its application.

use std::time::{Duration, Instant};

use tributary_protocol::parcel::{Carried, ParcelError, ParcelReader, ParcelWriter};

/// A limit on bytes per second, on average. Bytes are counted once they have passed; the next ones
/// wait until the rate has caught up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Throttle {
    bytes_per_second: u32,
    /// The time at which all bytes so far would have passed at the pace; in the past after a rest.
    paid_at: Instant,
}

/// Bytes that may pass at once after a rest, as time at the pace. Reason: frames come in bursts.
const BURST: Duration = Duration::from_millis(250);

impl Throttle {
    /// `bytes_per_second` is not 0.
    pub(crate) fn new(bytes_per_second: u32, now: Instant) -> Self {
        Self {
            bytes_per_second,
            paid_at: now,
        }
    }

    /// Counts bytes that have passed.
    pub(crate) fn spend(&mut self, bytes: usize, now: Instant) {
        let time = bytes as f64 / f64::from(self.bytes_per_second.max(1));
        // At one byte per second, a message of 16 MiB takes half a year.
        self.paid_at = self.paid_at.max(now) + Duration::from_secs_f64(time);
    }

    /// The time until which no byte may pass, if that is later than now.
    pub(crate) fn shut_until(&self, now: Instant) -> Option<Instant> {
        let until = self.paid_at.checked_sub(BURST)?;
        (until > now).then_some(until)
    }

    /// Shifts the pace by the time for which the process was stopped.
    pub(crate) fn postpone(&mut self, by: Duration) {
        self.paid_at += by;
    }
}

const RATE: u16 = 1;
const PAID_AT: u16 = 2;

impl Carried for Throttle {
    const NAME: &'static str = "the limit on a rate";
    type Limits = ();

    fn export(&self, parcel: &mut ParcelWriter) {
        parcel.number(RATE, self.bytes_per_second);
        parcel.time(PAID_AT, self.paid_at);
    }

    fn import(parcel: &mut ParcelReader<'_>, (): ()) -> Result<Self, ParcelError> {
        let bytes_per_second = parcel.number(RATE)?;
        parcel.require(bytes_per_second > 0, RATE)?;
        Ok(Self {
            bytes_per_second,
            paid_at: parcel.time(PAID_AT)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_pace_holds() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut pace = Throttle::new(1_000, start);
        pace.spend(250, start);
        assert_eq!(pace.shut_until(start), None, "the burst");
        pace.spend(1_000, start);
        assert_eq!(pace.shut_until(start), Some(start + ms(1_000)));
        assert_eq!(pace.shut_until(start + ms(1_000)), None);
        // A rest frees the burst and no more.
        pace.spend(500, start + ms(60_000));
        assert_eq!(
            pace.shut_until(start + ms(60_000)),
            Some(start + ms(60_250))
        );
    }
}
