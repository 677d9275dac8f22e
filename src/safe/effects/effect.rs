//! One effect: what happens to what, whether it is dangerous, whom it gives power to, and its sentence. Pure.

use alloy::primitives::Address;
use serde::Serialize;

use super::what::{By, Place, Target, What};
use super::words::{Sentence, Spot};

/// One thing that happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// What happens.
    #[serde(flatten)]
    pub what: What,
    /// The contract that it happens to, or who gets the ether.
    pub target: Address,
    /// What is known of the target.
    pub is: Target,
    /// By which ways it comes about, the outermost first; none: by the call itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<By>,
    /// It gives or takes power, cannot be undone, goes to a contract that it does not belong to, or cannot be told.
    pub danger: bool,
    /// All of that, for people.
    pub sentence: String,
}

impl Effect {
    pub(super) fn new(what: What, target: Address, is: Target, by: &[By]) -> Self {
        let belongs = what.place().holds(&is);
        let danger = what.is_dangerous() || !belongs;
        let place = Spot {
            address: target,
            is: &is,
        };
        let ways: String = by.iter().rev().map(ToString::to_string).collect();
        let stray = if belongs || what.place() == Place::Nowhere {
            ""
        } else {
            " (NOT A CONTRACT THAT THIS BELONGS TO)"
        };
        let sentence = format!("{}{stray}{ways}", Sentence { what: &what, place });
        Self {
            what,
            target,
            is,
            by: by.to_vec(),
            danger,
            sentence,
        }
    }

    /// Whether it is only a way by which others come about, which stand in the list themselves.
    pub(super) const fn is_way(&self) -> bool {
        matches!(
            self.what,
            What::Schedule { .. }
                | What::ExecuteOperation { .. }
                | What::ApproveHash { known: true, .. }
                | What::ExecuteSafeTransaction
                | What::UseUpNonce
        )
    }

    /// Who gets control by it of what was the signers' before, or what gets out of their control: the address that
    /// somebody who agrees to that has to name. `None`: control stays.
    pub const fn hands_over(&self) -> Option<Address> {
        match self.what {
            What::TransferOwnership { to } => Some(to),
            What::ReplaceCode { implementation, .. } => Some(implementation),
            What::AddSafeOwner { owner, .. } => Some(owner),
            What::SwapSafeOwner { new, .. } => Some(new),
            What::EnableModule { module } => Some(module),
            What::SetGuard { guard } | What::SetModuleGuard { guard } => Some(guard),
            What::SetFallbackHandler { handler } => Some(handler),
            What::ReplaceSafeCode { singleton } => Some(singleton),
            What::GrantRole { account, .. } => Some(account),
            What::RenounceOwnership
            | What::RemoveSafeOwner { .. }
            | What::ChangeThreshold { .. }
            | What::DisableModule { .. }
            | What::RevokeRole { .. }
            | What::RenounceRole { .. }
            | What::ChangeDelay { .. }
            | What::DelegateCall => Some(self.target),
            _ => None,
        }
    }

    /// Whose code can never change again by it: the address that somebody who agrees to that has to name. Of an app that
    /// is only made by it, that is the owner.
    pub const fn freezes(&self) -> Option<Address> {
        match self.what {
            What::DisableUpgrades => Some(self.target),
            What::MakeApp {
                owner,
                disable_upgrades: true,
                ..
            } => Some(owner),
            _ => None,
        }
    }
}
