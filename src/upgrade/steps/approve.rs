//! Approve and broadcast: one key, one nonce; the signed bytes are on disk before they leave.

use std::time::Duration;

use jiff::Timestamp;

use crate::chain::{
    Chain, SignedTx, TxError,
    send::{Broadcast, Rejection},
};
use crate::code::Code;
use crate::fsutil::point;
use crate::upgrade::{
    Goal, Outcome, UpgradeError,
    model::safe_approval::{SafeTxRole, Stage},
    record::event::Event,
    run::Run,
};

/// Looks after a broadcast whose outcome is not known, and for what somebody else may have done.
const LOOKS: u32 = 3;
const LOOK_WAIT: Duration = Duration::from_millis(500);
/// Most raises of a transaction that no endpoint takes: an endpoint that lies about fees must not drive them up.
const REFUSED_RAISES: usize = 5;

impl Run<'_> {
    /// Acts, and looks again where the contracts refuse the call: somebody may have made it since the chain was read.
    pub(in crate::upgrade) async fn unless_late<T>(
        &mut self,
        act: impl AsyncFn(&mut Self) -> Result<T, UpgradeError>,
    ) -> Result<T, UpgradeError> {
        for _ in 1..LOOKS {
            match act(self).await {
                Err(error) if would_fail(&error) => {}
                outcome => return outcome,
            }
            self.sleep(LOOK_WAIT).await;
        }
        act(self).await
    }

    /// Gets the owner's authority: signs the call, or says who has to act.
    pub(in crate::upgrade) async fn approve(&mut self, goal: Goal) -> Result<Outcome, UpgradeError> {
        self.unless_late(async |run: &mut Self| run.approve_once(goal).await)
            .await
    }

    async fn approve_once(&mut self, goal: Goal) -> Result<Outcome, UpgradeError> {
        let chain = self.chain().await?;
        self.changes()?;
        self.verify_again()?;
        let to_quote = self.to_quote();
        let judged = self.may_sign(&chain, SafeTxRole::Approval);
        let quoted = async {
            match to_quote {
                Some(call) => Ok(Some(call.quote(&chain).await)),
                None => Ok(None),
            }
        };
        let (known, quoted) = tokio::try_join!(judged, quoted)?;
        self.quoted = quoted;
        if known.in_force {
            return self.adopt_allowed(&chain).await;
        }
        self.ask_owner(&chain, goal, known.look).await
    }

    /// Sends the bytes that are on disk.
    pub(in crate::upgrade) async fn broadcast(&mut self) -> Result<Outcome, UpgradeError> {
        let chain = self.chain().await?;
        let Some(tx) = self.upgrade.state().tx.signed.last().cloned() else {
            return Ok(Outcome::Reached);
        };
        let tx = self.planned(tx)?;
        point("broadcast.b");
        let outcome = chain.broadcast(&tx).await?;
        point("broadcast.d");
        match outcome {
            Broadcast::Accepted | Broadcast::AlreadyKnown => {}
            // Somebody's transaction has this nonce: ours mined before, or a stranger's; waiting finds out.
            Broadcast::Rejected(Rejection::NonceTooLow | Rejection::Underpriced) => {}
            Broadcast::Rejected(Rejection::FeeTooLow) if self.may_raise().await? && self.raise(&chain).await? => {
                return Ok(Outcome::Reached);
            }
            Broadcast::Rejected(rejection) => return Err(self.rejected(&tx, &rejection)),
            Broadcast::Ambiguous { said } => self.look_for(&chain, &tx, said).await?,
        }
        let outcome = Event::TxSent {
            hash: tx.hash,
            at: Timestamp::now(),
        };
        self.record_outcome(outcome, &format!("transaction {} was sent", tx.hash))?;
        point("broadcast.e");
        self.tell(&format!("sent transaction {}", tx.hash));
        Ok(Outcome::Reached)
    }

    /// Fees that rose between signing and sending can be followed with the key at hand.
    async fn may_raise(&mut self) -> Result<bool, UpgradeError> {
        Ok(self.upgrade.state().tx.signed.len() <= REFUSED_RAISES && self.signer().await?.is_some())
    }

    /// Whether the same call and nonce was signed with higher fees, to be sent next.
    async fn raise(&mut self, chain: &Chain) -> Result<bool, UpgradeError> {
        let txs = self.upgrade.state().tx.signed.clone();
        let market = chain.market().await?;
        self.bump(&txs, market.base_fee).await
    }

    /// The recorded bytes, once they are what the plan says: a journal that somebody rewrote must not make this tool
    /// send something else, the first time or any time after.
    pub(in crate::upgrade) fn planned(&self, tx: SignedTx) -> Result<SignedTx, UpgradeError> {
        let tx = SignedTx::from_raw(tx.request, tx.raw)?;
        if let Some(deployment) = self.upgrade.state().deployment() {
            return deployment.permit(tx);
        }
        let plan = self.plan()?;
        let calls = self.upgrade.state().calls();
        let state = self.upgrade.state();
        let (ceremony, call) = (state.ceremony()?, &tx.request.call);
        let is_planned = match (state.tx.purpose, &ceremony) {
            (Some(purpose), _) => purpose.is_planned(state, ceremony.as_ref(), call),
            (None, Some(ceremony)) => ceremony.signed_tx(state.is_rejecting()).tx.is_executed_by(call),
            (None, None) if plan.timelock.is_some() => state.calls_at(Stage::Execute) == [call.clone()],
            (None, None) => calls == [call.clone()],
        };
        if is_planned && tx.request.chain_id == plan.chain_id {
            return Ok(tx);
        }
        Err(UpgradeError::stop(
            Code::TxMismatch,
            "call of the signed transaction",
            calls.first().map(|call| call.data.to_string()).unwrap_or_default(),
            &tx.request.call.data,
        ))
    }

    /// What is refused for its fees was signed and shown to the endpoints all the same, and so was each one before it.
    fn rejected(&self, tx: &SignedTx, rejection: &Rejection) -> UpgradeError {
        if *rejection != Rejection::FeeTooLow {
            return rejected(tx, rejection);
        }
        let (hash, nonce) = (tx.hash, tx.request.nonce);
        let signed = self.upgrade.state().tx.signed.iter();
        let shown = match signed.filter(|other| other.request.nonce == nonce).count() {
            0 | 1 => "it is signed and was shown to them".to_owned(),
            many => format!("{many} of this nonce are signed and were shown to them"),
        };
        UpgradeError::decide(
            Code::FeeTooLow,
            format!("the endpoints refused transaction {hash} for its fees; {shown}, so that it may be mined still"),
        )
    }

    async fn look_for(&mut self, chain: &Chain, tx: &SignedTx, said: String) -> Result<(), UpgradeError> {
        for _ in 0..LOOKS {
            if let Ok(sighting) = chain.look(std::slice::from_ref(tx), self.finality(chain.id())).await
                && (sighting.pooled || sighting.included.is_some())
            {
                return Ok(());
            }
            self.sleep(LOOK_WAIT).await;
        }
        Err(UpgradeError::Unknown {
            code: Code::BroadcastUnknown,
            message: format!("transaction {} may or may not have been taken: {said}", tx.hash),
            source: None,
        })
    }
}

/// Whether a call was refused by the contracts themselves, before anything was signed.
const fn would_fail(error: &UpgradeError) -> bool {
    matches!(
        error,
        UpgradeError::Tx(TxError::WouldRevert { .. })
            | UpgradeError::Decide {
                code: Code::SafeWouldFail | Code::SafeTimelockGuard | Code::TimelockWouldFail,
                ..
            }
    )
}

fn rejected(tx: &SignedTx, rejection: &Rejection) -> UpgradeError {
    let hash = tx.hash;
    match rejection {
        Rejection::OtherHash { said } => {
            UpgradeError::stop(Code::TxHashMismatch, "hash of the sent transaction", hash, said)
        }
        Rejection::WrongChain => UpgradeError::stop(
            Code::ChainMismatch,
            "chain of the signed transaction",
            tx.request.chain_id,
            "another chain",
        ),
        Rejection::Funds => UpgradeError::decide(
            Code::Funds,
            format!("{} has too little money for transaction {hash}", tx.request.from),
        ),
        other => UpgradeError::decide(Code::TxRejected, format!("transaction {hash} was refused: {other}")),
    }
}
