//! Choosing the operation at a timelock, beside what waits there already.

use alloy::primitives::B256;

use crate::chain::{
    BlockRef, Chain,
    timelock::{PendingOperation, TimelockInfo, TimelockOperation},
};
use crate::code::Code;
use crate::fsutil::point;
use crate::upgrade::{
    Outcome, UpgradeError,
    checks::pending_operations::{beside, takeable, unseen},
    finding::Warning,
    model::timelock_operation::{Asked, Choice, MOST},
    record::event::Event,
    run::Run,
};

impl Run<'_> {
    /// Chooses the operation that the timelock is asked for: the first one of its number that is not done, by the chain,
    /// unless another one waits that makes the same calls. What waits already is taken over.
    pub(in crate::upgrade) async fn choose_operation(&mut self) -> Result<Outcome, UpgradeError> {
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
        let numbered = |number| {
            let salt = TimelockOperation::salt_of(plan.chain_id, info.address, &calls, number);
            TimelockOperation::of(calls.clone(), salt).map_or(B256::ZERO, |operation| operation.id())
        };
        let free = chain.first_not_done(&info, MOST, &numbered).await?;
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
        point("choose.a");
        self.record(Event::TimelockChosen(Box::new(choice)))?;
        point("choose.b");
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
    pub(in crate::upgrade) async fn meets_the_same(
        &mut self,
        chain: &Chain,
        asked: &Asked,
        head: &BlockRef,
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
        let accepted = self.limits.accepted.with(&self.upgrade.state().accepted);
        accepted.covers(Code::OperationPendingSame, Some(&one.id.to_string()))
    }
}

fn refuse_beside(one: &PendingOperation) -> UpgradeError {
    let Warning { text, .. } = beside(one);
    UpgradeError::decide(Code::OperationPendingSame, text)
}
