//! Transactions and receipts: from an endpoint's JSON to the bytes that stand in a block's tries, and what those bytes say.
//! Pure.
//!
//! Deposits stand in every block of an OP Stack chain (OP Stack specification, "Deposits": type 0x7e, without a signature;
//! its receipt has the sender's nonce and a version since Canyon). What is of a type that is not known here does not come
//! out right, which the root tells.

use alloy::consensus::transaction::SignerRecoverable;
use alloy::consensus::{Transaction, TxEnvelope};
use alloy::eips::eip2718::{Decodable2718, Encodable2718};
use alloy::primitives::{Address, B256, Bloom, Bytes, Log, TxKind, U64, U128, U256, keccak256};
use alloy::rlp::{Decodable, Encodable, Header, encode_list};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{ShownReceipt, ShownTransaction};

/// A deposit's type.
const DEPOSIT: u8 = 0x7e;
/// Types of receipts whose fields are those of the first ones (EIP-2930, EIP-1559, EIP-4844, EIP-7702), or begin with them.
const TYPED: [u8; 5] = [1, 2, 3, 4, DEPOSIT];

#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type", default)]
    kind: U64,
}

/// A deposit, as endpoints give it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deposit {
    source_hash: B256,
    from: Address,
    #[serde(default)]
    to: Option<Address>,
    #[serde(default)]
    mint: Option<U128>,
    value: U256,
    gas: U64,
    #[serde(default)]
    is_system_tx: bool,
    input: Bytes,
}

/// A receipt, as endpoints give it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireReceipt {
    #[serde(rename = "type", default)]
    kind: U64,
    status: U64,
    cumulative_gas_used: U64,
    logs_bloom: Bloom,
    logs: Vec<Log>,
    #[serde(default)]
    deposit_nonce: Option<U64>,
    #[serde(default)]
    deposit_receipt_version: Option<U64>,
    /// Its transaction, by the endpoint's word.
    pub(super) transaction_hash: B256,
}

/// The EIP-2718 bytes of a transaction; `None`: it is of a form that is not known here.
pub(super) fn transaction_bytes(json: &RawValue) -> Option<Vec<u8>> {
    let Typed { kind } = serde_json::from_str(json.get()).ok()?;
    if kind.to::<u64>() == u64::from(DEPOSIT) {
        let deposit: Deposit = serde_json::from_str(json.get()).ok()?;
        return Some(deposit.bytes());
    }
    let envelope: TxEnvelope = serde_json::from_str(json.get()).ok()?;
    Some(envelope.encoded_2718())
}

impl Deposit {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![DEPOSIT];
        let to = self.to.map_or(TxKind::Create, TxKind::Call);
        let mint = self.mint.unwrap_or_default();
        let fields: [&dyn Encodable; 8] = [
            &self.source_hash,
            &self.from,
            &to,
            &mint,
            &self.value,
            &self.gas,
            &self.is_system_tx,
            &self.input,
        ];
        encode_list::<_, dyn Encodable>(&fields, &mut bytes);
        bytes
    }
}

impl WireReceipt {
    /// Its EIP-2718 bytes.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let kind = u8::try_from(self.kind.to::<u64>()).ok()?;
        let mut bytes: Vec<u8> = Some(kind).filter(|kind| *kind != 0).into_iter().collect();
        let mut fields: Vec<&dyn Encodable> =
            vec![&self.status, &self.cumulative_gas_used, &self.logs_bloom, &self.logs];
        // Before there was a version, the nonce was shown and not in the trie.
        if let (Some(nonce), Some(version)) = (&self.deposit_nonce, &self.deposit_receipt_version) {
            fields.extend([nonce as &dyn Encodable, version]);
        }
        encode_list::<_, dyn Encodable>(&fields, &mut bytes);
        Some(bytes)
    }
}

/// What a transaction's EIP-2718 bytes say; `None`: they are of a form that is not known here.
pub(super) fn read_transaction(index: u64, bytes: &[u8]) -> Option<ShownTransaction> {
    let hash = keccak256(bytes);
    if let Some((&DEPOSIT, fields)) = bytes.split_first() {
        return read_deposit(index, hash, fields);
    }
    let mut rest = bytes;
    let envelope = TxEnvelope::decode_2718(&mut rest).ok()?;
    if !rest.is_empty() {
        return None;
    }
    Some(ShownTransaction {
        index,
        hash,
        sender: envelope.recover_signer().ok()?,
        is_signed: true,
        chain_id: envelope.chain_id(),
        delegations: envelope.authorization_list().map_or(0, <[_]>::len),
        to: envelope.to(),
        value: envelope.value(),
        input: envelope.input().clone(),
    })
}

fn read_deposit(index: u64, hash: B256, mut rest: &[u8]) -> Option<ShownTransaction> {
    let mut fields = Header::decode_bytes(&mut rest, true).ok()?;
    let fields = &mut fields;
    let _source = B256::decode(fields).ok()?;
    let sender = Address::decode(fields).ok()?;
    let to = TxKind::decode(fields).ok()?;
    let _mint = U128::decode(fields).ok()?;
    let value = U256::decode(fields).ok()?;
    let _gas = u64::decode(fields).ok()?;
    let _is_system = bool::decode(fields).ok()?;
    let input = Bytes::decode(fields).ok()?;
    (fields.is_empty() && rest.is_empty()).then_some(ShownTransaction {
        index,
        hash,
        sender,
        is_signed: false,
        chain_id: None,
        delegations: 0,
        to: to.to().copied(),
        value,
        input,
    })
}

/// What a receipt's EIP-2718 bytes say; `None`: they are of a form that is not known here, like those from before
/// EIP-658, which have no status.
pub(super) fn read_receipt(index: u64, bytes: &[u8]) -> Option<ShownReceipt> {
    let mut rest = match bytes.split_first() {
        Some((kind, fields)) if TYPED.contains(kind) => fields,
        _ => bytes,
    };
    let mut fields = Header::decode_bytes(&mut rest, true).ok()?;
    let fields = &mut fields;
    let succeeded = bool::decode(fields).ok()?;
    let _gas = u64::decode(fields).ok()?;
    let _bloom = Bloom::decode(fields).ok()?;
    let logs = Vec::<Log>::decode(fields).ok()?;
    rest.is_empty().then_some(ShownReceipt { index, succeeded, logs })
}
