//! `envs`: the environment of a CVM, sealed here for a key that the KMS's contract vouches for, or sealed elsewhere.

use std::path::{Path, PathBuf};

use clap::Args;

use super::go_on::{GoOn, Wish};
use super::order::{Order, Terms, sealed};
use super::patch::{Proof, names};
use crate::cli::act::begin::{about_values, send};
use crate::cli::args::Workload;
use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::settings::{self, ROOT};
use crate::cli::show::report::Report;
use crate::cloud::{configure::Envs, patch::Patch};
use crate::code::Code;
use crate::compose::Changes;
use crate::env::EnvName;
use crate::upgrade::{self, model::EnvRequest, steps::ValuesChange};

/// Replace the environment; other values need no approval, other names of variables need one on an on-chain KMS
///
/// With -e or --env the values are sealed here, for a key that the KMS's contract vouches for (on-chain KMS). An environment
/// with the names in force is sent at once; one with other names is a change of the compose hash, and goes on as an
/// upgrade.
#[derive(Debug, Args)]
#[command(
    allow_missing_positional = true,
    after_help = "Examples:\n  countersign cvm envs my-app -e prod.env --wait --yes\n  \
    countersign cvm envs my-app sealed.hex --yes"
)]
pub(super) struct EnvsArgs {
    #[command(flatten)]
    terms: Terms,
    /// File with an environment that was sealed elsewhere, hex
    #[arg(value_name = "FILE", required_unless_present_any = ["env_file", "env"])]
    file: Option<PathBuf>,
    /// Names in a sealed environment; repeat it, the order counts [default: as it is]
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "file", conflicts_with_all = ["env_file", "env"])]
    allowed_env: Option<Vec<EnvName>>,
    #[command(flatten)]
    workload: Workload,
    #[command(flatten)]
    proof: Proof,
    #[command(flatten)]
    on: GoOn,
}

impl EnvsArgs {
    pub(super) async fn run(mut self, session: &Session) -> Result<Report, CliError> {
        let word = self.file.take_if(|_| !self.workload.is_empty());
        self.terms = self.terms.or_word(word.as_deref())?;
        let order = self.terms.order(session, "cvm envs")?;
        match &self.file {
            Some(file) => self.sealed(&order, file).await,
            None => self.values(&order).await,
        }
    }

    async fn sealed(&self, order: &Order<'_>, file: &Path) -> Result<Report, CliError> {
        if self.workload.kms_root_key.is_some() {
            return Err(CliError::Usage {
                code: Code::UsageConflict,
                message: "--kms-root-key is about an environment that is sealed here, and FILE is sealed already"
                    .to_owned(),
                hint: "keep one of the two, and leave the other out".to_owned(),
                next: Next::Without("--kms-root-key"),
            });
        }
        let envs = Envs {
            encrypted_env: sealed(file)?,
            env_keys: names(self.allowed_env.as_deref()),
        };
        let names = self.allowed_env.as_deref().unwrap_or_default();
        order.check(&Changes::default(), Some(names)).await?;
        let mut facts = vec![("file", file.display().to_string())];
        facts.extend(envs.env_keys.as_ref().map(|names| ("variables", names.join(", "))));
        order.ask("Replace the environment? The CVM restarts.", &facts)?;
        let since = order.before().await?.running(self.proof.compose_hash);
        let patched = order
            .api
            .cloud
            .set_envs(&order.id, &envs, self.proof.approved())
            .await?;
        let changes = Changes {
            allowed_envs: envs.env_keys,
            ..Changes::default()
        };
        let words = changes
            .allowed_envs
            .iter()
            .flat_map(|names| ["--allowed-env".to_owned(), names.join(",")]);
        let env = EnvRequest::Sealed {
            blob: envs.encrypted_env,
            names: self.allowed_env.clone().unwrap_or_default(),
        };
        let wish = Wish {
            env: Some(env),
            ..self.on.wish(changes.clone(), words.collect::<Vec<_>>(), since)
        };
        let required = matches!(patched, crate::cloud::updates::Patched::HashRequired(_)) && self.on.dir.is_none();
        let mut report = order.with_phases("the environment was taken", patched, wish).await?;
        if required {
            report.hint = Some(
                "with --dir DIR the change goes on as an upgrade that carries these bytes; or have the names approved and \
                 give the same command with --compose-hash and --transaction-hash"
                    .to_owned(),
            );
        }
        Ok(report)
    }

    async fn values(&self, order: &Order<'_>) -> Result<Report, CliError> {
        if self.proof.approved().is_some() {
            return Err(CliError::Usage {
                code: Code::UsageSecondPhase,
                message: "an upgrade seals and sends these values itself".to_owned(),
                hint: "leave --compose-hash out, and go on with the upgrade".to_owned(),
                next: Next::Command("--help"),
            });
        }
        let session = order.session();
        let env = settings::workload(&self.workload, &session.env, &|news| session.out.progress(news))?;
        let mut settings = self.on.settings(order)?;
        settings.limits.no_wait = !order.waiting.wait;
        let intent = order.intent(Patch::default(), env)?;
        let outside = session.outside(&settings);
        let world = outside.world();
        let mut plan = upgrade::plan(&world, &intent).await?;
        upgrade::steps::recognise_kms(&mut plan, Path::new(ROOT));
        if let Some(values) = ValuesChange::find(&plan, None, Path::new(ROOT))? {
            return send(&world, &settings, values, about_values(&plan, "cvm envs")).await;
        }
        if self.on.dir.is_some() {
            return order.as_upgrade(intent, &self.on).await;
        }
        let expected = plan.code.as_ref().and_then(|code| code.expected_hash);
        let hash = expected.map_or_else(|| "another compose hash".to_owned(), |hash| hash.to_string());
        let mut report = order.needs_approval(&hash);
        report.next = Some(order.prepare_command(Some(&self.words())));
        report.warnings.clone_from(&plan.warnings);
        report.facts.upgrade.compose_hash = expected;
        report.facts.upgrade.app = Some(plan.app);
        report.facts.upgrade.chain_id = Some(plan.chain_id);
        Ok(report)
    }

    /// The options of `prepare` that ask for the same.
    fn words(&self) -> Vec<String> {
        let files = self
            .workload
            .env_file
            .iter()
            .map(|path| ("--env-file", path.display().to_string()));
        let names = self.workload.env.iter().map(|name| ("--env", name.to_string()));
        let root = self
            .workload
            .kms_root_key
            .map(|root| ("--kms-root-key", root.to_string()));
        let all = files.chain(names).chain(root);
        all.flat_map(|(option, value)| [option.to_owned(), value]).collect()
    }
}
