//! `webhook create`, `list`, `show`, `update`, `delete`, `test`, `deliveries`, `resend`, `stats`: the workspace's webhooks in
//! Phala Cloud.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

use crate::cli::act::api::Api;
use crate::cli::args::Agree;
use crate::cli::args::values;
use crate::cli::failure::Next;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::report::Report;
use crate::cli::show::words::cells;
use crate::cloud::{
    EventId, WebhookId,
    webhooks::{NewWebhook, Webhook, WebhookChange, WebhookSecret},
};
use crate::code::Code;
use crate::fsutil;

/// Mode of the secret's file.
const MODE: u32 = 0o600;
/// Largest file with a secret, bytes.
const MAX_SECRET: u64 = 4096;

/// Make a webhook, and keep the secret that signs its deliveries in a file
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign webhook create https://example.org/hook \
    --event cvm.update.pending_approval --secret-file webhook.secret --yes")]
pub(super) struct Create {
    /// Where deliveries go: https, reachable from the internet
    #[arg(value_name = "URL", value_parser = values::web_address)]
    url: Url,
    /// Event, for example cvm.update.pending_approval; repeat it
    #[arg(long = "event", value_name = "EVENT", required = true, value_parser = values::filled)]
    events: Vec<String>,
    /// Name for people
    #[arg(long, value_name = "NAME", value_parser = values::filled)]
    name: Option<String>,
    /// File (mode 0600) for the secret; one that is there already is the secret to use
    #[arg(long, value_name = "FILE")]
    secret_file: PathBuf,
    #[command(flatten)]
    agree: Agree,
}

/// List the workspace's webhooks
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign webhook list")]
pub(super) struct List {}

/// Show a webhook
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign webhook show wh_1")]
pub(super) struct Show {
    /// Webhook, as `countersign webhook list` names it
    #[arg(value_name = "WEBHOOK")]
    id: WebhookId,
}

/// Change a webhook; what is not named stays
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign webhook update wh_1 --enabled false --yes")]
pub(super) struct Update {
    /// Webhook, as `countersign webhook list` names it
    #[arg(value_name = "WEBHOOK")]
    id: WebhookId,
    /// Where deliveries go: https, reachable from the internet
    #[arg(long, value_name = "URL", value_parser = values::web_address)]
    url: Option<Url>,
    /// Event, for example cvm.update.pending_approval; repeat it: these take the place of all others
    #[arg(long = "event", value_name = "EVENT", value_parser = values::filled)]
    events: Vec<String>,
    /// Name for people
    #[arg(long, value_name = "NAME", value_parser = values::filled)]
    name: Option<String>,
    /// Whether anything is delivered
    #[arg(long, value_name = "BOOL")]
    enabled: Option<bool>,
    #[command(flatten)]
    agree: Agree,
}

/// Show how a webhook's deliveries went
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign webhook stats wh_1")]
pub(super) struct Stats {
    /// Webhook, as `countersign webhook list` names it
    #[arg(value_name = "WEBHOOK")]
    id: WebhookId,
}

/// Delete a webhook
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign webhook delete wh_1 --yes")]
pub(super) struct Delete {
    /// Webhook, as `countersign webhook list` names it
    #[arg(value_name = "WEBHOOK")]
    id: WebhookId,
    #[command(flatten)]
    agree: Agree,
}

/// Have a test event sent
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign webhook test wh_1 --yes")]
pub(super) struct Test {
    /// Webhook, as `countersign webhook list` names it
    #[arg(value_name = "WEBHOOK")]
    id: WebhookId,
    #[command(flatten)]
    agree: Agree,
}

/// Have an event delivered again, under a new id
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign webhook resend wh_1 evt_0123456789abcdef --yes")]
pub(super) struct Resend {
    /// Webhook, as `countersign webhook list` names it
    #[arg(value_name = "WEBHOOK")]
    id: WebhookId,
    /// Event, as `countersign webhook deliveries` names it
    #[arg(value_name = "EVENT")]
    event: EventId,
    #[command(flatten)]
    agree: Agree,
}

/// List a webhook's deliveries, the latest first
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  countersign webhook deliveries wh_1 --limit 5")]
pub(super) struct Deliveries {
    /// Webhook, as `countersign webhook list` names it
    #[arg(value_name = "WEBHOOK")]
    id: WebhookId,
    /// Entries to show
    #[arg(long, value_name = "N", default_value = "50", value_parser = values::whole::<u32>(1..))]
    limit: u32,
    /// Entries to leave out first
    #[arg(long, value_name = "N", default_value = "0", value_parser = values::whole::<u32>(0..))]
    offset: u32,
}

const HEAD: [&str; 5] = ["ID", "NAME", "STATE", "EVENTS", "URL"];

fn row(webhook: &Webhook) -> Vec<String> {
    let state = if webhook.enabled == Some(false) { "off" } else { "on" };
    cells([
        webhook.id.clone(),
        webhook.name.clone(),
        Some(state.to_owned()),
        Some(webhook.events.join(",")),
        webhook.url.clone(),
    ])
}

impl Create {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let api = Api::new(session, Some(&self.agree))?;
        let own = self.secret_file.exists();
        let secret = if own { Some(self.secret()?) } else { None };
        let facts = [("URL", self.url.to_string()), ("events", self.events.join(", "))];
        api.ask("Make this webhook?", &facts)?;
        let new = NewWebhook {
            url: self.url,
            events: self.events,
            name: self.name,
            secret,
        };
        let (made, secret) = api.cloud.create_webhook(&new).await?;
        let mut report = Report::done("webhook create", "the webhook is made");
        if let Some(secret) = secret.filter(|_| !own) {
            fsutil::write(&self.secret_file, secret.expose().as_bytes(), MODE)?;
        } else if !own {
            "the webhook is made, and Phala Cloud gave no secret with it".clone_into(&mut report.message);
            report.hint = Some("reveal the secret: `countersign webhook reveal`".to_owned());
        }
        report.page.table(&HEAD, &[row(&made)]);
        report.next = made
            .id
            .as_ref()
            .map(|id| format!("countersign webhook test {}", crate::text::argument(id)));
        report.data = Some(json!({ "webhook": made, "secret_file": self.secret_file }));
        Ok(report)
    }

    /// The secret that is there already.
    fn secret(&self) -> Result<WebhookSecret, CliError> {
        let bytes = fsutil::read_secret(&self.secret_file, MAX_SECRET)?;
        match std::str::from_utf8(&bytes).map(str::trim) {
            Ok(text) if !text.is_empty() => Ok(WebhookSecret::new(Zeroizing::new(text.to_owned()))),
            _ => Err(CliError::Input {
                code: Code::InputWebhookSecret,
                message: format!("`{}` holds no secret", self.secret_file.display()),
                hint: "name a file that is not there yet, or one with the secret to use".to_owned(),
            }),
        }
    }
}

impl List {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let list = Api::new(session, None)?.cloud.webhooks().await?;
        let mut report = Report::done("webhook list", if list.is_empty() { "there are none" } else { "read" });
        report.page.table(&HEAD, &list.iter().map(row).collect::<Vec<_>>());
        report.data = Some(json!({ "items": list }));
        Ok(report)
    }
}

impl Show {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let webhook = Api::new(session, None)?.cloud.webhook(&self.id).await?;
        let mut report = Report::done("webhook show", "read");
        report.page.table(&HEAD, &[row(&webhook)]);
        report.data = Some(json!({ "webhook": webhook }));
        Ok(report)
    }
}

impl Update {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let api = Api::new(session, Some(&self.agree))?;
        let change = WebhookChange {
            url: self.url,
            events: Some(self.events).filter(|events| !events.is_empty()),
            name: self.name,
            enabled: self.enabled,
        };
        if change == WebhookChange::default() {
            return Err(CliError::Usage {
                code: Code::UsageNothingToChange,
                message: "nothing changes: no change was named".to_owned(),
                hint: "name what changes, for example --enabled false".to_owned(),
                next: Next::Command("--help"),
            });
        }
        let facts = [
            ("webhook", Some(self.id.to_string())),
            ("URL", change.url.as_ref().map(ToString::to_string)),
            ("events", change.events.as_ref().map(|events| events.join(", "))),
            ("name", change.name.clone()),
            ("enabled", change.enabled.map(|enabled| enabled.to_string())),
        ];
        let facts: Vec<_> = facts
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .collect();
        api.ask("Change this webhook?", &facts)?;
        let webhook = api.cloud.update_webhook(&self.id, &change).await?;
        let mut report = Report::done("webhook update", "the webhook is changed");
        report.page.table(&HEAD, &[row(&webhook)]);
        let id = self.id.to_string();
        report.next = Some(format!("countersign webhook test {}", crate::text::argument(&id)));
        report.data = Some(json!({ "webhook": webhook }));
        Ok(report)
    }
}

impl Stats {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let stats = Api::new(session, None)?.cloud.webhook_stats(&self.id).await?;
        let mut report = Report::done("webhook stats", "read");
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let time = |time: Option<u64>| time.map(|time| format!("{time} ms"));
        report.page.facts(&[
            ("deliveries", number(stats.total)),
            ("taken", number(stats.success_count)),
            ("not taken", number(stats.failed_count)),
            ("time on average", time(stats.avg_duration_ms)),
            ("longest time", time(stats.max_duration_ms)),
            ("latest", stats.last_delivery_at.clone()),
        ]);
        report.data = Some(json!(stats));
        Ok(report)
    }
}

impl Delete {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let api = Api::new(session, Some(&self.agree))?;
        api.ask("Delete this webhook?", &[("webhook", self.id.to_string())])?;
        api.cloud.delete_webhook(&self.id).await?;
        Ok(Report::done("webhook delete", "the webhook is deleted"))
    }
}

impl Test {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let api = Api::new(session, Some(&self.agree))?;
        api.ask("Have a test event sent?", &[("webhook", self.id.to_string())])?;
        let answer = api.cloud.test_webhook(&self.id).await?;
        let mut report = Report::done("webhook test", "a test event is sent");
        let id = self.id.to_string();
        report.next = Some(format!("countersign webhook deliveries {}", crate::text::argument(&id)));
        report.data = Some(json!({ "answer": answer }));
        Ok(report)
    }
}

impl Resend {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let api = Api::new(session, Some(&self.agree))?;
        let facts = [("webhook", self.id.to_string()), ("event", self.event.to_string())];
        api.ask("Have the event delivered again?", &facts)?;
        let answer = api.cloud.resend_delivery(&self.id, &self.event).await?;
        let mut report = Report::done("webhook resend", "the event is delivered again");
        let id = self.id.to_string();
        report.next = Some(format!("countersign webhook deliveries {}", crate::text::argument(&id)));
        report.data = Some(json!({ "answer": answer }));
        Ok(report)
    }
}

impl Deliveries {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        let cloud = Api::new(session, None)?.cloud;
        let list = cloud.deliveries(&self.id, self.limit, self.offset).await?;
        let mut report = Report::done(
            "webhook deliveries",
            if list.is_empty() { "there are none" } else { "read" },
        );
        let rows = list.iter().map(|one| {
            cells([
                one.created_at.clone(),
                one.event_type.clone(),
                one.event_id.clone(),
                one.status.clone(),
                one.error_message.clone().or_else(|| Some("-".to_owned())),
            ])
        });
        let head = ["TIME", "TYPE", "EVENT", "STATUS", "ERROR"];
        report.page.table(&head, &rows.collect::<Vec<_>>());
        report.data = Some(json!({ "items": list }));
        Ok(report)
    }
}
