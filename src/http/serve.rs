//! One small server for a socket of this machine: HTTP/1.1, one request a connection.
//!
//! How many connections there are at once, how long one takes and how much comes in is limited; what is refused by its head
//! alone costs no body. Requests are answered one after the other, in the order in which they came in whole, so that whoever
//! answers has one state and no locks. It knows nothing of what is asked, and logs nothing of it. Webhooks are received
//! here, and pages for wallets are served.

use std::convert::Infallible;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Pause after the system had no connection to give, and what answers on their way get once the server ends.
const PAUSE: Duration = Duration::from_millis(100);

/// What a server takes at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Connections at once; more wait.
    pub(crate) connections: usize,
    /// Longest time for one, from its beginning to the answer.
    pub(crate) patience: Duration,
    /// Bytes of request line and headers.
    pub(crate) head: usize,
    /// Bytes of the body.
    pub(crate) body: usize,
}

/// A request that came in whole.
#[derive(Debug)]
pub(crate) struct Asked {
    /// With what stands behind a question mark.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What a request is answered with.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) body: Bytes,
}

/// A request on its way to whoever answers, and the answer's way back.
struct Turn {
    asked: Asked,
    answer: oneshot::Sender<Reply>,
}

impl Reply {
    /// A status and nothing else.
    pub(crate) const fn empty(status: StatusCode) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    /// With one more header.
    pub(crate) fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, HeaderValue::from_static(value)));
        self
    }
}

/// Serves until `take` ends it, and gives back what it ended with. `refuse` sees the head of each request before its body is
/// read. Answers that are on their way go out first. Dropped, it closes every connection.
pub(crate) async fn serve<R>(
    listener: &TcpListener,
    bounds: Bounds,
    refuse: impl Fn(&Parts) -> Option<Reply> + Send + Sync + 'static,
    mut take: impl FnMut(Asked) -> (Reply, ControlFlow<R>),
) -> R {
    let refuse = Arc::new(refuse);
    let (deliver, mut delivered) = mpsc::channel(bounds.connections);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < bounds.connections => match accepted {
                Ok((stream, _)) => {
                    let (refuse, deliver) = (Arc::clone(&refuse), deliver.clone());
                    connections.spawn(attend(stream, bounds, refuse, deliver));
                }
                // The system is out of something for now, or the peer is gone already.
                Err(_) => sleep(PAUSE).await,
            },
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
            Some(Turn { asked, answer }) = delivered.recv() => {
                let (reply, flow) = take(asked);
                let _gone = answer.send(reply);
                if let ControlFlow::Break(value) = flow {
                    let all = async { while connections.join_next().await.is_some() {} };
                    let _late = timeout(PAUSE, all).await;
                    return value;
                }
            }
        }
    }
}

/// One connection: one request, one answer.
async fn attend(
    stream: TcpStream,
    bounds: Bounds,
    refuse: Arc<impl Fn(&Parts) -> Option<Reply>>,
    deliver: mpsc::Sender<Turn>,
) {
    let service = service_fn(|request| answer(request, bounds.body, &*refuse, &deliver));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.patience)
        .max_buf_size(bounds.head)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // Whoever breaks off, is too slow or speaks something else is nobody's business.
    let _ended = timeout(bounds.patience, connection).await;
}

async fn answer(
    request: Request<Incoming>,
    longest: usize,
    refuse: &impl Fn(&Parts) -> Option<Reply>,
    deliver: &mpsc::Sender<Turn>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    if let Some(refused) = refuse(&parts) {
        return Ok(response(refused));
    }
    let body = match Limited::new(body, longest).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(response(Reply::empty(StatusCode::PAYLOAD_TOO_LARGE))),
    };
    let asked = Asked {
        path: parts.uri.to_string(),
        headers: parts.headers,
        body,
    };
    let gone = Reply::empty(StatusCode::SERVICE_UNAVAILABLE);
    let (answer, answered) = oneshot::channel();
    if deliver.send(Turn { asked, answer }).await.is_err() {
        return Ok(response(gone));
    }
    Ok(response(answered.await.unwrap_or(gone)))
}

fn response(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status;
    response.headers_mut().extend(reply.headers);
    response
}
