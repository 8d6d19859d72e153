//! Options of a client's socket.

use std::{io, time::Duration};

use socket2::Socket;

/// Unsent bytes the kernel holds for one client. Reason: they are beyond the reach of the latency
/// cap. At 1 Mbit/s this is one second, at 250 kbit/s the usual cap of 4 s.
pub(super) const NOTSENT_LOWAT: u32 = 128 * 1024;

/// Bytes that stay unacknowledged for this long break the connection. Longer than the driver's own
/// limit, which has a counted reason; this one is for a peer that is gone altogether.
const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// Sets the options of a listening socket, which those it accepts inherit: none of them costs a
/// system call. What the system does not have is done without.
pub(crate) fn prepare(listener: &Socket) -> io::Result<()> {
    listener.set_tcp_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        listener.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        let set = listener.set_tcp_notsent_lowat(NOTSENT_LOWAT);
        if set.is_ok() && listener.tcp_notsent_lowat()? == NOTSENT_LOWAT {
            return Ok(());
        }
    }
    // The kernel doubles it for its own bookkeeping.
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
        prepare(&socket).unwrap();
        socket.listen(1).unwrap();
        let listener = TcpListener::from(socket);
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        assert!(accepted.nodelay().unwrap());
        #[cfg(target_os = "linux")]
        {
            let accepted = SockRef::from(&accepted);
            assert_eq!(accepted.tcp_notsent_lowat().unwrap(), NOTSENT_LOWAT);
            assert_eq!(accepted.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
        }
    }
}
