//! What a signer is shown, as data.

use alloy::primitives::{Address, B256, Bytes, U256};
use jiff::Timestamp;
use serde::Serialize;

use crate::chain::{AppState, timelock::OperationState};
use crate::code::Code;
use crate::compose::{Choice, ComposeHash, FieldChange, ImageRole, LaunchScript, Manifest, Unlisted, Verification};
use crate::safe::{Digests, SafeTxFields, decode::Decoded, effects::Effect, info::SafeInfo};
use crate::signer::Decision;
use crate::upgrade::{
    finding::{Verdict, Warning},
    model::{Route, Target, Uncovered},
    review::problem::Problem,
};

/// Everything that a signer has to see, in the order in which it is read.
#[derive(Debug, Clone, Serialize)]
pub struct Review {
    /// Who asks for what.
    pub asked: Asked,
    /// Images before and after.
    pub images: Vec<Image>,
    /// What runs after the change and is no image of the list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unlisted: Vec<Unlisted>,
    /// Fields of the manifest that change.
    pub changes: Vec<FieldChange>,
    /// What changes and no hash covers.
    pub uncovered: Vec<Uncovered>,
    /// The compose hash and how it was verified; nothing when only the policy changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compose_hash: Option<HashCheck>,
    /// Other apps that the same transaction changes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<OtherApp>,
    /// What the owner's authority is used for.
    pub transaction: Transaction,
    /// The app's contract.
    pub app: AppNow,
    /// The Safe that owns it, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub safe: Option<SafeNow>,
    /// The timelock that owns the app, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timelock: Option<TimelockNow>,
    /// What devices and wallets show of a Safe transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hashes: Option<Digests>,
    /// What the owners of a Safe sign that is an owner itself, where that was chosen already.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nested: Vec<NestedNow>,
    /// The call that executes it, once enough owners have signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution: Option<ExecutionCall>,
    /// Whether it would go through.
    pub simulation: Trial,
    /// What came from somewhere else and was compared with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Found>,
    /// What a person should know.
    pub warnings: Vec<Warning>,
    /// What could not be checked, one sentence each.
    pub unchecked: Vec<String>,
    /// What stands against agreeing to it; the gravest first.
    pub problems: Vec<Problem>,
    /// Whether it may be signed; role, threshold, keys and queue are judged after it.
    pub verdict: Verdict,
    /// Manifests of which nobody is known to have approved what stays as it is: they are to be read whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub whole: Vec<Whole>,
}

/// A manifest after the change, to be read whole.
#[derive(Debug, Clone, Serialize)]
pub struct Whole {
    /// CVM whose manifest it is.
    pub cvm: String,
    /// All of it.
    pub manifest: Manifest,
}

/// Who asks for what.
#[derive(Debug, Clone, Serialize)]
pub struct Asked {
    /// Name of the upgrade.
    pub update: String,
    /// CVM; none when only the app's policy changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvm: Option<String>,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvm_name: Option<String>,
    /// What is made from that CVM, and where; none when it changes itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// Its UUID.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvm_uuid: Option<String>,
    /// Device that runs the CVM, or is to run what is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<B256>,
    /// Hash of its OS image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os_image: Option<B256>,
    /// It ends with hash and transaction in headers, without the commit token.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub without_token: bool,
    /// App id = contract.
    pub app: Address,
    /// Chain id.
    pub chain_id: u64,
    /// DstackKms contract.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms: Option<Address>,
    /// Host of the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cloud: Option<String>,
    /// When the update was prepared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prepared_at: Option<Timestamp>,
    /// When its commit token expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_expires: Option<Timestamp>,
    /// It has died. Approving is still of use: whoever commits prepares again, and the same hash has to come out.
    pub token_expired: bool,
    /// How the owner acts.
    pub route: Route,
}

/// A container image of the manifest before or after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Image {
    /// As the Docker Compose text names it.
    pub name: String,
    /// The digest that the name ends in. Without one, the compose hash does not fix what runs.
    pub digest: Option<String>,
    /// What it is for.
    pub role: ImageRole,
    /// The services that it is for.
    pub services: Vec<String>,
    /// The variables that choose it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chosen_by: Vec<Choice>,
    /// Whether it comes, goes or stays.
    pub change: ImageChange,
}

/// What becomes of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageChange {
    /// Only before.
    Gone,
    /// Only after.
    New,
    /// Before and after.
    Kept,
}

/// The compose hash, recomputed.
#[derive(Debug, Clone, Serialize)]
pub struct HashCheck {
    /// Hash that runs now.
    pub before: Option<ComposeHash>,
    /// Hash that is to be allowed.
    pub after: ComposeHash,
    /// What recomputing it from the proposal's own manifest gave.
    pub verified: Verification,
    /// What comparing it with the reviewer's files gave; nothing when none were named.
    pub local: Option<LocalCheck>,
    /// The script that runs before the containers, by its hash.
    pub launch_script: LaunchScript,
}

/// The proposal's manifest beside the reviewer's own files.
#[derive(Debug, Clone, Serialize)]
pub struct LocalCheck {
    /// Fields that were compared.
    pub compared: Vec<String>,
    /// Fields of the manifest that the reviewer named no value for.
    pub not_compared: Vec<String>,
    /// Fields that change and that the reviewer named no value for.
    pub from_proposal: Vec<String>,
    /// Fields that differ: before is the reviewer's, after the proposal's.
    pub differences: Vec<FieldChange>,
    /// The hash that the reviewer's values give, where hashes can be computed.
    pub computed: Option<ComposeHash>,
}

/// What the owner's authority is used for.
#[derive(Debug, Clone, Serialize)]
pub struct Transaction {
    /// It only uses up the nonce, so that the upgrade can never be executed.
    pub rejects: bool,
    /// Target: the app, the Safe's batch library, or, to reject, the Safe itself.
    pub to: Address,
    /// Wei.
    pub value: U256,
    /// 0 a call, 1 a delegate call (of a batch library, or it would have been refused).
    pub operation: u8,
    /// The calls, in order.
    pub calls: Vec<CallShown>,
    /// Everything that takes effect, read from the bytes that are signed; the dangerous first.
    pub effects: Vec<Effect>,
    /// What of it is something else than allowing a compose hash that is shown, in words; empty: nothing.
    pub besides: Vec<String>,
    /// What of it whoever signs has to agree to by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
}

/// One call, decoded by our own interfaces.
#[derive(Debug, Clone, Serialize)]
pub struct CallShown {
    /// Target.
    pub to: Address,
    /// The target is the app, or one of the apps.
    pub to_the_app: bool,
    /// Wei.
    pub value: U256,
    /// Calldata.
    pub data: Bytes,
    /// What it calls; nothing for a function that this build does not know.
    pub decoded: Option<Decoded>,
    /// ERC-8213 calldata digest.
    pub digest: B256,
    /// keccak256 of the calldata.
    pub keccak256: B256,
}

/// The app's contract, as last read.
#[derive(Debug, Clone, Serialize)]
pub struct AppNow {
    /// It was read for this review; otherwise when the update was prepared.
    pub now: bool,
    /// What was read.
    pub state: AppState,
}

/// The Safe, as last read.
#[derive(Debug, Clone, Serialize)]
pub struct SafeNow {
    /// It was read for this review; otherwise when the update was prepared.
    pub now: bool,
    /// What was read.
    pub info: SafeInfo,
    /// What is known of the singleton.
    pub singleton: Singleton,
    /// The owners and what each has done.
    pub owners: Vec<Owner>,
    /// How many owners' agreement counts now.
    pub counted: usize,
    /// Nonce of the transaction.
    pub nonce: U256,
    /// Where that nonce stands.
    pub turn: Turn,
    /// What is remarkable about the Safe.
    pub findings: Vec<Warning>,
    /// What changed since the update was prepared.
    pub changes: Vec<String>,
}

/// A timelock that owns the app, and the operation that is asked of it.
#[derive(Debug, Clone, Serialize)]
pub struct TimelockNow {
    /// It was read for this review; otherwise it is as the proposal says it was when the update was prepared.
    pub now: bool,
    /// The timelock.
    pub address: Address,
    /// keccak256 of its code.
    pub code_hash: B256,
    /// The release of OpenZeppelin Contracts that its code is; nothing where this build knows no such code, or nobody read
    /// it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<&'static str>,
    /// Who may schedule, as far as is known.
    pub proposers: Vec<Address>,
    /// Who may cancel, as far as is known.
    pub cancellers: Vec<Address>,
    /// Who besides the timelock itself can change roles without its delay, as far as is known.
    pub admins: Vec<Address>,
    /// Other operations that wait there; nothing where nobody looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<usize>,
    /// Who schedules.
    pub proposer: Address,
    /// Id of the operation, as the timelock computes it.
    pub id: B256,
    /// Seconds from scheduling until it may be executed.
    pub delay: u64,
    /// The least that the timelock takes.
    pub min_delay: u64,
    /// Everybody may execute what is ready.
    pub open_executor: bool,
    /// Where the operation stands; nothing when no chain was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<OperationState>,
}

/// What is known of a singleton.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Singleton {
    /// A listed address with the code that belongs there.
    Known,
    /// Known code at an address that is not listed.
    Unlisted,
    /// Neither.
    Unknown,
}

/// One owner of a Safe.
#[derive(Debug, Clone, Serialize)]
pub struct Owner {
    /// The owner's address.
    pub address: Address,
    /// What stands there; nothing when nobody was asked.
    pub kind: Option<OwnerIs>,
    /// How they agreed, so that it counts.
    pub agreed: Option<Agreement>,
    /// Why a signature of theirs that is here does not count.
    pub doubt: Option<String>,
}

/// What an owner of a Safe is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum OwnerIs {
    /// A key.
    Key,
    /// A key that delegates to a contract (EIP-7702).
    DelegatedKey,
    /// A Safe: its own owners have to agree first.
    Safe {
        /// Signatures that it asks for.
        threshold: u64,
        /// How many owners it has.
        owners: usize,
    },
    /// Another contract.
    Contract,
}

/// The transaction with which an owner that is a Safe agrees on chain: its own owners' devices show its hashes.
#[derive(Debug, Clone, Serialize)]
pub struct NestedNow {
    /// The Safe that is an owner.
    pub safe: Address,
    /// The safeTxHash that it approves.
    pub approves: B256,
    /// Nonce of its transaction.
    pub nonce: U256,
    /// Where that nonce stands; nothing when the chain was not asked, or the Safe is not the one that was read.
    pub turn: Option<Turn>,
    /// What devices and wallets show.
    pub hashes: Digests,
    /// Signatures that it asks for.
    pub threshold: u64,
    /// Its owners who have signed.
    pub signed_by: Vec<Address>,
    /// Its owners who have not.
    pub missing: Vec<Address>,
}

/// How an owner agreed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    /// A signature that recovers to them.
    Signature,
    /// A signature that their contract confirmed.
    Contract,
    /// By a transaction of their own.
    OnChain,
}

/// Where the nonce of a Safe transaction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// It is the next one.
    Next,
    /// Others come first.
    Queued,
    /// It is used up.
    Used,
}

/// The call that executes a Safe transaction with the signatures that are there.
#[derive(Debug, Clone, Serialize)]
pub struct ExecutionCall {
    /// The Safe.
    pub to: Address,
    /// Whose signatures it carries.
    pub owners: Vec<Address>,
    /// keccak256 of the calldata.
    pub keccak256: B256,
    /// ERC-8213 calldata digest.
    pub digest: B256,
    /// Bytes of calldata.
    pub bytes: usize,
}

/// Whether it would go through now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Trial {
    /// It would.
    Succeeds {
        /// Who would send it.
        sender: Address,
        /// As if it were its turn: others come first.
        queued: bool,
    },
    /// It would fail.
    Refused {
        /// Who would send it.
        sender: Address,
        /// Why.
        why: String,
    },
    /// No endpoint runs it.
    NotOffered,
    /// Nobody was asked.
    NotAsked {
        /// Why not.
        why: String,
    },
}

impl Review {
    /// Takes in what came from somewhere else: nobody should agree to something of which another version goes round.
    pub fn take_found(&mut self, found: Found) {
        self.unchecked.extend(found.unchecked.iter().cloned());
        self.warnings.extend(found.warnings.iter().cloned());
        self.problems.extend(found.problems.iter().cloned());
        self.rank();
        self.found = Some(found);
    }

    /// 5 outranks 6; the order of finding is kept otherwise.
    pub(super) fn rank(&mut self) {
        self.problems.sort_by_key(|problem| !problem.is_stop());
    }

    /// Whether it can be signed, as far as could be checked.
    pub const fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    pub(super) fn decide(&mut self, code: Code, message: impl Into<String>) {
        self.problems.push(Problem::Decide {
            code: code.to_owned(),
            message: message.into(),
        });
    }
}

/// One or more transactions that came from somewhere else.
#[derive(Debug, Clone, Serialize)]
pub struct Found {
    /// Where from.
    pub source: Source,
    /// Chain id.
    pub chain_id: u64,
    /// The Safe that it says it is for.
    pub safe: Option<Address>,
    /// The transactions; several at one nonce are competitors.
    pub transactions: Vec<FoundTx>,
    /// What a person should know.
    pub warnings: Vec<Warning>,
    /// What could not be checked.
    pub unchecked: Vec<String>,
    /// What stands against it.
    pub problems: Vec<Problem>,
}

/// One of them.
#[derive(Debug, Clone, Serialize)]
pub struct FoundTx {
    /// It is judged; what anybody can have put beside it is only shown.
    #[serde(skip)]
    pub(super) judged: bool,
    /// Whether it makes exactly the calls of the upgrade; nothing when there was no upgrade to compare it with.
    pub ours: Option<bool>,
    /// The first thing in which it differs.
    pub difference: Option<String>,
    /// The ten fields, where it has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fields: Option<SafeTxFields>,
    /// Its hashes, computed here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hashes: Option<Digests>,
    /// The hash that it is said to have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_hash: Option<B256>,
    /// What the service says of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posted: Option<Posted>,
    /// Its calls, decoded.
    pub calls: Vec<CallShown>,
}

impl FoundTx {
    /// Whether it only uses up its nonce.
    pub fn rejects(&self) -> bool {
        self.posted.as_ref().is_some_and(|posted| posted.rejects)
    }
}

/// What a service says of a transaction, and what of it is true.
#[derive(Debug, Clone, Serialize)]
pub struct Posted {
    /// It only uses up its nonce.
    pub rejects: bool,
    /// Somebody who may propose has signed it; anybody can post what nobody has signed.
    pub trusted: bool,
    /// The service says that it was executed; the chain knows.
    pub said_executed: bool,
    /// Who is said to have proposed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposer: Option<Address>,
    /// Who is said to have done it in that owner's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegate: Option<Address>,
    /// What it says of its origin; anybody's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Owners who agreed to the hash computed here: their key's signature recovers to them, or the chain says so.
    pub signed_by: Vec<Address>,
    /// Owners whom the service names for a signature that is not theirs.
    pub not_theirs: Vec<Address>,
    /// Owners of whom it tells an approval or a contract's signature that the chain does not confirm.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unconfirmed: Vec<Address>,
}

/// Where it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "from", rename_all = "kebab-case")]
pub enum Source {
    /// A batch file of the Transaction Builder.
    BuilderFile {
        /// What it calls itself; anybody's words.
        name: String,
        /// It carries a right checksum; without one the wallet warns.
        checksum: bool,
    },
    /// The Safe Transaction Service.
    Service {
        /// Its host.
        host: String,
    },
}

/// Another app that the same transaction changes.
#[derive(Debug, Clone, Serialize)]
pub struct OtherApp {
    /// Who asks for what.
    pub asked: Asked,
    /// Images before and after.
    pub images: Vec<Image>,
    /// What runs after the change and is no image of the list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unlisted: Vec<Unlisted>,
    /// Fields of the manifest that change.
    pub changes: Vec<FieldChange>,
    /// What changes and no hash covers.
    pub uncovered: Vec<Uncovered>,
    /// The compose hash and how it was verified; nothing when only the policy changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compose_hash: Option<HashCheck>,
    /// The app's contract.
    pub app: AppNow,
}
