//! `workspace`: whom the API key stands for, what its workspace may use, and the end of the key.

use clap::{Args, Subcommand};
use serde_json::json;

use crate::cli::act::api::Api;
use crate::cli::args::Agree;
use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cloud::inventory::WorkspaceSlug;
use crate::code::Code;

/// Show the API key's workspace and quotas; revoke the key
#[derive(Debug, Args)]
pub(in crate::cli) struct Workspace {
    #[command(subcommand)]
    command: WorkspaceCommand,
}

#[derive(Debug, Subcommand)]
enum WorkspaceCommand {
    /// Show whom the API key stands for
    #[command(after_help = "Example:\n  countersign workspace show")]
    Show,
    /// Show what a workspace may use
    #[command(after_help = "Example:\n  countersign workspace quotas")]
    Quotas {
        /// What paths call the workspace [default: the API key's]
        #[arg(value_name = "SLUG")]
        workspace: Option<WorkspaceSlug>,
    },
    /// Revoke the API key that is in use, for good
    #[command(after_help = "Example:\n  countersign workspace revoke-key --yes")]
    RevokeKey {
        #[command(flatten)]
        agree: Agree,
    },
}

impl Workspace {
    pub(in crate::cli) async fn run(self, session: &Session) -> Result<Report, CliError> {
        match self.command {
            WorkspaceCommand::Show => {
                let account = Api::new(session, None)?.cloud.account().await?;
                let mut report = Report::done("workspace show", "read");
                report.page.facts(&[
                    ("user", account.username.clone()),
                    ("workspace", account.workspace.clone()),
                    ("slug", account.workspace_slug.clone()),
                    ("tier", account.tier.clone()),
                    ("role", account.role.clone()),
                    ("balance", account.balance.clone()),
                ]);
                report.data = Some(json!(account));
                Ok(report)
            }
            WorkspaceCommand::Quotas { workspace } => quotas(session, workspace).await,
            WorkspaceCommand::RevokeKey { agree } => {
                let api = Api::new(session, Some(&agree))?;
                api.ask(
                    "Revoke the API key that is in use, for good? Whatever uses it stops working.",
                    &[],
                )?;
                api.cloud.revoke_token().await?;
                Ok(Report::done(
                    "workspace revoke-key",
                    "the API key is worth nothing any more",
                ))
            }
        }
    }
}

async fn quotas(session: &Session, workspace: Option<WorkspaceSlug>) -> Result<Report, CliError> {
    let cloud = Api::new(session, None)?.cloud;
    let workspace = match workspace {
        Some(workspace) => workspace,
        None => {
            let slug = cloud.account().await?.workspace_slug;
            let slug = slug.ok_or_else(|| CliError::Usage {
                code: Code::UsageNoWorkspace,
                message: "Phala Cloud does not say which workspace the API key is of".to_owned(),
                hint: "name it by its slug".to_owned(),
                next: Next::with("SLUG"),
            })?;
            slug.parse()?
        }
    };
    let quotas = cloud.quotas(&workspace).await?;
    let mut report = Report::done("workspace quotas", "read");
    for (name, value) in quotas.as_object().into_iter().flatten() {
        report.page.line(&format!("{name}: {value}"));
    }
    report.data = Some(json!({ "workspace": workspace, "quotas": quotas }));
    Ok(report)
}
