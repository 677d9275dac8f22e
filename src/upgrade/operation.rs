//! The timelock operation of an upgrade: what follows from its name, its plan and its calls. Pure.

use alloy::primitives::{Address, B256, keccak256};
use serde::{Deserialize, Serialize};

use super::ceremony::Stage;
use super::event::Scheduled;
use super::{Plan, State};
use crate::chain::{Call, TimelockOperation};

/// The part of a proposal that a timelock executes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimelockSection {
    /// Which try this is: an operation that was cancelled is never scheduled again under its old id.
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
pub(super) struct Asked {
    pub(super) timelock: Address,
    pub(super) operation: TimelockOperation,
    pub(super) delay: u64,
    pub(super) attempt: u64,
}

impl Asked {
    /// Follows from the upgrade's name, its plan and the calls; `None`: no timelock acts, or there are no calls yet.
    pub(super) fn of(update: &str, plan: &Plan, (calls, attempt): (&[Call], u64)) -> Option<Self> {
        let timelock = plan.timelock.as_ref()?;
        let identity = format!("countersign|{update}|{}|{}", plan.app, plan.chain_id);
        let salt = TimelockOperation::salt_for(keccak256(identity), attempt);
        Some(Self {
            timelock: timelock.info.address,
            operation: TimelockOperation::of(calls.to_vec(), salt)?,
            delay: timelock.delay,
            attempt,
        })
    }

    /// The call that belongs to a stage.
    pub(super) fn call(&self, stage: Stage) -> Option<Call> {
        match stage {
            Stage::Policy => None,
            Stage::Schedule => Some(self.operation.schedule(self.timelock, self.delay)),
            Stage::Execute => Some(self.operation.execute(self.timelock)),
            Stage::Cancel => Some(self.operation.cancel(self.timelock)),
        }
    }

    pub(super) fn section(&self, scheduled: Option<&Scheduled>) -> TimelockSection {
        TimelockSection {
            attempt: self.attempt,
            id: self.operation.id(),
            schedule: self.operation.schedule(self.timelock, self.delay),
            execute: self.operation.execute(self.timelock),
            operation: self.operation.clone(),
            delay: self.delay,
            scheduled: scheduled.copied(),
        }
    }
}

impl State {
    /// What the timelock is asked to do; `None`: none acts, or not all is known yet.
    pub(super) fn asked(&self) -> Option<Asked> {
        let update = &self.identity()?.update;
        Asked::of(update, self.plan()?, (&self.calls(), self.attempt))
    }

    /// The calls that a Safe makes at a stage.
    pub(super) fn calls_at(&self, stage: Stage) -> Vec<Call> {
        match stage {
            Stage::Policy => self.calls(),
            other => self.asked().and_then(|asked| asked.call(other)).into_iter().collect(),
        }
    }
}
