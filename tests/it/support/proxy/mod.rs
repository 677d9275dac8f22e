//! A fault proxy on loopback, in front of the cloud or the chain: rules say which request meets which fault, gates stop
//! a request at a chosen moment until the test lets it go. It counts every request.

mod act;
mod wire;

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket};

pub use wire::Message;

/// Which requests a rule is for.
#[derive(Debug, Clone)]
pub enum Match {
    /// All.
    Any,
    /// This verb (empty: any), and a path that contains this text.
    Http(&'static str, &'static str),
    /// A JSON-RPC call of this method, alone or in a batch.
    Rpc(&'static str),
}

/// Which of the matching requests, counted from 1 since the rule was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nth {
    /// Every one.
    Every,
    /// Only this one.
    Only(usize),
    /// This one and all after it.
    From(usize),
}

/// What happens to a request.
#[derive(Debug, Clone)]
pub enum Action {
    /// Wait, then forward.
    Delay(Duration),
    /// Forward, then answer one byte at a time with this pause.
    Drip(Duration),
    /// Reset the connection when the head has come, before the body was read.
    ResetBefore,
    /// Read the request whole and reset; the server never sees it.
    ResetAfterRead,
    /// Let the server do it and reset: the reply is lost.
    ResetAfterForward,
    /// Answer this instead of forwarding.
    Answer(Message),
    /// Forward, and change only the status.
    ForwardThenStatus(u16),
    /// Forward, and answer with this body under the server's status.
    Body(Vec<u8>),
    /// A captive portal's page, status 200, not forwarded.
    Html,
    /// Forward; answer without a body.
    Empty,
    /// Forward; half of the body, then the connection closes.
    Truncate,
    /// Forward; the length says half of what is sent.
    WrongLength,
    /// A body of so many bytes, not forwarded.
    Big(u64),
    /// A small gzip body that unpacks to a large one, not forwarded.
    GzipBomb,
    /// JSON nested so deep, not forwarded.
    DeepJson(usize),
    /// Forward a transaction, and answer only when it is in a block.
    AnswerWhenMined,
    /// The server gets it twice; the client hears the second answer.
    Twice,
    /// Never answered, not forwarded.
    Swallow,
    /// Never answered, though the server did it.
    SwallowAfterForward,
    /// Forward; set the value at a JSON pointer of the answer (in a batch: of the matching call's answer).
    Mutate(&'static str, Value),
    /// The first answer is given again for ever (for `eth_blockNumber` and the like).
    Freeze,
    /// Forward; the JSON-RPC id of the answer is another one.
    WrongId,
    /// 307 to this place, not forwarded.
    Redirect(String),
    /// Forward to another server instead.
    Elsewhere(String),
}

/// Where a gate stops a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Read whole; the server has not seen it.
    Arrived,
    /// The server has answered; the client has not heard.
    Served,
    /// The client has the answer.
    Answered,
}

/// A request that passed.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Verb.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// JSON-RPC methods.
    pub rpc: Vec<String>,
    /// JSON-RPC calls, whole.
    pub calls: Vec<Value>,
}

/// A running proxy; dropping it stops it.
pub struct FaultProxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    task: Option<tokio::task::JoinHandle<()>>,
    /// Keeps the port while nothing listens, so that no other server gets it meanwhile.
    kept: Option<TcpSocket>,
}

/// Holds a request at a [`Moment`]. Dropping it lets the request go.
pub struct Gate(Arc<GateInner>);

struct Rule {
    matches: Match,
    nth: Nth,
    action: Action,
    hits: usize,
    /// What `Freeze` remembers.
    frozen: Option<Value>,
}

struct GateInner {
    matches: Match,
    nth: Nth,
    moment: Moment,
    state: Mutex<GateState>,
    changed: Condvar,
    released: tokio::sync::Notify,
}

#[derive(Default)]
struct GateState {
    hits: usize,
    reached: bool,
    release: Option<Release>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Release {
    Go,
    Cut,
}

struct Shared {
    upstream: String,
    rules: Mutex<Vec<Rule>>,
    gates: Mutex<Vec<Arc<GateInner>>>,
    seen: Mutex<Vec<Seen>>,
}

impl Match {
    fn holds(&self, request: &Message) -> bool {
        match self {
            Self::Any => true,
            Self::Http(verb, path) => (verb.is_empty() || *verb == request.method()) && request.path().contains(path),
            Self::Rpc(method) => request.rpc_methods().iter().any(|one| one == method),
        }
    }
}

impl Nth {
    const fn holds(self, hit: usize) -> bool {
        match self {
            Self::Every => true,
            Self::Only(nth) => hit == nth,
            Self::From(nth) => hit >= nth,
        }
    }
}

impl FaultProxy {
    /// A proxy of `upstream` (`http://127.0.0.1:PORT`) that does no harm yet.
    pub fn to(upstream: &str) -> Self {
        let origin = upstream.trim_end_matches('/').trim_end_matches("/api/v1").to_owned();
        let shared = Arc::new(Shared {
            upstream: origin,
            rules: Mutex::default(),
            gates: Mutex::default(),
            seen: Mutex::default(),
        });
        let listener = super::block(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let task = Some(listen(listener, Arc::clone(&shared)));
        Self {
            shared,
            address,
            task,
            kept: None,
        }
    }
    /// Where clients find it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
    /// The API's prefix, when it stands in front of the cloud.
    pub fn prefix(&self) -> String {
        format!("{}/api/v1", self.url())
    }
    /// One more rule; the newest that matches a request decides.
    pub fn on(&self, matches: Match, nth: Nth, action: Action) {
        lock(&self.shared.rules).push(Rule {
            matches,
            nth,
            action,
            hits: 0,
            frozen: None,
        });
    }
    /// No rules any more; requests that are held stay held.
    pub fn heal(&self) {
        lock(&self.shared.rules).clear();
    }
    /// Stops a request at `moment`.
    pub fn gate(&self, matches: Match, nth: Nth, moment: Moment) -> Gate {
        let state = Mutex::default();
        let inner = GateInner {
            matches,
            nth,
            moment,
            state,
            changed: Condvar::new(),
            released: tokio::sync::Notify::new(),
        };
        let inner = Arc::new(inner);
        lock(&self.shared.gates).push(Arc::clone(&inner));
        Gate(inner)
    }
    /// Nothing listens until [`Self::listen_again`]: connections are refused.
    pub fn refuse(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            super::until("the port to close", || {
                std::net::TcpStream::connect(self.address).is_err().then_some(())
            });
            self.kept = Some(super::until("the port", || {
                let socket = TcpSocket::new_v4().ok()?;
                socket.set_reuseaddr(true).ok()?;
                socket.bind(self.address).ok()?;
                Some(socket)
            }));
        }
    }
    /// Listens again on the same port.
    pub fn listen_again(&mut self) {
        let Some(kept) = self.kept.take() else { return };
        let listener = super::block(async move { kept.listen(1024) }).unwrap();
        self.task = Some(listen(listener, Arc::clone(&self.shared)));
    }
    /// Requests so far, oldest first.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }
    /// How many HTTP requests so far.
    pub fn requests(&self) -> usize {
        lock(&self.shared.seen).len()
    }
    /// Forgets the requests so far.
    pub fn forget(&self) {
        lock(&self.shared.seen).clear();
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Gate {
    /// Waits until a request stands here.
    pub fn wait(&self) {
        let end = Instant::now() + super::PATIENCE;
        let mut state = lock(&self.0.state);
        while !state.reached {
            let left = end.saturating_duration_since(Instant::now());
            assert!(
                !left.is_zero(),
                "no request came to the gate within {:?}",
                super::PATIENCE
            );
            state = self.0.changed.wait_timeout(state, left).unwrap().0;
        }
    }
    /// Lets it go on.
    pub fn open(&self) {
        self.0.release(Release::Go);
    }
    /// Resets its connection; at [`Moment::Arrived`] the server never sees the request.
    pub fn cut(&self) {
        self.0.release(Release::Cut);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl GateInner {
    fn release(&self, how: Release) {
        lock(&self.state).release.get_or_insert(how);
        self.released.notify_waiters();
    }
    /// Whether this request is the one to hold; counts it.
    fn takes(&self, request: &Message) -> bool {
        if !self.matches.holds(request) {
            return false;
        }
        let mut state = lock(&self.state);
        state.hits += 1;
        self.nth.holds(state.hits)
    }
    async fn hold(&self) -> Release {
        lock(&self.state).reached = true;
        self.changed.notify_all();
        loop {
            let waiting = self.released.notified();
            tokio::pin!(waiting);
            waiting.as_mut().enable();
            if let Some(how) = lock(&self.state).release {
                return how;
            }
            waiting.await;
        }
    }
}

fn listen(listener: TcpListener, shared: Arc<Shared>) -> tokio::task::JoinHandle<()> {
    super::runtime().spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            let Ok((stream, _)) = listener.accept().await else {
                return;
            };
            let _ = stream.set_nodelay(true);
            connections.spawn(act::serve(stream, Arc::clone(&shared)));
            while connections.try_join_next().is_some() {}
        }
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
