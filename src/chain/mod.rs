//! An EVM chain as countersign sees it: endpoints that must agree, one block at a time, calls that change a policy.
//!
//! | floor | what stands there |
//! |---|---|
//! | `networks` `block` `call` `other_policy` `error` `trie` `storage` | chains by number, blocks, calls, why there is no answer, proofs of storage |
//! | `fee_policy` `tx` `cost` `watch` | transactions as data, and what they may cost |
//! | `timelock_role` `timelock_refusal` | what a timelock refuses, and to whom |
//! | `rpc` `quorum` `greeting` `connection` `gather` `past` | endpoints, and how many have to agree |
//! | `head` `headers` `canonical` | the blocks on which they agree |
//! | `revert` `read` | a contract at one block |
//! | `fees` `look` `send` `sent` `by_wallet` | a transaction's life |
//! | `logs` | what contracts logged |
//! | `other_app` `app` `governance` `boot` `account` `kms` `factory` `policy` `policy_history` `hash_past` `closed` `timelock` | the contracts |
//! | `proof` `behind` | the effect of a transaction, proved |
//! | `witness` | what proves it to anybody later |
//!
//! Each may use the floors above it in this table, and none below. `chain` knows no Safe and no journal.
//!
//! ```
//! use alloy::primitives::{Address, B256};
//! use countersign::chain::PolicyChange;
//!
//! let (app, hash) = (Address::repeat_byte(0xaa), B256::repeat_byte(0x01));
//! let call = PolicyChange::AddComposeHash(hash).call(app);
//! assert_eq!(call.data[4..], hash[..]);
//! assert_eq!(PolicyChange::read(app, &call), Some(PolicyChange::AddComposeHash(hash)));
//! ```

mod account;
mod app;
mod behind;
mod block;
pub mod boot;
mod by_wallet;
mod call;
mod canonical;
pub mod closed;
mod connection;
mod cost;
mod error;
pub mod factory;
mod fee_policy;
pub mod fees;
mod gather;
pub mod governance;
pub mod greeting;
pub mod hash_past;
mod head;
mod headers;
mod kms;
mod logs;
mod look;
mod networks;
mod other_app;
mod other_policy;
mod past;
mod policy;
pub mod policy_history;
mod proof;
pub mod quorum;
mod read;
mod revert;
mod rpc;
pub mod send;
mod sent;
mod storage;
pub mod timelock;
mod timelock_refusal;
mod timelock_role;
mod trie;
mod tx;
pub mod watch;
pub mod witness;

pub(crate) use app::IMPLEMENTATION_SLOT;
pub use app::{AppQuery, AppState, OwnerKind, Preflight};
pub use block::{BlockRef, Finality};
pub(crate) use by_wallet::ByWallet;
pub use call::Call;
pub(crate) use closed::{StorageRead, Subject as StorageSubject, Told};
pub use connection::{Chain, Options};
pub use error::{ChainError, Missing};
pub use fee_policy::FeePolicy;
pub use kms::is_known_kms;
#[cfg(feature = "cli")]
pub(crate) use kms::known_kms;
pub(crate) use logs::{LogQuery, PlacedLog};
pub use policy::{AppChanges, PolicyChange};
pub use proof::{Besides, Proof, ProofFailure, Proved};
pub use read::Replaced;
pub(crate) use read::{Fact, Question, Reading, Reverted};
pub(crate) use sent::Sent;
pub(crate) use storage::{mapping_slot, numbered};
pub use timelock_refusal::TimelockRefusal;
pub use timelock_role::TimelockRole;
pub use tx::{SignedTx, TxError, TxRequest, coins};
