//! The frozen Safe transaction: every field set, its hash inside, nothing in it that an upgrade does not need.
//!
//! [`SafeTxFields`] hashes any transaction, also one that nobody should sign; a [`SafeTx`] exists only if it passed the
//! rules. Pure.

use alloy::primitives::{Address, B256, Bytes, U256, b256, keccak256};
use alloy::sol_types::{SolCall, SolValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::batch::{self, BatchError};
use super::deployments;
use super::version::{HashRules, SafeVersion, Support};
use crate::abi::safe::Safe::{approveHashCall, execTransactionCall};
use crate::chain::Call;

/// keccak256 of `EIP712Domain(uint256 chainId,address verifyingContract)`.
const DOMAIN_TYPE: B256 = b256!("47e79534a245952e8b16893a336b85a3d9ea9fa8c573f3d803afb92a79469218");
/// keccak256 of `EIP712Domain(address verifyingContract)`.
const DOMAIN_TYPE_WITHOUT_CHAIN: B256 = b256!("035aff83d86937d35b32e04f0ddc6ff469290eef2f1b692d8a815c89404d4749");
/// keccak256 of the type `SafeTx` with `baseGas`.
const TX_TYPE: B256 = b256!("bb8310d486368db6bd6f849402fdd73ad53d316b5a4b2644ad6efe0f941286d8");
/// keccak256 of the type `SafeTx` with `dataGas`.
const TX_TYPE_WITH_DATA_GAS: B256 = b256!("14d461bc7412367e924637b363c7bf29b8f47e2f84869f4426e5633d8af47b20");
/// keccak256 of `SafeMessage(bytes message)`.
const MESSAGE_TYPE: B256 = b256!("60b3cbf8b4a223d68d641b3b6ddf9a298e7f33710cf3d3a9d1146b5a6150fbca");

/// Whose transactions: the EIP-712 domain, and the version that decides how it is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SafeDomain {
    /// Chain id, as the chain itself says it.
    pub chain_id: u64,
    /// Address of the Safe: the proxy, never the singleton.
    pub safe: Address,
    /// Version of the Safe's code.
    pub version: SafeVersion,
}

/// How the Safe makes the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
#[repr(u8)]
pub enum Operation {
    /// A plain call.
    Call = 0,
    /// The target's code runs in the Safe's place.
    DelegateCall = 1,
}

/// A number that is no operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("operation {0} is neither 0 (call) nor 1 (delegate call)")]
pub struct NotAnOperation(u8);

/// The ten fields that a Safe hashes, whatever they say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SafeTxFields {
    /// Target.
    pub to: Address,
    /// Wei.
    pub value: U256,
    /// Calldata.
    pub data: Bytes,
    /// Call or delegate call.
    pub operation: Operation,
    /// Gas for the inner call; other than zero, a failure inside uses up the nonce.
    pub safe_tx_gas: U256,
    /// Gas that is refunded on top.
    pub base_gas: U256,
    /// Wei or tokens per gas that the Safe pays to whoever executes.
    pub gas_price: U256,
    /// What the refund is paid in.
    pub gas_token: Address,
    /// Who gets the refund.
    pub refund_receiver: Address,
    /// Nonce of the Safe.
    pub nonce: U256,
}

/// What somebody wants a Safe to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intent {
    /// Which Safe.
    pub domain: SafeDomain,
    /// Nonce of the Safe.
    pub nonce: U256,
    /// The calls, in order. One is made as it is, several as a batch.
    pub calls: Vec<Call>,
    /// The library that batches; see [`deployments::batchers`]. Not needed for one call.
    pub batcher: Option<Address>,
    /// Accept Safes before 1.3.0, whose signatures are good on every chain.
    pub old_versions: bool,
}

/// A Safe transaction that may be signed. It cannot be changed any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SafeTx {
    domain: SafeDomain,
    fields: SafeTxFields,
    calls: Vec<Call>,
    hash: B256,
}

/// The hashes of a transaction as signers compare them. ERC-8213 names the first three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digests {
    /// Domain hash: what Ledger and Trezor show first.
    pub domain: B256,
    /// Message hash: what they show second.
    pub message: B256,
    /// EIP-712 digest, the safeTxHash.
    pub safe_tx: B256,
    /// ERC-8213 calldata digest of the transaction's data.
    pub data: B256,
}

/// Why a transaction is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SafeTxError {
    /// Before 1.3.0.
    #[error("Safe {version} signs without a chain id: a signature is good on every chain where the Safe exists")]
    OldVersion {
        /// Version.
        version: SafeVersion,
    },
    /// Hash rules unknown.
    #[error("Safe {version} is not known to this build")]
    UnknownVersion {
        /// Version.
        version: SafeVersion,
    },
    /// Two Safes that should stand on one chain.
    #[error("chain {found} is not chain {expected}")]
    OtherChain {
        /// Chain id.
        found: u64,
        /// The other Safe's.
        expected: u64,
    },
    /// No call.
    #[error("there is no call to make")]
    NothingToDo,
    /// A field that pays somebody or lets a failure use up the nonce.
    #[error("{field} is not zero")]
    NotZero {
        /// Name of the field.
        field: &'static str,
    },
    /// A call to the zero address; a 1.5.0 library makes it a call to the Safe itself.
    #[error("call {index} goes to the zero address")]
    ZeroTarget {
        /// Position, from zero.
        index: usize,
    },
    /// A call to the Safe itself changes its owners or its code.
    #[error("call {index} goes to the Safe itself")]
    SelfCall {
        /// Position, from zero.
        index: usize,
    },
    /// Ether that no call of an upgrade needs.
    #[error("call {index} sends {value} wei")]
    Value {
        /// Position, from zero.
        index: usize,
        /// How much.
        value: U256,
    },
    /// A delegate call to anything but a known MultiSendCallOnly.
    #[error("a delegate call to {address}, which is no known MultiSendCallOnly library")]
    NotABatcher {
        /// Target.
        address: Address,
    },
    /// Several calls and no library for them.
    #[error("{calls} calls need a MultiSendCallOnly library, and none was named")]
    NoBatcher {
        /// How many.
        calls: usize,
    },
    /// The data of a batch is not one.
    #[error("the batch cannot be read")]
    Batch(#[source] BatchError),
    /// Other calls than expected.
    #[error(
        "the transaction does not make exactly the expected calls: {found} instead of {expected}, call {index} differs"
    )]
    OtherCalls {
        /// Position of the first difference, from zero.
        index: usize,
        /// How many calls it makes.
        found: usize,
        /// How many it should make.
        expected: usize,
    },
}

impl SafeDomain {
    /// Domain hash (`domainSeparator()` of the Safe).
    pub fn separator(&self) -> B256 {
        match self.version.hash_rules() {
            HashRules::Current => {
                let chain = U256::from(self.chain_id);
                keccak256((DOMAIN_TYPE, chain, self.safe).abi_encode())
            }
            HashRules::DataGas | HashRules::NoChainId => keccak256((DOMAIN_TYPE_WITHOUT_CHAIN, self.safe).abi_encode()),
        }
    }
    /// What the owners of this Safe sign when it answers ERC-1271 for `message`
    /// (`CompatibilityFallbackHandler.getMessageHash`). A Safe that owns another Safe is asked about
    /// [`SafeTx::owner_message`].
    pub fn message_hash(&self, message: &[u8]) -> B256 {
        keccak256(self.preimage(keccak256((MESSAGE_TYPE, keccak256(message)).abi_encode())))
    }

    fn preimage(&self, message_hash: B256) -> [u8; 66] {
        let mut preimage = [0; 66];
        let (mark, hashes) = preimage.split_at_mut(2);
        let (domain, message) = hashes.split_at_mut(32);
        mark.copy_from_slice(&[0x19, 0x01]);
        domain.copy_from_slice(self.separator().as_slice());
        message.copy_from_slice(message_hash.as_slice());
        preimage
    }
}

impl SafeTxFields {
    /// The fields of a plain call or delegate call, without gas and refund.
    pub fn plain(to: Address, data: Bytes, operation: Operation, nonce: U256) -> Self {
        Self {
            to,
            value: U256::ZERO,
            data,
            operation,
            safe_tx_gas: U256::ZERO,
            base_gas: U256::ZERO,
            gas_price: U256::ZERO,
            gas_token: Address::ZERO,
            refund_receiver: Address::ZERO,
            nonce,
        }
    }
    /// Message hash: the EIP-712 struct hash.
    pub fn message_hash(&self, version: SafeVersion) -> B256 {
        let kind = match version.hash_rules() {
            HashRules::DataGas => TX_TYPE_WITH_DATA_GAS,
            HashRules::NoChainId | HashRules::Current => TX_TYPE,
        };
        let operation = U256::from(u8::from(self.operation));
        let what = (kind, self.to, self.value, keccak256(&self.data), operation);
        let gas = (self.safe_tx_gas, self.base_gas, self.gas_price);
        let refund = (self.gas_token, self.refund_receiver);
        // Words only, so the parts stand next to each other as they would in one tuple.
        keccak256(
            [
                what.abi_encode(),
                gas.abi_encode(),
                refund.abi_encode(),
                self.nonce.abi_encode(),
            ]
            .concat(),
        )
    }
    /// safeTxHash (`getTransactionHash(…)` of the Safe).
    pub fn hash(&self, domain: &SafeDomain) -> B256 {
        keccak256(self.preimage(domain))
    }
    /// The 66 bytes whose keccak256 is [`Self::hash`].
    pub fn preimage(&self, domain: &SafeDomain) -> [u8; 66] {
        domain.preimage(self.message_hash(domain.version))
    }
    /// The rules that hold for every transaction here: no gas, no refund, no ether.
    fn check_zeros(&self) -> Result<(), SafeTxError> {
        let zeros = [
            ("safeTxGas", self.safe_tx_gas.is_zero()),
            ("baseGas", self.base_gas.is_zero()),
            ("gasPrice", self.gas_price.is_zero()),
            ("gasToken", self.gas_token.is_zero()),
            ("refundReceiver", self.refund_receiver.is_zero()),
            ("value", self.value.is_zero()),
        ];
        match zeros.into_iter().find(|(_, zero)| !zero) {
            Some((field, _)) => Err(SafeTxError::NotZero { field }),
            None => Ok(()),
        }
    }
    /// The calls that the Safe would make.
    pub(super) fn calls(&self) -> Result<Vec<Call>, SafeTxError> {
        match self.operation {
            Operation::Call => Ok(vec![Call {
                to: self.to,
                value: self.value,
                data: self.data.clone(),
            }]),
            Operation::DelegateCall if deployments::batcher(self.to).is_some() => {
                batch::decode(&self.data).map_err(SafeTxError::Batch)
            }
            Operation::DelegateCall => Err(SafeTxError::NotABatcher { address: self.to }),
        }
    }
}

impl SafeTx {
    /// The transaction that makes the calls of `intent`.
    ///
    /// # Errors
    /// An old or unknown version, no call, several without a library, a call with ether, to nobody or to the Safe.
    pub fn freeze(intent: &Intent) -> Result<Self, SafeTxError> {
        let fields = match (intent.calls.as_slice(), intent.batcher) {
            ([], _) => return Err(SafeTxError::NothingToDo),
            ([one], _) => SafeTxFields {
                value: one.value,
                ..SafeTxFields::plain(one.to, one.data.clone(), Operation::Call, intent.nonce)
            },
            (several, Some(library)) => {
                SafeTxFields::plain(library, batch::encode(several), Operation::DelegateCall, intent.nonce)
            }
            (several, None) => return Err(SafeTxError::NoBatcher { calls: several.len() }),
        };
        let this = Self::accept(intent.domain, fields, intent.old_versions)?;
        this.expect_calls(&intent.calls)?;
        Ok(this)
    }
    /// The transaction that somebody else made, if it passes the rules.
    ///
    /// # Errors
    /// What [`Self::freeze`] refuses, a gas or refund field that is not zero, a delegate call to anything but a known
    /// MultiSendCallOnly, a batch that is not the canonical encoding of its calls.
    pub fn accept(domain: SafeDomain, fields: SafeTxFields, old_versions: bool) -> Result<Self, SafeTxError> {
        let version = domain.version;
        match version.support() {
            Support::Full => {}
            Support::Old if old_versions => {}
            Support::Old => return Err(SafeTxError::OldVersion { version }),
            Support::Unknown => return Err(SafeTxError::UnknownVersion { version }),
        }
        let calls = fields.calls()?;
        for (index, call) in calls.iter().enumerate() {
            check_call(index, call)?;
        }
        fields.check_zeros()?;
        let this = Self {
            hash: fields.hash(&domain),
            domain,
            fields,
            calls,
        };
        match this.calls.iter().position(|call| call.to == domain.safe) {
            Some(index) if !this.is_rejection() => Err(SafeTxError::SelfCall { index }),
            _ => Ok(this),
        }
    }
    /// The transaction that does nothing but use up `nonce`, so that another with the same nonce can never be executed.
    ///
    /// # Errors
    /// An old or unknown version.
    pub fn rejection(domain: SafeDomain, nonce: U256, old_versions: bool) -> Result<Self, SafeTxError> {
        let fields = SafeTxFields::plain(domain.safe, Bytes::new(), Operation::Call, nonce);
        Self::accept(domain, fields, old_versions)
    }
    /// Refuses any other list of calls than `expected`: one less, one more, another order, another byte.
    ///
    /// # Errors
    /// [`SafeTxError::OtherCalls`] with the first difference.
    pub fn expect_calls(&self, expected: &[Call]) -> Result<(), SafeTxError> {
        if self.calls == expected {
            return Ok(());
        }
        let same = self
            .calls
            .iter()
            .zip(expected)
            .take_while(|(found, wanted)| found == wanted);
        Err(SafeTxError::OtherCalls {
            index: same.count(),
            found: self.calls.len(),
            expected: expected.len(),
        })
    }
    /// Which Safe.
    pub const fn domain(&self) -> &SafeDomain {
        &self.domain
    }
    /// The ten fields.
    pub const fn fields(&self) -> &SafeTxFields {
        &self.fields
    }
    /// The calls that the Safe makes, in order.
    pub fn calls(&self) -> &[Call] {
        &self.calls
    }
    /// safeTxHash.
    pub const fn hash(&self) -> B256 {
        self.hash
    }
    /// Whether it only uses up its nonce.
    pub fn is_rejection(&self) -> bool {
        let plain = self.fields.operation == Operation::Call && self.fields.data.is_empty();
        plain && self.fields.to == self.domain.safe
    }
    /// The hashes that signers compare.
    pub fn digests(&self) -> Digests {
        let data = Call {
            to: self.fields.to,
            value: self.fields.value,
            data: self.fields.data.clone(),
        };
        Digests {
            domain: self.domain.separator(),
            message: self.fields.message_hash(self.domain.version),
            safe_tx: self.hash,
            data: data.digest(),
        }
    }
    /// The 66 bytes whose keccak256 is the safeTxHash: what `eip712sign` reads, and what `checkSignatures` of a Safe
    /// before 1.5.0 is given beside the hash.
    pub fn preimage(&self) -> [u8; 66] {
        self.fields.preimage(&self.domain)
    }
    /// What this Safe asks an owner that is a contract about (ERC-1271): the hash from 1.5.0 on, before that the
    /// 66 bytes of [`Self::preimage`].
    pub fn owner_message(&self) -> Bytes {
        if self.domain.version.asks_owners_by_hash() {
            self.hash.into()
        } else {
            self.preimage().into()
        }
    }
    /// `approveHash(safeTxHash)` on this Safe: how any owner, also another Safe, approves on chain.
    pub fn approve_hash_call(&self) -> Call {
        let call = approveHashCall {
            hashToApprove: self.hash,
        };
        Call {
            to: self.domain.safe,
            value: U256::ZERO,
            data: call.abi_encode().into(),
        }
    }
    /// `execTransaction` with packed signatures, as anybody may send it.
    pub fn exec_call(&self, signatures: &Bytes) -> Call {
        let fields = &self.fields;
        let call = execTransactionCall {
            to: fields.to,
            value: fields.value,
            data: fields.data.clone(),
            operation: fields.operation.into(),
            safeTxGas: fields.safe_tx_gas,
            baseGas: fields.base_gas,
            gasPrice: fields.gas_price,
            gasToken: fields.gas_token,
            refundReceiver: fields.refund_receiver,
            signatures: signatures.clone(),
        };
        Call {
            to: self.domain.safe,
            value: U256::ZERO,
            data: call.abi_encode().into(),
        }
    }
    /// Whether `call` is `execTransaction` of exactly this transaction on its Safe, whatever the signatures are.
    pub fn is_executed_by(&self, call: &Call) -> bool {
        self.signatures_in(call).is_some()
    }
    /// The signatures with which `call` executes exactly this transaction on its Safe; nothing where it does not.
    pub fn signatures_in(&self, call: &Call) -> Option<Bytes> {
        if call.to != self.domain.safe || !call.value.is_zero() {
            return None;
        }
        let signatures = execTransactionCall::abi_decode_validate(&call.data).ok()?.signatures;
        // Encoded again it has to be the same bytes: nothing hides behind the arguments.
        (*call == self.exec_call(&signatures)).then_some(signatures)
    }
    /// The document for `eth_signTypedData_v4`. Numbers of the message are decimal strings: some are larger than what
    /// JSON readers keep exactly.
    pub fn typed_data(&self) -> Value {
        let rules = self.domain.version.hash_rules();
        let base_gas = if rules == HashRules::DataGas {
            "dataGas"
        } else {
            "baseGas"
        };
        let field = |(name, kind): (&str, &str)| json!({"name": name, "type": kind});
        let mut domain_type = vec![field(("verifyingContract", "address"))];
        let mut domain = json!({"verifyingContract": self.domain.safe.to_checksum(None)});
        if let (HashRules::Current, Some(domain)) = (rules, domain.as_object_mut()) {
            domain_type.insert(0, field(("chainId", "uint256")));
            domain.insert("chainId".to_owned(), self.domain.chain_id.into());
        }
        let types = tx_types(base_gas).map(field);
        json!({
            "types": {"EIP712Domain": domain_type, "SafeTx": types},
            "primaryType": "SafeTx",
            "domain": domain,
            "message": self.typed_message(base_gas),
        })
    }

    fn typed_message(&self, base_gas: &str) -> Value {
        let fields = &self.fields;
        json!({
            "to": fields.to.to_checksum(None),
            "value": fields.value.to_string(),
            "data": fields.data,
            "operation": u8::from(fields.operation).to_string(),
            "safeTxGas": fields.safe_tx_gas.to_string(),
            base_gas: fields.base_gas.to_string(),
            "gasPrice": fields.gas_price.to_string(),
            "gasToken": fields.gas_token.to_checksum(None),
            "refundReceiver": fields.refund_receiver.to_checksum(None),
            "nonce": fields.nonce.to_string(),
        })
    }
}

impl TryFrom<u8> for Operation {
    type Error = NotAnOperation;
    fn try_from(number: u8) -> Result<Self, NotAnOperation> {
        match number {
            0 => Ok(Self::Call),
            1 => Ok(Self::DelegateCall),
            other => Err(NotAnOperation(other)),
        }
    }
}

impl From<Operation> for u8 {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Call => 0,
            Operation::DelegateCall => 1,
        }
    }
}

/// The members of `SafeTx`, in order; `base_gas` is called otherwise by Safes before 1.0.0.
pub(super) const fn tx_types(base_gas: &str) -> [(&str, &str); 10] {
    [
        ("to", "address"),
        ("value", "uint256"),
        ("data", "bytes"),
        ("operation", "uint8"),
        ("safeTxGas", "uint256"),
        (base_gas, "uint256"),
        ("gasPrice", "uint256"),
        ("gasToken", "address"),
        ("refundReceiver", "address"),
        ("nonce", "uint256"),
    ]
}

fn check_call(index: usize, call: &Call) -> Result<(), SafeTxError> {
    if call.to.is_zero() {
        return Err(SafeTxError::ZeroTarget { index });
    }
    if !call.value.is_zero() {
        return Err(SafeTxError::Value {
            index,
            value: call.value,
        });
    }
    Ok(())
}

#[cfg(test)]
#[path = "tx_tests.rs"]
mod tests;
