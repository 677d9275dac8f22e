//! Safe multisigs: what a Safe is, what its owners sign, whose signatures count, and the file that Safe{Wallet} imports.
//!
//! Nothing in this room trusts a value that follows from another: hashes are computed, signers recovered, batches
//! decoded and encoded again. What only a chain can say (owners, approvals, what a contract answers) is an input of the
//! judging files, and read at one block by the others.
//!
//! ```
//! use alloy::primitives::{Address, B256, U256};
//! use countersign::chain::PolicyChange;
//! use countersign::safe::{Intent, SafeDomain, SafeTx, version::SafeVersion};
//!
//! let app = Address::repeat_byte(0xaa);
//! let tx = SafeTx::freeze(&Intent {
//!     domain: SafeDomain { chain_id: 8453, safe: Address::repeat_byte(0x22), version: SafeVersion::V1_4_1 },
//!     nonce: U256::from(7),
//!     calls: vec![PolicyChange::AddComposeHash(B256::repeat_byte(0x01)).call(app)],
//!     batcher: None,
//!     old_versions: false,
//! })?;
//! // What a Ledger shows: the two parts of what is signed.
//! let digests = tx.digests();
//! assert_eq!(digests.domain, tx.domain().separator());
//! assert_eq!(digests.safe_tx, tx.hash());
//! # Ok::<(), countersign::safe::SafeTxError>(())
//! ```

pub mod approvals;
mod batch;
pub mod builder_file;
mod change;
pub mod check;
mod codes;
pub mod collect;
pub mod decode;
pub mod deployments;
pub mod diagnose;
pub mod effects;
pub mod executed;
pub mod export;
pub mod given;
pub mod info;
pub mod itself;
pub mod libraries;
pub mod nested;
mod owners;
mod probe;
mod read;
pub mod recognise;
pub mod service;
mod signature;
pub mod simulate;
pub mod slots;
pub mod standing;
pub mod status;
pub mod strangers;
mod tx;
pub mod version;

pub use batch::BatchError;
pub(crate) use read::Survey;
pub use read::{Look, LookError, approved, look, read_with_hash};
pub use signature::{OwnerSignature, SignatureError};
pub use tx::{Digests, Intent, NotAnOperation, Operation, SafeDomain, SafeTx, SafeTxError, SafeTxFields};
