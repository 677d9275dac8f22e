//! The loop: asks the records which step comes next, takes it, and looks again.

use std::ops::ControlFlow;

use crate::code::Code;
use crate::upgrade::{
    Goal, Limits, Outcome, UpgradeError, World,
    checks::{images, uncovered::agreed_unseen},
    model::safe_approval::SafeTxRole,
    record::Step,
    run::{Renewal, Run},
    workspace::upgrade::Upgrade,
};

impl Upgrade {
    /// Goes on until `goal` is reached, something has to be waited for, or somebody has to decide.
    ///
    /// # Errors
    /// See [`UpgradeError`]; what was done before is in the journal.
    pub async fn advance(&mut self, world: &World<'_>, goal: Goal, limits: &Limits) -> Result<Outcome, UpgradeError> {
        // Proving asks no cloud.
        if goal != Goal::Proved {
            self.refuse_foreign_cloud(world)?;
        }
        self.refuse_given_up()?;
        self.check_digests(goal, limits)?;
        if self.state().is_only_to_reject() {
            return Err(UpgradeError::decide(
                Code::SafeRejecting,
                "the proposal is wrong, and only its rejection can go on",
            ));
        }
        self.expect_safe_tx(limits, SafeTxRole::Approval)?;
        self.state().expect_nonce(limits, SafeTxRole::Approval)?;
        if self.state().deployment().is_some() {
            return self.run(world, limits)?.make_app(goal).await;
        }
        if goal == Goal::Committed && self.state().plan().is_some_and(|plan| plan.code.is_none()) {
            return Err(UpgradeError::decide(
                Code::NothingToCommit,
                "only the app's policy changes: there is nothing to commit",
            ));
        }
        if matches!(goal, Goal::Committed | Goal::Live) && self.state().commit.committed.is_none() {
            for agreed in agreed_unseen(self.state(), limits)? {
                self.agree(agreed)?;
            }
        }
        // Whoever commits from a proposal alone waited somewhere else: what is in force is found here as well.
        let searched = self.state().tx.signed.is_empty() && self.state().proof.gone.is_none();
        if goal == Goal::Committed && self.state().is_from_elsewhere() && searched {
            self.adopt_in_force(world, limits).await?;
        }
        let mut run = self.run(world, limits)?;
        run.warn_of_expiry();
        if let Some(outcome) = run.look_at_the_proof(goal).await? {
            return Ok(outcome);
        }
        run.catch_up()?;
        let waits = run.upgrade.state().next() == Step::Wait && run.upgrade.state().tx.seen.is_none();
        if limits.new_nonce && waits && matches!(goal, Goal::Executed | Goal::Live) {
            run.leave_behind().await?;
        }
        if matches!(goal, Goal::Committed | Goal::Live) && run.upgrade.state().commit.done.is_some() {
            run.look_again().await?;
        }
        run.drive(goal).await
    }

    /// Whoever insists on digests goes no step on with what none fixes, whoever prepared it.
    fn check_digests(&self, goal: Goal, limits: &Limits) -> Result<(), UpgradeError> {
        let accepted = limits.accepted.with(&self.state().accepted);
        let only_looks = matches!(goal, Goal::Proved | Goal::Rejected);
        match self.state().code().filter(|_| !only_looks) {
            Some(code) => images::check_sent(&code.manifest_after(), None, &accepted),
            None => Ok(()),
        }
    }

    /// Looks once more at what Phala Cloud reported in the end, and takes it back where it was false.
    ///
    /// # Errors
    /// See [`UpgradeError`].
    pub(in crate::upgrade) async fn look_again(
        &mut self,
        world: &World<'_>,
        limits: &Limits,
    ) -> Result<(), UpgradeError> {
        self.refuse_foreign_cloud(world)?;
        let mut run = self.run(world, limits)?;
        run.catch_up()?;
        run.look_again().await
    }
}

impl Run<'_> {
    /// What follows from the last record and a run that was cut off did not come to: files to write, a token to forget.
    fn catch_up(&self) -> Result<(), UpgradeError> {
        self.upgrade.write_proposal()?;
        let state = &self.upgrade.state();
        if state.commit.confirmed.is_some() {
            self.forget_token()?;
        }
        if state.commit.committed.is_some() || (state.code().is_none() && state.proof().is_some()) {
            self.write_evidence()?;
        }
        Ok(())
    }

    /// The loop of every goal.
    pub(in crate::upgrade) async fn drive(&mut self, goal: Goal) -> Result<Outcome, UpgradeError> {
        loop {
            let state = self.upgrade.state();
            if goal.is_reached(state, self.limits.no_wait) {
                return Ok(Outcome::Reached);
            }
            goal.permits(state)?;
            let step = match self.renewal {
                Renewal::Agreed => Step::Prepare,
                Renewal::None | Renewal::Done => goal.next(state),
            };
            if let ControlFlow::Break(outcome) = self.step(step, goal).await? {
                return Ok(outcome);
            }
        }
    }

    /// Takes one step. It breaks off where something has to be waited for.
    async fn step(&mut self, step: Step, goal: Goal) -> Result<ControlFlow<Outcome>, UpgradeError> {
        let outcome = match step {
            Step::Prepare => {
                match self.renewal {
                    Renewal::Agreed => self.renewal = Renewal::Done,
                    Renewal::None | Renewal::Done => self.refuse_beforehand(goal).await?,
                }
                // Whoever goes on reads the chain at its newest block next.
                if !matches!(goal, Goal::Verified | Goal::Prepared) {
                    self.world.look_ahead();
                }
                self.prepare().await
            }
            Step::Verify => self.verify().await,
            Step::Freeze | Step::Approve => return self.get_authority(step, goal).await,
            Step::Broadcast => self.broadcast().await,
            Step::Wait if self.upgrade.state().tx.signed.is_empty() => self.wait_for_others().await,
            Step::Wait => self.wait().await,
            Step::Commit => self.commit().await,
            Step::Settle => self.settle().await,
            Step::Watch => self.watch().await,
            Step::Finished => return Ok(ControlFlow::Break(Outcome::Reached)),
        };
        outcome.map(goes_on)
    }

    /// Chooses, signs or looks for what the goal needs of whoever owns the app.
    async fn get_authority(&mut self, step: Step, goal: Goal) -> Result<ControlFlow<Outcome>, UpgradeError> {
        let outcome = match goal {
            Goal::ApprovedOnChain(child) => {
                return self
                    .unless_late(async |run: &mut Self| run.approve_on_chain(child).await)
                    .await;
            }
            Goal::Rejected => self.unless_late(async |run: &mut Self| run.reject_once().await).await,
            _ if self.upgrade.state().deployment().is_some() => self.call_factory(goal).await,
            // Who commits has nothing signed: what was proved before the commit is waited for again.
            Goal::Committed => self.wait_for_others().await,
            _ if self.others_lost => self.wait_for_others().await,
            Goal::Proved if self.upgrade.follows() => self.wait_for_others().await,
            _ if self.upgrade.follows() => self.follow().await,
            _ if step == Step::Freeze => self.freeze().await,
            Goal::Proved => self.wait_for_others().await,
            _ => self.approve(goal).await,
        };
        outcome.map(goes_on)
    }
}

fn goes_on(outcome: Outcome) -> ControlFlow<Outcome> {
    match outcome {
        Outcome::Reached => ControlFlow::Continue(()),
        pending @ Outcome::Pending(_) => ControlFlow::Break(pending),
    }
}
