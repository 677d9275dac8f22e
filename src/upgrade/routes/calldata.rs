//! An owner that is another contract: its call is shown, and what comes of it is waited for.

use alloy::primitives::Address;

use crate::code::Code;
use crate::upgrade::{Outcome, Pending, run::Run};

impl Run<'_> {
    /// What the contract has to call.
    pub(super) fn approve_by_calldata(&self, owner: Address) -> Outcome {
        let calls = self.upgrade.state().calls();
        let calls = calls.iter().map(|call| format!("{} with data {}", call.to, call.data));
        Outcome::Pending(Pending {
            code: Code::PendingOwner,
            what: format!(
                "the owner {owner} is a contract and has to call {}",
                calls.collect::<Vec<_>>().join(", then ")
            ),
        })
    }
}
