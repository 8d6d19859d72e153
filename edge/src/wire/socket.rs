//! Options of a client's socket.

use std::io;

use socket2::{Socket, TcpKeepalive};

use super::upkeep::Upkeep;

/// Unsent bytes in the kernel for one client. Reason: the latency cap cannot reach them. They are
/// one second at 1 Mbit/s, and the default cap of 4 s at 250 kbit/s.
pub(super) const NOTSENT_LOWAT: u32 = 128 * 1024;

/// Sets the options of a listening socket, which accepted sockets inherit without a system call of
/// their own. Options that the system lacks are left out.
pub(crate) fn prepare(listener: &Socket, upkeep: &Upkeep) -> io::Result<()> {
    listener.set_tcp_nodelay(true)?;
    if let Some(probes) = &upkeep.probes {
        let options = TcpKeepalive::new()
            .with_time(probes.after)
            .with_interval(probes.interval)
            .with_retries(probes.count);
        listener.set_tcp_keepalive(&options)?;
        // They begin when a connection rests.
        listener.set_keepalive(false)?;
    }
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        listener.set_tcp_user_timeout(Some(upkeep.unacknowledged))?;
        let set = listener.set_tcp_notsent_lowat(NOTSENT_LOWAT);
        if set.is_ok() && listener.tcp_notsent_lowat()? == NOTSENT_LOWAT {
            return Ok(());
        }
    }
    // The kernel doubles the value for its own bookkeeping.
    listener.set_send_buffer_size(NOTSENT_LOWAT as usize)
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};

    use socket2::{Domain, SockRef, Type};

    use super::*;

    #[test]
    fn accepted_sockets_have_the_options() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        prepare(&socket, &Upkeep::DIRECT).unwrap();
        socket.listen(1).unwrap();
        let listener = TcpListener::from(socket);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(accepted.nodelay().unwrap());
        #[cfg(target_os = "linux")]
        {
            let accepted = SockRef::from(&accepted);
            assert_eq!(accepted.tcp_notsent_lowat().unwrap(), NOTSENT_LOWAT);
            let limit = accepted.tcp_user_timeout().unwrap();
            assert_eq!(limit, Some(Upkeep::DIRECT.unacknowledged));
            let probes = Upkeep::DIRECT.probes.unwrap();
            assert!(!accepted.keepalive().unwrap());
            assert_eq!(accepted.tcp_keepalive_time().unwrap(), probes.after);
            assert_eq!(accepted.tcp_keepalive_interval().unwrap(), probes.interval);
            assert_eq!(accepted.tcp_keepalive_retries().unwrap(), probes.count);
        }
    }
}
