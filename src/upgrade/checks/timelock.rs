//! The timelock that has to act, as the chain has it now, and what that means for whoever signs: pure, but for the reading.
//!
//! What a proposal says of it is as it was when that was prepared, or as somebody wrote it. So everything is read again by
//! everybody who can ask a chain, and named as the proposal's word by everybody who cannot.

use alloy::primitives::{Address, B256};

use crate::chain::{
    BlockRef, Chain, TimelockRole,
    timelock::{
        LogReach, OperationAt, OperationState, PendingOperations, TimelockInfo, TimelockProofFailure, TimelockRead,
        TimelockRoles,
    },
};
use crate::code::Code;
use crate::upgrade::{
    Stop, UpgradeError,
    checks::pending_operations::Remarks,
    finding::Finding,
    model::{Plan, Proposal},
    model::{
        actor::{TOKEN_LIFE, TimelockPlan},
        safe_approval::Stage,
    },
};

/// Requests to each endpoint by which a timelock's events are read again: most give all of one contract in one, and who
/// gives few blocks at a time is not asked for a whole chain before every signature.
const REQUESTS: u32 = 20;

/// A timelock as the chain has it now.
#[derive(Debug, Clone)]
pub(in crate::upgrade) struct TimelockFound {
    pub(in crate::upgrade) info: TimelockInfo,
    pub(in crate::upgrade) roles: TimelockRoles,
    pub(in crate::upgrade) waiting: PendingOperations,
    /// Where the operation stands that was chosen, if one was.
    pub(in crate::upgrade) operation: Option<OperationState>,
    /// Why the transaction that is recorded as its scheduling is not that.
    pub(in crate::upgrade) false_scheduling: Option<String>,
}

impl TimelockFound {
    /// What was read of it.
    pub(in crate::upgrade) fn read(&self) -> TimelockRead {
        TimelockRead {
            info: self.info.clone(),
            roles: self.roles.clone(),
            waiting: self.waiting.clone(),
        }
    }
}

/// A scheduling that is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::upgrade) enum Scheduling {
    /// The transaction scheduled it, to be executed from then on.
    Shown {
        /// Its block.
        block: BlockRef,
        /// Seconds since 1970.
        ready_at: u64,
    },
    /// It did not, or it is in no block.
    NotShown {
        /// Why.
        why: String,
    },
}

impl Scheduling {
    /// Looks up the transaction that is said to have scheduled an operation.
    pub(in crate::upgrade) async fn of(
        chain: &Chain,
        transaction: B256,
        operation: OperationAt<'_>,
    ) -> Result<Self, UpgradeError> {
        match chain.prove_scheduling(transaction, operation).await {
            Ok((block, ready_at)) => Ok(Self::Shown { block, ready_at }),
            Err(TimelockProofFailure::Chain(error)) => Err(error.into()),
            Err(TimelockProofFailure::NotSettled { .. }) => Ok(Self::NotShown {
                why: "it is in no block".to_owned(),
            }),
            Err(failure) => Ok(Self::NotShown {
                why: failure.to_string(),
            }),
        }
    }

    /// Why it is not the scheduling that is in force where the operation stands so; `None`: it is, or nothing tells.
    fn objection(&self, state: OperationState) -> Option<String> {
        match self {
            Self::NotShown { why } => Some(why.clone()),
            Self::Shown { ready_at, .. } if state.is_pending() && *ready_at != state.ready_at() => {
                Some("what it scheduled was cancelled, and scheduled anew since".to_owned())
            }
            Self::Shown { .. } if state == OperationState::Unset => {
                Some("what it scheduled was cancelled since".to_owned())
            }
            Self::Shown { .. } => None,
        }
    }
}

/// Reads the timelock of a proposal after a block. Round trips as for a timelock, for its events from the block on at which
/// this machine read it, or, where another one did, from the beginning as far as a few requests reach, and for the
/// operation.
///
/// # Errors
/// The chain did not answer; a stop: no timelock is there.
pub(in crate::upgrade) async fn read(
    chain: &Chain,
    proposal: &Proposal,
    plan: &TimelockPlan,
    block: &BlockRef,
) -> Result<TimelockFound, UpgradeError> {
    let address = plan.info.address;
    let Some(info) = chain.timelock_at(address, block).await? else {
        return Err(UpgradeError::stop(
            Code::TimelockChanged,
            format!("what stands at {address}"),
            "a timelock",
            "no timelock any more",
        ));
    };
    let known: Vec<Address> = TimelockRole::ALL
        .iter()
        .flat_map(|role| plan.roles.of(*role))
        .copied()
        .chain([plan.proposer])
        .collect();
    let own = plan.info.body_hash.is_some();
    let reach = LogReach {
        from: if own {
            plan.info.block.number.min(block.number)
        } else {
            0
        },
        requests: REQUESTS,
    };
    let (mut roles, waiting) = chain.timelock_standing(&info, &known, reach).await?;
    if own {
        roles.incomplete = plan.roles.incomplete.clone().or(roles.incomplete);
    }
    let mut found = TimelockFound {
        info,
        roles,
        waiting,
        operation: None,
        false_scheduling: None,
    };
    let Some(section) = &proposal.timelock else {
        return Ok(found);
    };
    let state = chain.operation_state(address, section.id, block).await?;
    found.operation = Some(state);
    if let Some(transaction) = section.scheduled.and_then(|scheduled| scheduled.transaction) {
        let at = OperationAt {
            timelock: address,
            operation: &section.operation,
        };
        let looked = Scheduling::of(chain, transaction, at).await?;
        found.false_scheduling = looked
            .objection(state)
            .map(|why| format!("transaction {transaction}: {why}"));
    }
    Ok(found)
}

/// What stands in a plan of its timelock, before there is a proposal, or where no chain is asked.
pub(in crate::upgrade) fn of_plan(plan: &Plan) -> Vec<Finding> {
    let Some(timelock) = &plan.timelock else {
        return Vec::new();
    };
    let mut findings = of_code(&timelock.info);
    findings.extend(of_roles(&timelock.info, &timelock.roles, timelock.delay));
    findings
}

/// What is told of a timelock by reading it.
pub(in crate::upgrade) const TOLD: [Code; 8] = [
    Code::TimelockAdmin,
    Code::TimelockCodeUnknown,
    Code::TimelockRolesUnknown,
    Code::OperationPendingOverlaps,
    Code::OperationPendingSame,
    Code::OperationPendingUndoes,
    Code::OperationTakenOver,
    Code::OperationsUnknown,
];

/// What is not known of a timelock of which only the proposal tells.
pub(in crate::upgrade) const OFFLINE: &str =
    "whether the timelock has the code, the delay and the roles that stand in the proposal, and what waits there";

/// What the chain says of the timelock, held against what the proposal says.
pub(in crate::upgrade) fn of_found(proposal: &Proposal, plan: &TimelockPlan, found: &TimelockFound) -> Vec<Finding> {
    if !found.info.has_code_of(&plan.info) {
        return vec![Finding::stop(other_code(&plan.info, &found.info))];
    }
    let delay = proposal.timelock.as_ref().map_or(plan.delay, |section| section.delay);
    let mut findings = of_code(&found.info);
    findings.extend(of_roles(&found.info, &found.roles, delay));
    findings.extend(differences(plan, found));
    findings.extend(lacking(proposal, plan, found));
    if let Some(why) = &found.false_scheduling {
        let text = format!("the scheduling that is recorded is not that of the operation: {why}");
        findings.push(Finding::note(Code::SchedulingNotFound, text));
    }
    let mut waiting = found.waiting.clone();
    let own = proposal.timelock.as_ref().map(|section| section.id);
    waiting.operations.retain(|one| Some(one.id) != own);
    let Remarks { warnings, blockers } = Remarks::of(&proposal.plan, &waiting);
    let all = warnings.into_iter().chain(blockers);
    findings.extend(all.map(|one| Finding::note(one.code, one.text)));
    findings
}

/// What stands where another code is than the one that was read.
pub(in crate::upgrade) fn other_code(then: &TimelockInfo, now: &TimelockInfo) -> Stop {
    let told = |info: &TimelockInfo| match (info.implementation, info.implementation_code_hash) {
        (Some(implementation), Some(hash)) => format!("{} with {implementation} behind it, {hash}", info.code_hash),
        _ => info.code_hash.to_string(),
    };
    Stop {
        code: Code::TimelockChanged,
        what: format!("code of the timelock {}", now.address),
        expected: told(then),
        found: told(now),
        details: Vec::new(),
        origin: None,
    }
}

/// A doubt for each code that is no known release's; behind a proxy there are two. Nothing where nobody here read it.
pub(in crate::upgrade) fn of_code(info: &TimelockInfo) -> Vec<Finding> {
    if info.body_hash.is_none() || info.known_release().is_some() {
        return Vec::new();
    }
    let doubt = |(hash, at): (B256, String)| {
        let text = format!(
            "the timelock {} runs code {hash}{at}, which is no timelock of OpenZeppelin that this build knows: whether it \
             waits, and whether it makes only the calls that are shown, is not known",
            info.address
        );
        Finding::decision(Code::TimelockCodeUnknown, Some(hash.to_string()), text)
    };
    let behind = info.implementation.zip(info.implementation_code_hash);
    let behind = behind.map(|(at, hash)| (hash, format!(" behind a proxy, at {at}")));
    let all = std::iter::once((info.code_hash, String::new())).chain(behind);
    all.map(doubt).collect()
}

/// Who may change the rules, as far as it is known.
pub(in crate::upgrade) fn of_roles(info: &TimelockInfo, roles: &TimelockRoles, delay: u64) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(why) = &roles.incomplete {
        let text = format!("who may act for the timelock is not known whole: {why}");
        findings.push(Finding::note(Code::TimelockRolesUnknown, text));
    }
    let outside = roles.admins.iter().filter(|admin| **admin != info.address);
    let outside: Vec<String> = outside.map(ToString::to_string).collect();
    if !outside.is_empty() {
        let text = format!(
            "these can change the timelock's roles without its delay: {}",
            outside.join(", ")
        );
        findings.push(Finding::note(Code::TimelockAdmin, text));
    }
    if delay >= TOKEN_LIFE {
        let text = format!(
            "the timelock waits {delay} seconds and a commit token lives {TOKEN_LIFE}: before the commit the same change is \
             prepared again, and the same hash has to come out"
        );
        findings.push(Finding::note(Code::TokenOutlived, text));
    }
    findings
}

/// In what the timelock is not as it is said to have been when this was prepared.
fn differences(plan: &TimelockPlan, found: &TimelockFound) -> Option<Finding> {
    let mut told = Vec::new();
    let (then, now) = (&plan.info, &found.info);
    if then.min_delay != now.min_delay {
        told.push(format!(
            "its least delay is {} seconds, not {}",
            now.min_delay, then.min_delay
        ));
    }
    if then.open_executor != now.open_executor {
        let who = if now.open_executor {
            "everybody"
        } else {
            "not everybody"
        };
        told.push(format!("{who} may execute"));
    }
    for role in TimelockRole::ALL {
        let (before, after) = (plan.roles.of(role), found.roles.of(role));
        let come = after.iter().filter(|one| !before.contains(one));
        told.extend(come.map(|one| format!("{one} is {role}")));
        let gone = before.iter().filter(|one| !after.contains(one));
        told.extend(gone.map(|one| format!("{one} is not {role}")));
    }
    (!told.is_empty()).then(|| {
        let text = format!(
            "the timelock is not as the proposal says it was when this was prepared: {}",
            told.join("; ")
        );
        Finding::note(Code::TimelockDiffers, text)
    })
}

/// What keeps the timelock from doing what is asked of it next.
fn lacking(proposal: &Proposal, plan: &TimelockPlan, found: &TimelockFound) -> Option<Finding> {
    let section = proposal.timelock.as_ref()?;
    let stage = proposal.safe.as_ref().map(|safe| safe.frozen.stage);
    let missing = |(role, who): (TimelockRole, Address)| {
        let text = format!("{who} is no {role} of the timelock {}", found.info.address);
        Finding::state(Code::TimelockRoleMissing, text)
    };
    match (found.operation?, stage) {
        (OperationState::Unset, None | Some(Stage::Schedule)) => {
            if !found.roles.proposers.contains(&plan.proposer) {
                return Some(missing((TimelockRole::Proposer, plan.proposer)));
            }
            (section.delay < found.info.min_delay).then(|| {
                let text = format!(
                    "the timelock takes no delay below {} seconds by now, and this was made for {}; start another one",
                    found.info.min_delay, section.delay
                );
                Finding::state(Code::TimelockDelay, text)
            })
        }
        (state, Some(Stage::Execute)) if state.is_pending() && !found.info.open_executor => {
            let safe = proposal.plan.safe.as_ref()?.address;
            (!found.roles.executors.contains(&safe)).then(|| missing((TimelockRole::Executor, safe)))
        }
        _ => None,
    }
}
