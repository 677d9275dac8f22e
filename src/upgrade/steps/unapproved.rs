//! A change of a CVM that no KMS on a chain guards, applied at once with consent: nobody approves anything, and one request to
//! the cloud carries it out.
//!
//! What is meant is on record before it is sent, and what was not heard is settled by what the CVM runs and does.

use std::path::Path;

use crate::cloud::{
    CloudError, Cvm, CvmId,
    lifecycle::OperationsQuery,
    settle::Settled,
    updates::{Accepted, Patched},
};
use crate::code::Code;
use crate::compose::ComposeHash;
use crate::fsutil::point;
use crate::signer::{Consent, Fact, Name};
use crate::upgrade::{
    Limits, Origin, UpgradeError, Verdict, World,
    checks::{images, verdict::unverifiable},
    model::unapproved::UnapprovedPlan,
    record::Effect,
    run::{not_begun, not_stored},
    steps::at_once::{Awaited, is_lost, settle},
    workspace::{
        applied_log::{Applying, Trace},
        record_log::Records,
    },
};

/// How many operations are looked at for the one that applies the change.
const LATEST: u32 = 100;

/// What became of a change.
#[derive(Debug)]
pub struct Applied {
    /// Name of the operation, where it has one.
    pub operation: Option<String>,
    /// How it ended, where that was waited for.
    pub settled: Option<Settled>,
    /// Whether an earlier run had sent it, so that this one sent nothing.
    pub earlier: bool,
}

/// What a directory knows of the effect of a change that was applied from it: whether Phala Cloud took it, and whether the
/// CVM runs it. Nothing where none was.
pub fn applied_effects(dir: &Path) -> Option<(Effect, Effect)> {
    let last = Records::<Applying>::peek(dir).ok().flatten();
    last.map(|last| last.effects())
}

impl UnapprovedPlan {
    /// What somebody has to agree to by name before it is applied.
    pub fn verdict(&self, limits: &Limits) -> Verdict {
        let code = &self.code;
        let mut findings = images::where_needed(&code.manifest_after(), &limits.accepted);
        findings.extend(code.form.is_none().then(|| unverifiable(code.told_current_hash())));
        Verdict::new(findings, Vec::new(), &limits.accepted)
    }

    /// Applies it once somebody agreed, and waits for the operation unless `limits` say not to. One request, never repeated by
    /// itself; what an earlier run sent from `dir`, and the CVM runs or is about to, is not sent again.
    ///
    /// # Errors
    /// Something forbids it, nobody agreed, the server refused, the CVM runs another hash after it, or no answer was heard and
    /// nothing tells what became of it: the next run looks again.
    pub async fn apply(&self, world: &World<'_>, dir: &Path, limits: &Limits) -> Result<Applied, UpgradeError> {
        let act = Act {
            plan: self,
            world,
            limits,
            cvm: self.code.cvm.parse()?,
        };
        let own = Applying::new(self);
        let runs = self.code.current_hash;
        let before = Records::<Applying>::peek(dir)?.filter(|last| last.is_same(&own) && !last.is_undone(runs));
        if let Some(before) = before
            && let Some(applied) = act.settle_earlier(dir, before).await?
        {
            return Ok(applied);
        }
        self.verdict(limits).check()?;
        if let Some(blocker) = self.blockers.first().cloned() {
            return Err(UpgradeError::Blocked {
                code: blocker.code,
                message: blocker.text,
            });
        }
        act.agreed()?;
        act.send(dir, own).await
    }
}

/// One application of a change.
struct Act<'a> {
    plan: &'a UnapprovedPlan,
    world: &'a World<'a>,
    limits: &'a Limits,
    cvm: CvmId,
}

impl Act<'_> {
    /// What became of the change that an earlier run sent; nothing where nothing came of it.
    async fn settle_earlier(&self, dir: &Path, before: Applying) -> Result<Option<Applied>, UpgradeError> {
        let operation = match self.look(&before).await? {
            Trace::Nothing => return Ok(None),
            Trace::Live if before.is_live() => None,
            Trace::Live => {
                let mut records = Records::hold(dir)?;
                records.write(before.live(self.plan.code.expected_hash))?;
                None
            }
            Trace::Taken(operation) => {
                let mut records = Records::hold(dir)?;
                let taken = before.taken(operation.clone());
                records.write(taken.clone())?;
                let told = "this change was sent before, and Phala Cloud took it: nothing is sent";
                self.world.ask.tell(told);
                return self.waited(records, taken, operation).await.map(|applied| {
                    Some(Applied {
                        earlier: true,
                        ..applied
                    })
                });
            }
        };
        let cvm = self.world.cloud.cvm(&self.cvm).await?;
        Ok(Some(Applied {
            operation,
            settled: Some(Settled::Done(Some(Box::new(cvm)))),
            earlier: true,
        }))
    }

    async fn look(&self, record: &Applying) -> Result<Trace, UpgradeError> {
        let query = OperationsQuery {
            limit: Some(LATEST),
            ..OperationsQuery::default()
        };
        let (cvm, operations) = tokio::join!(
            self.world.cloud.cvm(&self.cvm),
            self.world.cloud.operations(&self.cvm, &query)
        );
        let cvm = cvm?;
        let operations = match operations {
            Ok(list) => list.items,
            // The CVM itself could be read, so this is about the list.
            Err(CloudError::NotFound(_) | CloudError::Refused(_) | CloudError::Auth(_)) => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(record.trace(cvm.compose_hash, cvm.progress.as_ref(), &operations))
    }

    fn agreed(&self) -> Result<(), UpgradeError> {
        let (world, code) = (self.world, &self.plan.code);
        if world
            .quorum
            .until
            .is_some_and(|until| until <= tokio::time::Instant::now())
        {
            return Err(not_begun("applying the change"));
        }
        let hash = code
            .expected_hash
            .map_or_else(|| "not known".to_owned(), |hash| hash.to_string());
        let mut facts = vec![
            Fact::new(Name::Other("runs now"), code.told_current_hash()),
            Fact::new(Name::Other("runs then"), hash),
        ];
        let uncovered = code.uncovered();
        facts.extend(
            uncovered
                .iter()
                .map(|one| Fact::new(Name::Other(one.field), &one.after)),
        );
        let question = format!(
            "Apply this to {} at once? Nobody approved anything: no contract guards this CVM, and Phala Cloud asks nobody.",
            self.cvm
        );
        match world.ask.consent(&Consent::ask(question, facts))? {
            true => Ok(()),
            false => Err(UpgradeError::Declined {
                what: "applying the change without an approval".to_owned(),
            }),
        }
    }

    async fn send(&self, dir: &Path, own: Applying) -> Result<Applied, UpgradeError> {
        let since = self.world.cloud.latest_operation(&self.cvm).await?;
        let mut records = Records::hold(dir)?;
        let own = own.since(since);
        point("apply.a");
        records.write(own.clone())?;
        point("apply.b");
        let accepted = self.patch(&own).await?;
        point("apply.d");
        let operation = accepted.correlation_id;
        let taken = own.taken(operation.clone());
        let told = "Phala Cloud took the change";
        records.write(taken.clone()).map_err(|error| not_stored(told, error))?;
        point("apply.e");
        self.world
            .ask
            .tell("Phala Cloud took the change, which nobody approved; the CVM restarts");
        self.waited(records, taken, operation).await
    }

    /// The request.
    async fn patch(&self, own: &Applying) -> Result<Accepted, UpgradeError> {
        let patch = self.plan.code.patch.clone().sealed(None);
        let answer = match self.world.cloud.patch(&self.cvm, &patch).await {
            Ok(raw) => raw.read(),
            Err(error) => Err(error),
        };
        match answer {
            Ok(Patched::Accepted(accepted)) => Ok(accepted),
            Ok(Patched::HashRequired(prepared)) => Err(UpgradeError::decide(
                Code::HashRequired,
                format!(
                    "Phala Cloud asks for an approval of {} after all: a KMS on a chain guards the CVM; nothing was applied",
                    prepared.compose_hash
                ),
            )),
            Err(error) if is_lost(&error) => match self.look(own).await {
                Ok(Trace::Taken(operation)) => Ok(Accepted {
                    correlation_id: operation,
                    status: None,
                }),
                Ok(Trace::Live) => Ok(Accepted::default()),
                _ => Err(UpgradeError::Unknown {
                    code: Code::ApplyUnknown,
                    message: "no usable answer came, and nothing shows yet whether Phala Cloud took the change"
                        .to_owned(),
                    source: Some(Box::new(error)),
                }),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for the operation; what runs then has to be what was computed.
    async fn waited(
        &self,
        mut records: Records<Applying>,
        taken: Applying,
        operation: Option<String>,
    ) -> Result<Applied, UpgradeError> {
        let applied = |settled| Applied {
            operation: operation.clone(),
            settled,
            earlier: false,
        };
        if self.limits.no_wait {
            return Ok(applied(None));
        }
        let mut settled = self.settle(operation.clone(), None).await?;
        if let Settled::Done(Some(cvm)) = &settled
            && self.is_late(cvm)?
        {
            settled = self.settle(operation.clone(), self.plan.code.expected_hash).await?;
        }
        if let Settled::Done(Some(cvm)) = &settled {
            let live = taken.live(cvm.compose_hash);
            records
                .write(live)
                .map_err(|error| not_stored("the change is live", error))?;
        }
        Ok(applied(Some(settled)))
    }

    async fn settle(&self, operation: Option<String>, hash: Option<ComposeHash>) -> Result<Settled, UpgradeError> {
        let time = self.limits.timeout;
        settle(self.world, &self.cvm, Awaited { operation, hash, time }).await
    }

    /// Whether the record still names what ran before: it follows the operation late.
    ///
    /// # Errors
    /// It names something that nobody computed.
    fn is_late(&self, cvm: &Cvm) -> Result<bool, UpgradeError> {
        let code = &self.plan.code;
        let (Some(expected), Some(found)) = (code.expected_hash, cvm.compose_hash) else {
            return Ok(false);
        };
        if found != expected && Some(found) != code.current_hash {
            let details = vec!["the CVM runs it: nobody approved it, and it is not what your files give".to_owned()];
            return Err(UpgradeError::hash_mismatch(Origin::Cloud, expected, found, details));
        }
        Ok(found != expected)
    }
}
