//! The timelock route: schedule as a proposer, wait for the delay, execute as anybody who may, or cancel.
//!
//! Scheduling and cancelling are transactions of their own before the one that changes the policy; each goes through the
//! same journal, broadcast and wait. Where a Safe proposes, its owners sign the call that schedules.

pub(in crate::upgrade) mod scheduling;
pub(in crate::upgrade) mod waiting;

use std::time::Duration;

use alloy::primitives::{Address, B256};
use jiff::Timestamp;

use crate::chain::{
    BlockRef, Call, Chain, TimelockRole,
    timelock::{OperationState, OperationStep, TimelockInfo, TimelockProofFailure},
};
use crate::code::Code;
use crate::safe::executed::prove_execution;
use crate::signer::{Consent, Fact, Name, Signer};
use crate::upgrade::{
    Goal, Outcome, Pending, UpgradeError,
    checks::{consent::operation_facts, governance::GovernorRole, timelock::other_code},
    model::{
        actor::TimelockPlan,
        safe_approval::Stage,
        timelock_operation::{Asked, time},
        tx_purpose::TxPurpose,
    },
    record::event::Event,
    routes::transaction::TxConsent,
    run::Run,
};

/// Longest pause between two looks at an operation that waits.
const PAUSE_MAX: Duration = Duration::from_secs(30);

fn check_delay(now: &TimelockInfo, asked: &Asked) -> Result<(), UpgradeError> {
    if asked.delay >= now.min_delay {
        return Ok(());
    }
    Err(UpgradeError::decide(
        Code::TimelockDelay,
        format!(
            "the timelock takes no delay below {} seconds by now, and this upgrade was made for {}; start another one",
            now.min_delay, asked.delay
        ),
    ))
}

/// An account has to hold the role at the block at which the timelock was read.
async fn check_role(
    chain: &Chain,
    now: &TimelockInfo,
    role: TimelockRole,
    account: Address,
) -> Result<(), UpgradeError> {
    let holds = chain.timelock_holds(now, &now.block, &[(role, account)]).await?;
    if holds.first() == Some(&true) {
        return Ok(());
    }
    Err(UpgradeError::decide(
        Code::TimelockRoleMissing,
        format!("{account} is no {role} of the timelock {}", now.address),
    ))
}

impl Run<'_> {
    pub(in crate::upgrade) fn asked(&self) -> Result<Asked, UpgradeError> {
        self.upgrade.state().asked().ok_or_else(|| UpgradeError::TooEarly {
            message: "no timelock operation was chosen yet".to_owned(),
            command: "prepare",
        })
    }

    pub(in crate::upgrade) fn timelock(&self) -> Result<TimelockPlan, UpgradeError> {
        self.plan()?
            .timelock
            .ok_or_else(|| UpgradeError::decide(Code::NoTimelock, "no timelock acts for the app"))
    }

    /// Schedules, waits, executes: whichever comes next by what the timelock itself says.
    pub(in crate::upgrade) async fn approve_by_timelock(
        &mut self,
        chain: &Chain,
        goal: Goal,
    ) -> Result<Outcome, UpgradeError> {
        let asked = self.asked()?;
        let id = asked.operation.id();
        loop {
            let head = chain.head().await?;
            match chain.operation_state(asked.timelock, id, &head).await? {
                OperationState::Unset if self.upgrade.state().timelock.scheduled.is_some() => {
                    return self.cancelled(chain).await;
                }
                OperationState::Unset => return self.schedule(chain, &head, goal).await,
                OperationState::Waiting { ready_at } => {
                    self.adopt_scheduled(chain, &asked, ready_at).await?;
                    let left = Duration::from_secs(ready_at.saturating_sub(head.timestamp));
                    // Nobody waits for days with a command that ends before.
                    if left > self.time_left() || !self.sleep(left.min(PAUSE_MAX)).await {
                        return Ok(Outcome::Pending(waits(&asked, ready_at)));
                    }
                }
                OperationState::Ready { since } => {
                    self.adopt_scheduled(chain, &asked, since).await?;
                    return self.execute_operation(chain, &head, goal).await;
                }
                OperationState::Done if self.limits.new_nonce && self.plan()?.chooses_its_operation() => {
                    self.record(Event::TimelockAgain)?;
                    self.upgrade.write_proposal()?;
                    return Ok(Outcome::Reached);
                }
                OperationState::Done => {
                    return Err(UpgradeError::decide(
                        Code::OperationWithoutEffect,
                        format!(
                            "operation {id} was executed, and what it changed is not in force: somebody changed it again"
                        ),
                    ));
                }
            }
        }
    }

    /// Roles and delay are checked before anything is signed (L6, L7).
    async fn schedule(&mut self, chain: &Chain, head: &BlockRef, goal: Goal) -> Result<Outcome, UpgradeError> {
        let asked = self.asked()?;
        if self.meets_the_same(chain, &asked, head).await? {
            return Ok(Outcome::Reached);
        }
        let plan = self.timelock()?;
        let now = self.timelock_now(chain, &asked, head).await?;
        check_delay(&now, &asked)?;
        check_role(chain, &now, TimelockRole::Proposer, plan.proposer).await?;
        if self.plan()?.safe.is_some() {
            return self.approve_by_safe(chain, goal, None).await;
        }
        let key = self.signer().await?.map(Signer::address);
        if key != Some(plan.proposer)
            && let Some(pending) = self
                .governor_has_to(chain, (plan.proposer, GovernorRole::Proposer), head)
                .await?
        {
            return Ok(Outcome::Pending(pending));
        }
        let call = asked.operation.schedule(asked.timelock, asked.delay);
        let asking = self.ask_for_timelock(Some(TxPurpose::Schedule), plan.proposer, call)?;
        self.send_for_timelock(chain, asking).await
    }

    /// The timelock as it is now; its code has to be what was read before.
    async fn timelock_now(&self, chain: &Chain, asked: &Asked, head: &BlockRef) -> Result<TimelockInfo, UpgradeError> {
        let pinned = self.timelock()?.info;
        let now = chain.timelock_at(asked.timelock, head).await?;
        let Some(now) = now else {
            return Err(UpgradeError::stop(
                Code::TimelockChanged,
                "owner of the app",
                "a timelock",
                "no timelock any more",
            ));
        };
        if !now.has_code_of(&pinned) {
            return Err(UpgradeError::Stop(Box::new(other_code(&pinned, &now))));
        }
        Ok(now)
    }

    /// By anybody's key where the role is open, else by a key that has it, else by the Safe that has it.
    async fn execute_operation(&mut self, chain: &Chain, head: &BlockRef, goal: Goal) -> Result<Outcome, UpgradeError> {
        let asked = self.asked()?;
        let plan = TimelockPlan {
            info: self.timelock_now(chain, &asked, head).await?,
            ..self.timelock()?
        };
        let key = self.signer().await?.map(Signer::address);
        let key_may = match key {
            Some(key) => {
                let holds = chain
                    .timelock_holds(&plan.info, head, &[(TimelockRole::Executor, key)])
                    .await?;
                plan.info.open_executor || holds.first() == Some(&true)
            }
            None => false,
        };
        if let (Some(key), true) = (key, key_may) {
            self.refuse_second_nonce()?;
            let call = asked.operation.execute(asked.timelock);
            if let Some(objection) = chain.timelock_objection(key, &call, head).await? {
                return Err(UpgradeError::decide(
                    Code::TimelockWouldFail,
                    format!(
                        "executing operation {} now would fail: {}",
                        asked.operation.id(),
                        objection.reason
                    ),
                ));
            }
            let asking = self.ask_for_timelock(None, key, call)?;
            return self.send_for_timelock(chain, asking).await;
        }
        let safe = self.plan()?.safe.map(|safe| safe.address);
        if let Some(safe) = safe.filter(|safe| plan.roles.executors.contains(safe) && !plan.info.open_executor) {
            tracing::debug!(%safe, "the Safe executes");
            if self.upgrade.state().stage() != Some(Stage::Execute) {
                self.freeze_at(Stage::Execute).await?;
            }
            return self.approve_by_safe(chain, goal, None).await;
        }
        let who = if plan.info.open_executor {
            "anybody can execute it".to_owned()
        } else {
            let names: Vec<String> = plan.roles.executors.iter().map(ToString::to_string).collect();
            format!("one of these has to execute it: {}", names.join(", "))
        };
        Ok(Outcome::Pending(Pending {
            code: Code::PendingExecution,
            what: format!("operation {} is ready; {who}", asked.operation.id()),
        }))
    }

    /// Signs a call to the timelock.
    async fn send_for_timelock(&mut self, chain: &Chain, asking: TxConsent) -> Result<Outcome, UpgradeError> {
        let from = asking.from;
        let Some(key) = self.signer().await?.map(Signer::address) else {
            return Err(UpgradeError::decide(
                Code::SignerNeeded,
                format!("{from} has to sign, and no key was named"),
            ));
        };
        if key != from {
            return Err(UpgradeError::stop(Code::SignerNotProposer, "signer", from, key));
        }
        self.sign_call(chain, asking).await?;
        Ok(Outcome::Reached)
    }

    fn ask_for_timelock(
        &self,
        purpose: Option<TxPurpose>,
        from: Address,
        call: Call,
    ) -> Result<TxConsent, UpgradeError> {
        let plan = self.plan()?;
        let mut facts = operation_facts(&call.data);
        facts.extend(self.upgrade.state().content());
        facts.push(Fact::new(Name::Calldata, &call.data));
        let what = match purpose {
            Some(TxPurpose::Schedule) => "Schedule it",
            Some(TxPurpose::Cancel) => "Cancel what was scheduled",
            _ => "Execute what was scheduled",
        };
        let consent = Consent {
            question: format!("{what} at the timelock as {from}?"),
            subject: vec![
                Fact::new(Name::Chain, plan.chain_id),
                Fact::new(Name::Timelock, call.to),
            ],
            facts,
            ..Consent::default()
        };
        Ok(TxConsent {
            from,
            call,
            purpose,
            consent,
            act: "signing",
            consents: Vec::new(),
        })
    }

    /// The scheduling, or the cancelling, is in a block that stays.
    pub(in crate::upgrade) async fn prove_timelock_purpose(
        &mut self,
        chain: &Chain,
        purpose: TxPurpose,
        transaction: B256,
    ) -> Result<Option<Outcome>, UpgradeError> {
        let asked = self.asked()?;
        let step = match purpose {
            TxPurpose::Cancel => OperationStep::Cancelled,
            _ => OperationStep::Scheduled,
        };
        let shown = chain.prove_operation(transaction, asked.at(), step).await;
        match shown {
            Ok(_) => {}
            Err(TimelockProofFailure::NotSettled { .. }) => return Ok(None),
            Err(TimelockProofFailure::Chain(error)) if !crate::upgrade::checks::app::is_final(&error) => {
                self.tell(&format!("{error}; asking again"));
                return Ok(None);
            }
            Err(TimelockProofFailure::Chain(error)) => return Err(error.into()),
            Err(failure) => {
                self.refuse_failed_inside(chain, transaction).await?;
                let why = failure.to_string();
                self.record(Event::TxGone { why: why.clone() })?;
                return Err(UpgradeError::Failed {
                    code: Code::TimelockCallFailed,
                    message: why,
                });
            }
        }
        self.check_safe_did(chain, transaction).await?;
        self.record(Event::SafePurposeDone { transaction })?;
        if purpose == TxPurpose::Cancel {
            let why = format!(
                "operation {} was cancelled in transaction {transaction}",
                asked.operation.id()
            );
            self.tell(&why);
            self.record(Event::Abandoned { why })?;
            return Ok(Some(Outcome::Reached));
        }
        let head = chain.head().await?;
        let ready_at = match chain
            .operation_state(asked.timelock, asked.operation.id(), &head)
            .await?
        {
            OperationState::Waiting { ready_at } => ready_at,
            OperationState::Ready { since } => since,
            OperationState::Unset | OperationState::Done => head.timestamp,
        };
        self.take_scheduled(&asked, Some(transaction), ready_at)?;
        Ok(Some(Outcome::Reached))
    }

    /// Where a Safe made the call, its own event has to say so too.
    async fn check_safe_did(&self, chain: &Chain, transaction: B256) -> Result<(), UpgradeError> {
        let Some(ceremony) = self.upgrade.state().ceremony()? else {
            return Ok(());
        };
        let tx = &ceremony.approval.tx;
        let shown = prove_execution(chain, transaction, tx.domain().safe, tx.hash()).await;
        shown.map_err(|failure| {
            UpgradeError::stop(
                Code::SafeNotExecuted,
                "what the transaction did at the Safe",
                format!("one success of {}", tx.hash()),
                failure,
            )
        })
    }

    /// L3, L11: whoever executed it, the timelock's events have to be those of this very operation.
    pub(in crate::upgrade) async fn check_operation(
        &mut self,
        chain: &Chain,
        transaction: Option<B256>,
    ) -> Result<(), UpgradeError> {
        let (Some(transaction), Some(asked)) = (transaction, self.upgrade.state().asked()) else {
            return Ok(());
        };
        match chain
            .prove_operation(transaction, asked.at(), OperationStep::Executed)
            .await
        {
            Ok(_) => self.know_scheduling(chain, &asked).await,
            Err(TimelockProofFailure::Chain(error)) => Err(error.into()),
            Err(TimelockProofFailure::NotShown { id, .. }) => {
                self.tell(&format!(
                    "the change is in force by transaction {transaction}, which did not execute operation {id}: if that one \
                     is scheduled, it can be executed until somebody cancels it"
                ));
                Ok(())
            }
            Err(failure) => Err(UpgradeError::stop(
                Code::OperationMismatch,
                "what the transaction did at the timelock",
                format!("one execution of {}", asked.operation.id()),
                failure,
            )),
        }
    }

    /// Where the operation stands while others act, in one line.
    pub(in crate::upgrade) async fn timelock_news(&mut self, chain: &Chain) -> Result<Option<Pending>, UpgradeError> {
        let Some(asked) = self.upgrade.state().asked() else {
            return Ok(None);
        };
        let head = chain.head().await?;
        let id = asked.operation.id();
        Ok(match chain.operation_state(asked.timelock, id, &head).await? {
            OperationState::Unset if self.upgrade.state().timelock.scheduled.is_some() => {
                return self.cancelled(chain).await.map(|_| None);
            }
            OperationState::Unset => None,
            OperationState::Waiting { ready_at } => {
                self.adopt_scheduled(chain, &asked, ready_at).await?;
                Some(waits(&asked, ready_at))
            }
            OperationState::Ready { since } => {
                self.adopt_scheduled(chain, &asked, since).await?;
                Some(Pending {
                    code: Code::PendingExecution,
                    what: format!("operation {id} is ready and not executed yet"),
                })
            }
            OperationState::Done => None,
        })
    }

    /// Whether what is scheduled becomes ready only after this run has to end.
    pub(in crate::upgrade) fn is_too_late(&self) -> bool {
        let Some(scheduled) = self.upgrade.state().timelock.scheduled else {
            return false;
        };
        let now = u64::try_from(Timestamp::now().as_second()).unwrap_or_default();
        Duration::from_secs(scheduled.ready_at.saturating_sub(now)) > self.time_left()
    }

    /// Takes back what was scheduled: by a key that may cancel, or by the Safe that may. `None`: nothing is scheduled.
    pub(in crate::upgrade) async fn cancel_operation(&mut self) -> Result<Option<Outcome>, UpgradeError> {
        let Some(asked) = self.upgrade.state().asked() else {
            return Ok(None);
        };
        let chain = self.chain().await?;
        let head = chain.head().await?;
        let state = chain
            .operation_state(asked.timelock, asked.operation.id(), &head)
            .await?;
        if !state.is_pending() {
            return Ok(None);
        }
        let key = self.signer().await?.map(Signer::address);
        let plan = self.timelock()?;
        let call = asked.operation.cancel(asked.timelock);
        if let Some(key) = key {
            let holds = chain
                .timelock_holds(&plan.info, &head, &[(TimelockRole::Canceller, key)])
                .await?;
            if holds.first() == Some(&true) {
                let asking = self.ask_for_timelock(Some(TxPurpose::Cancel), key, call)?;
                return self.send_for_timelock(&chain, asking).await.map(Some);
            }
        }
        let safe = self.plan()?.safe.map(|safe| safe.address);
        if safe.is_some_and(|safe| plan.roles.cancellers.contains(&safe)) {
            if self.upgrade.state().stage() != Some(Stage::Cancel) {
                self.freeze_at(Stage::Cancel).await?;
            }
            return self.approve_by_safe(&chain, Goal::Executed, None).await.map(Some);
        }
        let names: Vec<String> = plan.roles.cancellers.iter().map(ToString::to_string).collect();
        Err(UpgradeError::decide(
            Code::TimelockRoleMissing,
            format!("one of these has to cancel the operation: {}", names.join(", ")),
        ))
    }
}

fn waits(asked: &Asked, ready_at: u64) -> Pending {
    Pending {
        code: Code::PendingDelay,
        what: format!(
            "operation {} is scheduled and can be executed from {} on",
            asked.operation.id(),
            time(ready_at)
        ),
    }
}
