//! Watch: after the commit, until the CVM reports the hash, or is back on its old one.

use std::time::Duration;

use jiff::Timestamp;

use crate::cloud::{CloudError, Cvm};
use crate::code::Code;
use crate::http::Kind;
use crate::upgrade::{
    Outcome, Pending, UpgradeError,
    run::Run,
    steps::{
        commit::{LOOK_WAIT, LOOK_WAIT_MAX},
        proof_again::Standing,
    },
};

/// How long a CVM may look idle with its old hash after the commit before that counts as a failed boot.
pub(in crate::upgrade) const BOOT_GRACE: Duration = Duration::from_secs(30);
/// After it, what the cloud says of a commit's operation and token tells whether anything came of it.
const VOID_GRACE: Duration = Duration::from_secs(4);

impl Run<'_> {
    /// Watches the CVM until it reports the hash.
    pub(in crate::upgrade) async fn watch(&mut self) -> Result<Outcome, UpgradeError> {
        let began = tokio::time::Instant::now();
        let mut wait = LOOK_WAIT;
        let mut moved = false;
        if let Some(made) = self.upgrade.state().commit.made.clone() {
            return self.watch_new(&made.parse()?).await;
        }
        let name = self.cvm()?;
        loop {
            match self.cloud.cvm(&name).await {
                Ok(cvm) if self.is_live(&cvm) => return self.finish().await,
                Ok(cvm) => {
                    let status = cvm.status.as_deref().unwrap_or("silent");
                    self.waits(&format!(
                        "the CVM is {status}; waiting until it reports {}",
                        self.hash()?
                    ));
                    moved |= cvm.progress.is_some() || !is_running(&cvm);
                    let rests = cvm.progress.is_none() && is_running(&cvm) && self.has_our_hash(&cvm) == Some(false);
                    let since = began.elapsed().max(self.since_commit());
                    if rests
                        && (moved || since > VOID_GRACE || self.upgrade.state().commit.was_found())
                        && let Some(outcome) = self.fallen_back(moved || since > BOOT_GRACE).await?
                    {
                        return Ok(outcome);
                    }
                }
                Err(error) if is_passing(&error) => self.tell(&format!("{error}; asking again")),
                Err(error) => return Err(error.into()),
            }
            if !self.sleep(wait).await {
                return Ok(Outcome::Pending(Pending {
                    code: Code::PendingRestart,
                    what: "the commit was accepted; the CVM does not report the new hash yet".to_owned(),
                }));
            }
            wait = (wait * 3 / 2).min(LOOK_WAIT_MAX);
        }
    }

    pub(in crate::upgrade) async fn finish(&mut self) -> Result<Outcome, UpgradeError> {
        match self.still_allowed().await? {
            Standing::Stands => self.confirm().await?,
            Standing::Withdrawn => return Err(self.not_allowed_any_more()?),
            Standing::Lost => {}
        }
        Ok(Outcome::Reached)
    }

    /// What was committed and runs may not boot again.
    pub(in crate::upgrade) fn not_allowed_any_more(&self) -> Result<UpgradeError, UpgradeError> {
        let (hash, plan) = (self.hash()?, self.plan()?);
        Ok(UpgradeError::Failed {
            code: Code::CommittedButNotAllowed,
            message: format!(
                "the CVM runs {hash}, but {} on chain {} does not allow it any more: the next boot will be refused",
                plan.app, plan.chain_id
            ),
        })
    }

    /// By the clock of this machine, since an earlier run may have committed.
    fn since_commit(&self) -> Duration {
        let at = self.upgrade.state().commit.committed.as_ref().map(|(_, at)| *at);
        at.map_or(Duration::ZERO, |at| Timestamp::now().duration_since(at).unsigned_abs())
    }

    pub(in crate::upgrade) fn was_committed_long_ago(&self) -> bool {
        self.since_commit() > BOOT_GRACE
    }
}

pub(in crate::upgrade) fn is_running(cvm: &Cvm) -> bool {
    cvm.status
        .as_deref()
        .is_some_and(|status| status.eq_ignore_ascii_case("running"))
}

pub(in crate::upgrade) fn is_passing(error: &CloudError) -> bool {
    matches!(error, CloudError::Http(http) if matches!(http.kind, Kind::Connect | Kind::Timeout | Kind::Broken))
        || matches!(
            error,
            CloudError::Unavailable(_) | CloudError::Busy(_) | CloudError::Unexpected { .. }
        )
}
