//! One JSON-RPC endpoint: batches go out, replies come back in order. What a reply means is decided by the callers.
//!
//! A refusal (a JSON-RPC error object) is a reply; no reply at all is an error. Texts from outside are escaped and cut.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use alloy::primitives::{B256, Bytes, U64, U128};
use alloy::rpc::client::RpcClient;
use alloy::transports::{RpcError, TransportError, TransportErrorKind, TransportResult};
use futures_util::future::join_all;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::block::BlockRef;
use super::error::{ChainError, Missing};
use crate::http::{HttpError, RpcTransport, Sent};
use crate::text::shorten;

/// Longest text from outside that is kept, characters.
const TEXT_LIMIT: usize = 512;
/// How long an endpoint that failed is not asked while another one works: long enough not to wait for its time-out
/// at every step, short enough that it takes part again in the same upgrade.
const ASIDE: Duration = Duration::from_secs(20);
/// Largest answer of [`Node::ask_for_much`]: a full block of a busy chain, with its receipts' blooms.
const MUCH: usize = 16 * 1024 * 1024;

/// One endpoint.
#[derive(Debug)]
pub(super) struct Node {
    client: RpcClient,
    /// Reads longer answers.
    patient: RpcClient,
    label: String,
    aside: Mutex<Option<Instant>>,
    by_number: AtomicBool,
    singly: AtomicBool,
    brief: AtomicBool,
}

/// Why a batch was not heard.
enum Unheard {
    /// The endpoint takes no batches, or none of this length.
    Batches,
    Trouble(ChainError),
}

impl From<ChainError> for Unheard {
    fn from(error: ChainError) -> Self {
        Self::Trouble(error)
    }
}

/// One request of a batch.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    method: &'static str,
    params: Value,
}

/// The replies to a batch, taken one after the other.
#[derive(Debug)]
pub(super) struct Replies<'a> {
    node: &'a Node,
    list: std::vec::IntoIter<(&'static str, Reply)>,
}

/// One reply.
#[derive(Debug)]
pub(super) enum Reply {
    /// A result, `null` included.
    Result(Box<RawValue>),
    /// An error object.
    Refused(Refusal),
}

/// A JSON-RPC error object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("refused with {code}: {message}")]
pub(super) struct Refusal {
    /// Code; endpoints disagree about its meaning.
    pub(super) code: i64,
    /// Text, escaped and cut.
    pub(super) message: String,
    /// Bytes of a revert, if there are any.
    pub(super) data: Option<Bytes>,
}

/// An answer of the wrong shape.
#[derive(Debug, thiserror::Error)]
#[error("the answer has the wrong shape")]
struct Misshapen;

/// The fields of a block that are used here.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct RawBlock {
    number: Option<U64>,
    hash: Option<B256>,
    timestamp: U64,
    gas_limit: U64,
    #[serde(default)]
    base_fee_per_gas: Option<U128>,
}

impl RawBlock {
    pub(super) fn gas_limit(&self) -> u64 {
        self.gas_limit.to()
    }
    /// wei per gas; chains from before EIP-1559 have none.
    pub(super) fn base_fee(&self) -> u128 {
        self.base_fee_per_gas.unwrap_or_default().to()
    }
    /// `None`: a block that is not sealed.
    pub(super) fn sealed(&self) -> Option<BlockRef> {
        Some(BlockRef {
            number: self.number?.to(),
            hash: self.hash?,
            timestamp: self.timestamp.to(),
        })
    }
}

impl Ask {
    pub(super) const fn new(method: &'static str, params: Value) -> Self {
        Self { method, params }
    }
    pub(super) fn chain_id() -> Self {
        Self::new("eth_chainId", json!([]))
    }
    /// A block by tag.
    pub(super) fn block_at(tag: &str) -> Self {
        Self::new("eth_getBlockByNumber", json!([tag, false]))
    }
    /// A block by number.
    pub(super) fn block(number: u64) -> Self {
        Self::new("eth_getBlockByNumber", json!([U64::from(number), false]))
    }
}

impl Node {
    pub(super) fn new(transport: RpcTransport) -> Self {
        let label = transport.endpoint().to_string();
        Self {
            patient: RpcClient::new(transport.clone().reading(MUCH), false),
            client: RpcClient::new(transport, false),
            label,
            aside: Mutex::new(None),
            by_number: AtomicBool::new(false),
            singly: AtomicBool::new(false),
            brief: AtomicBool::new(false),
        }
    }
    /// Scheme and host.
    pub(super) fn label(&self) -> &str {
        &self.label
    }
    /// Whether it takes no block hashes where a block is named (EIP-1898).
    pub(super) fn by_number(&self) -> bool {
        self.by_number.load(Ordering::Relaxed)
    }
    pub(super) fn use_numbers(&self) {
        self.by_number.store(true, Ordering::Relaxed);
    }
    /// Whether it is asked once for a history, and left out where it refuses: another one is there for those.
    pub(super) fn is_brief(&self) -> bool {
        self.brief.load(Ordering::Relaxed)
    }
    pub(super) fn be_brief(&self) {
        self.brief.store(true, Ordering::Relaxed);
    }
    pub(super) fn is_aside(&self) -> bool {
        self.aside
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some_and(|until| Instant::now() < until)
    }
    pub(super) fn set_aside(&self, aside: bool) {
        let until = aside.then(|| Instant::now() + ASIDE);
        *self.aside.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
    /// This endpoint, missing where others agree.
    pub(super) fn missing(&self, why: impl Into<String>) -> Missing {
        Missing {
            endpoint: self.label.clone(),
            why: why.into(),
        }
    }
    /// No usable answer from this endpoint.
    pub(super) fn unavailable(
        &self,
        method: &str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ChainError {
        ChainError::Unavailable {
            endpoint: self.label.clone(),
            method: method.to_owned(),
            source: source.into(),
        }
    }
    /// An answer that cannot be read; its text is not kept, it may be of any length.
    pub(super) fn misshapen(&self, method: &str) -> ChainError {
        self.unavailable(method, Misshapen)
    }
    /// Sends all of `asks` in one round trip; to endpoints that take no batches of this length, one by one.
    ///
    /// # Errors
    /// There is no reply, or not to every request.
    pub(super) async fn ask(&self, asks: &[Ask]) -> Result<Replies<'_>, ChainError> {
        // An empty batch is an invalid request to some endpoints.
        if asks.is_empty() {
            let list = Vec::new().into_iter();
            return Ok(Replies { node: self, list });
        }
        if !self.singly.load(Ordering::Relaxed) {
            match self.ask_at_once(asks).await {
                Err(Unheard::Batches) => self.singly.store(true, Ordering::Relaxed),
                Err(Unheard::Trouble(error)) => return Err(error),
                Ok(replies) => return Ok(replies),
            }
        }
        let list = join_all(asks.iter().map(|ask| self.ask_one(ask))).await;
        Ok(Replies {
            node: self,
            list: list.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter(),
        })
    }

    /// Sends one request whose answer may be long: a whole block.
    ///
    /// # Errors
    /// There is no reply.
    pub(super) async fn ask_for_much(&self, ask: &Ask) -> Result<Reply, ChainError> {
        let answered = self.patient.request::<_, Box<RawValue>>(ask.method, &ask.params).await;
        self.reply(ask.method, answered)
    }

    /// One block, `None` where there is none.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub(super) async fn block_if_there(&self, ask: Ask) -> Result<Option<BlockRef>, ChainError> {
        let raw: Option<RawBlock> = self.ask(&[ask]).await?.take()?;
        Ok(raw.and_then(|raw| raw.sealed()))
    }
    /// One block.
    ///
    /// # Errors
    /// As [`Self::ask`], or there is none.
    pub(super) async fn block(&self, ask: Ask) -> Result<BlockRef, ChainError> {
        let method = ask.method;
        let found = self.block_if_there(ask).await?;
        found.ok_or_else(|| self.misshapen(method))
    }

    async fn ask_at_once(&self, asks: &[Ask]) -> Result<Replies<'_>, Unheard> {
        let first = asks.first().map_or("", |ask| ask.method);
        let mut batch = self.client.new_batch();
        let mut waiters = Vec::with_capacity(asks.len());
        for ask in asks {
            let waiter = batch.add_call::<_, Box<RawValue>>(ask.method, &ask.params);
            waiters.push((ask.method, waiter.map_err(|error| self.trouble(ask.method, error))?));
        }
        match batch.await {
            Ok(()) => {}
            Err(RpcError::ErrorResp(payload))
                if asks.len() > 1 && Refusal::from_payload(&payload).is_about_batches() =>
            {
                return Err(Unheard::Batches);
            }
            Err(error) => return Err(self.trouble(first, error).into()),
        }
        let mut list = Vec::with_capacity(waiters.len());
        for (method, waiter) in waiters {
            list.push((method, self.reply(method, waiter.await)?));
        }
        let refused = |reply: &Reply| matches!(reply, Reply::Refused(refusal) if refusal.is_about_batches());
        if asks.len() > 1 && list.iter().all(|(_, reply)| refused(reply)) {
            return Err(Unheard::Batches);
        }
        Ok(Replies {
            node: self,
            list: list.into_iter(),
        })
    }

    async fn ask_one(&self, ask: &Ask) -> Result<(&'static str, Reply), ChainError> {
        let answered = self.client.request::<_, Box<RawValue>>(ask.method, &ask.params).await;
        Ok((ask.method, self.reply(ask.method, answered)?))
    }

    fn reply(&self, method: &str, answered: TransportResult<Box<RawValue>>) -> Result<Reply, ChainError> {
        match answered {
            Ok(raw) => Ok(Reply::Result(raw)),
            Err(RpcError::ErrorResp(payload)) => Ok(Reply::Refused(Refusal::from_payload(&payload))),
            Err(error) => Err(self.trouble(method, error)),
        }
    }

    fn trouble(&self, method: &str, error: TransportError) -> ChainError {
        match error {
            // The whole batch was refused: its text may be long.
            RpcError::ErrorResp(payload) => self.unavailable(method, Refusal::from_payload(&payload)),
            RpcError::Transport(TransportErrorKind::Custom(source) | TransportErrorKind::NonRetryable(source)) => {
                self.unavailable(method, source)
            }
            RpcError::Transport(kind) => self.unavailable(method, kind),
            RpcError::DeserError { .. } => self.misshapen(method),
            other => self.unavailable(method, other),
        }
    }
}

impl Replies<'_> {
    /// The next reply, whatever it is.
    ///
    /// # Errors
    /// None is left, which would be a mistake here.
    pub(super) fn reply(&mut self) -> Result<(&'static str, Reply), ChainError> {
        self.list.next().ok_or_else(|| self.node.misshapen("a batch"))
    }
    /// The next reply as a value.
    ///
    /// # Errors
    /// It is a refusal or has another shape.
    pub(super) fn take<T: DeserializeOwned>(&mut self) -> Result<T, ChainError> {
        match self.reply()? {
            (method, Reply::Result(raw)) => {
                serde_json::from_str(raw.get()).map_err(|_shape| self.node.misshapen(method))
            }
            (method, Reply::Refused(refusal)) => Err(self.node.unavailable(method, refusal)),
        }
    }
    /// The next reply as a value; `None` when it was refused.
    ///
    /// # Errors
    /// It has another shape.
    pub(super) fn take_if_offered<T: DeserializeOwned>(&mut self) -> Result<Option<T>, ChainError> {
        match self.reply()? {
            (method, Reply::Result(raw)) => serde_json::from_str(raw.get())
                .map(Some)
                .map_err(|_shape| self.node.misshapen(method)),
            (_, Reply::Refused(_)) => Ok(None),
        }
    }
    /// The next reply as a number.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub(super) fn number(&mut self) -> Result<u64, ChainError> {
        Ok(self.take::<U64>()?.to())
    }
}

impl Refusal {
    fn from_payload(payload: &alloy::rpc::json_rpc::ErrorPayload) -> Self {
        let data = payload
            .data
            .as_ref()
            .and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
        Self {
            code: payload.code,
            message: printable(&payload.message),
            data: data.as_ref().and_then(revert_bytes),
        }
    }
    /// The message in lower case, for matching.
    pub(super) fn lower(&self) -> String {
        self.message.to_lowercase()
    }
    /// Whether the EVM ran and the contract refused; anything else is the endpoint's own trouble.
    pub(super) fn is_revert(&self) -> bool {
        let said = self.lower();
        // The last ones are how geth and revm call it when a contract that was not written for the question stumbles.
        let texts = [
            "revert",
            "invalid opcode",
            "vm execution error",
            "invalid jump destination",
            "stack underflow",
            "invalidfeopcode",
            "opcodenotfound",
            "invalidjump",
            "stackunderflow",
        ];
        self.code == 3 || texts.iter().any(|text| said.contains(text))
    }
    /// Whether the endpoint refuses batches, or long ones; free plans of public endpoints do.
    fn is_about_batches(&self) -> bool {
        self.lower().contains("batch")
    }
    /// Whether it does not have the block that was asked about, or not on its chain any more.
    pub(super) fn is_of_a_missing_block(&self) -> bool {
        let said = self.lower();
        let texts = [
            "resource not found",
            "header not found",
            "header for hash not found",
            "unknown block",
            "block not found",
            "not currently canonical",
        ];
        texts.iter().any(|text| said.contains(text))
    }
    /// Whether a request was not understood, in contrast to not answered.
    pub(super) fn is_misunderstood(&self) -> bool {
        let said = self.lower();
        let texts = [
            "invalid",
            "unmarshal",
            "unsupported",
            "not supported",
            "expected",
            "too many arguments",
        ];
        matches!(self.code, -32601 | -32602) || texts.iter().any(|text| said.contains(text))
    }
}

/// Endpoints put the bytes of a revert into `data` itself, into `data.data`, or behind a word.
fn revert_bytes(data: &Value) -> Option<Bytes> {
    match data {
        Value::String(text) => text.split_whitespace().next_back()?.parse().ok(),
        Value::Object(fields) => fields.get("data").and_then(revert_bytes),
        _ => None,
    }
}

/// Whether a request that has no answer certainly never left this machine.
pub(super) fn never_sent(error: &ChainError) -> bool {
    let ChainError::Unavailable { source, .. } = error else {
        return false;
    };
    source
        .downcast_ref::<HttpError>()
        .is_some_and(|error| error.sent == Sent::No)
}

/// How long the endpoint asked to be left alone.
pub(super) fn asked_delay(error: &ChainError) -> Option<Duration> {
    let ChainError::Unavailable { source, .. } = error else {
        return None;
    };
    source.downcast_ref::<TransportErrorKind>()?.retry_after()
}

/// A text from outside, fit for a terminal.
pub(super) fn printable(text: &str) -> String {
    shorten(text, TEXT_LIMIT)
}
