//! The timelock operation of an upgrade: what follows from its plan, its calls and which one was chosen. Pure.
//!
//! The salt tells operations apart that make the same calls. It follows from the chain, the timelock, the calls and a
//! number, so that two machines that want the same come to one operation; or it is that of an operation that somebody
//! scheduled before. Upgrades that version 0.1.0 began have one that follows from their names.

use alloy::primitives::{Address, B256, keccak256};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::chain::{
    Call,
    timelock::{OperationAt, TimelockOperation},
};
use crate::upgrade::model::{actor::SaltRule, plan::Plan, safe_approval::Stage};

/// How often the same calls can be made by one timelock: every time has a number, and the numbers before it are read from
/// the chain.
pub(in crate::upgrade) const MOST: u64 = 1_000;

/// Which of the operations that make an upgrade's calls is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// What its salt follows from.
    pub rule: SaltRule,
    /// Its number; of an upgrade that 0.1.0 began, how often its operation was cancelled.
    pub number: u64,
    /// The one that was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub found: Option<TimelockOperation>,
}

/// The part of a proposal that a timelock executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimelockSection {
    /// What the salt follows from.
    #[serde(default, skip_serializing_if = "SaltRule::is_name")]
    pub rule: SaltRule,
    /// Which time this is that the timelock makes these calls, counted from zero; of an upgrade that 0.1.0 began, how
    /// often its operation was cancelled.
    pub attempt: u64,
    /// Identifier that the timelock knows the operation by.
    pub id: B256,
    /// What it calls, after what, with which salt.
    pub operation: TimelockOperation,
    /// Seconds from scheduling until it may be executed.
    pub delay: u64,
    /// The proposer's call.
    pub schedule: Call,
    /// The call that executes it, once it is ready.
    pub execute: Call,
    /// When it was scheduled, as far as this upgrade knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled: Option<Scheduled>,
}

/// What a timelock is asked to do for an upgrade.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::upgrade) struct Asked {
    pub(in crate::upgrade) timelock: Address,
    pub(in crate::upgrade) operation: TimelockOperation,
    pub(in crate::upgrade) delay: u64,
    pub(in crate::upgrade) choice: Choice,
}

impl Choice {
    /// By the rule of 0.1.0.
    pub(in crate::upgrade) const fn by_name(attempt: u64) -> Self {
        Self {
            rule: SaltRule::Name,
            number: attempt,
            found: None,
        }
    }

    /// The one with this number.
    pub(in crate::upgrade) const fn numbered(number: u64) -> Self {
        Self {
            rule: SaltRule::Calls,
            number,
            found: None,
        }
    }

    /// One that somebody scheduled.
    pub(in crate::upgrade) const fn found(operation: TimelockOperation) -> Self {
        Self {
            rule: SaltRule::Found,
            number: 0,
            found: Some(operation),
        }
    }

    /// The operation that it means for an upgrade of this name; `None`: there are no calls, or it is not one of theirs.
    fn operation(&self, update: &str, plan: &Plan, calls: &[Call]) -> Option<TimelockOperation> {
        let timelock = plan.timelock.as_ref()?;
        let with = |salt| TimelockOperation::of(calls.to_vec(), salt);
        match (self.rule, &self.found) {
            (SaltRule::Name, None) => {
                let identity = format!("countersign|{update}|{}|{}", plan.app, plan.chain_id);
                with(TimelockOperation::salt_for(keccak256(identity), self.number))
            }
            (SaltRule::Calls, None) if self.number < MOST => with(TimelockOperation::salt_of(
                plan.chain_id,
                timelock.info.address,
                calls,
                self.number,
            )),
            (SaltRule::Found, Some(found)) if self.number == 0 && found.calls() == calls => Some(found.clone()),
            _ => None,
        }
    }
}

impl Asked {
    /// The operation, at its timelock.
    pub(in crate::upgrade) const fn at(&self) -> OperationAt<'_> {
        OperationAt {
            timelock: self.timelock,
            operation: &self.operation,
        }
    }

    /// Follows from the upgrade's name, its plan, the calls and the choice; `None`: no timelock acts, there are no calls
    /// yet, or the choice is none of theirs.
    pub(in crate::upgrade) fn of(update: &str, plan: &Plan, calls: &[Call], choice: Choice) -> Option<Self> {
        let timelock = plan.timelock.as_ref()?;
        Some(Self {
            timelock: timelock.info.address,
            operation: choice.operation(update, plan, calls)?,
            delay: timelock.delay,
            choice,
        })
    }

    /// The call that belongs to a stage.
    pub(in crate::upgrade) fn call(&self, stage: Stage) -> Option<Call> {
        match stage {
            Stage::Policy => None,
            Stage::Schedule => Some(self.operation.schedule(self.timelock, self.delay)),
            Stage::Execute => Some(self.operation.execute(self.timelock)),
            Stage::Cancel => Some(self.operation.cancel(self.timelock)),
        }
    }

    pub(in crate::upgrade) fn section(&self, scheduled: Option<&Scheduled>) -> TimelockSection {
        TimelockSection {
            rule: self.choice.rule,
            attempt: self.choice.number,
            id: self.operation.id(),
            schedule: self.operation.schedule(self.timelock, self.delay),
            execute: self.operation.execute(self.timelock),
            operation: self.operation.clone(),
            delay: self.delay,
            scheduled: scheduled.map(|scheduled| Scheduled {
                looked_up: false,
                ..*scheduled
            }),
        }
    }
}

impl TimelockSection {
    /// Which operation it means.
    pub(in crate::upgrade) fn choice(&self) -> Choice {
        Choice {
            rule: self.rule,
            number: self.attempt,
            found: (self.rule == SaltRule::Found).then(|| self.operation.clone()),
        }
    }
}

impl Plan {
    /// Whether an operation has to be chosen before the timelock can be asked: upgrades that 0.1.0 began have theirs by
    /// their names.
    pub(in crate::upgrade) fn chooses_its_operation(&self) -> bool {
        self.timelock.as_ref().is_some_and(|timelock| !timelock.salt.is_name())
    }
}

/// An operation that a timelock has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scheduled {
    /// Its id.
    pub id: B256,
    /// Transaction that scheduled it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<B256>,
    /// From when on it can be executed, seconds since 1970.
    pub ready_at: u64,
    /// This machine saw on chain that the transaction did that; no word of a file's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub looked_up: bool,
}

pub(in crate::upgrade) fn time(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| Timestamp::from_second(seconds).ok())
        .map_or_else(|| seconds.to_string(), |time| time.to_string())
}
