//! The document that remains of a change that took effect (`evidence.json`, format 2). Data; pure.
//!
//! Everything outside of [`Said`] follows from something else in the document: from a hash, a signature, a header of the
//! chain, a quote. Nothing there is believed; see [`verify`](super::verify()).

use std::fmt;

use alloy::primitives::{Address, B256, Bytes};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attest::saved::Saved;
use crate::attest::{Link, Standing, TcbStatus};
use crate::chain::policy_history::PolicyFact;
use crate::chain::timelock::TimelockOperation;
use crate::chain::witness::Witness;
use crate::chain::{BlockRef, Call, Finality, PolicyChange, Proof};
use crate::compose::ComposeHash;
use crate::safe::{SafeDomain, SafeTxFields};
use crate::text;

/// Name and version of the format.
pub(super) const FORMAT: &str = "countersign.evidence/2";

/// What remains of a change that took effect.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Name and version of the format.
    pub(super) schema: String,
    /// The chain.
    pub chain_id: u64,
    /// The app's contract.
    #[cfg_attr(feature = "cli", schemars(with = "String"))]
    pub app: Address,
    /// Its owner, who approved the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub owner: Option<Address>,
    /// What changed.
    #[cfg_attr(feature = "cli", schemars(with = "Vec<serde_json::Value>"))]
    pub changes: Vec<PolicyChange>,
    /// What else the app logged of its policy in the same transaction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "cli", schemars(with = "Vec<serde_json::Value>"))]
    pub besides: Vec<PolicyFact>,
    /// The calls that make the changes.
    #[cfg_attr(feature = "cli", schemars(with = "Vec<serde_json::Value>"))]
    pub calls: Vec<Call>,
    /// What is to run, where that changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// What a Safe's owners signed, where one acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe: Option<SafeTransaction>,
    /// What a timelock executed, where one acted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timelock: Option<Operation>,
    /// The transaction that changed it; none where only the state shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<Transaction>,
    /// The block that holds the transaction, or at which the state was read.
    #[cfg_attr(feature = "cli", schemars(with = "serde_json::Value"))]
    pub block: BlockRef,
    /// What the block's hash proves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<serde_json::Value>"))]
    pub witness: Option<Witness>,
    /// Other apps that the same transaction changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Other>,
    /// What the hardware measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<Attestation>,
    /// What only the writer says.
    pub said: Box<Said>,
}

/// What runs, before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Code {
    /// Hash after.
    #[cfg_attr(feature = "cli", schemars(with = "String"))]
    pub compose_hash: ComposeHash,
    /// The manifest after, byte for byte as it is hashed; none where nobody knows how its hash is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Hash before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub previous_compose_hash: Option<ComposeHash>,
    /// The manifest before, byte for byte as it is hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_manifest: Option<String>,
}

/// A Safe's transaction, and who agreed to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SafeTransaction {
    /// Whose.
    #[cfg_attr(feature = "cli", schemars(with = "serde_json::Value"))]
    pub domain: SafeDomain,
    /// Its ten fields; none in documents of format 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<serde_json::Value>"))]
    pub fields: Option<SafeTxFields>,
    /// What owners sign.
    #[cfg_attr(feature = "cli", schemars(with = "String"))]
    pub safe_tx_hash: B256,
    /// Whether it scheduled the change at a timelock, which somebody executed later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub schedules: bool,
    /// The owners.
    #[cfg_attr(feature = "cli", schemars(with = "Vec<String>"))]
    pub owners: Vec<Address>,
    /// How many of them have to agree.
    pub threshold: u64,
    /// The owners whose signatures these are, as far as they prove themselves.
    #[cfg_attr(feature = "cli", schemars(with = "Vec<String>"))]
    pub signed_by: Vec<Address>,
    /// The signatures with which it was executed, where its execution is in the witness; otherwise those that were here.
    #[cfg_attr(feature = "cli", schemars(with = "String"))]
    pub signatures: Bytes,
}

/// What a timelock executed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// The timelock.
    #[cfg_attr(feature = "cli", schemars(with = "String"))]
    pub address: Address,
    /// Identifier that it knows the operation by.
    #[cfg_attr(feature = "cli", schemars(with = "String"))]
    pub id: B256,
    /// Calls, predecessor and salt; none in documents of format 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<serde_json::Value>"))]
    pub operation: Option<TimelockOperation>,
}

/// A transaction on chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Transaction {
    /// Hash.
    #[cfg_attr(feature = "cli", schemars(with = "String"))]
    pub hash: B256,
    /// Who signed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub sender: Option<Address>,
}

/// Another app that the same transaction changed; its CVMs have evidence of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Other {
    /// The app's contract.
    #[cfg_attr(feature = "cli", schemars(with = "String"))]
    pub app: Address,
    /// What changed; nothing where it was undone before it was proved.
    #[cfg_attr(feature = "cli", schemars(with = "Vec<serde_json::Value>"))]
    pub changes: Vec<PolicyChange>,
    /// What else it logged.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "cli", schemars(with = "Vec<serde_json::Value>"))]
    pub besides: Vec<PolicyFact>,
}

/// What the hardware measured, with the writer's verdict on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// All that the verdict was made of.
    #[cfg_attr(feature = "cli", schemars(with = "serde_json::Value"))]
    pub made_of: Saved,
    /// Machines that count though they are not up to date.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "cli", schemars(with = "Vec<String>"))]
    pub accepted: Vec<TcbStatus>,
    /// The verdict, link by link.
    pub links: Vec<Judged>,
}

/// What was said of one link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// Which.
    #[cfg_attr(feature = "cli", schemars(with = "serde_json::Value"))]
    pub link: Link,
    /// What.
    #[cfg_attr(feature = "cli", schemars(with = "serde_json::Value"))]
    pub standing: Standing,
}

/// What only the writer says: nothing proves it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Said {
    /// Version of countersign.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version: String,
    /// Name of the upgrade.
    pub update: String,
    /// CVM, as it was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cvm: Option<String>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cvm_name: Option<String>,
    /// What was made from that CVM, and where; nothing where it changed itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub makes: Option<Made>,
    /// UUID of the CVM that was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_cvm: Option<String>,
    /// Machine that runs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub device: Option<B256>,
    /// The KMS's contract.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub kms: Option<Address>,
    /// The manifests after and before, where nobody knows how their hashes are made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub manifests: Vec<String>,
    /// The hash was recomputed from what a proposal shows, which somebody else prepared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub from_elsewhere: bool,
    /// What changed and no hash covers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub uncovered: Vec<Uncovered>,
    /// Doubts that somebody agreed to by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<Agreed>,
    /// What takes effect by the bytes that were signed, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub effects: Vec<String>,
    /// Somebody else's transaction was found instead of one sent by this upgrade.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
    /// How long the block stood when it was proved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
    /// When and by whom the timelock was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<Scheduling>,
    /// What became of it at Phala Cloud.
    #[serde(default)]
    pub cloud: CloudSaid,
    /// SHA-256 of the proposal beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub proposal_sha256: Option<B256>,
    /// Head of the journal when it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub journal_head: Option<B256>,
    /// A document of format 1, whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<serde_json::Value>"))]
    pub earlier: Option<Value>,
}

/// Another CVM that was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Made {
    /// `replica` or `instance`.
    pub kind: String,
    /// Number of its node; without it that of the CVM that it was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<u64>,
}

/// Something that changed and that no hash covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Uncovered {
    /// Its name, as Phala Cloud's API has it.
    pub field: String,
    /// How it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it became.
    pub after: String,
}

/// A doubt that somebody agreed to by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Agreed {
    /// Which.
    #[cfg_attr(feature = "cli", schemars(with = "String"))]
    pub code: crate::code::Code,
    /// What it was about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl fmt::Display for Uncovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.before {
            Some(before) => write!(f, "{} becomes {}, was {before}", self.field, self.after),
            None => write!(f, "{} becomes {}", self.field, self.after),
        }
    }
}

impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={value}", self.code),
            None => write!(f, "{}", self.code),
        }
    }
}

/// How long the block stood when it was proved, and who said so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Settled {
    /// Head at which the state was read again.
    #[cfg_attr(feature = "cli", schemars(with = "serde_json::Value"))]
    pub head: BlockRef,
    /// The finality that was asked for and reached.
    #[cfg_attr(feature = "cli", schemars(with = "serde_json::Value"))]
    pub finality: Finality,
    /// Endpoints that agreed, scheme and host.
    pub endpoints: Vec<String>,
    /// How many were named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub named: Option<u64>,
    /// Gas used by the transaction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gas_used: Option<u64>,
    /// Index in the block of the log that shows each change; none by state.
    pub log_indexes: Vec<Option<u64>>,
}

/// When and by whom a timelock was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Scheduling {
    /// Who asked.
    #[cfg_attr(feature = "cli", schemars(with = "String"))]
    pub proposer: Address,
    /// Seconds until it could be executed.
    pub delay: u64,
    /// The transaction that scheduled it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub transaction: Option<B256>,
}

/// What became of a commit, as Phala Cloud says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CloudSaid {
    /// Its name for the operation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// When it accepted the commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub committed_at: Option<Timestamp>,
    /// No answer to the commit came, and reading found what became of it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub was_read: bool,
    /// When the hash was found running, where nobody answered a commit of this upgrade.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub found_running_at: Option<Timestamp>,
    /// When it said that the hash runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub live_at: Option<Timestamp>,
    /// When it said so again, after an operation of this upgrade's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "cli", schemars(with = "Option<String>"))]
    pub seen_again_at: Option<Timestamp>,
}

impl Evidence {
    /// Name and version of the format that is written.
    pub const FORMAT: &str = FORMAT;

    /// The name and version that a document of this format says.
    pub(super) fn format() -> String {
        FORMAT.to_owned()
    }

    /// A document about `app` in which everything else is still to be filled in.
    pub fn about(chain_id: u64, app: Address, block: BlockRef) -> Self {
        Self {
            schema: Self::format(),
            chain_id,
            app,
            owner: None,
            changes: Vec::new(),
            besides: Vec::new(),
            calls: Vec::new(),
            code: None,
            safe: None,
            timelock: None,
            transaction: None,
            block,
            witness: None,
            others: Vec::new(),
            attestation: None,
            said: Box::default(),
        }
    }

    /// The file. Control characters stand as `\\u` in it, whoever shows it on a terminal.
    pub fn to_json(&self) -> String {
        let mut text = text::json(&serde_json::to_string_pretty(self).unwrap_or_default());
        text.push('\n');
        text
    }

    /// The hash that the change allows.
    pub fn added_hash(&self) -> Option<ComposeHash> {
        self.changes.iter().find_map(|change| match change {
            PolicyChange::AddComposeHash(hash) => Some(ComposeHash::new(hash.0)),
            _ => None,
        })
    }

    /// Who has to approve the change: its owner, and whom it was offered to where that one accepts it.
    pub fn approver(&self) -> Option<Address> {
        let accepts = self.changes.iter().find_map(|change| match change {
            PolicyChange::AcceptOwnership(to) => Some(*to),
            _ => None,
        });
        accepts.or(self.owner)
    }

    /// Its owner after the change.
    pub fn owner_after(&self) -> Option<Address> {
        let new = self.changes.iter().rev().find_map(|change| match change {
            PolicyChange::TransferOwnership(to) | PolicyChange::AcceptOwnership(to) => Some(*to),
            _ => None,
        });
        new.or(self.owner)
    }

    /// Whether it was read from a document of format 1, which holds no proof.
    pub fn is_of_format_1(&self) -> bool {
        self.said.earlier.is_some()
    }
}

impl Transaction {
    /// The transaction of a proof, where it names one.
    pub fn of(proof: &Proof) -> Option<Self> {
        let sender = proof.sender;
        proof.transaction.map(|hash| Self { hash, sender })
    }
}

impl Other {
    /// What is proved of another app.
    pub fn of(proof: &Proof) -> Self {
        Self {
            app: proof.app,
            changes: proof.changes.iter().map(|proved| proved.change).collect(),
            besides: proof.besides.iter().map(|one| one.what).collect(),
        }
    }
}

impl Settled {
    /// What a proof says of how long its block stood.
    pub fn of(proof: &Proof) -> Self {
        Self {
            head: proof.head,
            finality: proof.finality,
            endpoints: proof.endpoints.clone(),
            named: proof.named,
            gas_used: proof.gas_used,
            log_indexes: proof.changes.iter().map(|proved| proved.log_index).collect(),
        }
    }
}
