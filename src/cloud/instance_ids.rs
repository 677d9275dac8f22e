//! Instance ids: having the cloud read them again.
//!
//! Nothing makes a new id, whatever some documents say: the server asks node and gateway what the id is, and writes
//! down what they answer.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::read;
use super::{Client, CloudError, CvmId, Key};
use crate::http::Retry;

/// How to refresh; what is not said, the server decides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Refresh {
    /// Whether another id may replace one that is there; `false` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overwrite: Option<bool>,
    /// Only say what would change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dry_run: Option<bool>,
}

/// Which CVMs of the workspace to refresh, and how; what is not said, the server decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct RefreshMany {
    /// Only these; all of the workspace's without it.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "names")]
    pub cvm_ids: Option<Vec<CvmId>>,
    /// Only those that run; `true` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_only: Option<bool>,
    /// Only those without an id; `true` by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_only: Option<bool>,
    /// How each of them is refreshed.
    #[serde(flatten)]
    pub refresh: Refresh,
    /// Most CVMs of one request, 1 to 500; 100 by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// What became of one id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refreshed {
    /// CVM: a number, or `cvm_…` in newer versions.
    pub cvm_id: Option<String>,
    /// What the CVM was called in the request.
    pub identifier: Option<String>,
    /// `updated`, `unchanged`, `skipped`, `conflict` or `error`, as the server writes it.
    pub status: Option<String>,
    /// Before.
    pub old_instance_id: Option<String>,
    /// Now.
    pub new_instance_id: Option<String>,
    /// Who said so: `teepod_state`, `teepod_info`, `gateway` or `none`.
    pub source: Option<String>,
    /// Whether the gateway agrees.
    pub verified_with_gateway: Option<bool>,
    /// Why nothing changed.
    pub reason: Option<String>,
}

/// What became of many ids.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshedMany {
    /// CVMs that the request meant.
    pub total: Option<u64>,
    /// CVMs that were looked at.
    pub scanned: Option<u64>,
    /// Changed.
    pub updated: Option<u64>,
    /// Ids that stayed as they were.
    pub unchanged: Option<u64>,
    /// Left out.
    pub skipped: Option<u64>,
    /// Another id was there.
    pub conflicts: Option<u64>,
    /// Not readable.
    pub errors: Option<u64>,
    /// Each of them.
    pub items: Vec<Refreshed>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, instance_ids::{Refresh, RefreshMany}};
/// # async fn example(client: &Client, id: &CvmId) -> Result<(), CloudError> {
/// let looked = client.refresh_instance_id(id, Refresh { dry_run: Some(true), overwrite: None }).await?;
/// println!("{:?}", looked.status);
/// println!("{:?}", client.refresh_instance_ids(&RefreshMany::default()).await?.items);
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `PATCH /api/v1/cvms/{cvm_id}/instance-id`
    ///
    /// Documented as `refreshCvmInstanceId`, there with another verb and path (`POST …/refresh-instance-id`), which the
    /// server does not have.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn refresh_instance_id(&self, id: &CvmId, refresh: Refresh) -> Result<Refreshed, CloudError> {
        let mut call = self.call(Method::PATCH, &["cvms", id.as_str(), "instance-id"], Retry::Write)?;
        call.json(&refresh)?;
        let reply = self.send(call, Key::Needed).await?;
        Ok(Refreshed::read(&reply.object()?))
    }
    /// `PATCH /api/v1/cvms/instance-ids`
    ///
    /// Documented as `refreshCvmInstanceIds`, there with another verb, path and body (`POST …/refresh-instance-ids`,
    /// `ids`), which the server does not have.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 422.
    pub async fn refresh_instance_ids(&self, which: &RefreshMany) -> Result<RefreshedMany, CloudError> {
        let mut call = self.call(Method::PATCH, &["cvms", "instance-ids"], Retry::Write)?;
        call.json(which)?;
        let reply = self.send(call, Key::Needed).await?;
        let answer = reply.object()?;
        let count = |place| read::number(&answer, &[place]);
        Ok(RefreshedMany {
            total: count("/total"),
            scanned: count("/scanned"),
            updated: count("/updated"),
            unchanged: count("/unchanged"),
            skipped: count("/skipped"),
            conflicts: count("/conflicts"),
            errors: count("/errors"),
            items: reply.items(&answer, |item| Ok(Refreshed::read(item)))?,
        })
    }
}

impl Refreshed {
    fn read(item: &Value) -> Self {
        Self {
            cvm_id: read::text(item, &["/cvm_id"]),
            identifier: read::text(item, &["/identifier"]),
            status: read::text(item, &["/status"]),
            old_instance_id: read::text(item, &["/old_instance_id"]),
            new_instance_id: read::text(item, &["/new_instance_id"]),
            source: read::text(item, &["/source"]),
            verified_with_gateway: read::flag(item, &["/verified_with_gateway"]),
            reason: read::text(item, &["/reason"]),
        }
    }
}

#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn names<S: serde::Serializer>(ids: &Option<Vec<CvmId>>, to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(ids.iter().flatten().map(CvmId::as_str))
}
