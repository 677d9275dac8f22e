//! Commit and settle: one commit per upgrade; an unknown outcome is settled by reading.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::chain::{Chain, Proof};
use crate::cloud::{
    CloudError, Cvm, Problem,
    updates::{CommitToken, Registration},
};
use crate::code::Code;
use crate::fsutil::point;
use crate::http::{Kind, Sent};
use crate::signer::{AskError, Consent, Fact, Name};
use crate::text::escape;
use crate::upgrade::{
    Acceptance, Outcome, Pending, UpgradeError,
    checks::app::{check_code, query},
    model::CodeChange,
    model::target::Target,
    planning::{neighbours::Neighbours, pending_updates::known_pending},
    record::event::Event,
    run::{Renewal, Run},
    steps::{
        commit_request::{Taken, registration},
        proof_again::Standing,
        token_status::TokenStatus,
    },
};

/// A token with less life than this is not relied on.
const TOKEN_MARGIN: SignedDuration = SignedDuration::from_mins(5);
/// The cloud's own view of the chain may lag; so long a refusal that the chain contradicts is waited out.
const LAG: Duration = Duration::from_secs(600);
const RETRY_WAIT: Duration = Duration::from_millis(500);
const RETRY_WAIT_MAX: Duration = Duration::from_secs(8);
/// Wait between two looks at the CVM; grows.
pub(in crate::upgrade) const LOOK_WAIT: Duration = Duration::from_millis(50);
pub(in crate::upgrade) const LOOK_WAIT_MAX: Duration = Duration::from_secs(5);
/// A proof that was made within this time is not made again: no chain has shorter blocks, and whoever waits for the
/// commit waits for this.
const NEW_PROOF: Duration = Duration::from_millis(500);

/// What a commit's answer means.
enum Verdict {
    Accepted(Taken),
    /// Certainly not done; worth another try after a pause.
    Again(CloudError),
    /// Certainly not done; nothing to retry.
    Refused(CloudError),
    /// The token is used, superseded or expired: reading decides.
    TokenRefused(Box<Problem>),
    /// Perhaps done.
    Unknown(CloudError),
}

/// With what a commit can be sent.
enum Ready {
    /// A token.
    Token(CommitToken),
    /// Hash and transaction in headers.
    Headers,
    /// Nothing, and why: it has to be prepared again.
    Lacking(&'static str),
}

/// What a CVM, or an app's list of them, shows of a commit.
pub(in crate::upgrade) enum Trace {
    /// It runs our hash; with the UUID of the CVM that was made, if one was.
    Ours(Option<String>),
    /// An operation is under way, and there is no time left to see its end.
    Busy,
    /// Another hash, and nothing under way.
    Nothing,
}

impl Run<'_> {
    /// Commits with the proof, once the proof has been read again, unless this run read it just now.
    pub(in crate::upgrade) async fn commit(&mut self) -> Result<Outcome, UpgradeError> {
        let chain = self.chain().await?;
        self.verify_again()?;
        let Some(proof) = self.proof_to_commit(&chain).await? else {
            return Ok(Outcome::Reached);
        };
        let plan = self.plan()?;
        let query = query(&plan, Some(self.word()?));
        let app = chain.app_at(&query, &plan.app_state, proof.head);
        let newest = chain.denied_by(plan.app, self.word()?, proof.head);
        let (now, denied, before) = tokio::join!(app, newest, self.look_before());
        let now = now?;
        let behind = now.implementation_code_hash;
        check_code(&plan.app_state, now.code_hash, now.implementation, behind)?;
        self.may_boot(&now)?;
        if let Some(endpoint) = denied?.first() {
            return Err(UpgradeError::decide(
                Code::HashRemoved,
                format!(
                    "at its newest block {endpoint} says that the app does not allow {} any more; nothing was committed",
                    self.word()?
                ),
            ));
        }
        // A run that this journal does not know of may have committed, here or on another machine.
        match before? {
            Trace::Ours(made) => {
                self.tell("Phala Cloud reports that the CVM runs the hash already: nothing is committed");
                return self.accept(Taken::found(made));
            }
            Trace::Busy => return Ok(busy()),
            Trace::Nothing => {}
        }
        let by = registration(&proof);
        match self.ready()? {
            Ready::Token(token) => self.send_commit(Some(&token), by).await,
            Ready::Headers => self.finish_without_token(by).await,
            Ready::Lacking(why) => self.agree_to_prepare_again(why).await,
        }
    }

    /// The proof, read again unless this run made it just now; `None` when it is gone.
    async fn proof_to_commit(&mut self, chain: &Chain) -> Result<Option<Proof>, UpgradeError> {
        let is_new = self.proved.is_some_and(|at| at.elapsed() < NEW_PROOF);
        match self.upgrade.state().proof() {
            Some(proof) if is_new => Ok(Some(proof.clone())),
            _ => self.refresh_proof(chain).await,
        }
    }

    /// The token, or none when this upgrade ends with the two headers. What those confirm expires like a token.
    fn ready(&self) -> Result<Ready, UpgradeError> {
        let confirm = self.code()?.confirm;
        let state = self.upgrade.state();
        let prepared = state.prepare.answer.as_ref();
        let given = state.prepare.imported || prepared.is_some_and(|prepared| prepared.token_sha256.is_some());
        let good =
            self.renewal == Renewal::Done || prepared.is_some_and(|prepared| self.is_token_good(prepared.expires));
        let token = if confirm { None } else { self.token()? };
        match token {
            Some(token) if good => Ok(Ready::Token(token)),
            None if good && given && !confirm => Ok(Ready::Lacking("the commit token is not on this machine")),
            None if good => self.headers(),
            _ => Ok(Ready::Lacking("what was prepared is not valid any more")),
        }
    }

    /// The ending without a token, which only a CVM that is there has.
    fn headers(&self) -> Result<Ready, UpgradeError> {
        if !self.makes_new()? {
            return Ok(Ready::Headers);
        }
        Err(UpgradeError::decide(
            Code::TokenMissing,
            "Phala Cloud gave no commit token, and a new CVM is made with one only",
        ))
    }

    fn is_token_good(&self, expires: Timestamp) -> bool {
        let state = self.upgrade.state();
        let in_time = Timestamp::now()
            .saturating_add(TOKEN_MARGIN)
            .is_ok_and(|later| later < expires);
        in_time && !state.prepare.trying && !state.prepare.token_refused
    }

    /// Has the same change prepared again next, where somebody agrees: a colleague's token is replaced by that. It can take
    /// long, and a fresh token does not know of the old one, so that everything is looked at again before the commit.
    async fn agree_to_prepare_again(&mut self, why: &str) -> Result<Outcome, UpgradeError> {
        self.refuse_second_commit().await?;
        self.refuse_to_supersede(why).await?;
        let question =
            format!("{why}. Prepare again with the same change? An earlier commit token of this CVM ends by it.");
        let facts = vec![Fact::new(Name::ComposeHash, self.hash()?)];
        let agreed = match self.world.ask.consent(&Consent::ask(question, facts)) {
            Err(AskError::Nobody(_)) => false,
            answer => answer?,
        };
        if !agreed {
            return Err(UpgradeError::decide(
                Code::TokenExpired,
                format!("{why}; the approval on chain stays valid, and preparing again needs consent"),
            ));
        }
        self.tell(&format!("{why}; preparing again with the same change"));
        self.renewal = Renewal::Agreed;
        Ok(Outcome::Reached)
    }

    /// What was refused for its token may have been carried out all the same: nothing is prepared and committed once more
    /// unasked unless the server says what became of the token, and says so once.
    async fn refuse_second_commit(&mut self) -> Result<(), UpgradeError> {
        let state = self.upgrade.state();
        let refusals = state.prepare.refusals;
        if self.makes_new()? || !state.prepare.token_refused || !state.commit.sent {
            return Ok(());
        }
        // What ends with two headers has no token to ask about.
        let status = match self.code()?.confirm {
            true => TokenStatus::Dead,
            false => self.token_status().await.unwrap_or(TokenStatus::Unknown),
        };
        if refusals < 2 && matches!(status, TokenStatus::Live | TokenStatus::Dead) {
            return Ok(());
        }
        self.agree_to_second_commit()
    }

    /// One more is named each time: what was agreed to before was about the one before. It stands in the journal.
    fn agree_to_second_commit(&mut self) -> Result<(), UpgradeError> {
        if self.limits.accepted.covers(Code::CommitMayStand, None) {
            return self.upgrade.agree(Acceptance {
                code: Code::CommitMayStand,
                value: None,
            });
        }
        Err(UpgradeError::decide(
            Code::CommitMayStand,
            "a commit of this upgrade was sent, and nothing that Phala Cloud says shows that it was not carried out: another \
             one is not sent unasked",
        ))
    }

    /// Whether the server calls the commit token used. A new CVM is looked for in its own way.
    async fn is_token_used(&self) -> Result<bool, UpgradeError> {
        Ok(!self.makes_new()? && matches!(self.token_status().await, Ok(TokenStatus::Used)))
    }

    /// Another change of this CVM that waits for its commit is somebody else's intent.
    pub(in crate::upgrade) async fn refuse_to_supersede(&self, why: &str) -> Result<(), UpgradeError> {
        let code = self.code()?;
        // The token of a new instance is the app's own and takes no CVM's.
        if self.limits.supersede || matches!(code.target, Target::Instance(_)) {
            return Ok(());
        }
        let own = self.hash()?;
        let pending = known_pending(self.cloud.pending_updates(self.plan()?.app).await)?;
        let other = pending
            .iter()
            .flatten()
            .find(|update| code.is_of_this_cvm(update) && update.compose_hash != Some(own));
        match other {
            None => self.refuse_to_end_own(&code),
            Some(update) => Err(UpgradeError::decide(
                Code::UpdatePending,
                format!(
                    "{why}, and another update of this CVM is pending ({}); preparing again ends its commit token",
                    update
                        .compose_hash
                        .map_or_else(|| "unknown hash".to_owned(), |hash| hash.to_string())
                ),
            )),
        }
    }

    /// Refuses to end the commit token of another upgrade of this machine that was prepared after this one, unless that
    /// was agreed to.
    fn refuse_to_end_own(&self, code: &CodeChange) -> Result<(), UpgradeError> {
        let own = self.upgrade.state().prepare.answer.as_ref();
        let neighbours = Neighbours::around(self.upgrade.dir(), self.world.root);
        match neighbours.waiting(code, Timestamp::now()) {
            Some((other, warning))
                if own.is_some_and(|own| own.at < other.at && own.hash != other.hash)
                    && !self.limits.accepted.covers(warning.code, None) =>
            {
                Err(UpgradeError::decide(warning.code, warning.text))
            }
            _ => Ok(()),
        }
    }

    async fn finish_without_token(&mut self, by: Registration) -> Result<Outcome, UpgradeError> {
        self.tell("confirming with the compose hash and the transaction, without a token");
        self.send_commit(None, by).await
    }

    async fn send_commit(
        &mut self,
        token: Option<&CommitToken>,
        mut by: Registration,
    ) -> Result<Outcome, UpgradeError> {
        self.may_begin("the commit")?;
        self.ask_to_commit()?;
        let hash = self.hash()?;
        let there = self.there().await?;
        point("commit.a");
        let at = Timestamp::now();
        self.record(Event::CommitTry { at, there })?;
        point("commit.b");
        let began = tokio::time::Instant::now();
        let mut wait = RETRY_WAIT;
        loop {
            let verdict = judge(self.post(token, hash, by).await);
            point("commit.d");
            match verdict {
                Verdict::Accepted(taken) => return self.accept(taken),
                Verdict::Again(error) => {
                    match self.still_boots().await? {
                        Standing::Stands => {}
                        Standing::Withdrawn => return self.not_committed(error, withdrawn),
                        // It is proved anew, and then committed with what proves it then.
                        Standing::Lost => {
                            self.give_up_commit(&error)?;
                            return Ok(Outcome::Reached);
                        }
                    }
                    if matches!(error, CloudError::Busy(_))
                        && let Ok(Trace::Ours(made)) = self.read_trace().await
                    {
                        self.tell("the update was committed already");
                        return self.accept(Taken::found(made));
                    }
                    let patience = began.elapsed() < LAG;
                    if !(patience && self.pause(&mut wait, &error).await) {
                        match self.other_proof(&error, by) {
                            Some(other) => by = other,
                            None => return self.not_committed(error, still_refused),
                        }
                    }
                }
                Verdict::Refused(error) => return self.not_committed(error, refused),
                Verdict::TokenRefused(problem) => return self.after_466(problem).await,
                Verdict::Unknown(error) => return self.settle_after(error).await,
            }
        }
    }

    async fn pause(&self, wait: &mut Duration, error: &CloudError) -> bool {
        self.tell(&format!("{error}; trying again"));
        let goes_on = self.sleep(*wait).await;
        *wait = (*wait * 2).min(RETRY_WAIT_MAX);
        goes_on
    }

    fn accept(&mut self, Taken { accepted, made }: Taken) -> Result<Outcome, UpgradeError> {
        let id = accepted
            .as_ref()
            .and_then(|accepted| accepted.correlation_id.as_deref())
            .map_or_else(String::new, |id| format!(" (operation {})", escape(id)));
        let at = Timestamp::now();
        let news = match (&accepted, &made) {
            (None, None) => "the hash was found running, as Phala Cloud says",
            _ => "the commit was accepted",
        };
        self.record_outcome(Event::CommitOk { accepted, at, made }, &format!("{news}{id}"))?;
        point("commit.e");
        self.write_evidence()?;
        self.tell(news);
        Ok(Outcome::Reached)
    }

    fn not_committed(
        &mut self,
        error: CloudError,
        meaning: fn(CloudError) -> UpgradeError,
    ) -> Result<Outcome, UpgradeError> {
        self.give_up_commit(&error)?;
        Err(meaning(error))
    }

    fn give_up_commit(&mut self, error: &CloudError) -> Result<(), UpgradeError> {
        self.record(Event::CommitNot {
            why: error.to_string(),
            token_refused: false,
        })
    }

    /// The server goes on refusing a transaction that is a good proof by our checks: the state on chain is one as well,
    /// if somebody agrees to it.
    fn other_proof(&self, error: &CloudError, by: Registration) -> Option<Registration> {
        let refused = matches!(error, CloudError::Refused(problem) if problem.status == 467);
        let Registration::Transaction(transaction) = by else {
            return None;
        };
        let question = "Phala Cloud does not accept the transaction as proof, though it is one by every check here. \
                        Commit with the state of the contract as the only proof?";
        let consent = Consent::ask(question, vec![Fact::new(Name::Transaction, transaction)]);
        (refused && self.world.ask.consent(&consent).unwrap_or(false)).then_some(Registration::Already)
    }

    /// 466: the token is used, superseded, expired or for another hash. What the CVM does decides.
    async fn after_466(&mut self, problem: Box<Problem>) -> Result<Outcome, UpgradeError> {
        match self.read_trace().await? {
            Trace::Ours(made) => {
                self.tell("the update was committed already");
                self.accept(Taken::found(made))
            }
            Trace::Busy => Err(unknown(CloudError::Refused(problem))),
            // Used by whom, and with what effect, a later look tells.
            Trace::Nothing if self.is_token_used().await? => Err(unknown(CloudError::Refused(problem))),
            Trace::Nothing => {
                self.record(Event::CommitNot {
                    why: problem.to_string(),
                    token_refused: true,
                })?;
                Err(UpgradeError::Decide {
                    code: Code::CommitRejected466,
                    message:
                        "the commit token is not valid any more; the approval on chain stays valid, no new signature is needed"
                            .to_owned(),
                    source: Some(Box::new(CloudError::Refused(problem))),
                })
            }
        }
    }

    /// The reply was lost: find out by reading, and never send blindly.
    async fn settle_after(&mut self, error: CloudError) -> Result<Outcome, UpgradeError> {
        if is_foreign(&error) {
            return Err(error.into());
        }
        match self.read_trace().await {
            Ok(Trace::Ours(made)) => self.accept(Taken::found(made)),
            Err(error @ UpgradeError::Decide { .. }) => Err(error),
            _ => Err(unknown(error)),
        }
    }

    /// An earlier run sent a commit and did not see the answer.
    pub(in crate::upgrade) async fn settle(&mut self) -> Result<Outcome, UpgradeError> {
        match self.read_trace().await? {
            Trace::Ours(made) => self.accept(Taken::found(made)),
            Trace::Busy => Ok(busy()),
            Trace::Nothing => {
                let used = self.is_token_used().await?;
                if used {
                    self.agree_to_second_commit()?;
                }
                self.record(Event::CommitNot {
                    why: "Phala Cloud shows no sign of it".to_owned(),
                    token_refused: used,
                })?;
                Ok(Outcome::Reached)
            }
        }
    }

    /// Whether somebody was faster, before a commit is sent.
    async fn look_before(&self) -> Result<Trace, UpgradeError> {
        if !self.makes_new()? {
            return self.read_trace().await;
        }
        self.look_for_made().await
    }

    /// What the CVM shows of a commit whose answer is not known. An operation under way may be anybody's: its end tells.
    async fn read_trace(&self) -> Result<Trace, UpgradeError> {
        if self.makes_new()? {
            return self.trace_of_new().await;
        }
        let mut wait = LOOK_WAIT;
        let name = self.cvm()?;
        loop {
            let cvm = self.cloud.cvm(&name).await?;
            if self.has_our_hash(&cvm) == Some(true) {
                return Ok(Trace::Ours(None));
            }
            if cvm.progress.is_none() {
                return Ok(Trace::Nothing);
            }
            self.tell("an operation is under way on the CVM; waiting for its end");
            if !self.sleep(wait).await {
                return Ok(Trace::Busy);
            }
            wait = (wait * 3 / 2).min(LOOK_WAIT_MAX);
        }
    }

    pub(in crate::upgrade) fn has_our_hash(&self, cvm: &Cvm) -> Option<bool> {
        cvm.compose_hash.map(|found| self.hash().is_ok_and(|own| own == found))
    }
}

/// Somebody else answers in the server's place, or the server speaks of something else.
const fn is_foreign(error: &CloudError) -> bool {
    match error {
        CloudError::Http(http) => matches!(http.kind, Kind::Tls | Kind::Redirect { .. }),
        CloudError::Identity { .. } => true,
        _ => false,
    }
}

fn busy() -> Outcome {
    Outcome::Pending(Pending {
        code: Code::PendingOperation,
        what: "the operation that is under way on the CVM; its end tells whether the update was committed".to_owned(),
    })
}

fn unknown(error: CloudError) -> UpgradeError {
    UpgradeError::Unknown {
        code: Code::CommitUnknown,
        message: "the commit request was sent but no usable answer came; it may have been accepted".to_owned(),
        source: Some(Box::new(error)),
    }
}

/// A refusal at commit is about the update, not about something that the user typed.
fn refused(error: CloudError) -> UpgradeError {
    match error {
        CloudError::Refused(problem) if problem.status < 465 => UpgradeError::Decide {
            code: Code::CommitRefused,
            message: "Phala Cloud did not take the commit; the approval on chain stays valid".to_owned(),
            source: Some(Box::new(CloudError::Refused(problem))),
        },
        other => other.into(),
    }
}

/// The chain contradicts the refusal, and no time is left.
fn still_refused(error: CloudError) -> UpgradeError {
    match error {
        CloudError::Refused(problem) if matches!(problem.status, 465 | 468) => UpgradeError::Later {
            code: Code::CloudBehindChain,
            message: "the chain allows the hash, and Phala Cloud does not see it yet".to_owned(),
            source: Some(Box::new(CloudError::Refused(problem))),
        },
        other => other.into(),
    }
}

/// The chain agrees with the refusal.
fn withdrawn(error: CloudError) -> UpgradeError {
    UpgradeError::Decide {
        code: Code::HashRemoved,
        message: "the hash was allowed and is not allowed any more; nothing was committed".to_owned(),
        source: Some(Box::new(error)),
    }
}

fn judge(answer: Result<Taken, CloudError>) -> Verdict {
    match answer {
        Ok(taken) => Verdict::Accepted(taken),
        Err(CloudError::Http(error)) if error.sent == Sent::Maybe => Verdict::Unknown(CloudError::Http(error)),
        Err(CloudError::Unavailable(problem)) if problem.status == 429 => {
            Verdict::Refused(CloudError::Unavailable(problem))
        }
        Err(error @ (CloudError::Unavailable(_) | CloudError::Unexpected { .. })) => Verdict::Unknown(error),
        Err(error @ CloudError::Busy(_)) => Verdict::Again(error),
        Err(CloudError::Refused(problem)) => match problem.status {
            466 => Verdict::TokenRefused(problem),
            465 | 467 | 468 => Verdict::Again(CloudError::Refused(problem)),
            _ => Verdict::Refused(CloudError::Refused(problem)),
        },
        Err(error) => Verdict::Refused(error),
    }
}
