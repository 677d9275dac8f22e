//! Who has to act, and what stands there: a key, a Safe, a timelock and whoever may propose to it, or something else.
//! Reads only.

use alloy::primitives::Address;
use serde::{Deserialize, Serialize};

use super::findings::Warning;
use super::operation::SaltRule;
use super::timelock_now::{of_code, of_roles};
use super::{Route, UpgradeError};
use crate::chain::{AppState, Chain, OwnerKind, PendingOperations, TimelockInfo, TimelockRole, TimelockRoles};
use crate::code::Code;
use crate::safe::SafeInfo;

/// Requests to each endpoint by which a timelock's events are read once, before anything is prepared.
const REQUESTS: u32 = 400;
/// Life of a commit token in seconds (Phala Cloud: 14 days).
pub(super) const TOKEN_LIFE: u64 = 14 * 24 * 3600;

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

/// An actor and what was found there.
pub(super) struct Authority {
    pub(super) actor: Actor,
    pub(super) safe: Option<SafeInfo>,
    pub(super) timelock: Option<TimelockPlan>,
    /// What waits at the timelock.
    pub(super) waiting: Option<PendingOperations>,
    pub(super) blockers: Vec<Warning>,
    pub(super) warnings: Vec<Warning>,
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

impl Authority {
    /// Reads what stands at the actor's address.
    pub(super) async fn read(chain: &Chain, actor: Actor, choice: TimelockChoice) -> Result<Self, UpgradeError> {
        let mut found = Self {
            actor,
            safe: None,
            timelock: None,
            waiting: None,
            blockers: Vec::new(),
            warnings: Vec::new(),
        };
        if actor.kind != OwnerKind::Contract {
            return Ok(found);
        }
        found.safe = SafeInfo::read(chain, actor.address).await?;
        if found.safe.is_some() {
            return Ok(found);
        }
        if let Some(info) = chain.timelock(actor.address).await? {
            found.take_timelock(chain, info, choice).await?;
        }
        Ok(found)
    }

    /// The route that it needs.
    pub(super) fn route(&self) -> Route {
        Route::of(self.actor, self.safe.as_ref(), self.timelock.as_ref())
    }

    async fn take_timelock(
        &mut self,
        chain: &Chain,
        info: TimelockInfo,
        choice: TimelockChoice,
    ) -> Result<(), UpgradeError> {
        let also: Vec<Address> = choice.proposer.into_iter().collect();
        let (roles, waiting) = chain.timelock_standing(&info, &also, (0, REQUESTS)).await?;
        self.waiting = Some(waiting);
        self.refuse_short_delay(&info, choice.delay);
        let delay = choice.delay.unwrap_or(info.min_delay).max(info.min_delay);
        // What is told of them when it is signed, so that nothing is told here only.
        let remarks = of_code(&info).into_iter().chain(of_roles((&info, &roles), delay));
        self.warnings.extend(remarks.map(|finding| finding.warning()));
        match choose(&roles, choice.proposer) {
            Ok(proposer) => {
                self.safe = SafeInfo::read(chain, proposer).await?;
                self.timelock = Some(TimelockPlan {
                    info,
                    roles,
                    proposer,
                    delay,
                    salt: SaltRule::Calls,
                });
            }
            Err(blocker) => self.blockers.push(blocker),
        }
        Ok(())
    }

    fn refuse_short_delay(&mut self, info: &TimelockInfo, asked: Option<u64>) {
        if let Some(asked) = asked.filter(|asked| *asked < info.min_delay) {
            self.blockers.push(Warning {
                code: Code::TimelockDelay,
                text: format!(
                    "the timelock takes no delay below {} seconds, and {asked} were asked for",
                    info.min_delay
                ),
            });
        }
    }
}

/// Who schedules: the one who was named, or the only one who may.
fn choose(roles: &TimelockRoles, named: Option<Address>) -> Result<Address, Warning> {
    let proposers = roles.of(TimelockRole::Proposer);
    let blocker = |code: Code, text: String| Warning {
        code: code.to_owned(),
        text,
    };
    let list = || {
        let names: Vec<String> = proposers.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    match (named, proposers) {
        (Some(named), _) if proposers.contains(&named) => Ok(named),
        (Some(named), _) => Err(blocker(
            Code::NotAProposer,
            format!("{named} may not propose to the timelock; these may: {}", list()),
        )),
        (None, [only]) => Ok(*only),
        (None, []) => Err(blocker(
            Code::TimelockNoProposer,
            "nobody is known who may propose to the timelock; name who does by --proposer".to_owned(),
        )),
        (None, _) => Err(blocker(
            Code::WhichProposer,
            format!(
                "several may propose to the timelock; name one by --proposer: {}",
                list()
            ),
        )),
    }
}
