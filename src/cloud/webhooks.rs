//! A workspace's webhooks: where the cloud tells what happens to its CVMs.
//!
//! The secret that signs deliveries comes with the answer to [`Client::create_webhook`] and is kept out of every text.

use reqwest::Method;
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

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, EventId, NewWebhook, WebhookId};
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
        let (reply, answer) = self.get(&["workspace", "webhooks"]).await?;
        reply.items(&answer, |item| Ok(Webhook::read(item)))
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
    fn secretive(&self) -> Result<Value, CloudError> {
        match self.value() {
            Ok(said @ Value::Object(_)) => Ok(said),
            Ok(_) => Err(self.unexpected("not a JSON object")),
            Err(CloudError::Unexpected { .. }) => Err(self.unexpected("not JSON")),
            Err(error) => Err(error),
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
