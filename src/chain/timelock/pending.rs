//! What a timelock has scheduled and not executed: which operations, by its events, and where each stands, by its state.
//!
//! Events are as whole as the endpoints give them; why there may be more is said. Reads only.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, U256};
use alloy::sol_types::SolEvent;
use serde::{Deserialize, Serialize};

use super::record::{Life, named, newest, operation_topics, told};
use super::slots::told_by;
use super::{OperationPlace, OperationState, TimelockInfo, TimelockOperation, unbegun};
use crate::abi::timelock::TimelockController as T;
use crate::chain::closed::Told;
use crate::chain::logs::{LogQuery, PlacedLog};
use crate::chain::read::Question;
use crate::chain::{BlockRef, Call, Chain, ChainError};

/// Questions of one round trip.
const ENTRIES: usize = 100;
/// Numbers of one operation that are asked about in one round trip: the first is nearly always the one.
const NUMBERS: u64 = 8;

/// The operations that wait at a timelock, at one block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PendingOperations {
    /// The block.
    pub block: BlockRef,
    /// Each of them, in the order in which they were scheduled.
    pub operations: Vec<PendingOperation>,
    /// Why there may be more: the events could not be read whole.
    pub incomplete: Option<String>,
    /// The slots of the timelock's storage that the events name.
    #[serde(skip)]
    pub(crate) named: Told,
}

/// One operation that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PendingOperation {
    /// Id.
    pub id: B256,
    /// Where it stands, by the timelock's state.
    pub state: OperationState,
    /// What it calls, by the timelock's events.
    pub calls: Vec<Call>,
    /// All of it, where the events hold what has its id: before 4.9 none tells the salt.
    pub operation: Option<TimelockOperation>,
    /// Where it was scheduled.
    pub scheduled: OperationPlace,
}

impl PendingOperation {
    /// From when on it can be executed, seconds since 1970.
    pub const fn ready_at(&self) -> u64 {
        self.state.ready_at()
    }
}

impl Chain {
    /// What a timelock has scheduled, from block `from` on, and not executed at the block it was read at. Round trips as
    /// for reading logs, and one for every hundred operations that wait.
    ///
    /// # Errors
    /// See [`ChainError`]. Events that no endpoint gives whole are no error: [`PendingOperations::incomplete`] says why.
    pub async fn pending_operations(&self, info: &TimelockInfo, from: u64) -> Result<PendingOperations, ChainError> {
        let query = LogQuery {
            address: info.address,
            topics: [operation_topics(), vec![T::RoleGranted::SIGNATURE_HASH]].concat(),
            from,
            to: info.block.number,
        };
        let (logs, incomplete) = self.longest_logs(&query).await?;
        let incomplete = incomplete.or_else(|| unbegun(info, &logs).filter(|_| from == 0));
        self.operations_by(info, &logs, incomplete).await
    }

    /// The operations that logs say were scheduled, as far as the timelock has them. What logs say ended is asked about
    /// only where they may not be the chain's.
    pub(super) async fn operations_by(
        &self,
        info: &TimelockInfo,
        logs: &[PlacedLog],
        incomplete: Option<String>,
    ) -> Result<PendingOperations, ChainError> {
        let lives = scheduled(logs, incomplete.is_some());
        let mut operations = Vec::new();
        for some in lives.chunks(ENTRIES) {
            let ids: Vec<B256> = some.iter().map(|(id, _)| *id).collect();
            let states = self.operation_states(info.address, &ids, &info.block).await?;
            let pending = some.iter().zip(states).filter(|(_, state)| state.is_pending());
            operations.extend(pending.map(|((id, life), state)| PendingOperation {
                id: *id,
                state,
                calls: life.calls.clone(),
                operation: named(*id, life.clone()),
                scheduled: life.scheduled,
            }));
        }
        operations.sort_by_key(|one| (one.scheduled.block.number, one.scheduled.log_index));
        Ok(PendingOperations {
            block: info.block,
            operations,
            incomplete,
            named: told_by(info, logs),
        })
    }

    /// The first number below `most` whose operation the timelock has not executed after the block it was read at; `None`: it has executed
    /// all of them. One round trip for every few numbers.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn first_not_done(
        &self,
        info: &TimelockInfo,
        most: u64,
        id_of: &(dyn Fn(u64) -> B256 + Send + Sync),
    ) -> Result<Option<(u64, OperationState)>, ChainError> {
        let mut first = 0;
        while first < most {
            let last = first.saturating_add(NUMBERS).min(most);
            let ids: Vec<B256> = (first..last).map(id_of).collect();
            let states = self.operation_states(info.address, &ids, &info.block).await?;
            let mut numbered = (first..last).zip(states);
            if let Some(found) = numbered.find(|(_, state)| *state != OperationState::Done) {
                return Ok(Some(found));
            }
            first = last;
        }
        Ok(None)
    }

    /// Where operations stand after a block. One round trip.
    async fn operation_states(
        &self,
        timelock: Address,
        ids: &[B256],
        block: &BlockRef,
    ) -> Result<Vec<OperationState>, ChainError> {
        let question = |id: &B256| Question::call(timelock, &T::getTimestampCall { id: *id });
        let questions: Vec<Question> = ids.iter().map(question).collect();
        let mut facts = self.read(block, &questions).await?;
        let state = |_: &B256| {
            let timestamp: Option<U256> = facts.next().value::<T::getTimestampCall>();
            let timestamp = timestamp.ok_or_else(|| self.not_a_timelock(timelock, "getTimestamp(bytes32)"))?;
            Ok(OperationState::of(timestamp, block.timestamp))
        };
        ids.iter().map(state).collect()
    }
}

/// Every operation that events say was scheduled, unless they also say that it ended since; with `ended`, those too.
fn scheduled(logs: &[PlacedLog], ended: bool) -> Vec<(B256, Life)> {
    let mut by_id: BTreeMap<B256, Vec<PlacedLog>> = BTreeMap::new();
    for placed in logs {
        if let Some(told) = told(&placed.log) {
            by_id.entry(told.id).or_default().push(placed.clone());
        }
    }
    let lives = by_id.into_iter();
    let lives = lives.filter_map(|(id, logs)| Some((id, newest(id, &logs)?)));
    lives.filter(|(_, life)| ended || life.end.is_none()).collect()
}
