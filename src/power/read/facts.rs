//! What is read, and what its reader vouches for, as data.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256};
use serde::Serialize;

use crate::chain::BlockRef;
use crate::chain::closed::StorageCheck;
use crate::power::model::{Finding, World};

/// What a reader vouches for code to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TrustedCode {
    /// A DstackApp's.
    App,
    /// A DstackKms's.
    Kms,
    /// A Safe's: its proxy, its singleton or its handler.
    Safe,
    /// A timelock's, of OpenZeppelin's kind.
    Timelock,
    /// A Delay module's.
    Delay,
    /// What keys may delegate to: it does nothing but what they sign.
    Delegate,
}

/// What an OS image is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OsImage {
    /// One with a login.
    Dev,
    /// One without.
    Prod,
}

/// Which app to read, and what its reader vouches for.
#[derive(Debug, Clone, Default)]
pub struct PowerQuery {
    /// App.
    pub app: Address,
    /// Its KMS, where that is known.
    pub kms: Option<Address>,
    /// Whom to take for its owner, instead of the one that it has.
    pub owner: Option<Address>,
    /// Code by its keccak256.
    pub trusted: BTreeMap<B256, TrustedCode>,
    /// OS images by their hash.
    pub images: BTreeMap<B256, OsImage>,
}

/// What was read of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AppFacts {
    /// App.
    pub app: Address,
    /// `owner()`; nothing: it was renounced.
    pub owner: Option<Address>,
    /// To whom it is offered.
    pub pending_owner: Option<Address>,
    /// keccak256 of the code behind its proxy, or of its own.
    pub code_hash: B256,
    /// Any device may run it.
    pub any_device: bool,
    /// Its code can never change.
    pub frozen: bool,
    /// Compose hashes that it allows, as far as they are known.
    pub hashes: Vec<B256>,
    /// What its storage holds besides.
    pub storage: StorageCheck,
}

/// Everything that was read.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The block.
    pub block: BlockRef,
    /// Chain id.
    pub chain_id: u64,
    /// The app.
    pub app: AppFacts,
    /// Its KMS.
    pub kms: Option<KmsFacts>,
    /// Who may act for whom, and what can be done.
    pub world: World,
    /// What a reader has to know.
    pub findings: BTreeSet<Finding>,
    /// Endpoints that agreed.
    pub endpoints: usize,
}

/// What was read of a KMS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KmsFacts {
    /// Contract.
    pub kms: Address,
    /// `owner()`.
    pub owner: Option<Address>,
    /// To whom it is offered.
    pub pending_owner: Option<Address>,
    /// It knows the app.
    pub registered: bool,
    /// OS images that it allows, as far as they are known, and what each is.
    pub images: Vec<AllowedImage>,
    /// Why there may be more of them.
    pub images_incomplete: Option<String>,
    #[serde(skip)]
    pub(super) proxied: Proxied,
}

/// An OS image that a KMS allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AllowedImage {
    /// Its hash.
    pub hash: B256,
    /// What it is; nothing: nobody said.
    pub is: Option<OsImage>,
}

/// What a contract's slots say of its code.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Proxied {
    /// Where its code is.
    pub(super) implementation: Option<Address>,
    /// Who may change that.
    pub(super) admin: Option<Address>,
    /// Who says where its code is.
    pub(super) beacon: Option<Address>,
}
