//! Opening an upgrade: its directory, its journal, what is there already, and whether it is the same one.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::code::Code;
use crate::fsutil;
use crate::upgrade::{
    Acceptance, Limits, UpgradeError, Verdict,
    checks::{kms, safe::agreed},
    finding::Warning,
    journal_error::JournalError,
    model::plan::is_of,
    model::{Plan, Proposal},
    record::State,
    record::{
        event::{Event, Identity},
        gitignore::{self, Holds},
        journal::{Entry, FleetJournal, Found, Journal, SCHEMA, fold},
        step::Step,
    },
    workspace::upgrade::Upgrade,
};

/// Directories of one name that are tried.
const MOST_DIRS: u32 = 100;

/// The directories that upgrades of `plan` use below `root`, one after the other.
fn names(root: &Path, plan: &Plan) -> impl Iterator<Item = PathBuf> {
    let first = Upgrade::default_dir(root, plan);
    (1..=MOST_DIRS).map(move |number| match number {
        1 => first.clone(),
        more => PathBuf::from(format!("{}-{more}", first.display())),
    })
}

impl Upgrade {
    /// The directory that an upgrade of `plan` uses below `root` when none is named.
    pub fn default_dir(root: &Path, plan: &Plan) -> PathBuf {
        // One hash may be given to several new CVMs.
        let known = plan.code.as_ref().filter(|code| !code.target.is_new());
        let expected = known.and_then(|code| code.expected_hash);
        let name = expected.map_or_else(|| hex::encode(intent_digest(plan)), |hash| hash.bare());
        let short: String = name.chars().take(8).collect();
        let subject = plan.code.as_ref().map_or_else(
            || hex::encode(plan.app).chars().take(8).collect(),
            |code| match code.target.word() {
                Some(word) => format!("{}-{word}", code.cvm),
                None => code.cvm.clone(),
            },
        );
        root.join(format!("{subject}-{short}"))
    }

    /// The usual directory, or the next of its name where that one holds an upgrade that is over and was undone since: what is begun
    /// again is another upgrade.
    pub fn fresh_dir(root: &Path, plan: &Plan) -> PathBuf {
        let is_undone = |dir: &PathBuf| {
            let before = Self::peek(dir).ok();
            let before = before.filter(|state| state.status().step == Step::Finished);
            before.is_some_and(|state| is_undone(&state, plan))
        };
        let first_free = names(root, plan).find(|dir| !is_undone(dir));
        first_free.unwrap_or_else(|| Self::default_dir(root, plan))
    }

    /// The directory below `root` of the upgrade that a proposal is of: the one that holds it, or else the first of its name
    /// that holds none.
    pub fn dir_of(root: &Path, proposal: &Proposal) -> PathBuf {
        let plan = &proposal.plan;
        let is_its = |dir: &PathBuf| {
            let state = Self::peek(dir).ok();
            state.is_some_and(|state| state.identity().is_some_and(|own| own.update == proposal.update))
        };
        let free = || names(root, plan).find(|dir| !crate::upgrade::holds(dir));
        let found = names(root, plan)
            .take_while(|dir| crate::upgrade::holds(dir))
            .find(is_its);
        found.or_else(free).unwrap_or_else(|| Self::default_dir(root, plan))
    }

    /// Starts an upgrade: creates the directory, locks it, records identity and plan. A directory that already holds
    /// the same intent is opened instead.
    ///
    /// # Errors
    /// The plan has blockers, the directory holds another upgrade, or cannot be used.
    pub fn begin(dir: &Path, plan: Plan, limits: &Limits) -> Result<Self, UpgradeError> {
        let before = match Self::peek(dir) {
            Ok(state) => Some(state),
            Err(UpgradeError::Journal(JournalError::Missing { .. })) => None,
            Err(error) => return Err(error),
        };
        let limits = &with_journal(limits, before.as_ref());
        refuse_blocked(&plan, limits, before.as_ref())?;
        let agreed = agreed_to(&plan, limits);
        let mut upgrade = Self::hold(dir)?.begin_with(plan)?;
        agreed.into_iter().try_for_each(|one| upgrade.agree(one))?;
        Ok(upgrade)
    }

    /// Starts the upgrade of a member of a fleet, whose journal this process holds, in the member's directory.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub(in crate::upgrade) fn begin_in(
        fleet: &FleetJournal,
        cvm: &str,
        mut plan: Plan,
        limits: &Limits,
    ) -> Result<Self, UpgradeError> {
        let upgrade = Self::open_in(fleet, cvm)?;
        let before = upgrade.state().identity().map(|_| upgrade.state());
        let limits = &with_journal(limits, before);
        refuse_blocked(&plan, limits, before)?;
        if let Some(code) = &mut plan.code {
            // What waits for the other members is theirs: every plan with all of it would grow with the fleet.
            let uuid = code.cvm_uuid.clone();
            code.pending_updates.retain(|update| is_of(update, uuid.as_deref()));
        }
        fsutil::create_private_dir(upgrade.dir())?;
        fsutil::sweep(upgrade.dir())?;
        let agreed = agreed_to(&plan, limits);
        let mut upgrade = upgrade.begin_with(plan)?;
        agreed.into_iter().try_for_each(|one| upgrade.agree(one))?;
        Ok(upgrade)
    }

    /// Opens the upgrade of a member of a fleet, whose journal this process holds.
    ///
    /// # Errors
    /// It is no member, or its records cannot follow each other.
    pub(in crate::upgrade) fn open_in(fleet: &FleetJournal, cvm: &str) -> Result<Self, UpgradeError> {
        let (journal, entries) = fleet.member(cvm)?;
        let dir = journal.path().with_file_name(cvm);
        Self::of(&dir, journal, entries, fleet.quiet())
    }

    fn begin_with(mut self, mut plan: Plan) -> Result<Self, UpgradeError> {
        let sealed = plan.code.as_mut().and_then(|code| code.sealed.take());
        match self.state().identity() {
            None => self.record(Event::Open(identity_of(&plan)))?,
            Some(_) => self.refuse_other_intent(&plan)?,
        }
        if self.state().is_new() && self.state().plan() != Some(&plan) {
            self.record(Event::Plan(Box::new(plan)))?;
        }
        if let Some(sealed) = &sealed {
            if let Some(trust) = self.state().trust_to_record() {
                self.record(Event::Accepted(trust))?;
            }
            self.keep_sealed(sealed)?;
        }
        Ok(self)
    }

    /// Starts an upgrade on this machine from a proposal that was made on another one. A directory that holds the same
    /// upgrade already is opened instead.
    ///
    /// # Errors
    /// The directory holds another upgrade or one that asks for something else, or it
    /// cannot be used.
    pub fn adopt(dir: &Path, proposal: Proposal) -> Result<Self, UpgradeError> {
        let mut upgrade = Self::hold(dir)?;
        if let Some(found) = upgrade.state().identity() {
            if found.update != proposal.update {
                return Err(upgrade.foreign(proposal.update, found.update.clone()));
            }
            proposal.check_same(upgrade.state())?;
            upgrade.take_ballots(&proposal)?;
            return Ok(upgrade);
        }
        for event in proposal.events() {
            upgrade.record(event)?;
        }
        upgrade.write_proposal()?;
        Ok(upgrade)
    }

    /// Opens an upgrade and locks it.
    ///
    /// # Errors
    /// No journal there, held by another process, or damaged.
    pub fn open(dir: &Path) -> Result<Self, UpgradeError> {
        Journal::peek(dir)?;
        let mut upgrade = Self::hold(dir)?;
        if upgrade.state().identity().is_none() {
            return Err(JournalError::Missing { dir: dir.to_owned() }.into());
        }
        upgrade.take_back()?;
        Ok(upgrade)
    }

    /// Reads where an upgrade stands, without locking, writing or asking anybody.
    ///
    /// # Errors
    /// No journal there, or damaged.
    pub fn peek(dir: &Path) -> Result<State, UpgradeError> {
        crate::upgrade::record::journal::state_in(dir)
    }

    fn refuse_other_intent(&self, plan: &Plan) -> Result<(), UpgradeError> {
        let Some(identity) = self.state().identity() else {
            return Ok(());
        };
        let cvm = plan.code.as_ref().map(|code| code.cvm.as_str());
        let expected = describe(cvm, plan.app, plan.chain_id);
        let found = describe(identity.cvm.as_deref(), identity.app, identity.chain_id);
        let same_change = self.state().plan().is_none_or(|before| before.asks_the_same(plan));
        if expected == found && same_change {
            return Ok(());
        }
        let found = if same_change {
            found
        } else {
            format!("another change of {found}")
        };
        Err(self.foreign(expected, found))
    }

    /// It holds something else.
    pub(in crate::upgrade) fn foreign(&self, expected: String, found: String) -> UpgradeError {
        let path = self.journal_path().to_owned();
        JournalError::Foreign { path, expected, found }.into()
    }

    pub(in crate::upgrade) fn hold(dir: &Path) -> Result<Self, UpgradeError> {
        fsutil::create_private_dir(dir)?;
        gitignore::protect(dir, Holds::One)?;
        let (journal, entries, found) = Journal::hold(dir)?;
        // A member's files lie beside no journal that would do this.
        fsutil::sweep(dir)?;
        let mut upgrade = Self::of(dir, journal, entries, found)?;
        if let Some(warning) = gitignore::tracked(dir, Holds::One) {
            upgrade.remark(warning);
        }
        Ok(upgrade)
    }

    fn of(dir: &Path, journal: Journal, entries: Vec<Entry>, found: Found) -> Result<Self, UpgradeError> {
        let state = fold(journal.path(), entries)?;
        Ok(Self::assembled(dir, journal, state, found))
    }
}

fn describe(cvm: Option<&str>, app: alloy::primitives::Address, chain_id: u64) -> String {
    let cvm = cvm.map_or_else(String::new, |cvm| format!("CVM {cvm}, "));
    format!("{cvm}app {app}, chain {chain_id}")
}

fn identity_of(plan: &Plan) -> Identity {
    let code = plan.code.as_ref();
    let seed = format!(
        "{}|{}|{}|{}",
        code.map_or("", |code| code.cvm.as_str()),
        plan.app,
        plan.read_at,
        hex::encode(intent_digest(plan))
    );
    let name: String = hex::encode(Sha256::digest(seed.as_bytes())).chars().take(8).collect();
    Identity {
        schema: SCHEMA,
        update: format!("u-{name}"),
        cvm: code.map(|code| code.cvm.clone()),
        app: plan.app,
        chain_id: plan.chain_id,
        cloud: code.map(|code| code.cloud.clone()),
    }
}

/// Whether what a finished upgrade did is not so any more, as `plan` was told.
fn is_undone(before: &State, plan: &Plan) -> bool {
    match &plan.code {
        Some(code) => {
            let runs = code.current_hash;
            !code.target.is_new() && runs.is_some() && before.verified().map(|(hash, _)| *hash) != runs
        }
        None => !plan.blockers.iter().any(|blocker| blocker.code == Code::PolicyInForce),
    }
}

/// SHA-256 of the change, without an environment.
fn intent_digest(plan: &Plan) -> [u8; 32] {
    match &plan.code {
        Some(code) => code.digest(),
        None => Sha256::digest(serde_json::to_vec(&plan.policy).unwrap_or_default()).into(),
    }
}

/// Values are not even kept for a KMS that nobody but Phala Cloud names, whatever is under way.
pub(in crate::upgrade) fn refuse_kms(plan: &Plan, limits: &Limits) -> Result<(), UpgradeError> {
    let doubt = kms::doubt(plan);
    Verdict::new(doubt.into_iter().collect(), Vec::new(), &limits.accepted).check()
}

/// What was agreed to before in the directory is agreed to.
fn with_journal(limits: &Limits, before: Option<&State>) -> Limits {
    let agreed = before.map_or(&[][..], |state| &state.accepted);
    Limits {
        accepted: limits.accepted.with(agreed),
        ..limits.clone()
    }
}

/// What was agreed to of the doubts that the plan meets: it holds for every later command of the directory.
fn agreed_to(plan: &Plan, limits: &Limits) -> Vec<Acceptance> {
    let verdict = plan.verdict(limits);
    let met = verdict.agreed().map(|finding| Acceptance {
        code: finding.code,
        value: finding.value.clone(),
    });
    let beside = plan.same_waiting().map(|id| Acceptance {
        code: Code::OperationPendingSame,
        value: Some(id),
    });
    let beside = beside.filter(|one| limits.accepted.covers(one.code, one.value.as_deref()));
    met.chain(beside).chain(of_new_owners(plan, limits)).collect()
}

/// What was agreed to of whoever the app is given to, as far as it was found there.
fn of_new_owners(plan: &Plan, limits: &Limits) -> Vec<Acceptance> {
    let owners: Vec<String> = plan
        .policy
        .iter()
        .filter_map(|change| change.new_owner())
        .map(|to| to.to_string())
        .collect();
    let found = |one: &&Acceptance| {
        let about = one.value.as_ref().is_some_and(|value| owners.contains(value));
        about && plan.warnings.iter().any(|warning| warning.code == one.code)
    };
    limits.accepted.iter().filter(found).cloned().collect()
}

/// A plan that cannot be carried out starts nothing. What is under way already is its own reason.
fn refuse_blocked(plan: &Plan, limits: &Limits, before: Option<&State>) -> Result<(), UpgradeError> {
    refuse_kms(plan, limits)?;
    if before.is_some_and(|state| !state.is_new()) {
        return Ok(());
    }
    let under_way = before.is_some_and(|state| state.prepare.trying || state.prepare.answer.is_some());
    let verdict = plan.verdict(limits);
    verdict.check()?;
    let is_agreed = |code: Code| verdict.agreed().any(|finding| finding.code == code);
    let own = |blocker: &Warning| match blocker.code {
        Code::UpdatePending => limits.supersede || under_way,
        Code::OwnUpdatePending => limits.supersede || under_way || limits.accepted.covers(blocker.code, None),
        // The second of two equal operations is somebody's decision, about the one that waits.
        Code::OperationPendingSame => plan
            .same_waiting()
            .all(|id| limits.accepted.covers(blocker.code, Some(&id))),
        Code::SafeNonceFar | Code::SafeNonceTakenHere => limits
            .safe_nonce
            .is_some_and(|nonce| agreed(limits, blocker.code, nonce)),
        code => is_agreed(code),
    };
    if let Some(blocker) = plan.blockers.iter().find(|blocker| !own(blocker)) {
        return Err(UpgradeError::Blocked {
            code: blocker.code,
            message: blocker.text.clone(),
        });
    }
    Ok(())
}
