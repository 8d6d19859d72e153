//! The bare echo: the cost of one read and one write for each call.

use std::{io, net::Ipv4Addr};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task,
};

use super::{Commands, say};

pub(super) async fn run(mut commands: Commands, address: Ipv4Addr) -> io::Result<()> {
    let listener = TcpListener::bind((address, 0)).await?;
    say(&json!({"ready": true, "listening": listener.local_addr()?.to_string()}));
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                // A client that leaves ends its task; the reason does not matter.
                task::spawn_local(async move { let _ = serve(stream).await; });
            }
            command = commands.next() => {
                if command.is_none() {
                    return Ok(());
                }
            }
        }
    }
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}
