//! An owner that is another contract: its call is shown, and what comes of it is waited for. A governor that has to act, as
//! the owner or as a timelock's proposer, is told how it does.

use alloy::primitives::Address;

use crate::chain::{BlockRef, Call, Chain};
use crate::code::Code;
use crate::upgrade::{
    Outcome, Pending, UpgradeError,
    checks::governance::{GovernorRole, steps},
    run::Run,
};

impl Run<'_> {
    /// What the contract has to call.
    pub(super) async fn approve_by_calldata(&self, chain: &Chain, owner: Address) -> Result<Outcome, UpgradeError> {
        let head = chain.head().await?;
        if let Some(pending) = self.governor_has_to(chain, (owner, GovernorRole::Owner), &head).await? {
            return Ok(Outcome::Pending(pending));
        }
        Ok(Outcome::Pending(Pending {
            code: Code::PendingOwner,
            what: format!(
                "the owner {owner} is a contract and has to call {}",
                named(&self.upgrade.state().calls())
            ),
        }))
    }

    /// What a governor has to have voted on, where one stands at the address.
    pub(super) async fn governor_has_to(
        &self,
        chain: &Chain,
        who: (Address, GovernorRole),
        head: &BlockRef,
    ) -> Result<Option<Pending>, UpgradeError> {
        let (address, role) = who;
        let governor = chain.governor_at(address, head).await?;
        Ok(governor.map(|governor| Pending {
            code: Code::PendingGovernor,
            what: format!(
                "the Governor {address} has to have this called: {}; {}",
                named(&self.upgrade.state().calls()),
                steps(&governor, role)
            ),
        }))
    }
}

/// Targets and calldata, in order.
fn named(calls: &[Call]) -> String {
    let each = calls.iter().map(|call| format!("{} with data {}", call.to, call.data));
    each.collect::<Vec<_>>().join(", then ")
}
