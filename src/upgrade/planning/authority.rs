//! Who has to act, and what stands there: a key, a Safe, a timelock and whoever may propose to it, or something else.
//! Reads only.

use alloy::primitives::Address;

use crate::chain::{
    Chain, OwnerKind, TimelockRole,
    timelock::{LogReach, PendingOperations, TimelockInfo, TimelockRoles},
};
use crate::code::Code;
use crate::safe::info::SafeInfo;
use crate::upgrade::{
    UpgradeError,
    checks::governance::GovernorRole,
    checks::timelock::{of_code, of_roles},
    finding::Warning,
    model::Route,
    model::actor::{Actor, SaltRule, TimelockChoice, TimelockPlan},
    planning::governance::{read_governor, read_safe},
};

/// Requests to each endpoint by which a timelock's events are read once, before anything is prepared.
const REQUESTS: u32 = 400;
/// An actor and what was found there.
pub(in crate::upgrade) struct Authority {
    pub(in crate::upgrade) actor: Actor,
    pub(in crate::upgrade) safe: Option<SafeInfo>,
    pub(in crate::upgrade) timelock: Option<TimelockPlan>,
    /// What waits at the timelock.
    pub(in crate::upgrade) waiting: Option<PendingOperations>,
    pub(in crate::upgrade) blockers: Vec<Warning>,
    pub(in crate::upgrade) warnings: Vec<Warning>,
}

impl Authority {
    /// Reads what stands at the actor's address.
    pub(in crate::upgrade) async fn read(
        chain: &Chain,
        actor: Actor,
        choice: TimelockChoice,
    ) -> Result<Self, UpgradeError> {
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
        if let Some(safe) = &found.safe {
            found.warnings.extend(read_safe(chain, safe).await?);
            return Ok(found);
        }
        match chain.timelock(actor.address).await? {
            Some(info) => found.take_timelock(chain, info, choice).await?,
            None => {
                let head = chain.head().await?;
                let governor = read_governor(chain, actor.address, GovernorRole::Owner, &head).await?;
                found.warnings.extend(governor);
            }
        }
        Ok(found)
    }

    /// The route that it needs.
    pub(in crate::upgrade) fn route(&self) -> Route {
        Route::of(self.actor, self.safe.as_ref(), self.timelock.as_ref())
    }

    async fn take_timelock(
        &mut self,
        chain: &Chain,
        info: TimelockInfo,
        choice: TimelockChoice,
    ) -> Result<(), UpgradeError> {
        let also: Vec<Address> = choice.proposer.into_iter().collect();
        let (roles, waiting) = chain
            .timelock_standing(
                &info,
                &also,
                LogReach {
                    from: 0,
                    requests: REQUESTS,
                },
            )
            .await?;
        self.waiting = Some(waiting);
        self.refuse_short_delay(&info, choice.delay);
        let delay = choice.delay.unwrap_or(info.min_delay).max(info.min_delay);
        // What is told of them when it is signed, so that nothing is told here only.
        let remarks = of_code(&info).into_iter().chain(of_roles(&info, &roles, delay));
        self.warnings.extend(remarks.map(|finding| finding.warning()));
        match choose(&roles, choice.proposer) {
            Ok(proposer) => {
                let block = info.block;
                self.safe = SafeInfo::read(chain, proposer).await?;
                self.warnings.extend(match &self.safe {
                    Some(safe) => read_safe(chain, safe).await?,
                    None => {
                        let governor = read_governor(chain, proposer, GovernorRole::Proposer, &block).await?;
                        governor.into_iter().collect()
                    }
                });
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
