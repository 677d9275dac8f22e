//! Rejecting: the transaction that uses up the nonce of the Safe, so that the upgrade's own can never be executed.

use alloy::primitives::B256;
use jiff::Timestamp;

use crate::chain::Chain;
use crate::code::Code;
use crate::safe::{
    approvals::Facts,
    executed::{SafeProofFailure, prove_execution},
};
use crate::signer::{Consent, Fact, Name, Signer};
use crate::upgrade::{
    Goal, Limits, Outcome, Pending, UpgradeError, World,
    model::safe_approval::{SafeApproval, SafeTxRole},
    record::event::Event,
    routes::safe::Executable,
    run::Run,
    workspace::{signed_digests::expect_safe_tx, upgrade::Upgrade},
};

impl Upgrade {
    /// Has the owners reject the Safe transaction: signs the rejection with a key that is an owner's, executes it when
    /// enough have signed, and waits until it is final. A fleet's member with nothing of its own on its way is given up
    /// here and now, once somebody agreed.
    ///
    /// # Errors
    /// The upgrade is approved already, or see [`UpgradeError`].
    pub async fn reject(&mut self, world: &World<'_>, limits: &Limits) -> Result<Outcome, UpgradeError> {
        self.refuse_foreign_cloud(world)?;
        self.state().expect_nonce(limits, SafeTxRole::Rejection)?;
        let mut run = self.run(world, limits)?;
        run.reject().await
    }
}

impl Run<'_> {
    async fn reject(&mut self) -> Result<Outcome, UpgradeError> {
        if self.is_to_be_left() {
            return self.give_up();
        }
        let state = self.upgrade.state();
        if state.proof().is_some() {
            return Err(UpgradeError::decide(
                Code::AlreadyApproved,
                "the hash is allowed on chain already; rejecting the Safe transaction would change nothing",
            ));
        }
        if state.abandoned.is_some() || state.safe.gone.is_some() {
            return Ok(Outcome::Reached);
        }
        if self.plan()?.timelock.is_none() {
            self.ceremony()?;
        }
        self.drive(Goal::Rejected).await
    }

    /// Takes back what a timelock has, or has a Safe's owners reject.
    pub(in crate::upgrade) async fn reject_once(&mut self) -> Result<Outcome, UpgradeError> {
        let plan = self.plan()?;
        if plan.timelock.is_some() {
            if let Some(outcome) = self.cancel_operation().await? {
                return Ok(outcome);
            }
            if plan.safe.is_none() || self.upgrade.state().safe.frozen.is_none() {
                let why = "given up while the timelock had nothing of it".to_owned();
                self.record(Event::Abandoned { why })?;
                return Ok(Outcome::Reached);
            }
        }
        let ceremony = self.ceremony()?;
        expect_safe_tx(self.limits, &[ceremony.rejection.tx.hash()])?;
        if !self.upgrade.state().is_rejecting() {
            self.record(Event::SafeReject { at: Timestamp::now() })?;
            self.upgrade.write_proposal()?;
        }
        self.gather_rejections(&ceremony).await
    }

    /// Whether this is a fleet's member that can go without the others' approval being touched.
    fn is_to_be_left(&self) -> bool {
        let state = self.upgrade.state();
        let nothing_on_its_way =
            state.tx.signed.is_empty() && state.safe.frozen.is_none() && state.timelock.scheduled.is_none();
        self.upgrade.is_in_fleet() && (self.upgrade.follows() || state.proof().is_some() || nothing_on_its_way)
    }

    /// The fleet goes on without this CVM.
    fn give_up(&mut self) -> Result<Outcome, UpgradeError> {
        let state = self.upgrade.state();
        if state.abandoned.is_some() {
            return Ok(Outcome::Reached);
        }
        let cvm = self.cvm()?;
        if state.commit.done.is_some() {
            return Err(UpgradeError::decide(
                Code::AlreadyLive,
                format!("{cvm} runs the hash already; there is nothing left to give up"),
            ));
        }
        if state.commit.trying {
            return Err(UpgradeError::TooEarly {
                message: format!("a commit of {cvm} was sent, and its outcome is not known yet"),
                command: "resume",
            });
        }
        let consent = Consent::ask(
            format!("Give {cvm} up? The fleet goes on without it."),
            vec![Fact::new(Name::ComposeHash, self.hash()?)],
        );
        if !self.world.ask.consent(&consent)? {
            return Err(UpgradeError::Declined {
                what: "giving it up".to_owned(),
            });
        }
        let why = "given up; the fleet goes on without it".to_owned();
        self.record(Event::Abandoned { why })?;
        self.forget_token()?;
        Ok(Outcome::Reached)
    }

    async fn gather_rejections(&mut self, ceremony: &SafeApproval) -> Result<Outcome, UpgradeError> {
        let chain = self.chain().await?;
        let known = self.may_sign(&chain, SafeTxRole::Rejection).await?;
        let look = self.look_at(&chain, &ceremony.rejection, known.look).await?;
        if look.info.nonce > ceremony.nonce() {
            return match self.settle_nonce(&chain, ceremony).await {
                Err(UpgradeError::Decide {
                    code: Code::SafeTxRejected | Code::SafeNonceTaken,
                    ..
                }) => Ok(Outcome::Reached),
                Ok(_) => Err(UpgradeError::decide(
                    Code::AlreadyApproved,
                    "the Safe transaction was executed before it could be rejected",
                )),
                Err(error) => Err(error),
            };
        }
        let queued = look.info.nonce < ceremony.nonce();
        let ceremony = self.ceremony()?;
        let key = self.signer().await?.map(Signer::address);
        let facts = Facts {
            executor: key,
            ..look.facts.clone()
        };
        let signed_tx = &ceremony.rejection;
        if let (false, Some(executor), Ok(packed)) = (queued, key, signed_tx.signatures.pack(&facts)) {
            let ready = Executable {
                signed_tx,
                look: &look,
                executor,
                signatures: packed.bytes,
            };
            return self.execute(&chain, &ready).await;
        }
        let unsigned =
            key.is_some_and(|key| facts.owners.contains(&key) && !self.has_signed(key, SafeTxRole::Rejection));
        if unsigned {
            return self.sign_as_owner(SafeTxRole::Rejection).await;
        }
        let standing = signed_tx.signatures.standing(&look.facts);
        let missing: Vec<String> = standing.missing.iter().map(ToString::to_string).collect();
        let what = match self.upgrade.state().is_only_to_reject() {
            true => "another Safe transaction of that nonce".to_owned(),
            false => format!("Safe transaction {}", ceremony.hash()),
        };
        Ok(Outcome::Pending(Pending {
            code: Code::PendingRejection,
            what: format!(
                "{} of {} owners signed the rejection {} at nonce {}; until it is executed, {} with enough signatures can be executed by anybody; not yet: {}",
                standing.counted.len(),
                standing.threshold,
                signed_tx.tx.hash(),
                ceremony.nonce(),
                what,
                missing.join(", ")
            ),
        }))
    }

    /// The rejection was executed, in a block that stays. `None`: not settled after all.
    pub(in crate::upgrade) async fn prove_rejection(
        &mut self,
        chain: &Chain,
        transaction: B256,
    ) -> Result<Option<Outcome>, UpgradeError> {
        let ceremony = self.ceremony()?;
        let tx = &ceremony.rejection.tx;
        match prove_execution(chain, transaction, tx.domain().safe, tx.hash()).await {
            Ok(()) => {
                let why = format!(
                    "rejected: nonce {} of the Safe is used up by {} in transaction {transaction}",
                    ceremony.nonce(),
                    tx.hash()
                );
                self.record(Event::Abandoned { why })?;
                Ok(Some(Outcome::Reached))
            }
            Err(SafeProofFailure::Chain(error)) if !crate::upgrade::checks::app::is_final(&error) => {
                self.tell(&format!("{error}; asking again"));
                Ok(None)
            }
            Err(SafeProofFailure::Chain(error)) => Err(error.into()),
            Err(failure) => {
                let why = failure.to_string();
                self.record(Event::TxGone { why: why.clone() })?;
                Err(UpgradeError::Failed {
                    code: Code::RejectionFailed,
                    message: format!("transaction {transaction} did not reject the Safe transaction: {why}"),
                })
            }
        }
    }
}
