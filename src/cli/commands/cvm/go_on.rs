//! A change that needs an approval goes on as an upgrade, at once (`--dir`) or by the command that is named.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use url::Url;

use super::order::{Order, Since};
use crate::cli::act::begin::{Beginning, begin};
use crate::cli::args::values;
use crate::cli::args::{Agree, Allow, Reach, SharedOptions};
use crate::cli::exit::Exit;
use crate::cli::failure::error::CliError;
use crate::cli::failure::{self, Commands as _, Next};
use crate::cli::session::settings::{Project, Settings};
use crate::cli::show::report::Report;
use crate::cloud::{
    patch::Patch,
    updates::{Patched, Prepared},
};
use crate::code::Code;
use crate::compose::Changes;
use crate::safe::info::Trust;
use crate::text::{option, quote};
use crate::upgrade::{
    Goal, Warning,
    model::{EnvRequest, Expected, Intent, Target, TimelockChoice},
};

/// How a change that needs an approval goes on.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct GoOn {
    /// Where the app's owner has to approve the change, prepare it as an upgrade in this directory
    #[arg(long, value_name = "DIR", help_heading = "As an upgrade")]
    pub(super) dir: Option<PathBuf>,
    /// JSON-RPC endpoint; repeat it, and endpoints must agree [env: ETH_RPC_URL]
    #[arg(long, value_name = "URL", help_heading = "As an upgrade", value_parser = values::web_address)]
    pub(super) rpc_url: Vec<Url>,
    /// How many of the endpoints have to agree [default: all that were named] [env: ETH_RPC_QUORUM]
    #[arg(long, value_name = "N", help_heading = "As an upgrade", value_parser = values::whole::<usize>(1..))]
    pub(super) quorum: Option<usize>,
    /// Prepare although another update of this CVM is pending: its commit token is replaced
    #[arg(long, help_heading = "As an upgrade")]
    pub(super) supersede: bool,
}

/// What a command asks for, as an upgrade asks for it.
pub(super) struct Wish<'a> {
    pub(super) on: &'a GoOn,
    pub(super) patch: Patch,
    /// The environment that goes with it, sealed elsewhere.
    pub(super) env: Option<EnvRequest>,
    /// Options of `prepare` that ask for the same; none when no options say all of it.
    pub(super) words: Option<Vec<String>>,
    /// What there was before.
    pub(super) since: Since,
}

impl GoOn {
    /// A change that options of `prepare` say as well.
    pub(super) fn wish(&self, changes: Changes, words: impl Into<Vec<String>>, since: Since) -> Wish<'_> {
        Wish {
            on: self,
            patch: Patch {
                changes,
                ..Patch::default()
            },
            env: None,
            words: Some(words.into()),
            since,
        }
    }

    /// What settings are made from, with the time to wait that was typed elsewhere.
    pub(super) fn settings(&self, order: &Order<'_>) -> Result<Settings, CliError> {
        let agree = Agree { yes: order.is_agreed() };
        let reach = Reach::to(self.rpc_url.clone(), self.quorum, order.waiting.timeout);
        let allow = Allow {
            supersede: self.supersede,
            accept_unverified_hash: false,
        };
        let typed = SharedOptions {
            reach: Some(&reach),
            allow: Some(&allow),
            agree: Some(&agree),
            ..SharedOptions::default()
        };
        order.session().settings(typed)
    }
}

impl Order<'_> {
    /// What an upgrade of this CVM asks for.
    ///
    /// # Errors
    /// `phala.toml` cannot be read.
    pub(super) fn intent(&self, patch: Patch, env: Option<EnvRequest>) -> Result<Intent, CliError> {
        Ok(Intent {
            cvm: self.id.clone(),
            target: Target::Cvm,
            patch,
            env,
            confirm: false,
            policy: Vec::new(),
            revoke_old: false,
            trust: Trust::default(),
            timelock: TimelockChoice::default(),
            expected: Expected {
                kms: Project::here()?.kms,
                ..Expected::default()
            },
        })
    }

    /// Prepares an upgrade that asks for the same.
    pub(super) async fn as_upgrade(&self, intent: Intent, on: &GoOn) -> Result<Report, CliError> {
        let settings = on.settings(self)?;
        let beginning = Beginning {
            intent,
            dir: on.dir.as_deref(),
            goal: Goal::Prepared,
            command: self.name(),
            remarks: Vec::new(),
            received: None,
        };
        let mut report = begin(self.session(), &settings, beginning).await?;
        if self.waiting.wait {
            report.warnings.push(Warning {
                code: Code::NothingToWaitFor,
                text: "the change is prepared, and waits for its approval: whoever commits it waits for the CVM"
                    .to_owned(),
            });
        }
        Ok(report)
    }

    /// The end of a change that may need a second phase.
    pub(super) async fn with_phases(
        &self,
        message: &str,
        patched: Patched,
        wish: Wish<'_>,
    ) -> Result<Report, CliError> {
        match patched {
            Patched::Accepted(accepted) => self.with_operation(message, &accepted, wish.since).await,
            Patched::HashRequired(prepared) => self.hash_required(&prepared, wish).await,
        }
    }

    /// What to do when the owner has to allow a hash first.
    pub(super) async fn hash_required(&self, prepared: &Prepared, wish: Wish<'_>) -> Result<Report, CliError> {
        if wish.on.dir.is_some() {
            return self.as_upgrade(self.intent(wish.patch, wish.env)?, wish.on).await;
        }
        let mut report = self.first_phase(prepared);
        report.next = Some(self.prepare_command(wish.words.as_deref()));
        Ok(report)
    }

    /// What a 465 says.
    pub(super) fn first_phase(&self, prepared: &Prepared) -> Report {
        let mut report = self.needs_approval(&prepared.compose_hash.to_string());
        report.facts.upgrade.compose_hash = Some(prepared.compose_hash);
        report.facts.upgrade.app = prepared.app_id;
        report.facts.upgrade.chain_id = prepared.kms.chain_id;
        report.facts.request_id.clone_from(&prepared.request_id);
        report.data = Some(
            json!({ "compose_hash": prepared.compose_hash, "app_id": prepared.app_id,
            "device_id": prepared.device_id, "kms": prepared.kms }),
        );
        report
    }

    /// Says that the owner has to allow `hash`.
    pub(super) fn needs_approval(&self, hash: &str) -> Report {
        let mut report = self.taken(&format!(
            "an on-chain KMS guards this CVM, so its app's owner has to allow {hash} first; nothing was changed"
        ));
        report.exit = Exit::State;
        report.code = Code::HashRequired;
        report.hint = Some(failure::by_code(report.code).hint);
        report
    }

    /// The command that prepares an upgrade: by options of `prepare`, or the same one with a directory.
    pub(super) fn prepare_command(&self, words: Option<&[String]>) -> String {
        let Some(words) = words else {
            return self.session().typed().command(&Next::with("--dir DIR"));
        };
        let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
        let id = option("--cvm", &self.id.to_string());
        format!("countersign prepare {id} {}", words.join(" "))
    }
}
