//! Other values of the environment under the same names: the compose hash stays, so nobody has to approve it, and one
//! request to the cloud carries it out.
//!
//! There is nothing to prepare and nothing to prove. What forbids it is what would keep the CVM from coming up again. What
//! was sent is on record before it is sent, so that an answer that was lost is settled by reading and values that are there
//! already are not sent again.

use std::path::{Path, PathBuf};

use alloy::primitives::B256;

use crate::cloud::{
    CloudError, CvmId,
    configure::Envs,
    lifecycle::OperationsQuery,
    settle::Settled,
    updates::{Accepted, Patched},
};
use crate::code::Code;
use crate::compose::{ComposeHash, Manifest};
use crate::fsutil::point;
use crate::signer::{Consent, Fact, Name};
use crate::upgrade::{
    Finding, Limits, UpgradeError, Verdict, World,
    checks::{images, kms},
    finding::Warning,
    journal_error::JournalError,
    model::Plan,
    model::environment::Sealing,
    record::event::Event,
    run::{not_begun, not_stored},
    steps::at_once::{Awaited, is_lost, settle},
    workspace::{
        environment_files::mark_in,
        upgrade::Upgrade,
        values_log::{Record, Sent, Trace, folder},
    },
};

/// What stands for a change of values alone among the plan's blockers: no hash, no approval, no upgrade.
const CODE: Code = Code::EnvValuesOnly;
/// Blockers that would keep a CVM from starting again, whatever changes.
const AT_BOOT: [Code; 3] = [Code::AppNotRegistered, Code::DeviceNotAllowed, Code::KmsWouldRefuse];
/// How many operations are looked at for one that changed the environment.
const LATEST: u32 = 100;

/// Other values, sealed, and not known to be the guest's already.
#[derive(Debug)]
pub struct ValuesChange {
    cvm: CvmId,
    /// The CVM, by its UUID where the cloud gives one.
    about: String,
    hash: Option<ComposeHash>,
    sealing: Sealing,
    names: Vec<String>,
    /// What somebody has to agree to by name: values that choose what runs, and a KMS for which only Phala Cloud's word
    /// speaks.
    doubts: Vec<Finding>,
    /// What runs.
    manifest: Manifest,
    /// Where it is on record what was sent.
    folder: PathBuf,
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
    /// Whether an earlier run had sent them, so that this one sent nothing.
    pub earlier: bool,
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
        let at_boot = |blocker: &&Warning| AT_BOOT.contains(&blocker.code);
        let refused = self.app_state.hash_allowed == Some(false);
        self.blockers.iter().find(at_boot).cloned().or_else(|| {
            refused.then(|| Warning {
                code: Code::HashRemoved,
                text: "the app does not allow the compose hash that runs any more: a restart would not come up"
                    .to_owned(),
            })
        })
    }
}

impl ValuesChange {
    /// What has to be sent to carry `plan` out, when only values change. Nothing when more than values changes, when the
    /// upgrade in `dir` is under way still, and when it knows these values for those that were sent last. What is sent is
    /// on record below `root`.
    ///
    /// # Errors
    /// A directory cannot be used, or the CVM would not come up again.
    pub fn find(plan: &Plan, dir: Option<&Path>, root: &Path) -> Result<Option<Self>, UpgradeError> {
        let Some(code) = plan.code.as_ref().filter(|_| plan.is_values_only()) else {
            return Ok(None);
        };
        let Some(sealing) = code.sealed.clone() else {
            return Ok(None);
        };
        let about = code.cvm_uuid.clone().unwrap_or_else(|| code.cvm.clone());
        let folder = folder(root, &code.cvm);
        // A later record than the upgrade's own says more than that does.
        let is_noted = Sent::peek(&folder)?.is_some_and(|record| record.is_about(&about, code.current_hash));
        let before = match dir.map(Upgrade::open) {
            Some(Err(UpgradeError::Journal(JournalError::Missing { .. }))) | None => None,
            Some(upgrade) => Some(upgrade?),
        };
        let upgrade = match before {
            Some(upgrade) if upgrade.state().abandoned.is_some() => None,
            Some(upgrade) if upgrade.state().commit.done.is_none() => return Ok(None),
            Some(upgrade) if !is_noted && upgrade.has_sent(&sealing)? => return Ok(None),
            other => other.filter(Upgrade::has_environment),
        };
        if let Some(obstacle) = plan.obstacle() {
            return Err(blocked(obstacle));
        }
        let doubts = images::blank_values(&sealing).chain(kms::doubt(plan));
        let doubts = doubts.chain(images::chosen_by_values(code)).collect();
        let names = code.environment.iter().flat_map(|environment| &environment.names);
        Ok(Some(Self {
            cvm: code.cvm.parse()?,
            about,
            hash: code.current_hash,
            sealing,
            names: names.map(ToString::to_string).collect(),
            doubts,
            manifest: code.manifest_after(),
            folder,
            upgrade,
        }))
    }

    /// Whose values they are.
    pub const fn cvm(&self) -> &CvmId {
        &self.cvm
    }

    /// Sends the values, once somebody agreed, and waits for the restart unless `limits` say not to. Values that an earlier
    /// run sent, and that nothing replaced since, are not sent again.
    ///
    /// One request, never repeated by itself: when its answer is lost, the CVM's operations tell whether it was taken.
    ///
    /// # Errors
    /// Nobody agreed, the server refused, or its answer was lost and nothing tells: the next run looks again.
    pub async fn send(mut self, world: &World<'_>, limits: &Limits) -> Result<ValuesSent, UpgradeError> {
        let mut doubts = std::mem::take(&mut self.doubts);
        doubts.extend(images::where_needed(&self.manifest, &limits.accepted));
        Verdict::new(doubts, Vec::new(), &limits.accepted).check()?;
        if self.folder.exists()
            && let Some(operation) = self.earlier(world).await?
        {
            world
                .ask
                .tell("these values were sent before, and nothing replaced them since: nothing is sent");
            let sent = self.waited(world, limits, Some(operation)).await?;
            return Ok(ValuesSent { earlier: true, ..sent });
        }
        if world
            .quorum
            .until
            .is_some_and(|until| until <= tokio::time::Instant::now())
        {
            return Err(not_begun("replacing the values"));
        }
        self.agreed(world)?;
        let mut noted = Sent::hold(&self.folder)?;
        let (mark, _) = mark_in(&self.folder, &self.sealing)?;
        let after = world.cloud.latest_operation(&self.cvm).await?;
        let record = Record::new(self.about.clone(), self.hash, mark).after(after);
        noted.write(record.clone())?;
        self.note("sending other values of the environment")?;
        point("values.b");
        let accepted = self.put(world, &record).await?;
        point("values.d");
        noted
            .write(record.taken(accepted.correlation_id.clone()))
            .map_err(|error| not_stored("the values were taken", error))?;
        self.remember()?;
        world.ask.tell("the values were taken; the CVM restarts");
        self.waited(world, limits, accepted.correlation_id).await
    }

    fn agreed(&self, world: &World<'_>) -> Result<(), UpgradeError> {
        let consent = Consent::ask(
            format!(
                "Replace the values of the environment of {}? Nobody has to approve it; the CVM restarts.",
                self.cvm
            ),
            vec![Fact::new(Name::Variables, self.names.join(", "))],
        );
        if world.ask.consent(&consent)? {
            return Ok(());
        }
        Err(UpgradeError::Declined {
            what: "replacing the values".to_owned(),
        })
    }

    /// The operation by which an earlier run replaced the environment with these values, if nothing replaced them since.
    async fn earlier(&mut self, world: &World<'_>) -> Result<Option<String>, UpgradeError> {
        let mut noted = Sent::hold(&self.folder)?;
        let (mark, comparable) = mark_in(&self.folder, &self.sealing)?;
        let own = Record::new(self.about.clone(), self.hash, mark);
        let Some(last) = noted.last().filter(|last| comparable && last.is_same(&own)).cloned() else {
            return Ok(None);
        };
        match self.look(world, &last).await? {
            Trace::There(operation) => {
                if !last.is_taken() {
                    noted.write(last.taken(Some(operation.clone())))?;
                    self.remember()?;
                }
                Ok(Some(operation))
            }
            Trace::Nothing => Ok(None),
            Trace::Unclear => {
                world
                    .ask
                    .tell("whether these values are the guest's still cannot be told: they are sent again");
                Ok(None)
            }
        }
    }

    /// What the CVM's operations say of a record.
    async fn look(&self, world: &World<'_>, record: &Record) -> Result<Trace, UpgradeError> {
        let query = OperationsQuery {
            limit: Some(LATEST),
            ..OperationsQuery::default()
        };
        match world.cloud.operations(&self.cvm, &query).await {
            Ok(list) => Ok(record.trace(&list.items)),
            // The CVM itself could be read, so this is about the list.
            Err(CloudError::NotFound(_) | CloudError::Refused(_) | CloudError::Auth(_)) => Ok(Trace::Unclear),
            Err(error) => Err(error.into()),
        }
    }

    /// The request.
    async fn put(&self, world: &World<'_>, record: &Record) -> Result<Accepted, UpgradeError> {
        let envs = Envs {
            encrypted_env: self.sealing.blob().to_owned(),
            env_keys: None,
        };
        match world.cloud.set_envs(&self.cvm, &envs, None).await {
            Ok(Patched::Accepted(accepted)) => Ok(accepted),
            Ok(Patched::HashRequired(prepared)) => Err(UpgradeError::decide(
                Code::EnvHashRequired,
                format!(
                    "Phala Cloud asks for an approval of {} although only values change; nothing was changed",
                    prepared.compose_hash
                ),
            )),
            Err(error) if is_lost(&error) => match self.look(world, record).await {
                Ok(Trace::There(operation)) => Ok(Accepted {
                    correlation_id: Some(operation),
                    status: None,
                }),
                _ => Err(UpgradeError::Unknown {
                    code: Code::EnvValuesUnknown,
                    message: "no usable answer came to the new values, and nothing shows yet whether they were taken"
                        .to_owned(),
                    source: Some(Box::new(error)),
                }),
            },
            Err(error) => Err(error.into()),
        }
    }

    async fn waited(
        &self,
        world: &World<'_>,
        limits: &Limits,
        correlation_id: Option<String>,
    ) -> Result<ValuesSent, UpgradeError> {
        let accepted = Accepted {
            correlation_id,
            status: None,
        };
        let settled = match limits.no_wait {
            true => None,
            false => {
                let awaited = Awaited {
                    operation: accepted.correlation_id.clone(),
                    hash: self.hash,
                    time: limits.timeout,
                };
                Some(settle(world, &self.cvm, awaited).await?)
            }
        };
        Ok(ValuesSent {
            accepted,
            settled,
            earlier: false,
        })
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
