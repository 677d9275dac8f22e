//! `webhook reveal` and `webhook rotate`: the secret that signs deliveries, into a file or a descriptor and nowhere else.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;
use zeroize::Zeroizing;

use crate::cli::act::api::Api;
use crate::cli::args::Agree;
use crate::cli::args::values::{self, SecretSource};
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::out_file::OutFile;
use crate::cli::show::report::Report;
use crate::cloud::{
    WebhookId,
    webhooks::{SecondFactor, WebhookSecret},
};
use crate::code::Code;
use crate::fsutil;
use crate::text::argument;

/// Mode of the secret's file.
const MODE: u32 = 0o600;

/// Which webhook, where its secret goes, and what stands for the second factor.
#[derive(Debug, Args)]
struct Secret {
    /// Webhook, as `countersign webhook list` names it
    #[arg(value_name = "WEBHOOK")]
    id: WebhookId,
    /// File (mode 0600) for the secret; another one in it is replaced
    #[arg(long, value_name = "FILE", required_unless_present = "secret_fd")]
    secret_file: Option<PathBuf>,
    /// Open file descriptor for the secret, 3 or more
    #[arg(long, value_name = "N", conflicts_with = "secret_file", value_parser = values::whole::<u32>(3..))]
    secret_fd: Option<u32>,
    // No doc comment: rustdoc takes the brackets for a link.
    #[arg(
        long,
        value_name = "SOURCE",
        help = "Where the cookie of a session is that gave its second factor: env:NAME, file:PATH or prompt"
    )]
    second_factor_from: Option<SecretSource>,
}

/// Put the secret that signs a webhook's deliveries into a file
///
/// Phala Cloud asks for a second factor before it reveals a secret, and gives it to a session: --second-factor-from names
/// where the cookie of that session is. Without it an API key alone is tried.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  countersign webhook reveal wh_1 --secret-file hook.secret\n  \
    countersign webhook reveal wh_1 --secret-file hook.secret --second-factor-from prompt"
)]
pub(super) struct Reveal {
    #[command(flatten)]
    secret: Secret,
}

/// Make another secret sign a webhook's deliveries, and put it into a file; the old one signs no longer
///
/// The second factor is given as for `reveal`.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  countersign webhook rotate wh_1 --secret-file hook.secret --second-factor-from env:COOKIE --yes"
)]
pub(super) struct Rotate {
    #[command(flatten)]
    secret: Secret,
    #[command(flatten)]
    agree: Agree,
}

impl Reveal {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        self.secret.check()?;
        let api = Api::new(session, None)?;
        let factor = self.secret.factor(session)?;
        let secret = api
            .cloud
            .reveal_webhook_secret(&self.secret.id, factor.as_ref())
            .await?;
        self.secret.store(&secret)?;
        Ok(self.secret.report("webhook reveal", "the secret is stored"))
    }
}

impl Rotate {
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        self.secret.check()?;
        let api = Api::new(session, Some(&self.agree))?;
        let facts = [
            ("webhook", self.secret.id.to_string()),
            ("secret to", self.secret.place()),
        ];
        api.ask(
            "Make another secret sign the deliveries? The old one signs no longer.",
            &facts,
        )?;
        let factor = self.secret.factor(session)?;
        let secret = api
            .cloud
            .rotate_webhook_secret(&self.secret.id, factor.as_ref())
            .await?;
        if let Err(error) = self.secret.store(&secret) {
            session
                .out
                .progress("another secret signs the deliveries now, and it is not stored");
            return Err(error);
        }
        Ok(self.secret.report(
            "webhook rotate",
            "another secret signs the deliveries, and it is stored",
        ))
    }
}

impl Secret {
    fn factor(&self, session: &Session) -> Result<Option<SecondFactor>, CliError> {
        let Some(source) = &self.second_factor_from else {
            return Ok(None);
        };
        let text = source.text(session, "Cookie of the session", "--second-factor-from")?;
        let malformed = |why: &str| CliError::Input {
            code: Code::InputSecondFactor,
            message: format!("the second factor is no cookie: {why}; it is not repeated here"),
            hint: "copy the cookie that the site's session sends after it asked for the second factor".to_owned(),
        };
        SecondFactor::new(text).map(Some).map_err(malformed)
    }

    /// Before anything is asked for: a secret that cannot be stored would be lost.
    fn check(&self) -> Result<(), CliError> {
        match &self.secret_file {
            Some(file) => OutFile::strict(file).check(is_secret),
            None => Ok(()),
        }
    }

    fn place(&self) -> String {
        let file = self.secret_file.as_ref().map(|file| file.display().to_string());
        file.unwrap_or_else(|| format!("descriptor {}", self.secret_fd.unwrap_or_default()))
    }

    fn store(&self, secret: &WebhookSecret) -> Result<(), CliError> {
        let text = Zeroizing::new(secret.expose().as_bytes().to_vec());
        match (&self.secret_file, self.secret_fd) {
            (Some(file), _) => OutFile::strict(file).write(&text, MODE, is_secret)?,
            (None, Some(descriptor)) => fsutil::write_to(descriptor, &text)?,
            (None, None) => {}
        }
        Ok(())
    }

    fn report(&self, command: &str, message: &str) -> Report {
        let mut report = Report::done(command, message);
        report.page.facts(&[("secret in", Some(self.place()))]);
        let id = self.id.to_string();
        report.next = Some(format!("countersign webhook test {}", argument(&id)));
        report.data = Some(json!({ "webhook": id, "secret_file": self.secret_file, "secret_fd": self.secret_fd }));
        report
    }
}

/// Whether a file holds a webhook's secret, and nothing else: another one may take its place.
fn is_secret(found: &[u8]) -> bool {
    let text = std::str::from_utf8(found).unwrap_or_default().trim_end();
    text.starts_with("whsec_") && text.bytes().all(|byte| byte.is_ascii_graphic())
}
