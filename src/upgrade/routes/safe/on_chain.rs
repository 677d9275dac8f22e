//! Approving on chain instead of by a signature: an owner's own `approveHash`, or the execution of the transaction with
//! which a Safe that is an owner agrees.
//!
//! Such a transaction goes through the same journal, broadcast and wait as the execution itself, one at a time.

use std::cmp::Ordering;
use std::ops::ControlFlow;

use alloy::primitives::{Address, B256};

use crate::chain::{Call, Chain};
use crate::code::Code;
use crate::safe::{Look, approvals::Facts, info::SafeInfo, look, nested::approval};
use crate::signer::{Consent, ConsentBy, Fact, Name, Signer};
use crate::upgrade::{
    Goal, Limits, Outcome, Pending, Stop, UpgradeError, Warning, World,
    checks::{consent::of_safe, safe::judge},
    model::{
        safe_approval::{FrozenSafeTx, SafeApproval, SafeTxRole, SignedSafeTx, Stage, domain},
        tx_purpose::TxPurpose,
    },
    planning::neighbours::Neighbours,
    record::State,
    record::event::Event,
    routes::{safe::nonce, transaction::TxConsent},
    run::Run,
    workspace::{document::Subject, signed_digests::consents, upgrade::Upgrade},
};

impl TxPurpose {
    /// Whether `call` is what is sent for the purpose.
    pub(in crate::upgrade) fn is_planned(self, state: &State, ceremony: Option<&SafeApproval>, call: &Call) -> bool {
        match (self, ceremony) {
            (Self::Approve(_), Some(ceremony)) => *call == ceremony.approval.tx.approve_hash_call(),
            (Self::Nested(child), Some(ceremony)) => ceremony
                .nested
                .get(&child)
                .is_some_and(|(_, signed_tx)| signed_tx.tx.is_executed_by(call)),
            (Self::Schedule | Self::Cancel, Some(ceremony)) if state.stage() == self.stage() => {
                ceremony.approval.tx.is_executed_by(call)
            }
            (Self::Schedule, _) => state.calls_at(Stage::Schedule) == [call.clone()],
            (Self::Cancel, _) => state.calls_at(Stage::Cancel) == [call.clone()],
            (Self::Approve(_) | Self::Nested(_), None) => false,
        }
    }
}

impl Subject {
    /// Chooses the transaction with which `child`, an owner that is a Safe, agrees; once, unless its nonce is used up.
    /// Gives what a person should know about the nonce.
    ///
    /// # Errors
    /// It is no owner or no Safe, or no chain was to be asked.
    pub async fn choose_nested(
        &mut self,
        world: &World<'_>,
        limits: &Limits,
        child: Address,
    ) -> Result<Vec<Warning>, UpgradeError> {
        let (plan, ceremony) = self.ceremony()?;
        let chosen = ceremony.nested.get(&child);
        if chosen.is_some() && limits.offline {
            self.state().expect_nonce(limits, SafeTxRole::Nested(child))?;
            return Ok(Vec::new());
        }
        if limits.offline {
            return Err(UpgradeError::decide(
                Code::NestedNotChosen,
                format!("the transaction of the Safe {child} was not chosen yet, and that needs a chain"),
            ));
        }
        let chain = world.chain(plan.chain_id).await?;
        let now = read_child(&chain, plan.safe.as_ref(), child).await?;
        judge(limits, chosen.map_or(&now, |(pinned, _)| pinned), &now)?;
        if let Some((_, signed_tx)) = chosen
            && signed_tx.tx.fields().nonce >= now.nonce
        {
            return Ok(Vec::new());
        }
        let parent = &ceremony.approval.tx;
        let path = self.path();
        let neighbours = Neighbours::around(path.parent().unwrap_or(&path), world.root);
        let taken = neighbours.nonces((now.chain_id, now.address));
        let asked = nonce::Asked {
            wish: limits.safe_nonce.map(|nonce| nonce.max(now.nonce)),
            calls: &[parent.approve_hash_call()],
            taken: &taken,
        };
        let chosen = nonce::choose(world, &now, &asked).await?;
        let (nonce, remarks) = chosen.agreed(limits)?;
        let tx = approval(parent, domain(&now), nonce).map_err(crate::upgrade::model::safe_approval::refused)?;
        let frozen = FrozenSafeTx {
            domain: *tx.domain(),
            transaction: tx.fields().clone(),
            block: now.block,
            stage: Stage::Policy,
        };
        self.record(Event::SafeNested {
            safe: Box::new(now),
            frozen: Box::new(frozen),
        })?;
        self.write()?;
        Ok(remarks)
    }
}

async fn read_child(chain: &Chain, parent: Option<&SafeInfo>, child: Address) -> Result<SafeInfo, UpgradeError> {
    let owners = parent.map(SafeInfo::owner_set).unwrap_or_default();
    if !owners.contains(&child) {
        let names: Vec<String> = owners.iter().map(ToString::to_string).collect();
        return Err(UpgradeError::Stop(Box::new(Stop {
            code: Code::NestedNotOwner,
            what: "nested Safe".to_owned(),
            expected: names.join(" or "),
            found: child.to_string(),
            details: Vec::new(),
            origin: None,
        })));
    }
    SafeInfo::read(chain, child)
        .await?
        .ok_or_else(|| UpgradeError::decide(Code::NestedNotASafe, format!("the owner {child} is no Safe")))
}

fn refuse_stranger(facts: &Facts, owner: Address) -> Result<(), UpgradeError> {
    if facts.owners.contains(&owner) {
        return Ok(());
    }
    Err(UpgradeError::stop(
        Code::SignerNotOwner,
        "who approves",
        "an owner of the Safe",
        owner,
    ))
}

/// An owner that is a Safe, and the transaction that its owners sign.
fn nested(ceremony: &SafeApproval, child: Address) -> Result<&(SafeInfo, SignedSafeTx), UpgradeError> {
    ceremony.nested.get(&child).ok_or_else(|| UpgradeError::TooEarly {
        message: format!("no owner of the Safe {child} has signed yet"),
        command: "sign",
    })
}

impl Upgrade {
    /// Approves on chain: with `child`, what its owners signed is executed; otherwise the key is an owner's and sends
    /// `approveHash` itself. Waits until the approval is in a block that stays.
    ///
    /// # Errors
    /// See [`UpgradeError`].
    pub async fn approve_on_chain(
        &mut self,
        world: &World<'_>,
        limits: &Limits,
        child: Option<Address>,
    ) -> Result<Outcome, UpgradeError> {
        self.refuse_foreign_cloud(world)?;
        self.refuse_given_up()?;
        let role = child.map_or(SafeTxRole::Approval, SafeTxRole::Nested);
        self.expect_safe_tx(limits, role)?;
        self.state().expect_nonce(limits, role)?;
        self.run(world, limits)?.drive(Goal::ApprovedOnChain(child)).await
    }
}

impl Run<'_> {
    /// Signs an approval that is sent to the chain, unless it is there.
    pub(in crate::upgrade) async fn approve_on_chain(
        &mut self,
        child: Option<Address>,
    ) -> Result<ControlFlow<Outcome>, UpgradeError> {
        self.refuse_rejected()?;
        let ceremony = self.ceremony()?;
        let chain = self.chain().await?;
        let role = child.map_or(SafeTxRole::Approval, SafeTxRole::Nested);
        let known = self.may_sign(&chain, role).await?;
        let parent = self.look_at(&chain, &ceremony.approval, known.look).await?;
        if parent.info.nonce > ceremony.nonce() {
            return self.settle_nonce(&chain, &ceremony).await.map(ControlFlow::Break);
        }
        let Some(key) = self.signer().await?.map(Signer::address) else {
            return Err(UpgradeError::decide(
                Code::SignerNeeded,
                "no key was named to send the approval",
            ));
        };
        let purpose = child.map_or(TxPurpose::Approve(key), TxPurpose::Nested);
        let owner = child.unwrap_or(key);
        refuse_stranger(&parent.facts, owner)?;
        if parent.facts.approved.contains(&owner) {
            return Ok(ControlFlow::Break(Outcome::Reached));
        }
        let (call, consents) = match purpose {
            TxPurpose::Approve(_) | TxPurpose::Schedule | TxPurpose::Cancel => {
                let consents = consents(&ceremony, SafeTxRole::Approval, Some(key), ConsentBy::ApproveHash);
                (ceremony.approval.tx.approve_hash_call(), consents)
            }
            TxPurpose::Nested(child) => {
                let nested = nested(&ceremony, child)?;
                let mut found = match known.child {
                    Some(known) => known,
                    None => look(&chain, &nested.1.tx, &nested.1.signatures, None).await?,
                };
                found.facts.executor = Some(key);
                match self.nested_call(nested, &found)? {
                    Ok(call) => {
                        let owner = Some(key).filter(|key| found.facts.owners.contains(key));
                        (
                            call,
                            consents(&ceremony, SafeTxRole::Nested(child), owner, ConsentBy::Execution),
                        )
                    }
                    Err(pending) => return Ok(ControlFlow::Break(Outcome::Pending(pending))),
                }
            }
        };
        let asking = TxConsent {
            from: key,
            call,
            purpose: Some(purpose),
            consent: self.ask_on_chain(&ceremony, purpose, key),
            act: "approving on chain",
            consents,
        };
        self.sign_call(&chain, asking).await?;
        Ok(ControlFlow::Continue(()))
    }

    /// The execution of the child's transaction, if enough of its owners signed, by whoever `found` was made for.
    fn nested_call(
        &self,
        nested: &(SafeInfo, SignedSafeTx),
        found: &Look,
    ) -> Result<Result<Call, Pending>, UpgradeError> {
        let (pinned, signed_tx) = nested;
        judge(self.limits, pinned, &found.info)?;
        let child = pinned.address;
        let nonce = signed_tx.tx.fields().nonce;
        match found.info.nonce.cmp(&nonce) {
            Ordering::Equal => {}
            Ordering::Less => {
                return Ok(Err(Pending {
                    code: Code::PendingQueue,
                    what: format!(
                        "the transaction of the Safe {child} has nonce {nonce}, and that Safe is at {}",
                        found.info.nonce
                    ),
                }));
            }
            Ordering::Greater => {
                return Err(UpgradeError::decide(
                    Code::SafeNonceTaken,
                    format!(
                        "nonce {nonce} of the Safe {child} is used up, and it did not approve; its owners have to sign again"
                    ),
                ));
            }
        }
        Ok(signed_tx
            .signatures
            .pack(&found.facts)
            .map(|packed| signed_tx.tx.exec_call(&packed.bytes))
            .map_err(|few| Pending {
                code: Code::PendingSignatures,
                what: format!("Safe {child}: {few}"),
            }))
    }

    fn ask_on_chain(&self, ceremony: &SafeApproval, purpose: TxPurpose, key: Address) -> Consent {
        let role = match purpose {
            TxPurpose::Nested(child) => SafeTxRole::Nested(child),
            TxPurpose::Approve(_) | TxPurpose::Schedule | TxPurpose::Cancel => SafeTxRole::Approval,
        };
        let (signed_tx, safe) = ceremony.role(role).unwrap_or((&ceremony.approval, None));
        let safe = safe.or(self.upgrade.state().plan().and_then(|plan| plan.safe.as_ref()));
        let mut consent = of_safe(self.upgrade.state(), signed_tx, safe);
        consent.question = format!("Approve on chain, sent by {key}? It cannot be taken back.");
        let owner = purpose.owner().unwrap_or(key);
        consent.facts.push(Fact::new(Name::ApprovesAs, owner));
        consent
    }

    /// The approval is in a block that stays, and the Safe says so. `None`: not settled after all.
    pub(in crate::upgrade) async fn prove_purpose(
        &mut self,
        chain: &Chain,
        purpose: TxPurpose,
        transaction: B256,
    ) -> Result<Option<Outcome>, UpgradeError> {
        let Some(owner) = purpose.owner() else {
            return self.prove_timelock_purpose(chain, purpose, transaction).await;
        };
        let ceremony = self.ceremony()?;
        let facts: Facts = look(chain, &ceremony.approval.tx, &ceremony.approval.signatures, None)
            .await?
            .facts;
        if facts.approved.contains(&owner) {
            self.record(Event::SafePurposeDone { transaction })?;
            self.tell(&format!("{owner} approved {} on chain", ceremony.hash()));
            return Ok(Some(Outcome::Reached));
        }
        let why = format!(
            "transaction {transaction} did not make {owner} approve {}",
            ceremony.hash()
        );
        self.record(Event::TxGone { why: why.clone() })?;
        Err(UpgradeError::Failed {
            code: Code::ApprovalFailed,
            message: why,
        })
    }
}
