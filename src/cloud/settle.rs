//! Waiting until an order has been carried out: the operation is over, the CVM is where it should be.
//!
//! States alone do not tell: a fast restart shows none but `running`. So the operation itself is looked for in the
//! CVM's list, by its name or as the first new one, and where the order was about a compose hash, the record has to name
//! that hash as well. Where the server shows no list, a CVM that rests at the target for [`QUIET`] looks in a row counts as
//! there.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::watch::passing;
use super::{
    Client, CloudError, Cvm, CvmId,
    lifecycle::{Operation, OperationsQuery},
};
use crate::compose::ComposeHash;

/// Looks in a row at which a CVM has to rest at the target when no operation tells.
pub const QUIET: u32 = 3;

/// Looks in a row at which a CVM has to stay elsewhere before it counts as failed: records follow their operations late.
const STUCK: u32 = 10 * QUIET;

/// How many operations are looked at: the one that is waited for is among the latest.
const LATEST: u32 = 10;

/// Where an order leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// The CVM is gone.
    Gone,
    /// It has this status, and nothing is under way. For orders that change the status.
    Status(String),
    /// This operation came to its end, by the name that the answer to the order gave.
    Operation {
        /// Its correlation id.
        id: String,
        /// Status after it.
        status: String,
        /// Compose hash that the CVM runs after it, where the order was about one.
        hash: Option<ComposeHash>,
    },
    /// The first operation after this one came to its end. For orders whose answer names none.
    NextOperation {
        /// The latest operation before the order, if there was one.
        after: Option<String>,
        /// Status after it.
        status: String,
    },
    /// Nothing is under way, and this operation is over, however it ended. For orders that cancel one.
    Idle {
        /// Its correlation id, where the answer named one.
        operation: Option<String>,
    },
    /// The record says so of the public directory.
    Listed(bool),
    /// The record names this instance id.
    InstanceId(String),
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
#[derive(Debug, Clone, PartialEq, Eq)]
enum Look {
    Done,
    Failed(String),
    /// At the target, but no operation says that it is over.
    Resting,
    /// Elsewhere, and nothing is under way that would change that.
    Stuck(String),
    NotYet,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, settle::{Goal, Settle}};
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
        let client = self.until(end);
        let (mut rests, mut last) = (0, None);
        loop {
            let cvm = match client.cvm(id).await {
                Ok(cvm) => Some(Box::new(cvm)),
                Err(CloudError::NotFound(_)) if *goal == Goal::Gone => return Ok(Settled::Done(None)),
                Err(error) => passing(error).map(|_| None)?,
            };
            if let Some(cvm) = cvm {
                tell(&cvm);
                let operations = client.latest(id, goal).await?;
                match look(goal, &cvm, &operations) {
                    Look::Done => return Ok(Settled::Done(Some(cvm))),
                    Look::Failed(why) => return Ok(Settled::Failed(why)),
                    Look::Resting if rests + 1 >= QUIET => return Ok(Settled::Done(Some(cvm))),
                    Look::Stuck(why) if rests + 1 >= STUCK => return Ok(Settled::Failed(why)),
                    Look::Resting | Look::Stuck(_) => rests += 1,
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
        if matches!(goal, Goal::Gone | Goal::Listed(_) | Goal::InstanceId(_)) {
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
fn look(goal: &Goal, cvm: &Cvm, operations: &[Operation]) -> Look {
    let named = |id: &str| operations.iter().find(|one| one.correlation_id.as_deref() == Some(id));
    match goal {
        Goal::Gone => Look::NotYet,
        Goal::Status(status) => at(status, cvm, operations.first()),
        Goal::Operation { id, status, hash } => match hash {
            Some(hash) => running(*hash, cvm, ended(named(id), cvm, status)),
            None => ended(named(id), cvm, status),
        },
        Goal::NextOperation { after, status } => ended(next(operations, after.as_deref()), cvm, status),
        Goal::Idle { .. } if cvm.progress.is_some() => Look::NotYet,
        Goal::Idle { operation: None } => Look::Resting,
        Goal::Idle { operation: Some(id) } => match named(id).map(|one| one.status.as_deref()) {
            Some(Some("in_progress")) => Look::NotYet,
            Some(Some(_)) => Look::Done,
            Some(None) | None => Look::Resting,
        },
        Goal::Listed(listed) => told(cvm.listed.map(|found| found == *listed)),
        Goal::InstanceId(id) => told(cvm.instance_id.as_ref().map(|found| found == id)),
    }
}

/// Whether the CVM has the status; one that stays elsewhere after a failure will not get there.
fn at(status: &str, cvm: &Cvm, latest: Option<&Operation>) -> Look {
    match latest.and_then(|operation| operation.status.as_deref()) {
        _ if cvm.progress.is_some() => Look::NotYet,
        _ if is(cvm, status) => Look::Done,
        Some("failed") => Look::Stuck(why(latest)),
        _ => Look::NotYet,
    }
}

/// Whether an operation came to its end. Another one that is under way since then is not waited for.
fn ended(operation: Option<&Operation>, cvm: &Cvm, status: &str) -> Look {
    let own = operation.and_then(|operation| operation.correlation_id.as_deref());
    let busy = cvm.progress.as_ref().is_some_and(|progress| {
        let name = progress.correlation_id.as_deref();
        own.is_none() || name.is_none() || name == own
    });
    match operation.and_then(|operation| operation.status.as_deref()) {
        Some("failed") => Look::Failed(why(operation)),
        Some("completed") if !busy => Look::Done,
        None if operation.is_none() && !busy && is(cvm, status) => Look::Resting,
        Some(_) | None => Look::NotYet,
    }
}

/// An operation that is over is half of it: the record has to name the hash too.
fn running(hash: ComposeHash, cvm: &Cvm, operation: Look) -> Look {
    match (&operation, cvm.compose_hash) {
        (Look::Done | Look::Resting, Some(found)) if found == hash => operation,
        (Look::Done, Some(found)) => Look::Stuck(format!("the CVM runs {found}, and not {hash}")),
        (Look::Done | Look::Resting, _) => Look::NotYet,
        _ => operation,
    }
}

/// The operation that followed `after`; the list begins with the latest.
fn next<'a>(operations: &'a [Operation], after: Option<&str>) -> Option<&'a Operation> {
    let Some(after) = after else { return operations.last() };
    let place = operations
        .iter()
        .position(|one| one.correlation_id.as_deref() == Some(after));
    match place {
        Some(place) => operations.get(place.checked_sub(1)?),
        None => operations.first(),
    }
}

/// A record that does not speak of it cannot say no either.
const fn told(says: Option<bool>) -> Look {
    match says {
        Some(true) => Look::Done,
        Some(false) => Look::NotYet,
        None => Look::Resting,
    }
}

fn why(operation: Option<&Operation>) -> String {
    let said = operation.and_then(|operation| operation.error_message.clone());
    said.unwrap_or_else(|| "no reason given".to_owned())
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
            hash: None,
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
        assert_eq!(
            look(&named(), &cvm("stopped", true), &failed),
            Look::Failed("no room".to_owned())
        );
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
        // What somebody else did after it is not what was ordered.
        let list = [
            operation("later", "failed"),
            operation("ours", "completed"),
            operation("old", "failed"),
        ];
        assert_eq!(look(&next(Some("old")), &running, &list), Look::Done);
        assert_eq!(
            look(&next(Some("of long ago")), &running, &list),
            Look::Failed("no room".to_owned())
        );
    }

    #[test]
    fn another_operation_that_began_since_is_not_waited_for() {
        let busy = Cvm::read(json!({"status": "stopping", "progress": {"correlation_id": "later"}})).unwrap();
        let list = [operation("later", "in_progress"), operation("c", "completed")];
        assert_eq!(look(&named(), &busy, &list), Look::Done);
    }

    #[test]
    fn live_is_what_operation_and_compose_hash_say_together() {
        let (hash, other) = ("11".repeat(32), "22".repeat(32));
        let runs = |hash: Option<&str>| Cvm::read(json!({"status": "running", "compose_hash": hash})).unwrap();
        let goal = Goal::Operation {
            id: "c".to_owned(),
            status: "running".to_owned(),
            hash: Some(hash.parse().unwrap()),
        };
        let done = [operation("c", "completed")];
        assert_eq!(look(&goal, &runs(Some(&hash)), &done), Look::Done);
        assert_eq!(
            look(&goal, &runs(Some(&hash)), &[operation("c", "in_progress")]),
            Look::NotYet
        );
        assert_eq!(look(&goal, &runs(Some(&hash)), &[]), Look::Resting, "no list");
        assert_eq!(look(&goal, &runs(Some(&other)), &[]), Look::NotYet);
        assert_eq!(look(&goal, &runs(None), &done), Look::NotYet);
        let Look::Stuck(why) = look(&goal, &runs(Some(&other)), &done) else {
            panic!("the operation is over, and the hash is another one")
        };
        assert!(why.contains(&other) && why.contains(&hash), "{why}");
    }

    #[test]
    fn a_status_that_a_failed_operation_keeps_it_from_is_not_waited_for_for_ever() {
        let goal = Goal::Status("running".to_owned());
        let failed = [operation("c", "failed")];
        assert_eq!(
            look(&goal, &cvm("error", false), &failed),
            Look::Stuck("no room".to_owned())
        );
        assert_eq!(look(&goal, &cvm("error", true), &failed), Look::NotYet);
        assert_eq!(look(&goal, &cvm("running", false), &failed), Look::Done);
    }

    #[test]
    fn a_cancelled_operation_is_over_however_it_ended() {
        let goal = |id: Option<&str>| Goal::Idle {
            operation: id.map(str::to_owned),
        };
        for status in ["completed", "failed", "cancelled"] {
            assert_eq!(
                look(&goal(Some("c")), &cvm("stopped", false), &[operation("c", status)]),
                Look::Done
            );
        }
        let list = [operation("c", "in_progress")];
        assert_eq!(look(&goal(Some("c")), &cvm("stopped", false), &list), Look::NotYet);
        assert_eq!(look(&goal(Some("c")), &cvm("stopped", true), &[]), Look::NotYet);
        assert_eq!(look(&goal(Some("c")), &cvm("stopped", false), &[]), Look::Resting);
        assert_eq!(look(&goal(None), &cvm("stopped", false), &list), Look::Resting);
    }

    #[test]
    fn directory_and_instance_id_are_what_the_record_says() {
        let read = |record: Value| Cvm::read(record).unwrap();
        let listed = |record| look(&Goal::Listed(true), &read(record), &[]);
        assert_eq!(listed(json!({"listed": true})), Look::Done);
        assert_eq!(listed(json!({"listed": false})), Look::NotYet);
        assert_eq!(listed(json!({})), Look::Resting);
        let named = |record| look(&Goal::InstanceId("aa".to_owned()), &read(record), &[]);
        assert_eq!(named(json!({"instance_id": "aa"})), Look::Done);
        assert_eq!(named(json!({"instance_id": "bb"})), Look::NotYet);
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
