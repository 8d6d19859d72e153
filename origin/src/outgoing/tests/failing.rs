//! Servers that fail before RTMP begins.

use super::*;

#[test]
fn a_server_that_fails_before_rtmp_is_reported_with_the_reason() {
    run(async {
        let mut expected = Vec::new();
        for (answer, reason) in [
            (
                Some(&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]),
                "does not speak TLS",
            ),
            (Some(&[]), "closed the connection during the TLS handshake"),
            (None, "The server does not answer."),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let server = tokio::spawn(async move {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut buffer = [0; 4_096];
                while socket.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {
                    if let Some(answer) = answer {
                        let _ = socket.write_all(answer).await;
                        return;
                    }
                }
            });
            expected.push((
                dial_uri(&format!("rtmps://127.0.0.1:{port}/live"), 100),
                server,
                reason,
            ));
        }
        expected.push((
            dial_uri("rtmp://no-host.invalid/live", 100),
            tokio::spawn(async {}),
            "no-host.invalid has no address",
        ));
        for (mut client, _server, reason) in expected {
            let Happening::Closed(info) = client.told().await else {
                panic!("{reason}");
            };
            let text = |name| info.get(name).and_then(Value::as_str).unwrap_or_default();
            assert_eq!(text("code"), "NetConnection.Connect.Failed");
            assert!(text("description").contains(reason), "{info:?}");
        }
    });
}
