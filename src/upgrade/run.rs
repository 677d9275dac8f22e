//! What every step of a run has: the upgrade, the outside, the time that is left.

use std::time::Duration;

use alloy::primitives::Address;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::chain::{AppChanges, Call, Chain, Finality, Proof, TxError, fees::Quote, watch::InclusionAt};
use crate::cloud::{Client, CvmId};
use crate::code::Code;
use crate::compose::ComposeHash;
use crate::signer::Signer;
use crate::upgrade::{
    Limits, UpgradeError, Warning, World,
    checks::verdict::{Known, Subject},
    journal_error::JournalError,
    model::{CodeChange, Plan, Proposal},
    model::{safe_approval::SafeTxRole, target::Request},
    planning::examine::examine,
    record::{event::Event, evidence},
    workspace::upgrade::Upgrade,
};

/// Life of a commit token below which people are told.
const EXPIRY_WARNING: SignedDuration = SignedDuration::from_hours(24);

/// One run over an upgrade.
pub(super) struct Run<'a> {
    pub(super) upgrade: &'a mut Upgrade,
    pub(super) world: &'a World<'a>,
    /// Phala Cloud, for as long as this run has time.
    pub(super) cloud: Client,
    pub(super) limits: &'a Limits,
    pub(super) deadline: Instant,
    /// Something that Phala Cloud reported was taken back in this run.
    pub(super) took_back: bool,
    /// When this run made the proof that is in the journal.
    pub(super) proved: Option<Instant>,
    /// What another's transaction had proved went in this run: the change comes back by itself, if it does.
    pub(super) others_lost: bool,
    pub(super) renewal: Renewal,
    /// How often this run raised the fees of what it waits for.
    pub(super) raises: u32,
    pub(super) signer: Option<Signer>,
    /// What the owner's transaction costs, asked while it was judged whether it may be signed.
    pub(super) quoted: Option<Quoted>,
}

/// What a transaction costs, asked before it was decided that it is signed.
#[derive(Debug)]
pub(super) struct Quoted {
    pub(super) from: Address,
    pub(super) call: Call,
    pub(super) quote: Result<Quote, TxError>,
    pub(super) at: Instant,
}

/// Whether the same change is prepared once more, since what was prepared is of no use. No record says what somebody agreed
/// to: a later run asks again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Renewal {
    /// Not in this run.
    None,
    /// It comes next.
    Agreed,
    /// It was done, so that what came of it is taken as it is.
    Done,
}

impl Upgrade {
    /// A run over this upgrade, once what opening recovered was told.
    pub(super) fn run<'a>(&'a mut self, world: &'a World<'a>, limits: &'a Limits) -> Result<Run<'a>, UpgradeError> {
        self.tell_recovery(world)?;
        let own = Instant::now() + limits.timeout;
        // What was read before this run, to plan it, was read in the same time.
        let deadline = world.quorum.until.map_or(own, |until| until.min(own));
        Ok(Run {
            upgrade: self,
            world,
            cloud: world.cloud.until(deadline),
            limits,
            deadline,
            took_back: false,
            proved: None,
            others_lost: false,
            renewal: Renewal::None,
            raises: 0,
            signer: None,
            quoted: None,
        })
    }
}

impl Run<'_> {
    pub(super) fn plan(&self) -> Result<Plan, UpgradeError> {
        self.upgrade
            .state()
            .plan()
            .cloned()
            .ok_or_else(|| UpgradeError::TooEarly {
                message: "the upgrade has no plan".to_owned(),
                command: "prepare",
            })
    }

    /// What changes of the code.
    pub(super) fn code(&self) -> Result<CodeChange, UpgradeError> {
        self.upgrade.state().code().cloned().ok_or_else(|| {
            UpgradeError::decide(
                Code::NoCodeChange,
                "only the app's policy changes: there is no CVM to upgrade",
            )
        })
    }

    /// The CVM, as the API's paths name it.
    pub(super) fn cvm(&self) -> Result<CvmId, UpgradeError> {
        Ok(self.code()?.cvm.parse()?)
    }

    /// What has to be in force on chain in the end.
    pub(super) fn changes(&self) -> Result<AppChanges, UpgradeError> {
        self.upgrade.state().changes().ok_or_else(|| UpgradeError::TooEarly {
            message: "nothing was prepared and verified yet".to_owned(),
            command: "prepare",
        })
    }

    /// The verified hash.
    pub(super) fn hash(&self) -> Result<ComposeHash, UpgradeError> {
        let verified = self.upgrade.state().verified().map(|(hash, _)| *hash);
        verified.ok_or_else(|| UpgradeError::TooEarly {
            message: "nothing was prepared and verified yet".to_owned(),
            command: "prepare",
        })
    }

    pub(super) fn record(&mut self, event: Event) -> Result<(), UpgradeError> {
        self.upgrade.record(event)
    }

    /// Records what an effect came to. It came to that even when the disk says no, and then only the error tells.
    pub(super) fn record_outcome(&mut self, event: Event, fact: &str) -> Result<(), UpgradeError> {
        self.record(event).map_err(|error| not_stored(fact, error))
    }

    pub(super) fn note(&mut self, text: impl Into<String>) -> Result<(), UpgradeError> {
        self.record(Event::Note { text: text.into() })
    }

    pub(super) fn tell(&self, news: &str) {
        self.world.ask.tell(news);
    }

    /// Says what is waited for now, in place of what was said before.
    pub(super) fn waits(&self, what: &str) {
        self.world.ask.waits(what);
    }

    /// Tells what the report has among its warnings as well.
    pub(super) fn warn(&mut self, code: Code, text: String) {
        let remark = Warning {
            code: code.to_owned(),
            text,
        };
        if self.upgrade.remark(remark.clone()) {
            self.tell(&format!("warning: {}", remark.text));
        }
    }

    /// A token that expires before the approval comes is no loss, but somebody has to prepare again.
    pub(in crate::upgrade) fn warn_of_expiry(&self) {
        let state = self.upgrade.state();
        let Some(expires) = state.prepare.token_expires() else {
            return;
        };
        let soon = Timestamp::now()
            .saturating_add(EXPIRY_WARNING)
            .is_ok_and(|later| later >= expires);
        if soon && state.commit.committed.is_none() {
            self.tell(&format!(
                "the commit token expires at {expires}; after that the same change is prepared again, for the same hash"
            ));
        }
    }

    /// The chain, connected once.
    pub(super) async fn chain(&self) -> Result<Chain, UpgradeError> {
        let deployment = self.upgrade.state().deployment();
        let chain_id = deployment.map_or_else(|| self.plan().map(|plan| plan.chain_id), |new| Ok(new.chain_id))?;
        self.world.chain(chain_id).await
    }

    pub(super) fn finality(&self, chain_id: u64) -> Finality {
        self.limits.finality.unwrap_or_else(|| Finality::default_for(chain_id))
    }

    /// The key, opened once a run; `None` when no source was named.
    pub(super) async fn signer(&mut self) -> Result<Option<&Signer>, UpgradeError> {
        if self.signer.is_none()
            && let Some(source) = self.world.signer
        {
            self.signer = Some(Signer::open(source, self.world.unlock, self.world.ask).await?);
        }
        Ok(self.signer.as_ref())
    }

    /// Whether a key is ready without asking anybody.
    pub(super) const fn open_signer(&self) -> Option<&Signer> {
        self.signer.as_ref()
    }

    pub(super) fn time_left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Whether something with an effect may begin still; once it did, it is not cut off by the time for this run alone.
    pub(super) fn has_time(&self) -> bool {
        self.limits.timeout.is_zero() || !self.time_left().is_zero()
    }

    /// # Errors
    /// The time for this run is over, so what has an effect is not begun.
    pub(super) fn may_begin(&self, what: &str) -> Result<(), UpgradeError> {
        if self.has_time() { Ok(()) } else { Err(not_begun(what)) }
    }

    /// Sleeps, but not past the deadline; `false` when there is no time left.
    pub(super) async fn sleep(&self, wish: Duration) -> bool {
        let left = self.time_left();
        tokio::time::sleep(wish.min(left)).await;
        left > wish
    }

    pub(super) fn write_evidence(&self) -> Result<(), UpgradeError> {
        evidence::write(self.upgrade.dir(), self.upgrade.state(), &self.upgrade.journal_head())
    }

    /// Takes what the block of a proof proves by its hash alone, before endpoints forget its state and before the proof is
    /// recorded: whoever is killed here proves again and takes it again. What they do not give is missing in the evidence, and
    /// stops nothing.
    pub(super) async fn keep_witness(&self, chain: &Chain, proof: &Proof) -> Result<(), UpgradeError> {
        let (dir, state) = (self.upgrade.dir(), self.upgrade.state());
        if evidence::has_witness(dir, &proof.block) {
            return Ok(());
        }
        let last = &self.world.reached.witness;
        let witness = last.witness(chain, proof, &evidence::contracts(state)).await;
        evidence::keep_witness(dir, &proof.block, &witness)
    }

    /// Takes what [`Self::keep_witness`] will want of the block that holds a transaction, while it is proved.
    pub(super) async fn take_witness(&self, chain: &Chain, inclusion: InclusionAt) {
        if !evidence::has_witness(self.upgrade.dir(), &inclusion.block) {
            let wanted = evidence::contracts(self.upgrade.state());
            let at = (inclusion.block, Some(inclusion.transaction));
            self.world.reached.witness.take_ahead(chain, at, &wanted).await;
        }
    }

    /// What prepare sends, with the sealed environment where one belongs to it.
    pub(super) fn request(&self, code: &CodeChange) -> Result<Request, UpgradeError> {
        // Sealed bytes are those that this machine keeps; a plan or a proposal cannot hold any.
        let sealed = code.environment.as_ref().map(|_| self.upgrade.sealed()).transpose()?;
        Ok(code.request(code.patch.clone().sealed(sealed)))
    }

    /// Reads what the chain says now of what this upgrade asks for, and stops where the verdict over it forbids to sign.
    /// Gives what was read; nothing before there is a proposal.
    ///
    /// # Errors
    /// The verdict forbids it, or the chain did not answer.
    pub(super) async fn may_sign(&mut self, chain: &Chain, role: SafeTxRole) -> Result<Known, UpgradeError> {
        let state = self.upgrade.state();
        let Some(proposal) = Proposal::of(state) else {
            return Ok(Known::default());
        };
        let ceremony = state.ceremony()?;
        let subject = Subject::of(state, role, &proposal, ceremony.as_ref());
        let known = examine(self.world, chain, &subject).await?;
        let verdict = subject.judge(Some(&known), self.limits, &state.accepted);
        self.upgrade.keep_verdict(&verdict)?;
        verdict.check_before_asking(self.world.ask)?;
        Ok(known)
    }
}

/// There was no time left to begin what has an effect: the next run does.
pub(super) fn not_begun(what: &str) -> UpgradeError {
    UpgradeError::Later {
        code: Code::NetTimeout,
        message: format!("the time for this run is over, so {what} was not begun"),
        source: None,
    }
}

/// The outcome of an effect could not be stored: the next run settles it.
pub(super) fn not_stored(fact: &str, error: impl Into<UpgradeError>) -> UpgradeError {
    match error.into() {
        error @ (UpgradeError::File(_) | UpgradeError::Journal(JournalError::Fs(_))) => UpgradeError::Unknown {
            code: Code::OutcomeNotStored,
            message: format!("{fact}, and that could not be stored"),
            source: Some(Box::new(error)),
        },
        other => other,
    }
}
