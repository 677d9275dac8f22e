//! An HTTP server inside of the process, whose answers a target gives.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What is answered to the body of a request, with its status.
pub type Answers = Rc<RefCell<Box<dyn FnMut(&[u8]) -> (u16, Vec<u8>)>>>;

/// Serves `answers` on loopback, within the local tasks of the runtime.
///
/// # Panics
/// There is no port.
pub async fn serve(answers: Answers) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::task::spawn_local(converse(stream, Rc::clone(&answers)));
        }
    });
    address
}

async fn converse(stream: TcpStream, answers: Answers) {
    let mut stream = BufReader::new(stream);
    while let Some(body) = request(&mut stream).await {
        let (status, answer) = (answers.borrow_mut())(&body);
        let head = format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        let whole = [head.as_bytes(), &answer].concat();
        if stream.get_mut().write_all(&whole).await.is_err() {
            return;
        }
    }
}

/// The body of the next request; none when the other side closed.
async fn request(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(body)
}
