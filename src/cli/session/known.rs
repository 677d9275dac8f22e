//! The upgrades of this folder: which of them is meant when none is named, and each in a few words.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use alloy::primitives::Address;
use jiff::Timestamp;

use crate::cli::args::{Dir, Which};
use crate::cli::failure::error::CliError;
use crate::cli::failure::{Next, told};
use crate::cli::session::settings::ROOT;
use crate::cli::show::words::span;
use crate::cloud::CvmId;
use crate::code::Code;
use crate::compose::Manifest;
use crate::text::{escape, quote_os};
use crate::upgrade::{
    self, JournalError, PROPOSAL_FILE, UpgradeError,
    record::{State, Step},
};

/// Most owners that a line names.
const MAX_OWNERS: usize = 5;

/// What texts run that were read before: many upgrades are of one app, and share theirs.
#[derive(Debug, Default)]
pub(in crate::cli) struct Texts(HashMap<[Option<String>; 2], Vec<String>>);

/// An upgrade of this folder.
#[derive(Debug)]
pub(in crate::cli) struct Known {
    /// Its directory.
    pub(in crate::cli) dir: PathBuf,
    /// What its journal says, if that can be read.
    pub(in crate::cli) state: Result<State, UpgradeError>,
}

impl Texts {
    /// The images that a manifest names.
    fn images(&mut self, manifest: &Manifest) -> Vec<String> {
        let field = |name: &str| manifest.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        let of = [field("docker_compose_file"), field("runner")];
        self.0.entry(of).or_insert_with(|| manifest.images()).clone()
    }
}

impl Known {
    /// Each of them, or of those of one CVM, read when it is its turn.
    pub(in crate::cli) fn each(cvm: Option<&CvmId>) -> Result<impl Iterator<Item = Self>, CliError> {
        let all = upgrade::each(Path::new(ROOT))?.map(|(dir, state)| Self { dir, state });
        Ok(all.filter(move |one| cvm.is_none_or(|cvm| one.is_of(cvm))))
    }

    /// Whether something is left to do. What cannot be read may have everything left; a fleet has commands of its own.
    pub(in crate::cli) fn is_open(&self) -> bool {
        match &self.state {
            Ok(state) => state.next() != Step::Finished,
            Err(UpgradeError::Journal(JournalError::Fleet { .. })) => false,
            Err(_) => true,
        }
    }

    fn is_of(&self, cvm: &CvmId) -> bool {
        let Ok(state) = &self.state else { return false };
        let named = state.identity().and_then(|identity| identity.cvm.as_deref());
        let code = state.code();
        let app = cvm
            .app()
            .is_some_and(|app| state.plan().is_some_and(|plan| plan.app == app));
        let uuid = code.and_then(|code| code.cvm_uuid.as_deref());
        let name = code.and_then(|code| code.cvm_name.as_deref());
        app || [named, uuid, name].contains(&Some(cvm.as_str()))
    }

    /// When it was planned; what cannot be read was before all others.
    fn planned(&self) -> Option<Timestamp> {
        self.state.as_ref().ok()?.plan().map(|plan| plan.read_at)
    }

    /// CVM, images, step, age, life of the token.
    pub(in crate::cli) fn words(&self, texts: &mut Texts) -> [String; 5] {
        let state = match &self.state {
            Ok(state) => state,
            Err(error) => {
                return [
                    String::new(),
                    String::new(),
                    format!("cannot be read: {}", told(error)),
                    String::new(),
                    String::new(),
                ];
            }
        };
        let facts = state.status().facts;
        let cvm = state
            .code()
            .and_then(|code| code.cvm_name.clone())
            .or(facts.cvm.clone());
        let what = cvm.or_else(|| facts.app.map(|app| app.to_string())).unwrap_or_default();
        let token = facts.token_expires.filter(|_| state.next() < Step::Settle);
        let age = self
            .planned()
            .map(|then| format!("{} old", span(then, Timestamp::now())));
        [
            escape(&what),
            images(state, texts),
            in_words(state),
            age.unwrap_or_default(),
            token.map_or_else(String::new, |at| left(at, Timestamp::now())),
        ]
    }

    fn line(&self) -> String {
        let words = self.words(&mut Texts::default());
        let [rest @ .., token] = &words;
        let token = Some(token)
            .filter(|token| !token.is_empty())
            .map(|token| format!("token {token}"));
        let rest = rest.iter().filter(|word| !word.is_empty()).cloned();
        let words: Vec<String> = rest.chain(token).collect();
        format!("{} ({})", self.dir.display(), words.join(", "))
    }
}

/// The directory named, or the only unfinished upgrade; where all are finished, the last one.
pub(in crate::cli) fn locate(dir: &Dir) -> Result<PathBuf, CliError> {
    if let Some(dir) = &dir.dir {
        return Ok(dir.clone());
    }
    let (mut open, mut last) = (Vec::new(), None);
    for one in Known::each(dir.cvm.as_ref())? {
        match (one.is_open(), one.planned()) {
            (true, _) => open.push(one),
            (false, at) if last.as_ref().is_some_and(|(latest, _)| *latest > at) => {}
            (false, at) => last = Some((at, one.dir)),
        }
    }
    match open.as_slice() {
        [only] => Ok(only.dir.clone()),
        [] => last.map(|(_, dir)| dir).ok_or_else(|| none(dir.cvm.as_ref())),
        [first, ..] => Err(several(first, &open)),
    }
}

/// With what a directory stands for where a proposal is taken: the upgrade that it holds, or the proposal in it.
pub(in crate::cli) fn placed(which: &Which) -> Which {
    let mut which = which.clone();
    if let Some(dir) = which.proposal.take_if(|path| path.is_dir()) {
        match upgrade::holds(&dir) {
            true => which.dir.dir = Some(dir),
            false => which.proposal = Some(dir.join(PROPOSAL_FILE)),
        }
    }
    which
}

/// The directory that holds a file.
pub(super) fn beside(file: &Path) -> &Path {
    match file.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

fn none(cvm: Option<&CvmId>) -> CliError {
    CliError::Usage {
        code: Code::UsageNoUpgrade,
        message: match cvm {
            Some(cvm) => format!("there is no upgrade of `{cvm}` below `{ROOT}`"),
            None => format!("there is no upgrade below `{ROOT}`"),
        },
        hint: "start one with `countersign prepare` or `countersign upgrade`, or name its directory by --dir"
            .to_owned(),
        next: match cvm {
            Some(_) => Next::List,
            None => Next::Command("plan"),
        },
    }
}

fn several(first: &Known, open: &[Known]) -> CliError {
    let lines: Vec<String> = open.iter().map(Known::line).collect();
    CliError::Usage {
        code: Code::UsageWhichUpgrade,
        message: format!(
            "there are {} unfinished upgrades below `{ROOT}`: {}",
            open.len(),
            lines.join("; ")
        ),
        hint: "name one by --dir, or its CVM by --cvm; `countersign status` shows where they stand".to_owned(),
        next: Next::with(format!("--dir {}", quote_os(first.dir.as_os_str()))),
    }
}

/// What it waits for, in words.
fn in_words(state: &State) -> String {
    match state.next() {
        Step::Prepare => "to be prepared".to_owned(),
        Step::Verify => "prepared, to be checked".to_owned(),
        Step::Freeze => "prepared, the Safe transaction is to be chosen".to_owned(),
        Step::Approve => waits_for(state),
        Step::Broadcast => "signed, to be sent".to_owned(),
        Step::Wait => "sent, waits until it is proved".to_owned(),
        Step::Commit => "approved, to be committed".to_owned(),
        Step::Settle => "commit sent, outcome not known".to_owned(),
        Step::Watch => "committed, the CVM does not report it yet".to_owned(),
        Step::Finished => "finished".to_owned(),
    }
}

/// Whose approval is missing.
fn waits_for(state: &State) -> String {
    let facts = state.status().facts;
    if state.needs_new_nonce() {
        return "its transaction can never take effect, needs another nonce".to_owned();
    }
    let safe = state.plan().and_then(|plan| plan.safe.as_ref());
    if let (Some(signed), Some(needed), Some(safe)) = (&facts.signed_by, facts.threshold, safe) {
        let missing = safe.owners.iter().filter(|owner| !signed.contains(owner));
        let names: Vec<String> = missing.map(short).take(MAX_OWNERS).collect();
        return match u64::try_from(signed.len()).is_ok_and(|have| have >= needed) {
            true => format!("{} of {needed} signed, to be executed", signed.len()),
            false => format!("{} of {needed} signed, waits for {}", signed.len(), names.join(", ")),
        };
    }
    match (facts.ready_at, facts.owner) {
        (Some(at), _) => format!("scheduled, can be executed from {at} on"),
        (None, Some(owner)) => format!("waits for the owner {}", short(&owner)),
        (None, None) => "waits for the owner".to_owned(),
    }
}

/// The images that change, or those that stay.
fn images(state: &State, texts: &mut Texts) -> String {
    let Some(code) = state.code() else {
        return "policy only".to_owned();
    };
    let (before, after) = (texts.images(&code.manifest), texts.images(&code.manifest_after()));
    let (was, is): (BTreeSet<&String>, BTreeSet<&String>) = (before.iter().collect(), after.iter().collect());
    let only = |list: &[String], other: &BTreeSet<&String>| -> Vec<String> {
        list.iter()
            .filter(|image| !other.contains(image))
            .map(|image| escape(image))
            .collect()
    };
    let (new, old) = (only(&after, &was), only(&before, &is));
    match (old.as_slice(), new.as_slice()) {
        ([], []) => "same images".to_owned(),
        (old, new) => format!("{} -> {}", listed(old), listed(new)),
    }
}

fn listed(images: &[String]) -> String {
    match images {
        [] => "none".to_owned(),
        images => images.join(" "),
    }
}

fn short(owner: &Address) -> String {
    let text = owner.to_checksum(None);
    let head: String = text.chars().take(6).collect();
    let tail: String = text.chars().skip(38).collect();
    format!("{head}…{tail}")
}

fn left(at: Timestamp, now: Timestamp) -> String {
    match at > now {
        true => format!("expires in {}", span(now, at)),
        false => "expired".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_over_is_told_apart() {
        let now = Timestamp::UNIX_EPOCH;
        let later = now + jiff::SignedDuration::from_secs(1);
        assert_eq!(
            (left(now, later).as_str(), left(later, now).as_str()),
            ("expired", "expires in 1 s")
        );
    }
}
