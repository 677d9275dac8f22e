//! `webhook verify`: a delivery of Phala Cloud, checked before anybody acts on it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use crate::cli::args::values::SecretSource;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::person::Person;
use crate::cli::show::report::Report;
use crate::code::Code;
use crate::compose::ComposeHash;
use crate::fsutil;
use crate::signer::Ask as _;
use crate::webhook::{Event, Kind, MAX_BODY_BYTES, PendingApproval, WebhookSecret, verify};

/// Largest file of headers that is read, bytes.
const MAX_HEADERS: u64 = 64 * 1024;
/// Largest file with a secret, bytes.
const MAX_SECRET: u64 = 4096;

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
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
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
            headers.extend(headers_of(file)?);
        }
        let body = body_of(self.body.as_deref())?;
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let event = verify(&secret, pairs, &body, Timestamp::now()).map_err(CliError::Webhook)?;
        Ok(report(&event))
    }
}

impl SecretSource {
    /// The secret's text; the question to ask at a terminal, and the option that named the source.
    pub(super) fn text(&self, session: &Session, question: &str, option: &str) -> Result<Zeroizing<String>, CliError> {
        Ok(match self {
            Self::Prompt => Person::new(&session.out, &session.env, false).secret(question)?,
            Self::Env(name) => session.env.secret(name).ok_or_else(|| CliError::Input {
                code: Code::InputWebhookSecret,
                message: format!("the environment variable `{name}` is not set"),
                hint: format!("set `{name}` to the secret, or name another place by {option}"),
            })?,
            Self::File(path) => {
                let bytes = fsutil::read_secret(path, MAX_SECRET).map_err(CliError::UserFile)?;
                let text = std::str::from_utf8(&bytes).unwrap_or_default();
                Zeroizing::new(text.trim().to_owned())
            }
        })
    }

    pub(super) fn read(&self, session: &Session) -> Result<WebhookSecret, CliError> {
        let text = self.text(session, "Secret of the webhook", "--secret-from")?;
        WebhookSecret::new(text).map_err(CliError::Webhook)
    }
}

fn header(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once(':').ok_or("a header is written as `Name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Lines as servers and `curl` write them, with or without the request's first line, or a JSON object of texts.
fn headers_of(file: &Path) -> Result<Vec<(String, String)>, CliError> {
    let malformed = || CliError::Input {
        code: Code::InputHeaders,
        message: format!("`{}` does not hold the headers of a request", file.display()),
        hint: "write a line `Name: value` for each header, or one JSON object with a text for each name".to_owned(),
    };
    let bytes = fsutil::read(file, MAX_HEADERS).map_err(CliError::UserFile)?;
    let text = String::from_utf8(bytes).ok().ok_or_else(malformed)?;
    if text.trim_start().starts_with('{') {
        let object: std::collections::BTreeMap<String, String> =
            serde_json::from_str(&text).ok().ok_or_else(malformed)?;
        return Ok(object.into_iter().collect());
    }
    let is_first = |(at, line): &(usize, &str)| *at == 0 && line.ends_with("HTTP/1.1");
    text.lines()
        .enumerate()
        .filter(|(at, line)| !line.trim().is_empty() && !is_first(&(*at, line)))
        .map(|(_, line)| header(line).ok().ok_or_else(malformed))
        .collect()
}

/// One byte more than is taken, so that a longer body is seen as such.
fn body_of(file: Option<&Path>) -> Result<Vec<u8>, CliError> {
    let room = u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX);
    if let Some(file) = file {
        return fsutil::read(file, room).map_err(CliError::UserFile);
    }
    let mut body = Vec::new();
    let read = std::io::stdin()
        .lock()
        .take(room.saturating_add(1))
        .read_to_end(&mut body);
    read.map_err(|error| CliError::Input {
        code: Code::InputStdin,
        message: format!("the body cannot be read from stdin: {error}"),
        hint: "give the body on stdin, or name its file".to_owned(),
    })?;
    Ok(body)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n5_a_secret_in_the_place_of_its_name_is_refused() {
        for bad in ["whsec_CANARY", "", "env:", "file:", "prompt:x", "whsec:x"] {
            let refused = bad.parse::<SecretSource>().unwrap_err();
            assert!(!refused.contains("CANARY"));
        }
        assert_eq!("prompt".parse(), Ok(SecretSource::Prompt));
        assert_eq!("env:A".parse(), Ok(SecretSource::Env("A".to_owned())));
        assert_eq!("file:a:b".parse(), Ok(SecretSource::File(PathBuf::from("a:b"))));
    }

    #[test]
    fn headers_are_read_from_lines_and_from_json() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("headers");
        let read = |text: &str| {
            fsutil::write(&path, text.as_bytes(), 0o600).unwrap();
            headers_of(&path)
        };
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let both = [pair("X-A", "1:2"), pair("x-b", "")];
        assert_eq!(read("POST /hook HTTP/1.1\r\nX-A: 1:2\r\nx-b:\r\n\r\n").unwrap(), both);
        assert_eq!(read(" {\"X-A\": \"1:2\", \"x-b\": \"\"}").unwrap(), both);
        for bad in ["X-A", "{\"a\": 1}", "{", "X-A: 1\nPOST / HTTP/1.1"] {
            assert!(matches!(read(bad), Err(CliError::Input { .. })), "{bad:?}");
        }
    }
}
