//! Webhooks of Phala Cloud: whether a delivery is Phala Cloud's, and what it says.
//!
//! [`verify`] is pure: the caller brings headers, body and time; [`serve()`] receives and verifies. A signature can be sent again for as long as its window lasts, and
//! Phala Cloud itself sends one event up to four times under one id: whoever acts on events remembers the ids that it
//! acted on ([`Event::id`]) for at least [`WINDOW`] and the hour of retries, as [`serve()`] does while it runs.
//!
//! A pending approval is a hint, never a proof: what it says is compared with the cloud and the chain before anybody
//! signs.
//!
//! ```
//! use countersign::webhook::{self, WebhookError, WebhookSecret};
//!
//! let secret = WebhookSecret::new("whsec_0123456789abcdef0123456789abcdef".to_owned().into())?;
//! let headers = [("x-webhook-timestamp", "1789000000"), ("x-webhook-signature", "sha256=00")];
//! let forged = webhook::verify(&secret, headers, b"{}", jiff::Timestamp::from_second(1_789_000_000)?);
//! assert!(matches!(forged, Err(WebhookError::Signature)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod serve;

use std::fmt;

use alloy::primitives::{Address, B256};
use hmac::{Hmac, Mac as _};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2_for_hmac::Sha256;
use zeroize::Zeroizing;

pub use serve::{Received, serve};

/// How far a delivery's time may be from ours, either way, inclusive (official SDK).
pub const WINDOW: SignedDuration = SignedDuration::from_secs(300);
/// Longest body that is read, bytes.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

const ID: &str = "x-webhook-id";
const KIND: &str = "x-webhook-event";
const TIMESTAMP: &str = "x-webhook-timestamp";
const SIGNATURE: &str = "x-webhook-signature";
/// What stands before the hex digits of a signature.
const SCHEME: &str = "sha256=";

/// The secret of one endpoint (`whsec_…`); never printed.
#[derive(Clone)]
pub struct WebhookSecret(Zeroizing<String>);

/// A delivery that is Phala Cloud's, and what it says.
#[derive(Clone)]
pub struct Event {
    /// Name of the event, the same in every retry. Who has acted on it before does nothing: see the module.
    pub id: String,
    /// Its kind as it was written, for example `cvm.updated`.
    pub name: String,
    /// Its kind.
    pub kind: Kind,
    /// When this delivery was signed.
    pub signed_at: Timestamp,
    /// When it happened, as the body says.
    pub created_at: Option<Timestamp>,
    /// The event that a person sent again under a new id.
    pub original_id: Option<String>,
    /// Slug of the workspace.
    pub workspace: Option<String>,
    /// Everything the body says of it, credentials included.
    data: Map<String, Value>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// `cvm.created`
    Created,
    /// `cvm.started`
    Started,
    /// `cvm.create_failed`
    CreateFailed,
    /// `cvm.restarted`
    Restarted,
    /// `cvm.updated`
    Updated,
    /// `cvm.stopped`
    Stopped,
    /// `cvm.deleted`
    Deleted,
    /// `cvm.update.pending_approval`
    PendingApproval(Box<PendingApproval>),
    /// A kind that this version does not know; its name and data are kept.
    Other,
}

/// An update that waits for its approval on chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingApproval {
    /// The CVM.
    pub cvm_id: Option<String>,
    /// Its name.
    pub cvm_name: Option<String>,
    /// The hash to allow.
    pub compose_hash: B256,
    /// The app's contract.
    pub app: Address,
    /// The device that would run it.
    pub device: Option<B256>,
    /// Chain of the contracts.
    pub chain_id: Option<u64>,
    /// The KMS's contract.
    pub kms: Option<Address>,
    /// When the commit token expires.
    pub expires_at: Option<Timestamp>,
    /// Who prepared it.
    pub initiated_by: Option<String>,
    /// The commit token: whoever holds it can commit once the hash is allowed.
    pub commit_token: Option<CommitCredential>,
}

/// A commit token out of a webhook; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct CommitCredential(Zeroizing<String>);

/// Why a delivery is not taken. No message holds the secret, the body, or a signature that would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// No secret to check with, or one that was cut or pasted wrongly.
    #[error("the webhook's secret is empty, or has white space in it")]
    Secret,
    /// A header that every delivery has.
    #[error("the header `{name}` is missing")]
    Missing {
        /// The header.
        name: &'static str,
    },
    /// Two readers could take different ones.
    #[error("the header `{name}` comes more than once")]
    Repeated {
        /// The header.
        name: &'static str,
    },
    /// Not made with this secret over this body and time.
    #[error("the signature is not that of the webhook's secret over this time and body")]
    Signature,
    /// The time is no number of seconds.
    #[error("the header `{TIMESTAMP}` is no number of seconds")]
    Timestamp,
    /// Rightly signed, too long ago: a delivery that was kept and sent again.
    #[error("it was signed {age} s ago, and at most {} s are taken", WINDOW.as_secs())]
    Stale {
        /// Age, seconds.
        age: i64,
    },
    /// Rightly signed, in the future.
    #[error("it is signed {ahead} s ahead of this machine's clock, and at most {} s are taken", WINDOW.as_secs())]
    Ahead {
        /// How far, seconds.
        ahead: i64,
    },
    /// More than [`MAX_BODY_BYTES`].
    #[error("the body has {found} bytes, and at most {MAX_BODY_BYTES} are read")]
    BodyTooLong {
        /// Bytes found.
        found: usize,
    },
    /// Rightly signed, and not what it should be.
    #[error("the body is not an event: {why}")]
    Body {
        /// What is missing or wrong; names of fields only.
        why: &'static str,
    },
    /// A header, which nothing signs, or a part of the body says something else than the body.
    #[error("`{one}` and `{other}` say different things")]
    Contradiction {
        /// One place.
        one: &'static str,
        /// The other place.
        other: &'static str,
    },
}

/// Whether a delivery is Phala Cloud's and was signed around `now`, and what it says.
///
/// `headers` are all headers of the request, names in any case; `body` is the body byte for byte. Comparing the
/// signature takes the same time wherever it differs. An id that comes again is the caller's to see: see the module.
///
/// # Errors
/// See [`WebhookError`]. The signature is judged before anything else is read, so no other error says anything of what
/// was not signed.
pub fn verify<'h>(
    secret: &WebhookSecret,
    headers: impl IntoIterator<Item = (&'h str, &'h str)>,
    body: &[u8],
    now: Timestamp,
) -> Result<Event, WebhookError> {
    let headers = Headers::pick(headers)?;
    if body.len() > MAX_BODY_BYTES {
        return Err(WebhookError::BodyTooLong { found: body.len() });
    }
    headers.authenticate(secret, body)?;
    let signed_at = headers.signed_at(now)?;
    let event = Event::read(body, signed_at)?;
    let agree = |header: Option<&str>, field: &str| header.is_none_or(|header| header == field);
    if !agree(headers.id, &event.id) {
        return Err(contradiction(ID, "id"));
    }
    if !agree(headers.kind, &event.name) {
        return Err(contradiction(KIND, "event"));
    }
    Ok(event)
}

/// The headers that count.
#[derive(Default)]
struct Headers<'h> {
    id: Option<&'h str>,
    kind: Option<&'h str>,
    timestamp: Option<&'h str>,
    signature: Option<&'h str>,
}

impl<'h> Headers<'h> {
    fn pick(all: impl IntoIterator<Item = (&'h str, &'h str)>) -> Result<Self, WebhookError> {
        let mut found = Self::default();
        for (name, value) in all {
            let (place, name) = match name.to_ascii_lowercase().as_str() {
                ID => (&mut found.id, ID),
                KIND => (&mut found.kind, KIND),
                TIMESTAMP => (&mut found.timestamp, TIMESTAMP),
                SIGNATURE => (&mut found.signature, SIGNATURE),
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(WebhookError::Repeated { name });
            }
        }
        Ok(found)
    }

    /// The signature covers the time's text as it stands, a dot, and the body.
    fn authenticate(&self, secret: &WebhookSecret, body: &[u8]) -> Result<(), WebhookError> {
        let timestamp = self.timestamp.ok_or(WebhookError::Missing { name: TIMESTAMP })?;
        let signature = self.signature.ok_or(WebhookError::Missing { name: SIGNATURE })?;
        // Upper case digits are another text, as the official SDK compares.
        let digits = signature
            .strip_prefix(SCHEME)
            .filter(|digits| !digits.contains(|digit: char| digit.is_uppercase()));
        let claimed = digits
            .and_then(|digits| hex::decode(digits).ok())
            .ok_or(WebhookError::Signature)?;
        let mac = secret.mac(timestamp, body)?;
        mac.verify_slice(&claimed).ok().ok_or(WebhookError::Signature)
    }

    fn signed_at(&self, now: Timestamp) -> Result<Timestamp, WebhookError> {
        let digits = self
            .timestamp
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        let second = digits
            .and_then(|text| text.parse::<i64>().ok())
            .ok_or(WebhookError::Timestamp)?;
        let age = now.as_second().saturating_sub(second);
        if age > WINDOW.as_secs() {
            return Err(WebhookError::Stale { age });
        }
        if age < -WINDOW.as_secs() {
            return Err(WebhookError::Ahead {
                ahead: age.saturating_neg(),
            });
        }
        Timestamp::from_second(second).ok().ok_or(WebhookError::Timestamp)
    }
}

impl WebhookSecret {
    /// Wraps a secret.
    ///
    /// # Errors
    /// [`WebhookError::Secret`].
    pub fn new(text: Zeroizing<String>) -> Result<Self, WebhookError> {
        if text.is_empty() || text.contains(char::is_whitespace) {
            return Err(WebhookError::Secret);
        }
        Ok(Self(text))
    }

    fn mac(&self, timestamp: &str, body: &[u8]) -> Result<Hmac<Sha256>, WebhookError> {
        let mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes());
        let mut mac = mac.ok().ok_or(WebhookError::Secret)?;
        mac.update(timestamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        Ok(mac)
    }
}
impl fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

impl CommitCredential {
    /// The text, for the request only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
impl fmt::Debug for CommitCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommitCredential(…)")
    }
}

/// The body's outer part. Unknown members are left alone.
#[derive(Deserialize)]
struct Envelope {
    id: String,
    event: String,
    created_at: Option<Timestamp>,
    original_event_id: Option<String>,
    workspace: Option<Workspace>,
    #[serde(default)]
    data: Map<String, Value>,
}

#[derive(Deserialize)]
struct Workspace {
    slug: Option<String>,
}

impl Event {
    fn read(body: &[u8], signed_at: Timestamp) -> Result<Self, WebhookError> {
        let envelope: Envelope = serde_json::from_slice(body).ok().ok_or(WebhookError::Body {
            why: "it is no JSON object with `id`, `event` and an object as `data`",
        })?;
        let kind = match envelope.event.as_str() {
            "cvm.created" => Kind::Created,
            "cvm.started" => Kind::Started,
            "cvm.create_failed" => Kind::CreateFailed,
            "cvm.restarted" => Kind::Restarted,
            "cvm.updated" => Kind::Updated,
            "cvm.stopped" => Kind::Stopped,
            "cvm.deleted" => Kind::Deleted,
            "cvm.update.pending_approval" => Kind::PendingApproval(Box::new(PendingApproval::read(&envelope.data)?)),
            _ => Kind::Other,
        };
        Ok(Self {
            id: envelope.id,
            name: envelope.event,
            kind,
            signed_at,
            created_at: envelope.created_at,
            original_id: envelope.original_event_id.filter(|id| !id.is_empty()),
            workspace: envelope.workspace.and_then(|workspace| workspace.slug),
            data: envelope.data,
        })
    }

    /// What the body says of the event, with every credential taken out: fit to be printed and kept.
    pub fn public_data(&self) -> Map<String, Value> {
        let token = match &self.kind {
            Kind::PendingApproval(pending) => pending.commit_token.as_ref().map(CommitCredential::expose),
            _ => None,
        };
        self.data
            .iter()
            .filter(|(name, _)| !is_credential(name))
            .map(|(name, value)| (name.clone(), without(value, token)))
            .collect()
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("signed_at", &self.signed_at)
            .field("data", &self.public_data())
            .finish_non_exhaustive()
    }
}

/// Members that are credentials, or links that carry one.
fn is_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["token", "secret", "password", "commit_url", "private_key"]
        .iter()
        .any(|part| name.contains(part))
}

fn without(value: &Value, token: Option<&str>) -> Value {
    match value {
        Value::String(text) if token.is_some_and(|token| text.contains(token)) => Value::from("…"),
        Value::Array(items) => items.iter().map(|item| without(item, token)).collect(),
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, _)| !is_credential(name));
            Value::Object(
                kept.map(|(name, value)| (name.clone(), without(value, token)))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}

impl PendingApproval {
    fn read(data: &Map<String, Value>) -> Result<Self, WebhookError> {
        let compose_hash = field(
            data,
            "compose_hash",
            "`compose_hash` is not 32 bytes as hex digits",
            word,
        )?;
        let app = field(data, "app_id", "`app_id` is not 20 bytes as hex digits", address)?;
        let (compose_hash, app) = compose_hash.zip(app).ok_or(WebhookError::Body {
            why: "`compose_hash` or `app_id` is missing",
        })?;
        let none = Map::new();
        let part = |name: &str| data.get(name).and_then(Value::as_object).unwrap_or(&none);
        let (kms, action) = (part("kms"), part("onchain_action"));
        let to = field(action, "to", "`onchain_action.to` is no address", address)?;
        if to.is_some_and(|to| to != app) {
            return Err(contradiction("onchain_action.to", "app_id"));
        }
        // Phala Cloud writes the bare hash there, and no call data.
        let argument = action.get("calldata").and_then(Value::as_str).and_then(word);
        if argument.is_some_and(|argument| argument != compose_hash) {
            return Err(contradiction("onchain_action.calldata", "compose_hash"));
        }
        let text = |name: &str| data.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
        let who = part("initiated_by").get("username").and_then(Value::as_str);
        Ok(Self {
            cvm_id: text("cvm_id"),
            cvm_name: text("cvm_name"),
            compose_hash,
            app,
            device: field(data, "device_id", "`device_id` is not 32 bytes as hex digits", word)?,
            chain_id: kms.get("chain_id").and_then(Value::as_u64),
            kms: field(kms, "contract_address", "`kms.contract_address` is no address", address)?,
            expires_at: text("expires_at").and_then(|text| text.parse().ok()),
            initiated_by: who.map(ToOwned::to_owned),
            commit_token: text("commit_token").map(|token| CommitCredential(Zeroizing::new(token))),
        })
    }
}

/// A member that may be missing or null, but not malformed.
fn field<T>(
    data: &Map<String, Value>,
    name: &str,
    why: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, WebhookError> {
    match data.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => parse(text).map(Some).ok_or(WebhookError::Body { why }),
        Some(_) => Err(WebhookError::Body { why }),
    }
}

fn word(text: &str) -> Option<B256> {
    digits(text).map(B256::new)
}

fn address(text: &str) -> Option<Address> {
    digits(text.strip_prefix("app_").unwrap_or(text)).map(Address::new)
}

fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), &mut bytes)
        .ok()
        .map(|()| bytes)
}

const fn contradiction(one: &'static str, other: &'static str) -> WebhookError {
    WebhookError::Contradiction { one, other }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_767_225_600;
    const SECRET: &str = "whsec_0123456789abcdef0123456789abcdef";

    fn secret() -> WebhookSecret {
        WebhookSecret::new(Zeroizing::new(SECRET.to_owned())).unwrap()
    }

    fn now() -> Timestamp {
        Timestamp::from_second(NOW).unwrap()
    }

    fn signature(secret: &WebhookSecret, timestamp: &str, body: &[u8]) -> String {
        let mac = secret.mac(timestamp, body).unwrap().finalize().into_bytes();
        format!("{SCHEME}{}", hex::encode(mac))
    }

    fn pending() -> Value {
        json!({
            "id": "evt_0123456789abcdef",
            "event": "cvm.update.pending_approval",
            "version": "1",
            "created_at": "2026-01-01T00:00:00Z",
            "workspace": {"id": "ws_1", "slug": "acme", "name": "Acme"},
            "data": {
                "cvm_id": "cvm_1",
                "cvm_name": "prod",
                "compose_hash": format!("0x{}", "ab".repeat(32)),
                "app_id": "11".repeat(20),
                "device_id": "22".repeat(32),
                "kms": {"chain_id": 8453, "contract_address": format!("0x{}", "33".repeat(20))},
                "onchain_action": {
                    "to": format!("0x{}", "11".repeat(20)),
                    "method": "addComposeHash(bytes32)",
                    "calldata": format!("0x{}", "ab".repeat(32)),
                },
                "commit_token": "CANARY",
                "commit_url": "https://cloud.phala.com/commit?token=CANARY",
                "api_commit_url": "https://cloud-api.phala.com/CANARY",
                "expires_at": "2026-01-15T00:00:00Z",
                "initiated_by": {"user_id": 7, "username": "ada"},
                "note": "see CANARY",
                "list": [{"refresh_token": "x", "kept": ["a CANARY", "b"]}],
            }
        })
    }

    /// Verifies `body`, rightly signed at `at`.
    fn delivered(body: &[u8], at: i64) -> Result<Event, WebhookError> {
        let at = at.to_string();
        let signature = signature(&secret(), &at, body);
        verify(
            &secret(),
            [
                ("X-Webhook-Timestamp", at.as_str()),
                ("X-Webhook-Signature", &signature),
            ],
            body,
            now(),
        )
    }

    fn said(body: &Value) -> Result<Event, WebhookError> {
        delivered(body.to_string().as_bytes(), NOW)
    }

    #[test]
    fn i20_the_official_vector_is_signed_rightly_and_no_other_text_is() {
        let vectors: Value = serde_json::from_str(include_str!("../tests/vectors/env.json")).unwrap();
        let part = |name: &str| vectors["webhook"][name].as_str().unwrap();
        let secret = WebhookSecret::new(Zeroizing::new(part("secret").to_owned())).unwrap();
        let ask = |timestamp: &str, body: &str, signature: &str| {
            let headers = [(TIMESTAMP, timestamp), (SIGNATURE, signature)];
            verify(&secret, headers, body.as_bytes(), now()).unwrap_err()
        };
        let (timestamp, body, signature) = (part("timestamp"), part("body"), part("signature"));
        // The vector's hash is too short to be one: its signature holds, and what it says does not.
        assert!(matches!(ask(timestamp, body, signature), WebhookError::Body { .. }));
        assert_eq!(ask("1767225601", body, signature), WebhookError::Signature);
        assert_eq!(
            ask(timestamp, &body.replace("aa", "ab"), signature),
            WebhookError::Signature
        );
        assert_eq!(ask(timestamp, body, &signature.to_uppercase()), WebhookError::Signature);
        assert_eq!(
            ask(timestamp, body, signature.trim_start_matches(SCHEME)),
            WebhookError::Signature
        );
    }

    #[test]
    fn i20_a_bad_signature_is_refused_whatever_else_is_wrong() {
        let body = pending().to_string();
        let good = signature(&secret(), &NOW.to_string(), body.as_bytes());
        let other = WebhookSecret::new(Zeroizing::new("whsec_other".to_owned())).unwrap();
        let by_other = signature(&other, &NOW.to_string(), body.as_bytes());
        let empty = SCHEME.to_owned();
        for bad in [
            &by_other,
            good.get(..good.len() - 2).unwrap(),
            &format!("{good}00"),
            "sha1=00",
            "",
            &empty,
        ] {
            for timestamp in [NOW.to_string(), "0".to_owned(), "soon".to_owned()] {
                let headers = [(TIMESTAMP, timestamp.as_str()), (SIGNATURE, bad)];
                let refused = verify(&secret(), headers, body.as_bytes(), now()).unwrap_err();
                assert_eq!(refused, WebhookError::Signature, "{bad:?} at {timestamp}");
            }
        }
    }

    #[test]
    fn i20_a_delivery_is_taken_for_five_minutes_either_way() {
        let body = pending().to_string();
        let at = |shift: i64| delivered(body.as_bytes(), NOW + shift);
        assert!(at(-300).is_ok() && at(300).is_ok());
        assert_eq!(at(-301).unwrap_err(), WebhookError::Stale { age: 301 });
        assert_eq!(at(301).unwrap_err(), WebhookError::Ahead { ahead: 301 });
    }

    #[test]
    fn i20_a_time_that_is_no_plain_number_is_refused_even_rightly_signed() {
        let body = pending().to_string();
        for time in [
            "1767225600.0",
            "+1767225600",
            " 1767225600",
            "1767225600x",
            "",
            "99999999999999999999",
            "１",
        ] {
            let signature = signature(&secret(), time, body.as_bytes());
            let headers = [(TIMESTAMP, time), (SIGNATURE, signature.as_str())];
            let refused = verify(&secret(), headers, body.as_bytes(), now()).unwrap_err();
            assert_eq!(refused, WebhookError::Timestamp, "{time:?}");
        }
    }

    #[test]
    fn i20_an_event_sent_again_has_the_same_id_and_telling_is_the_callers() {
        let body = pending().to_string();
        let (first, again) = (
            delivered(body.as_bytes(), NOW - 60).unwrap(),
            delivered(body.as_bytes(), NOW).unwrap(),
        );
        assert_eq!(first.id, again.id);
        assert!(again.signed_at > first.signed_at);
    }

    #[test]
    fn headers_are_found_in_any_case_and_never_twice() {
        let body = pending().to_string();
        let time = NOW.to_string();
        let signature = signature(&secret(), &time, body.as_bytes());
        let ask = |headers: &[(&str, &str)]| verify(&secret(), headers.iter().copied(), body.as_bytes(), now());
        let both = [
            ("x-WEBHOOK-timestamp", time.as_str()),
            ("X-Webhook-signature", &signature),
        ];
        assert!(ask(&both).is_ok());
        assert!(ask(&[both[0], both[1], ("accept", "a"), ("accept", "b")]).is_ok());
        assert_eq!(ask(&both[..1]).unwrap_err(), WebhookError::Missing { name: SIGNATURE });
        assert_eq!(ask(&both[1..]).unwrap_err(), WebhookError::Missing { name: TIMESTAMP });
        let twice = [both[0], both[1], (SIGNATURE, signature.as_str())];
        assert_eq!(ask(&twice).unwrap_err(), WebhookError::Repeated { name: SIGNATURE });
    }

    #[test]
    fn headers_that_nothing_signs_have_to_agree_with_the_body() {
        let body = pending().to_string();
        let time = NOW.to_string();
        let signature = signature(&secret(), &time, body.as_bytes());
        let ask = |more: (&str, &str)| {
            let headers = [(TIMESTAMP, time.as_str()), (SIGNATURE, &signature), more];
            verify(&secret(), headers, body.as_bytes(), now())
        };
        assert!(ask((ID, "evt_0123456789abcdef")).is_ok() && ask((KIND, "cvm.update.pending_approval")).is_ok());
        assert_eq!(ask((ID, "evt_1")).unwrap_err(), contradiction(ID, "id"));
        assert_eq!(ask((KIND, "cvm.started")).unwrap_err(), contradiction(KIND, "event"));
    }

    #[test]
    fn a_pending_approval_is_read_with_its_types() {
        let event = said(&pending()).unwrap();
        let Kind::PendingApproval(pending) = &event.kind else {
            panic!("{event:?}")
        };
        assert_eq!(pending.compose_hash, B256::repeat_byte(0xab));
        assert_eq!(pending.app, Address::repeat_byte(0x11));
        assert_eq!(pending.device, Some(B256::repeat_byte(0x22)));
        assert_eq!(
            (pending.chain_id, pending.kms),
            (Some(8453), Some(Address::repeat_byte(0x33)))
        );
        assert_eq!(pending.initiated_by.as_deref(), Some("ada"));
        assert_eq!(
            pending.commit_token.as_ref().map(CommitCredential::expose),
            Some("CANARY")
        );
        assert_eq!(pending.expires_at, "2026-01-15T00:00:00Z".parse().ok());
        assert_eq!((event.workspace.as_deref(), event.original_id), (Some("acme"), None));
    }

    #[test]
    fn a_pending_approval_that_contradicts_itself_is_refused() {
        let with = |path: &str, value: Value| {
            let mut body = pending();
            *body.pointer_mut(path).unwrap() = value;
            said(&body).unwrap_err()
        };
        let other = format!("0x{}", "cd".repeat(32));
        assert_eq!(
            with("/data/onchain_action/calldata", json!(other)),
            contradiction("onchain_action.calldata", "compose_hash")
        );
        assert_eq!(
            with("/data/compose_hash", json!(other)),
            contradiction("onchain_action.calldata", "compose_hash")
        );
        assert_eq!(
            with("/data/onchain_action/to", json!("44".repeat(20))),
            contradiction("onchain_action.to", "app_id")
        );
        for (path, value) in [
            ("/data/compose_hash", json!("0xaa")),
            ("/data/compose_hash", json!(null)),
            ("/data/app_id", json!("prod")),
            ("/data/app_id", json!(7)),
            ("/data/device_id", json!("22".repeat(31))),
            ("/data/kms/contract_address", json!("0x")),
        ] {
            assert!(matches!(with(path, value), WebhookError::Body { .. }), "{path}");
        }
    }

    #[test]
    fn every_known_kind_is_told_and_an_unknown_one_is_kept() {
        let kind = |name: &str| {
            let event = said(&json!({"id": "evt_1", "event": name, "data": {"cvm_id": "c", "x": [1]}})).unwrap();
            assert_eq!(
                (event.name.as_str(), event.public_data()["x"].clone()),
                (name, json!([1]))
            );
            event.kind
        };
        let known = [
            ("cvm.created", Kind::Created),
            ("cvm.started", Kind::Started),
            ("cvm.create_failed", Kind::CreateFailed),
            ("cvm.restarted", Kind::Restarted),
            ("cvm.updated", Kind::Updated),
            ("cvm.stopped", Kind::Stopped),
            ("cvm.deleted", Kind::Deleted),
            ("cvm.teleported", Kind::Other),
            ("CVM.created", Kind::Other),
        ];
        for (name, expected) in known {
            assert_eq!(kind(name), expected, "{name}");
        }
        assert!(
            said(&json!({"id": "evt_1", "event": "cvm.started"}))
                .unwrap()
                .public_data()
                .is_empty()
        );
    }

    #[test]
    fn a_signed_body_that_is_no_event_is_refused() {
        for body in [
            "",
            "[]",
            "{}",
            "{\"id\":1,\"event\":\"x\"}",
            "{\"id\":\"a\",\"event\":\"x\",\"data\":[]}",
            "\u{feff}{}",
        ] {
            assert!(
                matches!(delivered(body.as_bytes(), NOW), Err(WebhookError::Body { .. })),
                "{body:?}"
            );
        }
        assert!(matches!(delivered(&[0xff], NOW), Err(WebhookError::Body { .. })));
        let long = vec![b' '; MAX_BODY_BYTES + 1];
        assert_eq!(
            delivered(&long, NOW).unwrap_err(),
            WebhookError::BodyTooLong {
                found: MAX_BODY_BYTES + 1
            }
        );
    }

    #[test]
    fn v23_credentials_are_in_no_text_that_may_be_printed() {
        let event = said(&pending()).unwrap();
        let public = Value::Object(event.public_data()).to_string();
        assert!(
            !public.contains("CANARY") && !public.contains("refresh_token"),
            "{public}"
        );
        assert!(public.contains("prod") && public.contains("kept"));
        let Kind::PendingApproval(pending) = &event.kind else {
            panic!()
        };
        assert!(!format!("{pending:?}").contains("CANARY"));
        assert!(!format!("{:?}", secret()).contains(SECRET));
    }

    #[test]
    fn v23_an_event_shows_no_credential_in_debug() {
        assert!(!format!("{:?}", said(&pending()).unwrap()).contains("CANARY"));
    }

    #[test]
    fn an_empty_or_broken_secret_is_refused() {
        for bad in ["", " ", "whsec_1\n", "whsec 1"] {
            assert_eq!(
                WebhookSecret::new(Zeroizing::new(bad.to_owned())).unwrap_err(),
                WebhookError::Secret
            );
        }
    }

    proptest! {
        #[test]
        fn whatever_is_signed_reading_it_never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(delivered(&body, NOW).is_err());
        }
    }
}
