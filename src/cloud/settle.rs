//! Waiting until an order has been carried out: the operation is over, the CVM is where it should be.
//!
//! States alone do not tell: a fast restart shows none but `running`. So the operation itself is looked for in the
//! CVM's list, by its name or as the first new one; where the server shows no list, a CVM that rests at the target for
//! [`QUIET`] looks in a row counts as there.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::watch::passing;
use super::{Client, CloudError, Cvm, CvmId, Operation, OperationsQuery};

/// Looks in a row at which a CVM has to rest at the target when no operation tells.
pub const QUIET: u32 = 3;

/// How many operations are looked at: the one that is waited for is among the latest.
const LATEST: u32 = 10;

/// Where an order leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// The CVM is gone.
    Gone,
    /// It has this status, and nothing is under way. For orders that change the status.
    Status(String),
    /// This operation is over, by the name that the answer to the order gave.
    Operation {
        /// Its correlation id.
        id: String,
        /// Status after it.
        status: String,
    },
    /// The first operation after this one is over. For orders whose answer names none.
    NextOperation {
        /// The latest operation before the order, if there was one.
        after: Option<String>,
        /// Status after it.
        status: String,
    },
}

/// What to wait for, and how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settle {
    /// Where the order leads.
    pub goal: Goal,
    /// Time between two looks.
    pub pace: Duration,
    /// Time in all.
    pub time: Duration,
}

/// How waiting ended.
#[derive(Debug, Clone)]
pub enum Settled {
    /// It is done; the record, unless the CVM is gone.
    Done(Option<Box<Cvm>>),
    /// The operation failed, in the server's words.
    Failed(String),
    /// Time is up, and it is neither done nor failed.
    Waiting(Option<Box<Cvm>>),
}

/// What one look shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look<'a> {
    Done,
    Failed(&'a str),
    /// At the target, but no operation says that it is over.
    Resting,
    NotYet,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, Goal, Settle};
/// # async fn example(client: &Client, id: &CvmId) -> Result<(), CloudError> {
/// let after = client.latest_operation(id).await?;
/// client.restart(id, false).await?;
/// let settle = Settle {
///     goal: Goal::NextOperation { after, status: "running".to_owned() },
///     pace: std::time::Duration::from_secs(1),
///     time: std::time::Duration::from_secs(900),
/// };
/// println!("{:?}", client.settle(id, &settle, &mut |cvm| println!("{:?}", cvm.status)).await?);
/// # Ok(())
/// # }
/// ```
impl Client {
    /// Waits until the goal is reached or time is up; `tell` hears every record.
    ///
    /// Reads only: `GET` of the CVM and of its operations.
    ///
    /// # Errors
    /// See [`CloudError`]: what no repetition cures, for example 401, 403, and 404 unless that is the goal.
    pub async fn settle(
        &self,
        id: &CvmId,
        Settle { goal, pace, time }: &Settle,
        tell: &mut (dyn FnMut(&Cvm) + Send),
    ) -> Result<Settled, CloudError> {
        let end = Instant::now() + *time;
        let (mut rests, mut last) = (0, None);
        loop {
            let cvm = match self.cvm(id).await {
                Ok(cvm) => Some(Box::new(cvm)),
                Err(CloudError::NotFound(_)) if *goal == Goal::Gone => return Ok(Settled::Done(None)),
                Err(error) => passing(error).map(|_| None)?,
            };
            if let Some(cvm) = cvm {
                tell(&cvm);
                let operations = self.latest(id, goal).await?;
                match look(goal, &cvm, &operations) {
                    Look::Done => return Ok(Settled::Done(Some(cvm))),
                    Look::Failed(why) => return Ok(Settled::Failed(why.to_owned())),
                    Look::Resting if rests + 1 >= QUIET => return Ok(Settled::Done(Some(cvm))),
                    Look::Resting => rests += 1,
                    Look::NotYet => rests = 0,
                }
                last = Some(cvm);
            }
            if Instant::now() + *pace > end {
                return Ok(Settled::Waiting(last));
            }
            sleep(*pace).await;
        }
    }

    /// The name of the latest operation, for [`Goal::NextOperation`]; `None` also where the server shows none.
    ///
    /// # Errors
    /// As [`Self::operations`], for what another attempt may cure.
    pub async fn latest_operation(&self, id: &CvmId) -> Result<Option<String>, CloudError> {
        let query = OperationsQuery {
            limit: Some(1),
            ..OperationsQuery::default()
        };
        match self.operations(id, &query).await {
            Ok(list) => Ok(list
                .items
                .into_iter()
                .next()
                .and_then(|operation| operation.correlation_id)),
            Err(CloudError::NotFound(_) | CloudError::Refused(_) | CloudError::Auth(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The latest operations, where the goal needs them and the server shows them.
    async fn latest(&self, id: &CvmId, goal: &Goal) -> Result<Vec<Operation>, CloudError> {
        if matches!(goal, Goal::Gone | Goal::Status(_)) {
            return Ok(Vec::new());
        }
        let query = OperationsQuery {
            limit: Some(LATEST),
            ..OperationsQuery::default()
        };
        match self.operations(id, &query).await {
            Ok(list) => Ok(list.items),
            // The CVM itself could be read, so this is about the list.
            Err(CloudError::NotFound(_) | CloudError::Refused(_) | CloudError::Auth(_)) => Ok(Vec::new()),
            Err(error) => passing(error).map(|_| Vec::new()),
        }
    }
}

/// What a record and the latest operations show. Pure.
fn look<'a>(goal: &Goal, cvm: &Cvm, operations: &'a [Operation]) -> Look<'a> {
    let named = |id: &str| {
        operations
            .iter()
            .find(|operation| operation.correlation_id.as_deref() == Some(id))
    };
    let (operation, status) = match goal {
        Goal::Gone => return Look::NotYet,
        Goal::Status(status) if cvm.progress.is_none() && is(cvm, status) => return Look::Done,
        Goal::Status(_) => return Look::NotYet,
        Goal::Operation { id, status } => (named(id), status),
        Goal::NextOperation { after, status } => {
            let first = operations
                .first()
                .filter(|operation| operation.correlation_id != *after);
            (first, status)
        }
    };
    match operation.and_then(|operation| Some((operation, operation.status.as_deref()?))) {
        Some((operation, "failed")) => Look::Failed(operation.error_message.as_deref().unwrap_or("no reason given")),
        Some((_, "completed")) if cvm.progress.is_none() => Look::Done,
        Some(_) => Look::NotYet,
        None if cvm.progress.is_none() && is(cvm, status) => Look::Resting,
        None => Look::NotYet,
    }
}

fn is(cvm: &Cvm, status: &str) -> bool {
    let found = cvm.status.as_deref();
    found.is_some_and(|found| found.eq_ignore_ascii_case(status))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{client, cvm_id};
    use super::*;
    use crate::http::fake::{self, Act, Fake};

    fn cvm(status: &str, busy: bool) -> Cvm {
        let progress = if busy {
            json!({"correlation_id": "c"})
        } else {
            Value::Null
        };
        Cvm::read(json!({"status": status, "progress": progress})).unwrap()
    }

    fn operation(id: &str, status: &str) -> Operation {
        serde_json::from_value(json!({"correlation_id": id, "status": status, "error_message": "no room"})).unwrap()
    }

    fn named() -> Goal {
        Goal::Operation {
            id: "c".to_owned(),
            status: "running".to_owned(),
        }
    }

    fn next(after: Option<&str>) -> Goal {
        Goal::NextOperation {
            after: after.map(str::to_owned),
            status: "running".to_owned(),
        }
    }

    #[test]
    fn a_status_counts_when_nothing_is_under_way() {
        let goal = Goal::Status("stopped".to_owned());
        assert_eq!(look(&goal, &cvm("Stopped", false), &[]), Look::Done);
        assert_eq!(look(&goal, &cvm("stopped", true), &[]), Look::NotYet);
        assert_eq!(look(&goal, &cvm("running", false), &[]), Look::NotYet);
    }

    #[test]
    fn an_operation_tells_before_the_status_does() {
        let running = cvm("running", false);
        assert_eq!(look(&named(), &running, &[operation("c", "in_progress")]), Look::NotYet);
        assert_eq!(look(&named(), &running, &[operation("c", "completed")]), Look::Done);
        assert_eq!(
            look(&named(), &cvm("running", true), &[operation("c", "completed")]),
            Look::NotYet
        );
        let failed = [operation("other", "completed"), operation("c", "failed")];
        assert_eq!(look(&named(), &cvm("stopped", true), &failed), Look::Failed("no room"));
        assert_eq!(
            look(&named(), &running, &[operation("other", "completed")]),
            Look::Resting
        );
        assert_eq!(look(&named(), &cvm("stopped", false), &[]), Look::NotYet);
        assert_eq!(look(&named(), &running, &[operation("c", "a-new-one")]), Look::NotYet);
    }

    #[test]
    fn a_restart_that_shows_no_other_state_is_known_by_its_operation() {
        let running = cvm("running", false);
        let list = [operation("new", "completed"), operation("old", "completed")];
        assert_eq!(look(&next(Some("old")), &running, &list), Look::Done);
        assert_eq!(look(&next(Some("new")), &running, &list), Look::Resting);
        assert_eq!(look(&next(None), &running, &list), Look::Done);
        assert_eq!(look(&next(None), &running, &[]), Look::Resting);
    }

    async fn settled(fake: &Fake, goal: &Goal) -> Result<Settled, CloudError> {
        settled_in(fake, goal, Duration::from_secs(180)).await
    }

    async fn settled_in(fake: &Fake, goal: &Goal, time: Duration) -> Result<Settled, CloudError> {
        let settle = Settle {
            goal: goal.clone(),
            pace: Duration::from_millis(1),
            time,
        };
        client(fake).settle(&cvm_id(), &settle, &mut |_| {}).await
    }

    #[tokio::test]
    async fn a_cvm_that_is_gone_is_gone_and_otherwise_missing() {
        let fake = Fake::always(404, r#"{"detail":"CVM not found"}"#).await;
        assert!(matches!(settled(&fake, &Goal::Gone).await, Ok(Settled::Done(None))));
        assert!(matches!(settled(&fake, &named()).await, Err(CloudError::NotFound(_))));
    }

    #[tokio::test]
    async fn without_a_list_of_operations_a_cvm_has_to_rest_at_the_target() {
        let fake = Fake::serve(|_, seen| {
            Act::Say(if seen.line().contains("/operations") {
                fake::json(403, r#"{"detail":"no"}"#)
            } else {
                fake::json(200, r#"{"status":"running"}"#)
            })
        })
        .await;
        assert!(matches!(settled(&fake, &named()).await, Ok(Settled::Done(Some(_)))));
        let looks = fake
            .seen()
            .iter()
            .filter(|seen| !seen.line().contains("/operations"))
            .count();
        assert_eq!(looks, usize::try_from(QUIET).unwrap());
    }

    #[tokio::test]
    async fn time_that_is_up_is_neither_done_nor_failed() {
        let fake = Fake::always(200, r#"{"status":"starting","items":[]}"#).await;
        let outcome = settled_in(&fake, &named(), Duration::from_millis(20)).await.unwrap();
        assert!(matches!(outcome, Settled::Waiting(Some(cvm)) if cvm.status.as_deref() == Some("starting")));
    }

    #[tokio::test]
    async fn trouble_on_the_way_is_waited_out() {
        let fake = Fake::serve(|number, seen| match number {
            0..4 => Act::Reset,
            _ if seen.line().contains("/operations") => Act::Say(fake::json(
                200,
                r#"{"items":[{"correlation_id":"c","status":"completed"}]}"#,
            )),
            _ => Act::Say(fake::json(200, r#"{"status":"running"}"#)),
        })
        .await;
        assert!(matches!(settled(&fake, &named()).await, Ok(Settled::Done(Some(_)))));
    }
}
