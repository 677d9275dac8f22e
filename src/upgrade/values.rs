//! Other values of the environment under the same names: the compose hash stays, so nobody has to approve it, and one
//! request to the cloud carries it out.
//!
//! There is nothing to prepare and nothing to prove. What forbids it is what would keep the CVM from coming up again.

use std::path::Path;
use std::time::Duration;

use alloy::primitives::B256;

use super::drive::{Upgrade, not_stored};
use super::environment::Sealing;
use super::event::Event;
use super::findings::Warning;
use super::journal::JournalError;
use super::{Limits, Plan, UpgradeError, World};
use crate::cloud::{Accepted, CvmId, Envs, Goal, Patched, Settle, Settled};
use crate::signer::Consent;

/// What stands for a change of values alone among the plan's blockers: no hash, no approval, no upgrade.
const CODE: &str = "ENV_VALUES_ONLY";
/// Blockers that would keep a CVM from starting again, whatever changes.
const AT_BOOT: [&str; 3] = ["APP_NOT_REGISTERED", "DEVICE_NOT_ALLOWED", "KMS_WOULD_REFUSE"];
/// Time between two looks at the CVM.
const PACE: Duration = Duration::from_secs(1);

/// Other values, sealed, and not known to be the guest's already.
#[derive(Debug)]
pub struct ValuesChange {
    cvm: CvmId,
    sealing: Sealing,
    names: Vec<String>,
    /// The finished upgrade of the directory, which remembers whose values were sent last.
    upgrade: Option<Upgrade>,
}

/// What became of them.
#[derive(Debug)]
pub struct ValuesSent {
    /// What the server said.
    pub accepted: Accepted,
    /// How the operation ended, where that was waited for.
    pub settled: Option<Settled>,
}

impl Plan {
    /// Whether only values of the environment change: same names, same manifest, same compose hash.
    pub fn is_values_only(&self) -> bool {
        self.policy.is_empty() && self.blockers.iter().any(|blocker| blocker.code == CODE)
    }

    /// What forbids carrying the plan out, as far as that was read.
    pub fn obstacle(&self) -> Option<Warning> {
        if !self.is_values_only() {
            return self.blockers.first().cloned();
        }
        let at_boot = |blocker: &&Warning| AT_BOOT.contains(&blocker.code.as_str());
        let refused = self.app_state.hash_allowed == Some(false);
        self.blockers.iter().find(at_boot).cloned().or_else(|| {
            refused.then(|| Warning {
                code: "HASH_REMOVED".to_owned(),
                text: "the app does not allow the compose hash that runs any more: a restart would not come up"
                    .to_owned(),
            })
        })
    }
}

impl ValuesChange {
    /// What has to be sent to carry `plan` out, when only values change. Nothing when more than values changes, when the
    /// upgrade in `dir` is under way still, and when it knows these values for those that were sent last.
    ///
    /// # Errors
    /// The directory cannot be used, or the CVM would not come up again.
    pub fn find(plan: &Plan, dir: Option<&Path>) -> Result<Option<Self>, UpgradeError> {
        let Some(code) = plan.code.as_ref().filter(|_| plan.is_values_only()) else {
            return Ok(None);
        };
        let Some(sealing) = code.sealed.clone() else {
            return Ok(None);
        };
        let before = match dir.map(Upgrade::open) {
            Some(Err(UpgradeError::Journal(JournalError::Missing { .. }))) | None => None,
            Some(upgrade) => Some(upgrade?),
        };
        let upgrade = match before {
            Some(upgrade) if upgrade.state().abandoned.is_some() => None,
            Some(upgrade) if upgrade.state().done.is_none() || upgrade.has_sent(&sealing)? => return Ok(None),
            other => other.filter(Upgrade::has_environment),
        };
        if let Some(obstacle) = plan.obstacle() {
            return Err(blocked(obstacle));
        }
        let names = code.environment.iter().flat_map(|environment| &environment.names);
        Ok(Some(Self {
            cvm: code.cvm.parse()?,
            sealing,
            names: names.map(ToString::to_string).collect(),
            upgrade,
        }))
    }

    /// Whose values they are.
    pub const fn cvm(&self) -> &CvmId {
        &self.cvm
    }

    /// Sends the values, once somebody agreed, and waits for the restart unless `limits` say not to.
    ///
    /// One request, never repeated by itself. Sending the same values again does no harm but one more restart.
    ///
    /// # Errors
    /// Nobody agreed, the server refused, or its answer was lost.
    pub async fn send(mut self, world: &World<'_>, limits: &Limits) -> Result<ValuesSent, UpgradeError> {
        let consent = Consent {
            question: format!(
                "Replace the values of the environment of {}? Nobody has to approve it; the CVM restarts.",
                self.cvm
            ),
            facts: vec![("variables".to_owned(), self.names.join(", "))],
        };
        if !world.ask.consent(&consent)? {
            return Err(UpgradeError::Declined {
                what: "replacing the values".to_owned(),
            });
        }
        self.note("sending other values of the environment")?;
        let envs = Envs {
            encrypted_env: self.sealing.blob().to_owned(),
            env_keys: None,
        };
        let accepted = match world.cloud.set_envs(&self.cvm, &envs, None).await? {
            Patched::Accepted(accepted) => accepted,
            Patched::HashRequired(prepared) => {
                return Err(UpgradeError::decide(
                    "ENV_HASH_REQUIRED",
                    format!(
                        "Phala Cloud asks for an approval of {} although only values change; nothing was changed",
                        prepared.compose_hash
                    ),
                ));
            }
        };
        self.remember()?;
        world.ask.tell("the values were taken; the CVM restarts");
        let settled = match limits.no_wait {
            true => None,
            false => Some(self.settle(world, &accepted, limits.timeout).await?),
        };
        Ok(ValuesSent { accepted, settled })
    }

    async fn settle(&self, world: &World<'_>, accepted: &Accepted, time: Duration) -> Result<Settled, UpgradeError> {
        let status = "running".to_owned();
        let goal = match accepted.correlation_id.clone() {
            Some(id) => Goal::Operation { id, status, hash: None },
            None => Goal::Status(status),
        };
        let settle = Settle { goal, pace: PACE, time };
        let mut tell = |cvm: &crate::cloud::Cvm| {
            world
                .ask
                .tell(&format!("the CVM is {}", cvm.status.as_deref().unwrap_or("silent")));
        };
        Ok(world.cloud.settle(&self.cvm, &settle, &mut tell).await?)
    }

    fn note(&mut self, text: &str) -> Result<(), UpgradeError> {
        let note = Event::Note { text: text.to_owned() };
        self.upgrade.as_mut().map_or(Ok(()), |upgrade| upgrade.record(note))
    }

    /// A later run with the same values has nothing to send.
    fn remember(&mut self) -> Result<(), UpgradeError> {
        let Some(upgrade) = &mut self.upgrade else {
            return Ok(());
        };
        let (values, _) = upgrade.compare(&self.sealing)?;
        let sealed = Event::Sealed {
            sha256: B256::from(self.sealing.digest()),
            values: Some(values),
            replaces: false,
        };
        upgrade
            .record(sealed)
            .map_err(|error| not_stored("the values were taken", error))
    }
}

impl Upgrade {
    fn has_sent(&self, sealing: &Sealing) -> Result<bool, UpgradeError> {
        Ok(self.compare(sealing)?.1 == Some(true))
    }

    fn has_environment(&self) -> bool {
        self.state().code().is_some_and(|code| code.environment.is_some())
    }
}

fn blocked(why: Warning) -> UpgradeError {
    UpgradeError::Blocked {
        code: why.code,
        message: why.text,
    }
}
