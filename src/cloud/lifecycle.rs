//! A CVM's life: start, stop, shut down, restart, delete, and the operations that do it.
//!
//! None of these waits: the server answers when it has taken the order. None is sent twice: after
//! [`CloudError::Http`] with `Sent::Maybe`, read the CVM before the order is given again.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::read;
use super::{Client, CloudError, Cvm, CvmId, Key, Reply};
use crate::compose::ComposeHash;
use crate::http::Retry;

/// Which operations of a CVM to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperationsQuery {
    /// Where the list goes on: [`Operations::next_cursor`] of the part before.
    pub cursor: Option<String>,
    /// Entries of this part, 1 to 500; the server's own number without it.
    pub limit: Option<u32>,
    /// Only these types, for example `compose_update` or `power_on`.
    pub types: Vec<String>,
}

/// Operations of a CVM, the latest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Operations {
    /// This part of them.
    pub items: Vec<Operation>,
    /// Where the list goes on; `None` at its end.
    pub next_cursor: Option<String>,
    /// About how many there are.
    pub total: Option<u64>,
}

/// One operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Operation {
    /// Its name, which every answer to an order gives as well.
    pub correlation_id: Option<String>,
    /// What it does, for example `compose_update`, `power_on`, `resize`.
    pub operation_type: Option<String>,
    /// State of the CVM after it.
    pub target_state: Option<String>,
    /// `completed`, `in_progress` or `failed`, as the server writes it.
    pub status: Option<String>,
    /// Begun (RFC 3339).
    pub started_at: Option<String>,
    /// Ended (RFC 3339).
    pub completed_at: Option<String>,
    /// Time it took, milliseconds.
    pub duration_ms: Option<u64>,
    /// Why it failed, in the server's words.
    pub error_message: Option<String>,
    /// Compose hash that it was about.
    pub compose_hash: Option<ComposeHash>,
    /// The record as it came.
    #[serde(skip)]
    pub raw: Value,
}

/// What became of a wish to cancel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancelled {
    /// Whether an operation was cancelled; `false` when none was under way.
    pub cancelled: bool,
    /// Which one.
    pub correlation_id: Option<String>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, lifecycle::OperationsQuery};
/// # async fn example(client: &Client, id: &CvmId) -> Result<(), CloudError> {
/// client.shutdown(id).await?;
/// client.start(id).await?;
/// client.restart(id, false).await?;
/// client.stop(id).await?; // at once, like pulling the power
/// let latest = client.operations(id, &OperationsQuery::default()).await?;
/// println!("{:?}, {}", latest.items.first(), client.operation_status(id).await?);
/// client.cancel(id).await?;
/// client.delete(id).await?;
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `POST /api/v1/cvms/{cvm_id}/start`
    ///
    /// Documented as `startCvm` and `start_cvm`. Answers with the record, its status `starting`.
    ///
    /// # Errors
    /// See [`CloudError`]: 400 not enough balance, 401, 403, 404, 409 busy, 422, 500 no GPU.
    pub async fn start(&self, id: &CvmId) -> Result<Cvm, CloudError> {
        self.order(id, "start").await
    }
    /// `POST /api/v1/cvms/{cvm_id}/stop`: at once, like pulling the power.
    ///
    /// Documented as `stopCvm`, `stop_cvm` and "Force stop CVM". Cancels an operation under way, so it is never busy;
    /// triggers billing. [`Self::shutdown`] is the gentle way.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403 also for a CVM of an on-demand GPU rental, 404, 422.
    pub async fn stop(&self, id: &CvmId) -> Result<Cvm, CloudError> {
        self.order(id, "stop").await
    }
    /// `POST /api/v1/cvms/{cvm_id}/shutdown`: the containers may end by themselves.
    ///
    /// Documented as `shutdownCvm` and `shutdown_cvm`.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403 also for a CVM of an on-demand GPU rental, 404, 409 busy, 422.
    pub async fn shutdown(&self, id: &CvmId) -> Result<Cvm, CloudError> {
        self.order(id, "shutdown").await
    }
    /// `POST /api/v1/cvms/{cvm_id}/restart`; with `force` without a graceful shutdown.
    ///
    /// Documented as `restartCvm` and `restart_cvm`. `force` is always sent, as the official clients do.
    ///
    /// # Errors
    /// See [`CloudError`]: 400 not enough balance, 401, 403, 404, 409 busy, 422.
    pub async fn restart(&self, id: &CvmId, force: bool) -> Result<Cvm, CloudError> {
        let mut call = self.call(Method::POST, &["cvms", id.as_str(), "restart"], Retry::Write)?;
        call.json(&json!({ "force": force }))?;
        self.send(call, Key::Needed).await?.cvm()
    }
    /// `DELETE /api/v1/cvms/{cvm_id}`: the CVM and all its data, for good.
    ///
    /// Documented as `deleteCvm` and `delete_cvm`.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404 also when it is deleted already, 422.
    pub async fn delete(&self, id: &CvmId) -> Result<(), CloudError> {
        let call = self.call(Method::DELETE, &["cvms", id.as_str()], Retry::Write)?;
        self.send(call, Key::Needed).await?.done()
    }
    /// `GET /api/v1/cvms/{cvm_id}/operations`
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn operations(&self, id: &CvmId, query: &OperationsQuery) -> Result<Operations, CloudError> {
        let mut call = self.call(Method::GET, &["cvms", id.as_str(), "operations"], Retry::Read)?;
        if let Some(cursor) = &query.cursor {
            call.query("cursor", cursor);
        }
        if let Some(limit) = query.limit {
            call.query("limit", &limit.to_string());
        }
        for kind in &query.types {
            call.query("operation_types", kind);
        }
        let reply = self.send(call, Key::Needed).await?;
        let answer = reply.object()?;
        Ok(Operations {
            items: reply.items(&answer, |item| Ok(Operation::read(item)))?,
            next_cursor: read::exact(&answer, "/next_cursor"),
            total: read::number(&answer, &["/total"]),
        })
    }
    /// `GET /api/v1/cvms/{cvm_id}/operation-status`: the operation under way, in the server's own shape.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn operation_status(&self, id: &CvmId) -> Result<Value, CloudError> {
        self.get(&["cvms", id.as_str(), "operation-status"])
            .await
            .map(|(_, value)| value)
    }
    /// `POST /api/v1/cvms/{cvm_id}/operations/cancel`: the operation under way, if there is one.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 409 for an operation that cannot be cancelled, 422.
    pub async fn cancel(&self, id: &CvmId) -> Result<Cancelled, CloudError> {
        let path = ["cvms", id.as_str(), "operations", "cancel"];
        let call = self.call(Method::POST, &path, Retry::Write)?;
        let reply = self.send(call, Key::Needed).await?;
        let answer = reply.object()?;
        Ok(Cancelled {
            cancelled: read::flag(&answer, &["/cancelled"])
                .ok_or_else(|| reply.unexpected("it does not say whether anything was cancelled"))?,
            correlation_id: read::text(&answer, &["/correlation_id"]),
        })
    }

    async fn order(&self, id: &CvmId, order: &str) -> Result<Cvm, CloudError> {
        let call = self.call(Method::POST, &["cvms", id.as_str(), order], Retry::Write)?;
        self.send(call, Key::Needed).await?.cvm()
    }
}

impl Reply {
    /// The record in a success.
    pub(super) fn cvm(&self) -> Result<Cvm, CloudError> {
        self.sound(Cvm::read(self.object()?))
    }
}

impl Operation {
    /// A record for people: what cannot be a hash is left out, and stays in `raw`.
    fn read(item: &Value) -> Self {
        Self {
            correlation_id: read::text(item, &["/correlation_id"]),
            operation_type: read::text(item, &["/operation_type"]),
            target_state: read::text(item, &["/target_state"]),
            status: read::text(item, &["/status"]),
            started_at: read::text(item, &["/started_at"]),
            completed_at: read::text(item, &["/completed_at"]),
            duration_ms: read::number(item, &["/duration_ms"]),
            error_message: read::text(item, &["/error_message"]),
            compose_hash: read::hash(item, &["/compose_hash"]).ok().flatten(),
            raw: item.clone(),
        }
    }
}
