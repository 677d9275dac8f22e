//! The cloud's word: what Phala Cloud says of a commit, and of the hash that runs, is no proof. It is called the cloud's word,
//! looked at again, and taken back where it was false; until it stood for a second look after an operation of this upgrade's
//! own, the commit token stays.

use jiff::Timestamp;
use tokio::time::Instant;

use crate::cloud::{Client, CloudError, Cvm, CvmId, lifecycle::OperationsQuery};
use crate::code::Code;
use crate::text::escape;
use crate::upgrade::{
    Outcome, UpgradeError, Warning,
    planning::placement::uuids,
    record::State,
    record::event::Event,
    run::Run,
    steps::{token_status::TokenStatus, watch::is_running},
};

/// How many operations are looked at: the one that a commit began is among the latest.
const LATEST: u32 = 20;

/// What Phala Cloud says of the operation that this upgrade's commit began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Own {
    /// It came to its end.
    Over,
    /// It failed.
    Failed,
    /// It is under way.
    UnderWay,
    /// It is none of the latest, or no answer to a commit named one.
    Unlisted,
    /// There is no list.
    NoList,
}

/// What became of a commit after which the CVM runs another hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fall {
    /// It had its effect, and the CVM went back to what it ran before.
    Boot,
    /// It had none.
    Void,
    /// It may still have it.
    Open,
}

impl Fall {
    /// Decides by what the cloud says of the operation and of the token, and by whether it names an error of the boot.
    const fn of(own: Own, status: TokenStatus, has_boot_error: bool) -> Self {
        match (own, status) {
            (Own::UnderWay, _) => Self::Open,
            (Own::Over | Own::Failed, _) | (_, TokenStatus::Used) => Self::Boot,
            (Own::NoList, TokenStatus::Unknown) if has_boot_error => Self::Boot,
            (Own::Unlisted | Own::NoList, TokenStatus::Live | TokenStatus::Dead | TokenStatus::Unknown) => Self::Void,
        }
    }
}

impl Run<'_> {
    /// The CVM whose hash tells: the one that was made, or the one that changed.
    fn watched(&self) -> Result<CvmId, UpgradeError> {
        match &self.upgrade.state().commit.made {
            Some(made) => Ok(made.parse()?),
            None => self.cvm(),
        }
    }

    /// What became of the operation that the answer to the commit named.
    async fn own_operation(&self) -> Result<Own, UpgradeError> {
        let Some(id) = self.upgrade.status().facts.correlation_id else {
            return Ok(Own::Unlisted);
        };
        let query = OperationsQuery {
            limit: Some(LATEST),
            ..OperationsQuery::default()
        };
        let list = match self.cloud.operations(&self.watched()?, &query).await {
            Ok(list) => list.items,
            Err(error @ (CloudError::Http(_) | CloudError::Identity { .. })) => return Err(error.into()),
            Err(_) => return Ok(Own::NoList),
        };
        let named = list.iter().find(|one| one.correlation_id.as_ref() == Some(&id));
        Ok(match named.map(|one| one.status.as_deref()) {
            None => Own::Unlisted,
            Some(Some("completed")) => Own::Over,
            Some(Some("failed" | "cancelled")) => Own::Failed,
            Some(_) => Own::UnderWay,
        })
    }

    /// Records that the hash was reported, and looks a second time. Where an operation of this upgrade's own came before, the
    /// commit token is of no use any more.
    pub(in crate::upgrade) async fn confirm(&mut self) -> Result<(), UpgradeError> {
        if self.upgrade.state().commit.confirmed.is_some() {
            return Ok(());
        }
        let again = match self.stands_after_own_operation().await {
            Ok(again) => again,
            // It was seen once, and a later run looks again.
            Err(error) => {
                tracing::info!(%error, "no second look");
                false
            }
        };
        if again || self.upgrade.state().commit.done.is_none() {
            let at = Timestamp::now();
            self.record(Event::Done { at, again })?;
        }
        if again {
            self.forget_token()?;
        }
        self.write_evidence()
    }

    async fn stands_after_own_operation(&self) -> Result<bool, UpgradeError> {
        // Two headers have no token whose use would tell.
        let by_headers = self.code()?.confirm && self.upgrade.state().commit.sent;
        let is_used = by_headers
            || self.own_operation().await? == Own::Over
            || match self.token_status().await? {
                TokenStatus::Used | TokenStatus::Dead => true,
                TokenStatus::Live => false,
                // Nobody tells of a new instance's token, and the app has a CVM that it did not have before.
                TokenStatus::Unknown => self.is_listed().await?,
            };
        if !is_used {
            return Ok(false);
        }
        let cvm = self.cloud.cvm(&self.watched()?).await?;
        Ok(self.is_live(&cvm))
    }

    /// Whether the app's list has the CVM that was made.
    async fn is_listed(&self) -> Result<bool, UpgradeError> {
        match &self.upgrade.state().commit.made {
            Some(made) => Ok(uuids(&self.cloud.app_cvms(self.plan()?.app).await?).contains(made)),
            None => Ok(false),
        }
    }

    /// After the end, once more: what Phala Cloud reported then may have been false.
    pub(in crate::upgrade) async fn look_again(&mut self) -> Result<(), UpgradeError> {
        let not_looked = |run: &mut Self, why: &str| {
            let Warning { code, text } = not_seen_again(why);
            run.warn(code, text);
        };
        let cvm = match self.cloud.cvm(&self.watched()?).await {
            Ok(cvm) => cvm,
            Err(CloudError::NotFound(_)) if self.was_made_up().await? => {
                return self.take_back("Phala Cloud does not know the CVM that it said it had made");
            }
            Err(error @ CloudError::Identity { .. }) => return Err(error.into()),
            Err(error) => {
                not_looked(self, &error.to_string());
                return Ok(());
            }
        };
        match (cvm.compose_hash, &cvm.progress) {
            (Some(_), _) if self.has_our_hash(&cvm) == Some(true) => self.confirm().await,
            (Some(_), None) => self.is_another(&cvm).await,
            (Some(_), Some(_)) => {
                not_looked(self, "another operation is under way on the CVM");
                Ok(())
            }
            (None, _) => {
                not_looked(self, "Phala Cloud names no hash");
                Ok(())
            }
        }
    }

    /// Whether a CVM that was said to be made never was: its token is as good as it was.
    pub(in crate::upgrade) async fn was_made_up(&self) -> Result<bool, UpgradeError> {
        Ok(self.upgrade.state().commit.made.is_some() && self.token_status().await? == TokenStatus::Live)
    }

    /// Another hash runs than the one that was reported once: something replaced it since, or it never ran.
    async fn is_another(&mut self, cvm: &Cvm) -> Result<(), UpgradeError> {
        let found = cvm.compose_hash.map(|hash| hash.to_string()).unwrap_or_default();
        let own = self.own_operation().await?;
        let confirmed = self.upgrade.state().commit.confirmed.is_some() && !self.code()?.confirm;
        let ran = (confirmed && own != Own::Unlisted)
            || matches!(own, Own::Over | Own::Failed)
            || self.token_status().await? == TokenStatus::Used;
        if ran {
            self.warn(
                Code::CvmRunsAnother,
                format!("the CVM runs {found} now: something replaced what this upgrade made it run"),
            );
            return Ok(());
        }
        // What is needed to commit went with the second look, and to make it again is another upgrade.
        if confirmed {
            return Err(UpgradeError::decide(
                Code::CvmRunsAnother,
                format!(
                    "the CVM runs {found} now, and none of its latest operations is this upgrade's: either something replaced \
                     what it made the CVM run, or Phala Cloud said what was not so; prepare the change anew to make it again"
                ),
            ));
        }
        let before = self.plan()?.current_hash();
        self.take_back(&format!(
            "Phala Cloud reported the hash once, and now it reports {found}"
        ))?;
        if before.is_some() && before != cvm.compose_hash {
            return Err(UpgradeError::decide(
                Code::CvmRunsAnother,
                format!(
                    "the CVM runs {found}, which is neither what this upgrade gives it nor what it ran before; nothing was \
                     committed"
                ),
            ));
        }
        Ok(())
    }

    /// Records that what was said came to nothing. The commit is still to be made, with the token that is still here.
    pub(in crate::upgrade) fn take_back(&mut self, why: &str) -> Result<(), UpgradeError> {
        self.record(Event::CommitVoid { why: why.to_owned() })?;
        self.write_evidence()?;
        self.tell(&format!("{why}: the commit is still to be made"));
        Ok(())
    }

    /// The CVM rests on another hash than the one that was reported, or committed. `None`: it may still come.
    pub(in crate::upgrade) async fn fallen_back(
        &mut self,
        is_patience_over: bool,
    ) -> Result<Option<Outcome>, UpgradeError> {
        if self.upgrade.state().commit.was_found() {
            return self
                .was_false("Phala Cloud reported the hash, and then another one")
                .map(Some);
        }
        let boot_error = self.boot_error().await;
        let (own, status) = (self.own_operation().await?, self.token_status().await?);
        let is_told = matches!((own, status), (Own::Failed, _) | (Own::Unlisted, TokenStatus::Live));
        if !is_told && !is_patience_over {
            return Ok(None);
        }
        match Fall::of(own, status, boot_error.is_some()) {
            Fall::Boot => Err(self.boot_failed(boot_error)),
            Fall::Void => Err(self.no_effect()?),
            Fall::Open => Ok(None),
        }
    }

    /// What was found by reading, and was not so. The first time in a run it goes on at once.
    fn was_false(&mut self, why: &str) -> Result<Outcome, UpgradeError> {
        self.take_back(why)?;
        if !std::mem::replace(&mut self.took_back, true) {
            return Ok(Outcome::Reached);
        }
        Err(UpgradeError::Later {
            code: Code::CommitWithoutEffect,
            message: "Phala Cloud contradicts itself about the hash that the CVM runs; nothing was committed"
                .to_owned(),
            source: None,
        })
    }

    /// An accepted commit that nothing came of.
    pub(in crate::upgrade) fn no_effect(&mut self) -> Result<UpgradeError, UpgradeError> {
        self.take_back("Phala Cloud accepted the commit, and nothing came of it")?;
        Ok(UpgradeError::Later {
            code: Code::CommitWithoutEffect,
            message: "Phala Cloud said that it accepted the commit, and shows no sign of it; the approval and what the commit \
                      needs are still here"
                .to_owned(),
            source: None,
        })
    }

    async fn boot_error(&self) -> Option<String> {
        let state = self.cloud.state(&self.watched().ok()?).await.ok()?;
        state.boot_error.filter(|error| !error.trim().is_empty())
    }

    fn boot_failed(&self, why: Option<String>) -> UpgradeError {
        let why = why.map_or_else(String::new, |error| format!(": {}", escape(&error)));
        let id = self.upgrade.status().facts.correlation_id;
        let id = id.map_or_else(String::new, |id| format!(" (operation {id})"));
        UpgradeError::Failed {
            code: Code::BootFailed,
            message: format!("the commit was accepted, but the CVM is back on its old compose hash{why}{id}"),
        }
    }

    pub(in crate::upgrade) fn is_live(&self, cvm: &Cvm) -> bool {
        self.has_our_hash(cvm) == Some(true) && is_running(cvm) && cvm.progress.is_none()
    }
}

impl State {
    /// Looks once more at what Phala Cloud reported in the end, and tells what it reports now where that is something else.
    /// One `GET` of the CVM, of a few seconds at most; writes nothing.
    pub async fn look_again(&self, cloud: &Client) -> Option<Warning> {
        let code = self.code().filter(|_| self.commit.done.is_some())?;
        if code.cloud != cloud.host() {
            return None;
        }
        let name = self.commit.made.as_ref().unwrap_or(&code.cvm).parse().ok()?;
        let (hash, _) = self.verified()?;
        let told = match cloud.until(Instant::now()).cvm(&name).await {
            Ok(cvm) => match cvm.compose_hash {
                Some(found) if found == *hash => return None,
                Some(found) => Warning {
                    code: Code::CvmRunsAnother,
                    text: format!("the CVM runs {found} now, as Phala Cloud says, and not {hash}"),
                },
                None => not_seen_again("Phala Cloud names no hash"),
            },
            Err(error) => not_seen_again(&error.to_string()),
        };
        Some(told)
    }
}

fn not_seen_again(why: &str) -> Warning {
    Warning {
        code: Code::LiveNotSeenAgain,
        text: format!("whether the CVM runs the hash was not seen again: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_whose_operation_and_token_nobody_has_seen_used_had_no_effect() {
        for status in [TokenStatus::Live, TokenStatus::Unknown] {
            assert_eq!(Fall::of(Own::Unlisted, status, true), Fall::Void);
            assert_eq!(Fall::of(Own::NoList, status, false), Fall::Void);
            assert_eq!(Fall::of(Own::Failed, status, false), Fall::Boot);
            assert_eq!(Fall::of(Own::Over, status, false), Fall::Boot);
            assert_eq!(Fall::of(Own::UnderWay, status, false), Fall::Open);
        }
        assert_eq!(Fall::of(Own::NoList, TokenStatus::Unknown, true), Fall::Boot);
        assert_eq!(Fall::of(Own::Unlisted, TokenStatus::Used, false), Fall::Boot);
    }
}
