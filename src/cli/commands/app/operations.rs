//! What waits at a timelock that owns an app: scheduled and not executed, so that it comes into force without anybody
//! being asked again.

use alloy::primitives::Address;
use serde::Serialize;

use crate::chain::{
    AppState, Chain, ChainError, OwnerKind,
    timelock::{PendingOperation, PendingOperations, TimelockInfo},
};
use crate::cli::show::text::Page;
use crate::safe::decode::{Decoded, decode};

/// Operations that wait.
#[derive(Debug, Default, Serialize)]
pub(super) struct Waiting {
    /// What is scheduled and not executed.
    pub(super) operations: Vec<Operation>,
    /// Why there may be more.
    #[serde(rename = "operations_incomplete")]
    pub(super) incomplete: Option<String>,
}

/// An operation that waits, and what it does.
#[derive(Debug, Serialize)]
pub(super) struct Operation {
    #[serde(flatten)]
    pub(super) pending: PendingOperation,
    /// From when on it can be executed.
    pub(super) ready_at: String,
    /// What each of its calls means; null where that is not known.
    pub(super) decoded: Vec<Option<Decoded>>,
}

impl From<PendingOperations> for Waiting {
    fn from(found: PendingOperations) -> Self {
        Self {
            operations: found.operations.into_iter().map(Operation::of).collect(),
            incomplete: found.incomplete,
        }
    }
}

impl Waiting {
    /// What waits at a timelock.
    pub(super) async fn at(chain: &Chain, info: &TimelockInfo) -> Result<Self, ChainError> {
        Ok(chain.pending_operations(info, 0).await?.into())
    }

    /// What waits for one app, where a timelock owns it.
    pub(super) async fn for_app(chain: &Chain, app: &AppState) -> Result<Option<Self>, ChainError> {
        if app.owner_kind != OwnerKind::Contract {
            return Ok(None);
        }
        let Some(info) = chain.timelock_at(app.owner, &app.block).await? else {
            return Ok(None);
        };
        let mut all = Self::at(chain, &info).await?;
        all.operations.retain(|operation| operation.is_for(app.app));
        Ok(Some(all))
    }

    /// The operations with what each of them calls.
    pub(super) fn show(&self, page: &mut Page) {
        page.heading("scheduled there and not executed");
        if self.operations.is_empty() {
            page.block(match self.incomplete {
                Some(_) => "not known",
                None => "nothing",
            });
        }
        if self.incomplete.is_some() && !self.operations.is_empty() {
            page.block("these, and perhaps more");
        }
        for operation in &self.operations {
            let pending = &operation.pending;
            page.block(&format!(
                "{}  can be executed from {} on",
                pending.id, operation.ready_at
            ));
            for (call, decoded) in pending.calls.iter().zip(&operation.decoded) {
                page.block(&match decoded {
                    Some(decoded) => format!("  {}: {decoded}", call.to),
                    None => format!("  {}: data {}", call.to, call.data),
                });
            }
        }
    }
}

impl Operation {
    fn of(pending: PendingOperation) -> Self {
        Self {
            ready_at: moment(pending.ready_at()),
            decoded: pending.calls.iter().map(|call| decode(&call.data)).collect(),
            pending,
        }
    }

    /// Whether it calls the app, or calls that are not known might.
    fn is_for(&self, app: Address) -> bool {
        let calls = &self.pending.calls;
        calls.is_empty() || calls.iter().any(|call| call.to == app)
    }
}

fn moment(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok();
    let time = time.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    time.map_or_else(|| seconds.to_string(), |time| time.to_string())
}
