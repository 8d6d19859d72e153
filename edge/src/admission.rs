//! Admission of connections: limits on those without a finished handshake, and on all of them.

use std::{
    collections::HashMap,
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts connections and refuses those over a limit.
#[derive(Debug)]
pub struct Admission {
    counts: Mutex<Counts>,
}

/// The most connections at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// Connections that have not finished their handshake.
    pub half_open: usize,
    /// Half-open connections from one address.
    pub half_open_per_address: usize,
}

#[derive(Debug)]
struct Counts {
    limits: Limits,
    connections: usize,
    half_open: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The reason for which a connection is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// [`Limits::connections`] is reached.
    Connections,
    /// [`Limits::half_open`] is reached.
    HalfOpen,
    /// [`Limits::half_open_per_address`] is reached.
    HalfOpenPerAddress,
    /// The queue of the worker is full.
    WorkerBusy,
}

/// The place of a connection. Its drop frees the place.
#[derive(Debug)]
pub struct Permit {
    admission: Arc<Admission>,
    is_half_open: bool,
    /// The address under which it is counted.
    address: Option<IpAddr>,
}

impl Admission {
    /// An admission without connections.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            counts: Mutex::new(Counts {
                limits,
                connections: 0,
                half_open: 0,
                by_address: HashMap::new(),
            }),
        })
    }

    /// Replaces the limits. Connections that have a place keep it.
    pub fn limit(&self, limits: Limits) {
        self.lock().limits = limits;
    }

    /// Gives an accepted connection its place, or refuses it.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, Refused> {
        let mut permit = self.admit_unnamed()?;
        permit.name(Some(address))?;
        Ok(permit)
    }

    /// As [`Self::admit`], before the client's address is known; [`Permit::name`] follows.
    pub fn admit_unnamed(self: &Arc<Self>) -> Result<Permit, Refused> {
        let mut counts = self.lock();
        if counts.connections >= counts.limits.connections {
            return Err(Refused::Connections);
        }
        if counts.half_open >= counts.limits.half_open {
            return Err(Refused::HalfOpen);
        }
        counts.connections += 1;
        counts.half_open += 1;
        Ok(Permit {
            admission: Arc::clone(self),
            is_half_open: true,
            address: None,
        })
    }

    /// Gives a connection of another process its place, whatever the limits are.
    pub(crate) fn adopt(self: &Arc<Self>) -> Permit {
        self.lock().connections += 1;
        Permit {
            admission: Arc::clone(self),
            is_half_open: false,
            address: None,
        }
    }

    /// The connections of now.
    pub fn connections(&self) -> usize {
        self.lock().connections
    }

    /// Connections that have not finished their handshake.
    pub fn half_open(&self) -> usize {
        self.lock().half_open
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    /// Counts the half-open connection under its address, or refuses it. All connections without a
    /// known address together have the limit of the process alone.
    pub fn name(&mut self, address: Option<IpAddr>) -> Result<(), Refused> {
        let Some(address) = address.map(|it| it.to_canonical()) else {
            return Ok(());
        };
        let mut counts = self.admission.lock();
        let same = counts.by_address.get(&address).copied().unwrap_or(0);
        if same >= counts.limits.half_open_per_address {
            return Err(Refused::HalfOpenPerAddress);
        }
        counts.by_address.insert(address, same + 1);
        self.address = Some(address);
        Ok(())
    }

    /// Gives a session of its own that begins on this connection a place, under its client's
    /// address, or refuses it.
    pub fn again(&self, address: Option<IpAddr>) -> Result<Self, Refused> {
        let mut permit = self.admission.admit_unnamed()?;
        permit.name(address)?;
        Ok(permit)
    }

    /// Ends the count of the connection as half-open: its handshake is finished.
    pub fn established(&mut self) {
        if self.is_half_open {
            let mut counts = self.admission.lock();
            counts.leave_half_open(self.address.take());
            self.is_half_open = false;
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.established();
        self.admission.lock().connections -= 1;
    }
}

impl Counts {
    fn leave_half_open(&mut self, address: Option<IpAddr>) {
        self.half_open -= 1;
        let Some(address) = address else { return };
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Refused {
    /// The label in logs and metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Connections => "too_many_connections",
            Self::HalfOpen => "too_many_half_open",
            Self::HalfOpenPerAddress => "too_many_half_open_per_address",
            Self::WorkerBusy => "worker_busy",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_given_back() {
        let admission = Admission::new(Limits {
            connections: 4,
            half_open: 3,
            half_open_per_address: 2,
        });
        let address = |n: u8| IpAddr::from([127, 0, 0, n]);
        let mut one = admission.admit(address(1)).unwrap();
        let two = admission.admit(address(1)).unwrap();
        let refused = admission.admit(address(1)).map(drop);
        assert_eq!(refused, Err(Refused::HalfOpenPerAddress));
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        let refused = admission.admit(mapped).map(drop);
        assert_eq!(refused, Err(Refused::HalfOpenPerAddress));
        let three = admission.admit(address(2)).unwrap();
        assert_eq!(
            admission.admit(address(3)).map(drop),
            Err(Refused::HalfOpen)
        );
        one.established();
        one.established();
        let four = admission.admit(address(1)).unwrap();
        assert_eq!(
            admission.admit(address(4)).map(drop),
            Err(Refused::Connections)
        );
        assert_eq!((admission.connections(), admission.half_open()), (4, 3));
        drop((two, three));
        let mut late = admission.admit_unnamed().unwrap();
        let mut unknown = admission.admit_unnamed().unwrap();
        assert_eq!(admission.half_open(), 3);
        unknown.name(None).unwrap();
        late.name(Some(mapped)).unwrap();
        assert!(admission.lock().by_address.contains_key(&address(1)));
        drop((one, four, late, unknown));
        assert_eq!((admission.connections(), admission.half_open()), (0, 0));
        assert!(admission.lock().by_address.is_empty());
    }

    #[test]
    fn new_limits_concern_new_connections() {
        let limits = |connections| Limits {
            connections,
            half_open: 10,
            half_open_per_address: 10,
        };
        let admission = Admission::new(limits(2));
        let address = IpAddr::from([127, 0, 0, 1]);
        let _two = [(); 2].map(|()| admission.admit(address).unwrap());
        admission.limit(limits(1));
        let refused = admission.admit(address).map(drop);
        assert_eq!(refused, Err(Refused::Connections));
        admission.limit(limits(3));
        assert!(admission.admit(address).is_ok());
    }
}
