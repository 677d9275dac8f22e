//! What governs an app or its owner of the kinds that are known by name and to which no route leads: what a person should
//! know of it, and do. Pure.

use alloy::primitives::Address;

use crate::chain::{
    AppState,
    governance::{Governor, OtherPolicy, SafeGovernance},
};
use crate::code::Code;
use crate::compose::ComposeHash;
use crate::upgrade::{finding::Warning, model::remarks::policy_code};

/// How a governor acts for an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::upgrade) enum GovernorRole {
    /// It owns the app.
    Owner,
    /// It proposes to the timelock that does.
    Proposer,
}

/// What an app needs whose owner's call to it is not what allows a hash.
pub(in crate::upgrade) fn of_app(app: &AppState, hash: Option<ComposeHash>) -> Option<Warning> {
    let policy = app.other_policy.as_ref()?;
    let hash = hash.map_or_else(|| "hash".to_owned(), |hash| hash.to_string());
    let next = match policy {
        OtherPolicy::Cluster { cluster, owner } => {
            let owner = owner.map_or_else(|| "its owner".to_owned(), |owner| format!("its owner {owner}"));
            format!("{owner} has to call addComposeHash({hash}) at {cluster}")
        }
        OtherPolicy::Notice {
            owner,
            seconds,
            proposed_at: Some(at),
        } => format!(
            "{owner} proposed it, and anybody can call activateComposeHash({hash}) from {} on",
            crate::upgrade::model::timelock_operation::time(at.saturating_add(*seconds))
        ),
        OtherPolicy::Notice { owner, .. } => format!(
            "{owner} has to call proposeComposeHash({hash}), and after the notice anybody activateComposeHash({hash})"
        ),
    };
    Some(Warning {
        code: policy_code(policy),
        text: format!("the app {} is not a DstackApp: {policy}; {next}", app.app),
    })
}

/// What a governor has to do.
pub(in crate::upgrade) fn steps(governor: &Governor, role: GovernorRole) -> String {
    let unit = if governor.by_seconds { "seconds" } else { "blocks" };
    let (delay, period) = (governor.voting_delay, governor.voting_period);
    let end = match (role, governor.timelock) {
        (GovernorRole::Proposer, _) => {
            "anybody queues it, which schedules it at the timelock, and executes it there after the delay".to_owned()
        }
        (GovernorRole::Owner, None) => "anybody executes it".to_owned(),
        (GovernorRole::Owner, Some(timelock)) => format!(
            "what it executes then comes from its timelock {timelock}, which does not own the app: as it is, it cannot act"
        ),
    };
    format!(
        "it is proposed there by `propose([target], [0], [calldata], description)`, its voters decide in {period} {unit} that \
         begin {delay} {unit} later, and {end}"
    )
}

/// A governor that owns the app or proposes to its timelock.
pub(in crate::upgrade) fn of_governor(governor: &Governor, role: GovernorRole) -> Warning {
    let who = match role {
        GovernorRole::Owner => "the owner",
        GovernorRole::Proposer => "the timelock's proposer",
    };
    Warning {
        code: Code::OwnerGovernor,
        text: format!("{who} {} is a Governor: {}", governor.address, steps(governor, role)),
    }
}

/// What acts for a Safe besides its owners, or keeps it from acting.
pub(in crate::upgrade) fn of_safe(safe: Address, found: &SafeGovernance) -> Option<Warning> {
    let (code, text) = match found {
        SafeGovernance::TimelockGuard { delay: 0, .. } => return None,
        SafeGovernance::TimelockGuard { guard, version, delay } => (
            Code::SafeTimelockGuard,
            format!(
                "the guard {guard} of the Safe {safe} is a timelock (TimelockGuard {version}): with the owners' signatures \
                 somebody has to schedule the transaction there (`scheduleTransaction`), and {delay} seconds later it can be \
                 executed"
            ),
        ),
        SafeGovernance::Delay {
            module,
            cooldown,
            queued,
            ..
        } => (
            Code::SafeDelayModule,
            format!(
                "the module {module} of the Safe {safe} is a Delay module: what its own modules queue there anybody executes \
                 after {cooldown} seconds, without the Safe's owners; {queued} wait now"
            ),
        ),
    };
    Some(Warning { code, text })
}
