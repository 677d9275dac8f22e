//! One upgrade: one intent, from prepare to the CVM running it, kept in one directory.
//!
//! `event`, `state` and `findings` decide (pure), `journal` remembers, `proposal` is what others see, `drive` observes
//! and acts with its steps in `prepare`, `approve`, `wait`, `commit` and `watch` (a CVM that is made: `target`,
//! `newcomer`), `evidence` is what remains. Callers need
//! [`plan()`], [`Upgrade`] and [`World`]; nothing here prints or reads the environment.

mod accepted;
mod adopt;
mod approve;
mod apps;
mod authority;
mod ballot;
mod base;
mod beforehand;
mod carried;
mod ceremony;
mod cloud_word;
mod commit;
mod consent;
mod deploy;
mod document;
mod drive;
mod environment;
mod errand;
mod error;
mod event;
mod evidence;
mod examine;
mod findings;
mod fleet;
mod git_index;
mod gitignore;
mod goal;
mod handover;
mod in_use;
mod journal;
mod kms;
mod multisig;
mod neighbours;
mod newcomer;
mod nonce;
mod one_digest;
mod open;
mod operation;
mod own_history;
mod pending;
mod plan;
mod policy;
mod prepare;
mod proof_again;
mod proposal;
mod recognised;
mod reject;
pub mod review;
mod revoke;
mod route;
mod safe_half;
#[cfg(test)]
mod sample;
mod scheduling;
mod sent;
mod shown;
mod state;
mod state_apply;
mod status;
mod storage_note;
mod target;
mod timelock;
mod timelock_now;
mod together;
mod transact;
mod uncovered;
mod values;
mod verdict;
mod wait;
mod waiting;
mod watch;

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use url::Url;

use crate::chain::{Chain, FeePolicy, Finality, PolicyChange, Quorum};
use crate::cloud::{Client, CvmId, Patch};
use crate::code::Code;
use crate::fsutil::point;
use crate::http::Http;
use crate::safe::Trust;
use crate::safe::service::Services;
use crate::signer::{Ask, Signer, Source, Unlock};

pub use accepted::{AcceptError, Acceptance, Accepted};
pub use apps::{APPS_FILE, AppIntent, Apps, by_app};
pub use authority::{Actor, TimelockChoice, TimelockPlan};
pub use beforehand::{look_ahead, recognise_kms};
pub use ceremony::{
    Ballot, Ceremony, Frozen, NestedSection, Paper, RejectionSection, SafeSection, Signed, Stage, upper_s,
};
pub use deploy::{DeployIntent, Deployment, plan_deployment};
pub use document::{Checked, Document, Subject};
pub use drive::Upgrade;
pub use environment::{EnvRequest, Environment, Vouched, seal_new};
pub use errand::Errand;
pub use error::{Origin, Pending, Stop, UpgradeError};
pub use event::{Event, Identity, IllegalStep, Preparation, Scheduled};
pub use findings::{Warning, lost_on_image, safe_code};
pub use fleet::{Counts, Fleet, Halt, Invitation, Member, Standing, Wave, WaveEnd, Waves, cvms_of};
pub use gitignore::STATE_DIR;
pub use in_use::InUse;
pub use journal::JournalError;
pub use operation::{Choice, SaltRule, TimelockSection};
pub use pending::recall;
pub use plan::{CodeChange, Plan, plan};
pub use policy::{PolicyIntent, Wish, owner_doubts, plan_policy};
pub use proof_again::{ProofNow, look_at_proof};
pub use proposal::Proposal;
pub use route::Route;
pub use safe_half::ToReject;
pub use state::{State, Step};
pub use status::{Effect, Effects, Facts, OtherFacts, Status};
pub use storage_note::{SafeStorage, StorageNote, safe_storage};
pub use target::{Seat, Target};
pub use uncovered::{Machine, Uncovered};
pub use values::{ValuesChange, ValuesSent};
pub use verdict::{Finding, Verdict};

/// What is wanted.
#[derive(Debug, Clone)]
pub struct Intent {
    /// The CVM.
    pub cvm: CvmId,
    /// Whether it changes, or another one is made from it.
    pub target: Target,
    /// What changes.
    pub patch: Patch,
    /// What the guests are to have as environment; without it they keep theirs.
    pub env: Option<EnvRequest>,
    /// End with the two headers instead of the token.
    pub confirm: bool,
    /// What changes of the app's policy besides, in the same transaction.
    pub policy: Vec<PolicyChange>,
    /// Take every older hash from the app's list as well, but for what CVMs run.
    pub revoke_old: bool,
    /// What is fine about the Safe that owns the app although this build does not know it.
    pub trust: Trust,
    /// How a timelock is asked, if one owns the app.
    pub timelock: TimelockChoice,
    /// What has to hold.
    pub expected: Expected,
}

/// What somebody knows from elsewhere, held against what cloud and chain say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// The app's contract.
    pub app: Option<Address>,
    /// The KMS's contract.
    pub kms: Option<Address>,
    /// To whom an ownership transfer is under way; it is no warning then.
    pub pending_owner: Option<Address>,
    /// No hash stays allowed but the one that runs and the one that this upgrade gives.
    pub strict: bool,
}

/// What may be done without asking again, and for how long.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long one run waits for the chain, the cloud and the restart.
    pub timeout: Duration,
    /// When a block is taken to stay; by default what suits the chain.
    pub finality: Option<Finality>,
    /// What the transaction may cost.
    pub fees: FeePolicy,
    /// Doubts that somebody agreed to by name.
    pub accepted: Accepted,
    /// Prepare although another update of this CVM is pending: its token is replaced.
    pub supersede: bool,
    /// Nonce of the key's transaction; by default the next one, once nothing of the key is in flight.
    pub nonce: Option<u64>,
    /// Sign with the next nonce although an earlier transaction of this upgrade lost its own.
    pub new_nonce: bool,
    /// Return when the commit is accepted, without waiting for the CVM.
    pub no_wait: bool,
    /// What is fine about the Safe that owns the app although this build does not know it.
    pub trust: Trust,
    /// Nonce of the Safe to use; by default the first one that is free.
    pub safe_nonce: Option<U256>,
    /// Ask no chain: what it would say is not checked.
    pub offline: bool,
    /// The safeTxHash that somebody reviewed; no key agrees to another one.
    pub expected_safe_tx: Option<B256>,
}

/// How far to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Goal {
    /// Prepared and verified.
    Verified,
    /// The proposal is written, with the transaction that a Safe's owners sign.
    Prepared,
    /// The transaction is sent.
    Executed,
    /// Its effect is proved.
    Proved,
    /// The commit is accepted.
    Committed,
    /// The CVM reports the hash.
    Live,
}

/// Where a run ended without an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The goal was reached.
    Reached,
    /// Nothing is wrong; it waits for somebody or something.
    Pending(Pending),
}

/// The outside: cloud, chain, key, person.
pub struct World<'a> {
    /// Phala Cloud.
    pub cloud: &'a Client,
    /// Shared HTTP client.
    pub http: &'a Http,
    /// JSON-RPC endpoints.
    pub endpoints: &'a [Url],
    /// How many of them have to agree.
    pub quorum: &'a Quorum,
    /// Safe Transaction Services that may be asked.
    pub services: &'a Services,
    /// The chain, once it was reached.
    pub reached: Reached,
    /// Test builds only: known chain ids with another genesis are accepted.
    pub allow_unpinned: bool,
    /// Where the key is, if one was named.
    pub signer: Option<&'a Source>,
    /// How keystores open.
    pub unlock: &'a Unlock,
    /// Below this directory upgrades of this machine are kept.
    pub root: &'a Path,
    /// Transaction that may show that the app once allowed what runs: a hint, which counts only by its receipt.
    pub base_tx: Option<B256>,
    /// Where this machine remembers which Safe transactions its keys signed.
    pub record: Option<&'a Path>,
    /// The person, or what stands for one.
    pub ask: &'a dyn Ask,
}

impl std::fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("cloud", &self.cloud)
            .field("signer", &self.signer)
            .finish_non_exhaustive()
    }
}

/// A chain that was connected to, so that planning and acting share the connection and the newest block seen.
#[derive(Debug, Clone, Default)]
pub struct Reached(OnceLock<Chain>);

impl World<'_> {
    /// Opens the key that was named, to do `what`.
    ///
    /// # Errors
    /// None was named, or it cannot be opened.
    pub async fn open_signer(&self, what: &str) -> Result<Signer, UpgradeError> {
        let Some(source) = self.signer else {
            return Err(UpgradeError::decide(
                Code::SignerNeeded,
                format!("no key was named to {what}"),
            ));
        };
        Ok(Signer::open(source, self.unlock, self.ask).await?)
    }

    /// Connects to the chain, once.
    ///
    /// # Errors
    /// See [`crate::chain::ChainError`].
    pub async fn chain(&self, chain_id: u64) -> Result<Chain, UpgradeError> {
        if let Some(chain) = self.reached.0.get().filter(|chain| chain.id() == chain_id) {
            return Ok(chain.clone());
        }
        let options = crate::chain::Options {
            endpoints: self.endpoints.to_vec(),
            quorum: self.quorum.clone(),
            chain_id,
            allow_unpinned: self.allow_unpinned,
        };
        let chain = Chain::connect(&options, self.http).await?;
        self.reached.0.get_or_init(|| chain.clone());
        Ok(chain)
    }
}

/// Name of the public file within an upgrade's directory.
pub const PROPOSAL_FILE: &str = proposal::FILE;
/// Name of the journal within an upgrade's directory.
pub const JOURNAL_FILE: &str = journal::FILE;
/// Name of the auditors' page within an upgrade's directory.
pub const EVIDENCE_FILE: &str = evidence::TEXT;

/// Whether `dir` holds an upgrade. Reads the directory only.
pub fn holds(dir: &Path) -> bool {
    journal::holds(dir)
}

/// Directories below `root` that hold an upgrade, oldest first.
///
/// # Errors
/// `root` cannot be read.
pub fn find(root: &Path) -> Result<Vec<std::path::PathBuf>, UpgradeError> {
    Ok(crate::fsutil::list(root)?
        .into_iter()
        .filter(|dir| holds(dir))
        .collect())
}
