//! Whether a contract's storage holds more than what can be named: proofs of the slots that its getters name, and, where
//! those are not all, of those that its events name. What a proof shows is judged in `storage`.

use std::collections::{BTreeMap, BTreeSet};

use alloy::consensus::Header;
use alloy::primitives::{Address, B256, U64, U256, b256};
use alloy::rpc::types::Log;
use alloy::sol_types::SolEvent;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::app::IMPLEMENTATION_SLOT;
use super::error::whole;
use super::logs::LogQuery;
use super::networks::DEVELOPMENT_CHAIN;
use super::rpc::{Ask, Node, Replies, Reply};
use super::storage::{Proven, mapping_slot, numbered, state_root};
use super::{AppState, BlockRef, Chain, ChainError};
use crate::abi::app::DstackApp as A;

/// Slots of one `eth_getProof`: its answer stays far below what an answer may be long.
const SLOTS: usize = 128;
/// Slots that are asked for of one contract; more of them somebody made to make this long.
const MOST_SLOTS: usize = 4096;
/// Requests for logs to each endpoint: enough for one that limits nothing, and no burden for one that limits much.
const REQUESTS: u32 = 64;
/// Where OpenZeppelin's upgradeable contracts keep theirs (ERC-7201): `openzeppelin.storage.Ownable`, `.Ownable2Step` and
/// `.Initializable`.
pub(super) const NAMESPACES: [B256; 3] = [
    b256!("9016d09d72d40fdae2fd8ceac6b6234c7706214fd39c1cd1e609a0528c199300"),
    b256!("237e158222e3e6968b72b9db0d8043aacf074ad9f650f0d1606b4d82ee432c00"),
    b256!("f0c57e16840df040f15088dc2f81fe391c3923bec73e23a9662efc9c229c6a00"),
];

/// Whether a contract's storage holds more than what its getters and its events name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "storage", rename_all = "kebab-case")]
pub enum StorageCheck {
    /// It holds nothing else.
    Closed {
        /// Slots that were named.
        slots: usize,
        /// Whose word it rests on.
        rests_on: Word,
    },
    /// It holds something else, although an endpoint gave the contract's history from its beginning.
    NotClosed {
        /// Slots that were named.
        slots: usize,
        /// Whose word it rests on.
        rests_on: Word,
    },
    /// Nobody knows.
    NotChecked {
        /// Why, for people.
        why: String,
    },
}

/// Whose word a storage check rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "kebab-case")]
pub enum Word {
    /// The block's own hash, which covers the state: that of whoever agreed on the block.
    Block,
    /// Endpoints', which name the state root of a block whose header does not give its hash here.
    Endpoints {
        /// The endpoints, by their names.
        endpoints: Vec<String>,
    },
}

/// What was found of a contract's storage, and what its events name of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageFound {
    /// Whether it holds more.
    pub check: StorageCheck,
    /// Slots that only events name, where they had to be read. With them a later proof needs no logs.
    pub told: Vec<B256>,
    /// Endpoints on whose word it rests what those are.
    pub by: Vec<String>,
}

/// What was found of a contract's storage, and what it was found by.
#[derive(Debug, Clone)]
pub(crate) struct StorageRead {
    /// What was found.
    pub(crate) found: StorageFound,
    /// The events that were read, oldest first; none where functions name all.
    pub(crate) logs: Vec<Log>,
    /// Slots among those that were named that hold something.
    pub(crate) held: BTreeSet<B256>,
}

impl StorageRead {
    const fn bare(found: StorageFound) -> Self {
        Self {
            found,
            logs: Vec::new(),
            held: BTreeSet::new(),
        }
    }
}

/// A contract whose storage is to be named.
pub(crate) struct Subject<'a> {
    /// Contract.
    pub(crate) contract: Address,
    /// The block.
    pub(crate) block: &'a BlockRef,
    /// Slots that getters name.
    pub(crate) slots: Vec<B256>,
    /// Slots that count only while they hold this: what nothing but the constructor writes.
    pub(crate) only: BTreeMap<B256, U256>,
    /// First topics of the events that name more.
    pub(crate) topics: Vec<B256>,
    /// What events name, oldest first.
    pub(crate) told: &'a (dyn Fn(&[Log]) -> Told + Send + Sync),
}

/// What a contract's events name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Told {
    /// More slots.
    pub(crate) slots: BTreeSet<B256>,
    /// Slots that count only while they hold this.
    pub(crate) only: BTreeMap<B256, U256>,
    /// Slots that held something and are zero again. A real chain has none of them in its trie; a development node keeps
    /// them.
    pub(crate) emptied: BTreeSet<B256>,
    /// They reach back to the contract's beginning.
    pub(crate) whole: bool,
}

impl Told {
    /// All slots that they name and that may hold something.
    pub(crate) fn all(&self) -> Vec<B256> {
        let all: BTreeSet<B256> = self.slots.iter().chain(self.only.keys()).copied().collect();
        all.into_iter().collect()
    }
}

/// What an endpoint proved.
struct Shown {
    proven: Proven,
    /// Whose word it rests on, other than the block's.
    by: Option<String>,
}

impl Chain {
    /// Whether the app that `app` was read of holds more than its getters and events name, at the same block; `hashes` and
    /// `devices` are those that are known already. One round trip where that is all; those of reading logs, and one more,
    /// where it is not.
    ///
    /// # Errors
    /// See [`ChainError`]. What no endpoint offers is no error: [`StorageCheck::NotChecked`] says why.
    pub async fn app_storage(
        &self,
        app: &AppState,
        hashes: &[B256],
        devices: &[B256],
    ) -> Result<StorageFound, ChainError> {
        Ok(self
            .app_storage_read(app.app, &app.block, (hashes, devices))
            .await?
            .found)
    }

    /// What [`Self::app_storage`] tells of the app at `contract`, and the events that had to be read for it.
    pub(crate) async fn app_storage_read(
        &self,
        contract: Address,
        block: &BlockRef,
        known: (&[B256], &[B256]),
    ) -> Result<StorageRead, ChainError> {
        let (hashes, devices) = known;
        let mut slots: Vec<B256> = (0..=4).map(numbered).collect();
        slots.extend(NAMESPACES);
        slots.push(IMPLEMENTATION_SLOT);
        slots.extend(hashes.iter().flat_map(|hash| hash_slots(*hash)));
        slots.extend(devices.iter().flat_map(|device| device_slots(*device)));
        let subject = Subject {
            contract,
            block,
            slots,
            only: BTreeMap::new(),
            topics: vec![
                A::ComposeHashAdded::SIGNATURE_HASH,
                A::DeviceAdded::SIGNATURE_HASH,
                A::OwnershipTransferred::SIGNATURE_HASH,
            ],
            told: &told_by_app,
        };
        self.storage_check(&subject).await
    }

    /// Whether a contract's storage holds more than what can be named of it. The logs on which the endpoints agree only name
    /// slots: what is in them, and that nothing else is there, is proved.
    pub(crate) async fn storage_check(&self, subject: &Subject<'_>) -> Result<StorageRead, ChainError> {
        let by = self.believed();
        let bare = |check| {
            let by = by.clone();
            Ok(StorageRead::bare(StorageFound {
                check,
                told: Vec::new(),
                by,
            }))
        };
        let named = by_getters(subject);
        if let Some(check) = self.storage_of_slots(subject.contract, subject.block, &named).await? {
            return bare(check);
        }
        let logs = match self.whole_history(subject).await? {
            Ok(logs) => logs,
            Err(why) => return bare(StorageCheck::NotChecked { why }),
        };
        let told = (subject.told)(&logs);
        let named: BTreeSet<B256> = told.slots.iter().chain(&subject.slots).copied().collect();
        let mut only: BTreeMap<B256, U256> = subject
            .only
            .iter()
            .chain(&told.only)
            .map(|(at, held)| (*at, *held))
            .collect();
        if self.id() == DEVELOPMENT_CHAIN {
            only.extend(told.emptied.difference(&named).map(|slot| (*slot, U256::ZERO)));
        }
        let all: BTreeSet<B256> = named.iter().chain(only.keys()).copied().collect();
        let all: Vec<B256> = all.into_iter().collect();
        if all.len() > MOST_SLOTS {
            return bare(too_many(all.len()));
        }
        let shown = match self.proven(subject.contract, subject.block, &all).await? {
            Ok(shown) => shown,
            Err(why) => return bare(StorageCheck::NotChecked { why }),
        };
        let check = closed(&shown, &only).unwrap_or_else(|| match told.whole {
            true => not_closed(&shown),
            false => StorageCheck::NotChecked {
                why: "no endpoint gives the contract's events from its beginning".to_owned(),
            },
        });
        let told = match check {
            StorageCheck::Closed { .. } => told.all(),
            _ => Vec::new(),
        };
        let held = shown.first().map(|one| one.proven.held()).unwrap_or_default();
        let found = StorageFound { check, told, by };
        Ok(StorageRead { found, logs, held })
    }

    /// Whether a contract's storage holds nothing but what was named, or why nobody tells; nothing where it holds more and
    /// only its history could tell what that is. One round trip for every 128 slots.
    pub(crate) async fn storage_of_slots(
        &self,
        contract: Address,
        block: &BlockRef,
        named: &Told,
    ) -> Result<Option<StorageCheck>, ChainError> {
        let all = named.all();
        if all.len() > MOST_SLOTS {
            return Ok(Some(too_many(all.len())));
        }
        Ok(match self.proven(contract, block, &all).await? {
            Ok(shown) => closed(&shown, &named.only).or_else(|| named.whole.then(|| not_closed(&shown))),
            Err(why) => Some(StorageCheck::NotChecked { why }),
        })
    }

    /// The contract's events, oldest first, as as many endpoints tell them as have to agree, or as many receipts show them:
    /// one that holds some back hides nothing, and one that adds some names no slot.
    async fn whole_history(&self, subject: &Subject<'_>) -> Result<Result<Vec<Log>, String>, ChainError> {
        let query = LogQuery {
            address: subject.contract,
            topics: subject.topics.clone(),
            from: 0,
            to: subject.block.number,
        };
        match self.agreed_logs(&query, REQUESTS).await {
            Ok(logs) => Ok(Ok(logs)),
            Err(error @ ChainError::Unavailable { .. }) => Ok(Err(whole(&error))),
            Err(error) => Err(error),
        }
    }

    /// The endpoints that answered so far.
    pub(crate) fn believed(&self) -> Vec<String> {
        let heard = self.quorum.turnout.heard();
        heard.map(|heard| heard.agreed).unwrap_or_default()
    }

    /// What the endpoints prove of `slots`. Those whose state root is the block's own count alone, where there are any.
    async fn proven(
        &self,
        contract: Address,
        block: &BlockRef,
        slots: &[B256],
    ) -> Result<Result<Vec<Shown>, String>, ChainError> {
        let found = match self.hear(|node| node.proven(contract, block, slots)).await {
            Ok(found) => found,
            Err(error @ ChainError::Unavailable { .. }) => return Ok(Err(whole(&error))),
            Err(error) => return Err(error),
        };
        let (mut shown, mut why) = (Vec::new(), None);
        for (node, one) in found {
            match one {
                Ok(one) => shown.push(one),
                Err(reason) => {
                    why.get_or_insert_with(|| format!("{}: {reason}", node.label()));
                }
            }
        }
        if shown.iter().any(|one| one.by.is_none()) {
            shown.retain(|one| one.by.is_none());
        }
        match shown.is_empty() {
            true => Ok(Err(why.unwrap_or_else(|| "no endpoint gives a proof".to_owned()))),
            false => Ok(Ok(shown)),
        }
    }
}

fn by_getters(subject: &Subject<'_>) -> Told {
    Told {
        slots: subject.slots.iter().copied().collect(),
        only: subject.only.clone(),
        ..Told::default()
    }
}

fn too_many(slots: usize) -> StorageCheck {
    let why = format!("its events name {slots} slots, more than are asked for");
    StorageCheck::NotChecked { why }
}

/// Closed by everybody who proved anything; nothing where somebody's proof says otherwise.
fn closed(shown: &[Shown], only: &BTreeMap<B256, U256>) -> Option<StorageCheck> {
    let slots = shown.first()?.proven.named();
    shown
        .iter()
        .all(|one| one.proven.is_closed(only))
        .then(|| StorageCheck::Closed {
            slots,
            rests_on: word(shown),
        })
}

fn not_closed(shown: &[Shown]) -> StorageCheck {
    StorageCheck::NotClosed {
        slots: shown.first().map_or(0, |one| one.proven.named()),
        rests_on: word(shown),
    }
}

fn word(shown: &[Shown]) -> Word {
    let endpoints: Vec<String> = shown.iter().filter_map(|one| one.by.clone()).collect();
    match endpoints.is_empty() {
        true => Word::Block,
        false => Word::Endpoints { endpoints },
    }
}

impl Node {
    /// What this endpoint proves of the slots; why it proves nothing.
    async fn proven(
        &self,
        contract: Address,
        block: &BlockRef,
        slots: &[B256],
    ) -> Result<Result<Shown, String>, ChainError> {
        let number = U64::from(block.number);
        let mut all: Option<Shown> = None;
        for some in slots.chunks(SLOTS) {
            let asks = [
                Ask::new("eth_getBlockByHash", json!([block.hash, false])),
                Ask::new("eth_getProof", json!([contract, some, number])),
            ];
            let mut replies = self.ask(&asks).await?;
            let (header, proof) = (readable(&mut replies)?, readable(&mut replies)?);
            let Some((header, proof)) = Option::zip(header, proof) else {
                return Ok(Err(
                    "it gives no proof of storage (eth_getProof) for that block".to_owned()
                ));
            };
            let (root, by) = self.root(&header, block);
            let part = Proven::new(root, contract, &proof, some);
            let part = part.map(|proven| Shown { proven, by });
            let part = match part.map_err(|why| format!("its proof does not fit the block: {why}")) {
                Ok(part) => part,
                Err(why) => return Ok(Err(why)),
            };
            all = match all {
                None => Some(part),
                Some(Shown { proven, by }) => match proven.join(part.proven) {
                    Some(proven) => Some(Shown { proven, by }),
                    None => return Ok(Err("its proofs contradict each other".to_owned())),
                },
            };
        }
        Ok(all.ok_or_else(|| "nothing was asked".to_owned()))
    }

    /// The state root that its header gives a block, and whose word that is where it is not the block's own.
    fn root(&self, header: &Header, block: &BlockRef) -> (B256, Option<String>) {
        match state_root(header, block) {
            Ok(root) => (root, None),
            Err(root) => (root, Some(self.label().to_owned())),
        }
    }
}

/// The next reply as a value; nothing where it was refused, is null or has another shape.
fn readable<T: DeserializeOwned>(replies: &mut Replies<'_>) -> Result<Option<T>, ChainError> {
    Ok(match replies.reply()? {
        (_, Reply::Result(raw)) => serde_json::from_str(raw.get()).ok(),
        (_, Reply::Refused(_)) => None,
    })
}

/// Where the app's contract keeps whether it allows a hash: in releases since July 2025, and in those before.
pub(super) fn hash_slots(hash: B256) -> [B256; 2] {
    [0, 1].map(|at| mapping_slot(hash, numbered(at)))
}

/// Where it keeps whether it allows a device, likewise.
pub(super) fn device_slots(device: B256) -> [B256; 2] {
    [2, 3].map(|at| mapping_slot(device, numbered(at)))
}

/// Hashes and devices that the app's events name; the first of them gives it its first owner.
fn told_by_app(logs: &[Log]) -> Told {
    let mut told = Told::default();
    for log in logs.iter().map(|log| &log.inner) {
        let word = || match (log.topics(), log.data.data.as_chunks::<32>()) {
            ([_], ([word], [])) => Some(B256::from(*word)),
            ([_, word], _) => Some(*word),
            _ => None,
        };
        match log.topics().first() {
            Some(&A::ComposeHashAdded::SIGNATURE_HASH) => told.slots.extend(word().into_iter().flat_map(hash_slots)),
            Some(&A::DeviceAdded::SIGNATURE_HASH) => told.slots.extend(word().into_iter().flat_map(device_slots)),
            Some(&A::OwnershipTransferred::SIGNATURE_HASH) => {
                told.whole |= log.topics().get(1).is_some_and(B256::is_zero);
            }
            _ => {}
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Bytes, U256, keccak256};

    use super::*;

    #[test]
    fn the_slots_of_namespaces_are_the_hashes_of_their_names() {
        for (slot, name) in NAMESPACES.into_iter().zip(["Ownable", "Ownable2Step", "Initializable"]) {
            let inner = U256::from_be_bytes(keccak256(format!("openzeppelin.storage.{name}")).0) - U256::from(1);
            let mut expected = keccak256(inner.to_be_bytes::<32>());
            expected.0[31] = 0;
            assert_eq!(slot, expected, "{name}");
        }
    }

    #[test]
    fn an_apps_events_name_hashes_and_devices_and_where_they_begin() {
        let log = |topics: Vec<B256>, data: &[u8]| Log {
            inner: alloy::primitives::Log::new_unchecked(Address::ZERO, topics, Bytes::copy_from_slice(data)),
            ..Log::default()
        };
        let (hash, device) = (B256::repeat_byte(1), B256::repeat_byte(2));
        let added = log(vec![A::ComposeHashAdded::SIGNATURE_HASH], hash.as_slice());
        let indexed = log(vec![A::DeviceAdded::SIGNATURE_HASH, device], &[]);
        let odd = log(vec![A::DeviceAdded::SIGNATURE_HASH], &[1, 2, 3]);
        let owner = |from| {
            log(
                vec![A::OwnershipTransferred::SIGNATURE_HASH, from, B256::repeat_byte(9)],
                &[],
            )
        };
        let told = told_by_app(&[added.clone(), odd, indexed, owner(B256::repeat_byte(9))]);
        let expected = hash_slots(hash).into_iter().chain(device_slots(device)).collect();
        assert_eq!((told.slots, told.whole), (expected, false));
        assert!(told_by_app(&[owner(B256::ZERO), added]).whole);
    }
}
