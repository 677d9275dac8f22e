//! What requests have in common that the cloud carries out at once: whether one that was lost may have had its effect, and how
//! its operation is waited for.

use std::time::Duration;

use crate::cloud::{
    CloudError, Cvm, CvmId,
    settle::{Goal, Settle, Settled},
};
use crate::compose::ComposeHash;
use crate::http::{Kind, Sent};
use crate::upgrade::{UpgradeError, World};

/// Time between two looks at the CVM.
const PACE: Duration = Duration::from_secs(1);

/// What is waited for.
pub(in crate::upgrade) struct Awaited {
    /// Name of the operation, where the cloud gave one; without it the CVM has to run.
    pub(in crate::upgrade) operation: Option<String>,
    /// What it has to run then.
    pub(in crate::upgrade) hash: Option<ComposeHash>,
    /// For how long.
    pub(in crate::upgrade) time: Duration,
}

/// Whether the request may have had its effect although no usable answer came.
pub(in crate::upgrade) fn is_lost(error: &CloudError) -> bool {
    match error {
        CloudError::Http(http) => http.sent == Sent::Maybe && !matches!(http.kind, Kind::Tls | Kind::Redirect { .. }),
        CloudError::Unavailable(problem) => matches!(problem.status, 408 | 500 | 502 | 504),
        CloudError::Unexpected { .. } => true,
        _ => false,
    }
}

/// Waits for the end of it, and tells each status once.
pub(in crate::upgrade) async fn settle(
    world: &World<'_>,
    cvm: &CvmId,
    awaited: Awaited,
) -> Result<Settled, UpgradeError> {
    let Awaited { operation, hash, time } = awaited;
    let status = "running".to_owned();
    let goal = match operation {
        Some(id) => Goal::Operation { id, status, hash },
        None => Goal::Status(status),
    };
    let settle = Settle { goal, pace: PACE, time };
    let mut said = None;
    let mut tell = |cvm: &Cvm| {
        let status = cvm.status.clone().unwrap_or_else(|| "silent".to_owned());
        if said.as_ref() != Some(&status) {
            world.ask.tell(&format!("the CVM is {status}"));
            said = Some(status);
        }
    };
    Ok(world.cloud.settle(cvm, &settle, &mut tell).await?)
}
