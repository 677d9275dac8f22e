//! Wait: until our transaction, or somebody else's, is proved to have allowed the hash on a block that stays.

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Duration;

use tokio::time::Instant;

use crate::chain::{
    Chain, ChainError, Finality, Proof, ProofFailure, SignedTx,
    send::{Broadcast, Rejection},
    watch::{InclusionAt, Sighting, Watch, WatchAction},
};
use crate::code::Code;
use crate::fsutil::point;
use crate::http::HttpError;
use crate::upgrade::{
    Limits, Outcome, Pending, Upgrade, UpgradeError, World, checks::app::is_final, record::event::Event,
    routes::batch::By, run::Run,
};

/// Wait after a look that gave no answer; doubles.
pub(in crate::upgrade) const RETRY_WAIT: Duration = Duration::from_millis(500);
pub(in crate::upgrade) const RETRY_WAIT_MAX: Duration = Duration::from_secs(8);

/// What was found of the transactions that are waited for.
#[derive(Debug, Default)]
struct Found {
    txs: Vec<SignedTx>,
    /// The block that was told last.
    told: Option<InclusionAt>,
    /// Why endpoints refused them when they were sent again.
    refused: Option<Rejection>,
}

impl Found {
    /// What is waited for.
    fn pending(&self) -> Pending {
        let hash = self.txs.last().map(|tx| tx.hash).unwrap_or_default();
        match (self.told, &self.refused) {
            (Some(inclusion), _) => Pending {
                code: Code::PendingConfirmations,
                what: format!(
                    "transaction {} is in block {}, which may still be replaced",
                    inclusion.transaction, inclusion.block.number
                ),
            },
            (None, Some(refused)) => Pending {
                code: Code::PendingInclusion,
                what: format!("transaction {hash} is in no block, and the endpoints refuse it: {refused}"),
            },
            (None, None) => Pending {
                code: Code::PendingInclusion,
                what: format!("transaction {hash} was sent and is in no block yet"),
            },
        }
    }
}

impl Upgrade {
    /// Takes over what somebody else's transaction brought about, and chooses, signs and sends nothing where nobody did.
    pub(in crate::upgrade) async fn adopt_in_force(
        &mut self,
        world: &World<'_>,
        limits: &Limits,
    ) -> Result<Outcome, UpgradeError> {
        if self.state().proof().is_some() {
            return Ok(Outcome::Reached);
        }
        let mut run = self.run(world, limits)?;
        run.verify_again()?;
        let chain = run.chain().await?;
        run.adopt_allowed(&chain).await
    }
}

impl Run<'_> {
    /// Waits for the transactions of our nonce.
    pub(in crate::upgrade) async fn wait(&mut self) -> Result<Outcome, UpgradeError> {
        let sent = Found {
            txs: self.upgrade.state().tx.signed.clone(),
            ..Found::default()
        };
        let chain = match self.chain_in_time(sent.pending()).await? {
            Ok(chain) => chain,
            Err(pending) => return Ok(Outcome::Pending(pending)),
        };
        let finality = self.finality(chain.id());
        let began = Instant::now();
        let mut watch = Watch::new(finality).after(self.lost_inclusion());
        let mut retry = RETRY_WAIT;
        let mut found = Found::default();
        let mut trouble;
        let mut behind = None;
        loop {
            found.txs.clone_from(&self.upgrade.state().tx.signed);
            let Some(nonce) = found.txs.last().map(|tx| tx.request.nonce) else {
                return Ok(Outcome::Reached);
            };
            let action = match chain.look(&found.txs, finality).await {
                Ok(sighting) => {
                    trouble = None;
                    retry = RETRY_WAIT;
                    behind = sighting.waits_behind(nonce);
                    let action = watch.step(&sighting, nonce, began.elapsed());
                    self.waits(&stage(&sighting, finality, &found.txs, watch.block_time()));
                    action
                }
                Err(error) if is_final(&error) => return Err(error.into()),
                Err(error) => {
                    trouble = too_few(&error);
                    self.tell(&format!("{error}; asking again"));
                    retry = (retry * 2).min(RETRY_WAIT_MAX);
                    WatchAction::Wait(retry)
                }
            };
            let pause = match self.follow_watch(&chain, action, &mut found).await? {
                ControlFlow::Continue(pause) => pause,
                ControlFlow::Break(outcome) => return Ok(outcome),
            };
            if !self.sleep(pause).await {
                let waits = trouble.or_else(|| waits_behind(&found.txs, behind?));
                return Ok(Outcome::Pending(waits.unwrap_or_else(|| found.pending())));
            }
        }
    }

    /// The block that held the proof and is not the chain's any more, as the place of our transaction.
    fn lost_inclusion(&self) -> Option<InclusionAt> {
        let state = self.upgrade.state();
        Some(InclusionAt {
            transaction: state.tx.signed.last()?.hash,
            block: state.proof.gone?,
            succeeded: true,
        })
    }

    /// Does what a look asks for; gives how long to wait for the next one, or the end.
    async fn follow_watch(
        &mut self,
        chain: &Chain,
        action: WatchAction,
        found: &mut Found,
    ) -> Result<ControlFlow<Outcome, Duration>, UpgradeError> {
        let pause = match action {
            WatchAction::Wait(pause) => pause,
            WatchAction::Settling { inclusion, wait } => {
                self.see(inclusion, &mut found.told)?;
                wait
            }
            WatchAction::Settled(inclusion) => {
                self.see(inclusion, &mut found.told)?;
                match self.prove_transaction(chain, inclusion).await? {
                    Some(outcome) => return Ok(ControlFlow::Break(outcome)),
                    None => RETRY_WAIT,
                }
            }
            WatchAction::Rebroadcast => {
                found.refused = self.send_again(chain, &found.txs).await?;
                match &found.refused {
                    Some(Rejection::FeeTooLow) => return self.bump_if_short(chain, &found.txs).await,
                    _ => RETRY_WAIT,
                }
            }
            WatchAction::Bump => return self.bump_if_short(chain, &found.txs).await,
            WatchAction::Gone => match self.lose(chain).await {
                // What made the change is not shown by all yet.
                Err(UpgradeError::Proof(ProofFailure::NotSettled { .. })) => RETRY_WAIT_MAX,
                lost => return lost.map(ControlFlow::Break),
            },
        };
        Ok(ControlFlow::Continue(pause))
    }

    /// The chain, once endpoints answer: who waits for something waits for them as well, and `pending` is what it is at the
    /// end of the time.
    async fn chain_in_time(&self, pending: Pending) -> Result<Result<Chain, Pending>, UpgradeError> {
        let mut retry = RETRY_WAIT;
        loop {
            let trouble = match self.chain().await {
                Ok(chain) => return Ok(Ok(chain)),
                Err(UpgradeError::Chain(error)) if !is_final(&error) && !stands_in_the_way(&error) => error,
                Err(error) => return Err(error),
            };
            self.tell(&format!("{trouble}; asking again"));
            if !self.sleep(retry).await {
                return Ok(Err(too_few(&trouble).unwrap_or(pending)));
            }
            retry = (retry * 2).min(RETRY_WAIT_MAX);
        }
    }

    /// Waits until the hash is allowed, by whatever path.
    pub(in crate::upgrade) async fn wait_for_others(&mut self) -> Result<Outcome, UpgradeError> {
        let changes = self.changes()?;
        let not_seen = || Pending {
            code: Code::PendingApproval,
            what: format!("on {} this is not in force yet: {changes}", changes.app),
        };
        let chain = match self.chain_in_time(not_seen()).await? {
            Ok(chain) => chain,
            Err(pending) => return Ok(Outcome::Pending(pending)),
        };
        let pause = match chain.block_time().await {
            Err(error) if is_final(&error) => return Err(error.into()),
            known => known.unwrap_or(RETRY_WAIT_MAX),
        };
        let pause = pause.clamp(Duration::from_millis(100), Duration::from_secs(4));
        let mut news: Option<Pending> = None;
        let mut trouble;
        loop {
            if self.upgrade.state().proof().is_some() {
                return Ok(Outcome::Reached);
            }
            let proved = chain.prove_state(&changes, self.finality(chain.id())).await;
            trouble = match &proved {
                Err(ProofFailure::Chain(error)) => too_few(error),
                _ => None,
            };
            let missing = match proved {
                Ok(proof) => match self.take_proof(&chain, proof).await? {
                    None => return Ok(Outcome::Reached),
                    Some(pending) => pending.code == Code::PendingApproval,
                },
                Err(ProofFailure::NotSettled { .. }) => false,
                Err(ProofFailure::NotInForce { .. }) => true,
                Err(ProofFailure::Chain(error)) if !is_final(&error) => {
                    self.tell(&format!("{error}; asking again"));
                    false
                }
                Err(error) => return Err(error.into()),
            };
            if missing {
                match self.explain(&chain).await {
                    // What comes after the end of this run is not waited for.
                    Ok(Some(pending)) if pending.code == Code::PendingDelay && self.is_too_late() => {
                        return Ok(Outcome::Pending(pending));
                    }
                    Ok(found) => news = found,
                    Err(UpgradeError::Chain(error)) if !is_final(&error) => {
                        self.tell(&format!("{error}; asking again"));
                    }
                    Err(error) => return Err(error),
                }
            }
            self.waits(&news.as_ref().map_or_else(|| not_seen().what, |news| news.what.clone()));
            if !self.sleep(pause).await {
                return Ok(Outcome::Pending(trouble.or(news).unwrap_or_else(not_seen)));
            }
        }
    }

    /// In a fleet, or for several apps, one proposal is approved, and this upgrade's is not that one: it signs nothing of its
    /// own.
    pub(in crate::upgrade) async fn follow(&mut self) -> Result<Outcome, UpgradeError> {
        self.verify_again()?;
        let chain = self.chain().await?;
        match self.adopt_allowed(&chain).await {
            Err(UpgradeError::Proof(ProofFailure::NotInForce { .. })) => Ok(Outcome::Pending(Pending {
                code: Code::PendingApproval,
                what: "the proposal of another CVM is the one to approve, and that is not in force yet".to_owned(),
            })),
            ended => ended,
        }
    }

    /// What somebody else's transaction brought about is the proof, once it is there for every app. `Some`: not yet.
    async fn take_proof(&mut self, chain: &Chain, proof: Proof) -> Result<Option<Pending>, UpgradeError> {
        if let Some(pending) = self.prove_others(chain, By::Another(proof.transaction)).await? {
            return Ok(Some(pending));
        }
        self.prove_route(chain, &proof).await?;
        self.adopt_proof(chain, proof).await?;
        Ok(None)
    }

    /// The hash is allowed without a transaction that this upgrade knows.
    pub(in crate::upgrade) async fn adopt_allowed(&mut self, chain: &Chain) -> Result<Outcome, UpgradeError> {
        let changes = self.changes()?;
        match chain.prove_state(&changes, self.finality(chain.id())).await {
            Ok(proof) => {
                self.tell(if self.upgrade.state().code().is_some() {
                    "the hash is allowed already: no transaction is needed"
                } else {
                    "the change is in force already: no transaction is needed"
                });
                let pending = self.take_proof(chain, proof).await?;
                Ok(pending.map_or(Outcome::Reached, Outcome::Pending))
            }
            Err(ProofFailure::NotSettled { .. }) => Ok(Outcome::Pending(Pending {
                code: Code::PendingConfirmations,
                what: if self.upgrade.state().code().is_some() {
                    "the hash is allowed in a block that may still be replaced".to_owned()
                } else {
                    "the change is in force in a block that may still be replaced".to_owned()
                },
            })),
            Err(error) => Err(error.into()),
        }
    }

    pub(in crate::upgrade) async fn adopt_proof(&mut self, chain: &Chain, proof: Proof) -> Result<(), UpgradeError> {
        self.keep_witness(chain, &proof).await?;
        self.record(Event::Adopted(Box::new(proof)))?;
        self.tell_besides();
        self.finish_policy()
    }

    /// Where only the policy changes, nothing comes after the proof.
    fn finish_policy(&self) -> Result<(), UpgradeError> {
        if self.upgrade.state().code().is_some() {
            return Ok(());
        }
        self.write_evidence()
    }

    fn see(&mut self, inclusion: InclusionAt, told: &mut Option<InclusionAt>) -> Result<(), UpgradeError> {
        if *told == Some(inclusion) {
            return Ok(());
        }
        if let Some(before) = told.filter(|before| before.block.hash != inclusion.block.hash) {
            self.tell(&format!("block {} was replaced", before.block.hash));
        }
        *told = Some(inclusion);
        self.tell(&format!(
            "transaction {} is in block {}",
            inclusion.transaction, inclusion.block.number
        ));
        let known = self.upgrade.state().tx.seen == Some((inclusion.transaction, inclusion.block));
        if known {
            Ok(())
        } else {
            self.record(Event::TxSeen {
                hash: inclusion.transaction,
                block: inclusion.block,
            })
        }
    }

    /// `None`: not settled after all; look again.
    async fn prove_transaction(
        &mut self,
        chain: &Chain,
        inclusion: InclusionAt,
    ) -> Result<Option<Outcome>, UpgradeError> {
        point("wait.b");
        if self.upgrade.state().deployment().is_some() {
            return self.prove_new_app(chain, inclusion.transaction).await;
        }
        let changes = self.changes()?;
        if let Some(purpose) = self.upgrade.state().tx.purpose {
            return self.prove_purpose(chain, purpose, inclusion.transaction).await;
        }
        if self.upgrade.state().is_rejecting() {
            return self.prove_rejection(chain, inclusion.transaction).await;
        }
        let by = By::Approval(inclusion.transaction);
        let proving = chain.prove(inclusion.transaction, &changes, self.finality(chain.id()));
        let (proved, ()) = tokio::join!(proving, self.take_witness(chain, inclusion));
        match proved {
            Ok(proof) => {
                self.prove_route(chain, &proof).await?;
                if self.prove_others(chain, by).await?.is_some() {
                    return Ok(None);
                }
                self.keep_witness(chain, &proof).await?;
                self.record(Event::TxFinal(Box::new(proof)))?;
                self.tell_besides();
                self.proved = Some(Instant::now());
                point("wait.e");
                self.finish_policy()?;
                Ok(Some(Outcome::Reached))
            }
            Err(ProofFailure::NotSettled { .. }) => Ok(None),
            Err(ProofFailure::Chain(error)) if !is_final(&error) => {
                self.tell(&format!("{error}; asking again"));
                Ok(None)
            }
            Err(failure @ ProofFailure::Reverted { .. }) => {
                self.record(Event::TxGone {
                    why: failure.to_string(),
                })?;
                // Somebody else may have been first, so that ours had nothing left to do.
                match chain.prove_state(&changes, self.finality(chain.id())).await {
                    Ok(_) | Err(ProofFailure::NotSettled { .. }) => {}
                    Err(_) => return Err(failure.into()),
                }
                self.tell(&failure.to_string());
                Ok(Some(self.adopt_allowed(chain).await?))
            }
            Err(failure @ ProofFailure::NoEffect { .. }) => {
                self.refuse_failed_inside(chain, inclusion.transaction).await?;
                Err(failure.into())
            }
            Err(failure @ ProofFailure::Removed { .. }) => {
                // The others were approved all the same.
                self.prove_others(chain, by).await?;
                Err(failure.into())
            }
            Err(failure) => Err(failure.into()),
        }
    }

    /// A transaction whose nonce is ahead of its key's next one is left to itself where somebody agrees to a new nonce. What
    /// it costs counts on.
    pub(in crate::upgrade) async fn leave_behind(&mut self) -> Result<(), UpgradeError> {
        let txs = self.upgrade.state().tx.signed.clone();
        let Some(nonce) = txs.last().map(|tx| tx.request.nonce) else {
            return Ok(());
        };
        let chain = self.chain().await?;
        let sighting = chain.look(&txs, self.finality(chain.id())).await?;
        let Some(next) = sighting.waits_behind(nonce) else {
            self.tell("the transaction of this upgrade can be mined as it is: no new nonce is chosen");
            return Ok(());
        };
        let why = format!("its nonce is {nonce}, and the next one of its key is {next}");
        self.tell(&format!("the transaction is left to itself: {why}"));
        self.record(Event::TxGone { why })
    }

    /// Sends the signed bytes again at once, when no endpoint shows them although a block did.
    pub(in crate::upgrade) async fn send_unless_seen(&mut self, chain: &Chain) -> Result<(), UpgradeError> {
        let txs = self.upgrade.state().tx.signed.clone();
        let sighting = chain.look(&txs, self.finality(chain.id())).await?;
        if !sighting.pooled && sighting.included.is_none() {
            self.send_again(chain, &txs).await?;
        }
        Ok(())
    }

    /// Sends the signed bytes again, never with a new nonce. Gives why endpoints refuse them, where they do.
    async fn send_again(&mut self, chain: &Chain, txs: &[SignedTx]) -> Result<Option<Rejection>, UpgradeError> {
        if let Some(tx) = txs.last() {
            let tx = self.planned(tx.clone())?;
            self.tell(&format!(
                "transaction {} is not seen; sending the same bytes again",
                tx.hash
            ));
            self.note(format!("sent {} again", tx.hash))?;
            match chain.broadcast(&tx).await {
                // Somebody's transaction has this nonce: looking finds out whose.
                Ok(Broadcast::Rejected(Rejection::NonceTooLow | Rejection::Underpriced)) => {}
                Ok(Broadcast::Rejected(rejection)) => {
                    self.tell(&format!("the endpoints refuse transaction {}: {rejection}", tx.hash));
                    return Ok(Some(rejection));
                }
                Ok(_) => {}
                Err(error) if is_final(&error) => return Err(error.into()),
                Err(error) => self.tell(&format!("{error}; trying again")),
            }
        }
        Ok(None)
    }

    /// Our nonce went to a stranger's transaction: the hash may be allowed by it all the same.
    async fn lose(&mut self, chain: &Chain) -> Result<Outcome, UpgradeError> {
        if self.upgrade.state().deployment().is_some() {
            return self.lose_deployment(chain).await;
        }
        let changes = self.changes()?;
        let finality = self.finality(chain.id());
        match chain.prove_state(&changes, finality).await {
            Ok(proof) => {
                if self
                    .prove_others(chain, By::Another(proof.transaction))
                    .await?
                    .is_some()
                {
                    return self.replaced();
                }
                self.tell("another transaction made the change");
                self.check_operation(chain, proof.transaction).await?;
                self.adopt_proof(chain, proof).await?;
                Ok(Outcome::Reached)
            }
            Err(ProofFailure::NotInForce { .. } | ProofFailure::Removed { .. }) => self.replaced(),
            Err(error) => Err(error.into()),
        }
    }

    fn replaced(&mut self) -> Result<Outcome, UpgradeError> {
        let why = "its nonce was used by another transaction".to_owned();
        self.record(Event::TxGone { why: why.clone() })?;
        if self.upgrade.state().commit.committed.is_some() {
            return Err(self.not_allowed_any_more()?);
        }
        Err(UpgradeError::decide(
            Code::TxReplaced,
            format!("the transaction of this upgrade will never be mined: {why}"),
        ))
    }
}

/// Whether waiting is of no use: this machine has no certificates, or the server is another one.
fn stands_in_the_way(error: &ChainError) -> bool {
    let mut causes = std::iter::successors(error.source(), |cause| (*cause).source());
    let lasting = |cause: &(dyn Error + 'static)| {
        let http = cause.downcast_ref::<HttpError>();
        http.is_some_and(|error| error.kind.stands_in_the_way())
    };
    causes.any(lasting)
}

/// Nothing is mined before the nonces that come first are used.
fn waits_behind(txs: &[SignedTx], next: u64) -> Option<Pending> {
    let tx = txs.last()?;
    let (nonce, from) = (tx.request.nonce, tx.request.from);
    Some(Pending {
        code: Code::PendingNonce,
        what: format!(
            "transaction {} has nonce {nonce}, and the next one of {from} is {next}: it is in no block before those in between \
             are; where nothing of yours uses them, `execute --new-nonce` signs it with the next one",
            tx.hash
        ),
    })
}

/// Fewer endpoints answer than have to agree: that is what is waited for.
fn too_few(error: &crate::chain::ChainError) -> Option<Pending> {
    matches!(error, crate::chain::ChainError::TooFew { .. }).then(|| Pending {
        code: Code::PendingEndpoints,
        what: error.to_string(),
    })
}

/// What a transaction waits for at one look: its first block, or those that bury it.
fn stage(sighting: &Sighting, finality: Finality, txs: &[SignedTx], block_time: Option<Duration>) -> String {
    let Some(included) = sighting.included else {
        let newest = txs
            .last()
            .map_or_else(String::new, |tx| format!(", transaction {}", tx.hash));
        return format!("waiting for the first block{newest}");
    };
    let (block, of) = (included.block.number, format!("transaction {}", included.transaction));
    match finality {
        Finality::Confirmations(needed) => {
            let have = sighting.head.number.saturating_sub(block).saturating_add(1).min(needed);
            let missing = u32::try_from(needed.saturating_sub(have)).unwrap_or(u32::MAX);
            let left = block_time
                .filter(|_| missing > 0)
                .map(|each| each.saturating_mul(missing).as_secs());
            let left = left.map_or_else(String::new, |seconds| format!(", about {seconds} s left"));
            format!("{have} of {needed} confirmations{left}, {of}")
        }
        _ => {
            let ahead = block.saturating_sub(sighting.settled);
            format!("{ahead} blocks until the chain takes block {block} for settled, {of}")
        }
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::B256;

    use super::*;
    use crate::chain::BlockRef;

    fn block(number: u64) -> BlockRef {
        BlockRef {
            number,
            hash: B256::ZERO,
            timestamp: 0,
        }
    }

    #[test]
    fn how_much_is_waited_for_comes_first_and_how_long_follows_once_it_is_known() {
        let included = InclusionAt {
            transaction: B256::ZERO,
            block: block(10),
            succeeded: true,
        };
        let mut seen = Sighting {
            head: block(12),
            included: Some(included),
            nonce: 0,
            settled_nonce: None,
            pooled: true,
            base_fee: 0,
            needed: 0,
            offered: 0,
            settled: 7,
        };
        let six = Finality::Confirmations(6);
        let told =
            |seen: &Sighting, finality, each: Option<u64>| stage(seen, finality, &[], each.map(Duration::from_secs));
        assert!(told(&seen, six, None).starts_with("3 of 6 confirmations, transaction 0x"));
        assert!(told(&seen, six, Some(2)).starts_with("3 of 6 confirmations, about 6 s left, transaction 0x"));
        assert!(
            told(&seen, Finality::Finalized, Some(2))
                .starts_with("3 blocks until the chain takes block 10 for settled")
        );
        seen.head = block(30);
        assert!(told(&seen, six, Some(2)).starts_with("6 of 6 confirmations, transaction"));
        seen.included = None;
        assert_eq!(told(&seen, six, None), "waiting for the first block");
    }
}
