//! Prepare and verify: the answer is on disk before it is read, and the hash is recomputed before anybody sees it.

use alloy::primitives::B256;
use jiff::{SignedDuration, Timestamp};

use crate::cloud::{
    CloudError,
    updates::{CommitToken, Prepared, RawAnswer},
};
use crate::code::Code;
use crate::compose::{ComposeHash, Verification};
use crate::fsutil::{self, point};
use crate::http::{Kind, Sent};
use crate::upgrade::{
    Origin, Outcome, UpgradeError,
    files::{TOKEN_FILE, digest_of},
    model::actor::token_life,
    model::target::Request,
    model::{Plan, Proposal},
    record::event::{Event, Preparation},
    run::{Run, not_stored},
    steps::new_cvm::FirstPhase,
};

/// The answer's bytes, as they came (private).
pub(in crate::upgrade) const ANSWER_FILE: &str = "prepare.raw";
/// Without the server's clock its answer may be this much older than it seems.
const CLOCK_DOUBT: SignedDuration = SignedDuration::from_hours(1);
/// Clocks that differ by more are worth a word.
const SKEW_WARNING: SignedDuration = SignedDuration::from_mins(5);
/// First wait while another operation holds the CVM; doubles.
const BUSY_WAIT: std::time::Duration = std::time::Duration::from_millis(500);
const BUSY_WAIT_MAX: std::time::Duration = std::time::Duration::from_secs(8);
/// A UUID's text and some white space.
const TOKEN_MAX: u64 = 256;

impl Run<'_> {
    /// Asks the cloud for hash and token.
    pub(in crate::upgrade) async fn prepare(&mut self) -> Result<Outcome, UpgradeError> {
        let plan = self.plan()?;
        if self.upgrade.state().prepare.outdated {
            self.refuse_to_supersede("the environment has other values than what was prepared")
                .await?;
            self.tell(
                "the environment has other values than what was prepared: preparing again with the new ones. The compose \
                 hash and every approval stay; the earlier commit token of this upgrade ends",
            );
        }
        let request = self.request(&self.code()?)?;
        self.refuse_made_unseen().await?;
        let there = self.there().await?;
        self.may_begin("preparing")?;
        point("prepare.a");
        self.record(Event::PrepareTry {
            at: Timestamp::now(),
            digest: B256::from(request.digest()),
            there,
        })?;
        point("prepare.b");
        let raw = self.send_prepare(&request).await.map_err(unheard)?;
        point("prepare.d");
        let read = FirstPhase::read(&raw, self.makes_new()?);
        let prepared = match read.map_err(|error| unheard(error.into()))? {
            FirstPhase::Prepared(prepared) => *prepared,
            FirstPhase::AtOnce(made) => return Err(self.end_at_once(made)?),
        };
        self.compare(&plan, &prepared)?;
        if self.upgrade.state().verified().is_none() {
            self.examine(&plan, prepared.compose_hash).await?;
        }
        self.refuse_foreign_links(&prepared)?;
        let fact = format!("Phala Cloud prepared {}", prepared.compose_hash);
        let token_sha256 = self
            .keep_token(prepared.commit_token.as_ref())
            .map_err(|error| not_stored(&fact, error))?;
        self.warn_of_skew(raw.date);
        // By the server's clock where it told.
        let at = raw.date.unwrap_or_else(Timestamp::now);
        let doubt = if raw.date.is_some() {
            SignedDuration::ZERO
        } else {
            CLOCK_DOUBT
        };
        let outcome = Event::PrepareOk(Preparation {
            hash: prepared.compose_hash,
            token_sha256,
            at,
            expires: at.saturating_add(token_life() - doubt).unwrap_or(at),
            request_id: prepared.request_id.clone(),
            adopted: false,
        });
        self.record_outcome(outcome, &fact)?;
        point("prepare.e");
        self.tell(&format!("prepared {}", prepared.compose_hash));
        Ok(Outcome::Reached)
    }

    /// Tokens die by the server's clock, and this machine's decides when that is.
    fn warn_of_skew(&self, server: Option<Timestamp>) {
        let skew = server.map_or(SignedDuration::ZERO, |server| Timestamp::now().duration_since(server));
        if skew.abs() > SKEW_WARNING {
            self.tell(&format!(
                "this machine's clock and Phala Cloud's differ by {skew:#}: when a commit token expires is misjudged by as much"
            ));
        }
    }

    /// Sends the request, waits while another operation holds the CVM, and stores a 465 before it is read.
    async fn send_prepare(&self, request: &Request) -> Result<RawAnswer, UpgradeError> {
        let mut wait = BUSY_WAIT;
        let is_new = self.makes_new()?;
        loop {
            let raw = self.send_request(request).await?;
            if raw.status == 465 {
                fsutil::write(&self.upgrade.dir().join(ANSWER_FILE), &raw.bytes, 0o600)
                    .map_err(|error| not_stored("Phala Cloud prepared an update", error))?;
            }
            match FirstPhase::read(&raw, is_new) {
                Err(CloudError::Busy(problem)) => {
                    self.tell(&format!(
                        "another operation is in progress on the CVM; trying again ({})",
                        problem.message
                    ));
                    if !self.sleep(wait).await {
                        return Err(CloudError::Busy(problem).into());
                    }
                    wait = (wait * 2).min(BUSY_WAIT_MAX);
                }
                _ => return Ok(raw),
            }
        }
    }

    /// What the answer says of app, chain, KMS and device must be what the plan read.
    fn compare(&self, plan: &Plan, prepared: &Prepared) -> Result<(), UpgradeError> {
        if let Some(app) = prepared.app_id.filter(|app| *app != plan.app) {
            return Err(UpgradeError::stop(
                Code::AppMismatch,
                "app of the prepared update",
                plan.app,
                app,
            ));
        }
        if let Some(chain_id) = prepared.kms.chain_id.filter(|chain_id| *chain_id != plan.chain_id) {
            return Err(UpgradeError::stop(
                Code::ChainMismatch,
                "chain of the prepared update",
                plan.chain_id,
                chain_id,
            ));
        }
        if let (Some(expected), Some(found)) = (plan.kms, prepared.kms.kms_contract)
            && expected != found
        {
            return Err(UpgradeError::stop(
                Code::KmsMismatch,
                "KMS contract of the prepared update",
                expected,
                found,
            ));
        }
        if let (Some(expected), Some(found)) = (self.code()?.device, prepared.device_id)
            && expected != found
        {
            return Err(UpgradeError::stop(
                Code::DeviceMismatch,
                "device of the prepared update",
                expected,
                found,
            ));
        }
        if let Some((verified, _)) = self.upgrade.state().verified()
            && *verified != prepared.compose_hash
        {
            return Err(UpgradeError::stop(
                Code::HashChanged,
                "compose hash of the same change",
                verified,
                prepared.compose_hash,
            ));
        }
        Ok(())
    }

    /// The links are never followed, wherever they lead; but an honest API names none of a stranger's.
    fn refuse_foreign_links(&self, prepared: &Prepared) -> Result<(), UpgradeError> {
        let home = self.cloud.host();
        match prepared.commit_hosts.iter().find(|host| !is_home(host, &home)) {
            Some(host) => Err(UpgradeError::stop(
                Code::CommitHostMismatch,
                "host of the commit link",
                home,
                host,
            )),
            None => Ok(()),
        }
    }

    fn keep_token(&self, token: Option<&CommitToken>) -> Result<Option<B256>, UpgradeError> {
        let Some(token) = token else { return Ok(None) };
        fsutil::write(&self.upgrade.dir().join(TOKEN_FILE), token.expose().as_bytes(), 0o600)?;
        Ok(Some(digest_of(token)))
    }

    /// The commit token that belongs to the current preparation, if it is still here.
    pub(in crate::upgrade) fn token(&self) -> Result<Option<CommitToken>, UpgradeError> {
        let Some(expected) = self
            .upgrade
            .state()
            .prepare
            .answer
            .as_ref()
            .and_then(|prepared| prepared.token_sha256)
        else {
            return Ok(None);
        };
        let path = self.upgrade.dir().join(TOKEN_FILE);
        let bytes = match fsutil::read_own_secret(&path, TOKEN_MAX) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let token = std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| CommitToken::new(text.trim()).ok());
        match token {
            Some(token) if digest_of(&token) == expected => Ok(Some(token)),
            _ => Err(UpgradeError::stop(
                Code::TokenChanged,
                "SHA-256 of the commit token",
                expected,
                "another token",
            )),
        }
    }

    /// Removes what only commit needed.
    pub(in crate::upgrade) fn forget_token(&self) -> Result<(), UpgradeError> {
        fsutil::remove(&self.upgrade.dir().join(TOKEN_FILE))?;
        fsutil::remove(&self.upgrade.dir().join(ANSWER_FILE))?;
        if let Some(sealed) = self.upgrade.sealed_file() {
            fsutil::remove(&sealed)?;
        }
        Ok(())
    }

    /// Recomputes the hash from the CVM's manifest and the local changes.
    pub(in crate::upgrade) async fn verify(&mut self) -> Result<Outcome, UpgradeError> {
        let plan = self.plan()?;
        let Some(claimed) = self
            .upgrade
            .state()
            .prepare
            .answer
            .as_ref()
            .map(|prepared| prepared.hash)
        else {
            return Ok(Outcome::Reached);
        };
        let how = self.examine(&plan, claimed).await?;
        self.record(Event::Verified { hash: claimed, how })?;
        point("export.a");
        self.upgrade.write_proposal()?;
        point("export.e");
        Ok(Outcome::Reached)
    }

    /// Recomputes the hash; one that the local files do not give stops everything, and is never taken as prepared.
    async fn examine(&mut self, plan: &Plan, claimed: ComposeHash) -> Result<Verification, UpgradeError> {
        let code = self.code()?;
        let how = code.recompute(claimed);
        match how {
            Verification::Mismatch { computed, explanation } => {
                let mut details: Vec<String> = explanation.into_iter().collect();
                details.extend(self.explain_by_preview(plan, claimed).await);
                self.note(format!("refused {claimed}: the local files give {computed}"))?;
                Err(UpgradeError::hash_mismatch(Origin::Cloud, computed, claimed, details))
            }
            Verification::Uncomputable
                if !self
                    .limits
                    .accepted
                    .covers(Code::HashUnverifiable, Some(&claimed.to_string())) =>
            {
                Err(UpgradeError::decide(
                    Code::HashUnverifiable,
                    format!("{claimed} cannot be recomputed from local files"),
                ))
            }
            Verification::Uncomputable | Verification::Verified { .. } => Ok(how),
        }
    }

    /// Recomputes, where it is relied on, what the journal says was verified.
    pub(in crate::upgrade) fn verify_again(&self) -> Result<(), UpgradeError> {
        if !self.upgrade.state().batch.others.is_empty()
            && let Some(proposal) = Proposal::of(self.upgrade.state())
        {
            proposal.check_others()?;
        }
        let (Some(code), Some((claimed, how))) = (self.upgrade.state().code(), self.upgrade.state().verified()) else {
            return Ok(());
        };
        let again = code.recompute(*claimed);
        match again {
            Verification::Uncomputable if *how != Verification::Uncomputable => Err(UpgradeError::stop(
                Code::HashUnverifiable,
                "how the compose hash was checked",
                "recomputed, as the journal says",
                "it cannot be recomputed from what the journal holds",
            )),
            Verification::Mismatch { computed, explanation } => Err(UpgradeError::hash_mismatch(
                Origin::Journal,
                computed,
                *claimed,
                explanation.into_iter().collect(),
            )),
            Verification::Uncomputable | Verification::Verified { .. } => Ok(()),
        }
    }

    /// Which text the server holds for the pending update, where it differs from ours.
    async fn explain_by_preview(&self, plan: &Plan, claimed: ComposeHash) -> Vec<String> {
        let Some((code, uuid)) = plan
            .code
            .as_ref()
            .and_then(|code| Some((code, code.cvm_uuid.as_ref()?)))
        else {
            return Vec::new();
        };
        let Ok(preview) = self.cloud.preview(plan.app, uuid, claimed).await else {
            return Vec::new();
        };
        let after = code.manifest_after();
        let text = |field: &str| after.get(field).and_then(|value| value.as_str()).map(ToOwned::to_owned);
        [
            ("docker_compose_file", preview.pending_docker_compose),
            ("pre_launch_script", preview.pending_pre_launch_script),
        ]
        .into_iter()
        .filter(|(field, pending)| pending.is_some() && *pending != text(field))
        .map(|(field, _)| format!("the pending update holds another {field} than your files give"))
        .collect()
    }
}

/// Preparing has no lasting effect: when it is not known whether it happened, doing it again settles it.
fn unheard(error: UpgradeError) -> UpgradeError {
    match error {
        UpgradeError::Cloud(cloud) if is_lost(&cloud) => UpgradeError::Later {
            code: Code::PrepareUnheard,
            message: "no usable answer came to prepare; preparing again replaces what it may have made".to_owned(),
            source: Some(Box::new(cloud)),
        },
        other => other,
    }
}

fn is_lost(error: &CloudError) -> bool {
    match error {
        CloudError::Http(http) => http.sent == Sent::Maybe && !matches!(http.kind, Kind::Tls | Kind::Redirect { .. }),
        CloudError::Unexpected { .. } => true,
        _ => false,
    }
}

/// Commit links may name the API's own host or Phala's dashboard; they are never followed.
fn is_home(host: &str, home: &str) -> bool {
    let family = |name: &str| {
        ["phala.com", "phala.network"]
            .iter()
            .any(|zone| name == *zone || name.ends_with(&format!(".{zone}")))
    };
    let here = |name: &str| name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    host == home || family(host) || (here(host) && here(home))
}
