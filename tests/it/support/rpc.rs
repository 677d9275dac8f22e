//! JSON-RPC to anvil, raw: what the harness itself says to the chain, independent of the library's own client.

use alloy::primitives::{Address, B256, Bytes, U256};
use alloy::sol_types::SolCall;
use serde_json::{Value, json};

/// A JSON-RPC endpoint.
#[derive(Debug, Clone)]
pub struct Rpc {
    url: String,
}

impl Rpc {
    /// An endpoint; does no I/O.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into() }
    }
    /// Its URL.
    pub fn url(&self) -> &str {
        &self.url
    }
    /// Asks; an error is transport trouble or the `error` object as text.
    pub async fn ask(&self, method: &str, params: Value) -> Result<Value, String> {
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let answer = super::http()
            .post(&self.url)
            .json(&body)
            .send()
            .await
            .map_err(|e| e.to_string())?;
        let mut answer: Value = answer.json().await.map_err(|e| e.to_string())?;
        match answer.get("error") {
            Some(error) => Err(error.to_string()),
            None => Ok(answer["result"].take()),
        }
    }
    /// Asks and waits.
    pub fn try_call(&self, method: &str, params: Value) -> Result<Value, String> {
        let (this, method) = (self.clone(), method.to_owned());
        super::block(async move { this.ask(&method, params).await })
    }
    /// Asks and waits; anything but a result fails the test.
    pub fn call(&self, method: &str, params: Value) -> Value {
        let shown = params.to_string();
        match self.try_call(method, params) {
            Ok(value) => value,
            Err(error) => panic!("{method} {shown}: {error}"),
        }
    }
    /// `eth_call` at the newest block.
    pub async fn view<C: SolCall>(&self, to: Address, call: &C) -> Result<C::Return, String> {
        let data = Bytes::from(call.abi_encode());
        let answer = self
            .ask("eth_call", json!([{"to": to, "data": data}, "latest"]))
            .await?;
        let bytes: Bytes = serde_json::from_value(answer).map_err(|e| e.to_string())?;
        C::abi_decode_returns(&bytes).map_err(|e| e.to_string())
    }
    /// `eth_call` at the newest block, waiting.
    pub fn read<C: SolCall + Clone + Send + Sync + 'static>(&self, to: Address, call: &C) -> C::Return
    where
        C::Return: Send + 'static,
    {
        let (this, call) = (self.clone(), call.clone());
        super::block(async move { this.view(to, &call).await }).unwrap_or_else(|e| panic!("{}: {e}", C::SIGNATURE))
    }
    /// `eth_call` at the newest block, as `sender`.
    pub fn read_as<C: SolCall>(&self, sender: Address, to: Address, call: &C) -> C::Return {
        let data = Bytes::from(call.abi_encode());
        let answer = self.call("eth_call", json!([{"from": sender, "to": to, "data": data}, "latest"]));
        let bytes: Bytes = serde_json::from_value(answer).unwrap();
        C::abi_decode_returns(&bytes).unwrap_or_else(|e| panic!("{}: {e}", C::SIGNATURE))
    }
    /// Sends from an unlocked or impersonated account; gives the transaction's hash and does not wait for a block.
    pub fn send(&self, from: Address, to: Option<Address>, data: &[u8]) -> B256 {
        let data = Bytes::copy_from_slice(data);
        let mut transaction = json!({"from": from, "data": data});
        if let Some(to) = to {
            transaction["to"] = json!(to);
        }
        serde_json::from_value(self.call("eth_sendTransaction", json!([transaction]))).unwrap()
    }
    /// Sends a call and requires that it was mined and succeeded.
    pub fn execute<C: SolCall>(&self, from: Address, to: Address, call: &C) -> B256 {
        let hash = self.send(from, Some(to), &call.abi_encode());
        let receipt = self.mined(hash);
        assert_eq!(receipt["status"], "0x1", "{} failed", C::SIGNATURE);
        hash
    }
    /// Like [`Self::execute`], from an account whose key nobody here has.
    pub fn execute_as<C: SolCall>(&self, from: Address, to: Address, call: &C) -> B256 {
        self.call("anvil_impersonateAccount", json!([from]));
        self.call("anvil_setBalance", json!([from, "0xde0b6b3a7640000"]));
        let hash = self.execute(from, to, call);
        self.call("anvil_stopImpersonatingAccount", json!([from]));
        hash
    }
    /// The receipt, if the transaction is in a block.
    pub fn receipt(&self, hash: B256) -> Option<Value> {
        Some(self.call("eth_getTransactionReceipt", json!([hash]))).filter(|receipt| !receipt.is_null())
    }
    /// The receipt, once there is one: anvil answers a send before it has mined.
    pub fn mined(&self, hash: B256) -> Value {
        super::until("a block with the transaction", || self.receipt(hash))
    }
    /// Mines `blocks` blocks.
    pub fn mine(&self, blocks: u64) {
        self.call("anvil_mine", json!([U256::from(blocks)]));
    }
    /// Height.
    pub fn height(&self) -> u64 {
        self.number("eth_blockNumber", json!([]))
    }
    /// Transactions of `account` in blocks.
    pub fn nonce(&self, account: Address) -> u64 {
        self.number("eth_getTransactionCount", json!([account, "latest"]))
    }
    /// A quantity as a number.
    pub fn number(&self, method: &str, params: Value) -> u64 {
        let value: U256 = serde_json::from_value(self.call(method, params)).unwrap();
        value.to()
    }
}
