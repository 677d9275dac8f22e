//! The world that tests, the rehearsal and benchmarks run in: a chain, the contracts, a simulated Phala Cloud, a fault
//! proxy and the official clients, all on loopback.
//!
//! Everything here blocks, so that it serves plain and async tests alike: the servers live on a runtime of their own
//! and never wait for the test's. Nothing here calls the library that is tested.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    missing_debug_implementations,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice,
    clippy::missing_errors_doc,
    clippy::too_many_arguments,
    clippy::disallowed_methods,
    clippy::let_underscore_must_use,
    clippy::cast_possible_truncation,
    reason = "test harness: it aborts when the world itself is broken, and no single test uses all of it"
)]

pub mod anvil;
pub mod attestation;
pub mod attested;
pub mod cloud;
pub mod command;
pub mod contracts;
pub mod guest;
pub mod kms;
pub mod outsider;
pub mod page;
pub mod proxy;
pub mod rpc;
pub mod safe_service;
pub mod safes;
pub mod terminal;
pub mod timelocks;
pub mod world;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

pub use anvil::{ACCOUNTS, Account, Anvil, AnvilOptions};
pub use attested::Attested;
pub use cloud::{BootFailure, SimCloud};
pub use command::countersign;
pub use proxy::{Action, FaultProxy, Gate, Match, Message, Moment, Nth};
pub use rpc::Rpc;
pub use safe_service::SafeService;
pub use world::{AppVariant, SafeOptions, World, WorldOptions};

/// The longest that anything is waited for. It ends a test that would hang, and is no measure of speed: nothing that
/// goes well gets near it, on however slow a machine.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The servers' own runtime.
pub fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("world")
            .enable_all()
            .build()
            .unwrap()
    });
    &RUNTIME
}

/// Waits for `future` on the servers' runtime; works inside an async test as well.
pub fn block<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let (send, receive) = std::sync::mpsc::channel();
    runtime().spawn(async move {
        let _ = send.send(future.await);
    });
    receive.recv().expect("the task panicked, see above")
}

/// One client for all of the harness: no proxy from the environment, no idle connections to a server that is gone.
pub fn http() -> &'static reqwest::Client {
    static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()
            .unwrap()
    });
    &CLIENT
}

/// The repository's root.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pinned npm packages; `make setup` puts them there.
pub fn packages() -> PathBuf {
    let path = repository().join("tests/node/node_modules");
    assert!(
        path.is_dir(),
        "tests/node/node_modules is missing: run `make setup` once"
    );
    path
}

/// Waits until `ready` gives a value; panics when [`PATIENCE`] ends, saying what it waited for.
pub fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = ready() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
