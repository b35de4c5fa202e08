//! An HTTP server that answers from a queue and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Status, extra header lines, body; a body cut to `Some(n)` bytes breaks the connection.
#[derive(Clone)]
pub(crate) struct Answer(pub u16, pub &'static str, pub String, pub Option<usize>);

pub(crate) fn ok(body: impl Into<String>) -> Answer {
    Answer(200, "", body.into(), None)
}

pub(crate) struct Server {
    pub url: String,
    /// Head of each request: request line and headers.
    pub asked: Arc<Mutex<Vec<String>>>,
}

pub(crate) async fn serve(answers: impl IntoIterator<Item = Answer>) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let queue = Arc::new(Mutex::new(answers.into_iter().collect::<VecDeque<_>>()));
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let log = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let (queue, log) = (Arc::clone(&queue), Arc::clone(&log));
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let Ok(byte) = socket.read_u8().await else { return };
                    head.push(byte);
                }
                log.lock().unwrap().push(String::from_utf8(head).unwrap());
                let Some(Answer(status, headers, body, cut)) = queue.lock().unwrap().pop_front() else {
                    return;
                };
                let length = body.len();
                let text = format!(
                    "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
                );
                let body = &body.as_bytes()[..cut.unwrap_or(length)];
                let _ = socket.write_all(&[text.as_bytes(), body].concat()).await;
            });
        }
    });
    Server { url, asked }
}
