//! The texts that a CVM runs, as the cloud keeps them, and the official script that runs before the containers.

use alloy::primitives::B256;
use reqwest::Method;
use serde::{Deserialize, Serialize};

use crate::cloud::configure::Approved;
use crate::cloud::read;
use crate::cloud::updates::{COMPOSE_HASH, Patched, RawAnswer, TRANSACTION_HASH};
use crate::cloud::{Client, CloudError, CvmId, Key, Reply};
use crate::compose::strict_json;
use crate::http::Retry;

/// How a CVM's script stands to Phala's official ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScriptStatus {
    /// SHA-256 of the script that the CVM has.
    pub current_hash: Option<B256>,
    /// SHA-256 of the newest official one.
    pub latest_official_hash: Option<B256>,
    /// Whether the CVM's is an official one.
    pub is_official: Option<bool>,
    /// Whether it is the newest.
    pub is_latest: Option<bool>,
    /// Whether it is official and not the newest.
    pub can_upgrade: Option<bool>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId};
/// # async fn example(client: &Client, id: &CvmId) -> Result<(), CloudError> {
/// println!("{}", client.docker_compose(id).await?);
/// println!("{}", client.pre_launch_script(id).await?);
/// if client.script_status(id).await?.can_upgrade == Some(true) {
///     client.upgrade_script(id, None).await?;
/// }
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `GET /api/v1/cvms/{cvm_id}/docker-compose.yml`: the text as it came; escape it before it is shown.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn docker_compose(&self, id: &CvmId) -> Result<String, CloudError> {
        self.text(&["cvms", id.as_str(), "docker-compose.yml"]).await
    }
    /// `GET /api/v1/cvms/{cvm_id}/pre-launch-script`: the text as it came; escape it before it is shown.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn pre_launch_script(&self, id: &CvmId) -> Result<String, CloudError> {
        self.text(&["cvms", id.as_str(), "pre-launch-script"]).await
    }
    /// `GET /api/v1/cvms/{cvm_id}/pre-launch-script/upgrade-status`. Shape:
    /// `js/src/actions/cvms/get_prelaunch_script_upgrade_status.ts` of Phala-Network/phala-cloud.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn script_status(&self, id: &CvmId) -> Result<ScriptStatus, CloudError> {
        let path = ["cvms", id.as_str(), "pre-launch-script", "upgrade-status"];
        let (reply, _) = self.get(&path).await?;
        let said = reply.object()?;
        Ok(ScriptStatus {
            current_hash: reply.sound(read::word(&said, &["/current_hash"]))?,
            latest_official_hash: reply.sound(read::word(&said, &["/latest_official_hash"]))?,
            is_official: read::flag(&said, &["/is_official"]),
            is_latest: read::flag(&said, &["/is_latest"]),
            can_upgrade: read::flag(&said, &["/can_upgrade"]),
        })
    }
    /// `POST /api/v1/cvms/{cvm_id}/pre-launch-script/upgrade-to-latest-official`: the script's text is the server's own; the
    /// CVM restarts. A change of the manifest like any other: the first phase names a hash on an on-chain KMS. Shape:
    /// `go/cvms_compose.go` of Phala-Network/phala-cloud.
    ///
    /// # Errors
    /// See [`CloudError`]: 400, 401, 403, 404, 409 busy, 422, 465 for another hash than the first phase named, 466 hash, 467
    /// transaction, 468 not allowed, 500.
    pub async fn upgrade_script(&self, id: &CvmId, approved: Option<Approved>) -> Result<Patched, CloudError> {
        let path = ["cvms", id.as_str(), "pre-launch-script", "upgrade-to-latest-official"];
        let mut call = self.call(Method::POST, &path, Retry::Write)?;
        if let Some(approved) = approved {
            call.head(COMPOSE_HASH, &approved.hash.bare())?;
            call.head(TRANSACTION_HASH, &approved.by.text())?;
        }
        call.patience(self, approved);
        RawAnswer::from(self.send(call, Key::Needed).await?).read()
    }

    /// Reads a text.
    async fn text(&self, segments: &[&str]) -> Result<String, CloudError> {
        let call = self.call(Method::GET, segments, Retry::Read)?;
        self.send(call, Key::Needed).await?.text()
    }
}

impl Reply {
    /// The text of a success: as one JSON string, as the published file says, or as it is, as the Go SDK reads it.
    fn text(self) -> Result<String, CloudError> {
        if !matches!(self.answer.status, 200..=202) {
            return Err(self.refusal());
        }
        let body = &self.answer.body;
        if let Ok(serde_json::Value::String(text)) = strict_json(body, body.len()) {
            return Ok(text);
        }
        let text = std::str::from_utf8(body).map_err(|_not_text| self.unexpected("no text"))?;
        Ok(text.to_owned())
    }
}
