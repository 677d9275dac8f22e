//! Who has to act for an app: its owner, or whoever may propose to the timelock that owns it. Data only.

use alloy::primitives::Address;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::chain::{
    AppState, OwnerKind,
    timelock::{TimelockInfo, TimelockRoles},
};

/// Whose authority the calls need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// The app's owner, or to whom it was offered and who accepts it.
    pub address: Address,
    /// What stands there.
    pub kind: OwnerKind,
}

/// A timelock that has to make the calls, and how it is asked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimelockPlan {
    /// The timelock.
    pub info: TimelockInfo,
    /// Who may do what with it.
    pub roles: TimelockRoles,
    /// Who schedules: a key, or the Safe of the plan.
    pub proposer: Address,
    /// Seconds that are asked for between scheduling and executing, at least the timelock's own delay.
    pub delay: u64,
    /// What the salts of its operations follow from, unless one was found.
    #[serde(default, skip_serializing_if = "SaltRule::is_name")]
    pub salt: SaltRule,
}

/// What is chosen of how a timelock is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimelockChoice {
    /// Who schedules, where several may.
    pub proposer: Option<Address>,
    /// Seconds of delay; by default the least that the timelock takes.
    pub delay: Option<u64>,
}

impl Actor {
    /// The owner of an app.
    pub const fn owner(app: &AppState) -> Self {
        Self {
            address: app.owner,
            kind: app.owner_kind,
        }
    }
}

/// Life of a commit token in seconds (Phala Cloud: 14 days).
pub(in crate::upgrade) const TOKEN_LIFE: u64 = 14 * 24 * 3600;

/// [`TOKEN_LIFE`] as a span of time.
pub(in crate::upgrade) const fn token_life() -> SignedDuration {
    SignedDuration::from_secs(TOKEN_LIFE.cast_signed())
}

/// What an operation's salt follows from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SaltRule {
    /// From the upgrade's name and how often it was cancelled: files of 0.1.0 say nothing about it.
    #[default]
    Name,
    /// From chain, timelock, calls and a number.
    Calls,
    /// From nothing: it is that of an operation that was scheduled already.
    Found,
}

impl SaltRule {
    /// Whether it is that of files that say nothing.
    #[allow(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde passes what it may skip by reference"
    )]
    pub(in crate::upgrade) const fn is_name(&self) -> bool {
        matches!(self, Self::Name)
    }
}
