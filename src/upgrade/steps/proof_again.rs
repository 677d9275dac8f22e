//! A proof that was recorded is read again before anybody relies on it: the block that held it may be gone, and the change
//! may be in another one, by another transaction, or nowhere.

use std::time::Duration;

use crate::chain::{Chain, Finality, PolicyChange, Proof, ProofFailure};
use crate::code::Code;
use crate::upgrade::{
    Goal, Outcome, Pending, UpgradeError, World,
    record::State,
    record::{event::Event, evidence},
    run::Run,
};

/// Between two looks at a block that is not everywhere yet.
const PAUSE: Duration = Duration::from_millis(500);

/// What a recorded proof is worth now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProofNow {
    /// It is good; as it reads now.
    Stands(Box<Proof>),
    /// The block that held it is not the chain's any more.
    Gone,
    /// Its block is the chain's, and the change was not in force there: whoever said so alone was wrong.
    NeverWas,
    /// The change was taken back since.
    Undone(PolicyChange),
    /// Its block is not deep enough at every endpoint, or one of them is behind.
    Unsettled,
}

/// What became of what the app allowed, when its proof was read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::upgrade) enum Standing {
    /// It is in force.
    Stands,
    /// It was taken back.
    Withdrawn,
    /// The proof is gone, and the change has to be proved anew.
    Lost,
}

impl Standing {
    /// What a look at the app's policy says; where the chain does not answer, nothing speaks against it.
    fn of(found: Result<Self, UpgradeError>) -> Result<Self, UpgradeError> {
        match found {
            Err(UpgradeError::Decide {
                code: Code::HashRemoved,
                ..
            }) => Ok(Self::Withdrawn),
            Err(UpgradeError::Proof(ProofFailure::Chain(_))) => Ok(Self::Stands),
            other => other,
        }
    }
}

impl ProofNow {
    /// What is said of a change that was in force, by what the proof says, and is not any more.
    pub fn told_undone(proof: &Proof, change: &PolicyChange) -> String {
        let by = match proof.transaction {
            Some(transaction) => format!("approved in transaction {transaction}"),
            None => format!("in force at block {}", proof.block.number),
        };
        format!("this was {by} and is undone since: {change}")
    }

    /// Reads it again.
    pub(in crate::upgrade) async fn of(chain: &Chain, proof: &Proof, finality: Finality) -> Result<Self, UpgradeError> {
        let changes = proof.subject();
        let fresh = match proof.transaction {
            Some(transaction) => chain.prove(transaction, &changes, finality).await,
            None => chain.prove_state(&changes, finality).await,
        };
        stop_at_broken_promise(chain, proof).await?;
        match fresh {
            Ok(fresh) => Ok(Self::Stands(Box::new(fresh))),
            Err(ProofFailure::Removed { change, .. }) => Ok(Self::Undone(change)),
            Err(error @ ProofFailure::Chain(_)) => Err(error.into()),
            Err(failure) => {
                let found = chain.block_hash(proof.block.number).await;
                match (failure, found.map_err(ProofFailure::Chain)?) {
                    (_, Some(found)) if found != proof.block.hash => Ok(Self::Gone),
                    (ProofFailure::NotInForce { .. }, _) if was_never(chain, proof).await => Ok(Self::NeverWas),
                    (ProofFailure::NotInForce { change }, _) => Ok(Self::Undone(change)),
                    (ProofFailure::NotSettled { .. }, _) => Ok(Self::Unsettled),
                    (failure, _) => Err(failure.into()),
                }
            }
        }
    }
}

/// Whether what only the state proved was not so at the proof's own block. Who cannot read that block any more tells nothing.
async fn was_never(chain: &Chain, proof: &Proof) -> bool {
    proof.transaction.is_none() && matches!(chain.holds(&proof.subject(), &proof.block).await, Ok(false))
}

/// A block that endpoints called safe or final and that is gone: what they say of this chain is not to be relied on.
async fn stop_at_broken_promise(chain: &Chain, proof: &Proof) -> Result<(), UpgradeError> {
    let Some(tag) = proof.finality.tag() else { return Ok(()) };
    // Who is patient with a proof that cannot be read is patient with this.
    let found = chain.block_hash(proof.block.number).await;
    let Some(found) = found.map_err(ProofFailure::Chain)? else {
        return Ok(());
    };
    if found == proof.block.hash {
        return Ok(());
    }
    Err(UpgradeError::stop(
        Code::ChainNotTrustworthy,
        format!("block {}, which was called {tag}", proof.block.number),
        proof.block.hash,
        found,
    ))
}

/// Reads the proof of an upgrade again and records nothing; `None`: there is none yet.
///
/// # Errors
/// The chain did not answer, or is not to be relied on.
pub async fn look_at_proof(
    world: &World<'_>,
    finality: Option<Finality>,
    state: &State,
) -> Result<Option<ProofNow>, UpgradeError> {
    let Some(proof) = state.proof() else { return Ok(None) };
    let chain = world.chain(proof.chain_id).await?;
    let finality = finality.unwrap_or_else(|| Finality::default_for(chain.id()));
    ProofNow::of(&chain, proof, finality).await.map(Some)
}

fn not_settled(old: &Proof) -> UpgradeError {
    let transaction = old.transaction.unwrap_or_default();
    ProofFailure::NotSettled { transaction }.into()
}

/// The change that was approved and is not in force any more.
fn undone(proof: &Proof, change: &PolicyChange) -> UpgradeError {
    let told = ProofNow::told_undone(proof, change);
    UpgradeError::decide(Code::HashRemoved, format!("{told}; nothing was committed"))
}

impl Run<'_> {
    /// Before anything is reported from the journal: whether what it has as proof is one still. `Some`: not now.
    pub(in crate::upgrade) async fn look_at_the_proof(&mut self, goal: Goal) -> Result<Option<Outcome>, UpgradeError> {
        let state = self.upgrade.state();
        let again = self.asks_again(goal);
        let reports = matches!(goal, Goal::Prepared | Goal::Executed | Goal::Proved) || state.code().is_none() || again;
        let Some(old) = state.proof().cloned().filter(|_| reports) else {
            return Ok(None);
        };
        let chain = self.chain().await?;
        match self.proof_now(&chain, &old).await? {
            ProofNow::Stands(fresh) => {
                self.keep_proof(&old, *fresh)?;
                Ok(None)
            }
            ProofNow::Undone(_) if self.upgrade.state().commit.committed.is_some() => Err(UpgradeError::Failed {
                code: Code::CommittedButNotAllowed,
                message: format!(
                    "what was committed is not allowed by {} any more: the next boot will be refused",
                    old.app
                ),
            }),
            ProofNow::Undone(change) if again => {
                self.approve_anew(&old, &change)?;
                Ok(None)
            }
            ProofNow::Undone(change) => Err(undone(&old, &change)),
            ProofNow::Unsettled => Ok(Some(Outcome::Pending(unsettled(&old)))),
            lost @ (ProofNow::Gone | ProofNow::NeverWas) => {
                self.lose_proof(&old, &lost)?;
                Ok(None)
            }
        }
    }

    /// Whether somebody asks for the approval once more, should it be undone; what was committed is over.
    fn asks_again(&self, goal: Goal) -> bool {
        let state = self.upgrade.state();
        let asks = self.limits.new_nonce && matches!(goal, Goal::Executed | Goal::Live);
        asks && state.commit.committed.is_none() && !state.commit.trying
    }

    /// The owner took back what was approved, and somebody decided to ask for it again: with another nonce, another Safe
    /// transaction, another operation.
    fn approve_anew(&mut self, old: &Proof, change: &PolicyChange) -> Result<(), UpgradeError> {
        let why = ProofNow::told_undone(old, change);
        self.tell(&format!("{why}; it is asked for again"));
        let by_timelock = self.plan()?.timelock.is_some();
        // The proof goes after the Safe transaction: a run that dies in between finds it and does the rest.
        if !by_timelock && self.upgrade.state().safe.frozen.is_some() {
            self.record(Event::SafeGone { why: why.clone() })?;
        }
        match self.upgrade.state().tx.signed.is_empty() {
            true => self.record(Event::ProofGone { block: old.block })?,
            false => self.record(Event::TxGone { why })?,
        }
        if by_timelock {
            self.record(Event::TimelockAgain)?;
        }
        evidence::withdraw(self.upgrade.dir())?;
        self.upgrade.write_proposal()
    }

    /// Reads again, where it is relied on, what the proof says. `None`: it is gone, which is recorded now, and the change has to
    /// be proved anew.
    pub(in crate::upgrade) async fn refresh_proof(&mut self, chain: &Chain) -> Result<Option<Proof>, UpgradeError> {
        let Some(old) = self.upgrade.state().proof().cloned() else {
            return Err(UpgradeError::TooEarly {
                message: "the effect on chain is not proved yet".to_owned(),
                command: "wait",
            });
        };
        match self.settled_proof(chain, &old).await? {
            ProofNow::Stands(fresh) => {
                self.keep_witness(chain, &fresh).await?;
                Ok(Some(self.keep_proof(&old, *fresh)?))
            }
            ProofNow::Undone(change) => Err(undone(&old, &change)),
            ProofNow::Unsettled => Err(not_settled(&old)),
            ProofNow::Gone => {
                self.lose_proof(&old, &ProofNow::Gone)?;
                self.others_lost = self.upgrade.state().tx.signed.is_empty();
                Ok(None)
            }
            // Nobody is on the way to do it: the next run begins with the approval.
            ProofNow::NeverWas => {
                self.lose_proof(&old, &ProofNow::NeverWas)?;
                Err(not_settled(&old))
            }
        }
    }

    /// What a recorded proof is worth, also by a transaction of our own, whose bytes go out again where nobody shows them.
    async fn settled_proof(&mut self, chain: &Chain, old: &Proof) -> Result<ProofNow, UpgradeError> {
        let mut is_sent = false;
        loop {
            let now = self.proof_now(chain, old).await?;
            if now != ProofNow::Unsettled || !self.is_ours(old) {
                return Ok(now);
            }
            if !std::mem::replace(&mut is_sent, true) {
                self.send_unless_seen(chain).await?;
            }
            if !self.sleep(PAUSE).await {
                // Proving it is asked for last: that names whoever is behind.
                let Some(transaction) = old.transaction else {
                    return Ok(now);
                };
                let changes = old.subject();
                let again = chain.prove(transaction, &changes, self.finality(chain.id())).await;
                return Ok(again.map_or(now, |fresh| ProofNow::Stands(Box::new(fresh))));
            }
        }
    }

    /// Whether what the app allowed is in force still, and the KMS would let it boot.
    pub(in crate::upgrade) async fn still_boots(&mut self) -> Result<Standing, UpgradeError> {
        let chain = self.chain().await?;
        let proof = self.refresh_proof(&chain).await;
        let stands = match proof {
            Ok(Some(_)) => self.check_boot(&chain).await.map(|()| Standing::Stands),
            other => other.map(|_| Standing::Lost),
        };
        Standing::of(stands)
    }

    /// Whether what the app allowed is in force still.
    pub(in crate::upgrade) async fn still_allowed(&mut self) -> Result<Standing, UpgradeError> {
        let chain = self.chain().await?;
        let proof = self.refresh_proof(&chain).await;
        let stands = match proof {
            Ok(Some(_)) if self.makes_new()? => self.check_lists(&chain).await.map(|()| Standing::Stands),
            Ok(Some(_)) => Ok(Standing::Stands),
            other => other.map(|_| Standing::Lost),
        };
        Standing::of(stands)
    }

    /// Reads what a recorded proof is worth once its block is settled at every endpoint, or when the time is over. Does
    /// not wait for a transaction of our own: whoever asks does.
    async fn proof_now(&self, chain: &Chain, old: &Proof) -> Result<ProofNow, UpgradeError> {
        loop {
            let now = ProofNow::of(chain, old, self.finality(chain.id())).await?;
            if now != ProofNow::Unsettled || self.is_ours(old) || !self.sleep(PAUSE).await {
                return Ok(now);
            }
        }
    }

    fn lose_proof(&mut self, old: &Proof, now: &ProofNow) -> Result<(), UpgradeError> {
        self.record(Event::ProofGone { block: old.block })?;
        evidence::withdraw(self.upgrade.dir())?;
        let by = old
            .transaction
            .map_or_else(String::new, |transaction| format!(", with transaction {transaction}"));
        let (number, hash) = (old.block.number, old.block.hash);
        let text = match now {
            ProofNow::NeverWas => format!(
                "at block {number} ({hash}) the change was not in force, though {} said so: it is proved anew",
                old.endpoints.join(", ")
            ),
            _ => format!("block {number} ({hash}) was replaced after it was proof{by}: the change is proved anew"),
        };
        self.warn(Code::ProofGone, text);
        Ok(())
    }

    /// Evidence names the block that stayed. What only the state proves is as good by the block that it was read at first.
    fn keep_proof(&mut self, old: &Proof, fresh: Proof) -> Result<Proof, UpgradeError> {
        let same = old.transaction == fresh.transaction && (old.block == fresh.block || old.transaction.is_none());
        // What version 0.1.0 proved says nothing of what else changed.
        if !same || old.besides != fresh.besides {
            let event = if self.is_ours(&fresh) {
                Event::TxFinal(Box::new(fresh.clone()))
            } else {
                Event::Adopted(Box::new(fresh.clone()))
            };
            self.record(event)?;
        }
        self.tell_besides();
        Ok(fresh)
    }

    fn is_ours(&self, proof: &Proof) -> bool {
        let signed = &self.upgrade.state().tx.signed;
        signed.iter().any(|tx| Some(tx.hash) == proof.transaction)
    }

    /// What else the transactions of the proofs changed of the apps' policies, each once.
    pub(in crate::upgrade) fn tell_besides(&mut self) {
        let state = self.upgrade.state();
        let proofs = state
            .proof()
            .into_iter()
            .chain(state.batch.joined().filter_map(|(_, proof)| proof));
        let told: Vec<String> = proofs
            .filter_map(|proof| {
                let all: Vec<String> = proof.besides.iter().map(|one| one.what.to_string()).collect();
                let transaction = proof.transaction?;
                (!all.is_empty()).then(|| {
                    format!(
                        "transaction {transaction} changed more of {} than this upgrade asked for: {}",
                        proof.app,
                        all.join("; ")
                    )
                })
            })
            .collect();
        for text in told {
            self.warn(Code::PolicyBesides, text);
        }
    }
}

fn unsettled(proof: &Proof) -> Pending {
    Pending {
        code: Code::PendingConfirmations,
        what: format!(
            "block {} ({}), which held the proof, is not at every endpoint, or not deep enough: it may be replaced",
            proof.block.number, proof.block.hash
        ),
    }
}
