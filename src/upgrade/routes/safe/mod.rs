//! The Safe route: choose the transaction, execute it when enough owners have signed, and know what became of it.

pub(in crate::upgrade) mod nonce;
pub(in crate::upgrade) mod on_chain;
pub(in crate::upgrade) mod recognise;
pub(in crate::upgrade) mod shown;
pub(in crate::upgrade) mod sign;

use std::cmp::Ordering;

use alloy::primitives::{Address, B256, Bytes, U256};

use crate::chain::{Call, Chain, Proof, ProofFailure};
use crate::code::Code;
use crate::fsutil::point;
use crate::safe::{
    Intent, Look,
    approvals::{Facts, Standing},
    executed::{Execution, SafeProofFailure, prove_execution},
    info::SafeInfo,
    libraries::batcher_on,
    look,
    simulate::{Simulation, simulate},
    status::{SafeStatus, Watched, observe},
};
use crate::signer::{ConsentBy, Fact, Name, SafeConsent, Signer};
use crate::upgrade::{
    Goal, Outcome, Pending, UpgradeError,
    checks::{
        consent::{approved_by, of_safe},
        safe::{agreed, check_signed_tx, in_words, judge, same_code},
        verdict::same_hash,
    },
    model::{
        safe_approval::{FrozenSafeTx, SafeApproval, SafeTxRole, SignedSafeTx, Stage, domain},
        tx_purpose::TxPurpose,
    },
    planning::{
        governance::why_it_fails,
        neighbours::{self, Neighbours},
    },
    record::event::Event,
    routes::{batch::By, safe::sign::Signing, transaction::TxConsent},
    run::Run,
    workspace::{document::Book, signed_digests::expect_safe_tx},
};

/// A Safe transaction that enough owners have signed, and the key that executes it.
pub(in crate::upgrade) struct Executable<'a> {
    pub(in crate::upgrade) signed_tx: &'a SignedSafeTx,
    pub(in crate::upgrade) look: &'a Look,
    pub(in crate::upgrade) executor: Address,
    pub(in crate::upgrade) signatures: Bytes,
}

impl Run<'_> {
    /// Chooses the timelock's operation, then the Safe transaction: its nonce, and with it the hash that owners sign.
    pub(in crate::upgrade) async fn freeze(&mut self) -> Result<Outcome, UpgradeError> {
        if self.upgrade.state().lacks_operation() {
            return self.choose_operation().await;
        }
        self.freeze_at(self.upgrade.state().first_stage()).await
    }

    /// Chooses the Safe transaction that makes the calls of a stage, and with its nonce the hash that owners sign;
    /// records it and writes the proposal. Reads the Safe.
    pub(in crate::upgrade) async fn freeze_at(&mut self, stage: Stage) -> Result<Outcome, UpgradeError> {
        let plan = self.plan()?;
        let Some(pinned) = &plan.safe else {
            return Ok(Outcome::Reached);
        };
        let chain = self.chain().await?;
        let info = SafeInfo::read(&chain, pinned.address)
            .await?
            .ok_or_else(|| UpgradeError::stop(Code::SafeChanged, "owner of the app", "a Safe", "no Safe any more"))?;
        self.pin_anew(pinned, &info)?;
        let calls = self.upgrade.state().calls_at(stage);
        let batcher = if calls.len() > 1 {
            batcher_on(&chain, &info).await?
        } else {
            None
        };
        let intent = Intent {
            domain: domain(&info),
            nonce: self.free_nonce(&info, &calls).await?,
            calls,
            batcher,
            // Whether an old version is trusted is decided where something is signed.
            old_versions: true,
        };
        let frozen = FrozenSafeTx::choose(&intent, stage, info.block)?;
        self.tell(&format!(
            "chose Safe transaction {} at nonce {}",
            frozen.transaction.hash(&frozen.domain),
            frozen.transaction.nonce
        ));
        point("freeze.a");
        self.record(Event::SafeFrozen(Box::new(frozen)))?;
        point("freeze.b");
        self.upgrade.write_proposal()?;
        Ok(Outcome::Reached)
    }

    /// Takes a changed Safe for good where that was asked for, and refuses it otherwise.
    fn pin_anew(&mut self, pinned: &SafeInfo, now: &SafeInfo) -> Result<(), UpgradeError> {
        if judge(self.limits, pinned, now)? {
            self.record(Event::SafePinned(Box::new(now.clone())))?;
        }
        Ok(())
    }

    /// The nonce that was named, or the first one that is free.
    async fn free_nonce(&mut self, info: &SafeInfo, calls: &[Call]) -> Result<U256, UpgradeError> {
        let wish = self.limits.safe_nonce;
        let neighbours = Neighbours::around(self.upgrade.dir(), self.world.root);
        let taken = neighbours.nonces((info.chain_id, info.address));
        if let Some(nonce) = wish {
            let used = Some(nonce::used_up(info, nonce)).filter(|_| nonce < info.nonce);
            let held = taken.get(&nonce).map(|dir| neighbours::taken(nonce, dir));
            let held = held.filter(|held| !agreed(self.limits, held.code, nonce));
            if let Some(doubt) = used.or(held) {
                return Err(UpgradeError::decide(doubt.code, doubt.text));
            }
        }
        let asked = nonce::Asked {
            wish,
            calls,
            taken: &taken,
        };
        let chosen = nonce::choose(self.world, info, &asked).await?;
        let (nonce, remarks) = chosen.agreed(self.limits)?;
        for remark in remarks {
            self.warn(remark.code, remark.text);
        }
        Ok(nonce)
    }

    /// The Safe transaction and its signatures.
    pub(in crate::upgrade) fn ceremony(&self) -> Result<SafeApproval, UpgradeError> {
        self.upgrade.state().ceremony()?.ok_or_else(|| UpgradeError::TooEarly {
            message: "no Safe transaction was chosen yet".to_owned(),
            command: "prepare",
        })
    }

    /// Signs where that is asked for, executes when enough have signed, or says what is missing. `known` is the Safe with
    /// this transaction, where it was just read.
    pub(in crate::upgrade) async fn approve_by_safe(
        &mut self,
        chain: &Chain,
        goal: Goal,
        known: Option<Look>,
    ) -> Result<Outcome, UpgradeError> {
        if let Some(why) = self.upgrade.state().safe.gone.clone() {
            if self.limits.new_nonce {
                return self.freeze_at(self.ceremony()?.stage).await;
            }
            return Err(UpgradeError::decide(Code::SafeTxGone, why));
        }
        let ceremony = self.ceremony()?;
        let stage = ceremony.stage;
        if stage != Stage::Cancel {
            self.refuse_rejected()?;
        }
        expect_safe_tx(self.limits, &[ceremony.hash()])?;
        let look = self.look_at(chain, &ceremony.approval, known).await?;
        let queued = match look.info.nonce.cmp(&ceremony.nonce()) {
            Ordering::Greater => return self.settle_nonce(chain, &ceremony).await,
            Ordering::Less => Some(look.info.nonce),
            Ordering::Equal => None,
        };
        let key = self.signer().await?.map(Signer::address);
        let facts = Facts {
            executor: key,
            ..look.facts.clone()
        };
        let standing = ceremony.approval.signatures.standing(&facts);
        if let (None, Some(executor), Ok(packed)) = (queued, key, ceremony.approval.signatures.pack(&facts)) {
            let ready = Executable {
                signed_tx: &ceremony.approval,
                look: &look,
                executor,
                signatures: packed.bytes,
            };
            return self.execute(chain, &ready).await;
        }
        let unsigned = key.filter(|key| facts.owners.contains(key) && !self.has_signed(*key, SafeTxRole::Approval));
        if goal == Goal::Live && unsigned.is_some() {
            return self.sign_as_owner(SafeTxRole::Approval).await;
        }
        Ok(Outcome::Pending(waiting(&ceremony, &standing, queued, key)))
    }

    pub(in crate::upgrade) fn refuse_rejected(&self) -> Result<(), UpgradeError> {
        if !self.upgrade.state().is_rejecting() {
            return Ok(());
        }
        Err(UpgradeError::decide(
            Code::SafeRejecting,
            "somebody decided to reject the Safe transaction; it is not signed or executed any more",
        ))
    }

    pub(in crate::upgrade) fn has_signed(&self, owner: Address, role: SafeTxRole) -> bool {
        self.upgrade.state().has_signed(role, owner)
    }

    /// Reads the Safe and what it says of the transaction, and compares it with what was read before.
    pub(in crate::upgrade) async fn look_at(
        &mut self,
        chain: &Chain,
        signed_tx: &SignedSafeTx,
        known: Option<Look>,
    ) -> Result<Look, UpgradeError> {
        let plan = self.plan()?;
        let look = match known {
            Some(known) => known,
            None => look(chain, &signed_tx.tx, &signed_tx.signatures, None).await?,
        };
        if check_signed_tx(self.limits, &plan, signed_tx, &look)? {
            self.record(Event::SafePinned(Box::new(look.info.clone())))?;
        }
        Ok(look)
    }

    /// Reads the Safe and what it says of the transaction, for those who only wait: the Safe wants nothing of them, so
    /// who owns it by now is told and not refused.
    async fn watch_safe(&mut self, chain: &Chain, ceremony: &SafeApproval) -> Result<Look, UpgradeError> {
        if self.limits.accepted.covers(Code::SafeOwnersChanged, None) {
            return self.look_at(chain, &ceremony.approval, None).await;
        }
        let (plan, signed_tx) = (self.plan()?, &ceremony.approval);
        let look = look(chain, &signed_tx.tx, &signed_tx.signatures, None).await?;
        let pinned = plan.safe.as_ref().unwrap_or(&look.info);
        let changes = same_code(self.limits, pinned, &look.info)?;
        same_hash(&look, signed_tx)?;
        if !changes.is_empty() {
            let (safe, told) = (look.info.address, in_words(&changes));
            self.warn(
                Code::SafeOwnersChanged,
                format!("Safe {safe} changed since it was read: {told}"),
            );
        }
        Ok(look)
    }

    /// One signature more; whether it was the last one that was needed, the next look says.
    pub(in crate::upgrade) async fn sign_as_owner(&mut self, role: SafeTxRole) -> Result<Outcome, UpgradeError> {
        self.signer().await?;
        let Some(signer) = &self.signer else {
            return Ok(Outcome::Reached);
        };
        let owner = signer.address();
        let signing = Signing {
            world: self.world,
            limits: self.limits,
            signer,
        };
        signing.sign(&mut Book::Upgrade(self.upgrade), role).await?;
        let what = if role == SafeTxRole::Rejection {
            "the rejection"
        } else {
            "the Safe transaction"
        };
        self.tell(&format!("{owner} signed {what}"));
        Ok(Outcome::Reached)
    }

    /// Executes the Safe transaction with the signatures that are there.
    pub(in crate::upgrade) async fn execute(
        &mut self,
        chain: &Chain,
        ready: &Executable<'_>,
    ) -> Result<Outcome, UpgradeError> {
        let Executable {
            signed_tx,
            look,
            executor,
            ..
        } = *ready;
        let tx = &signed_tx.tx;
        let simulated = simulate(chain, tx, &look.info, executor).await?;
        if let Simulation::Refused { why, .. } = &simulated {
            let (code, why) = why_it_fails(chain, &look.info, why).await?;
            return Err(UpgradeError::decide(
                code,
                format!("executing Safe transaction {} now would fail: {why}", tx.hash()),
            ));
        }
        // Whether a Safe counts the sender or not, an owner who executes wants it done.
        let is_owner = look.facts.owners.contains(&executor);
        let consents = is_owner.then(|| SafeConsent::new(executor, tx, ConsentBy::Execution));
        let mut consent = of_safe(self.upgrade.state(), signed_tx, Some(&look.info));
        consent.question = format!("Execute this Safe transaction as {executor}?");
        consent.facts.extend(approved_by(&look.facts.approved));
        consent.facts.push(Fact::new(Name::ExecutesAs, executor));
        let purpose = match self.upgrade.state().stage() {
            Some(Stage::Schedule) if !self.upgrade.state().is_rejecting() => Some(TxPurpose::Schedule),
            Some(Stage::Cancel) => Some(TxPurpose::Cancel),
            _ => None,
        };
        let asking = TxConsent {
            from: executor,
            call: tx.exec_call(&ready.signatures),
            purpose,
            consent,
            act: "executing",
            consents: consents.into_iter().collect(),
        };
        self.sign_call(chain, asking).await?;
        Ok(Outcome::Reached)
    }

    /// The nonce is used up and the hash is not allowed: finds out by what.
    pub(in crate::upgrade) async fn settle_nonce(
        &mut self,
        chain: &Chain,
        ceremony: &SafeApproval,
    ) -> Result<Outcome, UpgradeError> {
        let nonce = ceremony.nonce();
        let tx = &ceremony.approval.tx;
        let watched = Watched {
            executor: None,
            from_block: ceremony.block.number,
            effect: None,
        };
        let (found, _) = observe(chain, tx, &ceremony.approval.signatures, &watched).await?;
        let (code, why) = match found {
            SafeStatus::Executed(ours) => return self.settle_ours(chain, ceremony, &ours).await,
            SafeStatus::FailedInside(ours) => return Err(self.fail_inside(ceremony, ours.transaction)?),
            SafeStatus::Rejected { by } => (
                Code::SafeTxRejected,
                format!(
                    "the owners rejected it: nonce {nonce} was used up by the rejection in transaction {}",
                    by.transaction
                ),
            ),
            SafeStatus::Replaced { by: Some(by) } => (
                Code::SafeNonceTaken,
                format!(
                    "nonce {nonce} of the Safe was used up by Safe transaction {} in transaction {}; a new Safe transaction needs new signatures",
                    by.safe_tx_hash, by.transaction
                ),
            ),
            SafeStatus::Replaced { by: None } => (
                Code::SafeNonceTaken,
                format!(
                    "nonce {nonce} of the Safe was used up by another Safe transaction; a new one needs new signatures"
                ),
            ),
            _ => {
                return Err(UpgradeError::Unknown {
                    code: Code::SafeNonceUnknown,
                    message: format!(
                        "nonce {nonce} of the Safe is used up, and no endpoint shows by which Safe transaction"
                    ),
                    source: None,
                });
            }
        };
        self.record(Event::SafeGone { why: why.clone() })?;
        Err(UpgradeError::decide(code, why))
    }

    async fn settle_ours(
        &mut self,
        chain: &Chain,
        ceremony: &SafeApproval,
        ours: &Execution,
    ) -> Result<Outcome, UpgradeError> {
        if ours.failed {
            return Err(self.fail_inside(ceremony, ours.transaction)?);
        }
        if matches!(ceremony.stage, Stage::Schedule | Stage::Cancel) {
            let why = format!(
                "Safe transaction {} was executed in transaction {}, and the timelock does not have the operation any more",
                ceremony.hash(),
                ours.transaction
            );
            self.record(Event::SafeGone { why: why.clone() })?;
            return Err(UpgradeError::Failed {
                code: Code::OperationCancelled,
                message: why,
            });
        }
        let changes = self.changes()?;
        match chain.prove(ours.transaction, &changes, self.finality(chain.id())).await {
            Ok(proof) => {
                if let Some(pending) = self.prove_others(chain, By::Approval(ours.transaction)).await? {
                    return Ok(Outcome::Pending(pending));
                }
                self.adopt_proof(chain, proof).await?;
                Ok(Outcome::Reached)
            }
            Err(failure @ ProofFailure::Removed { .. }) => {
                // The others were approved all the same.
                self.prove_others(chain, By::Approval(ours.transaction)).await?;
                Err(failure.into())
            }
            Err(ProofFailure::NotSettled { .. }) => Ok(Outcome::Pending(Pending {
                code: Code::PendingConfirmations,
                what: format!(
                    "Safe transaction {} was executed in a block that may still be replaced",
                    ceremony.hash()
                ),
            })),
            Err(error) => Err(error.into()),
        }
    }

    /// The call inside failed and the nonce is used up.
    fn fail_inside(&mut self, ceremony: &SafeApproval, transaction: B256) -> Result<UpgradeError, UpgradeError> {
        let why = format!(
            "nonce {} of the Safe is used up: Safe transaction {} failed inside, in transaction {transaction}; a new Safe transaction is needed",
            ceremony.nonce(),
            ceremony.hash()
        );
        self.record(Event::SafeGone { why: why.clone() })?;
        Ok(UpgradeError::Failed {
            code: Code::SafeTxFailed,
            message: why,
        })
    }

    /// A transaction without effect may be one that the Safe executed and that failed inside.
    pub(in crate::upgrade) async fn refuse_failed_inside(
        &mut self,
        chain: &Chain,
        transaction: B256,
    ) -> Result<(), UpgradeError> {
        let Some(ceremony) = self.upgrade.state().ceremony()? else {
            return Ok(());
        };
        let tx = &ceremony.approval.tx;
        match prove_execution(chain, transaction, tx.domain().safe, tx.hash()).await {
            Err(SafeProofFailure::FailedInside { .. }) => Err(self.fail_inside(&ceremony, transaction)?),
            _ => Ok(()),
        }
    }

    /// What a proved transaction has to show of our Safe, besides the app's event and state.
    pub(in crate::upgrade) async fn check_execution(
        &mut self,
        chain: &Chain,
        proof: &Proof,
    ) -> Result<(), UpgradeError> {
        let (Some(transaction), Some(_)) = (proof.transaction, &self.upgrade.state().safe.frozen) else {
            return Ok(());
        };
        let ceremony = self.ceremony()?;
        let tx = &ceremony.approval.tx;
        let is_ours = self.upgrade.state().tx.signed.iter().any(|one| one.hash == transaction);
        match prove_execution(chain, transaction, tx.domain().safe, tx.hash()).await {
            Ok(()) => Ok(()),
            Err(SafeProofFailure::Chain(error)) => Err(error.into()),
            Err(SafeProofFailure::FailedInside { .. }) => Err(self.fail_inside(&ceremony, transaction)?),
            Err(_) if !is_ours && self.recognise_execution(chain, transaction, &ceremony).await? => Ok(()),
            Err(_) if !is_ours => {
                self.tell(&format!(
                    "the change is in force by transaction {transaction}, which did not execute Safe transaction {}: that one can be executed as long as nonce {} is free",
                    tx.hash(),
                    ceremony.nonce()
                ));
                // Evidence tells of what was executed, and this was not.
                if ceremony.stage.is_policy() {
                    let why = format!("the change is in force by transaction {transaction}, which did not execute it");
                    self.record(Event::SafeGone { why })?;
                }
                Ok(())
            }
            Err(failure) => Err(UpgradeError::stop(
                Code::SafeNotExecuted,
                "what the transaction did at the Safe",
                format!("one success of {}", tx.hash()),
                failure,
            )),
        }
    }

    /// Where the Safe transaction stands while others act, in one line; an error when it can never take effect.
    pub(in crate::upgrade) async fn safe_news(&mut self, chain: &Chain) -> Result<Option<Pending>, UpgradeError> {
        if self.upgrade.state().safe.frozen.is_none() {
            return Ok(None);
        }
        let ceremony = self.ceremony()?;
        let look = self.watch_safe(chain, &ceremony).await?;
        let queued = match look.info.nonce.cmp(&ceremony.nonce()) {
            Ordering::Greater => {
                return match self.settle_nonce(chain, &ceremony).await? {
                    Outcome::Pending(pending) => Ok(Some(pending)),
                    Outcome::Reached => Ok(None),
                };
            }
            Ordering::Less => Some(look.info.nonce),
            Ordering::Equal => None,
        };
        let standing = ceremony.approval.signatures.standing(&look.facts);
        Ok(Some(waiting(&ceremony, &standing, queued, None)))
    }
}

/// What an upgrade waits for that the owners of a Safe approve.
fn waiting(ceremony: &SafeApproval, standing: &Standing, queued: Option<U256>, key: Option<Address>) -> Pending {
    let (hash, nonce) = (ceremony.hash(), ceremony.nonce());
    if let Some(first) = queued {
        return Pending {
            code: Code::PendingQueue,
            what: format!(
                "Safe transaction {hash} has nonce {nonce}, and the Safe is at {first}: those before it come first"
            ),
        };
    }
    let (have, need) = (standing.counted.len(), standing.threshold);
    let enough = u64::try_from(have).is_ok_and(|have| have >= need);
    if enough && key.is_none() {
        return Pending {
            code: Code::PendingExecution,
            what: format!("{have} of {need} owners signed Safe transaction {hash}; anybody can execute it"),
        };
    }
    let missing: Vec<String> = standing.missing.iter().map(ToString::to_string).collect();
    Pending {
        code: Code::PendingSignatures,
        what: format!(
            "{have} of {need} owners signed Safe transaction {hash} at nonce {nonce}; not yet: {}",
            missing.join(", ")
        ),
    }
}
