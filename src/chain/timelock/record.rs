//! What became of an operation: its state at a block, the events that tell where it was scheduled, executed or
//! cancelled, and whether a transaction's events are exactly those of an operation.
//!
//! State and events are read separately: the state says what may happen next, an event says where it happened. That an
//! operation was executed does not say what came of its calls; for that see [`Chain::prove`].

use alloy::primitives::{Address, B256, Log, U256};
use alloy::sol_types::SolEvent;
use serde::{Deserialize, Serialize};

use super::{TimelockCalls, TimelockOperation};
use crate::abi::timelock::TimelockController as T;
use crate::chain::logs::{LogQuery, PlacedLog};
use crate::chain::read::Question;
use crate::chain::{BlockRef, Call, Chain, ChainError};

/// What `getTimestamp` says of an operation that was executed.
const DONE: U256 = U256::ONE;

/// Where an operation stands after a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationState {
    /// Never scheduled, or cancelled.
    Unset,
    /// Scheduled, and too early to execute.
    Waiting {
        /// When it may be executed, seconds since 1970; the largest number for even later.
        ready_at: u64,
    },
    /// Scheduled, and it may be executed: it stays so until it is executed or cancelled, however long that takes.
    Ready {
        /// Since when, seconds since 1970.
        since: u64,
    },
    /// Executed; an operation with this id can never be scheduled again.
    Done,
}

/// What can happen to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationStep {
    /// Scheduled.
    Scheduled,
    /// Executed.
    Executed,
    /// Cancelled.
    Cancelled,
}

/// Where something happened to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationPlace {
    /// The transaction.
    pub transaction: B256,
    /// Its block.
    pub block: BlockRef,
    /// Index in the block of the step's last event.
    pub log_index: u64,
}

/// An operation from its newest scheduling on, by the timelock's events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationLife {
    /// Id.
    pub id: B256,
    /// Where it was scheduled.
    pub scheduled: OperationPlace,
    /// Seconds from that block until it may be executed, as the scheduler asked; the largest number for even more.
    pub delay: u64,
    /// What was scheduled: the events' content, if it has the id.
    pub operation: Option<TimelockOperation>,
    /// How it ended, if it did.
    pub end: Option<OperationEnd>,
}

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OperationEnd {
    /// Executed there.
    Executed(OperationPlace),
    /// Cancelled there.
    Cancelled(OperationPlace),
}

/// Why a transaction does not prove a step of an operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TimelockProofFailure {
    /// The chain did not answer.
    #[error(transparent)]
    Chain(#[from] ChainError),
    /// Not in a block of every endpoint yet.
    #[error("transaction {transaction} is not settled yet")]
    NotSettled {
        /// The transaction.
        transaction: B256,
    },
    /// The whole transaction failed; nothing happened to the operation.
    #[error("transaction {transaction} failed in block {block}")]
    Reverted {
        /// The transaction.
        transaction: B256,
        /// Block number.
        block: u64,
    },
    /// No event of the timelock says so.
    #[error("no event of {timelock} says that operation {id} was {step}")]
    NotShown {
        /// The timelock.
        timelock: Address,
        /// The operation.
        id: B256,
        /// What should have happened.
        step: OperationStep,
    },
    /// Another contract says so, and the timelock does not.
    #[error("{emitter} says that operation {id} was {step}, the timelock {timelock} does not")]
    Foreign {
        /// The contract that emitted the event.
        emitter: Address,
        /// The timelock.
        timelock: Address,
        /// The operation.
        id: B256,
        /// What should have happened.
        step: OperationStep,
    },
    /// The events are not those of this operation.
    #[error("the events that say that operation {id} was {step} are not those of it: {what}")]
    Different {
        /// The operation.
        id: B256,
        /// What should have happened.
        step: OperationStep,
        /// In what they differ.
        what: String,
    },
}

impl std::fmt::Display for OperationStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Scheduled => "scheduled",
            Self::Executed => "executed",
            Self::Cancelled => "cancelled",
        })
    }
}

impl OperationState {
    /// By what `getTimestamp` says, for a block of this time.
    pub(super) fn of(timestamp: U256, now: u64) -> Self {
        let at = u64::try_from(timestamp).unwrap_or(u64::MAX);
        match timestamp {
            U256::ZERO => Self::Unset,
            DONE => Self::Done,
            later if later > U256::from(now) => Self::Waiting { ready_at: at },
            _ => Self::Ready { since: at },
        }
    }
    /// From when on it can be executed, seconds since 1970; zero where it cannot.
    pub const fn ready_at(self) -> u64 {
        match self {
            Self::Waiting { ready_at } => ready_at,
            Self::Ready { since } => since,
            Self::Unset | Self::Done => 0,
        }
    }
    /// Scheduled and not executed yet.
    pub const fn is_pending(self) -> bool {
        matches!(self, Self::Waiting { .. } | Self::Ready { .. })
    }
}

impl Chain {
    /// Where the operation with this id stands after `block`. Whether it is ready is told for that block's own time: a
    /// later block may already be late enough. One round trip.
    ///
    /// # Errors
    /// See [`ChainError`]; [`ChainError::NotATimelock`] without an answer, or with answers that contradict each other.
    pub async fn operation_state(
        &self,
        timelock: Address,
        id: B256,
        block: &BlockRef,
    ) -> Result<OperationState, ChainError> {
        let questions = [
            Question::call(timelock, &T::getTimestampCall { id }),
            Question::call(timelock, &T::isOperationDoneCall { id }),
            Question::call(timelock, &T::isOperationPendingCall { id }),
        ];
        let mut facts = self.read(block, &questions).await?;
        let timestamp = facts.next().value::<T::getTimestampCall>();
        let timestamp = timestamp.ok_or_else(|| self.not_a_timelock(timelock, "getTimestamp(bytes32)"))?;
        let state = OperationState::of(timestamp, block.timestamp);
        let done = facts.next().value::<T::isOperationDoneCall>();
        if done != Some(state == OperationState::Done) {
            return Err(self.not_a_timelock(timelock, "isOperationDone(bytes32)"));
        }
        if facts.next().value::<T::isOperationPendingCall>() != Some(state.is_pending()) {
            return Err(self.not_a_timelock(timelock, "isOperationPending(bytes32)"));
        }
        Ok(state)
    }
    /// The newest scheduling of the operation with this id and what came of it, from `from_block` on: a block before it
    /// was meant, or zero. `None` says that no endpoint has seen one, not that there was none. Three round trips and more
    /// where endpoints refuse long ranges.
    ///
    /// # Errors
    /// See [`ChainError`]; endpoints that tell different things are [`ChainError::Disagreement`].
    pub async fn operation_life(
        &self,
        timelock: Address,
        id: B256,
        from_block: u64,
    ) -> Result<Option<OperationLife>, ChainError> {
        let head = self.head().await?;
        let query = LogQuery {
            address: timelock,
            topics: operation_topics(),
            from: from_block,
            to: head.number,
        };
        // What happened before the newest scheduling is over.
        let begun =
            |log: &Log| told(log).is_some_and(|told| told.id == id && matches!(told.what, What::Scheduled { .. }));
        let logs = self.logs(&query, |log| begun(&log.inner)).await?;
        Ok(life(id, &logs))
    }
    /// Checks by the receipt of `transaction` that in it `timelock` scheduled, executed or cancelled exactly `operation`;
    /// see [`check_operation`]. Two round trips. What the calls did is proved by [`Chain::prove`].
    ///
    /// # Errors
    /// See [`TimelockProofFailure`].
    pub async fn prove_operation(
        &self,
        transaction: B256,
        of: OperationAt<'_>,
        step: OperationStep,
    ) -> Result<BlockRef, TimelockProofFailure> {
        let receipt = self.receipt(transaction).await?;
        let receipt = receipt.ok_or(TimelockProofFailure::NotSettled { transaction })?;
        if !receipt.succeeded {
            let block = receipt.block.number;
            return Err(TimelockProofFailure::Reverted { transaction, block });
        }
        check_operation(&receipt.logs, of, step)?;
        Ok(receipt.block)
    }
    /// The block in which `transaction` scheduled exactly `operation`, and from when on that lets it be executed, seconds
    /// since 1970. Two round trips.
    ///
    /// # Errors
    /// See [`TimelockProofFailure`].
    pub async fn prove_scheduling(
        &self,
        transaction: B256,
        of: OperationAt<'_>,
    ) -> Result<(BlockRef, u64), TimelockProofFailure> {
        let receipt = self.receipt(transaction).await?;
        let receipt = receipt.ok_or(TimelockProofFailure::NotSettled { transaction })?;
        let block = receipt.block;
        if !receipt.succeeded {
            let block = block.number;
            return Err(TimelockProofFailure::Reverted { transaction, block });
        }
        check_operation(&receipt.logs, of, OperationStep::Scheduled)?;
        let id = of.operation.id();
        let ours = receipt
            .logs
            .iter()
            .filter(|log| log.address == of.timelock)
            .filter_map(told);
        let delay = ours.filter(|told| told.id == id).find_map(|told| match told.what {
            What::Scheduled { delay, .. } => Some(u64::try_from(delay).unwrap_or(u64::MAX)),
            _ => None,
        });
        Ok((block, block.timestamp.saturating_add(delay.unwrap_or_default())))
    }
}

/// An operation of a timelock.
#[derive(Debug, Clone, Copy)]
pub struct OperationAt<'a> {
    /// The timelock.
    pub timelock: Address,
    /// What it is asked for.
    pub operation: &'a TimelockOperation,
}

/// Checks that among the logs of one transaction the events of `timelock` about this operation are exactly those of
/// `step`: one for each call, in order, with its target, value and data, and no other; for a scheduling also with the
/// operation's predecessor. Other operations, and other steps of this one, may stand beside them. Pure.
///
/// # Errors
/// See [`TimelockProofFailure`].
pub fn check_operation<'a>(
    logs: impl IntoIterator<Item = &'a Log>,
    of: OperationAt<'_>,
    step: OperationStep,
) -> Result<(), TimelockProofFailure> {
    let OperationAt { timelock, operation } = of;
    let id = operation.id();
    let told = logs.into_iter().filter_map(|log| Some((log.address, told(log)?)));
    let told = told.filter(|(_, told)| told.id == id && told.what.step() == Some(step));
    let (ours, foreign): (Vec<_>, Vec<_>) = told.partition(|(emitter, _)| *emitter == timelock);
    match (ours.first(), foreign.first()) {
        (None, None) => return Err(TimelockProofFailure::NotShown { timelock, id, step }),
        (None, Some((emitter, _))) => {
            return Err(TimelockProofFailure::Foreign {
                emitter: *emitter,
                timelock,
                id,
                step,
            });
        }
        (Some(_), _) => {}
    }
    let different = |what: String| TimelockProofFailure::Different { id, step, what };
    let expected = if step == OperationStep::Cancelled {
        1
    } else {
        operation.calls().len()
    };
    if ours.len() != expected {
        return Err(different(format!("{} events, not {expected}", ours.len())));
    }
    for (position, (_, told)) in ours.iter().enumerate() {
        let (index, call) = match &told.what {
            What::Scheduled { predecessor, .. } if *predecessor != operation.predecessor => {
                return Err(different(format!("its predecessor is {predecessor}")));
            }
            What::Scheduled { index, call, .. } | What::Executed { index, call } => (*index, call),
            What::Salted(_) | What::Cancelled => continue,
        };
        if index != U256::from(position) || operation.calls().get(position) != Some(call) {
            return Err(different(format!("call {index} is another one")));
        }
    }
    Ok(())
}

/// First topics of the events about operations.
pub(super) fn operation_topics() -> Vec<B256> {
    vec![
        T::CallScheduled::SIGNATURE_HASH,
        T::CallSalt::SIGNATURE_HASH,
        T::CallExecuted::SIGNATURE_HASH,
        T::Cancelled::SIGNATURE_HASH,
    ]
}

/// What an event tells of an operation.
pub(super) struct Told {
    pub(super) id: B256,
    what: What,
}

enum What {
    Scheduled {
        index: U256,
        call: Call,
        predecessor: B256,
        delay: U256,
    },
    Salted(B256),
    Executed {
        index: U256,
        call: Call,
    },
    Cancelled,
}

impl What {
    const fn step(&self) -> Option<OperationStep> {
        match self {
            Self::Scheduled { .. } => Some(OperationStep::Scheduled),
            Self::Executed { .. } => Some(OperationStep::Executed),
            Self::Cancelled => Some(OperationStep::Cancelled),
            Self::Salted(_) => None,
        }
    }
}

pub(super) fn told(log: &Log) -> Option<Told> {
    let (id, what) = match *log.topics().first()? {
        T::CallScheduled::SIGNATURE_HASH => {
            let event = T::CallScheduled::decode_log_validate(log).ok()?.data;
            let call = Call {
                to: event.target,
                value: event.value,
                data: event.data,
            };
            let what = What::Scheduled {
                index: event.index,
                call,
                predecessor: event.predecessor,
                delay: event.delay,
            };
            (event.id, what)
        }
        T::CallExecuted::SIGNATURE_HASH => {
            let event = T::CallExecuted::decode_log_validate(log).ok()?.data;
            let call = Call {
                to: event.target,
                value: event.value,
                data: event.data,
            };
            let index = event.index;
            (event.id, What::Executed { index, call })
        }
        T::CallSalt::SIGNATURE_HASH => {
            let event = T::CallSalt::decode_log_validate(log).ok()?.data;
            (event.id, What::Salted(event.salt))
        }
        T::Cancelled::SIGNATURE_HASH => (T::Cancelled::decode_log_validate(log).ok()?.data.id, What::Cancelled),
        _ => return None,
    };
    Some(Told { id, what })
}

/// The scheduling that is being read.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) scheduled: OperationPlace,
    pub(super) calls: Vec<Call>,
    predecessor: B256,
    delay: U256,
    salt: B256,
    pub(super) end: Option<OperationEnd>,
}

/// The operation's newest scheduling and its end, in logs that are in order.
fn life(id: B256, logs: &[PlacedLog]) -> Option<OperationLife> {
    newest(id, logs).map(|life| OperationLife {
        id,
        scheduled: life.scheduled,
        delay: u64::try_from(life.delay).unwrap_or(u64::MAX),
        end: life.end,
        operation: named(id, life),
    })
}

/// The operation's newest scheduling with its calls and salt, and its end, from logs that are in order.
pub(super) fn newest(id: B256, logs: &[PlacedLog]) -> Option<Life> {
    let mut newest: Option<Life> = None;
    for placed in logs {
        let Some(told) = told(&placed.log).filter(|told| told.id == id) else {
            continue;
        };
        let place = OperationPlace {
            transaction: placed.transaction,
            block: placed.block,
            log_index: placed.index,
        };
        match (told.what, &mut newest) {
            (
                What::Scheduled {
                    index,
                    call,
                    predecessor,
                    delay,
                },
                _,
            ) if index.is_zero() => {
                newest = Some(Life {
                    scheduled: place,
                    calls: vec![call],
                    predecessor,
                    delay,
                    salt: B256::ZERO,
                    end: None,
                });
            }
            (What::Scheduled { call, .. }, Some(life)) => {
                life.calls.push(call);
                life.scheduled = place;
            }
            (What::Salted(salt), Some(life)) => life.salt = salt,
            (What::Executed { .. }, Some(life)) => life.end = Some(OperationEnd::Executed(place)),
            (What::Cancelled, Some(life)) => life.end = Some(OperationEnd::Cancelled(place)),
            (_, None) => {}
        }
    }
    newest
}

/// The operation with this id that the events describe: no event tells in which form a single call was scheduled, and
/// before 4.9 none tells the salt.
pub(super) fn named(id: B256, life: Life) -> Option<TimelockOperation> {
    let (predecessor, salt) = (life.predecessor, life.salt);
    let of = |calls| TimelockOperation {
        calls,
        predecessor,
        salt,
    };
    let single = match life.calls.as_slice() {
        [call] => Some(of(TimelockCalls::Single(call.clone()))),
        _ => None,
    };
    let forms = single.into_iter().chain([of(TimelockCalls::Batch(life.calls))]);
    forms.into_iter().find(|operation| operation.id() == id)
}

#[cfg(test)]
mod tests {
    use alloy::primitives::Bytes;

    use super::*;

    const TIMELOCK: Address = Address::repeat_byte(0x71);

    fn operation() -> TimelockOperation {
        let call = |byte: u8| Call::add_compose_hash(Address::repeat_byte(byte), B256::repeat_byte(byte));
        TimelockOperation::of(vec![call(1), call(2)], B256::repeat_byte(3)).unwrap()
    }

    fn log(address: Address, event: &impl SolEvent) -> Log {
        Log {
            address,
            data: event.encode_log_data(),
        }
    }

    fn executed(operation: &TimelockOperation) -> Vec<Log> {
        let event = |(index, call): (usize, &Call)| {
            let event = T::CallExecuted {
                id: operation.id(),
                index: U256::from(index),
                target: call.to,
                value: call.value,
                data: call.data.clone(),
            };
            log(TIMELOCK, &event)
        };
        operation.calls().iter().enumerate().map(event).collect()
    }

    fn check(logs: &[Log], step: OperationStep) -> Result<(), TimelockProofFailure> {
        let (timelock, operation) = (TIMELOCK, &operation());
        check_operation(logs, OperationAt { timelock, operation }, step)
    }

    #[test]
    fn what_stands_beside_an_operation_does_not_disturb_its_proof() {
        let other = TimelockOperation {
            salt: B256::ZERO,
            ..operation()
        };
        let mut logs = executed(&other);
        logs.extend(executed(&operation()));
        logs.push(log(Address::repeat_byte(9), &T::Cancelled { id: operation().id() }));
        check(&logs, OperationStep::Executed).unwrap();
    }

    #[test]
    fn l11_events_that_are_more_or_others_than_the_operations_prove_nothing() {
        let good = executed(&operation());
        let mut fewer = good.clone();
        fewer.pop();
        let mut more = good.clone();
        more.push(good[0].clone());
        let mut swapped = good.clone();
        swapped.swap(0, 1);
        let mut changed = good.clone();
        let call = operation().calls()[1].clone();
        changed[1] = log(
            TIMELOCK,
            &T::CallExecuted {
                id: operation().id(),
                index: U256::ONE,
                target: call.to,
                value: U256::ONE,
                data: call.data,
            },
        );
        for logs in [fewer, more, swapped, changed] {
            let failed = check(&logs, OperationStep::Executed);
            assert!(
                matches!(failed, Err(TimelockProofFailure::Different { .. })),
                "{failed:?}"
            );
        }
        let mut elsewhere = good;
        for log in &mut elsewhere {
            log.address = Address::repeat_byte(9);
        }
        let failed = check(&elsewhere, OperationStep::Executed);
        assert!(
            matches!(failed, Err(TimelockProofFailure::Foreign { .. })),
            "{failed:?}"
        );
        assert!(matches!(
            check(&[], OperationStep::Cancelled),
            Err(TimelockProofFailure::NotShown { .. })
        ));
    }

    #[test]
    fn l8_a_scheduling_with_another_predecessor_proves_nothing() {
        let one = TimelockOperation {
            calls: TimelockCalls::Single(operation().calls()[0].clone()),
            ..operation()
        };
        let event = |predecessor: B256| {
            let event = T::CallScheduled {
                id: one.id(),
                index: U256::ZERO,
                target: one.calls()[0].to,
                value: U256::ZERO,
                data: one.calls()[0].data.clone(),
                predecessor,
                delay: U256::from(5),
            };
            [log(TIMELOCK, &event)]
        };
        let (timelock, operation) = (TIMELOCK, &one);
        let check = |logs: &[Log]| check_operation(logs, OperationAt { timelock, operation }, OperationStep::Scheduled);
        check(&event(B256::ZERO)).unwrap();
        let failed = check(&event(B256::repeat_byte(1)));
        assert!(
            matches!(failed, Err(TimelockProofFailure::Different { .. })),
            "{failed:?}"
        );
    }

    #[test]
    fn a_state_is_told_for_the_blocks_own_time() {
        let of = |timestamp: u64| OperationState::of(U256::from(timestamp), 1_000);
        assert_eq!(of(0), OperationState::Unset);
        assert_eq!(of(1), OperationState::Done);
        assert_eq!(of(1_000), OperationState::Ready { since: 1_000 });
        assert_eq!(of(1_001), OperationState::Waiting { ready_at: 1_001 });
        let never = OperationState::of(U256::MAX, 1_000);
        assert_eq!(never, OperationState::Waiting { ready_at: u64::MAX });
    }

    #[test]
    fn a_life_is_the_newest_scheduling_and_names_the_operation_only_if_it_has_the_id() {
        let one = TimelockOperation::of(vec![operation().calls()[0].clone()], B256::repeat_byte(3)).unwrap();
        let scheduled = |data: Bytes| T::CallScheduled {
            id: one.id(),
            index: U256::ZERO,
            target: one.calls()[0].to,
            value: U256::ZERO,
            data,
            predecessor: B256::ZERO,
            delay: U256::from(5),
        };
        let salted = T::CallSalt {
            id: one.id(),
            salt: one.salt,
        };
        let place = |index: u64, log: Log| PlacedLog {
            log,
            block: BlockRef::default(),
            transaction: B256::with_last_byte(u8::try_from(index).unwrap()),
            index,
        };
        let good = scheduled(one.calls()[0].data.clone());
        let logs = [
            place(0, log(TIMELOCK, &good)),
            place(1, log(TIMELOCK, &T::Cancelled { id: one.id() })),
            place(2, log(TIMELOCK, &good)),
            place(3, log(TIMELOCK, &salted)),
        ];
        let told = life(one.id(), &logs).unwrap();
        assert_eq!((told.scheduled.log_index, told.end), (2, None));
        assert_eq!(told.operation, Some(one.clone()));
        assert!(matches!(
            life(one.id(), &logs[..2]).unwrap().end,
            Some(OperationEnd::Cancelled(_))
        ));
        let unsalted = life(one.id(), &logs[..3]).unwrap();
        assert_eq!(unsalted.operation, None, "without its salt it has another id");
        let other = [
            place(0, log(TIMELOCK, &scheduled(Bytes::new()))),
            place(1, log(TIMELOCK, &salted)),
        ];
        assert_eq!(life(one.id(), &other).unwrap().operation, None);
        assert_eq!(life(B256::ZERO, &logs), None);
    }
}
