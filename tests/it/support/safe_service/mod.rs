//! A simulated Safe Transaction Service, on loopback: it recomputes hashes by asking the Safe itself, checks every
//! signature, reads owners from the chain, and refuses in the real one's words.
//!
//! Written after `safe-global/safe-transaction-service` 6.10 (`history/views_v2.py`, `serializers.py`, `filters.py`)
//! and `safe-eth-py`'s `safe_signature.py`. The official client runs against it in `safe_service.rs`. [`Lies`] makes
//! it dishonest.

mod chain;
mod model;
mod record;
mod routes;
mod write;

use std::sync::{Arc, Mutex, MutexGuard};

use alloy::primitives::{Address, B256};

use super::Rpc;
use super::cloud::Request;
use model::State;

pub use model::{Confirmation, Delegate, Fields, Lies, Proposal};

/// The key that the simulated service accepts. Without one it answers as well, as the real one does.
pub const SERVICE_KEY: &str = "eyJhbGciOiJub25lIn0.simulated.0123456789";

/// A running service; dropping the last handle stops it.
#[derive(Clone)]
pub struct SafeService {
    state: Arc<Mutex<State>>,
    address: std::net::SocketAddr,
    server: Arc<Server>,
}

struct Server(tokio::task::JoinHandle<()>);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl SafeService {
    /// Starts the service of one chain; it knows the Safes that it is told of.
    pub fn start(rpc: &Rpc) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let listener = super::block(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let context = routes::Context {
            state: Arc::clone(&state),
            rpc: rpc.clone(),
            host: format!("http://{address}"),
        };
        let router = axum::Router::new().fallback(routes::answer).with_state(context);
        let task = super::runtime().spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self {
            state,
            address,
            server: Arc::new(Server(task)),
        }
    }
    /// URL of the service, as `--service-url` wants it.
    pub fn url(&self) -> String {
        format!("http://{}/tx-service/sim", self.address)
    }
    /// Makes a Safe known, as indexing its creation does.
    pub fn index(&self, safe: Address) {
        self.lock().safes.insert(safe);
    }
    /// Serves a Safe no longer.
    pub fn ban(&self, safe: Address) {
        self.lock().banned.insert(safe);
    }
    /// Lies from now on.
    pub fn lie(&self, lies: impl FnOnce(&mut Lies)) {
        lies(&mut self.lock().lies);
    }
    /// Everything that was proposed, oldest first.
    pub fn proposals(&self) -> Vec<Proposal> {
        self.lock().proposals.clone()
    }
    /// One proposal.
    pub fn proposal(&self, hash: B256) -> Option<Proposal> {
        self.proposals().into_iter().find(|proposal| proposal.hash == hash)
    }
    /// Somebody's proposal, put there behind the API.
    pub fn put(&self, proposal: Proposal) {
        self.lock().proposals.push(proposal);
    }
    /// Somebody's delegation, put there behind the API.
    pub fn delegate(&self, one: Delegate) {
        self.lock().delegates.push(one);
    }
    /// Delegates.
    pub fn delegates(&self) -> Vec<Delegate> {
        self.lock().delegates.clone()
    }
    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }
    /// Requests since the last call of this.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.lock().requests)
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
