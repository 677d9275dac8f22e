//! How an owner acts: by key, Safe, timelock, other contract, or for several apps at once.
//!
//! The route is asked here and nowhere else: what comes next for an owner, what a transaction has to show besides the
//! change itself, and where it stands.

pub(super) mod batch;
mod calldata;
mod key;
pub(super) mod reject;
pub(super) mod safe;
pub(super) mod subject;
pub(super) mod timelock;
pub(super) mod transaction;

use crate::chain::{Chain, Proof};
use crate::safe::Look;
use crate::upgrade::{Goal, Outcome, Pending, UpgradeError, model::Route, run::Run};

impl Run<'_> {
    /// Gets the owner's authority, as far as this machine can. `known` is the Safe with its transaction, where it was just
    /// read.
    pub(in crate::upgrade) async fn ask_owner(
        &mut self,
        chain: &Chain,
        goal: Goal,
        known: Option<Look>,
    ) -> Result<Outcome, UpgradeError> {
        let plan = self.plan()?;
        match plan.route {
            Route::Eoa { .. } => self.approve_by_key(chain, &plan).await,
            Route::Safe { .. } => self.approve_by_safe(chain, goal, known).await,
            Route::Timelock { .. } => self.approve_by_timelock(chain, goal).await,
            Route::Calldata { owner } => self.approve_by_calldata(chain, owner).await,
        }
    }

    /// What a transaction has to show of the route besides the change: that it is what owners agreed to and a timelock had.
    ///
    /// # Errors
    /// It shows something else, or the chain did not answer.
    pub(in crate::upgrade) async fn prove_route(&mut self, chain: &Chain, proof: &Proof) -> Result<(), UpgradeError> {
        self.check_execution(chain, proof).await?;
        self.check_operation(chain, proof.transaction).await
    }

    /// Where it stands with whoever has to act: the timelock first, since what it has needs nobody's signature.
    pub(in crate::upgrade) async fn explain(&mut self, chain: &Chain) -> Result<Option<Pending>, UpgradeError> {
        match self.timelock_news(chain).await? {
            Some(pending) => Ok(Some(pending)),
            None => self.safe_news(chain).await,
        }
    }
}
