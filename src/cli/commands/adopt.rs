//! `adopt`: an update that somebody else prepared, taken on as an upgrade.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::act::begin::{Beginning, begin};
use crate::cli::args::values::SecretSource;
use crate::cli::args::{Agree, Allow, Expect, Governor, Multisig, NewDir, Notices, Reach, SharedOptions, values};
use crate::cli::failure::error::CliError;
use crate::cli::session::files::{compose_file, text_file, token_file};
use crate::cli::session::settings::{self, Project, ROOT};
use crate::cli::session::{Outside, Session, delivery};
use crate::cli::show::report::Report;
use crate::cloud::{CvmId, patch::Patch, updates::CommitToken};
use crate::code::Code;
use crate::compose::{Changes, ComposeHash};
use crate::env::EnvName;
use crate::fsutil;
use crate::upgrade::adoption::{self, Question, Received, WaitingUpdate};
use crate::upgrade::model::{Expected, Intent};
use crate::upgrade::{Goal, UpgradeError, Warning};
use crate::webhook::{Event, Kind, MAX_BODY_BYTES, PendingApproval};

/// Take on an update that somebody else prepared
///
/// It may have been prepared in the dashboard, or with another tool.
/// Its texts are those that Phala Cloud shows of it, its hash is recomputed from them, and from there on it is an upgrade like
/// any other: the same verdict, proposal, approval, proof and commit. With the commit token that whoever prepared it gave on
/// (--token-file, or a delivery of a webhook), that token commits it; what the token carries out besides the manifest nobody can
/// see, and that has to be agreed to by name. Without one, whoever prepared it commits, or `countersign commit` prepares the
/// same hash again once it is approved; --prepare-again does so now.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign adopt my-app\n  \
    countersign adopt my-app --compose-hash 0x1234... --token-file token\n  \
    countersign adopt my-app --delivery body.json --headers headers.txt --secret-from env:WEBHOOK_SECRET")]
pub(in crate::cli) struct Adopt {
    /// CVM: name, UUID, app id or instance id [default: what phala.toml names]
    #[arg(value_name = "CVM", value_parser = values::cvm, conflicts_with = "named")]
    cvm: Option<CvmId>,
    /// CVM, as in other commands
    #[arg(long = "cvm", id = "named", value_name = "ID", value_parser = values::cvm)]
    named: Option<CvmId>,
    /// Compose hash of the update [default: the only one of the CVM that waits]
    #[arg(long, value_name = "HASH", value_parser = values::compose_hash)]
    compose_hash: Option<ComposeHash>,
    /// File (mode 0600) with its commit token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Body of the webhook's delivery that tells of it, byte for byte (mode 0600: the token stands in it)
    #[arg(long, value_name = "FILE", requires = "headers", conflicts_with = "token_file")]
    delivery: Option<PathBuf>,
    /// Headers of that delivery: a line `Name: value` each, or one JSON object
    #[arg(long, value_name = "FILE", requires = "delivery")]
    headers: Option<PathBuf>,
    /// Where the webhook's secret is: env:NAME, file:PATH or prompt (never the secret itself)
    #[arg(long, value_name = "SOURCE", default_value = "prompt")]
    secret_from: SecretSource,
    /// Prepare the same hash again here: the token of whoever prepared it ends
    #[arg(long, conflicts_with_all = ["token_file", "delivery"])]
    prepare_again: bool,
    /// Docker Compose file that it should have, or has where Phala Cloud does not show it
    #[arg(short, long, value_name = "FILE", help_heading = "What you expect")]
    compose: Option<PathBuf>,
    /// Script that runs before the containers, likewise
    #[arg(long, value_name = "FILE", help_heading = "What you expect")]
    pre_launch_script: Option<PathBuf>,
    /// Environment variable that the guest may receive after it; repeat it, the order counts
    #[arg(long, value_name = "NAME", value_delimiter = ',', help_heading = "What you expect")]
    allowed_env: Option<Vec<EnvName>>,
    #[command(flatten)]
    expect: Expect,
    #[command(flatten)]
    dir: NewDir,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    safe: Multisig,
    #[command(flatten)]
    notices: Notices,
    #[command(flatten)]
    timelock: Governor,
    #[command(flatten)]
    allow: Allow,
    #[command(flatten)]
    agree: Agree,
}

/// What whoever prepared it gave on.
#[derive(Default)]
struct Given {
    token: Option<CommitToken>,
    event: Option<Box<(Event, PendingApproval)>>,
}

impl Adopt {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let mut settings = session.settings(SharedOptions {
            reach: Some(&self.reach),
            safe: Some(&self.safe),
            notices: Some(&self.notices),
            allow: Some(&self.allow),
            agree: Some(&self.agree),
            ..SharedOptions::default()
        })?;
        let project = Project::here()?;
        let cvm = settings::cvm(self.cvm.as_ref().or(self.named.as_ref()), &project)?.value;
        let given = self.given(session)?;
        let expected = self.expected(&given, &project)?;
        let (update, offered) = {
            let outside = session.outside(&settings);
            let update = self.find(&outside, &cvm, expected.hash).await?;
            let offered = match self.prepare_again {
                true => None,
                false => Some(receive(&outside, &cvm, &given.of(&update)).await?),
            };
            (update, offered)
        };
        let (received, told) = offered.unzip();
        let told = told.flatten();
        // Only its own earlier token ends.
        settings.limits.supersede |= self.prepare_again && update.alone;
        let has_token = received.as_ref().is_some_and(|received| received.token.is_some());
        if self.prepare_again {
            self.refuse_taken_on(&cvm, update.hash)?;
        }
        let beginning = Beginning {
            intent: Intent {
                trust: settings.limits.trust.clone(),
                timelock: settings::timelock(&self.timelock),
                ..wanted(cvm, &update, expected)
            },
            dir: self.dir.dir.as_deref(),
            goal: Goal::Prepared,
            command: "adopt",
            remarks: told.iter().cloned().collect(),
            received,
        };
        let mut report = begin(session, &settings, beginning).await?;
        // A directory that is there already keeps what it was begun with.
        if let Some(told) = told.filter(|told| report.warnings.iter().all(|known| known.code != told.code)) {
            report.warn(told.code, told.text);
        }
        if !has_token && !self.prepare_again {
            "the update is taken on; whoever prepared it has the commit token, and commits it once it is approved, or \
             `countersign commit` prepares the same hash again"
                .clone_into(&mut report.message);
        }
        let told = json!({
            "compose_hash": update.hash,
            "token": has_token,
            "prepared_again": self.prepare_again,
            "by": given.by(),
        });
        report.set_data("adopted", &told);
        Ok(report)
    }

    /// What was taken on with what somebody else prepared is not prepared again unseen in the same directory: its token would be
    /// sent all the same.
    fn refuse_taken_on(&self, cvm: &CvmId, hash: ComposeHash) -> Result<(), CliError> {
        let taken = adoption::taken_on(Path::new(ROOT), cvm, hash);
        match taken.filter(|dir| self.dir.dir.as_ref().is_none_or(|own| own == dir)) {
            None => Ok(()),
            Some(dir) => Err(UpgradeError::decide(
                Code::AdoptOwn,
                format!(
                    "`{}` holds this update with what somebody else prepared; name another directory by --dir to prepare the \
                     hash again for yourself",
                    dir.display()
                ),
            )
            .into()),
        }
    }

    /// What was given on, read and believed for its signature.
    fn given(&self, session: &Session) -> Result<Given, CliError> {
        if let Some(file) = &self.token_file {
            let hint = "a commit token is a UUID; write it alone into the file (chmod 600)";
            let token = token_file(file, hint)?;
            return Ok(Given {
                token: Some(token),
                event: None,
            });
        }
        let (Some(body), Some(headers)) = (&self.delivery, &self.headers) else {
            return Ok(Given::default());
        };
        let secret = self.secret_from.read(session)?;
        // The token stands in it.
        let body = fsutil::read_secret(body, MAX_BODY_BYTES as u64).map_err(CliError::UserFile)?;
        let headers = delivery::headers(headers)?;
        let event = delivery::kept(&secret, &headers, &body).map_err(CliError::Webhook)?;
        let Kind::PendingApproval(pending) = event.kind.clone() else {
            return Err(CliError::Input {
                code: Code::InputDelivery,
                message: format!("the delivery tells of `{}`, which is no update that waits", event.name),
                hint: "name a delivery of cvm.update.pending_approval".to_owned(),
            });
        };
        let token = pending.commit_token.as_ref();
        Ok(Given {
            token: token.and_then(|token| CommitToken::new(token.expose()).ok()),
            event: Some(Box::new((event, *pending))),
        })
    }

    /// What has to hold: what the delivery says, and what was typed.
    fn expected(&self, given: &Given, project: &Project) -> Result<Expected, CliError> {
        let typed = settings::expected(&self.expect, project);
        let Some((_, told)) = given.event.as_deref() else {
            return Ok(Expected {
                hash: self.compose_hash,
                ..typed
            });
        };
        let hash = ComposeHash::new(told.compose_hash.0);
        if let Some(wanted) = self.compose_hash.filter(|wanted| *wanted != hash) {
            return Err(UpgradeError::stop(Code::HashMismatch, "compose hash of the delivery", wanted, hash).into());
        }
        if let Some(app) = typed.app.filter(|app| *app != told.app) {
            return Err(UpgradeError::stop(Code::AppMismatch, "app of the delivery", app, told.app).into());
        }
        if let (Some(kms), Some(found)) = (typed.kms, told.kms)
            && kms != found
        {
            return Err(UpgradeError::stop(Code::KmsMismatch, "KMS contract of the delivery", kms, found).into());
        }
        Ok(Expected {
            hash: Some(hash),
            chain_id: told.chain_id,
            device: told.device,
            app: Some(told.app),
            kms: typed.kms.or(told.kms),
            ..typed
        })
    }

    async fn find(
        &self,
        outside: &Outside<'_>,
        cvm: &CvmId,
        hash: Option<ComposeHash>,
    ) -> Result<WaitingUpdate, CliError> {
        let text = |path: &Option<PathBuf>| path.as_deref().map(text_file).transpose();
        let names = self.allowed_env.as_ref();
        let expected = Changes {
            docker_compose_file: self.compose.as_deref().map(compose_file).transpose()?,
            pre_launch_script: text(&self.pre_launch_script)?,
            allowed_envs: names.map(|names| names.iter().map(|name| name.as_str().to_owned()).collect()),
            ..Changes::default()
        };
        let question = Question {
            cvm,
            hash,
            expected: &expected,
        };
        Ok(adoption::waiting(&outside.world(), &question).await?)
    }
}

/// What was given on, without a token that is of no use any more.
async fn receive(
    outside: &Outside<'_>,
    cvm: &CvmId,
    given: &Received,
) -> Result<(Received, Option<Warning>), CliError> {
    let Some(said) = adoption::ask_about(&outside.world(), cvm, given).await? else {
        return Ok((given.clone(), None));
    };
    let dead = said.live == Some(false);
    let received = Received {
        token: given.token.clone().filter(|_| !dead),
        expires: said.expires.unwrap_or(given.expires),
        ..given.clone()
    };
    let text = "the commit token that was given on was used, replaced or has expired: the same hash is prepared again before \
                the commit";
    let unsure = "Phala Cloud does not say whether the commit token that was given on is this update's, and still good: the \
                  commit will tell";
    let told = match (dead, said.live.is_none()) {
        (true, _) => Some((Code::AdoptTokenDead, text)),
        (false, true) => Some((Code::AdoptTokenUnchecked, unsure)),
        (false, false) => None,
    };
    let told = told.map(|(code, text)| Warning {
        code,
        text: text.to_owned(),
    });
    Ok((received, told))
}

/// The change that the update makes, with the hash that it has to give.
fn wanted(cvm: CvmId, update: &WaitingUpdate, expected: Expected) -> Intent {
    let patch = Patch {
        changes: update.changes.clone(),
        ..Patch::default()
    };
    Intent {
        expected: Expected {
            hash: Some(update.hash),
            ..expected
        },
        ..Intent::new(cvm, patch)
    }
}

impl Given {
    /// Who prepared it, as a delivery says.
    fn by(&self) -> Option<&str> {
        self.event.as_deref()?.1.initiated_by.as_deref()
    }

    /// What was given on of an update, as far as whoever gave it says.
    fn of(&self, update: &WaitingUpdate) -> Received {
        let now = Received::now(update.hash, self.token.clone());
        match self.event.as_deref() {
            None => now,
            Some((event, pending)) => Received {
                at: event.signed_at,
                expires: pending.expires_at.unwrap_or(now.expires),
                ..now
            },
        }
    }
}
