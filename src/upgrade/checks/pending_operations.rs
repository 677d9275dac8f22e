//! What waits at the timelock that has to act: operations that make the same calls are taken over, and such as would undo
//! a change, or make a part of it again, are told of before anybody relies on it.

use crate::chain::{
    PolicyChange,
    timelock::{PendingOperation, PendingOperations, TimelockOperation},
};
use crate::code::Code;
use crate::upgrade::{finding::Warning, model::Plan, model::timelock_operation::time};

/// Most operations of a kind that are told of.
const NAMED: usize = 10;

/// What is remarkable about the operations that wait, held against a plan. Pure.
pub(in crate::upgrade) struct Remarks {
    pub(in crate::upgrade) warnings: Vec<Warning>,
    pub(in crate::upgrade) blockers: Vec<Warning>,
}

impl Remarks {
    /// Of what waits at the timelock of a plan whose changes are known as far as they are.
    pub(in crate::upgrade) fn of(plan: &Plan, waiting: &PendingOperations) -> Self {
        let mut found = Self {
            warnings: unseen(waiting).into_iter().collect(),
            blockers: Vec::new(),
        };
        let changes = wanted(plan);
        let mut told = 0;
        for one in &waiting.operations {
            if told == NAMED {
                break;
            }
            if !plan.calls.is_empty() && one.calls == plan.calls {
                found.take_same(one);
            } else if let Some(warning) = undoes(plan, &changes, one).or_else(|| overlaps(plan, &changes, one)) {
                found.warnings.push(warning);
            } else {
                continue;
            }
            told += 1;
        }
        found
    }

    fn take_same(&mut self, one: &PendingOperation) {
        match takeable(one) {
            Some(_) => self.warnings.push(warning(
                Code::OperationTakenOver,
                format!(
                    "the timelock has operation {} already, which makes the same calls and can be executed from {} on: \
                     it is taken over, and nothing is scheduled",
                    one.id,
                    time(one.ready_at())
                ),
            )),
            None => self.blockers.push(beside(one)),
        }
    }
}

impl Plan {
    /// The operations that make the plan's calls and cannot be taken over, as they are agreed to.
    pub(in crate::upgrade) fn same_waiting(&self) -> impl Iterator<Item = String> {
        let all = self.waiting.iter().flat_map(|waiting| &waiting.operations);
        let same = all.filter(|one| one.calls == self.calls && takeable(one).is_none());
        same.map(|one| one.id.to_string())
    }
}

/// That operations may wait which nobody here sees.
pub(in crate::upgrade) fn unseen(waiting: &PendingOperations) -> Option<Warning> {
    let why = waiting.incomplete.as_ref()?;
    Some(warning(
        Code::OperationsUnknown,
        format!(
            "not checked: whether more operations wait at the timelock, since its events cannot be read whole: {why}"
        ),
    ))
}

/// An operation that makes the same calls and cannot be taken over.
pub(in crate::upgrade) fn beside(one: &PendingOperation) -> Warning {
    warning(
        Code::OperationPendingSame,
        format!(
            "the timelock has operation {} already, which makes the same calls and can be executed from {} on; it cannot be \
             taken over, because its salt is not known or another operation comes before it, and a second one beside it \
             could make the calls once more",
            one.id,
            time(one.ready_at())
        ),
    )
}

/// The changes that a plan is about, as far as they are known.
fn wanted(plan: &Plan) -> Vec<PolicyChange> {
    let expected = plan.code.as_ref().and_then(|code| code.expected_hash);
    plan.changes_with(expected).unwrap_or_else(|| plan.policy.clone())
}

/// What an operation changes of the plan's app.
fn changes_of(plan: &Plan, one: &PendingOperation) -> Vec<PolicyChange> {
    let calls = one.calls.iter();
    calls.filter_map(|call| PolicyChange::read(plan.app, call)).collect()
}

fn undoes(plan: &Plan, changes: &[PolicyChange], one: &PendingOperation) -> Option<Warning> {
    let theirs = changes_of(plan, one);
    let undone = |their: &&PolicyChange| {
        let opposed = |own: &PolicyChange| own.conflicts_with(**their) && own != *their;
        changes.iter().any(opposed)
    };
    let undone: Vec<String> = theirs.iter().filter(undone).map(ToString::to_string).collect();
    (!undone.is_empty()).then(|| {
        warning(
            Code::OperationPendingUndoes,
            format!(
                "the timelock has operation {}, which can be executed from {} on and would undo a part of this: {}; have it \
                 cancelled first",
                one.id,
                time(one.ready_at()),
                undone.join("; ")
            ),
        )
    })
}

fn overlaps(plan: &Plan, changes: &[PolicyChange], one: &PendingOperation) -> Option<Warning> {
    let theirs = changes_of(plan, one);
    let again: Vec<String> = theirs
        .iter()
        .filter(|their| changes.contains(their))
        .map(ToString::to_string)
        .collect();
    (!again.is_empty()).then(|| {
        warning(
            Code::OperationPendingOverlaps,
            format!(
                "the timelock has operation {}, which makes a part of this too and can be executed from {} on, now or after \
                 somebody took it back: {}",
                one.id,
                time(one.ready_at()),
                again.join("; ")
            ),
        )
    })
}

/// The operation that stands for a plan's own: all of it is known, and nothing comes before it.
pub(in crate::upgrade) fn takeable(one: &PendingOperation) -> Option<&TimelockOperation> {
    let whole = one.operation.as_ref()?;
    whole.predecessor.is_zero().then_some(whole)
}

fn warning(code: Code, text: String) -> Warning {
    Warning { code, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{
        Call,
        timelock::{OperationPlace, OperationState},
    };
    use crate::upgrade::sample;
    use alloy::primitives::B256;

    fn pending(calls: Vec<Call>, known: bool) -> PendingOperation {
        let operation = TimelockOperation::of(calls.clone(), B256::repeat_byte(9)).unwrap();
        PendingOperation {
            id: operation.id(),
            state: OperationState::Waiting {
                ready_at: 1_790_000_100,
            },
            calls,
            operation: known.then_some(operation),
            scheduled: OperationPlace {
                transaction: B256::repeat_byte(8),
                block: sample::block(4),
                log_index: 0,
            },
        }
    }

    fn codes(operations: Vec<PendingOperation>, incomplete: Option<&str>) -> (Vec<Code>, Vec<Code>) {
        let waiting = PendingOperations {
            block: sample::block(5),
            operations,
            incomplete: incomplete.map(ToOwned::to_owned),
            named: Default::default(),
        };
        let found = Remarks::of(&sample::plan(), &waiting);
        let codes = |all: Vec<Warning>| all.into_iter().map(|one| one.code).collect();
        (codes(found.warnings), codes(found.blockers))
    }

    #[test]
    fn bug_b3_what_waits_at_a_timelock_is_told_by_what_it_does_to_the_plan() {
        let plan = sample::plan();
        let hash = B256::from(*sample::hash().as_bytes());
        let other = PolicyChange::AddDevice(B256::repeat_byte(5)).call(plan.app);
        let removes = PolicyChange::RemoveComposeHash(hash).call(plan.app);
        let none = Vec::<Code>::new();
        assert_eq!(
            codes(vec![pending(vec![other.clone()], true)], None),
            (none.clone(), none.clone())
        );
        assert_eq!(
            codes(vec![pending(plan.calls.clone(), true)], None),
            (vec![Code::OperationTakenOver], none.clone())
        );
        assert_eq!(
            codes(vec![pending(plan.calls.clone(), false)], None),
            (none.clone(), vec![Code::OperationPendingSame])
        );
        let more = [plan.calls.clone(), vec![other.clone()]].concat();
        assert_eq!(
            codes(vec![pending(more, true)], None).0,
            [Code::OperationPendingOverlaps]
        );
        assert_eq!(
            codes(vec![pending(vec![other, removes], true)], None).0,
            [Code::OperationPendingUndoes]
        );
        assert_eq!(codes(Vec::new(), Some("pruned")).0, [Code::OperationsUnknown]);
    }

    #[test]
    fn bug_b3_what_has_something_before_it_is_not_taken_over() {
        let mut one = pending(sample::plan().calls, true);
        if let Some(operation) = &mut one.operation {
            operation.predecessor = B256::repeat_byte(1);
        }
        assert_eq!(takeable(&one), None);
        assert_eq!(codes(vec![one], None).1, [Code::OperationPendingSame]);
    }
}
