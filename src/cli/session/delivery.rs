//! A delivery of Phala Cloud's webhooks in files, and where its secret is.

use std::io::Read as _;
use std::path::Path;

use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::cli::args::values::SecretSource;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::session::person::Person;
use crate::code::Code;
use crate::fsutil;
use crate::signer::Ask as _;
use crate::webhook::{Event, MAX_BODY_BYTES, WebhookError, WebhookSecret, verify};

/// Largest file of headers that is read, bytes.
const MAX_HEADERS: u64 = 64 * 1024;
/// Largest file with a secret, bytes.
const MAX_SECRET: u64 = 4096;

impl SecretSource {
    /// The secret's text; the question to ask at a terminal, and the option that named the source.
    pub(in crate::cli) fn text(
        &self,
        session: &Session,
        question: &str,
        option: &str,
    ) -> Result<Zeroizing<String>, CliError> {
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

    pub(in crate::cli) fn read(&self, session: &Session) -> Result<WebhookSecret, CliError> {
        let text = self.text(session, "Secret of the webhook", "--secret-from")?;
        WebhookSecret::new(text).map_err(CliError::Webhook)
    }
}

/// A header as it is typed.
pub(in crate::cli) fn header(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once(':').ok_or("a header is written as `Name: value`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// Lines as servers and `curl` write them, with or without the request's first line, or a JSON object of texts.
pub(in crate::cli) fn headers(file: &Path) -> Result<Vec<(String, String)>, CliError> {
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
pub(in crate::cli) fn body(file: Option<&Path>) -> Result<Vec<u8>, CliError> {
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

/// A delivery that was kept: whether it is Phala Cloud's, whenever it was signed. What it says is held against the cloud and
/// the chain by whoever reads it.
pub(in crate::cli) fn kept(
    secret: &WebhookSecret,
    headers: &[(String, String)],
    body: &[u8],
) -> Result<Event, WebhookError> {
    let stamp = headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("x-webhook-timestamp"));
    let seconds = stamp.and_then(|(_, value)| value.trim().parse().ok());
    let signed = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    verify(secret, pairs, body, signed.unwrap_or_else(Timestamp::now))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

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
            headers(&path)
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
