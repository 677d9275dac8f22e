//! The journal's records as values: what was meant, what was done, what was found.
//!
//! Data only; `state` says which may follow which.

use alloy::primitives::{Address, B256, Bytes};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::chain::{BlockRef, Proof, SignedTx, factory::DeployedApp};
use crate::cloud::updates::Accepted;
use crate::compose::{ComposeHash, Verification};
use crate::safe::info::SafeInfo;
use crate::upgrade::{
    accepted::Acceptance,
    model::{
        deployment::Deployment,
        plan::Plan,
        proposal::Proposal,
        safe_approval::{FrozenSafeTx, SafeTxRole},
        timelock_operation::{Choice, Scheduled},
        tx_purpose::TxPurpose,
    },
};

/// Which upgrade this is: the first record of its journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Journal format.
    pub schema: u32,
    /// Name of the upgrade.
    pub update: String,
    /// CVM, as it is named in the API's paths; none when only the app's policy changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cvm: Option<String>,
    /// App's contract; where a new app is to be made, the KMS's that makes it.
    pub app: Address,
    /// Chain id.
    pub chain_id: u64,
    /// Host of the API; none when only the app's policy changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<String>,
}

/// One journal record's content.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", content = "body", rename_all = "kebab-case")]
pub enum Event {
    /// First record.
    #[serde(rename = "open")]
    Open(Identity),
    /// What is intended, and what was read before.
    #[serde(rename = "plan")]
    Plan(Box<Plan>),
    /// The new app that is intended, in the place of a plan.
    #[serde(rename = "deploy")]
    Deploy(Box<Deployment>),
    /// The new app is made, and proved.
    #[serde(rename = "deployed")]
    Deployed(Box<DeployedApp>),
    /// An environment was sealed; its bytes are in a file of their own.
    #[serde(rename = "sealed")]
    Sealed {
        /// SHA-256 of the sealed bytes.
        sha256: B256,
        /// What tells these values from others, under a key that is no record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        values: Option<B256>,
        /// What was prepared before is for other values, and is prepared again.
        #[serde(default)]
        replaces: bool,
    },
    /// A PATCH is about to be sent.
    #[serde(rename = "prepare.try")]
    PrepareTry {
        /// When.
        at: Timestamp,
        /// SHA-256 of the request body.
        digest: B256,
        /// Where a new CVM is made: UUIDs of those that the app has.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        there: Vec<String>,
    },
    /// It was answered with a hash.
    #[serde(rename = "prepare.ok")]
    PrepareOk(Preparation),
    /// The hash was checked.
    #[serde(rename = "verified")]
    Verified {
        /// The hash.
        hash: ComposeHash,
        /// How.
        how: Verification,
    },
    /// Other apps of the same owner join: the same transaction makes their calls as well.
    #[serde(rename = "joined")]
    Joined(Vec<Proposal>),
    /// This app joined another one's approval: that one's proposal is approved, and nothing of its own is.
    #[serde(rename = "joins")]
    Joins {
        /// The app whose proposal it is.
        app: Address,
    },
    /// The Safe transaction was chosen: its nonce, and with it its hash.
    #[serde(rename = "safe.frozen")]
    SafeFrozen(Box<FrozenSafeTx>),
    /// An owner of the Safe agreed.
    #[serde(rename = "safe.signature")]
    SafeSignature {
        /// The owner who agreed.
        owner: Address,
        /// As it stands alone.
        signature: Bytes,
        /// What was signed.
        #[serde(rename = "paper")]
        role: SafeTxRole,
        /// Where it came from: `key`, or what was imported.
        source: String,
    },
    /// An owner is a Safe itself, and its transaction was chosen.
    #[serde(rename = "safe.nested")]
    SafeNested {
        /// That Safe.
        safe: Box<SafeInfo>,
        /// Its transaction.
        frozen: Box<FrozenSafeTx>,
    },
    /// An approval on chain is about to be sent.
    #[serde(rename = "safe.errand")]
    SafePurpose {
        /// Whose, and how.
        #[serde(rename = "errand")]
        purpose: TxPurpose,
    },
    /// It is on chain.
    #[serde(rename = "safe.errand.done")]
    SafePurposeDone {
        /// The transaction.
        transaction: B256,
    },
    /// The Safe changed, and somebody took that for good.
    #[serde(rename = "safe.pinned")]
    SafePinned(Box<SafeInfo>),
    /// The Safe transaction can never take effect: its nonce is used up.
    #[serde(rename = "safe.gone")]
    SafeGone {
        /// Why.
        why: String,
    },
    /// Which operation the timelock is asked for.
    #[serde(rename = "timelock.chosen")]
    TimelockChosen(Box<Choice>),
    /// The timelock has the operation.
    #[serde(rename = "timelock.scheduled")]
    TimelockScheduled(Scheduled),
    /// The timelock does not have it any more, and nobody cancelled it: what scheduled it is in no block.
    #[serde(rename = "timelock.unscheduled")]
    TimelockUnscheduled {
        /// Why.
        why: String,
    },
    /// It was cancelled, and somebody decided to schedule it anew.
    #[serde(rename = "timelock.again")]
    TimelockAgain,
    /// Somebody decided that the Safe transaction shall never be executed.
    #[serde(rename = "safe.reject")]
    SafeReject {
        /// When.
        at: Timestamp,
    },
    /// A signature is about to be asked for.
    #[serde(rename = "sign.try")]
    SignTry {
        /// Signer.
        signer: Address,
        /// What is signed.
        digest: B256,
    },
    /// The bytes that will be sent.
    #[serde(rename = "tx.signed")]
    TxSigned(SignedTx),
    /// They were sent.
    #[serde(rename = "tx.sent")]
    TxSent {
        /// Transaction.
        hash: B256,
        /// When.
        at: Timestamp,
    },
    /// Seen in a block.
    #[serde(rename = "tx.seen")]
    TxSeen {
        /// Transaction.
        hash: B256,
        /// Block.
        block: BlockRef,
    },
    /// The effect is proved.
    #[serde(rename = "tx.final")]
    TxFinal(Box<Proof>),
    /// The block that held the proof is not the chain's any more: the effect has to be proved anew.
    #[serde(rename = "proof.gone")]
    ProofGone {
        /// The block.
        block: BlockRef,
    },
    /// The effect on an app that joined is proved.
    #[serde(rename = "joined.final")]
    JoinedFinal(Box<Proof>),
    /// The nonce went to another transaction, or the transaction failed for good.
    #[serde(rename = "tx.gone")]
    TxGone {
        /// Why.
        why: String,
    },
    /// The commit is about to be sent.
    #[serde(rename = "commit.try")]
    CommitTry {
        /// When.
        at: Timestamp,
        /// Where a new CVM is made: UUIDs of those that the app has.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        there: Vec<String>,
    },
    /// The commit was refused for certain, or never left.
    #[serde(rename = "commit.not")]
    CommitNot {
        /// Why.
        why: String,
        /// The token is used up, superseded or expired.
        token_refused: bool,
    },
    /// The commit was accepted, or the hash was found running.
    #[serde(rename = "commit.ok")]
    CommitOk {
        /// What the server said when it accepted; nothing where the hash was found running, as Phala Cloud says.
        accepted: Option<Accepted>,
        /// When.
        at: Timestamp,
        /// UUID of the CVM that it made.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        made: Option<String>,
    },
    /// What was said of a commit, or of what runs, was false: nothing came of it.
    #[serde(rename = "commit.void")]
    CommitVoid {
        /// Why.
        why: String,
    },
    /// Phala Cloud reports that the CVM runs it.
    #[serde(rename = "done")]
    Done {
        /// When.
        at: Timestamp,
        /// It reported so again, after an operation of this upgrade's own: the commit token is of no use any more.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        again: bool,
    },
    /// The hash was allowed without a transaction of ours.
    #[serde(rename = "adopted")]
    Adopted(Box<Proof>),
    /// Given up.
    #[serde(rename = "abandoned")]
    Abandoned {
        /// Why.
        why: String,
    },
    /// Somebody agreed by name to a doubt; it holds for this upgrade from now on.
    #[serde(rename = "accepted")]
    Accepted(Acceptance),
    /// Something worth remembering.
    #[serde(rename = "note")]
    Note {
        /// What.
        text: String,
    },
}

/// What prepare gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preparation {
    /// Hash to allow.
    pub hash: ComposeHash,
    /// SHA-256 of the commit token; none was given when absent.
    pub token_sha256: Option<B256>,
    /// When, by the server's clock where it told.
    pub at: Timestamp,
    /// When the token expires.
    pub expires: Timestamp,
    /// The server's name for the request.
    pub request_id: Option<String>,
    /// Somebody else asked for it, and it was taken on.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
}

/// An event that the state does not allow: the journal was not written by this program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a record of kind `{kind}` cannot follow: {why}")]
pub struct IllegalStep {
    /// Kind of the record.
    pub kind: &'static str,
    /// What is missing.
    pub why: &'static str,
}

/// Why an event cannot come, where what has to be there is not.
pub(super) const fn unless(is_there: bool, why: &'static str) -> Option<&'static str> {
    if is_there { None } else { Some(why) }
}

impl Event {
    /// The record's kind, as the journal names it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::Plan(_) => "plan",
            Self::Deploy(_) => "deploy",
            Self::Deployed(_) => "deployed",
            Self::Sealed { .. } => "sealed",
            Self::PrepareTry { .. } => "prepare.try",
            Self::PrepareOk(_) => "prepare.ok",
            Self::Verified { .. } => "verified",
            Self::Joined(_) => "joined",
            Self::Joins { .. } => "joins",
            Self::SafeFrozen(_) => "safe.frozen",
            Self::SafeSignature { .. } => "safe.signature",
            Self::SafeNested { .. } => "safe.nested",
            Self::SafePurpose { .. } => "safe.errand",
            Self::SafePurposeDone { .. } => "safe.errand.done",
            Self::SafePinned(_) => "safe.pinned",
            Self::SafeGone { .. } => "safe.gone",
            Self::TimelockChosen(_) => "timelock.chosen",
            Self::TimelockScheduled(_) => "timelock.scheduled",
            Self::TimelockUnscheduled { .. } => "timelock.unscheduled",
            Self::TimelockAgain => "timelock.again",
            Self::SafeReject { .. } => "safe.reject",
            Self::SignTry { .. } => "sign.try",
            Self::TxSigned(_) => "tx.signed",
            Self::TxSent { .. } => "tx.sent",
            Self::TxSeen { .. } => "tx.seen",
            Self::TxFinal(_) => "tx.final",
            Self::ProofGone { .. } => "proof.gone",
            Self::JoinedFinal(_) => "joined.final",
            Self::TxGone { .. } => "tx.gone",
            Self::CommitTry { .. } => "commit.try",
            Self::CommitNot { .. } => "commit.not",
            Self::CommitOk { .. } => "commit.ok",
            Self::CommitVoid { .. } => "commit.void",
            Self::Done { .. } => "done",
            Self::Adopted(_) => "adopted",
            Self::Abandoned { .. } => "abandoned",
            Self::Accepted(_) => "accepted",
            Self::Note { .. } => "note",
        }
    }

    /// Whether an effect follows at once, whose outcome has to find room on the disk.
    pub(in crate::upgrade) const fn precedes_effect(&self) -> bool {
        matches!(
            self,
            Self::PrepareTry { .. } | Self::SignTry { .. } | Self::TxSigned(_) | Self::CommitTry { .. }
        )
    }
}
