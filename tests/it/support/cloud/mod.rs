//! A simulated Phala Cloud: the upgrade's state machine behind the documented API, on loopback.
//!
//! It decides 465 to 468 by reading the chain itself, keeps tokens as the documents say (14 days, one live token per
//! CVM, one use), and boots a committed CVM by asking the KMS contract. The official clients run against it in
//! `peers.rs`. `Lies` makes it dishonest.

mod approval;
mod configure;
mod fleet;
mod hooks;
mod inventory;
mod kms;
mod life;
mod model;
mod newcomers;
mod records;
mod revisions;
mod routes;
mod stream;
mod updates;
mod versions;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use alloy::primitives::B256;

use super::Rpc;
use model::State;

pub use hooks::STEP_UP;
pub use inventory::{OFFICIAL_SCRIPT, revision};
pub use kms::KmsKeys;
pub use model::{
    BootFailure, Cvm, Edit, Fate, Lies, Makes, Manifest, More, NODES, OnchainKms, Token, bare, canonical, compose_hash,
    ordinary_manifest,
};
pub use revisions::Revision;

/// The key that the simulated cloud accepts.
pub const API_KEY: &str = "phak_simulated-0123456789";

/// How long a commit token is good, seconds.
pub const TOKEN_LIFE: i64 = 14 * 24 * 3600;

/// One request that reached the cloud.
#[derive(Debug, Clone)]
pub struct Request {
    /// Verb.
    pub method: String,
    /// Path with the API's prefix, without the query.
    pub path: String,
    /// Query, as sent.
    pub query: String,
    /// Headers, lower case.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: Vec<u8>,
    /// What was answered; 0 while it is being answered.
    pub status: u16,
}

/// A running cloud; dropping the last handle leaves its task to the end of the process.
#[derive(Clone)]
pub struct SimCloud {
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

impl Request {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{} {}: {e}", self.method, self.path))
    }
    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

impl SimCloud {
    /// Starts a cloud that has `cvms`.
    pub fn start(cvms: Vec<Cvm>) -> Self {
        let mut state = State {
            api_key: API_KEY.to_owned(),
            cvms,
            tokens: Vec::new(),
            announced: BTreeMap::new(),
            clock_offset: 0,
            boot_time: Duration::from_millis(50),
            boot_failure: None,
            lies: Lies::default(),
            requests: Vec::new(),
            counter: 0,
            operations: Vec::new(),
            wanted: Vec::new(),
            webhooks: Vec::new(),
            revisions: Vec::new(),
            versions: ("2025-10-28".to_owned(), "2026-06-23".to_owned()),
        };
        for cvm in state.cvms.clone() {
            state.revise(&cvm, &cvm.manifest, "create");
        }
        let state = Arc::new(Mutex::new(state));
        let listener = super::block(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let context = routes::Context {
            state: Arc::clone(&state),
            base: format!("http://{address}/api/v1"),
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
    /// Prefix of the API, as `PHALA_CLOUD_API_PREFIX` wants it.
    pub fn prefix(&self) -> String {
        format!("http://{}/api/v1", self.address)
    }
    /// Where it listens.
    pub const fn address(&self) -> std::net::SocketAddr {
        self.address
    }
    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }
    /// How many requests there were so far.
    pub fn request_count(&self) -> usize {
        self.lock().requests.len()
    }
    /// Requests with this verb whose path ends with `end`.
    pub fn requests_to(&self, method: &str, end: &str) -> Vec<Request> {
        let wanted = |request: &Request| request.method == method && request.path.ends_with(end);
        self.requests().into_iter().filter(wanted).collect()
    }
    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.lock().requests.clear();
    }
    /// A CVM by any of its names.
    pub fn cvm(&self, id: &str) -> Cvm {
        let state = self.lock();
        let found = state.find(id);
        assert_eq!(found.len(), 1, "`{id}` names {} CVMs", found.len());
        found[0].clone()
    }
    /// Changes a CVM behind the API.
    pub fn change_cvm(&self, id: &str, change: impl FnOnce(&mut Cvm)) {
        let uuid = self.cvm(id).uuid;
        change(self.lock().cvm_mut(&uuid));
    }
    /// One more CVM.
    pub fn add_cvm(&self, cvm: Cvm) {
        let mut state = self.lock();
        state.revise(&cvm, &cvm.manifest, "create");
        state.cvms.push(cvm);
    }
    /// Every revision, oldest first.
    pub fn revisions(&self) -> Vec<Revision> {
        self.lock().revisions.clone()
    }
    /// Changes the history behind the API.
    pub fn change_revisions(&self, change: impl FnOnce(&mut Vec<Revision>)) {
        change(&mut self.lock().revisions);
    }
    /// Puts one CVM back in the place of all there are.
    pub fn restore(&self, cvm: &Cvm) {
        self.lock().cvms = vec![cvm.clone()];
    }
    /// Names of all CVMs.
    pub fn names(&self) -> Vec<String> {
        self.lock().cvms.iter().map(|cvm| cvm.name.clone()).collect()
    }
    /// Every token that was made, oldest first.
    pub fn tokens(&self) -> Vec<Token> {
        self.lock().tokens.clone()
    }
    /// Every token is as good as when it was made.
    pub fn revive_tokens(&self) {
        self.lock().tokens.iter_mut().for_each(|token| token.fate = Fate::Live);
    }
    /// Hashes that were committed to a CVM, in order.
    pub fn commits(&self, id: &str) -> Vec<B256> {
        self.cvm(id).commits
    }
    /// Moves the cloud's clock.
    pub fn advance(&self, seconds: i64) {
        self.lock().clock_offset += seconds;
    }
    /// How long a boot takes from now on; with no time at all, what needs no chain is done at once.
    pub fn set_boot_time(&self, time: Duration) {
        self.lock().boot_time = time;
    }
    /// What goes wrong at the next boots.
    pub fn set_boot_failure(&self, failure: Option<BootFailure>) {
        self.lock().boot_failure = failure;
    }
    /// Which versions of the API it speaks from now on.
    pub fn speak(&self, oldest: &str, newest: &str) {
        self.lock().versions = (oldest.to_owned(), newest.to_owned());
    }
    /// Another API key.
    pub fn set_api_key(&self, key: &str) {
        key.clone_into(&mut self.lock().api_key);
    }
    /// Lies from now on.
    pub fn lie(&self, lies: impl FnOnce(&mut Lies)) {
        lies(&mut self.lock().lies);
    }
    /// Waits until the CVM runs `hash`.
    pub fn wait_for_hash(&self, id: &str, hash: B256) {
        super::until("the new hash", || {
            let cvm = self.cvm(id);
            (cvm.compose_hash == hash && cvm.status == "running").then_some(())
        });
    }
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
