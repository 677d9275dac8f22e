//! What the check of a contract's storage means for the one who asked, and for later commands of this machine.

use alloy::primitives::Address;
use serde_json::json;

use crate::chain::{
    BlockRef, Chain, ChainError, OwnerKind,
    closed::{StorageCheck, Word},
};
use crate::cli::exit::Exit;
use crate::cli::failure;
use crate::cli::session::Session;
use crate::cli::session::settings::Settings;
use crate::cli::show::report::Report;
use crate::code::Code;
use crate::safe::{
    info::{SafeInfo, Trust},
    slots::{check_storage, with_known_code},
    standing::StandingApproval,
};
use crate::upgrade::{Warning, model::StorageNote};

/// What was found of contracts' storage, and approvals that stand there, each with its Safe.
pub(in crate::cli) type Found = (Vec<StorageNote>, Vec<(Address, StandingApproval)>);

/// What is found of the storage of a Safe and of the Safes that own it, and the approvals that stand there and count.
///
/// # Errors
/// See [`ChainError`].
pub(in crate::cli) async fn of_safe(chain: &Chain, info: &SafeInfo, trust: &Trust) -> Result<Found, ChainError> {
    let (mut notes, mut standing) = (Vec::new(), Vec::new());
    for safe in with_known_code(chain, info, trust).await? {
        let (found, approvals) = check_storage(chain, &safe).await?;
        let note = StorageNote::now(safe.chain_id, safe.address, safe.block, found).with_approvals(approvals);
        let counted = note.counted(&safe.owners, safe.address != info.address);
        standing.extend(counted.into_iter().map(|one| (safe.address, one)));
        notes.push(note);
    }
    Ok((notes, standing))
}

/// Checks the storage of an app's owner, where that is a Safe, or a timelock whose code is known; finds nothing
/// otherwise.
///
/// # Errors
/// See [`ChainError`].
pub(in crate::cli) async fn of_owner(chain: &Chain, owner: Address, block: &BlockRef) -> Result<Found, ChainError> {
    let mut found = Found::default();
    if chain.kind_of(owner, block).await? != OwnerKind::Contract {
        return Ok(found);
    }
    if let Some(safe) = SafeInfo::read_at(chain, owner, block).await? {
        return of_safe(chain, &safe, &Trust::default()).await;
    }
    if let Some(info) = chain.timelock_at(owner, block).await?
        && let Some(storage) = chain.timelock_storage(&info).await?
    {
        found.0.push(StorageNote::now(chain.id(), owner, *block, storage));
    }
    Ok(found)
}

/// Shows what was found, and keeps it for those who plan or sign. A doubt to which nobody agreed ends the command with 6,
/// unless something graver does.
pub(in crate::cli) fn tell(report: &mut Report, session: &Session, settings: &Settings, notes: &[StorageNote]) {
    if notes.is_empty() {
        return;
    }
    report.page.heading("storage");
    for note in notes {
        report
            .page
            .block(&format!("{}  {}", note.contract, sentence(&note.found)));
        if let StorageCheck::NotChecked { why } = &note.found {
            let what = format!(
                "not checked: whether the storage of {} holds more than it shows: {why}",
                note.contract
            );
            report.warnings.push(warning(what));
        }
        let kept = settings.record.as_deref().map_or(Ok(()), |record| note.keep(record));
        if let Err(error) = kept {
            let what = format!("what was found of the storage cannot be kept for later commands: {error}");
            report.warnings.push(warning(what));
        }
    }
    if let Some(object) = report.data.as_mut().and_then(serde_json::Value::as_object_mut) {
        object.insert("storage".to_owned(), json!(notes));
    }
    let accepted = &settings.limits.accepted;
    let open = |note: &StorageNote| {
        let value = note.contract.to_string();
        note.doubt().is_some() && !accepted.covers(Code::StorageNotClosed, Some(&value))
    };
    if report.exit != Exit::Done {
        return;
    }
    if let Some(note) = notes.iter().map(|note| standing(settings, note)).find(open) {
        report.exit = Exit::State;
        report.code = Code::StorageNotClosed;
        report.message = note.doubt().unwrap_or_default();
        let value = note.contract.to_string();
        report.hint = Some(failure::doubt(report.code, Some(&value)).hint);
        let again = session.typed().instead_of("check", "check");
        report.next = Some(format!("{again} --accept {}={value}", Code::StorageNotClosed));
    }
}

/// Shows the approvals that stand in Safes. One to which nobody agreed ends the command with 6, unless something graver does.
pub(in crate::cli) fn tell_approvals(
    report: &mut Report,
    session: &Session,
    settings: &Settings,
    standing: &[(Address, StandingApproval)],
) {
    show_approvals(report, standing);
    let accepted = &settings.limits.accepted;
    let covers = |one: &StandingApproval| accepted.covers(Code::SafeStandingApproval, Some(&one.hash.to_string()));
    let open: Vec<_> = standing.iter().filter(|(_, one)| !covers(one)).collect();
    // What no call of its owner explains comes first.
    let worst = open.iter().find(|(_, one)| !one.unexplained.is_empty());
    let Some((safe, approval)) = worst.or(open.first()).filter(|_| report.exit == Exit::Done) else {
        return;
    };
    report.exit = Exit::State;
    report.code = Code::SafeStandingApproval;
    report.message = approval.told(*safe);
    let value = approval.hash.to_string();
    report.hint = Some(failure::doubt(report.code, Some(&value)).hint);
    let again = session.typed().instead_of("check", "check");
    report.next = Some(format!("{again} --accept {}={value}", Code::SafeStandingApproval));
}

/// Shows the approvals that stand in Safes.
pub(in crate::cli) fn show_approvals(report: &mut Report, standing: &[(Address, StandingApproval)]) {
    if standing.is_empty() {
        return;
    }
    report.page.heading("approvals that stand in storage");
    for (safe, approval) in standing {
        report.page.block(&approval.told(*safe));
    }
    let shown = standing
        .iter()
        .map(|(safe, one)| json!({"safe": safe, "approval": one}));
    let shown: Vec<_> = shown.collect();
    if let Some(object) = report.data.as_mut().and_then(serde_json::Value::as_object_mut) {
        object.insert("standing_approvals".to_owned(), json!(shown));
    }
}

/// What is found stands until something else is by the same word: who cannot look, or hears others, takes nothing back.
fn standing(settings: &Settings, note: &StorageNote) -> StorageNote {
    let record = settings.record.as_deref();
    let last = record.and_then(|record| StorageNote::last(record, note.chain_id, note.contract));
    last.filter(|last| !note.replaces(last)).unwrap_or_else(|| note.clone())
}

const fn warning(text: String) -> Warning {
    Warning {
        code: Code::StorageUnknown,
        text,
    }
}

fn sentence(found: &StorageCheck) -> String {
    match found {
        StorageCheck::Closed { slots, rests_on } => format!(
            "holds nothing but the {slots} slots that were named, by {}",
            word(rests_on)
        ),
        StorageCheck::NotClosed { slots, rests_on } => format!(
            "NOT CLOSED: holds more than the {slots} slots that its functions and events name, by {}",
            word(rests_on)
        ),
        StorageCheck::NotChecked { why } => format!("not checked: {why}"),
    }
}

fn word(word: &Word) -> String {
    match word {
        Word::Block => "a proof against the hash of the block".to_owned(),
        Word::Endpoints { endpoints } => format!(
            "the word of {}, whose block header gives another hash",
            endpoints.join(", ")
        ),
    }
}
