//! `rollback`: back to something that the app allows already.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::act::advance::advance;
use crate::cli::act::begin::{Beginning, begin};
use crate::cli::args::attesting::Attesting;
use crate::cli::args::{
    Agree, Allow, Dir, Expect, NewDir, Notices, Reach, Settle, SharedOptions, Watch, Which, Workload, values,
};
use crate::cli::failure::error::CliError;
use crate::cli::session::settings::workload;
use crate::cli::session::settings::{self, Project, ROOT};
use crate::cli::session::{Outside, Session};
use crate::cli::show::report::Report;
use crate::cloud::CvmId;
use crate::code::Code;
use crate::compose::Manifest;
use crate::evidence::{self, Evidence};
use crate::fsutil;
use crate::upgrade::model::{EnvRequest, Expected, Intent};
use crate::upgrade::rollback::{Earlier, OwnRollback, Question, Version, Versions, own_rollback, versions};
use crate::upgrade::{Goal, UpgradeError, Warning};

/// Put a CVM back to something that the app allows already
///
/// The manifest is that of Phala Cloud's own history, of evidence below .countersign, or of a file; it counts only if its hash
/// is the one to go back to. The contracts are asked whether the app allows that hash now and whether the KMS would let it
/// boot. Then it is an upgrade like any other: prepared, recomputed, shown, committed with the proof, watched and recorded;
/// only that nobody has to approve it again. The values of the environment stay as they are unless others are given.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign rollback my-app --list\n  countersign rollback my-app\n  \
    countersign rollback my-app --to 0x1234... --yes"
)]
pub(in crate::cli) struct Rollback {
    /// CVM: name, UUID, app id or instance id [default: what phala.toml names]
    #[arg(value_name = "CVM", value_parser = values::cvm, conflicts_with = "named")]
    cvm: Option<CvmId>,
    /// CVM, as in other commands
    #[arg(long = "cvm", id = "named", value_name = "ID", value_parser = values::cvm)]
    named: Option<CvmId>,
    /// Compose hash or revision to go back to [default: what the CVM ran before]
    #[arg(long, value_name = "HASH|REVISION", value_parser = earlier)]
    to: Option<Earlier>,
    /// File with its manifest: an app-compose.json, or evidence of an upgrade; repeat it
    #[arg(long, value_name = "FILE")]
    manifest: Vec<PathBuf>,
    /// Say what the CVM could be put back to, and what keeps it from each; change nothing
    #[arg(long, conflicts_with_all = ["env", "env_file", "yes", "dir"])]
    list: bool,
    #[command(flatten)]
    workload: Workload,
    #[command(flatten)]
    expect: Expect,
    #[command(flatten)]
    dir: NewDir,
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    notices: Notices,
    #[command(flatten)]
    settle: Settle,
    #[command(flatten)]
    allow: Allow,
    #[command(flatten)]
    agree: Agree,
    #[command(flatten)]
    watch: Watch,
    #[command(flatten)]
    attesting: Attesting,
}

impl Rollback {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let settings = session.settings(self.shared())?;
        let project = Project::here()?;
        let cvm = settings::cvm(self.cvm.as_ref().or(self.named.as_ref()), &project)?.value;
        if let Some(own) = own_rollback(Path::new(ROOT), &cvm).filter(|own| self.means(own))
            && own.goes_on
        {
            return self.go_on(session, own.dir).await;
        }
        let env = workload(&self.workload, &session.env, &|news| session.out.progress(news))?;
        let found = self.find(&session.outside(&settings), &cvm, env.as_ref()).await?;
        if self.list {
            return Ok(listing(&cvm, &found));
        }
        self.refuse_back_and_forth(&cvm, &found)?;
        let chosen = found.choose(self.to.as_ref()).map_err(CliError::from)?;
        let intent = Intent {
            env: env.clone(),
            trust: settings.limits.trust.clone(),
            expected: Expected {
                hash: Some(chosen.compose_hash),
                ..settings::expected(&self.expect, &project)
            },
            ..Intent::new(cvm, found.patch(chosen, env.is_some()))
        };
        let beginning = Beginning {
            intent,
            dir: self.dir.dir.as_deref(),
            goal: Goal::Live,
            command: "rollback",
            remarks: vec![chosen.remark()],
            received: None,
        };
        let mut report = begin(session, &settings, beginning).await?;
        report.set_data("rollback", chosen);
        Ok(report)
    }

    fn shared(&self) -> SharedOptions<'_> {
        SharedOptions {
            reach: Some(&self.reach),
            notices: Some(&self.notices),
            settle: Some(&self.settle),
            allow: Some(&self.allow),
            agree: Some(&self.agree),
            watch: Some(&self.watch),
            attesting: Some(&self.attesting),
            ..SharedOptions::default()
        }
    }

    /// Whether what is asked for is what another run asked for.
    fn means(&self, own: &OwnRollback) -> bool {
        !self.list
            && self.dir.dir.as_ref().is_none_or(|dir| *dir == own.dir)
            && match &self.to {
                None => true,
                Some(Earlier::Hash(hash)) => *hash == own.to,
                Some(Earlier::Revision(_)) => false,
            }
    }

    /// A run that was cut off goes on in its directory: what it was to go back to is chosen once.
    async fn go_on(&self, session: &Session, dir: PathBuf) -> Result<Report, CliError> {
        let which = Which {
            proposal: None,
            dir: Dir {
                dir: Some(dir),
                cvm: None,
            },
        };
        advance(session, &which, self.shared(), Goal::Live).await
    }

    /// What a rollback left is not gone back to unnamed.
    fn refuse_back_and_forth(&self, cvm: &CvmId, found: &Versions) -> Result<(), CliError> {
        let own = own_rollback(Path::new(ROOT), cvm).filter(|own| self.to.is_none() && Some(own.to) == found.runs);
        match own {
            None => Ok(()),
            Some(own) => Err(UpgradeError::decide(
                Code::RollbackNothing,
                format!(
                    "the CVM was put back to {} by `{}` already; what else to go back to is named by --to",
                    own.to,
                    own.dir.display()
                ),
            )
            .into()),
        }
    }

    async fn find(&self, outside: &Outside<'_>, cvm: &CvmId, env: Option<&EnvRequest>) -> Result<Versions, CliError> {
        let files = self.manifest.iter().map(|path| Ok((path.clone(), manifest(path)?)));
        let files = files.collect::<Result<Vec<_>, CliError>>()?;
        let names = match env {
            Some(EnvRequest::Values { file, .. }) => file.names(),
            Some(EnvRequest::Sealed { names, .. }) => names.clone(),
            None => Vec::new(),
        };
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let question = Question {
            cvm,
            to: self.to.as_ref(),
            files: &files,
            env: &names,
        };
        Ok(versions(&outside.world(), &question).await?)
    }
}

/// A hash, or else the name of a revision: what begins as a hash is one.
fn earlier(text: &str) -> Result<Earlier, String> {
    let prefixed = text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("0x"));
    if prefixed || text.len() == 64 {
        return values::compose_hash(text).map(Earlier::Hash);
    }
    let id =
        values::cvm(text).map_err(|_not_a_name| "neither a compose hash (64 hex digits) nor the name of a revision")?;
    Ok(Earlier::Revision(id.to_string()))
}

/// The manifest in a file: one by itself, or the one that evidence holds.
fn manifest(path: &Path) -> Result<Manifest, CliError> {
    let max = u64::try_from(evidence::MAX_BYTES).unwrap_or(u64::MAX);
    let bytes = fsutil::read(path, max).map_err(CliError::UserFile)?;
    let of_evidence = Evidence::parse(&bytes)
        .ok()
        .and_then(|evidence| evidence.code?.manifest);
    let text = of_evidence.map_or(bytes, String::into_bytes);
    Manifest::parse(&text).map_err(|error| CliError::Input {
        code: Code::InputManifest,
        message: format!("`{}` holds no manifest: {error}", path.display()),
        hint: "name the app-compose.json that was measured, or the evidence of the upgrade to it".to_owned(),
    })
}

fn listing(cvm: &CvmId, found: &Versions) -> Report {
    let possible = found.list.iter().filter(|version| version.obstacles.is_empty()).count();
    let mut report = Report::done(
        "rollback",
        format!("{possible} of {} hashes can be gone back to", found.list.len()),
    );
    report.certain = None;
    report.facts.upgrade.cvm = Some(cvm.to_string());
    report.facts.upgrade.app = Some(found.app);
    report.facts.upgrade.chain_id = Some(found.chain_id);
    report.facts.upgrade.compose_hash = found.runs;
    report.page.facts(&[
        ("app", Some(found.app.to_string())),
        ("runs", found.runs.map(|hash| hash.to_string())),
    ]);
    for version in &found.list {
        report.page.line(&row(version));
        let obstacles = version.obstacles.iter();
        report
            .page
            .each(obstacles.map(|Warning { code, text }| format!("{code}: {text}")));
    }
    if found.more > 0 {
        let text = format!(
            "the history names {} more hashes, which were not looked at: name one by --to",
            found.more
        );
        report.warn(Code::HistoryIncomplete, text);
    }
    report.data = Some(json!({
        "app": found.app,
        "runs": found.runs,
        "versions": found.list,
        "not_looked_at": found.more,
    }));
    report
}

fn row(version: &Version) -> String {
    let revision = version.revision.as_ref();
    let word = |value: Option<&String>| value.cloned();
    let words = [
        Some(version.compose_hash.to_string()),
        revision.map(|revision| format!("revision {}", revision.id)),
        word(revision.and_then(|revision| revision.created_at.as_ref())),
        word(revision.and_then(|revision| revision.by.as_ref())).map(|by| format!("by {by}")),
        (!version.of_this_cvm).then(|| "not of this CVM".to_owned()),
        Some(
            if version.obstacles.is_empty() {
                "possible"
            } else {
                "not possible"
            }
            .to_owned(),
        ),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join("  ")
}
