//! A machine that moves to another process.

use std::time::Instant;

use tributary_protocol::parcel::{Carried, MAX_PARCEL, pack, unpack};

/// The same machine at another process.
pub(crate) fn moved<M: Carried>(machine: &M, now: Instant, limits: M::Limits) -> M {
    let parcel = pack(machine, now).expect("it can move");
    let again = unpack::<M>(&parcel, now, limits, MAX_PARCEL).expect("it fits");
    let parcel_again = pack(&again, now).expect("it can move on");
    assert_eq!(parcel, parcel_again);
    again
}
