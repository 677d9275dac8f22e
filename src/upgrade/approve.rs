//! Approve and broadcast: one key, one nonce; the signed bytes are on disk before they leave.

use std::time::Duration;

use alloy::primitives::{Address, B256};
use jiff::Timestamp;

use super::ceremony::{Paper, Stage};
use super::drive::Run;
use super::event::Event;
use super::transact::Asking;
use super::{Goal, Outcome, Pending, Plan, Route, Stop, UpgradeError};
use crate::chain::{AppChanges, AppQuery, AppState, Broadcast, Chain, PolicyChange, Rejection, SignedTx, TxError};
use crate::code::Code;
use crate::signer::{Consent, Fact, Name};

/// Looks after a broadcast whose outcome is not known, and for what somebody else may have done.
const LOOKS: u32 = 3;
const LOOK_WAIT: Duration = Duration::from_millis(500);
/// Most raises of a transaction that no endpoint takes: an endpoint that lies about fees must not drive them up.
const RAISES: usize = 5;

impl Run<'_> {
    /// Acts, and looks again where the contracts refuse the call: somebody may have made it since the chain was read.
    pub(super) async fn unless_late<T>(
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
    pub(super) async fn approve(&mut self, goal: Goal) -> Result<Outcome, UpgradeError> {
        self.unless_late(async |run: &mut Self| run.approve_once(goal).await)
            .await
    }

    async fn approve_once(&mut self, goal: Goal) -> Result<Outcome, UpgradeError> {
        let plan = self.plan()?;
        let chain = self.chain().await?;
        self.changes()?;
        self.verify_again()?;
        let known = self.may_sign(&chain, Paper::Approval).await?;
        if known.in_force {
            return self.adopt_allowed(&chain).await;
        }
        match plan.route {
            Route::Eoa { .. } => {}
            Route::Safe { .. } => return self.approve_by_safe(&chain, goal, known.look).await,
            Route::Timelock { .. } => return self.approve_by_timelock(&chain, goal).await,
            Route::Calldata { owner } => {
                let calls = self.upgrade.state().calls();
                let calls = calls.iter().map(|call| format!("{} with data {}", call.to, call.data));
                return Ok(Outcome::Pending(Pending {
                    code: Code::PendingOwner,
                    what: format!(
                        "the owner {owner} is a contract and has to call {}",
                        calls.collect::<Vec<_>>().join(", then ")
                    ),
                }));
            }
        }
        self.refuse_second_nonce()?;
        self.sign(&chain, &plan).await?;
        Ok(Outcome::Reached)
    }

    pub(super) fn refuse_second_nonce(&self) -> Result<(), UpgradeError> {
        if self.limits.new_nonce {
            return Ok(());
        }
        if let Some(why) = &self.upgrade.state().gone {
            return Err(UpgradeError::decide(
                Code::TxGone,
                format!("the transaction of this upgrade is gone for good: {why}"),
            ));
        }
        if self.upgrade.is_rolled_back() {
            return Err(UpgradeError::decide(
                Code::JournalRolledBack,
                "the journal is an older copy, and a transaction may have been signed after it; the chain shows none that took effect",
            ));
        }
        Ok(())
    }

    async fn sign(&mut self, chain: &Chain, plan: &Plan) -> Result<(), UpgradeError> {
        let owner = plan.actor.address;
        let Some(address) = self.signer().await?.map(crate::signer::Signer::address) else {
            return Err(UpgradeError::decide(
                Code::SignerNeeded,
                format!("{owner} has to sign, and no key was named"),
            ));
        };
        refuse_other_key(plan, address)?;
        let calls = self.upgrade.state().calls();
        let [call] = calls.as_slice() else {
            return Err(UpgradeError::decide(
                Code::BatchNeedsSafe,
                "a key makes one call in one transaction",
            ));
        };
        let consent = Consent {
            question: format!("Sign and send this transaction as {owner}?"),
            subject: vec![Fact::new(Name::Chain, plan.chain_id)],
            facts: [
                self.upgrade.state().content(),
                vec![Fact::new(Name::Calldata, &call.data)],
            ]
            .concat(),
            ..Consent::default()
        };
        let asking = Asking {
            consent,
            act: "signing",
            consents: Vec::new(),
        };
        self.sign_call(chain, (owner, call), (None, asking)).await
    }

    /// Sends the bytes that are on disk.
    pub(super) async fn broadcast(&mut self) -> Result<Outcome, UpgradeError> {
        let chain = self.chain().await?;
        let Some(tx) = self.upgrade.state().signed.last().cloned() else {
            return Ok(Outcome::Reached);
        };
        let tx = self.planned(tx)?;
        super::point("broadcast.b");
        let outcome = chain.broadcast(&tx).await?;
        super::point("broadcast.d");
        match outcome {
            Broadcast::Accepted | Broadcast::AlreadyKnown => {}
            // Somebody's transaction has this nonce: ours mined before, or a stranger's; waiting finds out.
            Broadcast::Rejected(Rejection::NonceTooLow | Rejection::Underpriced) => {}
            Broadcast::Rejected(Rejection::FeeTooLow) if self.may_raise().await? => return self.raise(&chain).await,
            Broadcast::Rejected(rejection) => return Err(rejected(&tx, &rejection)),
            Broadcast::Ambiguous { said } => self.look_for(&chain, &tx, said).await?,
        }
        let outcome = Event::TxSent {
            hash: tx.hash,
            at: Timestamp::now(),
        };
        self.record_outcome(outcome, &format!("transaction {} was sent", tx.hash))?;
        super::point("broadcast.e");
        self.tell(&format!("sent transaction {}", tx.hash));
        Ok(Outcome::Reached)
    }

    /// Fees that rose between signing and sending can be followed with the key at hand.
    async fn may_raise(&mut self) -> Result<bool, UpgradeError> {
        Ok(self.upgrade.state().signed.len() <= RAISES && self.signer().await?.is_some())
    }

    /// The same call and nonce with higher fees, and that goes out.
    async fn raise(&mut self, chain: &Chain) -> Result<Outcome, UpgradeError> {
        let txs = self.upgrade.state().signed.clone();
        let market = chain.market().await?;
        self.bump(&txs, market.base_fee).await?;
        Ok(Outcome::Reached)
    }

    /// The recorded bytes, once they are what the plan says: a journal that somebody rewrote must not make this tool
    /// send something else, the first time or any time after.
    pub(super) fn planned(&self, tx: SignedTx) -> Result<SignedTx, UpgradeError> {
        let tx = SignedTx::from_raw(tx.request, tx.raw)?;
        if let Some(deployment) = self.upgrade.state().deployment() {
            return deployment.permit(tx);
        }
        let plan = self.plan()?;
        let calls = self.upgrade.state().calls();
        let state = self.upgrade.state();
        let (ceremony, call) = (state.ceremony()?, &tx.request.call);
        let is_planned = match (state.errand, &ceremony) {
            (Some(errand), _) => errand.is_planned(state, ceremony.as_ref(), call),
            (None, Some(ceremony)) => ceremony.ballot(state.is_rejecting()).tx.is_executed_by(call),
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
                code: Code::SafeWouldFail | Code::TimelockWouldFail,
                ..
            }
    )
}

/// Only whose authority it needs can sign.
pub(super) fn refuse_other_key(plan: &Plan, address: Address) -> Result<(), UpgradeError> {
    let owner = plan.actor.address;
    if address == owner {
        return Ok(());
    }
    Err(UpgradeError::Stop(Box::new(Stop {
        code: Code::SignerNotOwner,
        what: "signer".to_owned(),
        expected: owner.to_string(),
        found: address.to_string(),
        details: vec![if owner == plan.app_state.owner {
            "only the app's owner can change its policy".to_owned()
        } else {
            "only whom the app was offered to can accept it".to_owned()
        }],
        origin: None,
    })))
}

/// The hash, where allowing it is all that changes: the app's state then says whether that is in force.
pub(super) fn sole_hash(changes: &AppChanges) -> Option<B256> {
    match changes.changes.as_slice() {
        [PolicyChange::AddComposeHash(hash)] => Some(*hash),
        _ => None,
    }
}

/// What the contracts say now of what the plan read.
pub(super) async fn app_now(chain: &Chain, plan: &Plan, hash: Option<B256>) -> Result<AppState, UpgradeError> {
    Ok(chain.app(&query(plan, hash)).await?)
}

/// The question that asks for what the plan read.
pub(super) fn query(plan: &Plan, hash: Option<B256>) -> AppQuery {
    let code = plan.code.as_ref();
    AppQuery {
        app: plan.app,
        kms: plan.kms,
        hash,
        running: code
            .and_then(|code| code.current_hash)
            .map(|hash| B256::from(*hash.as_bytes())),
        device: code.and_then(|code| code.device),
        os_image: code.and_then(|code| code.os_image),
    }
}

/// Owner and code must be what the plan read.
pub(super) fn check_pins(plan: &Plan, now: &AppState) -> Result<(), UpgradeError> {
    let then = &plan.app_state;
    // Where the app was to change hands, whoever made it did what was asked for.
    if !has_changed_hands(plan, now) {
        pin(
            Code::OwnerChanged,
            &format!("owner of {} at block {}", plan.app, now.block.number),
            then.owner,
            now.owner,
        )?;
        pin(
            Code::OwnerChanged,
            "kind of owner",
            then.owner_kind.to_string(),
            now.owner_kind.to_string(),
        )?;
    }
    let accepts = plan
        .policy
        .iter()
        .any(|change| matches!(change, PolicyChange::AcceptOwnership(_)));
    if accepts && now.owner != plan.actor.address {
        pin(
            Code::OwnerChanged,
            "to whom the app is offered",
            plan.actor.address,
            now.pending_owner.unwrap_or_default(),
        )?;
    }
    check_code(then, (now.code_hash, now.implementation, now.implementation_code_hash))?;
    let device = plan.code.as_ref().and_then(|code| code.device);
    let adds_it = plan.policy.iter().any(|change| match change {
        PolicyChange::AddDevice(added) => Some(*added) == device,
        PolicyChange::AllowAnyDevice(on) => *on,
        _ => false,
    });
    if let Some(device) = device.filter(|_| now.device_allowed == Some(false) && !now.any_device && !adds_it) {
        return Err(UpgradeError::decide(
            Code::DeviceNotAllowed,
            format!(
                "the app does not allow the CVM's device; its owner has to call addDevice({device}) first, or in the same \
                 approval by --add-device {device}"
            ),
        ));
    }
    Ok(())
}

/// Whether the app belongs to whom the plan gives it to.
fn has_changed_hands(plan: &Plan, now: &AppState) -> bool {
    plan.policy.iter().any(|change| match change {
        PolicyChange::TransferOwnership(to) | PolicyChange::OfferOwnership(to) | PolicyChange::AcceptOwnership(to) => {
            *to == now.owner && *to != plan.app_state.owner
        }
        _ => false,
    })
}

/// The app's code must be what the plan read: another implementation may mean something else by the same answers.
pub(super) fn check_code(
    then: &AppState,
    (code, implementation, behind): (B256, Option<Address>, Option<B256>),
) -> Result<(), UpgradeError> {
    const CODE: Code = Code::AppCodeChanged;
    let shown = |hash: Option<B256>| hash.map_or_else(|| "none".to_owned(), |hash| hash.to_string());
    let named = |address: Option<Address>| address.map_or_else(|| "none".to_owned(), |address| address.to_string());
    pin(CODE, "code of the app", then.code_hash, code)?;
    pin(
        CODE,
        "implementation of the app",
        named(then.implementation),
        named(implementation),
    )?;
    pin(
        CODE,
        "code of the implementation",
        shown(then.implementation_code_hash),
        shown(behind),
    )
}

fn pin<T: PartialEq + ToString>(code: Code, what: &str, expected: T, found: T) -> Result<(), UpgradeError> {
    if expected == found {
        Ok(())
    } else {
        Err(UpgradeError::stop(code, what, expected, found))
    }
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
        Rejection::FeeTooLow => UpgradeError::decide(
            Code::FeeTooLow,
            format!("fees rose since transaction {hash} was signed; nothing was sent"),
        ),
        other => UpgradeError::decide(Code::TxRejected, format!("transaction {hash} was refused: {other}")),
    }
}
