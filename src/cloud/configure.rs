//! What a CVM is configured to be: resources, visibility, name, script, compose text, environment, OS image.
//!
//! Every change but that of a name or of what is listed restarts the CVM. What the manifest covers needs a second phase on an on-chain KMS: the first answer is
//! [`Patched::HashRequired`], and the same call with [`Approved`] carries it out once the owner allowed the hash. These
//! calls give no commit token; [`Client::prepare`] does.

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::read;
use super::updates::{COMPOSE_HASH, TRANSACTION_HASH};
use super::{
    Call, Client, CloudError, Cvm, CvmId, Key, Reply,
    patch::Patch,
    provision::CvmName,
    updates::{Accepted, Patched, Prepared, RawAnswer, Registration},
};
use crate::compose::{Changes, ComposeHash, strict_json};
use crate::http::Retry;

const YAML: HeaderValue = HeaderValue::from_static("text/yaml");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain");

/// What FastAPI says of a path that it does not have.
const NO_SUCH_PATH: &str = "Not Found";

/// Resources to change; absent ones stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ResourceChange {
    /// Virtual CPUs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vcpu: Option<u32>,
    /// Memory, MB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<u32>,
    /// Disk, GB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk_size: Option<u32>,
    /// Instance type, for example `tdx.medium`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    /// Whether the server may restart the CVM for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_restart: Option<bool>,
}

/// Who may read what a CVM says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Visibility {
    /// Whether anybody may read system information.
    pub public_sysinfo: bool,
    /// Whether anybody may read the logs.
    pub public_logs: bool,
    /// Whether anybody may read TCB information; unchanged without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_tcbinfo: Option<bool>,
}

/// A new environment, sealed for the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Envs {
    /// The sealed blob, hex.
    pub encrypted_env: String,
    /// Names that the guest may receive; unchanged without it. Another list is another compose hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub env_keys: Option<Vec<String>>,
}

/// Second phase of a change: the hash of the first one, and what proves that the owner allowed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approved {
    /// Hash that the first phase named.
    pub hash: ComposeHash,
    /// The proof.
    pub by: Registration,
}

/// What became of a change.
#[derive(Debug, Clone)]
pub enum Changed {
    /// 200: done; the record as it is now.
    Updated(Box<Cvm>),
    /// The server works on it.
    Accepted(Accepted),
    /// 465: the hash has to be allowed on chain first.
    HashRequired(Box<Prepared>),
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, configure::{Approved, Envs, ResourceChange, Visibility}, updates::Registration};
/// # use countersign::compose::ComposeHash;
/// # async fn example(client: &Client, id: &CvmId, hash: ComposeHash) -> Result<(), CloudError> {
/// client.set_resources(id, &ResourceChange { vcpu: Some(4), ..ResourceChange::default() }).await?;
/// client.set_visibility(id, Visibility { public_sysinfo: true, public_logs: false, public_tcbinfo: None }).await?;
/// client.set_listed(id, false).await?;
/// client.set_name(id, &"other-name".parse()?).await?;
/// client.schedule_delete(id, None).await?;
/// client.set_os_image(id, "dstack-0.5.8").await?;
/// let envs = Envs { encrypted_env: "abcd".to_owned(), env_keys: None };
/// client.set_envs(id, &envs, None).await?;
/// client.set_docker_compose(id, "services: {}\n", None).await?;
/// // The second phase, once the app's owner allowed the hash that the first one named.
/// let approved = Some(Approved { hash, by: Registration::Already });
/// client.set_pre_launch_script(id, "#!/bin/sh\n", approved).await?;
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `PATCH /api/v1/cvms/{cvm_id}/resources`
    ///
    /// Documented as `updateCvmResources`. The published OpenAPI file no longer has the path: where the server has
    /// dropped it, the same fields go to the unified PATCH, as newer clients send them.
    ///
    /// # Errors
    /// See [`CloudError`]: 400, 401, 403, 404, 409 busy, 422.
    pub async fn set_resources(&self, id: &CvmId, change: &ResourceChange) -> Result<Changed, CloudError> {
        let mut call = self.call(Method::PATCH, &["cvms", id.as_str(), "resources"], Retry::Write)?;
        call.json(change)?;
        match self.send(call, Key::Needed).await?.changed() {
            Err(error) if lacks_path(&error) && change.instance_type.is_none() => {
                let patch = Patch {
                    vcpu: change.vcpu,
                    memory: change.memory,
                    disk_size: change.disk_size,
                    ..Patch::default()
                };
                self.patch(id, &patch).await?.changed()
            }
            outcome => outcome,
        }
    }
    /// `PATCH /api/v1/cvms/{cvm_id}/visibility`
    ///
    /// Documented as `updateCvmVisibility`, there with the field `listed`, which is [`Self::set_listed`]. The published
    /// OpenAPI file no longer has the path: where the server has dropped it, the fields go to the unified PATCH.
    ///
    /// # Errors
    /// See [`CloudError`]: 400, 401, 403, 404, 409 busy, 422.
    pub async fn set_visibility(&self, id: &CvmId, visibility: Visibility) -> Result<Changed, CloudError> {
        let mut call = self.call(Method::PATCH, &["cvms", id.as_str(), "visibility"], Retry::Write)?;
        call.json(&visibility)?;
        match self.send(call, Key::Needed).await?.changed() {
            Err(error) if lacks_path(&error) => {
                let changes = Changes {
                    public_sysinfo: Some(visibility.public_sysinfo),
                    public_logs: Some(visibility.public_logs),
                    public_tcbinfo: visibility.public_tcbinfo,
                    ..Changes::default()
                };
                let patch = Patch {
                    changes,
                    ..Patch::default()
                };
                self.patch(id, &patch).await?.changed()
            }
            outcome => outcome,
        }
    }
    /// `PATCH /api/v1/cvms/{cvm_id}/listed`: whether the public directory names the CVM.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn set_listed(&self, id: &CvmId, listed: bool) -> Result<Cvm, CloudError> {
        let mut call = self.call(Method::PATCH, &["cvms", id.as_str(), "listed"], Retry::Write)?;
        call.json(&json!({ "listed": listed }))?;
        self.send(call, Key::Needed).await?.cvm()
    }
    /// `PATCH /api/v1/cvms/{cvm_id}/name`: another name, by the rules of a new CVM's. Some servers take no identifier but `cvm_…`
    /// here.
    ///
    /// # Errors
    /// See [`CloudError`]: 400 in use, 401, 403, 404, 422.
    pub async fn set_name(&self, id: &CvmId, name: &CvmName) -> Result<(), CloudError> {
        let mut call = self.call(Method::PATCH, &["cvms", id.as_str(), "name"], Retry::Write)?;
        call.json(&json!({ "name": name }))?;
        self.send(call, Key::Needed).await?.done()
    }
    /// `PATCH /api/v1/cvms/{cvm_id}/scheduled-delete`: when the CVM is deleted with all its data; never without a time.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn schedule_delete(&self, id: &CvmId, at: Option<jiff::Timestamp>) -> Result<Cvm, CloudError> {
        let mut call = self.call(Method::PATCH, &["cvms", id.as_str(), "scheduled-delete"], Retry::Write)?;
        call.json(&json!({ "scheduled_delete_at": at.map(|at| at.to_string()) }))?;
        self.send(call, Key::Needed).await?.cvm()
    }
    /// `PATCH /api/v1/cvms/{cvm_id}/pre-launch-script`, the script as plain text.
    ///
    /// Documented as `updatePreLaunchScript`.
    ///
    /// # Errors
    /// See [`CloudError`]: 400 empty, 401, 403, 404, 409 busy, 422, 465 for another hash than the
    /// first phase named, 466 hash, 467 transaction, 468 not allowed, 500.
    pub async fn set_pre_launch_script(
        &self,
        id: &CvmId,
        script: &str,
        approved: Option<Approved>,
    ) -> Result<Patched, CloudError> {
        let mut call = self.call(Method::PATCH, &["cvms", id.as_str(), "pre-launch-script"], Retry::Write)?;
        call.text(PLAIN, script);
        self.set_text(call, approved).await
    }
    /// `PATCH /api/v1/cvms/{cvm_id}/docker-compose`, the Docker Compose text as YAML.
    ///
    /// # Errors
    /// See [`CloudError`]: 400 empty, 401, 403, 404, 409 busy, 422, 465 for another hash than the
    /// first phase named, 466 hash, 467 transaction, 468 not allowed, 500.
    pub async fn set_docker_compose(
        &self,
        id: &CvmId,
        text: &str,
        approved: Option<Approved>,
    ) -> Result<Patched, CloudError> {
        let mut call = self.call(Method::PATCH, &["cvms", id.as_str(), "docker-compose"], Retry::Write)?;
        call.text(YAML, text);
        self.set_text(call, approved).await
    }
    /// `PATCH /api/v1/cvms/{cvm_id}/envs`; in the second phase hash and transaction stand in the body.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 409 busy, 422, 465 for another hash than the first
    /// phase named, 466 hash, 467 transaction, 468 not allowed, 500.
    pub async fn set_envs(&self, id: &CvmId, envs: &Envs, approved: Option<Approved>) -> Result<Patched, CloudError> {
        let mut call = self.call(Method::PATCH, &["cvms", id.as_str(), "envs"], Retry::Write)?;
        call.json(&EnvsBody {
            envs,
            compose_hash: approved.map(|approved| approved.hash.bare()),
            transaction_hash: approved.map(|approved| approved.by.text()),
        })?;
        call.patience(self, approved);
        RawAnswer::from(self.send(call, Key::Needed).await?).read()
    }
    /// `PATCH /api/v1/cvms/{cvm_id}/os-image`
    ///
    /// Documented as `updateOsImage`, there with the field `image`; the server and the clients say `os_image_name`.
    ///
    /// # Errors
    /// See [`CloudError`]: 400 not available for this CVM, 401, 403, 404, 409 busy, 422.
    pub async fn set_os_image(&self, id: &CvmId, name: &str) -> Result<Accepted, CloudError> {
        let mut call = self.call(Method::PATCH, &["cvms", id.as_str(), "os-image"], Retry::Write)?;
        call.json(&json!({ "os_image_name": name }))?;
        self.send(call, Key::Needed).await?.taken()
    }

    /// Sends a text.
    async fn set_text(&self, mut call: Call, approved: Option<Approved>) -> Result<Patched, CloudError> {
        if let Some(approved) = approved {
            call.head(COMPOSE_HASH, &approved.hash.bare())?;
            call.head(TRANSACTION_HASH, &approved.by.text())?;
        }
        call.patience(self, approved);
        RawAnswer::from(self.send(call, Key::Needed).await?).read()
    }
}

/// Body of `envs`.
#[derive(Serialize)]
struct EnvsBody<'a> {
    #[serde(flatten)]
    envs: &'a Envs,
    #[serde(skip_serializing_if = "Option::is_none")]
    compose_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_hash: Option<String>,
}

impl Call {
    fn text(&mut self, kind: HeaderValue, text: &str) {
        self.request.headers.insert(CONTENT_TYPE, kind);
        self.request.body = Some(text.as_bytes().to_vec());
    }

    /// A second phase reads the chain before it answers.
    pub(super) fn patience(&mut self, client: &Client, approved: Option<Approved>) {
        if approved.is_some() {
            self.request.time = Some(client.http.limits().total * 2);
        }
    }
}

impl Reply {
    /// A success that may name its operation, or say nothing at all.
    pub(super) fn taken(&self) -> Result<Accepted, CloudError> {
        self.done()?;
        if self.answer.body.is_empty() {
            return Ok(Accepted::default());
        }
        match self.value()? {
            Value::Null => Ok(Accepted::default()),
            said @ Value::Object(_) => Ok(Accepted {
                correlation_id: read::text(&said, &["/correlation_id"]),
                status: read::text(&said, &["/status"]),
            }),
            _ => Err(self.unexpected("neither an object nor nothing")),
        }
    }

    fn changed(self) -> Result<Changed, CloudError> {
        RawAnswer::from(self).changed()
    }
}

impl RawAnswer {
    /// Reads an answer that may be a record, an operation, nothing, or a 465.
    fn changed(&self) -> Result<Changed, CloudError> {
        if !matches!(self.status, 200..=204) {
            return match self.read()? {
                Patched::HashRequired(prepared) => Ok(Changed::HashRequired(prepared)),
                Patched::Accepted(accepted) => Ok(Changed::Accepted(accepted)),
            };
        }
        let said = strict_json(&self.bytes, self.bytes.len());
        match said {
            _ if self.bytes.is_empty() => Ok(Changed::Accepted(Accepted::default())),
            Ok(Value::Null) => Ok(Changed::Accepted(Accepted::default())),
            Ok(said) if read::text(&said, &["/correlation_id"]).is_none() => {
                Ok(Changed::Updated(Box::new(self.cvm()?)))
            }
            _ => match self.read()? {
                Patched::Accepted(accepted) => Ok(Changed::Accepted(accepted)),
                Patched::HashRequired(prepared) => Ok(Changed::HashRequired(prepared)),
            },
        }
    }
}

/// Whether the server does not have the path, as opposed to the CVM. Nothing happened then.
fn lacks_path(error: &CloudError) -> bool {
    match error {
        CloudError::NotFound(problem) => problem.code.is_none() && problem.message == NO_SUCH_PATH,
        CloudError::Refused(problem) => problem.status == 405,
        _ => false,
    }
}
