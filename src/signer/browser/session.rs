//! What a page and a run say to each other, as a state machine. Pure: it is told what happened and when, and says what is
//! known.
//!
//! ```text
//! idle ──▶ an account is wanted ──▶ idle ──▶ consent is wanted ──▶ agreed or declined
//!                                             ──▶ a request waits ──▶ handed out ──▶ answered        ──▶ over
//! ```
//!
//! The run moves it on from left to right; the page gives an account, consent and one answer. A request is handed out once;
//! one whose repetition changes nothing is handed out again to a page that was loaded again. The first tab that speaks is
//! the only one.

use std::time::{Duration, Instant};

use alloy::primitives::Address;
use serde::Serialize;
use serde_json::Value;

use crate::code::Code;
use crate::signer::consent::{Act, Acting, Decision};
use crate::signer::error::WalletError;
use crate::text;

/// EIP-712, as wallets take it.
pub(super) const SIGN_TYPED_DATA: &str = "eth_signTypedData_v4";
/// A transaction that the wallet signs and sends.
pub(super) const SEND_TRANSACTION: &str = "eth_sendTransaction";

/// A page that is loaded again is there within this.
const RELOAD: Duration = Duration::from_secs(5);
/// A page that is not seen for so long is gone: browsers let one in the background speak once a minute.
const SILENCE: Duration = Duration::from_secs(150);

/// What a page is shown, and how it asks for more.
#[derive(Debug, Clone, Default)]
pub(super) struct Sheet {
    /// HTML whose words are harmless.
    pub(super) html: String,
    /// Grows with every change.
    pub(super) edition: u64,
}

/// What somebody has to agree to on the page, in harmless words.
#[derive(Debug, Clone)]
pub(super) struct Asking {
    acting: Acting,
    question: String,
    /// What has to be named.
    decisions: Vec<Decision>,
}

impl Asking {
    pub(super) fn new(acting: Acting, question: &str, decisions: &[Decision]) -> Self {
        let harmless = |one: &Decision| Decision {
            what: text::escape(&one.what),
            ..one.clone()
        };
        Self {
            acting,
            question: text::escape(question),
            decisions: decisions.iter().map(harmless).collect(),
        }
    }
}

/// A call of a wallet (EIP-1193).
#[derive(Debug, Clone, Serialize)]
pub(super) struct Request {
    pub(super) method: &'static str,
    pub(super) params: Value,
}

/// What a wallet said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// Its result.
    Given(String),
    /// Its error (EIP-1193, EIP-1474), as far as it is known to the page.
    Refused { code: i64, message: String },
}

#[derive(Debug)]
enum Stage {
    Idle,
    Account,
    Consent(Asking),
    Agreed,
    Declined,
    Waiting(Request),
    Handed(Request),
    Answered(Answer),
    Over { said: String, good: bool },
}

/// One run's page.
#[derive(Debug)]
pub(super) struct Session {
    tab: Option<String>,
    sheet: Sheet,
    stage: Stage,
    account: Option<Address>,
    /// Grows with every account, consent and request that is wanted: an answer names the one that it is for.
    turn: u64,
    seen: Option<Instant>,
    left: Option<Instant>,
    /// The page said that it shows how the run ended.
    told: bool,
}

/// Why the page's word is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another tab was first.
    OtherTab,
    /// Nobody asks for that now, or any more.
    NotAsked,
    /// A decision was not named as it has to be.
    NotNamed,
    /// It is no answer.
    Malformed,
}

/// What a page shows now.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct View<'a> {
    pub(super) stage: &'static str,
    pub(super) turn: u64,
    pub(super) edition: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) html: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) act: Option<Act>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) question: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) account: Option<String>,
    /// As wallets name chains.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) chain_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) decisions: Vec<Named<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) said: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) good: Option<bool>,
}

/// A decision as it is shown: harmless words.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Named<'a> {
    pub(super) code: Code,
    pub(super) what: &'a str,
    /// What has to be typed.
    pub(super) shown: String,
}

impl Session {
    pub(super) const fn new() -> Self {
        Self {
            tab: None,
            sheet: Sheet {
                html: String::new(),
                edition: 0,
            },
            stage: Stage::Idle,
            account: None,
            turn: 0,
            seen: None,
            left: None,
            told: false,
        }
    }

    // What the run says.

    /// Shows something else.
    pub(super) fn show(&mut self, html: String) {
        self.sheet.edition = self.sheet.edition.saturating_add(1);
        self.sheet.html = html;
    }

    /// Asks which account there is.
    pub(super) fn want_account(&mut self) {
        self.begin(Stage::Account);
    }

    /// Asks for consent.
    pub(super) fn want_consent(&mut self, asking: Asking) {
        self.begin(Stage::Consent(asking));
    }

    /// Has a wallet act, after consent.
    pub(super) fn want_answer(&mut self, request: Request) {
        self.begin(Stage::Waiting(request));
    }

    /// Takes back what was not handed out: from now on nobody gets it.
    pub(super) fn withdraw(&mut self) {
        if matches!(self.stage, Stage::Waiting(_)) {
            self.begin(Stage::Idle);
        }
    }

    /// Ends it: nothing is taken or handed out any more.
    pub(super) fn end(&mut self, said: &str, good: bool) {
        let said = text::escape(said);
        self.begin(Stage::Over { said, good });
    }

    fn begin(&mut self, stage: Stage) {
        self.turn = self.turn.saturating_add(1);
        self.stage = stage;
    }

    // What the run hears.

    /// The account that was wanted.
    pub(super) const fn account(&self) -> Option<Address> {
        self.account
    }

    /// The answer to the question for consent.
    pub(super) const fn agreed(&self) -> Option<bool> {
        match self.stage {
            Stage::Agreed => Some(true),
            Stage::Declined => Some(false),
            _ => None,
        }
    }

    /// The wallet's answer.
    pub(super) fn answer(&self) -> Option<Answer> {
        match &self.stage {
            Stage::Answered(answer) => Some(answer.clone()),
            _ => None,
        }
    }

    /// Whether a wallet may have got the request.
    pub(super) const fn is_handed_out(&self) -> bool {
        matches!(self.stage, Stage::Handed(_) | Stage::Answered(_))
    }

    /// Whether any page was there.
    pub(super) const fn is_open(&self) -> bool {
        self.seen.is_some()
    }

    /// Whether the page knows how it ended.
    pub(super) const fn is_told(&self) -> bool {
        self.told
    }

    /// # Errors
    /// The page was closed, or is not heard of any more.
    pub(super) fn check_open(&self, now: Instant) -> Result<(), WalletError> {
        let since = |at: Option<Instant>, most: Duration| at.is_some_and(|at| now.duration_since(at) > most);
        if since(self.left, RELOAD) || since(self.seen, SILENCE) {
            return Err(WalletError::Closed);
        }
        Ok(())
    }

    // What the page says.

    /// Takes in that this tab is there.
    ///
    /// # Errors
    /// Another one was first.
    pub(super) fn hear(&mut self, tab: &str, now: Instant) -> Result<(), Refusal> {
        if tab.is_empty() || self.tab.get_or_insert_with(|| tab.to_owned()) != tab {
            return Err(Refusal::OtherTab);
        }
        self.seen = Some(now);
        self.left = None;
        Ok(())
    }

    /// What there is to show; the content only where the page has an older edition.
    pub(super) fn view(&self, edition: u64) -> View<'_> {
        let mut view = View {
            stage: "idle",
            turn: self.turn,
            edition: self.sheet.edition,
            html: (self.sheet.edition != edition).then_some(self.sheet.html.as_str()),
            act: None,
            question: None,
            account: self.account.map(|account| account.to_string()),
            chain_id: None,
            decisions: Vec::new(),
            said: None,
            good: None,
        };
        match &self.stage {
            Stage::Idle => {}
            Stage::Account => view.stage = "account",
            Stage::Consent(asking) => {
                view.stage = "consent";
                view.act = Some(asking.acting.act);
                view.question = Some(&asking.question);
                view.account = Some(asking.acting.from.to_string());
                view.chain_id = Some(format!("{:#x}", asking.acting.chain_id));
                let named = asking.decisions.iter().map(|one| Named {
                    code: one.code,
                    what: &one.what,
                    shown: text::escape(&one.value),
                });
                view.decisions = named.collect();
            }
            Stage::Agreed | Stage::Declined | Stage::Answered(_) => view.stage = "working",
            Stage::Waiting(_) => view.stage = "request",
            Stage::Handed(_) => view.stage = "handed",
            Stage::Over { said, good } => {
                view.stage = "over";
                view.said = Some(said);
                view.good = Some(*good);
            }
        }
        view
    }

    /// Takes the account that a wallet gave.
    ///
    /// # Errors
    /// None was asked for.
    pub(super) fn give_account(&mut self, turn: u64, account: Address) -> Result<(), Refusal> {
        self.asked(turn, matches!(self.stage, Stage::Account))?;
        self.account = Some(account);
        self.stage = Stage::Idle;
        Ok(())
    }

    /// Takes consent, with what was named for each decision.
    ///
    /// # Errors
    /// It was not asked for, or something was not named.
    pub(super) fn agree(&mut self, turn: u64, named: &[String]) -> Result<(), Refusal> {
        let Stage::Consent(asking) = &self.stage else {
            return Err(Refusal::NotAsked);
        };
        self.asked(turn, true)?;
        let wanted = &asking.decisions;
        let all = wanted.len() == named.len();
        if !all || !wanted.iter().zip(named).all(|(one, named)| one.is_named_by(named)) {
            return Err(Refusal::NotNamed);
        }
        self.stage = Stage::Agreed;
        Ok(())
    }

    /// Takes a no.
    ///
    /// # Errors
    /// Nobody asked.
    pub(super) fn decline(&mut self, turn: u64) -> Result<(), Refusal> {
        self.asked(turn, matches!(self.stage, Stage::Consent(_)))?;
        self.stage = Stage::Declined;
        Ok(())
    }

    /// Hands the request out: once, or again where that changes nothing.
    ///
    /// # Errors
    /// There is none, or it was handed out.
    pub(super) fn hand_out(&mut self, turn: u64) -> Result<Request, Refusal> {
        let request = match &self.stage {
            Stage::Waiting(request) => request.clone(),
            // The same document signed twice is one signature.
            Stage::Handed(request) if request.method == SIGN_TYPED_DATA => request.clone(),
            _ => return Err(Refusal::NotAsked),
        };
        self.asked(turn, true)?;
        self.stage = Stage::Handed(request.clone());
        Ok(request)
    }

    /// Takes the wallet's answer to what was handed out.
    ///
    /// # Errors
    /// Nothing was, or it was answered.
    pub(super) fn take_answer(&mut self, turn: u64, answer: Answer) -> Result<(), Refusal> {
        self.asked(turn, matches!(self.stage, Stage::Handed(_)))?;
        self.stage = Stage::Answered(answer);
        Ok(())
    }

    /// Takes in that the page shows how it ended.
    ///
    /// # Errors
    /// It did not end.
    pub(super) fn confirm_end(&mut self, turn: u64) -> Result<(), Refusal> {
        self.asked(turn, matches!(self.stage, Stage::Over { .. }))?;
        self.told = true;
        Ok(())
    }

    /// Takes in that the page goes away, or is loaded again.
    pub(super) const fn leave(&mut self, now: Instant) {
        self.left = Some(now);
    }

    fn asked(&self, turn: u64, stage: bool) -> Result<(), Refusal> {
        if stage && turn == self.turn {
            Ok(())
        } else {
            Err(Refusal::NotAsked)
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
