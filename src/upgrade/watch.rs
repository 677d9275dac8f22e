//! Watch: after the commit, until the CVM reports the hash, or is back on its old one.

use std::time::Duration;

use jiff::Timestamp;

use super::commit::{LOOK_WAIT, LOOK_WAIT_MAX};
use super::drive::Run;
use super::event::Event;
use super::{Outcome, Pending, UpgradeError};
use crate::cloud::{CloudError, Cvm};
use crate::code::Code;
use crate::http::Kind;
use crate::text::escape;

/// How long a CVM may look idle with its old hash after the commit before that counts as a failed boot.
pub(super) const BOOT_GRACE: Duration = Duration::from_secs(30);

impl Run<'_> {
    /// Watches the CVM until it reports the hash.
    pub(super) async fn watch(&mut self) -> Result<Outcome, UpgradeError> {
        let began = tokio::time::Instant::now();
        let mut wait = LOOK_WAIT;
        let mut moved = false;
        if let Some(made) = self.upgrade.state().made.clone() {
            return self.watch_new(&made.parse()?).await;
        }
        let name = self.cvm()?;
        loop {
            match self.world.cloud.cvm(&name).await {
                Ok(cvm) if self.is_live(&cvm) => return self.finish().await,
                Ok(cvm) => {
                    moved |= cvm.progress.is_some() || !is_running(&cvm);
                    if cvm.progress.is_none()
                        && is_running(&cvm)
                        && self.has_our_hash(&cvm) == Some(false)
                        && (moved || began.elapsed() > BOOT_GRACE || self.was_committed_long_ago())
                    {
                        return self.boot_failed().await;
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

    pub(super) fn is_live(&self, cvm: &Cvm) -> bool {
        self.has_our_hash(cvm) == Some(true) && is_running(cvm) && cvm.progress.is_none()
    }

    pub(super) async fn finish(&mut self) -> Result<Outcome, UpgradeError> {
        let chain = self.chain().await?;
        let stands = match self.still_allowed().await {
            Err(UpgradeError::Decide {
                code: Code::TxReplaced, ..
            }) => false,
            other => other?,
        };
        if !stands {
            return Err(UpgradeError::Failed {
                code: Code::CommittedButNotAllowed,
                message: format!(
                    "the CVM runs {}, but {} on chain {} does not allow it any more: the next boot will be refused",
                    self.hash(),
                    self.plan()?.app,
                    chain.id()
                ),
            });
        }
        self.record(Event::Done { at: Timestamp::now() })?;
        self.write_evidence()?;
        Ok(Outcome::Reached)
    }

    /// By the clock of this machine, since an earlier run may have committed.
    pub(super) fn was_committed_long_ago(&self) -> bool {
        let at = self.upgrade.state().committed.as_ref().map(|(_, at)| *at);
        at.is_some_and(|at| Timestamp::now().duration_since(at).unsigned_abs() > BOOT_GRACE)
    }

    async fn boot_failed(&mut self) -> Result<Outcome, UpgradeError> {
        let state = self.world.cloud.state(&self.cvm()?).await.ok();
        let why = state
            .and_then(|state| state.boot_error)
            .map_or_else(String::new, |error| format!(": {}", escape(&error)));
        let id = self
            .upgrade
            .status()
            .facts
            .correlation_id
            .map_or_else(String::new, |id| format!(" (operation {id})"));
        Err(UpgradeError::Failed {
            code: Code::BootFailed,
            message: format!("the commit was accepted, but the CVM is back on its old compose hash{why}{id}"),
        })
    }
}

pub(super) fn is_running(cvm: &Cvm) -> bool {
    cvm.status
        .as_deref()
        .is_some_and(|status| status.eq_ignore_ascii_case("running"))
}

pub(super) fn is_passing(error: &CloudError) -> bool {
    matches!(error, CloudError::Http(http) if matches!(http.kind, Kind::Connect | Kind::Timeout | Kind::Broken))
        || matches!(
            error,
            CloudError::Unavailable(_) | CloudError::Busy(_) | CloudError::Unexpected { .. }
        )
}
