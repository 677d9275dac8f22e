//! A Safe as it stands at one block: what was read, what is remarkable about it, what changed since.
//!
//! Pure: the reading is done elsewhere, judged here.

use std::collections::BTreeSet;
use std::fmt;

use alloy::primitives::{Address, B256, U256, address, b256, keccak256};
use alloy::sol_types::SolValue;
use serde::{Deserialize, Serialize};

use super::deployments::{self, Build, Contract, Identity};
use super::service::links;
use super::strangers::{ContractOwner, Obedient, is_known};
use super::version::{SafeVersion, Support};
use crate::chain::{BlockRef, mapping_slot, numbered};

/// Storage slot of the singleton (every version; Safe's `SecuredTokenTransfer`/`Singleton` layout starts with it).
pub const SINGLETON_SLOT: B256 = B256::ZERO;
/// Storage slot of the guard: keccak256 of `guard_manager.guard.address`.
pub const GUARD_SLOT: B256 = b256!("4a204f620c8c5ccdca3fd54d003badd85ba500436a431f0cbda4f558c93c34c8");
/// Storage slot of the module guard (1.5.0): keccak256 of `module_manager.module_guard.address`.
pub const MODULE_GUARD_SLOT: B256 = b256!("b104e0b93118902c651344349b610029d694cfdec91c589c91ebafbcd0289947");
/// Storage slot of the fallback handler: keccak256 of `fallback_manager.handler.address`.
pub const FALLBACK_HANDLER_SLOT: B256 = b256!("6c9a6c4a39284e37ed1cf53d337577d14212a4870fb976a4366c693b939918d5");
/// Storage slot of the nonce.
pub const NONCE_SLOT: u64 = 5;
/// Storage slot of the mapping of signed messages.
const SIGNED_MESSAGES: u8 = 7;
/// Storage slot of the mapping of approved hashes.
const APPROVED_HASHES_SLOT: u64 = 8;
/// Ends the Safe's linked lists; it can be no owner and no module.
pub(super) const SENTINEL: Address = address!("0000000000000000000000000000000000000001");

/// A Safe at one block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SafeInfo {
    /// The block everything was read at.
    pub block: BlockRef,
    /// Chain id.
    pub chain_id: u64,
    /// Address of the Safe (its proxy).
    pub address: Address,
    /// What `VERSION()` says.
    pub version: SafeVersion,
    /// keccak256 of the code at the address.
    pub proxy_code_hash: B256,
    /// Slot 0.
    pub singleton: Address,
    /// keccak256 of the singleton's code.
    pub singleton_code_hash: B256,
    /// Owners, in the order in which the Safe lists them.
    pub owners: Vec<Address>,
    /// Signatures that a transaction needs.
    pub threshold: u64,
    /// Nonce of the next transaction.
    pub nonce: U256,
    /// A contract that is asked before and after every transaction.
    pub guard: Option<Address>,
    /// A contract that is asked before and after every transaction of a module (since 1.5.0).
    pub module_guard: Option<Address>,
    /// Contracts that may act for the Safe without its owners.
    pub modules: Vec<Address>,
    /// Answers calls that the Safe itself does not know.
    pub fallback_handler: Option<Address>,
    /// keccak256 of the fallback handler's code.
    pub fallback_handler_code_hash: Option<B256>,
    /// What the fallback handler is, if it is one of those that would obey everybody through the Safe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_handler_obeys: Option<Obedient>,
    /// Owners that are contracts, and of Safes among them theirs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contract_owners: Vec<ContractOwner>,
}

/// What the reader of a Safe has decided to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// Code hashes that are fine although this build does not know them.
    pub code: BTreeSet<B256>,
    /// Versions before 1.3.0 are fine.
    pub old_versions: bool,
}

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// A signer has to see it.
    Warning,
    /// Nothing may be signed.
    Stop,
}

/// Something remarkable about a Safe.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "finding", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Finding {
    /// Older than 1.3.0.
    OldVersion {
        /// What `VERSION()` says.
        version: SafeVersion,
    },
    /// Not known to this build.
    UnknownVersion {
        /// What `VERSION()` says.
        version: SafeVersion,
    },
    /// `VERSION()` says another version than the singleton's code is known to be.
    OtherVersion {
        /// What `VERSION()` says.
        says: SafeVersion,
        /// What the code is.
        is: SafeVersion,
    },
    /// The singleton's code is not known.
    UnknownSingleton {
        /// Its address.
        address: Address,
        /// Its code hash.
        code_hash: B256,
    },
    /// Known code, but no singleton.
    NotASingleton {
        /// Its address.
        address: Address,
    },
    /// Known code at an address that the list does not have.
    UnlistedSingleton {
        /// Its address.
        address: Address,
        /// Its code hash.
        code_hash: B256,
    },
    /// The singleton emits no event before a transaction, and Safe's own service of this chain sees nothing else: what
    /// the Safe executes shows neither there nor in the wallet.
    NotIndexed {
        /// Its address.
        address: Address,
    },
    /// The proxy's code is not known.
    UnknownProxy {
        /// Its code hash.
        code_hash: B256,
    },
    /// Compiled for zkSync's EraVM: no batches.
    EraVm,
    /// No threshold, more signatures needed than owners there are, or owners that cannot be.
    ImpossibleOwners {
        /// Threshold.
        threshold: u64,
        /// Number of different possible owners.
        owners: usize,
    },
    /// A module acts without the owners.
    Module {
        /// Its address.
        address: Address,
    },
    /// A guard may refuse transactions.
    Guard {
        /// Its address.
        address: Address,
    },
    /// A guard may refuse what modules do.
    ModuleGuard {
        /// Its address.
        address: Address,
    },
    /// A fallback handler that is not the Safe team's.
    UnknownFallbackHandler {
        /// Its address.
        address: Address,
    },
    /// No fallback handler: the Safe answers no ERC-1271 question.
    NoFallbackHandler,
    /// The fallback handler does what the Safe says, so that everybody can have it done.
    ObedientHandler {
        /// Its address.
        address: Address,
        /// What it is.
        is: Obedient,
    },
    /// An owner that is a contract took a signature that nobody made.
    OwnerTakesAnything {
        /// The owner.
        owner: Address,
        /// The Safe that it owns.
        of: Address,
    },
    /// An owner has code, and is no Safe.
    OwnerIsContract {
        /// The owner.
        owner: Address,
        /// The Safe that it owns.
        of: Address,
    },
    /// An owner is a Safe, and code that nobody knows answers for it.
    OwnerUnknown {
        /// The owner.
        owner: Address,
        /// The Safe that it owns.
        of: Address,
        /// The part of it that is not known.
        part: Address,
        /// That part's code hash.
        code_hash: B256,
    },
}

/// How a Safe differs from what was read earlier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Change {
    /// Another chain or address: not the same Safe at all.
    Identity,
    /// Another version, singleton, or code at either address.
    Code {
        /// Singleton before.
        before: Address,
        /// Singleton now.
        now: Address,
    },
    /// Somebody became an owner.
    OwnerAdded {
        /// The new owner.
        owner: Address,
    },
    /// Somebody is no owner any more; their signature no longer counts.
    OwnerRemoved {
        /// The former owner.
        owner: Address,
    },
    /// Another number of signatures is needed.
    Threshold {
        /// Before.
        before: u64,
        /// Now.
        now: u64,
    },
    /// Another guard.
    Guard {
        /// Before.
        before: Option<Address>,
        /// Now.
        now: Option<Address>,
    },
    /// Another module guard.
    ModuleGuard {
        /// Before.
        before: Option<Address>,
        /// Now.
        now: Option<Address>,
    },
    /// Other modules.
    Modules {
        /// Enabled since.
        added: Vec<Address>,
        /// Disabled since.
        removed: Vec<Address>,
    },
    /// Another fallback handler, or other code at its address.
    FallbackHandler {
        /// Before.
        before: Option<Address>,
        /// Now.
        now: Option<Address>,
    },
}

impl SafeInfo {
    /// Everything remarkable, in the order in which a signer should read it.
    pub fn findings(&self, trust: &Trust) -> Vec<Finding> {
        let mut found = Vec::new();
        match self.version.support() {
            Support::Full => {}
            Support::Old if trust.old_versions => {}
            Support::Old => found.push(Finding::OldVersion { version: self.version }),
            Support::Unknown => found.push(Finding::UnknownVersion { version: self.version }),
        }
        found.extend(self.singleton_findings(trust));
        if !deployments::is_proxy_code(self.proxy_code_hash) && !trust.code.contains(&self.proxy_code_hash) {
            found.push(Finding::UnknownProxy {
                code_hash: self.proxy_code_hash,
            });
        }
        found.extend(self.owner_findings());
        found.extend(self.contract_owners.iter().filter_map(|owner| of_owner(owner, trust)));
        found.extend(self.modules.iter().map(|&address| Finding::Module { address }));
        found.extend(self.guard.map(|address| Finding::Guard { address }));
        found.extend(self.module_guard.map(|address| Finding::ModuleGuard { address }));
        found.extend(self.handler_finding(trust));
        found
    }
    /// What changed since `earlier`, the nonce apart: that moves with every transaction.
    pub fn changes_since(&self, earlier: &Self) -> Vec<Change> {
        if (self.chain_id, self.address) != (earlier.chain_id, earlier.address) {
            return vec![Change::Identity];
        }
        let mut changes = Vec::new();
        let code = |info: &Self| {
            let hashes = (info.proxy_code_hash, info.singleton_code_hash);
            (info.version, info.singleton, hashes)
        };
        if code(self) != code(earlier) {
            changes.push(Change::Code {
                before: earlier.singleton,
                now: self.singleton,
            });
        }
        let (added, removed) = difference(&earlier.owners, &self.owners);
        changes.extend(added.into_iter().map(|owner| Change::OwnerAdded { owner }));
        changes.extend(removed.into_iter().map(|owner| Change::OwnerRemoved { owner }));
        if self.threshold != earlier.threshold {
            changes.push(Change::Threshold {
                before: earlier.threshold,
                now: self.threshold,
            });
        }
        changes.extend(self.helper_changes(earlier));
        changes
    }
    /// How the singleton was deployed; code that only a pin vouches for counts as canonical EVM code.
    pub fn build(&self) -> Build {
        match deployments::identify(self.singleton, self.singleton_code_hash) {
            Identity::Listed(known) | Identity::Elsewhere(known) => known.build,
            Identity::Altered(_) | Identity::Unknown => Build::Canonical,
        }
    }
    /// Owners as a set, as signatures are checked against it.
    pub fn owner_set(&self) -> BTreeSet<Address> {
        self.owners.iter().copied().collect()
    }

    fn singleton_findings(&self, trust: &Trust) -> Vec<Finding> {
        let (address, code_hash) = (self.singleton, self.singleton_code_hash);
        let known = match deployments::identify(address, code_hash) {
            Identity::Unknown | Identity::Altered(_) if trust.code.contains(&code_hash) => return Vec::new(),
            Identity::Unknown | Identity::Altered(_) => return vec![Finding::UnknownSingleton { address, code_hash }],
            Identity::Listed(known) | Identity::Elsewhere(known) => known,
        };
        let mut found = Vec::new();
        if !known.contract.is_singleton() {
            found.push(Finding::NotASingleton { address });
        }
        if known.address != address && deployments::at(address).is_none() {
            found.push(Finding::UnlistedSingleton { address, code_hash });
        }
        if known.version != self.version {
            found.push(Finding::OtherVersion {
                says: self.version,
                is: known.version,
            });
        }
        let silent = known.contract == Contract::Singleton && known.version.support() == Support::Full;
        if silent && links::reads_events_only(self.chain_id) {
            found.push(Finding::NotIndexed { address });
        }
        if known.build == Build::EraVm {
            found.push(Finding::EraVm);
        }
        found
    }
    fn owner_findings(&self) -> Option<Finding> {
        let owners: BTreeSet<_> = self.owners.iter().filter(|owner| self.can_own(owner)).collect();
        let enough = u64::try_from(owners.len()).is_ok_and(|count| self.threshold <= count);
        let fine = self.threshold > 0 && enough && owners.len() == self.owners.len();
        (!fine).then_some(Finding::ImpossibleOwners {
            threshold: self.threshold,
            owners: owners.len(),
        })
    }
    /// The Safe's own rule for owners (`OwnerManager.setupOwners`).
    fn can_own(&self, owner: &Address) -> bool {
        !owner.is_zero() && *owner != SENTINEL && *owner != self.address
    }
    fn handler_finding(&self, trust: &Trust) -> Option<Finding> {
        let Some(address) = self.fallback_handler else {
            return Some(Finding::NoFallbackHandler);
        };
        if let Some(is) = self.fallback_handler_obeys {
            return Some(Finding::ObedientHandler { address, is });
        }
        let code_hash = self.fallback_handler_code_hash.unwrap_or_default();
        let fine = is_known(address, code_hash, Contract::is_handler) || trust.code.contains(&code_hash);
        (!fine).then_some(Finding::UnknownFallbackHandler { address })
    }
    fn helper_changes(&self, earlier: &Self) -> Vec<Change> {
        let mut changes = Vec::new();
        if self.guard != earlier.guard {
            changes.push(Change::Guard {
                before: earlier.guard,
                now: self.guard,
            });
        }
        if self.module_guard != earlier.module_guard {
            changes.push(Change::ModuleGuard {
                before: earlier.module_guard,
                now: self.module_guard,
            });
        }
        let (added, removed) = difference(&earlier.modules, &self.modules);
        if !added.is_empty() || !removed.is_empty() {
            changes.push(Change::Modules { added, removed });
        }
        let handler = |info: &Self| (info.fallback_handler, info.fallback_handler_code_hash);
        if handler(self) != handler(earlier) {
            changes.push(Change::FallbackHandler {
                before: earlier.fallback_handler,
                now: self.fallback_handler,
            });
        }
        changes
    }
}

impl Finding {
    /// How much it weighs.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::OldVersion { .. }
            | Self::UnknownVersion { .. }
            | Self::OtherVersion { .. }
            | Self::UnknownSingleton { .. }
            | Self::NotASingleton { .. }
            | Self::UnknownProxy { .. }
            | Self::ObedientHandler { .. }
            | Self::OwnerTakesAnything { .. }
            | Self::OwnerUnknown { .. }
            | Self::ImpossibleOwners { .. } => Severity::Stop,
            Self::UnlistedSingleton { .. }
            | Self::NotIndexed { .. }
            | Self::Module { .. }
            | Self::Guard { .. }
            | Self::OwnerIsContract { .. }
            | Self::UnknownFallbackHandler { .. } => Severity::Warning,
            Self::EraVm | Self::ModuleGuard { .. } | Self::NoFallbackHandler => Severity::Note,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OldVersion { version } => {
                write!(
                    f,
                    "version {version} signs without a chain id: a signature is good on other chains too"
                )
            }
            Self::UnknownVersion { version } => write!(f, "version {version} is not known to this build"),
            Self::OtherVersion { says, is } => write!(f, "the Safe says version {says}, its code is {is}"),
            Self::UnknownSingleton { address, code_hash } => {
                write!(f, "the singleton {address} has unknown code (keccak256 {code_hash})")
            }
            Self::NotASingleton { address } => write!(f, "{address} behind the Safe is known code, but no singleton"),
            Self::UnlistedSingleton { address, .. } => {
                write!(
                    f,
                    "the singleton's code is known, its address {address} is not a listed one"
                )
            }
            Self::NotIndexed { address } => write!(
                f,
                "the singleton {address} is the one for chains whose traces are read: proposals show at Safe's own \
                 service and in the wallet, and that they were executed never does"
            ),
            Self::UnknownProxy { code_hash } => write!(f, "the proxy has unknown code (keccak256 {code_hash})"),
            Self::EraVm => f.write_str("the Safe is compiled for EraVM and can make no batches with EVM libraries"),
            Self::ImpossibleOwners { threshold, owners } => {
                write!(f, "a threshold of {threshold} with {owners} possible owners")
            }
            Self::Module { address } => write!(f, "the module {address} can act without the owners"),
            Self::Guard { address } => write!(f, "the guard {address} may refuse transactions"),
            Self::ModuleGuard { address } => write!(f, "the guard {address} may refuse what modules do"),
            Self::UnknownFallbackHandler { address } => write!(f, "the fallback handler {address} is not a known one"),
            Self::NoFallbackHandler => f.write_str("the Safe has no fallback handler"),
            Self::ObedientHandler { address, is } => write!(
                f,
                "the fallback handler {address} is {is}: whatever the Safe may do there, anybody can have it done by \
                 calling the Safe"
            ),
            Self::OwnerTakesAnything { owner, of } => write!(
                f,
                "the owner {owner} of {of} is a contract that took a signature nobody made: anybody can sign for it"
            ),
            Self::OwnerIsContract { owner, of } => write!(
                f,
                "the owner {owner} of {of} has code and is no Safe: who can sign for it is not known"
            ),
            Self::OwnerUnknown {
                owner,
                of,
                part,
                code_hash,
            } => write!(
                f,
                "the owner {owner} of {of} is a Safe, and who can sign for it is not known: the code at {part} is unknown \
                 (keccak256 {code_hash})"
            ),
        }
    }
}

/// What is found about an owner that is a contract, the gravest alone. What it does was seen, whoever vouches for its code.
fn of_owner(contract: &ContractOwner, trust: &Trust) -> Option<Finding> {
    let (owner, of) = (contract.address, contract.of);
    if contract.takes_anything {
        return Some(Finding::OwnerTakesAnything { owner, of });
    }
    let Some(safe) = &contract.safe else {
        return Some(Finding::OwnerIsContract { owner, of });
    };
    let (part, code_hash) = safe.unknown(owner, &trust.code)?;
    Some(Finding::OwnerUnknown {
        owner,
        of,
        part,
        code_hash,
    })
}

/// Where a Safe keeps that it signed a message.
pub(super) fn message_slot(message: B256) -> B256 {
    mapping_slot(message, numbered(SIGNED_MESSAGES))
}

/// Storage slot of `approvedHashes[owner][hash]`: setting it in a state override simulates that approval.
pub fn approved_hash_slot(owner: Address, hash: B256) -> B256 {
    let of_owner = keccak256((owner, U256::from(APPROVED_HASHES_SLOT)).abi_encode());
    keccak256((hash, of_owner).abi_encode())
}

/// What `now` has and `before` had not, and the other way round.
fn difference(before: &[Address], now: &[Address]) -> (Vec<Address>, Vec<Address>) {
    let missing = |from: &[Address], other: &[Address]| {
        let gone = from.iter().filter(|address| !other.contains(address));
        gone.copied().collect()
    };
    (missing(now, before), missing(before, now))
}

#[cfg(test)]
#[path = "info_tests.rs"]
mod tests;
