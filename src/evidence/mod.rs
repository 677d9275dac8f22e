//! What remains of a change that took effect, and its verification by anybody.
//!
//! A document holds all that its claims are made of: manifests, calls, a Safe's transaction with its signatures, the block's
//! header with the transaction, the receipt and the storage that follow from it, and what the hardware measured. Whoever has
//! it needs no key, no account and nobody's word to prove each claim again ([`verify()`]). What only the writer says stands
//! apart ([`Said`]).
//!
//! ```
//! use alloy::primitives::{Address, B256};
//! use countersign::attest::Root;
//! use countersign::chain::{BlockRef, PolicyChange};
//! use countersign::compose::ComposeHash;
//! use countersign::evidence::{Code, Evidence, Measured, Outcome, verify};
//!
//! let (app, manifest) = (Address::repeat_byte(0xaa), "{}".to_owned());
//! let hash = ComposeHash::of(manifest.as_bytes());
//! let change = PolicyChange::AddComposeHash(B256::from(*hash.as_bytes()));
//! let mut evidence = Evidence::about(8453, app, BlockRef::default());
//! evidence.changes = vec![change];
//! evidence.calls = vec![change.call(app)];
//! evidence.code = Some(Code { compose_hash: hash, manifest: Some(manifest), previous_compose_hash: None, previous_manifest: None });
//! let by = Measured { root: &Root::intel(), at: None };
//! assert!(verify(&evidence, &by).iter().all(|claim| claim.outcome != Outcome::Differs));
//! // One byte of what runs is another one.
//! evidence.code.as_mut().unwrap().manifest = Some("{ }".to_owned());
//! assert!(verify(&evidence, &by).iter().any(|claim| claim.outcome == Outcome::Differs));
//! ```

mod claim;
mod contracts;
mod document;
mod earlier;
#[cfg(test)]
mod mutation_tests;
mod online;
mod page;
mod read;
mod store;
mod verify;

pub use claim::{BESIDES, Claim, Outcome};
pub use contracts::ask_contracts;
pub use document::{
    Agreed, Attestation, CloudSaid, Code, Evidence, Judged, Made, Operation, Other, SafeTransaction, Said, Scheduling,
    Settled, Transaction, Uncovered,
};
pub use online::{ask, without_chain};
pub use page::{block_time, page, row};
pub use read::{EvidenceError, MAX_BYTES};
pub use store::{FILE, PAGE, add, read, sha256_of, store};
pub use verify::{Measured, beside, signers, verify, worst};
