//! Whether what was read is all: the storage of the app, of Safes and of timelocks holds nothing that was not named. All of it
//! beside one another, and the app's beside the reading of who acts for it.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256};
use alloy::sol_types::SolEvent;
use futures_util::future::try_join_all;

use super::facts::{AllowedImage, AppFacts, KmsFacts};
use super::reader::Reader;
use crate::abi::app::DstackApp as A;
use crate::abi::governance::PlatformLists as P;
use crate::abi::kms::DstackKms as K;
use crate::chain::closed::{StorageCheck, StorageFound};
use crate::chain::{BlockRef, Chain, ChainError, LogQuery, Question, StorageRead, mapping_slot, numbered};
use crate::code::Code;
use crate::power::model::{Confidence, Node, Party, Rule};
use crate::safe::slots::check_storage;

/// Requests for the KMS's events to each endpoint.
const REQUESTS: u32 = 64;
/// OS images, and hashes that only events name, that are asked about.
const MOST_NAMED: usize = 256;

/// The lists of the app and the KMS, and whether they are all.
pub(super) struct Lists {
    storage: StorageCheck,
    hashes: Vec<B256>,
    images: Vec<B256>,
    /// Why there may be more images.
    incomplete: Option<String>,
}

/// Reads the lists of the app and the KMS.
pub(super) async fn lists(
    chain: &Chain,
    block: &BlockRef,
    of: (Address, Option<Address>),
) -> Result<Lists, ChainError> {
    let (app, kms) = of;
    let (storage, images) = tokio::join!(
        chain.app_storage_read(app, block, (&[], &[])),
        images(chain, block, kms),
    );
    let storage = storage?;
    let (images, incomplete) = images?;
    let hashes = match storage.found.check {
        StorageCheck::Closed { .. } => hashes(&storage),
        _ => hashes_by_events(chain, block, app).await?,
    };
    Ok(Lists {
        storage: storage.found.check,
        hashes,
        images,
        incomplete,
    })
}

/// Takes the lists.
pub(super) fn take(reader: &Reader<'_>, lists: Lists, to: (&mut AppFacts, Option<&mut KmsFacts>)) {
    let (app, kms) = to;
    (app.storage, app.hashes) = (lists.storage, lists.hashes);
    if let Some(kms) = kms {
        let image = |hash| AllowedImage {
            hash,
            is: reader.query.images.get(&hash).copied(),
        };
        kms.images = lists.images.into_iter().map(image).collect();
        kms.images_incomplete = lists.incomplete;
    }
}

/// Checks the storage of Safes and timelocks, and takes what it shows.
pub(super) async fn close(reader: &mut Reader<'_>) -> Result<(), ChainError> {
    let chain = reader.chain;
    let safes = reader.safes.iter().map(|safe| check_storage(chain, safe));
    let timelocks = reader
        .timelocks
        .iter()
        .map(|read| chain.timelock_storage_as_read(read, &[]));
    let (of_safes, of_timelocks) = tokio::join!(try_join_all(safes), try_join_all(timelocks));
    let safes: Vec<_> = reader
        .safes
        .iter()
        .map(|safe| (safe.address, safe.owners.clone()))
        .collect();
    for ((address, owners), (found, standing)) in safes.into_iter().zip(of_safes?) {
        for one in standing.iter().filter_map(|one| one.counted(&owners, false)) {
            reader.find(Code::SafeStandingApproval, address, one.told(address));
        }
        judge(reader, address, Some(found.check));
    }
    let timelocks: Vec<_> = reader.timelocks.iter().map(|read| read.info.address).collect();
    for (address, found) in timelocks.into_iter().zip(of_timelocks?) {
        judge(reader, address, found.map(|found: StorageFound| found.check));
    }
    Ok(())
}

/// What the check of a node's storage makes of it.
fn judge(reader: &mut Reader<'_>, address: Address, check: Option<StorageCheck>) {
    let text = match &check {
        Some(StorageCheck::NotClosed { .. }) => Some(format!(
            "the storage of {address} holds something that nothing names: whoever it is may act for it"
        )),
        _ => None,
    };
    if let Some(node) = reader.world.nodes.get_mut(&address) {
        match &check {
            Some(StorageCheck::Closed { .. }) if node.confidence == Confidence::Getters => {
                node.confidence = Confidence::Closed;
            }
            Some(StorageCheck::NotClosed { .. }) => hidden(node),
            _ => {}
        }
    }
    if let Some(text) = text {
        reader.find(Code::StorageNotClosed, address, text);
    }
}

fn hidden(node: &mut Node) {
    let party = Party::Unknown(node.address);
    node.confidence = Confidence::Unknown;
    node.rules.push(Rule::Party { party });
}

/// The hashes that the app allows, by its events and its storage.
fn hashes(read: &StorageRead) -> Vec<B256> {
    let mut hashes = BTreeSet::new();
    for log in &read.logs {
        let word = match (log.topics(), log.inner.data.data.as_chunks::<32>()) {
            ([A::ComposeHashAdded::SIGNATURE_HASH], ([word], [])) => B256::from(*word),
            ([A::ComposeHashAdded::SIGNATURE_HASH, word], _) => *word,
            _ => continue,
        };
        if [0, 1]
            .iter()
            .any(|at| read.held.contains(&mapping_slot(word, numbered(*at))))
        {
            hashes.insert(word);
        }
    }
    hashes.into_iter().collect()
}

/// The hashes that an app's events name and that it allows, where its storage does not show them.
async fn hashes_by_events(chain: &Chain, block: &BlockRef, app: Address) -> Result<Vec<B256>, ChainError> {
    let query = LogQuery {
        address: app,
        topics: vec![A::ComposeHashAdded::SIGNATURE_HASH],
        from: 0,
        to: block.number,
    };
    let (logs, _) = chain.all_logs(&query, REQUESTS).await?;
    let added = logs
        .iter()
        .filter_map(|placed| A::ComposeHashAdded::decode_log_validate(&placed.log).ok());
    let all: BTreeSet<B256> = added.map(|event| event.composeHash).collect();
    let all: Vec<B256> = all.into_iter().take(MOST_NAMED).collect();
    if all.is_empty() {
        return Ok(all);
    }
    let question = |hash: &B256| Question::call(app, &A::allowedComposeHashesCall { composeHash: *hash });
    let questions: Vec<Question> = all.iter().map(question).collect();
    let mut facts = chain.read(block, &questions).await?;
    let mut allowed = |_: &B256| facts.next().value::<A::allowedComposeHashesCall>() != Some(false);
    Ok(all.into_iter().filter(|hash| allowed(hash)).collect())
}

/// The OS images that a KMS allows, and why there may be more.
async fn images(
    chain: &Chain,
    block: &BlockRef,
    kms: Option<Address>,
) -> Result<(Vec<B256>, Option<String>), ChainError> {
    let Some(kms) = kms else {
        return Ok((Vec::new(), None));
    };
    let query = LogQuery {
        address: kms,
        topics: vec![P::OsImageHashAdded::SIGNATURE_HASH],
        from: 0,
        to: block.number,
    };
    let (logs, incomplete) = chain.all_logs(&query, REQUESTS).await?;
    let added = logs
        .iter()
        .filter_map(|placed| P::OsImageHashAdded::decode_log_validate(&placed.log).ok());
    let all: BTreeSet<B256> = added.map(|event| event.osImageHash).collect();
    let too_many = (all.len() > MOST_NAMED).then(|| "it named more than are asked about".to_owned());
    let all: Vec<B256> = all.into_iter().take(MOST_NAMED).collect();
    if all.is_empty() {
        return Ok((all, incomplete.or_else(|| Some("no event names one".to_owned()))));
    }
    let question = |hash: &B256| Question::call(kms, &K::allowedOsImagesCall { osImageHash: *hash });
    let questions: Vec<Question> = all.iter().map(question).collect();
    let mut facts = chain.read(block, &questions).await?;
    // What it does not answer it may allow.
    let mut allowed = |_: &B256| facts.next().value::<K::allowedOsImagesCall>() != Some(false);
    Ok((
        all.iter().copied().filter(|hash| allowed(hash)).collect(),
        incomplete.or(too_many),
    ))
}
