//! Several apps of one owner in one approval: one transaction makes the calls of all of them.
//!
//! The upgrade of the first app is the one that is approved. The others join it with what their own proposals say, and stay
//! checked, shown and proved each by itself: what is wrong with one is said of that one, and stops that one.

use alloy::primitives::{Address, B256};

use crate::chain::{AppChanges, Call, Chain, Proof, ProofFailure};
use crate::code::Code;
use crate::fsutil::point;
use crate::text::is_deceptive;
use crate::upgrade::{
    Pending, Stop, Upgrade, UpgradeError,
    files::pretty,
    model::{Plan, Proposal},
    model::{plan::needs_calls, target::plain},
    record::State,
    record::event::Event,
    run::Run,
};

/// Most bytes that the proposals of all that join may have: the file that holds them has to stay readable.
const MAX_BYTES: usize = 8 << 20;

impl Proposal {
    /// This proposal, then those of the other apps that the same transaction changes.
    pub fn apps(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.others)
    }

    /// What somebody calls its app: by the CVM that runs it, or by its address.
    pub fn name(&self) -> String {
        let code = self.plan.code.as_ref();
        code.map_or_else(|| self.plan.app.to_string(), |code| code.cvm.clone())
    }

    /// The apps' addresses, its own first.
    pub(in crate::upgrade) fn addresses(&self) -> Vec<Address> {
        self.apps().map(|one| one.plan.app).collect()
    }

    /// The calls that its own app needs.
    pub(in crate::upgrade) fn own_calls(&self) -> Vec<Call> {
        self.plan.calls_with(self.compose_hash)
    }

    /// The calls that all apps need, in the order in which the transaction makes them.
    pub(in crate::upgrade) fn all_calls(&self) -> Vec<Call> {
        self.apps().flat_map(Self::own_calls).collect()
    }

    /// What has to be in force in the end, in words; with the apps' addresses where there are several.
    pub fn told(&self) -> String {
        if self.others.is_empty() {
            return self.changes().to_string();
        }
        let all: Vec<String> = self
            .apps()
            .map(|one| format!("{}: {}", one.plan.app, one.changes()))
            .collect();
        all.join("; ")
    }

    /// This proposal for the one that its app joins: its own calls only, without the Safe or timelock that makes them,
    /// which the other proposal names.
    fn joining(self) -> Self {
        let calls = self.own_calls();
        Self {
            calldata_digests: calls.iter().map(Call::digest).collect(),
            calls,
            safe: None,
            timelock: None,
            others: Vec::new(),
            ..self
        }
    }

    /// Every app that joined is as whole as one alone, and the same owner can act for all of them in one transaction.
    ///
    /// # Errors
    /// One contradicts itself, or is not of this owner.
    pub(in crate::upgrade) fn check_others(&self) -> Result<(), UpgradeError> {
        for (index, other) in self.others.iter().enumerate() {
            let before = self.apps().take(index + 1);
            self.check_other(other, before).map_err(|error| of_app(error, other))?;
        }
        Ok(())
    }

    fn check_other<'a>(&self, other: &Self, before: impl Iterator<Item = &'a Self>) -> Result<(), UpgradeError> {
        let before_them: Vec<&Self> = before.collect();
        let stop = |what: &str, expected: String, found: String| {
            Err(UpgradeError::stop(Code::AppsMismatch, what, expected, found))
        };
        let (ours, theirs) = (&self.plan, &other.plan);
        if before_them.iter().any(|one| one.plan.app == theirs.app) {
            return stop(
                "apps of the proposal",
                "each one once".to_owned(),
                theirs.app.to_string(),
            );
        }
        if let Some((name, known)) = before_them.iter().find_map(|one| one.plan.shares_a_name(theirs)) {
            return Err(twins(&name, &known));
        }
        let says_who_acts = other.safe.is_some() || other.timelock.is_some() || !other.others.is_empty();
        if says_who_acts || !other.is_whole() || other.schema != self.schema {
            return stop(
                "what joins the proposal",
                "an app, and who acts for it said by the proposal".to_owned(),
                "less or more than that".to_owned(),
            );
        }
        agree_on_owner(ours, theirs)?;
        if self.cloud != other.cloud {
            let told = |cloud: &Option<String>| cloud.clone().unwrap_or_else(|| "none".to_owned());
            return stop("API host of the app", told(&self.cloud), told(&other.cloud));
        }
        other.check_content()?;
        other.check_plan()
    }
}

impl Plan {
    /// Everything that its CVM is called by.
    fn names(&self) -> impl Iterator<Item = String> {
        let of_code = self.code.iter().flat_map(|code| {
            let all = [Some(&code.cvm), code.cvm_name.as_ref(), code.cvm_uuid.as_ref()];
            all.into_iter().flatten().cloned()
        });
        of_code.chain([self.app.to_string(), format!("app_{}", alloy::hex::encode(self.app))])
    }

    /// A name of another app's CVM that people could take for one of this app's, and that one: each app is shown, and its
    /// files are named, by its CVM.
    pub(in crate::upgrade) fn shares_a_name(&self, other: &Self) -> Option<(String, String)> {
        let ours: Vec<(String, String)> = self.names().map(|name| (looks(&name), name)).collect();
        other.names().find_map(|theirs| {
            let look = looks(&theirs);
            let known = ours.iter().find(|(known, _)| *known == look);
            known.map(|(_, ours)| (theirs, ours.clone()))
        })
    }
}

/// What a name looks like: without case and what is not seen, a UUID without dashes, and with letters of other alphabets as
/// the Latin ones that they are taken for (Unicode Technical Standard 39: confusables of Cyrillic, Greek and Armenian, wide
/// letters, and digits).
fn looks(name: &str) -> String {
    let bare = plain(name);
    let is_uuid = bare.len() == 32 && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
    let name = if is_uuid { bare.as_str() } else { name };
    let seen = name
        .chars()
        .filter(|letter| !is_deceptive(*letter) && !letter.is_whitespace());
    seen.flat_map(char::to_lowercase).map(latin).collect()
}

const fn latin(letter: char) -> char {
    match letter {
        '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
        '\u{ff01}'..='\u{ff5e}' => match char::from_u32(letter as u32 - 0xfee0) {
            Some(narrow) => narrow.to_ascii_lowercase(),
            None => letter,
        },
        '0' | 'о' | 'ο' | 'օ' => 'o',
        '1' | 'і' | 'ι' | 'ӏ' | 'ı' | 'l' | '|' => 'i',
        'а' | 'α' => 'a',
        'в' | 'β' => 'b',
        'с' | 'ϲ' => 'c',
        'ԁ' => 'd',
        'е' | 'ε' | 'ҽ' => 'e',
        'һ' | 'հ' => 'h',
        'ј' => 'j',
        'к' | 'κ' => 'k',
        'м' => 'm',
        'н' | 'η' | 'ո' => 'n',
        'р' | 'ρ' => 'p',
        'ԛ' => 'q',
        'г' => 'r',
        'ѕ' => 's',
        'т' | 'τ' => 't',
        'υ' | 'ս' => 'u',
        'ѵ' | 'ν' => 'v',
        'ԝ' | 'ω' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        other => other,
    }
}

/// Who acts for an app, and how, in words that are the same for what one transaction can do.
fn authority(plan: &Plan) -> String {
    let actor = format!("{} ({})", plan.actor.address, plan.actor.kind);
    let timelock = plan.timelock.as_ref().map_or_else(String::new, |timelock| {
        format!(
            ", proposed by {} with {} seconds of delay",
            timelock.proposer, timelock.delay
        )
    });
    let safe = plan.safe.as_ref().map_or_else(String::new, |safe| {
        format!(", Safe {} {} on chain {}", safe.address, safe.version, safe.chain_id)
    });
    format!("{actor}{timelock}{safe}")
}

/// Whether one transaction of one owner can change both apps.
///
/// # Errors
/// They are on two chains, or have two owners.
pub(in crate::upgrade) fn agree_on_owner(first: &Plan, other: &Plan) -> Result<(), UpgradeError> {
    let of = |what: &str| {
        let cvm = other.code.as_ref().map(|code| format!(" ({})", code.cvm));
        format!("{what} of the app {}{}", other.app, cvm.unwrap_or_default())
    };
    let stop =
        |what, expected: String, found: String| Err(UpgradeError::stop(Code::AppsMismatch, of(what), expected, found));
    if first.chain_id != other.chain_id {
        return stop("chain", first.chain_id.to_string(), other.chain_id.to_string());
    }
    if authority(first) != authority(other) {
        return stop("owner", authority(first), authority(other));
    }
    Ok(())
}

/// Whether no CVM of one app can be taken for one of another.
///
/// # Errors
/// Two of them have names that look the same.
pub(in crate::upgrade) fn refuse_twins(plans: &[Plan]) -> Result<(), UpgradeError> {
    for (index, plan) in plans.iter().enumerate() {
        let before = plans.iter().take(index);
        if let Some((name, known)) = before.into_iter().find_map(|one| one.shares_a_name(plan)) {
            return Err(twins(&name, &known));
        }
    }
    Ok(())
}

fn twins(name: &str, known: &str) -> UpgradeError {
    UpgradeError::Stop(Box::new(Stop {
        code: Code::AppsMismatch,
        what: "names of the apps' CVMs".to_owned(),
        expected: format!("none that looks like `{}`", known.escape_debug()),
        found: format!("`{}`", name.escape_debug()),
        details: vec![
            "files and changes are told apart by these names; apps that are really called so are approved one by one"
                .to_owned(),
        ],
        origin: None,
    }))
}

/// Says of which app it is.
fn of_app(error: UpgradeError, proposal: &Proposal) -> UpgradeError {
    let whose = format!("{}, app {}", proposal.name(), proposal.plan.app);
    match error {
        UpgradeError::Stop(mut stop) => {
            stop.details.push(format!("it is about {whose}"));
            UpgradeError::Stop(stop)
        }
        UpgradeError::Decide { code, message, source } => UpgradeError::Decide {
            code,
            message: format!("{whose}: {message}"),
            source,
        },
        other => other,
    }
}

impl State {
    /// Whether the transaction changes this app besides its own.
    pub fn asks_of(&self, app: Address) -> bool {
        self.batch.others.iter().any(|other| other.plan.app == app)
    }

    /// Whether what was asked of any of the apps is proved.
    pub fn is_approved(&self) -> bool {
        self.proof().is_some() || !self.batch.proofs.is_empty()
    }

    /// Some of what was asked has to be proved before anything is committed.
    pub(in crate::upgrade) fn require_approval(&self) -> Result<(), UpgradeError> {
        match &self.abandoned {
            _ if self.is_approved() => Ok(()),
            Some(why) => Err(UpgradeError::decide(
                Code::Abandoned,
                format!("the upgrade whose proposal was to be approved was given up: {why}"),
            )),
            None => Err(UpgradeError::TooEarly {
                message: "the effect on chain is not proved yet".to_owned(),
                command: "wait",
            }),
        }
    }

    /// Whether the owner has something to do for the app, as far as was known when it was planned.
    pub(in crate::upgrade) fn needs_owner(&self) -> bool {
        self.plan()
            .is_none_or(|plan| needs_calls(&plan.app_state, &plan.policy))
    }
}

impl Upgrade {
    /// Other apps of the same owner join: from now on one transaction makes the calls of all of them. Those that joined
    /// before stay as they are. Asks nobody; on disk afterwards, all of them or none.
    ///
    /// # Errors
    /// Another owner or chain, an owner that makes one call in one transaction, or something was chosen or signed already.
    pub(in crate::upgrade) fn join(&mut self, others: Vec<Proposal>) -> Result<(), UpgradeError> {
        let others: Vec<Proposal> = others.into_iter().map(Proposal::joining).collect();
        let known = &self.state().batch.others;
        if known.is_empty() && others.is_empty() {
            return Ok(());
        }
        if !known.is_empty() {
            return same_apps(known, &others);
        }
        let Some(own) = Proposal::of(self.state()) else {
            return Err(UpgradeError::TooEarly {
                message: "nothing was prepared and verified yet".to_owned(),
                command: "prepare",
            });
        };
        if !self.state().is_open_for_others() {
            return Err(UpgradeError::decide(
                Code::AppsTooLate,
                format!("the approval of {} was begun without the others", own.name()),
            ));
        }
        let whole = Proposal {
            others,
            safe: None,
            timelock: None,
            ..own
        };
        whole.check_others()?;
        let size = pretty(&whole.others).len();
        if size > MAX_BYTES {
            return Err(UpgradeError::decide(
                Code::AppsTooMany,
                format!("the proposals of all apps have {size} bytes together, and {MAX_BYTES} fit into one"),
            ));
        }
        point("join.a");
        self.record(Event::Joined(whole.others))?;
        point("join.e");
        self.write_proposal()
    }
}

impl Upgrade {
    /// Joins the approval of another app: from now on nothing is chosen, signed or sent for this one.
    ///
    /// # Errors
    /// It joined another one, or was begun by itself.
    pub(in crate::upgrade) fn join_to(&mut self, app: Address) -> Result<(), UpgradeError> {
        if self.state().batch.joins == Some(app) {
            return self.write_proposal();
        }
        if self.state().is_approved() {
            return Ok(());
        }
        let event = Event::Joins { app };
        if self.state().check(&event).is_err() {
            let name = Proposal::of(self.state()).map(|own| own.name());
            return Err(UpgradeError::decide(
                Code::AppsTooLate,
                format!(
                    "the approval of {} was begun without the others",
                    name.unwrap_or_default()
                ),
            ));
        }
        point("join.b");
        self.record(event)?;
        self.write_proposal()
    }
}

/// Those that joined are among those that are named now, for the same.
fn same_apps(known: &[Proposal], named: &[Proposal]) -> Result<(), UpgradeError> {
    let told = |all: &[Proposal]| {
        let all: Vec<String> = all.iter().map(Proposal::summary).collect();
        all.join("; ")
    };
    let is_named = |one: &Proposal| named.iter().any(|other| other.summary() == one.summary());
    if known.iter().all(is_named) && named.len() <= known.len() {
        return Ok(());
    }
    Err(UpgradeError::decide(
        Code::AppsChosen,
        format!("the approval is for {}, and {} was named now", told(known), told(named)),
    ))
}

/// A key makes one call in one transaction, and what another contract makes is not known.
///
/// # Errors
/// Several apps need such an owner.
pub(in crate::upgrade) fn refuse_single(plans: &[Plan]) -> Result<(), UpgradeError> {
    let needing = plans.iter().filter(|plan| needs_calls(&plan.app_state, &plan.policy));
    let single: Vec<(&Plan, Address)> = needing
        .filter_map(|plan| Some((plan, plan.route.single_caller()?)))
        .collect();
    let (Some((_, owner)), true) = (single.first(), single.len() > 1) else {
        return Ok(());
    };
    let name = |plan: &Plan| plan.code.as_ref().map(|code| code.cvm.clone());
    let names: Vec<String> = single.iter().filter_map(|(plan, _)| name(plan)).collect();
    Err(UpgradeError::decide(
        Code::AppsNeedSafe,
        format!(
            "{} are of {} apps, and their owner {owner} makes one call in one transaction: only a Safe or a timelock \
             approves several apps at once; prepare each by itself",
            names.join(", "),
            single.len()
        ),
    ))
}

/// How an app that joined can be proved.
#[derive(Debug, Clone, Copy)]
pub(in crate::upgrade) enum By {
    /// By the transaction that made the calls of all apps.
    Approval(B256),
    /// By one that changed the first app, perhaps the others as well.
    Another(Option<B256>),
}

impl Run<'_> {
    /// Proves, app by app, what was asked of those that joined. Where the approval was executed and one of them was undone
    /// since, that one is told of and left out. `Some`: one of them is not changed yet, or not in a block that stays.
    pub(in crate::upgrade) async fn prove_others(
        &mut self,
        chain: &Chain,
        by: By,
    ) -> Result<Option<Pending>, UpgradeError> {
        for other in self.upgrade.state().batch.unproved() {
            let changes = other.changes();
            match self.prove_other(chain, by, &changes).await {
                Ok(proof) => {
                    point("joined.a");
                    self.record(Event::JoinedFinal(Box::new(proof)))?;
                    point("joined.e");
                }
                Err(ProofFailure::NotSettled { .. }) => {
                    return Ok(Some(Pending {
                        code: Code::PendingConfirmations,
                        what: format!("{changes} on {} is in a block that may still be replaced", changes.app),
                    }));
                }
                Err(ProofFailure::NotInForce { .. }) if matches!(by, By::Another(_)) => {
                    return Ok(Some(Pending {
                        code: Code::PendingApproval,
                        what: format!("on {} this is not in force yet: {changes}", changes.app),
                    }));
                }
                Err(ProofFailure::Removed { .. } | ProofFailure::NotInForce { .. }) => {
                    let told = format!(
                        "{}, app {}: this was approved and is undone: {changes}; its CVMs are not committed",
                        other.name(),
                        changes.app
                    );
                    self.note(told.clone())?;
                    self.warn(Code::AppUndone, told);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    async fn prove_other(&self, chain: &Chain, by: By, changes: &AppChanges) -> Result<Proof, ProofFailure> {
        let finality = self.finality(chain.id());
        let (By::Approval(transaction) | By::Another(Some(transaction))) = by else {
            return chain.prove_state(changes, finality).await;
        };
        match chain.prove(transaction, changes, finality).await {
            // Another transaction changed it, or it was undone in the same block.
            Err(ProofFailure::NoEffect { .. }) => chain.prove_state(changes, finality).await,
            proved => proved,
        }
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
