//! Options of a client's socket.

use std::{io, time::Duration};

use socket2::SockRef;
use tokio::net::TcpStream;

/// Unsent bytes the kernel holds for one client. Reason: they are beyond the reach of the latency
/// cap. At 1 Mbit/s this is one second, at 250 kbit/s the usual cap of 4 s.
pub(super) const NOTSENT_LOWAT: u32 = 128 * 1024;

/// Bytes that stay unacknowledged for this long break the connection. Longer than the driver's own
/// limit, which has a counted reason; this one is for a peer that is gone altogether.
const USER_TIMEOUT: Duration = Duration::from_secs(15);

/// Sets the options; what the system does not have is done without.
pub(super) fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let socket = SockRef::from(socket);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        let set = socket.set_tcp_notsent_lowat(NOTSENT_LOWAT);
        if set.is_ok() && socket.tcp_notsent_lowat()? == NOTSENT_LOWAT {
            return Ok(());
        }
    }
    // The kernel doubles it for its own bookkeeping.
    socket.set_send_buffer_size(NOTSENT_LOWAT as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn options_read_back() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let socket = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        prepare(&socket).unwrap();
        assert!(socket.nodelay().unwrap());
        #[cfg(target_os = "linux")]
        {
            let socket = SockRef::from(&socket);
            assert_eq!(socket.tcp_notsent_lowat().unwrap(), NOTSENT_LOWAT);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
        }
    }
}
