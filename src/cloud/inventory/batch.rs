//! Several CVMs in one request: their states, and a stop of all of them.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::cloud::read;
use crate::cloud::{Client, CloudError, CvmId, CvmState, Key};
use crate::http::Retry;

/// Most CVMs that one stop takes.
pub const MOST_STOPPED: usize = 50;

/// Largest answer about states that is read, bytes: some kilobytes of events for each of thousands of CVMs.
const STATES: usize = 16 << 20;

/// State of one of several CVMs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CvmStatus {
    /// State at that moment.
    #[serde(flatten)]
    pub state: CvmState,
    /// Whether an operation is under way.
    pub in_progress: Option<bool>,
    /// What it does, for example `compose_update`.
    pub operation_type: Option<String>,
    /// Its name.
    pub correlation_id: Option<String>,
}

/// What became of a stop of several CVMs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stopped {
    /// CVMs that were named.
    pub total: Option<u64>,
    /// Those that stop.
    pub stopped: Option<u64>,
    /// Those that were left as they are.
    pub skipped: Option<u64>,
    /// Those that could not be stopped.
    pub errors: Vec<NotStopped>,
}

/// A CVM that was not stopped, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotStopped {
    /// Which one, as it was named.
    pub cvm_id: Option<String>,
    /// Why, in the server's words.
    pub error: Option<String>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId};
/// # async fn example(client: &Client, ids: &[CvmId]) -> Result<(), CloudError> {
/// println!("{:?}", client.statuses(ids).await?);
/// println!("{:?}", client.batch_stop(ids).await?.errors);
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `POST /api/v1/status/batch`: states by UUID, as the nodes say them now; reads only. CVMs go by their UUIDs.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 422.
    pub async fn statuses(&self, uuids: &[CvmId]) -> Result<BTreeMap<String, CvmStatus>, CloudError> {
        let mut call = self.call(Method::POST, &["status", "batch"], Retry::Read)?;
        call.json(&json!({ "vm_uuids": names(uuids) }))?;
        call.request.body_limit = Some(STATES);
        let reply = self.send(call, Key::Needed).await?;
        let Value::Object(said) = reply.object()? else {
            return Ok(BTreeMap::new());
        };
        let states = said.into_iter().filter(|(_, state)| state.is_object());
        Ok(states.map(|(uuid, state)| (uuid, CvmStatus::read(&state))).collect())
    }
    /// `POST /api/v1/cvms/batch-stop`: at once, like [`Self::stop`], for at most [`MOST_STOPPED`] CVMs.
    ///
    /// # Errors
    /// See [`CloudError`]: 400, 401, 422.
    pub async fn batch_stop(&self, ids: &[CvmId]) -> Result<Stopped, CloudError> {
        let mut call = self.call(Method::POST, &["cvms", "batch-stop"], Retry::Write)?;
        call.json(&json!({ "cvm_ids": names(ids) }))?;
        let reply = self.send(call, Key::Needed).await?;
        let said = reply.object()?;
        let count = |place| read::number(&said, &[place]);
        let errors = said.get("errors").and_then(Value::as_array).into_iter().flatten();
        Ok(Stopped {
            total: count("/total"),
            stopped: count("/stopped"),
            skipped: count("/skipped"),
            errors: errors
                .map(|one| NotStopped {
                    cvm_id: read::text(one, &["/cvm_id"]),
                    error: read::text(one, &["/error"]),
                })
                .collect(),
        })
    }
}

fn names(ids: &[CvmId]) -> Vec<&str> {
    ids.iter().map(CvmId::as_str).collect()
}

impl CvmStatus {
    /// The published file has the operation's facts beside the state, the JavaScript SDK below `operation`
    /// (`js/src/actions/cvms/get_cvm_status_batch.ts` of Phala-Network/phala-cloud).
    fn read(said: &Value) -> Self {
        Self {
            state: CvmState::read(said),
            in_progress: read::flag(said, &["/in_progress"]),
            operation_type: read::text(said, &["/operation_type", "/operation/type"]),
            correlation_id: read::text(said, &["/correlation_id", "/operation/correlation_id"]),
        }
    }
}
