//! A path: two namespaces, and the thread that carries packets between them.

use std::{
    io,
    io::Write as _,
    net::Ipv4Addr,
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, MutexGuard},
    thread::{self, JoinHandle},
};

use rustix::io::{FdFlags, fcntl_setfd};
use tun_rs::{DeviceBuilder, SyncDevice};

use crate::{
    carrier::{Carrier, Shared},
    conditions::{Conditions, Settings},
    error::Error,
    line::{Counts, Line},
    namespace::Namespace,
};

/// A direction of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the near end to the far end.
    Up,
    /// From the far end to the near end.
    Down,
}

/// A path that carries packets until it is dropped.
///
/// Clients stand at the near end. They may use any address of 10.0.0.0/8 as their own, without further
/// steps ([`source`]). Servers stand at the far end, at [`FAR`]. Each end also has its own loopback.
#[derive(Debug)]
pub struct Path {
    near: Namespace,
    far: Namespace,
    shared: Arc<Mutex<Shared>>,
    end: UnixStream,
    thread: Option<JoinHandle<()>>,
}

impl Path {
    /// Opens a path. It needs root, `/dev/net/tun` and the command `ip`.
    pub fn open(settings: &Settings) -> Result<Self, Error> {
        let near = Namespace::create()?;
        let far = Namespace::create()?;
        let devices = [
            device(&near, NEAR, settings.mtu)?,
            device(&far, FAR, settings.mtu)?,
        ];
        near.ip(&format!("route add local {CLIENTS} dev lo"))?;
        near.ip(&format!("route add {FAR} dev {DEVICE} src {NEAR}"))?;
        far.ip(&format!("route add {NEAR} dev {DEVICE}"))?;
        far.ip(&format!("route add {CLIENTS} dev {DEVICE}"))?;
        let shared = Arc::new(Mutex::new(Shared {
            lines: [
                Line::new(settings.up.clone(), settings.seed),
                // Both directions make choices of their own.
                Line::new(settings.down.clone(), !settings.seed),
            ],
            ended: false,
        }));
        let (end, wakes) = UnixStream::pair().map_err(Error::Thread)?;
        let carrier = Carrier::new(devices, Arc::clone(&shared), wakes);
        let thread = thread::Builder::new()
            .name(THREAD.to_owned())
            .spawn(move || carrier.run())
            .map_err(Error::Thread)?;
        Ok(Self {
            near,
            far,
            shared,
            end,
            thread: Some(thread),
        })
    }

    pub fn near(&self) -> &Namespace {
        &self.near
    }

    pub fn far(&self) -> &Namespace {
        &self.far
    }

    /// Changes the conditions of a direction for the packets to come.
    pub fn change(&self, direction: Direction, change: impl FnOnce(&mut Conditions)) {
        change(self.shared().lines[direction as usize].conditions());
    }

    /// Cuts both directions, or mends them.
    pub fn cut(&self, cut: bool) {
        for direction in [Direction::Up, Direction::Down] {
            self.change(direction, |conditions| conditions.cut = cut);
        }
    }

    /// The packets of a direction since the path was opened.
    pub fn counts(&self, direction: Direction) -> Counts {
        self.shared().lines[direction as usize].counts()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("no holder panics")
    }
}

impl Drop for Path {
    fn drop(&mut self) {
        // A panic in the thread has shown itself already.
        if let Ok(mut shared) = self.shared.lock() {
            shared.ended = true;
        }
        let _ = self.end.write(&[0]);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The address of the n-th client at the near end; no two clients share one. Limits of a server for one
/// address then hold for one client.
pub fn source(client: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(FIRST_CLIENT) + client)
}

/// Makes the device of an end, and sets it up.
fn device(at: &Namespace, address: Ipv4Addr, mtu: u16) -> Result<SyncDevice, Error> {
    let make = || -> io::Result<SyncDevice> {
        let device = DeviceBuilder::new()
            .name(DEVICE)
            .mtu(mtu)
            .tx_queue_len(DEVICE_QUEUE)
            .enable(false)
            .build_sync()?;
        device.set_nonblocking(true)?;
        // Processes that are started later must not hold the device.
        fcntl_setfd(&device, FdFlags::CLOEXEC)?;
        Ok(device)
    };
    let device = at.run(make).map_err(Error::Device)?;
    // Otherwise the kernel sends packets of IPv6 by itself. A kernel without IPv6 refuses the command.
    let _ = at.ip(&format!("link set {DEVICE} addrgenmode none"));
    at.ip(&format!("address add {address}/32 dev {DEVICE}"))?;
    at.ip(&format!("link set {DEVICE} up"))?;
    Ok(device)
}

/// The name of the thread that carries packets.
pub const THREAD: &str = "path";
/// The address of the near end, for clients that have none of their own. It is in the range that is
/// reserved for measurements of networks.
pub const NEAR: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The address of the far end.
pub const FAR: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// The addresses that clients may use.
const CLIENTS: &str = "10.0.0.0/8";
const FIRST_CLIENT: Ipv4Addr = Ipv4Addr::new(10, 16, 0, 1);
/// The name of the device in both namespaces.
const DEVICE: &str = "path0";
/// Packets that wait for the path's thread at most, longer than it is ever late.
const DEVICE_QUEUE: u32 = 20_000;
