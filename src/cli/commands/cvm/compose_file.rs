//! `compose-file`: the whole manifest, provisioned first and committed by its hash.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::go_on::GoOn;
use super::order::{Order, Terms, sealed};
use super::patch::names;
use crate::cli::args::values;
use crate::cli::failure::error::CliError;
use crate::cli::failure::{Next, told};
use crate::cli::session::Session;
use crate::cli::session::files::check_text;
use crate::cli::show::report::Report;
use crate::cloud::{
    compose_file::{CommitCompose, ProvisionedCompose},
    patch::Patch,
};
use crate::code::Code;
use crate::compose::{Changes, ComposeHash, MAX_MANIFEST_BYTES, Manifest};
use crate::env::EnvName;
use crate::fsutil;
use crate::text::option;
use crate::upgrade::steps::check_sent;

/// Change the whole manifest: provision it (nothing changes yet), then commit its hash
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:\n  countersign cvm compose-file my-app app-compose.json --yes\n  \
    countersign cvm compose-file my-app --commit 0x1234... --yes"
)]
pub(super) struct ComposeFile {
    #[command(flatten)]
    terms: Terms,
    /// Manifest to provision: an app-compose.json
    #[arg(value_name = "FILE", required_unless_present = "commit")]
    file: Option<PathBuf>,
    /// Commit the manifest that was provisioned with this hash
    #[arg(long, value_name = "HASH", value_parser = values::compose_hash)]
    commit: Option<ComposeHash>,
    /// File with the sealed environment, hex
    #[arg(long, value_name = "FILE", requires = "commit")]
    encrypted_env: Option<PathBuf>,
    /// Environment variable that the guest may receive; repeat it, the order counts
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "commit")]
    allowed_env: Option<Vec<EnvName>>,
    /// Whether the names of variables replace the ones in force
    #[arg(long, value_name = "BOOL")]
    update_env_vars: Option<bool>,
    #[command(flatten)]
    on: GoOn,
}

impl ComposeFile {
    pub(super) async fn run(mut self, session: &Session) -> Result<Report, CliError> {
        let word = self.file.take_if(|_| self.commit.is_some());
        self.terms = self.terms.or_word(word.as_deref())?;
        let order = self.terms.order(session, "cvm compose-file")?;
        match (self.commit, &self.file) {
            (Some(hash), _) => self.commit(&order, hash).await,
            (None, Some(file)) => self.provision(&order, file).await,
            (None, None) => self.provision(&order, Path::new("")).await,
        }
    }

    async fn commit(&self, order: &Order<'_>, hash: ComposeHash) -> Result<Report, CliError> {
        let commit = CommitCompose {
            hash,
            encrypted_env: self.encrypted_env.as_deref().map(sealed).transpose()?,
            env_keys: names(self.allowed_env.as_deref()),
            update_env_vars: self.update_env_vars,
        };
        let names = self.allowed_env.as_deref().unwrap_or_default();
        let sealed = commit.encrypted_env.as_ref().map(|_| names);
        order.check_unseen(sealed).await?;
        let facts = [("compose hash", hash.to_string())];
        order.ask("Commit the provisioned manifest? The CVM restarts.", &facts)?;
        let since = order.before().await?.running(Some(hash));
        let accepted = order.api.cloud.commit_compose_file(&order.id, &commit).await?;
        order.with_operation("the commit was taken", &accepted, since).await
    }

    async fn provision(&self, order: &Order<'_>, file: &Path) -> Result<Report, CliError> {
        if order.waiting.wait && self.on.dir.is_none() {
            return Err(CliError::Usage {
                code: Code::UsageNothingToWaitFor,
                message: "provisioning a manifest changes nothing, so there is nothing to wait for".to_owned(),
                hint: "leave --wait out here, and give it with --commit".to_owned(),
                next: Next::Command("--help"),
            });
        }
        let manifest = read(file)?;
        check_sent(&manifest, None, &order.api.settings.limits.accepted)?;
        order.ask(
            "Provision this manifest? Nothing changes until its hash is committed.",
            &[],
        )?;
        let cloud = &order.api.cloud;
        let made = cloud
            .provision_compose_file(&order.id, &manifest, self.update_env_vars)
            .await?;
        let needs_owner = made.kms.is_onchain() && made.registered != Some(true);
        if needs_owner && self.on.dir.is_some() {
            let changes = changes(&cloud.manifest(&order.id).await?, &manifest)?;
            let patch = Patch {
                changes,
                ..Patch::default()
            };
            return order.as_upgrade(order.intent(patch, None)?, &self.on).await;
        }
        Ok(told_of(order, &made, needs_owner))
    }
}

fn told_of(order: &Order<'_>, made: &ProvisionedCompose, needs_owner: bool) -> Report {
    let mut report = order.taken("the manifest is provisioned; nothing has changed yet");
    report.facts.upgrade.compose_hash = Some(made.compose_hash);
    report.facts.upgrade.app = made.app_id;
    report.facts.upgrade.chain_id = made.kms.chain_id;
    report.page.facts(&[
        ("compose hash", Some(made.compose_hash.to_string())),
        (
            "allowed",
            made.registered
                .map(|allowed| if allowed { "yes" } else { "no" }.to_owned()),
        ),
    ]);
    if needs_owner {
        report.hint = Some(
            "the app's owner has to allow that hash before it is committed; with --dir DIR the change goes on as an upgrade"
                .to_owned(),
        );
    }
    let cvm = option("--cvm", &order.id.to_string());
    let hash = made.compose_hash;
    report.next = Some(format!("countersign cvm compose-file --commit {hash} {cvm}"));
    report.data = Some(json!(made));
    report
}

fn read(file: &Path) -> Result<Manifest, CliError> {
    let max = u64::try_from(MAX_MANIFEST_BYTES).unwrap_or(u64::MAX);
    let bytes = fsutil::read(file, max).map_err(CliError::UserFile)?;
    let manifest = Manifest::parse(&bytes).map_err(|error| CliError::Input {
        code: Code::InputManifest,
        message: format!("`{}` is no manifest: {}", file.display(), told(&error)),
        hint: "give the app-compose.json of a CVM: one JSON object, every name in it once".to_owned(),
    })?;
    if let Some(text) = manifest.compose_text() {
        check_text(text, file)?;
    }
    Ok(manifest)
}

/// What an upgrade has to change to come from one manifest to another: it changes some fields only.
fn changes(live: &Manifest, wanted: &Manifest) -> Result<Changes, CliError> {
    let changed: Vec<String> = live.diff(wanted).into_iter().map(|change| change.field).collect();
    let value = |name: &str| wanted.get(name).filter(|_| changed.iter().any(|field| field == name));
    let text = |name: &str| value(name).and_then(|value| value.as_str()).map(ToOwned::to_owned);
    let flag = |name: &str| value(name).and_then(serde_json::Value::as_bool);
    let names = value("allowed_envs").and_then(|value| serde_json::from_value(value.clone()).ok());
    let changes = Changes {
        docker_compose_file: text("docker_compose_file"),
        pre_launch_script: text("pre_launch_script"),
        allowed_envs: names,
        public_logs: flag("public_logs"),
        public_sysinfo: flag("public_sysinfo"),
        public_tcbinfo: flag("public_tcbinfo"),
    };
    let left: Vec<String> = live
        .with(&changes)
        .diff(wanted)
        .into_iter()
        .map(|change| change.field)
        .collect();
    if left.is_empty() {
        return Ok(changes);
    }
    Err(CliError::Usage {
        code: Code::UsageManifestUpgrade,
        message: format!(
            "an upgrade cannot change these fields of the manifest: {}",
            left.join(", ")
        ),
        hint: "have the owner allow the hash that was provisioned, then commit it with --commit".to_owned(),
        next: Next::Command("--help"),
    })
}
