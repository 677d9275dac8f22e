//! Going back to a revision that the cloud keeps, at once: no token, no proof of ours, and no look at what it holds.
//!
//! The server asks the chain whether the revision's hash is allowed, where a contract guards the CVM, and nothing else.

use alloy::primitives::{Address, B256};
use reqwest::Method;
use serde_json::json;

use crate::cloud::apps::segment;
use crate::cloud::id::RevisionId;
use crate::cloud::updates::{Accepted, Patched, RawAnswer};
use crate::cloud::{Call, Client, CloudError, CvmId, Key};
use crate::http::Retry;

/// A revision that is to run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redeployment {
    /// Which one.
    pub revision: RevisionId,
    /// The transaction that allowed its hash; the server asks the chain itself without it.
    pub transaction: Option<B256>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, inventory::redeploy::Redeployment};
/// # async fn example(client: &Client, id: &CvmId, app: alloy::primitives::Address, back: &Redeployment) -> Result<(), CloudError> {
/// client.redeploy_cvm(id, back).await?;
/// client.redeploy_app(app, &["6b1f0f4e-3c1a-4a6a-8c59-0a8f5d3c2b11".parse()?], back).await?;
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `POST /api/v1/cvms/{cvm_id}/revisions/{revision_id}/redeploy`: the CVM runs that revision, at once.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 409, 422. 465 is no error.
    pub async fn redeploy_cvm(&self, id: &CvmId, back: &Redeployment) -> Result<Patched, CloudError> {
        let path = ["cvms", id.as_str(), "revisions", back.revision.as_str(), "redeploy"];
        let call = self.call(Method::POST, &path, Retry::Write)?;
        self.redeploy(call, back).await
    }
    /// `POST /api/v1/apps/{app_id}/revisions/{revision_id}/redeploy`: these CVMs of the app, by their UUIDs, run that revision, at
    /// once; the only one that there is where none is named.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 409, 422. 465 is no error.
    pub async fn redeploy_app(
        &self,
        app: Address,
        uuids: &[CvmId],
        back: &Redeployment,
    ) -> Result<Patched, CloudError> {
        let path = ["apps", &segment(app), "revisions", back.revision.as_str(), "redeploy"];
        let mut call = self.call(Method::POST, &path, Retry::Write)?;
        if !uuids.is_empty() {
            let uuids: Vec<&str> = uuids.iter().map(CvmId::as_str).collect();
            call.json(&json!({ "vm_uuids": uuids }))?;
        }
        self.redeploy(call, back).await
    }

    async fn redeploy(&self, mut call: Call, back: &Redeployment) -> Result<Patched, CloudError> {
        if let Some(transaction) = back.transaction {
            call.query("transaction_hash", &transaction.to_string());
        }
        let reply = self.send(call, Key::Needed).await?;
        match reply.answer.status {
            465 => RawAnswer::from(reply).read(),
            // The published file does not say what an acceptance holds; of several CVMs each may have an operation.
            _ => {
                let accepted = match reply.value()? {
                    serde_json::Value::Array(_) => Accepted::default(),
                    _ => reply.taken()?,
                };
                Ok(Patched::Accepted(accepted))
            }
        }
    }
}
