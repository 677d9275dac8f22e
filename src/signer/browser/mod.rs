//! A wallet in the browser of whoever sits at this machine, reached by a page on the loopback address.
//!
//! The page shows what is about to be agreed to, takes consent, and asks the wallet (EIP-1193, found by EIP-6963). Nothing that
//! comes back is believed: a signature is recovered and compared where it is used. A thread of its own serves the page, so
//! that it answers while somebody thinks.
//!
//! | file | knows |
//! |---|---|
//! | `session` | what page and run say to each other, as a state machine; pure |
//! | `door` | who may come in, and what each request says to the session; pure |
//! | `page/` | the page: one document, one script, one style sheet |

mod door;
mod session;

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alloy::primitives::{Address, B256, U64, U256};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};
use zeroize::Zeroizing;

use self::door::Door;
use self::session::{Answer, Asking, Request, SEND_TRANSACTION, SIGN_TYPED_DATA, Session};
use super::consent::{Acting, Decision};
use super::error::WalletError;
use crate::chain::TxRequest;
use crate::http::serve::{self, Asked, Bounds};

/// What a page may send; more connections wait, and whoever says nothing is let go soon.
const BOUNDS: Bounds = Bounds {
    connections: 64,
    patience: Duration::from_secs(3),
    head: 16 * 1024,
    body: 64 * 1024,
};
/// How often is looked whether the page is there still.
const LOOK: Duration = Duration::from_millis(250);
/// How long the page has to hear how it ended.
const FAREWELL: Duration = Duration::from_secs(3);
/// How long the answer to the page's last word has to leave, before the process may end.
const LAST_ANSWER: Duration = Duration::from_millis(50);
/// Bytes of the token that the page's address holds.
const TOKEN_BYTES: usize = 32;
/// Error codes of wallets: EIP-1193 and EIP-1474.
const REJECTED: i64 = 4001;
const BUSY: i64 = -32002;
/// A page for a wallet, served until its last clone is dropped.
#[derive(Clone)]
pub struct Wallet(Arc<Served>);

struct Served {
    shared: Arc<Shared>,
    port: u16,
    token: Zeroizing<String>,
    /// When nobody is waited for any more.
    end: Instant,
    /// Dropped, it ends the server.
    _running: oneshot::Sender<()>,
}

/// What the thread that serves and the run that waits have in common.
struct Shared {
    session: Mutex<Session>,
    changed: Condvar,
    news: Notify,
}

impl Wallet {
    /// Serves a page on this port of the loopback address, or on a free one where it is zero, for as long as `patience`.
    ///
    /// # Errors
    /// [`WalletError::Unserved`].
    pub fn serve(port: u16, patience: Duration) -> Result<Self, WalletError> {
        let listener =
            TcpListener::bind(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).map_err(WalletError::Unserved)?;
        listener.set_nonblocking(true).map_err(WalletError::Unserved)?;
        let port = listener.local_addr().map_err(WalletError::Unserved)?.port();
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        getrandom::fill(bytes.as_mut()).map_err(|error| WalletError::Unserved(std::io::Error::other(error)))?;
        let token = Zeroizing::new(hex::encode(bytes.as_ref()));
        let shared = Arc::new(Shared {
            session: Mutex::new(Session::new()),
            changed: Condvar::new(),
            news: Notify::new(),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(WalletError::Unserved)?;
        let (running, ended) = oneshot::channel();
        let (door, serves) = (Door::new(port, token.clone()), Arc::clone(&shared));
        let thread = std::thread::Builder::new().name("page".to_owned());
        let serving = move || runtime.block_on(attend(listener, door, serves, ended));
        thread.spawn(serving).map_err(WalletError::Unserved)?;
        Ok(Self(Arc::new(Served {
            shared,
            port,
            token,
            end: Instant::now() + patience,
            _running: running,
        })))
    }

    /// The page's address; whoever knows it can act on the page.
    pub fn address(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("http://127.0.0.1:{}/#{}", self.port(), &*self.0.token))
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Shows this on the page: HTML whose words are harmless.
    pub fn show(&self, html: String) {
        self.0.shared.lock().show(html);
    }

    /// Whether a page was opened.
    pub fn is_open(&self) -> bool {
        self.0.shared.lock().is_open()
    }

    /// Has somebody connect an account.
    ///
    /// # Errors
    /// The page was closed, or nobody answered in time.
    pub async fn account(&self) -> Result<Address, WalletError> {
        self.0.shared.lock().want_account();
        self.heard(Session::account).await
    }

    /// Asks for consent on the page, and waits for it without giving the thread away: a person is waited for.
    ///
    /// # Errors
    /// The page was closed, or nobody answered in time.
    pub fn consent(&self, acting: Acting, question: &str, decisions: &[Decision]) -> Result<bool, WalletError> {
        let shared = &self.0.shared;
        let mut session = shared.lock();
        session.want_consent(Asking::new(acting, question, decisions));
        loop {
            if let Some(agreed) = session.agreed() {
                return Ok(agreed);
            }
            self.check(&session)?;
            let waited = shared.changed.wait_timeout(session, LOOK);
            session = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Has the wallet sign a document (EIP-712, as JSON), after consent. Gives the bytes that came back, unchecked.
    ///
    /// # Errors
    /// See [`WalletError`].
    pub(super) async fn sign_typed_data(&self, from: Address, document: &Value) -> Result<Vec<u8>, WalletError> {
        let params = json!([from, document.to_string()]);
        let given = self.perform(SIGN_TYPED_DATA, params).await?;
        let digits = given.strip_prefix("0x").unwrap_or(&given);
        hex::decode(digits)
            .ok()
            .ok_or(WalletError::Malformed("it is no hexadecimal text"))
    }

    /// Has the wallet sign a transaction and send it, after consent. Gives the hash that it says it has.
    ///
    /// # Errors
    /// See [`WalletError`]; whether it was sent all the same, [`Self::is_handed_out`] and the error tell.
    pub(super) async fn send(&self, request: &TxRequest) -> Result<B256, WalletError> {
        let TxRequest { call, .. } = request;
        // Nonce and fees are a proposal: a wallet does what it will.
        let params = json!([{
            "from": request.from,
            "to": call.to,
            "data": call.data,
            "value": call.value,
            "chainId": U64::from(request.chain_id),
            "nonce": U64::from(request.nonce),
            "gas": U64::from(request.gas_limit),
            "maxFeePerGas": U256::from(request.max_fee_per_gas),
            "maxPriorityFeePerGas": U256::from(request.max_priority_fee_per_gas),
        }]);
        let given = self.perform(SEND_TRANSACTION, params).await?;
        given
            .parse()
            .ok()
            .ok_or(WalletError::Malformed("it is no hash of a transaction"))
    }

    /// Shows what is on the page without asking for anything, until the page has it.
    ///
    /// # Errors
    /// Nobody opened it in time.
    pub async fn present(&self, said: &str, good: bool) -> Result<(), WalletError> {
        self.0.shared.lock().end(said, good);
        self.heard(|session| session.is_told().then_some(())).await
    }

    /// Whether a wallet may have got the last request.
    pub fn is_handed_out(&self) -> bool {
        self.0.shared.lock().is_handed_out()
    }

    /// Tells the page how it ended, and waits a moment until it knows.
    pub fn farewell(&self, said: &str, good: bool) {
        let (shared, end) = (&self.0.shared, Instant::now() + FAREWELL);
        let mut session = shared.lock();
        session.end(said, good);
        while Instant::now() < end && !session.is_told() && session.is_open() && self.check(&session).is_ok() {
            let waited = shared.changed.wait_timeout(session, LOOK);
            session = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let is_told = session.is_told();
        drop(session);
        if is_told {
            std::thread::sleep(LAST_ANSWER);
        }
    }

    async fn perform(&self, method: &'static str, params: Value) -> Result<String, WalletError> {
        self.0.shared.lock().want_answer(Request { method, params });
        let heard = self.heard(Session::answer).await;
        // Whether a wallet may have it does not change after this.
        self.0.shared.lock().withdraw();
        match heard? {
            Answer::Given(given) => Ok(given),
            Answer::Refused { code: REJECTED, .. } => Err(WalletError::Refused),
            Answer::Refused { code: BUSY, .. } => Err(WalletError::Busy),
            Answer::Refused { code, message } => Err(WalletError::Failed { code, message }),
        }
    }

    async fn heard<T>(&self, hear: impl Fn(&Session) -> Option<T>) -> Result<T, WalletError> {
        let shared = &self.0.shared;
        loop {
            let news = shared.news.notified();
            {
                let session = shared.lock();
                if let Some(heard) = hear(&session) {
                    return Ok(heard);
                }
                self.check(&session)?;
            }
            let _looked = tokio::time::timeout(LOOK, news).await;
        }
    }

    fn check(&self, session: &Session) -> Result<(), WalletError> {
        let now = Instant::now();
        session.check_open(now)?;
        if now < self.0.end {
            Ok(())
        } else {
            Err(WalletError::TimedOut)
        }
    }
}

impl std::fmt::Debug for Wallet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wallet")
            .field("port", &self.0.port)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves until the last wallet of it is gone.
async fn attend(listener: TcpListener, door: Door, shared: Arc<Shared>, ended: oneshot::Receiver<()>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let take = |asked: Asked| {
        let reply = door::answer(&mut shared.lock(), &asked, Instant::now());
        shared.changed.notify_all();
        shared.news.notify_waiters();
        (reply, ControlFlow::<std::convert::Infallible>::Continue(()))
    };
    tokio::select! {
        _gone = ended => {}
        never = serve::serve(&listener, BOUNDS, move |head| door.refuse(head), take) => match never {},
    }
}

#[cfg(test)]
mod tests;
