//! A workspace's webhooks: where the cloud tells what happens to its CVMs.
//!
//! The secret that signs deliveries comes with the answers to [`Client::create_webhook`], [`Client::reveal_webhook_secret`]
//! and [`Client::rotate_webhook_secret`], and is kept out of every text.

use reqwest::Method;
use reqwest::header::{COOKIE, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::read;
use super::{Client, CloudError, EventId, Key, Reply, WebhookId};
use crate::http::Retry;

/// A webhook that is wanted.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Where deliveries go: https, reachable from the internet.
    pub url: Url,
    /// Events, for example `cvm.update.pending_approval`.
    pub events: Vec<String>,
    /// A name for people.
    pub name: Option<String>,
    /// The secret that shall sign; without it the server makes one.
    pub secret: Option<WebhookSecret>,
}

/// What signs deliveries; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct WebhookSecret(Zeroizing<String>);

/// What changes of a webhook; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WebhookChange {
    /// Where deliveries go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Url>,
    /// Events, all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<Vec<String>>,
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether anything is delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// What a second factor leaves behind: the short-lived cookie that Phala Cloud gives a session after it was asked for
/// (OpenAPI, `StepUpVerifyRequest`); never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SecondFactor(Zeroizing<String>);

/// How a webhook's deliveries went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WebhookStats {
    /// Deliveries.
    pub total: Option<u64>,
    /// Taken.
    pub success_count: Option<u64>,
    /// Not taken.
    pub failed_count: Option<u64>,
    /// Share of those taken, as the server counts it.
    pub success_rate: Option<f64>,
    /// Time that an answer took on average, milliseconds.
    pub avg_duration_ms: Option<u64>,
    /// Longest time that an answer took, milliseconds.
    pub max_duration_ms: Option<u64>,
    /// The latest delivery (RFC 3339).
    pub last_delivery_at: Option<String>,
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Webhook {
    /// Its id.
    pub id: Option<String>,
    /// Where deliveries go.
    pub url: Option<String>,
    /// Its events.
    pub events: Vec<String>,
    /// Its name.
    pub name: Option<String>,
    /// Whether it is in use.
    pub enabled: Option<bool>,
    /// Made (RFC 3339).
    pub created_at: Option<String>,
}

/// A delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Event id, the same in every attempt.
    pub event_id: Option<String>,
    /// What happened.
    pub event_type: Option<String>,
    /// How it went, as the server writes it.
    pub status: Option<String>,
    /// How often it was tried.
    pub attempts: Option<u64>,
    /// Status of the last attempt's answer; 0 without one.
    pub response_status: Option<u64>,
    /// Why it failed.
    pub error_message: Option<String>,
    /// Made (RFC 3339).
    pub created_at: Option<String>,
    /// Taken (RFC 3339).
    pub delivered_at: Option<String>,
    /// The event that this one repeats, when somebody had it sent again.
    pub original_event_id: Option<String>,
}

impl WebhookSecret {
    /// Wraps a secret.
    pub const fn new(text: Zeroizing<String>) -> Self {
        Self(text)
    }
    /// The text, for the request and the secret's file only.
    pub fn expose(&self) -> &str {
        &self.0
    }
}
impl std::fmt::Debug for WebhookSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebhookSecret(…)")
    }
}

impl SecondFactor {
    /// Longest cookie that is taken.
    const MAX: usize = 4096;

    /// Wraps a cookie as a browser sends it: `name=value`, several joined by `; `.
    ///
    /// # Errors
    /// The text cannot be one; it is not repeated.
    pub fn new(text: Zeroizing<String>) -> Result<Self, &'static str> {
        let fits = text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        let pairs = text
            .split(';')
            .all(|pair| pair.trim().split_once('=').is_some_and(|(name, _)| !name.is_empty()));
        if !fits || !pairs || text.len() > Self::MAX {
            return Err("a cookie is written name=value, several are joined by `; `");
        }
        Ok(Self(text))
    }
}
impl std::fmt::Debug for SecondFactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecondFactor(…)")
    }
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, EventId, WebhookId, webhooks::{NewWebhook, SecondFactor, WebhookChange}};
/// # async fn example(client: &Client, id: &CvmId, hook: &WebhookId, event: &EventId) -> Result<(), CloudError> {
/// let new = NewWebhook {
///     url: "https://example.org/hook".parse().expect("an address"),
///     events: vec!["cvm.update.pending_approval".to_owned()],
///     name: None,
///     secret: None,
/// };
/// let (made, secret) = client.create_webhook(&new).await?;
/// println!("{:?}, with a secret: {}", made.id, secret.is_some());
/// println!("{:?}", client.webhooks().await?);
/// client.test_webhook(hook).await?;
/// println!("{:?}", client.deliveries(hook, 50, 0).await?);
/// client.resend_delivery(hook, event).await?;
/// println!("{:?}, {:?}", client.webhook(hook).await?, client.webhook_stats(hook).await?);
/// let off = WebhookChange { enabled: Some(false), ..WebhookChange::default() };
/// client.update_webhook(hook, &off).await?;
/// # let factor: Option<&SecondFactor> = None;
/// let secret = client.reveal_webhook_secret(hook, factor).await?;
/// let other = client.rotate_webhook_secret(hook, factor).await?;
/// assert!(secret != other, "the old one signs no longer");
/// client.delete_webhook(hook).await?;
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `GET /api/v1/workspace/webhooks`
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403.
    pub async fn webhooks(&self) -> Result<Vec<Webhook>, CloudError> {
        let call = self.call(Method::GET, &["workspace", "webhooks"], Retry::Read)?;
        let reply = self.send(call, Key::Needed).await?;
        reply.items(&reply.unrepeated()?, |item| Ok(Webhook::read(item)))
    }
    /// `GET /api/v1/workspace/webhooks/{webhook_id}`
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn webhook(&self, id: &WebhookId) -> Result<Webhook, CloudError> {
        let call = self.call(Method::GET, &["workspace", "webhooks", id.as_str()], Retry::Read)?;
        Ok(Webhook::read(&self.send(call, Key::Needed).await?.secretive()?))
    }
    /// `PUT /api/v1/workspace/webhooks/{webhook_id}`: gives the webhook as it is then.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn update_webhook(&self, id: &WebhookId, change: &WebhookChange) -> Result<Webhook, CloudError> {
        let mut call = self.call(Method::PUT, &["workspace", "webhooks", id.as_str()], Retry::Write)?;
        call.json(change)?;
        Ok(Webhook::read(&self.send(call, Key::Needed).await?.secretive()?))
    }
    /// `GET /api/v1/workspace/webhooks/{webhook_id}/stats`
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn webhook_stats(&self, id: &WebhookId) -> Result<WebhookStats, CloudError> {
        let (reply, _) = self.get(&["workspace", "webhooks", id.as_str(), "stats"]).await?;
        let said = reply.object()?;
        let number = |place| read::number(&said, &[place]);
        Ok(WebhookStats {
            total: number("/total"),
            success_count: number("/success_count"),
            failed_count: number("/failed_count"),
            success_rate: said.get("success_rate").and_then(Value::as_f64),
            avg_duration_ms: number("/avg_duration_ms"),
            max_duration_ms: number("/max_duration_ms"),
            last_delivery_at: read::text(&said, &["/last_delivery_at"]),
        })
    }
    /// `POST /api/v1/workspace/webhooks/{webhook_id}/reveal-secret`: the secret that signs deliveries. Changes nothing.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422, 428; 403 and 428 where Phala Cloud wants a second factor first.
    pub async fn reveal_webhook_secret(
        &self,
        id: &WebhookId,
        factor: Option<&SecondFactor>,
    ) -> Result<WebhookSecret, CloudError> {
        self.webhook_secret(id, "reveal-secret", factor).await
    }
    /// `POST /api/v1/workspace/webhooks/{webhook_id}/rotate-secret`: another secret from now on, which the answer gives.
    ///
    /// # Errors
    /// As [`Self::reveal_webhook_secret`]: 401, 403, 404, 422, 428. After [`CloudError::Http`] with `Sent::Maybe` or
    /// [`CloudError::Unexpected`] the secret may be another one already: reveal it.
    pub async fn rotate_webhook_secret(
        &self,
        id: &WebhookId,
        factor: Option<&SecondFactor>,
    ) -> Result<WebhookSecret, CloudError> {
        self.webhook_secret(id, "rotate-secret", factor).await
    }

    async fn webhook_secret(
        &self,
        id: &WebhookId,
        what: &str,
        factor: Option<&SecondFactor>,
    ) -> Result<WebhookSecret, CloudError> {
        let path = ["workspace", "webhooks", id.as_str(), what];
        let mut call = self.call(Method::POST, &path, Retry::Write)?;
        call.json(&json!({}))?;
        if let Some(SecondFactor(cookie)) = factor {
            // `new` let nothing else in than a header can carry.
            let mut value = HeaderValue::from_str(cookie).unwrap_or_else(|_| HeaderValue::from_static(""));
            value.set_sensitive(true);
            call.request.headers.insert(COOKIE, value);
            call.secrets.add(cookie);
            for (_, value) in cookie.split(';').filter_map(|pair| pair.split_once('=')) {
                call.secrets.add(value);
            }
        }
        let reply = self.send(call, Key::Needed).await?;
        let said = reply.secretive()?;
        let secret = read::document(&said, "/secret").filter(|secret| !secret.is_empty());
        let secret = secret.ok_or_else(|| reply.unexpected("no secret in it"))?;
        Ok(WebhookSecret(Zeroizing::new(secret)))
    }
    /// `POST /api/v1/workspace/webhooks`: gives the webhook, and the secret that signs its deliveries.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 422.
    pub async fn create_webhook(&self, new: &NewWebhook) -> Result<(Webhook, Option<WebhookSecret>), CloudError> {
        let mut call = self.call(Method::POST, &["workspace", "webhooks"], Retry::Write)?;
        if let Some(secret) = &new.secret {
            call.secrets.add(secret.expose());
        }
        call.json(&NewBody {
            url: &new.url,
            events: &new.events,
            name: new.name.as_deref(),
            secret: new.secret.as_ref().map(WebhookSecret::expose),
        })?;
        let reply = self.send(call, Key::Needed).await?;
        let made = reply.secretive()?;
        let secret = read::document(&made, "/secret").filter(|secret| !secret.is_empty());
        Ok((
            Webhook::read(&made),
            secret.map(|secret| WebhookSecret(Zeroizing::new(secret))),
        ))
    }
    /// `DELETE /api/v1/workspace/webhooks/{webhook_id}`
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn delete_webhook(&self, id: &WebhookId) -> Result<(), CloudError> {
        let call = self.call(Method::DELETE, &["workspace", "webhooks", id.as_str()], Retry::Write)?;
        self.send(call, Key::Needed).await?.done()
    }
    /// `POST /api/v1/workspace/webhooks/{webhook_id}/test`: has a test event sent.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn test_webhook(&self, id: &WebhookId) -> Result<Value, CloudError> {
        let path = ["workspace", "webhooks", id.as_str(), "test"];
        let mut call = self.call(Method::POST, &path, Retry::Write)?;
        call.json(&json!({}))?;
        self.send(call, Key::Needed).await?.anything()
    }
    /// `GET /api/v1/workspace/webhooks/{webhook_id}/deliveries`, the latest first.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn deliveries(&self, id: &WebhookId, limit: u32, offset: u32) -> Result<Vec<Delivery>, CloudError> {
        let path = ["workspace", "webhooks", id.as_str(), "deliveries"];
        let mut call = self.call(Method::GET, &path, Retry::Read)?;
        call.query("limit", &limit.to_string());
        call.query("offset", &offset.to_string());
        let reply = self.send(call, Key::Needed).await?;
        let answer = reply.value()?;
        reply.items(&answer, |item| Ok(Delivery::read(item)))
    }
    /// `POST /api/v1/workspace/webhooks/{webhook_id}/deliveries/{event_id}/resend`: has an event delivered again, under a
    /// new id that names this one.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn resend_delivery(&self, id: &WebhookId, event: &EventId) -> Result<Value, CloudError> {
        let path = [
            "workspace",
            "webhooks",
            id.as_str(),
            "deliveries",
            event.as_str(),
            "resend",
        ];
        let mut call = self.call(Method::POST, &path, Retry::Write)?;
        call.json(&json!({}))?;
        self.send(call, Key::Needed).await?.anything()
    }
}

#[derive(Serialize)]
struct NewBody<'a> {
    url: &'a Url,
    events: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<&'a str>,
}

impl Reply {
    /// A success that may say anything, or nothing.
    fn anything(&self) -> Result<Value, CloudError> {
        self.done()?;
        if self.answer.body.is_empty() {
            return Ok(Value::Null);
        }
        self.value()
    }
    /// A success that may hold a secret: nothing of it is repeated when it cannot be read.
    fn unrepeated(&self) -> Result<Value, CloudError> {
        match self.value() {
            Err(CloudError::Unexpected { .. }) => Err(self.unexpected("not JSON")),
            other => other,
        }
    }
    /// A success that may hold a secret and has to be an object: nothing of it is repeated when it is not one.
    fn secretive(&self) -> Result<Value, CloudError> {
        match self.unrepeated()? {
            said @ Value::Object(_) => Ok(said),
            _ => Err(self.unexpected("not a JSON object")),
        }
    }
}

impl Webhook {
    fn read(item: &Value) -> Self {
        Self {
            id: read::text(item, &["/id"]),
            url: read::text(item, &["/url"]),
            events: read::texts(item, "/events"),
            name: read::text(item, &["/name"]),
            enabled: read::flag(item, &["/enabled"]),
            created_at: read::text(item, &["/created_at"]),
        }
    }
}

impl Delivery {
    fn read(item: &Value) -> Self {
        Self {
            event_id: read::text(item, &["/event_id"]),
            event_type: read::text(item, &["/event_type"]),
            status: read::text(item, &["/status"]),
            attempts: read::number(item, &["/attempts"]),
            response_status: read::number(item, &["/response_status"]),
            error_message: read::text(item, &["/error_message"]),
            created_at: read::text(item, &["/created_at"]),
            delivered_at: read::text(item, &["/delivered_at"]),
            original_event_id: read::text(item, &["/original_event_id"]),
        }
    }
}
