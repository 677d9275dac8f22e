//! Replicas: another instance of the same app, on the same node or another one.

use reqwest::Method;
use reqwest::header::HeaderValue;
use serde::Serialize;

use super::updates::{CommitBody, PREPARE_ONLY};
use super::{
    Call, Client, CloudError, Cvm, CvmId, Key,
    updates::{Commit, Patched, Prepared, RawAnswer},
};
use crate::compose::ComposeHash;
use crate::http::Retry;

/// What the replica should be; absent means as the source is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Replica {
    /// Node that should run it; the source's own without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_id: Option<u64>,
    /// Sealed environment, hex; the source's own without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted_env: Option<String>,
    /// Which revision; needed when the app runs several (`ERR-03-009`).
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "bare")]
    pub compose_hash: Option<ComposeHash>,
}

/// Outcome of a replication.
#[derive(Debug, Clone)]
pub enum Replicated {
    /// 200: it was made.
    Created(Box<Cvm>),
    /// 465: the hash or the node's device has to be allowed on chain first.
    HashRequired(Box<Prepared>),
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, updates::Commit, replicas::Replica};
/// # async fn example(client: &Client, id: &CvmId, commit: Commit<'_>) -> Result<(), CloudError> {
/// let replica = Replica { node_id: Some(18), ..Replica::default() };
/// client.replicate(id, &replica).await?;
/// // On an on-chain KMS it may need an approval first.
/// let answer = client.prepare_replica(id, &replica).await?;
/// println!("{:?}", answer.read_replica()?);
/// client.commit_replica(id, commit).await?;
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `POST /api/v1/cvms/{cvm_id}/replicas`
    ///
    /// Documented as `replicateCvm`, `replicate_cvm` and "Replicate CVM". The JavaScript page names another path
    /// (`/replicate`) and body (`name`, `image`), which neither the server nor any client has.
    ///
    /// # Errors
    /// See [`CloudError`]: 400 node, image or environment, 401, 403, 404 also for the node, 422, 500. 465 is no error.
    pub async fn replicate(&self, id: &CvmId, replica: &Replica) -> Result<Replicated, CloudError> {
        let call = self.replica_call(id, replica)?;
        RawAnswer::from(self.send(call, Key::Needed).await?).read_replica()
    }
    /// `POST /api/v1/cvms/{cvm_id}/replicas` with `X-Prepare-Only`: makes a token for [`Self::commit_replica`].
    ///
    /// On an off-chain KMS the header is ignored and the replica is made at once.
    ///
    /// # Errors
    /// No answer came. Any status, also a refusal, is an answer: see [`RawAnswer::read_replica`]
    /// (400, 401, 403, 404, 422, 465, 500).
    pub async fn prepare_replica(&self, id: &CvmId, replica: &Replica) -> Result<RawAnswer, CloudError> {
        let mut call = self.replica_call(id, replica)?;
        call.request
            .headers
            .insert(PREPARE_ONLY, HeaderValue::from_static("true"));
        Ok(self.send(call, Key::Needed).await?.into())
    }
    /// `POST /api/v1/cvms/{cvm_id}/commit-replica`: makes the replica that was prepared; needs no API key.
    ///
    /// # Errors
    /// See [`CloudError`]: 404, 409 busy, 422, 465 and 468 not allowed on chain, 466 token or hash, 467 transaction.
    pub async fn commit_replica(&self, id: &CvmId, commit: Commit<'_>) -> Result<Cvm, CloudError> {
        let mut call = self.call(Method::POST, &["cvms", id.as_str(), "commit-replica"], Retry::Write)?;
        call.hide(commit.token);
        call.json(&CommitBody::new(commit))?;
        call.request.time = Some(self.http.limits().total * 2);
        self.send(call, Key::IfGiven).await?.cvm()
    }

    fn replica_call(&self, id: &CvmId, replica: &Replica) -> Result<Call, CloudError> {
        let mut call = self.call(Method::POST, &["cvms", id.as_str(), "replicas"], Retry::Write)?;
        call.json(replica)?;
        call.request.time = Some(self.http.limits().total * 2);
        Ok(call)
    }
}

impl RawAnswer {
    /// Reads an answer to [`Client::prepare_replica`].
    ///
    /// # Errors
    /// As [`RawAnswer::read`].
    pub fn read_replica(&self) -> Result<Replicated, CloudError> {
        if self.status == 200 {
            return Ok(Replicated::Created(Box::new(self.cvm()?)));
        }
        match self.read()? {
            Patched::HashRequired(prepared) => Ok(Replicated::HashRequired(prepared)),
            Patched::Accepted(_) => Ok(Replicated::Created(Box::new(self.cvm()?))),
        }
    }
}

/// Hashes go out without `0x`, as the server gives them.
#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
pub(super) fn bare<S: serde::Serializer>(hash: &Option<ComposeHash>, to: S) -> Result<S::Ok, S::Error> {
    match hash {
        Some(hash) => to.serialize_str(&hash.bare()),
        None => to.serialize_none(),
    }
}
