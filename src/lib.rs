//! `countersign` upgrades confidential VMs (CVMs) on Phala Cloud whose code is guarded by an on-chain KMS.
//!
//! An upgrade is prepared (commit token and compose hash), approved on chain (`addComposeHash` on the app's
//! contract, by whoever owns it), proved (the app's event and its state, in a block that stays), and committed
//! with that proof. The crate is the library behind the command line of the same name.
//!
//! | module | knows | may use |
//! |---|---|---|
//! | `abi` (private) | the contracts' interfaces, from `abi/*.json` | |
//! | [`code`] | every stable code once: name, kind, exit code, one line about it | |
//! | [`fsutil`] | durable files, append-only files, locks | |
//! | `json` (private) | JSON that can be read in one way only | |
//! | `text` (private) | words of strangers on their way to terminals, JSON, Markdown and shells | |
//! | [`http`] | one way to speak HTTP: limits, retries, redaction, one error shape; one small server | `text` |
//! | [`compose`] | the manifest: canonical bytes, compose hash, changes and differences | `json`, `text` |
//! | [`mod@env`] | the workload's environment: its file, the guest's rules, sealing it for a key that the KMS signed | |
//! | [`cloud`] | the Phala Cloud API | `compose`, `http`, `text` |
//! | [`attest`] | what the hardware measured of a CVM: quotes, event logs, certificates | `compose`, `http`, `json`, `text` |
//! | [`chain`] | an EVM chain: one block, the app and KMS contracts, a transaction's life, the proof | `abi`, `http`, `text` |
//! | [`safe`] | Safe multisigs: their transactions, signatures, deployments, the file that Safe{Wallet} imports | `abi`, `chain`, `http`, `json`, `text` |
//! | [`signer`] | keys, seen only as "can sign this for that address" | `chain`, `code`, `fsutil`, `http`, `safe`, `text` |
//! | [`evidence`] | what remains of a change that took effect, and its verification by anybody | `attest`, `chain`, `code`, `compose`, `fsutil`, `safe`, `text` |
//! | [`power`] | who can change what an app runs, how fast, and with whom | `abi`, `chain`, `code`, `compose`, `json`, `safe`, `text` |
//! | [`upgrade`] | one upgrade: what comes next, its journal, its proposal, its evidence | all but `abi`, `cli`, `json`, `webhook` |
//! | [`webhook`] | deliveries of Phala Cloud: whether they are its own, and what they say | `http` |
//! | `cli` | arguments, settings, output, exit codes | all but `abi`, `json` |

mod abi;
pub mod attest;
pub mod chain;
#[cfg(feature = "cli")]
pub mod cli;
pub mod cloud;
pub mod code;
pub mod compose;
pub mod env;
pub mod evidence;
pub mod fsutil;
pub mod http;
mod json;
pub mod power;
pub mod safe;
pub mod signer;
mod text;
pub mod upgrade;
pub mod webhook;
