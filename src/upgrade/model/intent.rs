//! What is wanted of an upgrade, and what somebody knows from elsewhere. Data only.

use alloy::primitives::{Address, B256};

use crate::chain::PolicyChange;
use crate::cloud::{CvmId, patch::Patch};
use crate::compose::ComposeHash;
use crate::safe::info::Trust;
use crate::upgrade::model::{actor::TimelockChoice, environment::EnvRequest, target::Target};

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

impl Intent {
    /// A change of one CVM's code, and of nothing else.
    pub fn new(cvm: CvmId, patch: Patch) -> Self {
        Self {
            cvm,
            target: Target::Cvm,
            patch,
            env: None,
            confirm: false,
            policy: Vec::new(),
            revoke_old: false,
            trust: Trust::default(),
            timelock: TimelockChoice::default(),
            expected: Expected::default(),
        }
    }
}

/// What somebody knows from elsewhere, held against what cloud and chain say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Expected {
    /// The hash that the change gives.
    pub hash: Option<ComposeHash>,
    /// The chain.
    pub chain_id: Option<u64>,
    /// The device that runs the CVM.
    pub device: Option<B256>,
    /// The app's contract.
    pub app: Option<Address>,
    /// The KMS's contract.
    pub kms: Option<Address>,
    /// To whom an ownership transfer is under way; it is no warning then.
    pub pending_owner: Option<Address>,
    /// No hash stays allowed but the one that runs and the one that this upgrade gives.
    pub strict: bool,
}
