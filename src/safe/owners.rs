//! Reading the owners of a Safe that are contracts, and theirs: what they say of signatures that nobody made, and whose
//! code answers for them. Two round trips for each step down. What it means is judged elsewhere.

use alloy::primitives::{Address, B256, keccak256};

use super::info::{FALLBACK_HANDLER_SLOT, SINGLETON_SLOT};
use super::probe::{self, Seen};
use super::strangers::{ContractOwner, OwnerSafe};
use crate::abi::safe::Safe;
use crate::chain::{BlockRef, Chain, ChainError, Question, Reading};

/// Steps down from a Safe to those that own it: more than anybody builds, and few enough to end.
const DEPTH: usize = 8;
/// Owners that are looked at, of one Safe and in all; more of them nobody could review.
const MOST: usize = 64;

/// An address with code that owns the Safe `of`.
#[derive(Debug)]
pub(super) struct Candidate {
    address: Address,
    of: Address,
    code_hash: B256,
}

/// What is read of a candidate that answers as a Safe does.
struct Child {
    of: Address,
    safe: OwnerSafe,
    owners: Vec<Address>,
}

/// Asks for the code of the owners of a Safe.
pub(super) fn code_questions(owners: &[Address]) -> impl Iterator<Item = Question> + '_ {
    owners.iter().take(MOST).copied().map(Question::code)
}

/// Those of `owners` that have code, by the answers to [`code_questions`], which stand next.
pub(super) fn with_code(owners: &[Address], of: Address, facts: &mut Reading) -> Vec<Candidate> {
    let mut found = Vec::new();
    for &address in owners.iter().take(MOST) {
        let code = probe::code(&facts.next());
        found.extend(code.map(|code| Candidate {
            address,
            of,
            code_hash: keccak256(code),
        }));
    }
    found
}

/// Reads the candidates, and the contracts behind those that are Safes.
///
/// # Errors
/// See [`ChainError`].
pub(super) async fn read(
    chain: &Chain,
    block: &BlockRef,
    mut level: Vec<Candidate>,
) -> Result<Vec<ContractOwner>, ChainError> {
    let (mut found, mut seen) = (Vec::new(), Seen::default());
    for _ in 0..DEPTH {
        level.retain(|one| seen.admit(one.address, one.of, MOST));
        if level.is_empty() {
            break;
        }
        let mut owners = asked(chain, block, &level).await?;
        level = behind(chain, block, &mut owners).await?;
        found.extend(owners.into_iter().map(|(owner, _)| owner));
    }
    Ok(found)
}

/// What the candidates answer themselves.
async fn asked(
    chain: &Chain,
    block: &BlockRef,
    level: &[Candidate],
) -> Result<Vec<(ContractOwner, Option<Child>)>, ChainError> {
    let mut questions = Vec::new();
    for one in level {
        questions.extend(probe::signature_questions(one.address, one.of, block));
        questions.extend([
            Question::slot(one.address, SINGLETON_SLOT),
            Question::slot(one.address, FALLBACK_HANDLER_SLOT),
            probe::ask(one.address, &Safe::VERSIONCall {}),
            probe::ask(one.address, &Safe::getThresholdCall {}),
            probe::ask(one.address, &Safe::getOwnersCall {}),
        ]);
    }
    let mut facts = chain.read(block, &questions).await?;
    let mut found = Vec::with_capacity(level.len());
    for one in level {
        let takes_anything = probe::takes_anything(&mut facts);
        let child = child(one, &mut facts)?;
        let owner = ContractOwner {
            address: one.address,
            of: one.of,
            takes_anything,
            safe: None,
        };
        found.push((owner, child));
    }
    Ok(found)
}

fn child(one: &Candidate, facts: &mut Reading) -> Result<Option<Child>, ChainError> {
    let singleton = probe::address_in(facts)?;
    let fallback_handler = probe::address_in(facts)?;
    let version = facts.next().value::<Safe::VERSIONCall>();
    let threshold = facts.next().value::<Safe::getThresholdCall>();
    let owners = facts.next().value::<Safe::getOwnersCall>();
    let (Some(_), Some(_), Some(owners)) = (version, threshold, owners) else {
        return Ok(None);
    };
    Ok(Some(Child {
        of: one.address,
        safe: OwnerSafe {
            proxy_code_hash: one.code_hash,
            singleton: singleton.unwrap_or_default(),
            singleton_code_hash: B256::ZERO,
            fallback_handler,
            fallback_handler_code_hash: None,
        },
        owners,
    }))
}

/// The code that answers for those that are Safes, which is put into them, and their owners with code.
async fn behind(
    chain: &Chain,
    block: &BlockRef,
    owners: &mut [(ContractOwner, Option<Child>)],
) -> Result<Vec<Candidate>, ChainError> {
    let mut questions = Vec::new();
    for child in owners.iter().filter_map(|(_, child)| child.as_ref()) {
        questions.push(Question::code(child.safe.singleton));
        questions.extend(child.safe.fallback_handler.map(Question::code));
        questions.extend(code_questions(&child.owners));
    }
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    let mut facts = chain.read(block, &questions).await?;
    let mut next = Vec::new();
    for (owner, child) in owners {
        let Some(child) = child else { continue };
        let mut safe = child.safe.clone();
        safe.singleton_code_hash = keccak256(facts.next().bytes());
        safe.fallback_handler_code_hash = safe.fallback_handler.map(|_| keccak256(facts.next().bytes()));
        next.extend(with_code(&child.owners, child.of, &mut facts));
        owner.safe = Some(safe);
    }
    Ok(next)
}
