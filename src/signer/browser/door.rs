//! What comes in from a browser: who may ask for what, and what is said to the session. Pure.
//!
//! The page itself is for everybody who knows the port, and says nothing. Everything else is a `POST` from that page, by its
//! `Host`, its `Origin` and the token that stands in the address behind `#`, which no request line, log or referrer holds.
//! No other origin is ever given leave.

use std::time::Instant;

use alloy::primitives::Address;
use hyper::body::Bytes;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, HeaderMap, HeaderName, ORIGIN, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::json;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::session::{Answer, Refusal, Session};
use crate::http::serve::{Asked, Reply};

const PAGE: &str = include_str!("page/index.html");
const SCRIPT: &str = include_str!("page/page.js");
const STYLE: &str = include_str!("page/page.css");

/// Scripts, styles and connections of this origin alone; nothing inline, no image but the empty icon, no frame, no form.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const TOKEN: &str = "x-countersign-token";
const TAB: &str = "x-countersign-tab";
/// Longest name of a tab.
const MAX_TAB: usize = 64;
/// Most of a wallet's words that are kept.
const MAX_SAID: usize = 300;
/// Error code of a page that has none of a wallet's (JSON-RPC: internal error).
const NO_CODE: i64 = -32603;

/// Who may come in.
pub(super) struct Door {
    host: String,
    origin: String,
    token: Zeroizing<String>,
}

/// What a page says, by the path that it says it to.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Said {
    #[serde(default)]
    turn: u64,
    #[serde(default)]
    edition: u64,
    account: Option<Address>,
    #[serde(default)]
    named: Vec<String>,
    result: Option<String>,
    error: Option<WalletSaid>,
}

#[derive(Deserialize)]
struct WalletSaid {
    #[serde(default)]
    code: Option<i64>,
    #[serde(default)]
    message: String,
}

impl Door {
    pub(super) fn new(port: u16, token: Zeroizing<String>) -> Self {
        let host = format!("127.0.0.1:{port}");
        Self {
            origin: format!("http://{host}"),
            host,
            token,
        }
    }

    /// The answer to what may not come in, by its head alone.
    pub(super) fn refuse(&self, head: &Parts) -> Option<Reply> {
        let refused = |status| Some(dressed(Reply::empty(status)));
        // A name that somebody else gave this machine (DNS rebinding) is another one.
        if only(&head.headers, &HOST) != Some(&*self.host) || head.uri.authority().is_some() {
            return refused(StatusCode::MISDIRECTED_REQUEST);
        }
        match (head.method.clone(), is_file(head.uri.path())) {
            (Method::GET, true) => None,
            (Method::POST, false) => {
                let ours = only(&head.headers, &ORIGIN) == Some(&*self.origin);
                let token = only(&head.headers, &HeaderName::from_static(TOKEN)).unwrap_or_default();
                let is_its: bool = token.as_bytes().ct_eq(self.token.as_bytes()).into();
                let admitted = ours && is_its;
                if admitted { None } else { refused(StatusCode::FORBIDDEN) }
            }
            (_, is_file) => {
                let allowed = if is_file { "GET" } else { "POST" };
                Some(dressed(
                    Reply::empty(StatusCode::METHOD_NOT_ALLOWED).with(ALLOW, allowed),
                ))
            }
        }
    }
}

/// Answers what came in through the door.
pub(super) fn answer(session: &mut Session, asked: &Asked, now: Instant) -> Reply {
    let file = match asked.path.as_str() {
        "/" => Some((PAGE, "text/html; charset=utf-8")),
        "/page.js" => Some((SCRIPT, "text/javascript; charset=utf-8")),
        "/page.css" => Some((STYLE, "text/css; charset=utf-8")),
        _ => None,
    };
    if let Some((text, kind)) = file {
        return dressed(Reply {
            status: StatusCode::OK,
            headers: Vec::new(),
            body: Bytes::from_static(text.as_bytes()),
        })
        .with(CONTENT_TYPE, kind);
    }
    let said = match told(session, asked, now) {
        Ok(said) => (StatusCode::OK, said),
        Err(refusal) => refused(refusal),
    };
    let (status, body) = said;
    let reply = Reply {
        status,
        headers: Vec::new(),
        body: body.to_string().into(),
    };
    dressed(reply).with(CONTENT_TYPE, "application/json")
}

fn told(session: &mut Session, asked: &Asked, now: Instant) -> Result<serde_json::Value, Refusal> {
    let tab = only(&asked.headers, &HeaderName::from_static(TAB)).unwrap_or_default();
    if tab.len() > MAX_TAB {
        return Err(Refusal::OtherTab);
    }
    session.hear(tab, now)?;
    let said: Said = serde_json::from_slice(&asked.body).ok().ok_or(Refusal::Malformed)?;
    match asked.path.as_str() {
        "/view" => return Ok(json!(session.view(said.edition))),
        "/account" => session.give_account(said.turn, said.account.ok_or(Refusal::Malformed)?)?,
        "/agree" => session.agree(said.turn, &said.named)?,
        "/decline" => session.decline(said.turn)?,
        "/request" => return Ok(json!(session.hand_out(said.turn)?)),
        "/answer" => {
            let answer = match (said.result, said.error) {
                (Some(result), None) => Answer::Given(result),
                (None, Some(error)) => Answer::Refused {
                    code: error.code.unwrap_or(NO_CODE),
                    message: error.message.chars().take(MAX_SAID).collect(),
                },
                _ => return Err(Refusal::Malformed),
            };
            session.take_answer(said.turn, answer)?;
        }
        "/ended" => session.confirm_end(said.turn)?,
        "/leave" => session.leave(now),
        _ => return Err(Refusal::Malformed),
    }
    Ok(json!({}))
}

fn refused(refusal: Refusal) -> (StatusCode, serde_json::Value) {
    let (status, why) = match refusal {
        Refusal::OtherTab => (StatusCode::CONFLICT, "elsewhere"),
        Refusal::NotAsked => (StatusCode::GONE, "not-asked"),
        Refusal::NotNamed => (StatusCode::UNPROCESSABLE_ENTITY, "not-named"),
        Refusal::Malformed => (StatusCode::BAD_REQUEST, "malformed"),
    };
    (status, json!({ "refused": why }))
}

fn is_file(path: &str) -> bool {
    matches!(path, "/" | "/page.js" | "/page.css")
}

/// The value of a header that comes once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?.to_str().ok()?;
    all.next().is_none().then_some(first)
}

/// What every answer has.
fn dressed(reply: Reply) -> Reply {
    reply
        .with(CONTENT_SECURITY_POLICY, POLICY)
        .with(CACHE_CONTROL, "no-store")
        .with(X_CONTENT_TYPE_OPTIONS, "nosniff")
        .with(REFERRER_POLICY, "no-referrer")
        .with(HeaderName::from_static("cross-origin-opener-policy"), "same-origin")
        .with(HeaderName::from_static("cross-origin-resource-policy"), "same-origin")
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
