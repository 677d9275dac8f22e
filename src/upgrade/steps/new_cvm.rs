//! A CVM that a commit makes: asked for, made once, found again when the answer was lost, watched until it runs.
//!
//! A commit token is used once, so the same token never makes two. A fresh token is only asked for when nothing shows that
//! the old one made a CVM; and what the app had before is on disk before each request that could make one.

use alloy::primitives::B256;
use serde_json::Value;

use crate::chain::{AppState, Chain};
use crate::cloud::{
    CloudError, Cvm, CvmId,
    replicas::Replicated,
    updates::{Commit, Patched, Prepared, RawAnswer},
};
use crate::code::Code;
use crate::text::escape;
use crate::upgrade::{
    Outcome, Pending, UpgradeError,
    checks::{app::app_now, kms},
    model::target::{Request, Target, plain},
    planning::placement::uuids,
    record::event::Event,
    run::Run,
    steps::{
        commit::{LOOK_WAIT, LOOK_WAIT_MAX, Trace},
        commit_request::Taken,
        token_status::TokenStatus,
        watch::{BOOT_GRACE, is_passing, is_running},
    },
};

/// What prepare's answer means.
pub(in crate::upgrade) enum FirstPhase {
    /// Hash and token.
    Prepared(Box<Prepared>),
    /// It was carried out at once; with the UUID of the CVM that it made.
    AtOnce(Option<String>),
}

impl Run<'_> {
    /// Whether another CVM is made.
    pub(in crate::upgrade) fn makes_new(&self) -> Result<bool, UpgradeError> {
        Ok(self.code()?.target.is_new())
    }

    /// UUIDs of the app's CVMs, where another one is to be made; nothing otherwise.
    pub(in crate::upgrade) async fn there(&self) -> Result<Vec<String>, UpgradeError> {
        if !self.makes_new()? {
            return Ok(Vec::new());
        }
        Ok(uuids(&self.cloud.app_cvms(self.plan()?.app).await?))
    }

    /// Sends the first phase.
    pub(in crate::upgrade) async fn send_request(&self, request: &Request) -> Result<RawAnswer, UpgradeError> {
        let cloud = &self.cloud;
        Ok(match request {
            Request::Patch(patch) => cloud.prepare(&self.cvm()?, patch).await?,
            Request::Replica(replica) => cloud.prepare_replica(&self.cvm()?, replica).await?,
            Request::Instance(instance) => cloud.prepare_instance(self.plan()?.app, instance).await?,
        })
    }

    /// A first phase that was sent without an answer may have made a CVM, if the server takes it for more than that.
    pub(in crate::upgrade) async fn refuse_made_unseen(&self) -> Result<(), UpgradeError> {
        let state = self.upgrade.state();
        if !self.makes_new()? || !state.prepare.trying || self.limits.supersede {
            return Ok(());
        }
        let made = self.newcomers(&state.commit.there).await?;
        refuse(&made, "since the request to prepare was sent, whose answer was lost")
    }

    /// What came up since the plan, before a commit is sent. Where the token was used it is what the token made, here or on
    /// another machine; where it was not, somebody else may have made the very same: two are never made unasked.
    pub(in crate::upgrade) async fn look_for_made(&self) -> Result<Trace, UpgradeError> {
        let code = self.code()?;
        let Some(placement) = code.target.placement() else {
            return Ok(Trace::Nothing);
        };
        let made = self.newcomers(&placement.before).await?;
        match made.as_slice() {
            [] => return Ok(Trace::Nothing),
            [one] if self.token_status().await? == TokenStatus::Used => return Ok(Trace::Ours(Some(one.clone()))),
            _ if self.limits.supersede => return Ok(Trace::Nothing),
            _ => {}
        }
        refuse(&made, "since this was planned").map(|()| Trace::Nothing)
    }

    /// CVMs of the app that were not there and may be the one that is to be made: a new record may lack hash or device.
    async fn newcomers(&self, known: &[String]) -> Result<Vec<String>, UpgradeError> {
        let (plan, code) = (self.plan()?, self.code()?);
        let hash = self.upgrade.state().verified().map(|(hash, _)| *hash);
        let hash = hash.or(code.expected_hash);
        let mut all = self.cloud.app_cvms(plan.app).await?;
        let fits = |cvm: &Cvm| {
            let same_hash = cvm.compose_hash.is_none() || hash.is_none() || cvm.compose_hash == hash;
            let same_device = cvm.device_id.is_none() || code.device.is_none() || cvm.device_id == code.device;
            same_hash && same_device
        };
        all.retain(fits);
        let mut made = uuids(&all);
        made.retain(|uuid| !known.contains(uuid));
        Ok(made)
    }

    /// What the app shows of a commit whose answer is not known.
    pub(in crate::upgrade) async fn trace_of_new(&self) -> Result<Trace, UpgradeError> {
        let mut wait = LOOK_WAIT;
        loop {
            let made = self.newcomers(&self.upgrade.state().commit.there).await?;
            match (made.as_slice(), self.token_status().await?) {
                (_, TokenStatus::Live) | ([], TokenStatus::Unknown | TokenStatus::Dead) => return Ok(Trace::Nothing),
                ([one], _) => return Ok(Trace::Ours(Some(one.clone()))),
                ([], TokenStatus::Used) => {}
                (several, _) => {
                    return Err(UpgradeError::decide(
                        Code::NewCvmAmbiguous,
                        format!(
                            "the answer to the commit was lost, and several new CVMs may be what it made: {}",
                            several.join(", ")
                        ),
                    ));
                }
            }
            self.tell("the commit token was used; waiting for the new CVM to be shown");
            if !self.sleep(wait).await {
                return self.unseen();
            }
            wait = (wait * 3 / 2).min(LOOK_WAIT_MAX);
        }
    }

    /// The token was used, and there is no CVM to show for it.
    fn unseen(&self) -> Result<Trace, UpgradeError> {
        if self.limits.supersede {
            return Ok(Trace::Nothing);
        }
        Err(UpgradeError::decide(
            Code::NewCvmUnseen,
            "the commit token was used, and Phala Cloud shows no new CVM for it; another one is not made unasked",
        ))
    }

    /// What the server says of the commit token that is here.
    pub(in crate::upgrade) async fn token_status(&self) -> Result<TokenStatus, UpgradeError> {
        let Some(token) = self.token()? else {
            return Ok(TokenStatus::Unknown);
        };
        let said = self.cloud.token_info(&self.cvm()?, &token).await?;
        let status = said
            .as_ref()
            .and_then(|said| said.get("status"))
            .and_then(Value::as_str);
        Ok(match status.map(str::to_ascii_lowercase).as_deref() {
            Some("used" | "committed" | "consumed") => TokenStatus::Used,
            Some("pending" | "live" | "active" | "valid") => TokenStatus::Live,
            Some("superseded" | "replaced" | "expired") => TokenStatus::Dead,
            _ => TokenStatus::Unknown,
        })
    }

    /// Makes the new CVM.
    pub(in crate::upgrade) async fn post_new(&self, target: &Target, commit: Commit<'_>) -> Result<Taken, CloudError> {
        let cloud = &self.cloud;
        let (app, source) = match self.upgrade.state().plan() {
            Some(plan) => (plan.app, plan.code.as_ref().map(|code| code.cvm.as_str())),
            None => (alloy::primitives::Address::ZERO, None),
        };
        let made = match target {
            Target::Instance(_) => cloud.commit_instance(app, commit).await?,
            Target::Cvm | Target::Replica(_) => {
                let source: CvmId = source.unwrap_or_default().parse()?;
                cloud.commit_replica(&source, commit).await?
            }
        };
        let uuid = made.uuid.as_deref().map(plain);
        let named = uuid.filter(|_| made.app_id.is_none_or(|found| found == app));
        let Some(uuid) = named else {
            return Err(CloudError::Unexpected {
                request: "the commit of a new CVM".to_owned(),
                status: 200,
                what: "no new CVM of the app is named in it".to_owned(),
            });
        };
        Ok(Taken {
            accepted: None,
            made: Some(uuid),
        })
    }

    /// What the app allows now has to let the CVM boot, and the KMS has to agree: since it was asked last, its owner may have
    /// changed its mind.
    pub(in crate::upgrade) async fn check_boot(&self, chain: &Chain) -> Result<(), UpgradeError> {
        self.may_boot(&app_now(chain, &self.plan()?, Some(self.word()?)).await?)
    }

    /// What the app allows now has to let the CVM boot.
    pub(in crate::upgrade) async fn check_lists(&self, chain: &Chain) -> Result<(), UpgradeError> {
        self.is_let_in(&app_now(chain, &self.plan()?, Some(self.word()?)).await?)
    }

    /// The hash as contracts know it.
    pub(in crate::upgrade) fn word(&self) -> Result<B256, UpgradeError> {
        Ok(B256::from(*self.hash()?.as_bytes()))
    }

    /// Whether lists and KMS let the CVM boot, by what was read of them.
    pub(in crate::upgrade) fn may_boot(&self, app: &AppState) -> Result<(), UpgradeError> {
        self.is_let_in(app)?;
        match kms::of_boot(&self.plan()?, app).first() {
            None => Ok(()),
            Some(refused) => Err(UpgradeError::decide(
                refused.code,
                format!("{}; nothing was committed", refused.message),
            )),
        }
    }

    /// Hash and device have to be in force for a CVM to boot, also where no transaction of this upgrade made them so.
    fn is_let_in(&self, app: &AppState) -> Result<(), UpgradeError> {
        if app.hash_allowed != Some(true) {
            return Err(UpgradeError::decide(
                Code::HashRemoved,
                format!(
                    "the app does not allow {} any more; nothing was committed",
                    self.word()?
                ),
            ));
        }
        if app.device_allowed == Some(false) && !app.any_device {
            let runs = if self.makes_new()? {
                "is to run the new"
            } else {
                "runs the"
            };
            return Err(UpgradeError::decide(
                Code::DeviceNotAllowed,
                format!("the app does not allow the device that {runs} CVM any more; nothing was committed"),
            ));
        }
        Ok(())
    }

    /// Watches the new CVM until it runs.
    pub(in crate::upgrade) async fn watch_new(&mut self, name: &CvmId) -> Result<Outcome, UpgradeError> {
        let began = tokio::time::Instant::now();
        let mut wait = LOOK_WAIT;
        loop {
            match self.cloud.cvm(name).await {
                Ok(cvm) if self.has_our_hash(&cvm) == Some(false) => return Err(self.another(name, &cvm)?),
                Ok(cvm) if self.is_live(&cvm) => return self.finish().await,
                Ok(cvm) if cvm.progress.is_none() && !is_running(&cvm) => {
                    let patience = began.elapsed() < BOOT_GRACE && !self.was_committed_long_ago();
                    self.refuse_failed(name, patience).await?;
                }
                Ok(_) => {}
                Err(CloudError::NotFound(_)) if self.was_made_up().await? => {
                    if began.elapsed() > BOOT_GRACE || self.was_committed_long_ago() {
                        return Err(self.no_effect()?);
                    }
                }
                Err(error) if is_passing(&error) => self.tell(&format!("{error}; asking again")),
                Err(error) => return Err(error.into()),
            }
            if !self.sleep(wait).await {
                return Ok(Outcome::Pending(Pending {
                    code: Code::PendingRestart,
                    what: format!("the commit was accepted; the new CVM {name} does not run yet"),
                }));
            }
            wait = (wait * 3 / 2).min(LOOK_WAIT_MAX);
        }
    }

    /// A guest that did not come up says why; one that says nothing may still be on its way.
    async fn refuse_failed(&self, name: &CvmId, patience: bool) -> Result<(), UpgradeError> {
        let state = match self.cloud.state(name).await {
            Ok(state) => state,
            Err(error) if is_passing(&error) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let why = state.boot_error.filter(|error| !error.trim().is_empty());
        let is_down = state.status.is_some_and(|status| {
            ["stopped", "exited", "failed", "error"].contains(&status.to_ascii_lowercase().as_str())
        });
        if why.is_none() && (patience || !is_down) {
            return Ok(());
        }
        let why = why.map_or_else(String::new, |error| format!(": {}", escape(&error)));
        Err(UpgradeError::Failed {
            code: Code::BootFailed,
            message: format!("the new CVM {name} was made and did not come up{why}"),
        })
    }

    fn another(&self, name: &CvmId, cvm: &Cvm) -> Result<UpgradeError, UpgradeError> {
        let found = cvm.compose_hash.map(|hash| hash.to_string()).unwrap_or_default();
        Ok(UpgradeError::Failed {
            code: Code::NewCvmOtherHash,
            message: format!(
                "the new CVM {name} reports {found} and not {}, which was approved",
                self.hash()?
            ),
        })
    }

    /// Whatever the server made at once is made: nothing is ever prepared again for it.
    pub(in crate::upgrade) fn end_at_once(&mut self, made: Option<String>) -> Result<UpgradeError, UpgradeError> {
        let new = self.makes_new()?;
        let made = made.map_or_else(String::new, |uuid| format!(" ({uuid})"));
        if new {
            let why = format!("Phala Cloud made the new CVM at once instead of preparing it{made}");
            self.record(Event::Abandoned { why })?;
        } else {
            self.note("the cloud says that it applied the change at once instead of preparing it")?;
        }
        Ok(UpgradeError::Failed {
            code: Code::AppliedAtOnce,
            message: if new {
                format!(
                    "Phala Cloud made the new CVM at once instead of preparing it{made}; nobody was asked to approve it"
                )
            } else {
                "Phala Cloud says that it applied the change at once instead of preparing it; nobody approved it on chain"
                    .to_owned()
            },
        })
    }
}

impl FirstPhase {
    /// Reads an answer to prepare.
    ///
    /// # Errors
    /// A refusal, or an answer that cannot be understood.
    pub(in crate::upgrade) fn read(raw: &RawAnswer, is_new: bool) -> Result<Self, CloudError> {
        if !is_new {
            return Ok(match raw.read()? {
                Patched::HashRequired(prepared) => Self::Prepared(prepared),
                Patched::Accepted(_) => Self::AtOnce(None),
            });
        }
        Ok(match raw.read_replica()? {
            Replicated::HashRequired(prepared) => Self::Prepared(prepared),
            Replicated::Created(cvm) => Self::AtOnce(cvm.uuid.as_deref().map(plain)),
        })
    }
}

fn refuse(made: &[String], since: &str) -> Result<(), UpgradeError> {
    if made.is_empty() {
        return Ok(());
    }
    Err(UpgradeError::decide(
        Code::NewCvmExists,
        format!(
            "a CVM of the app that fits came up on that node {since}: {}; it may be the very one that is asked for",
            made.join(", ")
        ),
    ))
}
