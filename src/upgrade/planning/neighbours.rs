//! What this machine keeps of other upgrades: below the usual place, and beside the directory in question. Their journals
//! are read without holding them; one that cannot be read is told of and says nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, U256};
use jiff::Timestamp;

use crate::code::Code;
use crate::fsutil;
use crate::upgrade::{
    UpgradeError, Warning,
    journal_error::JournalError,
    model::{CodeChange, Plan},
    model::{
        proposal,
        target::{Target, same_uuid},
    },
    record::State,
    record::{event::Preparation, exchange, journal},
};

/// Most directories that are looked at.
const MOST: usize = 512;
/// Most of them that a warning names.
const NAMED: usize = 3;

/// Other upgrades of this machine.
#[derive(Debug, Default)]
pub(in crate::upgrade) struct Neighbours {
    found: Vec<(PathBuf, State)>,
    unreadable: Vec<PathBuf>,
    /// There are more directories than are looked at.
    more: bool,
}

impl Neighbours {
    /// Reads what is below `root` and beside `dir`, but for what is in `dir`, or in the fleet that it belongs to.
    pub(in crate::upgrade) fn around(dir: &Path, root: &Path) -> Self {
        let own = own_place(dir);
        let beside = own.as_deref().and_then(Path::parent);
        Self::within(std::iter::once(root).chain(beside), own.as_deref())
    }

    /// Reads what is below `root`.
    pub(in crate::upgrade) fn below(root: &Path) -> Self {
        Self::within(std::iter::once(root), None)
    }

    /// Each of them, and where it is.
    pub(in crate::upgrade) fn states(&self) -> impl Iterator<Item = (&Path, &State)> {
        self.found.iter().map(|(dir, state)| (dir.as_path(), state))
    }

    fn within<'p>(above: impl Iterator<Item = &'p Path>, own: Option<&Path>) -> Self {
        let mut places = BTreeSet::new();
        let mut found = Self::default();
        for above in above {
            for place in fsutil::list_absolute(above).unwrap_or_default() {
                if places.len() == MOST {
                    found.more = true;
                    break;
                }
                places.insert(place);
            }
        }
        for place in places {
            if Some(place.as_path()) != own {
                found.read(&place, true);
            }
        }
        found
    }

    /// What a directory holds: an upgrade, a fleet, the fleets of several apps, or a proposal by itself.
    fn read(&mut self, dir: &Path, with_apps: bool) {
        let room = MOST.saturating_sub(self.found.len());
        if room == 0 {
            self.more = true;
            return;
        }
        let journal = journal::open(dir);
        if let Ok(file) = &journal
            && journal::begins(file)
        {
            match journal::standings(dir, file, room) {
                Ok((states, more)) => {
                    self.more |= more;
                    states.into_iter().for_each(|(place, state)| self.take(place, state));
                }
                Err(_) => self.unreadable.push(dir.to_owned()),
            }
        } else if with_apps && dir.join(APPS_FILE).is_file() {
            for fleet in fsutil::list(dir).unwrap_or_default() {
                self.read(&fleet, false);
            }
        } else if journal.is_ok() || dir.join(journal::FILE).is_file() {
            let state = journal.map_err(UpgradeError::from);
            self.take(dir.to_owned(), state.and_then(|file| journal::state_of(dir, &file)));
        } else if dir.join(proposal::FILE).is_file() {
            self.take(dir.to_owned(), exchange::state_of(&dir.join(proposal::FILE)));
        }
    }

    fn take(&mut self, place: PathBuf, state: Result<State, UpgradeError>) {
        match state {
            Ok(state) => self.found.push((place, state)),
            // Nothing was begun there.
            Err(UpgradeError::Journal(JournalError::Missing { .. })) => {}
            Err(_) => self.unreadable.push(place),
        }
    }

    /// Holds a plan against them: an update of the same CVM that waits here for its commit loses its token, and a nonce of
    /// the Safe that was named may be another one's.
    pub(in crate::upgrade) fn judge(&self, plan: &mut Plan, nonce: Option<U256>) {
        plan.warnings.extend(self.unread());
        self.know_the_kms(plan);
        if let Some((_, update)) = plan.code.as_ref().and_then(|code| self.waiting(code, Timestamp::now())) {
            plan.blockers.push(update);
        }
        if let (Some(safe), Some(nonce)) = (&plan.safe, nonce)
            && let Some(dir) = self.nonces((safe.chain_id, safe.address)).get(&nonce)
        {
            plan.blockers.push(taken(nonce, dir));
        }
    }

    /// One that was proved, of the same app, speaks for the KMS that it sealed for.
    pub(in crate::upgrade) fn know_the_kms(&self, plan: &mut Plan) {
        let is_known = self.found.iter().any(|(_, state)| state.vouches_for_kms(plan));
        let proved = self.found.iter().filter_map(|(_, state)| state.kms_when_proved(plan));
        let before = proved.max_by_key(|(block, _)| *block).map(|(_, kms)| kms);
        if let Some(code) = &mut plan.code {
            code.kms_named |= is_known;
            code.kms_before = before;
        }
    }

    /// The nonces of a Safe that other upgrades here have chosen and not used up, and which upgrades.
    pub(in crate::upgrade) fn nonces(&self, safe: (u64, Address)) -> BTreeMap<U256, PathBuf> {
        let mut taken = BTreeMap::new();
        for (dir, state) in &self.found {
            if state.is_over() || state.safe.gone.is_some() {
                continue;
            }
            let own = state.safe.frozen.iter().map(std::convert::AsRef::as_ref);
            let nested = state.safe.signatures.nested.values().map(|nested| &nested.frozen);
            let all = own.chain(nested.filter(|_| state.safe.frozen.is_some()));
            let ours = all.filter(|frozen| (frozen.domain.chain_id, frozen.domain.safe) == safe);
            taken.extend(ours.map(|frozen| (frozen.transaction.nonce, dir.clone())));
        }
        taken
    }

    /// The update of a CVM that was prepared here last, if its commit token may still be alive, and what is said of it.
    pub(in crate::upgrade) fn waiting(&self, code: &CodeChange, now: Timestamp) -> Option<(&Preparation, Warning)> {
        if matches!(code.target, Target::Instance(_)) {
            return None;
        }
        let of_this = |state: &&State| {
            let other = state
                .code()
                .filter(|other| !matches!(other.target, Target::Instance(_)));
            other.is_some_and(|other| is_same_cvm(code, other)) && state.prepare.answer.is_some()
        };
        let prepared = |state: &State| state.prepare.answer.as_ref().map(|prepared| prepared.at);
        let all = self.found.iter().filter(|(_, state)| of_this(&state));
        // Each preparation ended the token of the one before.
        let (dir, state) = all.max_by_key(|(_, state)| prepared(state))?;
        let newest = state.prepare.answer.as_ref()?;
        let alive = state.commit.committed.is_none()
            && !state.is_over()
            && !state.prepare.token_refused
            && newest.expires > now;
        let has_token = newest.token_sha256.is_some() || state.prepare.imported;
        let text = format!(
            "`{}` has prepared another update of this CVM ({}) that waits for its commit; preparing this one ends its commit \
             token",
            dir.display(),
            newest.hash
        );
        let warning = Warning {
            code: Code::OwnUpdatePending,
            text,
        };
        (alive && has_token).then_some((newest, warning))
    }

    /// What could not be looked at, as a remark.
    pub(in crate::upgrade) fn unread(&self) -> Option<Warning> {
        let names: Vec<String> = self
            .unreadable
            .iter()
            .take(NAMED)
            .map(|dir| format!("`{}`", dir.display()))
            .collect();
        let text = match (names.is_empty(), self.more) {
            (true, false) => return None,
            (true, true) => format!("not all upgrades of this machine were looked at: there are more than {MOST}"),
            (false, _) => format!(
                "what this machine did before is not known whole, since these cannot be read: {}{}",
                names.join(", "),
                match self.unreadable.len().saturating_sub(NAMED) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                }
            ),
        };
        Some(Warning {
            code: Code::NeighboursUnread,
            text,
        })
    }
}

/// What is said of a nonce that another upgrade here has chosen.
pub(in crate::upgrade) fn taken(nonce: U256, dir: &Path) -> Warning {
    Warning {
        code: Code::SafeNonceTakenHere,
        text: format!(
            "`{}` has chosen nonce {nonce} of the Safe, and only one transaction of that nonce can be executed",
            dir.display()
        ),
    }
}

/// Where what belongs to a directory ends: a fleet's member is a part of the fleet's.
fn own_place(dir: &Path) -> Option<PathBuf> {
    let dir = fsutil::absolute(dir).ok()?;
    match dir.parent() {
        Some(above) if journal::is_fleet(above) => Some(above.to_owned()),
        _ => Some(dir),
    }
}

/// Whether both are about one CVM, whatever it was called.
fn is_same_cvm(one: &CodeChange, other: &CodeChange) -> bool {
    if one.cloud != other.cloud {
        return false;
    }
    match (&one.cvm_uuid, &other.cvm_uuid) {
        (Some(one), Some(other)) => same_uuid(one, other),
        _ => one.cvm == other.cvm,
    }
}

impl State {
    /// Whether nothing of it waits any more, or was given up.
    fn is_over(&self) -> bool {
        let proved_alone = self.proof().is_some() && self.code().is_none();
        self.commit.done.is_some() || self.abandoned.is_some() || self.deployed().is_some() || proved_alone
    }
}

/// The list of the apps' fleets, within the directory of all.
pub const APPS_FILE: &str = "apps.json";
