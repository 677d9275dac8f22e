//! What waits at the timelock that has to act: operations that make the same calls are taken over, and such as would undo
//! a change, or make a part of it again, are told of before anybody relies on it.

use alloy::primitives::B256;

use super::drive::Run;
use super::event::Event;
use super::findings::Warning;
use super::operation::{Asked, Choice, MOST};
use super::timelock::time;
use super::{Outcome, Plan, UpgradeError};
use crate::chain::{
    BlockRef, Chain, PendingOperation, PendingOperations, PolicyChange, TimelockInfo, TimelockOperation,
};
use crate::code::Code;

/// Most operations of a kind that are told of.
const NAMED: usize = 10;

/// What is remarkable about the operations that wait, held against a plan. Pure.
pub(super) struct Remarks {
    pub(super) warnings: Vec<Warning>,
    pub(super) blockers: Vec<Warning>,
}

impl Remarks {
    /// Of what waits at the timelock of a plan whose changes are known as far as they are.
    pub(super) fn of(plan: &Plan, waiting: &PendingOperations) -> Self {
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
    pub(super) fn same_waiting(&self) -> impl Iterator<Item = String> {
        let all = self.waiting.iter().flat_map(|waiting| &waiting.operations);
        let same = all.filter(|one| one.calls == self.calls && takeable(one).is_none());
        same.map(|one| one.id.to_string())
    }
}

/// That operations may wait which nobody here sees.
fn unseen(waiting: &PendingOperations) -> Option<Warning> {
    let why = waiting.incomplete.as_ref()?;
    Some(warning(
        Code::OperationsUnknown,
        format!(
            "not checked: whether more operations wait at the timelock, since its events cannot be read whole: {why}"
        ),
    ))
}

/// An operation that makes the same calls and cannot be taken over.
fn beside(one: &PendingOperation) -> Warning {
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
fn takeable(one: &PendingOperation) -> Option<&TimelockOperation> {
    let whole = one.operation.as_ref()?;
    whole.predecessor.is_zero().then_some(whole)
}

fn warning(code: Code, text: String) -> Warning {
    Warning { code, text }
}

impl Run<'_> {
    /// Chooses the operation that the timelock is asked for: the first one of its number that is not done, by the chain,
    /// unless another one waits that makes the same calls. What waits already is taken over.
    pub(super) async fn choose_operation(&mut self) -> Result<Outcome, UpgradeError> {
        let (chain, plan, calls) = (self.chain().await?, self.plan()?, self.upgrade.state().calls());
        let head = chain.head().await?;
        let info = TimelockInfo {
            block: head,
            ..self.timelock()?.info
        };
        let waiting = match plan.waiting.clone() {
            Some(waiting) => waiting,
            None => chain.pending_operations(&info, 0).await?,
        };
        if let Some(unseen) = unseen(&waiting).filter(|_| plan.waiting.is_none()) {
            self.warn(unseen.code, unseen.text);
        }
        let place = (plan.chain_id, info.address);
        let numbered = |number| {
            let salt = TimelockOperation::salt_of(place, &calls, number);
            TimelockOperation::of(calls.clone(), salt).map_or(B256::ZERO, |operation| operation.id())
        };
        let free = chain.first_not_done(info.address, &head, (MOST, &numbered)).await?;
        let Some((number, state)) = free else {
            return Err(UpgradeError::decide(
                Code::OperationNumbersSpent,
                format!(
                    "the timelock {} has made exactly these calls {MOST} times already",
                    info.address
                ),
            ));
        };
        let mut same = Vec::new();
        for one in waiting.operations.iter().filter(|one| one.calls == calls) {
            // It may have been executed since it was read.
            let is_other = one.id != numbered(number);
            if is_other && chain.operation_state(info.address, one.id, &head).await?.is_pending() {
                same.push(one);
            }
        }
        same.sort_by_key(|one| one.ready_at());
        let choice = match (state.is_pending(), same.iter().find_map(|one| takeable(one))) {
            (true, _) => Choice::numbered(number),
            (false, Some(found)) => Choice::found(found.clone()),
            (false, None) => match same.first() {
                Some(one) if !self.agreed_beside(one) => return Err(refuse_beside(one)),
                _ => Choice::numbered(number),
            },
        };
        super::point("choose.a");
        self.record(Event::TimelockChosen(Box::new(choice)))?;
        super::point("choose.b");
        self.upgrade.write_proposal()?;
        self.take_what_waits(&chain, &head).await?;
        Ok(Outcome::Reached)
    }

    /// The chosen operation may wait already: somebody scheduled it, here or on another machine.
    async fn take_what_waits(&mut self, chain: &Chain, head: &BlockRef) -> Result<(), UpgradeError> {
        let asked = self.asked()?;
        let id = asked.operation.id();
        let state = chain.operation_state(asked.timelock, id, head).await?;
        if !state.is_pending() {
            return Ok(());
        }
        self.tell(&format!(
            "the timelock has operation {id} already, which makes these calls: it is taken over"
        ));
        self.adopt_scheduled(chain, &asked, state.ready_at()).await
    }

    /// Before an operation is scheduled: another one that makes the same calls and came since the choice is taken over,
    /// or somebody has to decide. `true`: it was taken over.
    pub(super) async fn meets_the_same(
        &mut self,
        chain: &Chain,
        (asked, head): (&Asked, &BlockRef),
    ) -> Result<bool, UpgradeError> {
        let pinned = self.timelock()?.info;
        let from = pinned.block.number;
        let info = TimelockInfo { block: *head, ..pinned };
        // What waited before was looked at when the operation was chosen.
        let waiting = chain.pending_operations(&info, from).await?;
        if let Some(unseen) = unseen(&waiting) {
            self.warn(unseen.code, unseen.text);
        }
        let (id, calls) = (asked.operation.id(), asked.operation.calls());
        let Some(one) = waiting.operations.iter().find(|one| one.id != id && one.calls == calls) else {
            return Ok(false);
        };
        let chosen = takeable(one).map(|found| Event::TimelockChosen(Box::new(Choice::found(found.clone()))));
        match chosen.filter(|event| self.upgrade.state().check(event).is_ok()) {
            Some(event) => {
                self.record(event)?;
                self.upgrade.write_proposal()?;
                self.take_what_waits(chain, head).await?;
                Ok(true)
            }
            // Owners sign for the one that was chosen; to choose again is somebody's decision.
            None if self.limits.new_nonce && takeable(one).is_some() && self.plan()?.chooses_its_operation() => {
                self.record(Event::TimelockAgain)?;
                self.upgrade.write_proposal()?;
                Ok(true)
            }
            None if self.agreed_beside(one) => Ok(false),
            None => Err(refuse_beside(one)),
        }
    }

    /// Whether somebody agreed to an operation beside this one.
    fn agreed_beside(&self, one: &PendingOperation) -> bool {
        let id = one.id.to_string();
        self.limits.accepted.covers(Code::OperationPendingSame, Some(&id))
    }
}

fn refuse_beside(one: &PendingOperation) -> UpgradeError {
    let Warning { text, .. } = beside(one);
    UpgradeError::decide(Code::OperationPendingSame, text)
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;
    use crate::chain::{Call, OperationPlace, OperationState};

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
