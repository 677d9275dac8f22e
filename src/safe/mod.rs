//! Safe multisigs: what a Safe is, what its owners sign, whose signatures count, and the file that Safe{Wallet} imports.
//!
//! Nothing in this room trusts a value that follows from another: hashes are computed, signers recovered, batches
//! decoded and encoded again. What only a chain can say (owners, approvals, what a contract answers) is an input of the
//! judging files, and read at one block by the others.

mod approvals;
mod batch;
pub mod builder_file;
mod change;
mod check;
mod codes;
mod collect;
mod decode;
pub mod deployments;
mod diagnose;
pub mod effects;
mod executed;
mod export;
mod given;
mod info;
mod itself;
mod libraries;
mod nested;
mod owners;
mod probe;
mod read;
mod recognise;
pub mod service;
mod signature;
mod simulate;
mod slots;
mod standing;
mod status;
mod strangers;
mod tx;
mod version;

pub use approvals::{Doubt, Facts, Inserted, Packed, SignatureSet, Standing, TooFew, prevalidated};
pub use batch::BatchError;
pub use check::{Refusal, check_signatures};
pub use collect::{Claims, CollectError, Merged, NotMerged, Offer, SignatureFile, collect, merge};
pub use decode::{Argument, Decoded, Inner, decode};
pub use diagnose::{Mismatch, mismatch};
pub use executed::{
    Execution, SafeProofFailure, check_receipt, executed_in, executions, find_execution, prove_execution,
};
pub use export::{Format, Label, NotAFormat, export};
pub use given::{Content, Given, GivenError, given};
pub use info::{
    Change, FALLBACK_HANDLER_SLOT, Finding, GUARD_SLOT, MODULE_GUARD_SLOT, NONCE_SLOT, SINGLETON_SLOT, SafeInfo,
    Severity, Trust, approved_hash_slot,
};
pub use itself::changes_itself;
pub use libraries::batcher_on;
pub use nested::{approval, is_approval_of};
pub use read::{Look, LookError, approved, look, read_with_hash};
pub use recognise::{Announced, Difference, Recognition, recognise, recognise_batch, recognise_hash};
pub use signature::{OwnerSignature, SignatureError};
pub use simulate::{Obstacle, Simulation, simulate};
pub use slots::{check_named_storage, check_storage, with_known_code};
pub use standing::StandingApproval;
pub use status::{Observed, SafeStatus, Watched, observe, status};
pub use strangers::{ContractOwner, Obedient, OwnerSafe};
pub use tx::{Digests, Intent, NotAnOperation, Operation, SafeDomain, SafeTx, SafeTxError, SafeTxFields};
pub use version::{HashRules, NotAVersion, SafeVersion, Support};
