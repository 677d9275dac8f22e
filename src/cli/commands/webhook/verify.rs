//! `webhook verify`: a delivery of Phala Cloud, checked before anybody acts on it.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cli::args::values::SecretSource;
use crate::cli::failure::error::CliError;
use crate::cli::session::{Session, delivery};
use crate::cli::show::report::Report;
use crate::compose::ComposeHash;
use crate::webhook::{Event, Kind, PendingApproval, verify};

/// Say whether a delivery is Phala Cloud's, and what it says
///
/// Checks the signature over time and body, that it was signed at most five minutes ago, and that headers and body
/// agree. Ends with 5 when it is not Phala Cloud's, and with 6 when it is too old. The same delivery can come again
/// within those five minutes, and Phala Cloud repeats one that got no answer: remember `id` and act on it once.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    countersign webhook verify body.json --headers headers.txt --secret-from env:WEBHOOK_SECRET\n  \
    countersign webhook verify --json --secret-from file:secret --headers headers.txt < body.json")]
pub(super) struct Verify {
    /// Body of the request, byte for byte [default: stdin]
    #[arg(value_name = "BODY")]
    body: Option<PathBuf>,
    /// Headers of the request: a line `Name: value` each, or one JSON object
    #[arg(long, value_name = "FILE", required_unless_present = "header")]
    headers: Option<PathBuf>,
    /// One header of the request; repeat it
    #[arg(long, value_name = "NAME: VALUE", value_parser = delivery::header)]
    header: Vec<(String, String)>,
    /// Where the webhook's secret is: env:NAME, file:PATH or prompt (never the secret itself)
    #[arg(long, value_name = "SOURCE", default_value = "prompt")]
    secret_from: SecretSource,
}

impl Verify {
    pub(super) fn run(self, session: &Session) -> Result<Report, CliError> {
        let secret = self.secret_from.read(session)?;
        let mut headers = self.header;
        if let Some(file) = &self.headers {
            headers.extend(delivery::headers(file)?);
        }
        let body = delivery::body(self.body.as_deref())?;
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let event = verify(&secret, pairs, &body, Timestamp::now()).map_err(CliError::Webhook)?;
        Ok(report(&event))
    }
}

fn report(event: &Event) -> Report {
    let mut report = Report::done(
        "webhook verify",
        format!("the delivery is Phala Cloud's: {}", event.name),
    );
    let pending = match &event.kind {
        Kind::PendingApproval(pending) => Some(pending.as_ref()),
        _ => None,
    };
    report.page.facts(&[
        ("event", Some(event.name.clone())),
        ("id", Some(event.id.clone())),
        ("signed", Some(event.signed_at.to_string())),
        ("workspace", event.workspace.clone()),
        (
            "CVM",
            pending.and_then(|pending| pending.cvm_name.clone().or_else(|| pending.cvm_id.clone())),
        ),
        ("app", pending.map(|pending| pending.app.to_string())),
        ("compose hash", pending.map(|pending| pending.compose_hash.to_string())),
        ("prepared by", pending.and_then(|pending| pending.initiated_by.clone())),
        (
            "expires",
            pending.and_then(|pending| pending.expires_at).map(|at| at.to_string()),
        ),
    ]);
    report
        .page
        .line("Act on this id once: the same delivery can come again.");
    if let Some(pending) = pending {
        let facts = &mut report.facts.upgrade;
        facts.cvm = pending.cvm_id.clone().or_else(|| pending.cvm_name.clone());
        facts.app = Some(pending.app);
        facts.chain_id = pending.chain_id;
        facts.compose_hash = Some(ComposeHash::new(pending.compose_hash.0));
        facts.token_expires = pending.expires_at;
    }
    report.data = Some(told(event));
    report
}

/// An event for programs, without a credential.
pub(super) fn told(event: &Event) -> Value {
    let pending = match &event.kind {
        Kind::PendingApproval(pending) => Some(pending.as_ref()),
        _ => None,
    };
    json!({
        "id": event.id,
        "event": event.name,
        "known": event.kind != Kind::Other,
        "signed_at": event.signed_at,
        "created_at": event.created_at,
        "original_id": event.original_id,
        "workspace": event.workspace,
        "pending_approval": pending.map(shown),
        "data": event.public_data(),
    })
}

fn shown(pending: &PendingApproval) -> Value {
    json!({
        "compose_hash": pending.compose_hash,
        "app": pending.app,
        "device": pending.device,
        "chain_id": pending.chain_id,
        "kms": pending.kms,
        "initiated_by": pending.initiated_by,
        "expires_at": pending.expires_at,
        "has_commit_token": pending.commit_token.is_some(),
    })
}
