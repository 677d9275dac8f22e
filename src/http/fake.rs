//! A server on this machine that answers as each case asks, down to the bytes and the way the connection ends.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use url::Url;

/// One request as it arrived.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

/// What to do with a request.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// These bytes, then the end of the connection.
    Say(Vec<u8>),
    /// These bytes, and then the piece again and again.
    Pour(Vec<u8>, Vec<u8>, Duration),
    /// Nothing, for ever.
    Silence,
    /// A reset after the request was read.
    Reset,
}

pub(crate) struct Fake {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Fake {
    /// Serves `act`, which is given the number of the request (from zero) and the request.
    pub(crate) async fn serve(act: impl Fn(usize, &Seen) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let act = Arc::new(act);
        let log = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(converse(stream, Arc::clone(&log), Arc::clone(&act)));
            }
        });
        Self { address, seen, task }
    }

    /// Answers every request with `status` and a JSON `body`.
    pub(crate) async fn always(status: u16, body: &str) -> Self {
        let answer = json(status, body);
        Self::serve(move |_, _| Act::Say(answer.clone())).await
    }

    pub(crate) fn url(&self, path: &str) -> Url {
        format!("http://{}{path}", self.address).parse().unwrap()
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "))
            .find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
    }
    /// Verb and target.
    pub(crate) fn line(&self) -> &str {
        self.head
            .lines()
            .next()
            .unwrap_or_default()
            .trim_end_matches(" HTTP/1.1")
    }
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// An answer with a body of JSON.
pub(crate) fn json(status: u16, body: &str) -> Vec<u8> {
    answer(status, "Content-Type: application/json\r\n", body.as_bytes())
}

/// An answer with these further header lines.
pub(crate) fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn converse<F: Fn(usize, &Seen) -> Act>(mut stream: TcpStream, log: Arc<Mutex<Vec<Seen>>>, act: Arc<F>) {
    let Some(request) = receive(&mut stream).await else {
        return;
    };
    let number = {
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        log.push(request.clone());
        log.len() - 1
    };
    match act(number, &request) {
        Act::Say(bytes) => {
            let _gone = stream.write_all(&bytes).await.is_err();
            let _gone = stream.shutdown().await.is_err();
        }
        Act::Pour(head, piece, every) => {
            let mut next = head;
            while stream.write_all(&next).await.is_ok() {
                next.clone_from(&piece);
                tokio::time::sleep(every).await;
            }
        }
        Act::Silence => std::future::pending().await,
        Act::Reset => stream.set_zero_linger().unwrap(),
    }
}

async fn receive(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let seen = Seen { head, body: Vec::new() };
            let length: usize = seen
                .header("content-length")
                .map_or(0, |length| length.parse().unwrap());
            let mut body = bytes.split_off(end + 4);
            while body.len() < length {
                if stream.read_buf(&mut body).await.ok()? == 0 {
                    return None;
                }
            }
            return Some(Seen { body, ..seen });
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}
