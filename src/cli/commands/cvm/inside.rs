//! `composition`, `user-config`, `ssh-keys`: what runs inside a CVM, and what its guest was given that no hash covers.

use clap::Args;
use serde_json::json;

use super::order::Terms;
use crate::cli::act::api::{Api, On};
use crate::cli::act::waiting::Waiting;
use crate::cli::args::values;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cloud::inventory::ssh_keys::{SshKeyChange, SshKeys};
use crate::code::Code;

/// Show the containers that a CVM says it runs, with their images; nothing is verified here
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm composition my-app")]
pub(super) struct Composition {
    #[command(flatten)]
    on: On,
}

/// Show what the guest was given beside its manifest: no hash covers it, keys for logging in among it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign cvm user-config my-app")]
pub(super) struct UserConfig {
    #[command(flatten)]
    on: On,
}

/// List the keys that may log in to a CVM with a development OS image, or replace them; no owner is asked
///
/// Without options it lists them. With --key, --user or --none the set is replaced as a whole: no hash covers it, so the app's owner
/// is not asked and nothing on chain shows it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign cvm ssh-keys my-app\n  \
    countersign cvm ssh-keys my-app --key sshkey_abc --user alice --yes\n  \
    countersign cvm ssh-keys my-app --none --apply-now --wait --yes")]
pub(super) struct SshKeysArgs {
    /// Let in this key, by its id; repeat it
    #[arg(long, value_name = "ID", value_parser = values::filled)]
    key: Vec<String>,
    /// Let in all keys of this member of the workspace; repeat it
    #[arg(long, value_name = "NAME", value_parser = values::filled)]
    user: Vec<String>,
    /// Let in nobody
    #[arg(long, conflicts_with_all = ["key", "user"])]
    none: bool,
    /// Restart the CVM for it [default: from its next start on]
    #[arg(long)]
    apply_now: bool,
    #[command(flatten)]
    terms: Terms,
}

impl Composition {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let id = self.on.id()?;
        let composition = Api::new(session, None)?.cloud.composition(&id).await?;
        let mut report = Report::done("cvm composition", "read; nothing of it was verified");
        report.facts.upgrade.cvm = Some(id.to_string());
        report.page.facts(&[("error", composition.error.clone())]);
        for one in &composition.containers {
            let name = one.names.first().cloned().unwrap_or_default();
            report.page.heading(name.trim_start_matches('/'));
            report.page.facts(&[
                ("image", one.image.clone()),
                ("image id", one.image_id.clone()),
                ("state", one.state.clone()),
                ("status", one.status.clone()),
            ]);
        }
        report.data = Some(json!(composition));
        Ok(report)
    }
}

impl UserConfig {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let id = self.on.id()?;
        let config = Api::new(session, None)?.cloud.user_config(&id).await?;
        let mut report = Report::done("cvm user-config", "read; no hash covers it");
        report.facts.upgrade.cvm = Some(id.to_string());
        report.page.facts(&[
            ("host", config.hostname.clone()),
            ("gateway", config.default_gateway_domain.clone()),
        ]);
        for key in &config.ssh_authorized_keys {
            report.page.line(&format!("may log in: {key}"));
        }
        report.data = Some(
            json!({ "hostname": config.hostname, "ssh_authorized_keys": config.ssh_authorized_keys,
            "default_gateway_domain": config.default_gateway_domain, "record": config.raw }),
        );
        Ok(report)
    }
}

impl SshKeysArgs {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let order = self.terms.order(session, "cvm ssh-keys")?;
        if self.key.is_empty() && self.user.is_empty() && !self.none {
            let keys = order.api.cloud.ssh_keys(&order.id).await?;
            let mut report = Report::done("cvm ssh-keys", "read; no hash covers them");
            report.facts.upgrade.cvm = Some(order.id.to_string());
            show(&mut report, &keys);
            return Ok(report);
        }
        let or_nobody = |names: &[String]| match names.is_empty() {
            true => "none".to_owned(),
            false => names.join(", "),
        };
        let when = match self.apply_now {
            true => "now: the CVM restarts",
            false => "from its next start on",
        };
        order.ask(
            "Replace the keys that may log in? No hash covers them, and the app's owner is not asked.",
            &[
                ("keys", or_nobody(&self.key)),
                ("all keys of", or_nobody(&self.user)),
                ("in force", when.to_owned()),
            ],
        )?;
        let change = SshKeyChange {
            ssh_key_ids: self.key,
            usernames: self.user,
            apply_now: self.apply_now,
        };
        let since = order.before().await?;
        let keys = order.api.cloud.set_ssh_keys(&order.id, &change).await?;
        let mut report = order.taken("the keys were replaced");
        show(&mut report, &keys);
        report.warn(
            Code::LoginUncovered,
            "who may log in changed where the OS image lets anybody: no hash covers it, and no owner approved it",
        );
        if change.apply_now {
            return order.carried_out(report, &order.id, since.next("running")).await;
        }
        Ok(nothing_to_wait_for(report, &order.waiting))
    }
}

/// Says that nothing is under way, where somebody asked to wait for it.
pub(super) fn nothing_to_wait_for(mut report: Report, waiting: &Waiting) -> Report {
    if waiting.wait {
        report.warn(Code::NothingToWaitFor, "it is so already: no operation was begun");
    }
    report
}

fn show(report: &mut Report, keys: &SshKeys) {
    for key in &keys.keys {
        let words = [&key.owner_username, &key.name, &key.key_type, &key.fingerprint, &key.id];
        let words: Vec<String> = words.into_iter().flatten().cloned().collect();
        report.page.line(&words.join("  "));
    }
    if keys.restart_required == Some(true) {
        report.page.line("in force from the CVM's next start on");
    }
    report.data = Some(json!(keys));
}
