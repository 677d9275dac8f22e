//! Instances: the CVMs of an app, and one more of them, which may run another revision of its code.

use alloy::primitives::Address;
use reqwest::Method;
use reqwest::header::HeaderValue;
use serde::Serialize;
use serde_json::Value;

use super::apps::segment;
use super::replicas::bare;
use super::updates::{CommitBody, PREPARE_ONLY};
use super::{
    Call, Client, CloudError, Cvm, Key,
    replicas::Replicated,
    updates::{Commit, RawAnswer},
};
use crate::compose::ComposeHash;
use crate::http::Retry;

/// Largest list that is read, bytes: some hundred records of ten kilobytes, and room.
const LIST: usize = 8 << 20;

/// What the instance should be; absent means as the app's other instances are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct NewInstance {
    /// Node that should run it; the server chooses without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<u64>,
    /// Docker Compose text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub docker_compose_file: Option<String>,
    /// Script that runs before the containers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_launch_script: Option<String>,
    /// Sealed environment, hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted_env: Option<String>,
    /// Which revision it is made from; needed when the app runs several (`ERR-03-009`).
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "bare")]
    pub compose_hash: Option<ComposeHash>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, updates::Commit, instances::NewInstance};
/// # async fn example(client: &Client, app: alloy::primitives::Address, commit: Commit<'_>) -> Result<(), CloudError> {
/// println!("{} CVMs", client.app_cvms(app).await?.len());
/// let instance = NewInstance { node_id: Some(18), ..NewInstance::default() };
/// client.create_instance(app, &instance).await?;
/// // On an on-chain KMS it may need an approval first.
/// let answer = client.prepare_instance(app, &instance).await?;
/// println!("{:?}", answer.read_replica()?);
/// client.commit_instance(app, commit).await?;
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `GET /api/v1/apps/{app_id}/cvms`: every CVM of an app, replicas among them.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn app_cvms(&self, app: Address) -> Result<Vec<Cvm>, CloudError> {
        let mut call = self.call(Method::GET, &["apps", &segment(app), "cvms"], Retry::Read)?;
        call.request.body_limit = Some(LIST);
        let reply = self.send(call, Key::Needed).await?;
        let answer = reply.value()?;
        let items = answer.get("items").unwrap_or(&answer);
        reply.items(items, |item: &Value| Cvm::read(item.clone()))
    }
    /// `POST /api/v1/apps/{app_id}/instances`: makes one at once; on an on-chain KMS where hash and device are allowed.
    ///
    /// # Errors
    /// See [`CloudError`]: 400 compose text, template or app, 401, 403, 404 also for the node, 422, 500; 465 is no error.
    pub async fn create_instance(&self, app: Address, instance: &NewInstance) -> Result<Replicated, CloudError> {
        let call = self.instance_call(app, instance)?;
        RawAnswer::from(self.send(call, Key::Needed).await?).read_replica()
    }
    /// `POST /api/v1/apps/{app_id}/instances` with `X-Prepare-Only`: makes a token for [`Self::commit_instance`].
    ///
    /// The published OpenAPI file does not name the header; the official command line sends it.
    ///
    /// # Errors
    /// No answer came. Any status, also a refusal, is an answer: see [`RawAnswer::read_replica`]
    /// (400, 401, 403, 404, 422, 465, 500).
    pub async fn prepare_instance(&self, app: Address, instance: &NewInstance) -> Result<RawAnswer, CloudError> {
        let mut call = self.instance_call(app, instance)?;
        call.request
            .headers
            .insert(PREPARE_ONLY, HeaderValue::from_static("true"));
        Ok(self.send(call, Key::Needed).await?.into())
    }
    /// `POST /api/v1/apps/{app_id}/instances` with a token: makes the instance that was prepared.
    ///
    /// # Errors
    /// See [`CloudError`]: 400, 401, 403, 404, 409 busy, 422, 465 and 468 not allowed on chain, 466 token or hash, 467
    /// transaction, 500.
    pub async fn commit_instance(&self, app: Address, commit: Commit<'_>) -> Result<Cvm, CloudError> {
        let mut call = self.instance_call(app, &CommitBody::new(commit))?;
        call.hide(commit.token);
        self.send(call, Key::Needed).await?.cvm()
    }

    fn instance_call(&self, app: Address, body: &impl Serialize) -> Result<Call, CloudError> {
        let mut call = self.call(Method::POST, &["apps", &segment(app), "instances"], Retry::Write)?;
        call.json(body)?;
        call.request.time = Some(self.http.limits().total * 2);
        Ok(call)
    }
}
