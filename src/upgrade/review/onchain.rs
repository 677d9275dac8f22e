//! What the chain says now of what a proposal says: the app, the Safe, its owners, and whether it would go through.

use alloy::primitives::Address;

use crate::chain::{BlockRef, Call, Chain, Fact, Question as Ask, Reverted, timelock::OperationState};
use crate::code::Code;
use crate::safe::{
    Look,
    info::SafeInfo,
    simulate::{Simulation, simulate},
    status::{SafeStatus, Watched, observe},
};
use crate::upgrade::{
    Limits, UpgradeError, World,
    checks::{
        safe::check_child,
        verdict::{Known, Subject},
    },
    model::{Plan, SafeApproval, SignedSafeTx},
    planning::{examine::examine, governance::why_it_fails},
    record::State,
    review::{
        model::{AppNow, OwnerIs, Review, TimelockNow, Trial, Turn},
        offline::SafeShown,
        problem::{Problem, Question},
    },
    steps::{ProofNow, look_at_proof},
};

/// What an account that delegates to a contract has as code, before the address (EIP-7702).
const DELEGATION: [u8; 3] = [0xef, 0x01, 0x00];

/// What a review asks the chain with.
pub(super) struct Live<'a> {
    pub(super) world: &'a World<'a>,
    pub(super) limits: &'a Limits,
    pub(super) question: &'a Question,
}

impl Live<'_> {
    /// Asks the chain everything that it can say, and takes it into the review.
    pub(super) async fn compare(&self, review: &mut Review, subject: &Subject<'_>) -> Result<Known, UpgradeError> {
        let Self {
            world,
            limits,
            question,
        } = *self;
        let (proposal, ceremony) = (subject.proposal, subject.ceremony);
        let plan = &proposal.plan;
        let chain = world.chain(plan.chain_id).await?;
        let known = examine(world, &chain, subject).await?;
        review.take_others(&known);
        review.judge_force(known.in_force);
        let block = match known.apps.first() {
            Some(first) => {
                review.app = AppNow {
                    now: true,
                    state: first.state.clone(),
                };
                first.state.block
            }
            None => chain.head().await?,
        };
        let operation = match &mut review.timelock {
            Some(timelock) => timelock.stand(&chain, &known, &block).await?,
            None => None,
        };
        match ceremony {
            None => {
                let waits = matches!(operation, Some(OperationState::Waiting { .. }));
                let timelock = plan.timelock.as_ref();
                let acts = timelock.map_or(plan.actor.address, |timelock| timelock.proposer);
                let sender = question.executor.unwrap_or(acts);
                if waits {
                    review.simulation = Trial::NotAsked {
                        why: "the timelock's delay is not over".to_owned(),
                    };
                    return Ok(known);
                }
                review.simulation = try_calls(&chain, &block, sender, &proposal.expected_calls()).await?;
                if let Trial::Refused { why, .. } = &review.simulation {
                    let message = format!("the call would fail now: {why}");
                    review.decide(Code::CallWouldFail, message);
                }
            }
            Some(ceremony) => {
                let safe = Safe {
                    chain: &chain,
                    limits,
                    plan,
                    signed_tx: ceremony.signed_tx(question.rejects),
                    ceremony,
                };
                safe.compare(review, &known, question).await?;
            }
        }
        Ok(known)
    }
}

impl TimelockNow {
    /// Takes in what was read of it, and where its operation stands.
    async fn stand(
        &mut self,
        chain: &Chain,
        known: &Known,
        block: &BlockRef,
    ) -> Result<Option<OperationState>, UpgradeError> {
        if let Some(found) = &known.timelock {
            self.take_found(found);
        }
        self.state = Some(chain.operation_state(self.address, self.id, block).await?);
        Ok(self.state)
    }
}

/// A Safe transaction to look at.
struct Safe<'a> {
    chain: &'a Chain,
    limits: &'a Limits,
    plan: &'a Plan,
    signed_tx: &'a SignedSafeTx,
    /// What it belongs to.
    ceremony: &'a SafeApproval,
}

impl Safe<'_> {
    async fn compare(&self, review: &mut Review, known: &Known, question: &Question) -> Result<(), UpgradeError> {
        let Some(found) = &known.look else {
            review.simulation = Trial::NotAsked {
                why: "there is no such Safe".to_owned(),
            };
            return Ok(());
        };
        let info = &found.info;
        let pinned = self.plan.safe.as_ref().unwrap_or(info);
        let shown = SafeShown {
            info,
            pinned,
            signed_tx: self.signed_tx,
            facts: &found.facts,
        };
        review.show_safe(&shown, &self.limits.trust);
        self.take_owners(review, info).await?;
        self.take_nested(review).await?;
        let used = review.safe.as_ref().is_some_and(|safe| safe.turn == Turn::Used);
        if used && !review.problems.iter().any(Problem::is_settled) {
            let by = self.used_by(self.ceremony.block.number).await?;
            review.decide(
                Code::SafeNonceTaken,
                format!(
                    "nonce {} of the Safe is used up {by}, its next one is {}: a signature would count for nothing",
                    self.signed_tx.tx.fields().nonce,
                    info.nonce
                ),
            );
        }
        self.simulate(review, question, found).await
    }

    /// By what the nonce was used up.
    async fn used_by(&self, from_block: u64) -> Result<String, UpgradeError> {
        let watched = Watched {
            executor: None,
            from_block,
            effect: None,
        };
        let tx = &self.signed_tx.tx;
        let (status, _) = observe(self.chain, tx, &self.signed_tx.signatures, &watched).await?;
        Ok(match status {
            SafeStatus::Executed(by) => format!("by this very one in transaction {}", by.transaction),
            SafeStatus::FailedInside(by) => {
                format!(
                    "by this very one, which failed inside, in transaction {}",
                    by.transaction
                )
            }
            SafeStatus::Rejected { by } => format!("by its rejection in transaction {}", by.transaction),
            SafeStatus::Replaced { by: Some(by) } => {
                format!(
                    "by Safe transaction {} in transaction {}",
                    by.safe_tx_hash, by.transaction
                )
            }
            _ => "by another one".to_owned(),
        })
    }

    async fn simulate(&self, review: &mut Review, question: &Question, found: &Look) -> Result<(), UpgradeError> {
        let Some(sender) = question.executor.or_else(|| found.info.owners.first().copied()) else {
            return Ok(());
        };
        let mut code = Code::SafeWouldFail;
        let simulated = match &review.safe {
            Some(safe) if safe.turn == Turn::Used => Trial::NotAsked {
                why: "its nonce is used up".to_owned(),
            },
            _ if review.problems.iter().any(Problem::is_stop) => Trial::NotAsked {
                why: "something does not match".to_owned(),
            },
            _ => match simulate(self.chain, &self.signed_tx.tx, &found.info, sender).await? {
                Simulation::Succeeds { queued } => Trial::Succeeds { sender, queued },
                Simulation::Refused { why, .. } => {
                    let (of, why) = why_it_fails(self.chain, &found.info, &why).await?;
                    code = of;
                    Trial::Refused { sender, why }
                }
                Simulation::NotOffered => Trial::NotOffered,
            },
        };
        match &simulated {
            Trial::Refused { why, .. } => {
                review.decide(code, format!("executing it now would fail: {why}"));
            }
            Trial::NotOffered => review
                .unchecked
                .push("whether the transaction would succeed: no endpoint runs it".to_owned()),
            Trial::Succeeds { .. } | Trial::NotAsked { .. } => {}
        }
        review.simulation = simulated;
        Ok(())
    }

    /// What stands at the owners' addresses: an owner that is a Safe agrees by a transaction of its own.
    async fn take_owners(&self, review: &mut Review, info: &SafeInfo) -> Result<(), UpgradeError> {
        let questions: Vec<Ask> = info.owners.iter().copied().map(Ask::code).collect();
        let mut codes = self.chain.read(&info.block, &questions).await?;
        let mut kinds = Vec::new();
        for owner in &info.owners {
            let code = codes.next().bytes();
            kinds.push(if code.is_empty() {
                OwnerIs::Key
            } else if code.starts_with(&DELEGATION) {
                OwnerIs::DelegatedKey
            } else {
                self.contract(*owner, &info.block).await?
            });
        }
        if let Some(safe) = &mut review.safe {
            safe.now = true;
            for (owner, kind) in safe.owners.iter_mut().zip(kinds) {
                owner.kind = Some(kind);
            }
        }
        Ok(())
    }

    /// The Safes that are owners and whose transaction was chosen. What is wrong with one is the business of its owners:
    /// the others are told and can agree all the same.
    async fn take_nested(&self, review: &mut Review) -> Result<(), UpgradeError> {
        let mut remarks = Vec::new();
        for one in &mut review.nested {
            let Some((pinned, signed_tx)) = self.ceremony.nested.get(&one.safe) else {
                continue;
            };
            let checked = check_child(self.chain, self.limits, pinned, signed_tx).await;
            match checked.map_err(Problem::of) {
                Ok(now) => one.turn = Some(Turn::of(one.nonce, now.nonce)),
                Err(problem) => remarks.push(problem?.remark(one.safe)),
            }
        }
        review.warnings.extend(remarks);
        Ok(())
    }

    async fn contract(&self, owner: Address, block: &BlockRef) -> Result<OwnerIs, UpgradeError> {
        let inner = SafeInfo::read_at(self.chain, owner, block).await?;
        Ok(inner.map_or(OwnerIs::Contract, |inner| OwnerIs::Safe {
            threshold: inner.threshold,
            owners: inner.owners.len(),
        }))
    }
}

/// Makes the calls one by one as the owner would, without sending them.
async fn try_calls(chain: &Chain, block: &BlockRef, sender: Address, calls: &[Call]) -> Result<Trial, UpgradeError> {
    let question = |call: &Call| {
        let question = Ask::raw("a call of the owner", call.to, call.data.clone());
        question.from(sender).optional()
    };
    let questions: Vec<Ask> = calls.iter().map(question).collect();
    let mut facts = chain.read(block, &questions).await?;
    for _ in calls {
        match facts.next() {
            Fact::Bytes(_) => {}
            Fact::NotOffered => return Ok(Trial::NotOffered),
            Fact::Reverted(Reverted { reason, .. }) => return Ok(Trial::Refused { sender, why: reason }),
        }
    }
    Ok(Trial::Succeeds { sender, queued: false })
}

/// What is proved is in force only as long as the chain says so. `Some`: the state without a proof that is none.
pub(super) async fn look_again(
    world: &World<'_>,
    limits: &Limits,
    review: &mut Review,
    state: &State,
) -> Option<State> {
    if limits.offline || state.proof().is_none() {
        return None;
    }
    match look_at_proof(world, limits.finality, state).await {
        Ok(Some(ProofNow::Gone | ProofNow::NeverWas)) => {}
        Ok(Some(ProofNow::Undone(change))) => {
            let told = state.proof().map(|proof| ProofNow::told_undone(proof, &change));
            review.decide(Code::HashRemoved, told.unwrap_or_default());
        }
        _ => return None,
    }
    let mut now = state.clone();
    now.forget_proof();
    Some(now)
}
