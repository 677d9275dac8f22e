//! Which transaction scheduled an operation: looked up on chain, whoever names one, and what it means when the timelock does
//! not have the operation any more.

use alloy::primitives::B256;

use crate::chain::{
    Chain, ChainError,
    timelock::{OperationEnd, OperationState},
};
use crate::code::Code;
use crate::upgrade::{
    Outcome, UpgradeError, World,
    checks::timelock::Scheduling,
    model::{
        actor::{SaltRule, TimelockPlan},
        timelock_operation::{Asked, Scheduled, time},
    },
    record::State,
    record::event::Event,
    run::Run,
};

impl Run<'_> {
    /// The first block in which the operation can have been scheduled: one that follows from the upgrade's name not before
    /// the upgrade was begun, any other one at any time.
    fn earliest(&self, asked: &Asked) -> Result<u64, UpgradeError> {
        Ok(earliest(asked, &self.timelock()?))
    }

    /// Somebody scheduled it, from wherever. What is recorded of that is looked up once, and again when it is another one:
    /// a file may name any transaction, and what was scheduled may be cancelled and scheduled anew.
    pub(in crate::upgrade) async fn adopt_scheduled(
        &mut self,
        chain: &Chain,
        asked: &Asked,
        ready_at: u64,
    ) -> Result<(), UpgradeError> {
        let known = self.upgrade.state().timelock.scheduled;
        if known.is_some_and(|known| known.looked_up && known.ready_at == ready_at) {
            return Ok(());
        }
        if let Some(transaction) = known.and_then(|known| known.transaction) {
            match Scheduling::of(chain, transaction, asked.at()).await? {
                Scheduling::Shown { ready_at: shown, .. } if shown == ready_at => {
                    return self.take_scheduled(asked, Some(transaction), ready_at);
                }
                _ => self.tell(&format!(
                    "transaction {transaction} is not the one that scheduled operation {}",
                    asked.operation.id()
                )),
            }
        }
        let newest = newest_scheduling(chain, asked, self.earliest(asked)?).await?;
        self.take_scheduled(asked, newest, ready_at)
    }

    /// Once the operation was executed: which transaction scheduled it, by the chain. `None` where no endpoint tells.
    pub(in crate::upgrade) async fn know_scheduling(
        &mut self,
        chain: &Chain,
        asked: &Asked,
    ) -> Result<(), UpgradeError> {
        let known = self.upgrade.state().timelock.scheduled;
        let said = known.and_then(|known| known.transaction);
        let mut shown = None;
        if let Some(transaction) = said {
            shown = shown_by(chain, asked, transaction).await?;
        }
        let from = match shown {
            Some((_, _, number)) => number,
            None => self.earliest(asked)?,
        };
        let newest = newest_scheduling(chain, asked, from).await?;
        if let Some(newest) = newest.filter(|newest| shown.is_none_or(|(of, ..)| of != *newest)) {
            shown = shown_by(chain, asked, newest).await?;
        }
        let transaction = shown.map(|(transaction, ..)| transaction);
        if known.is_some_and(|known| known.looked_up && known.transaction == transaction) {
            return Ok(());
        }
        let ready_at = shown.map(|(_, ready_at, _)| ready_at);
        let Some(ready_at) = ready_at.or(known.map(|known| known.ready_at)) else {
            return Ok(());
        };
        self.record(Event::TimelockScheduled(Scheduled {
            id: asked.operation.id(),
            transaction,
            ready_at,
            looked_up: true,
        }))
    }

    pub(in crate::upgrade) fn take_scheduled(
        &mut self,
        asked: &Asked,
        transaction: Option<B256>,
        ready_at: u64,
    ) -> Result<(), UpgradeError> {
        let id = asked.operation.id();
        let before = self.upgrade.state().timelock.scheduled.map(|known| known.ready_at);
        self.record(Event::TimelockScheduled(Scheduled {
            id,
            transaction,
            ready_at,
            looked_up: true,
        }))?;
        self.upgrade.write_proposal()?;
        if before == Some(ready_at) {
            return Ok(());
        }
        self.tell(&format!(
            "operation {id} is scheduled; it can be executed from {} on",
            time(ready_at)
        ));
        Ok(())
    }

    /// L4: what was scheduled is there no more and was not executed. Without the timelock's own event nobody is said to have
    /// cancelled it: where the transaction that scheduled it is in no block, that was replaced, or it never was there.
    pub(in crate::upgrade) async fn cancelled(&mut self, chain: &Chain) -> Result<Outcome, UpgradeError> {
        let asked = self.asked()?;
        let id = asked.operation.id();
        if self.limits.new_nonce {
            self.record(Event::TimelockAgain)?;
            self.upgrade.write_proposal()?;
            return Ok(Outcome::Reached);
        }
        let from = self.earliest(&asked)?;
        let life = chain.operation_life(asked.timelock, id, from).await?;
        if matches!(life.and_then(|life| life.end), Some(OperationEnd::Cancelled(_))) {
            return Err(UpgradeError::Failed {
                code: Code::OperationCancelled,
                message: format!("operation {id} was scheduled and then cancelled; nothing of it can be executed"),
            });
        }
        let transaction = self
            .upgrade
            .state()
            .timelock
            .scheduled
            .and_then(|known| known.transaction);
        let why = match transaction {
            None => "no event says that it was scheduled".to_owned(),
            Some(transaction) => match Scheduling::of(chain, transaction, asked.at()).await? {
                Scheduling::NotShown { why } => format!("transaction {transaction} did not schedule it: {why}"),
                Scheduling::Shown { .. } => return Err(unseen(id)),
            },
        };
        self.tell(&format!("the timelock does not have operation {id}, and {why}"));
        self.record(Event::TimelockUnscheduled { why })?;
        self.upgrade.write_proposal()?;
        Ok(Outcome::Reached)
    }
}

fn earliest(asked: &Asked, timelock: &TimelockPlan) -> u64 {
    match asked.choice.rule {
        SaltRule::Name => timelock.info.block.number,
        SaltRule::Calls | SaltRule::Found => 0,
    }
}

/// Where an operation stands now that the records call scheduled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationNow {
    /// It waits, or is ready, from then on, seconds since 1970.
    Pending {
        /// From then on it can be executed.
        ready_at: u64,
    },
    /// It was cancelled.
    Cancelled,
    /// It is there no more, and no event says that it was cancelled.
    Unseen,
    /// Somebody executed it, and the change is in force.
    InForce,
    /// Somebody executed it, and the change is not in force.
    WithoutEffect,
}

/// Looks at an operation again that was scheduled and of whose execution nothing is recorded, and records nothing; `None`:
/// there is none. With its id.
///
/// # Errors
/// The chain did not answer.
pub async fn look_at_operation(world: &World<'_>, state: &State) -> Result<Option<(B256, OperationNow)>, UpgradeError> {
    let is_open = state.timelock.scheduled.is_some() && state.proof().is_none() && state.tx.signed.is_empty();
    let plan = state.plan().filter(|_| is_open);
    let (Some(asked), Some(plan)) = (state.asked(), plan) else {
        return Ok(None);
    };
    let Some(timelock) = &plan.timelock else {
        return Ok(None);
    };
    let chain = world.chain(plan.chain_id).await?;
    let (id, head) = (asked.operation.id(), chain.head().await?);
    let now = match chain.operation_state(asked.timelock, id, &head).await? {
        OperationState::Waiting { ready_at } | OperationState::Ready { since: ready_at } => {
            OperationNow::Pending { ready_at }
        }
        OperationState::Done => match state.changes() {
            Some(changes) if chain.holds(&changes, &head).await? => OperationNow::InForce,
            _ => OperationNow::WithoutEffect,
        },
        OperationState::Unset => {
            let life = chain
                .operation_life(asked.timelock, id, earliest(&asked, timelock))
                .await?;
            match life.and_then(|life| life.end) {
                Some(OperationEnd::Cancelled(_)) => OperationNow::Cancelled,
                _ => OperationNow::Unseen,
            }
        }
    };
    Ok(Some((id, now)))
}

/// The transaction, if it scheduled the operation, from when on that let it be executed, and the number of its block.
async fn shown_by(chain: &Chain, asked: &Asked, transaction: B256) -> Result<Option<(B256, u64, u64)>, UpgradeError> {
    let looked = Scheduling::of(chain, transaction, asked.at()).await?;
    Ok(match looked {
        Scheduling::Shown { block, ready_at } => Some((transaction, ready_at, block.number)),
        Scheduling::NotShown { .. } => None,
    })
}

/// The transaction that scheduled an operation last, from a block on; `None`: no endpoint shows one, or gives its events.
async fn newest_scheduling(chain: &Chain, asked: &Asked, from: u64) -> Result<Option<B256>, UpgradeError> {
    match chain.operation_life(asked.timelock, asked.operation.id(), from).await {
        Ok(life) => Ok(life.map(|life| life.scheduled.transaction)),
        Err(ChainError::Unavailable { .. } | ChainError::TooFew { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Scheduled, there no more, and no event says that it was cancelled.
fn unseen(id: B256) -> UpgradeError {
    UpgradeError::Unknown {
        code: Code::OperationUnseen,
        message: format!(
            "operation {id} was scheduled, the timelock has it no more, and no event says that it was cancelled: its block \
             may have been replaced"
        ),
        source: None,
    }
}
