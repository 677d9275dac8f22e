//! One level after the other: what is asked of every address, in one round trip, and what its answers make of it.

use alloy::primitives::{Address, keccak256};
use futures_util::future::try_join_all;

use super::reader::{Asked, Reader, unknown};
use super::{account, administrator, delay, governor, proxy, safe, timelock};
use crate::chain::policy_history::takes_new_code;
use crate::chain::timelock::TimelockInfo;
use crate::chain::{ChainError, Question, Reading};

/// Reads all levels.
pub(super) async fn all(reader: &mut Reader<'_>) -> Result<(), ChainError> {
    while !reader.next.is_empty() {
        let asked = std::mem::take(&mut reader.next);
        let questions: Vec<Vec<Question>> = asked.iter().map(|one| questions(reader, one)).collect();
        let all: Vec<Question> = questions.iter().flatten().cloned().collect();
        let mut facts = reader.chain.read(&reader.block, &all).await?;
        let mut timelocks = Vec::new();
        for (one, questions) in asked.into_iter().zip(questions) {
            let mut part = facts.part(questions.len());
            match one {
                Asked::Glance(address) => account::glance(reader, address, &mut part),
                Asked::Whole(address) => timelocks.extend(whole(reader, address, &mut part).await?),
                Asked::SafeCode(info) => safe::code(reader, *info, &mut part),
                Asked::Delegate { key, to } => account::delegate(reader, (key, to), &mut part),
                Asked::Queue(seen) => delay::queue(reader, *seen, &mut part),
                Asked::NewCode(_) => reader.takes_new_code = takes_new_code(&part.next()),
                Asked::Behind(address) => {
                    reader.codes.insert(address, keccak256(part.next().bytes()));
                }
            }
        }
        let chain = reader.chain;
        let standing = timelocks.into_iter().map(|found| timelock::standing(chain, found));
        for found in try_join_all(standing).await? {
            timelock::take(reader, found);
        }
    }
    Ok(())
}

fn questions(reader: &Reader<'_>, asked: &Asked) -> Vec<Question> {
    match asked {
        Asked::Glance(address) => vec![Question::code(*address)],
        Asked::Whole(address) => everything(reader, *address).concat(),
        Asked::SafeCode(info) => safe::code_questions(info),
        Asked::Delegate { to, .. } => vec![Question::code(*to)],
        Asked::Queue(seen) => seen.questions(),
        Asked::NewCode(question) => vec![question.clone()],
        Asked::Behind(address) => vec![Question::code(*address)],
    }
}

/// Every question about an address, by what it may be.
fn everything(reader: &Reader<'_>, address: Address) -> [Vec<Question>; 7] {
    [
        vec![Question::code(address)],
        proxy::questions(address),
        safe::questions(reader, address),
        timelock::questions(address),
        governor::questions(address, &reader.block),
        delay::questions(address),
        administrator::questions(address),
    ]
}

/// What stands at an address, by its answers. A Safe comes first: one that passes on what it does not know answers as the
/// contract behind it.
async fn whole(
    reader: &mut Reader<'_>,
    address: Address,
    facts: &mut Reading,
) -> Result<Option<timelock::Found>, ChainError> {
    let lengths = everything(reader, address).map(|questions| questions.len());
    let [
        mut code,
        mut slots,
        mut of_safe,
        mut of_timelock,
        mut of_governor,
        mut of_delay,
        mut of_administrator,
    ] = lengths.map(|length| facts.part(length));
    reader.endpoints = reader.endpoints.max(facts.endpoints.len());
    let code = code.next().bytes();
    if account::is_account(reader, address, &code) {
        return Ok(None);
    }
    let proxied = proxy::of(&mut slots);
    if safe::take(reader, address, &mut of_safe).await? {
        return Ok(None);
    }
    if let Some(info) = TimelockInfo::recognise(
        address,
        reader.block,
        &mut of_timelock.part(timelock::recognised(address)),
    ) {
        let found = timelock::Found::new(info, &mut of_timelock, proxied);
        return Ok(Some(found));
    }
    let node = governor::of(reader, address, &mut of_governor)
        .or_else(|| delay::of(reader, (address, &code), &mut of_delay))
        .or_else(|| administrator::of(reader, address, &mut of_administrator));
    let node = match node {
        Some(Some(node)) => node,
        // Its answers are not all there yet.
        Some(None) => return Ok(None),
        None => unknown(reader, address, keccak256(&code)),
    };
    let node = proxy::with(reader, node, &proxied);
    reader.add(node);
    Ok(None)
}
