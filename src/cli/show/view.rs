//! What an upgrade looks like to people: the plan, and where it stands. Makes text, prints nothing.

use std::collections::BTreeSet;
use std::path::Path;

use alloy::primitives::Address;
use serde_json::{Value, json};

use crate::chain::{AppState, OwnerKind, Preflight, is_known_kms};
use crate::cli::show::changes::{in_order, kinds};
use crate::cli::show::manifest::whole;
use crate::cli::show::text::Page;
use crate::cli::show::words::{chain, moment};
use crate::compose::ImageList;
use crate::env::Dated;
use crate::safe::service::{Published, ServiceTx, links};
use crate::safe::{SafeDomain, info::SafeInfo};
use crate::text;
use crate::upgrade::{
    Checked, PROPOSAL_FILE, Warning,
    model::{CodeChange, Plan, SignedSafeTx, UnapprovedPlan, Uncovered},
    record::{Effect, Status, Step},
};

/// Where an upgrade stands: what is certain first, then what is known.
pub(in crate::cli) fn standing(page: &mut Page, status: &Status, certain: &str, dir: &Path) {
    let name = |name: &str| dir.join(name).display().to_string();
    let is_over = is_over(status);
    page.line(certain);
    page.facts(&[
        ("upgrade", Some(dir.display().to_string())),
        ("proposal", is_proposed(status).then(|| name(PROPOSAL_FILE))),
        ("evidence", is_over.then(|| name(crate::evidence::PAGE))),
    ]);
    known(page, status);
}

/// The files of an upgrade's directory that others need, as far as there are any yet: its proposal, and its evidence.
pub(in crate::cli) fn files(status: &Status, dir: &Path) -> (Option<String>, Option<String>) {
    let name = |name: &str| dir.join(name).display().to_string();
    (
        is_proposed(status).then(|| name(PROPOSAL_FILE)),
        is_over(status).then(|| name(crate::evidence::FILE)),
    )
}

/// Whether the proposal is written.
fn is_proposed(status: &Status) -> bool {
    status.step > Step::Verify && status.facts.factory.is_none()
}

/// Shows where a proposal by itself stands: `certain`, what is certain of it, first, then what is known.
pub(in crate::cli) fn standing_alone(page: &mut Page, status: &Status, certain: &str, proposal: &Path) {
    page.line(certain);
    page.facts(&[("proposal", Some(proposal.display().to_string()))]);
    known(page, status);
}

fn known(page: &mut Page, status: &Status) {
    let (facts, effects) = (&status.facts, &status.effects);
    page.facts(&[
        ("CVM", facts.cvm.as_deref().map(text::name)),
        ("makes", facts.makes.clone()),
        ("new CVM", facts.new_cvm.clone()),
        ("app", facts.app.map(|app| app.to_string())),
        ("made by the KMS", facts.factory.map(|kms| kms.to_string())),
        ("chain", facts.chain_id.map(chain)),
        ("owner", facts.owner.map(|owner| owner.to_string())),
        ("hash before", facts.previous_compose_hash.map(|hash| hash.to_string())),
        ("compose hash", facts.compose_hash.map(|hash| hash.to_string())),
        ("safeTxHash", facts.safe_tx_hash.map(|hash| hash.to_string())),
        ("Safe nonce", facts.safe_nonce.clone()),
        (
            "signatures",
            facts
                .signed_by
                .as_ref()
                .zip(facts.threshold)
                .map(|(signed, needed)| format!("{} of {needed}", signed.len())),
        ),
        ("transaction", facts.transaction_hash.map(|hash| hash.to_string())),
        ("block", facts.block_number.map(|block| block.to_string())),
        (
            "token expires",
            facts
                .token_expires
                .filter(|_| effects.commit != Effect::Done)
                .map(moment),
        ),
        ("operation", facts.correlation_id.clone()),
    ]);
    for change in &facts.policy {
        page.facts(&[("policy", Some(change.to_string()))]);
    }
    if !facts.others.is_empty() {
        page.heading("by the same transaction");
    }
    for other in &facts.others {
        let in_force = if other.proved { "in force" } else { "not proved yet" };
        page.facts(&[
            ("CVM", other.cvm.as_deref().map(text::name)),
            ("app", Some(other.app.to_string())),
            ("compose hash", other.compose_hash.map(|hash| hash.to_string())),
            ("stands", Some(in_force.to_owned())),
        ]);
        for change in &other.policy {
            page.facts(&[("policy", Some(change.to_string()))]);
        }
    }
}

/// Whether there is nothing left to come that evidence would tell of.
fn is_over(status: &Status) -> bool {
    let effects = &status.effects;
    effects.live == Effect::Done || (is_chain_only(status) && effects.transaction == Effect::Done)
}

/// Whether nothing but the chain changes: the app's policy, or that there is an app.
const fn is_chain_only(status: &Status) -> bool {
    let policy = status.facts.cvm.is_none() && !status.facts.policy.is_empty();
    policy || status.facts.factory.is_some()
}

/// Every effect in a word.
pub(in crate::cli) fn effects(page: &mut Page, status: &Status) {
    let effects = &status.effects;
    page.heading("effects");
    if is_chain_only(status) {
        let words = [("signed", effects.approval), ("in force", effects.transaction)];
        page.facts(&words.map(|(name, effect)| (name, Some(word(effect).to_owned()))));
        return;
    }
    let words = [
        ("prepared", effects.prepare),
        ("signed", effects.approval),
        ("allowed on chain", effects.transaction),
        ("committed", effects.commit),
    ];
    page.facts(&words.map(|(name, effect)| (name, Some(word(effect).to_owned()))));
    let live = match effects.live {
        Effect::Done => "yes, as Phala Cloud says",
        other => word(other),
    };
    page.facts(&[("live", Some(live.to_owned()))]);
}

const fn word(effect: Effect) -> &'static str {
    match effect {
        Effect::None => "no",
        Effect::Maybe => "not known yet",
        Effect::Done => "yes",
    }
}

/// Everything that was read, and what it means: what changes first, then who has to agree to it.
pub(in crate::cli) fn plan(page: &mut Page, plan: &Plan) {
    if let Some(code) = &plan.code {
        self::code(page, code, kind(plan, code));
        if plan.is_to_be_read_whole() {
            whole(page, None, &code.manifest_after());
        }
    }
    if !plan.policy.is_empty() {
        page.heading("policy");
        for change in &plan.policy {
            page.block(&change.to_string());
        }
    }
    page.heading("approval");
    page.facts(&[
        ("chain", Some(chain(plan.chain_id))),
        ("app", Some(plan.app.to_string())),
        ("KMS", plan.kms.map(|kms| self::kms(plan.chain_id, kms))),
        ("route", Some(plan.route.to_string())),
    ]);
    for call in &plan.calls {
        let decoded = crate::safe::decode::decode(&call.data);
        page.facts(&[
            ("call", decoded.map(|decoded| decoded.function.to_string())),
            ("calldata", Some(call.data.to_string())),
            ("calldata digest", Some(format!("{} (ERC-8213)", call.digest()))),
        ]);
    }
    page.facts(&[("already allowed", plan.app_state.hash_allowed.map(yes_no))]);
    if let Some(timelock) = &plan.timelock {
        page.heading("timelock");
        page.facts(&[
            ("timelock", Some(timelock.info.address.to_string())),
            ("proposed by", Some(timelock.proposer.to_string())),
            ("delay", Some(format!("{} seconds", timelock.delay))),
            (
                "executed by",
                Some(
                    if timelock.info.open_executor {
                        "anybody"
                    } else {
                        "whoever has the role"
                    }
                    .to_owned(),
                ),
            ),
        ]);
    }
    if let Some(info) = &plan.safe {
        page.heading("Safe");
        safe(page, info);
    }
    page.heading("contract");
    app(page, &plan.app_state);
    notes(page, plan);
}

/// What is to change of a CVM that no KMS on a chain guards.
pub(in crate::cli) fn unapproved(page: &mut Page, plan: &UnapprovedPlan) {
    self::code(
        page,
        &plan.code,
        "another compose hash, which nobody has to approve, and nobody can",
    );
    remarks(page, "warnings", &plan.warnings);
    remarks(page, "blockers", &plan.blockers);
}

/// What changes of the code that runs: the images first.
fn code(page: &mut Page, code: &CodeChange, kind: &str) {
    images(page, code);
    page.heading("upgrade");
    page.facts(&[
        (
            "CVM",
            Some(match code.cvm_name.as_ref().filter(|name| **name != code.cvm) {
                Some(name) => format!("{} ({})", text::name(name), text::name(&code.cvm)),
                None => text::name(&code.cvm),
            }),
        ),
        ("kind", Some(kind.to_owned())),
        ("makes", code.makes()),
        ("hash now", code.current_hash.map(|hash| hash.to_string())),
        ("hash after", code.expected_hash.map(|hash| hash.to_string())),
        ("hash check", Some(check(code))),
        ("environment", environment(code)),
        ("pre-launch", Some(code.manifest_after().launch_script().to_string())),
        (
            "ends by",
            code.confirm
                .then(|| "hash and transaction in headers, without the commit token".to_owned()),
        ),
    ]);
    kinds(page, &code.changes);
    for change in in_order(&code.changes) {
        page.heading(&format!("change of {}", change.field));
        page.theirs(&change.text_diff());
    }
    uncovered(page, &code.uncovered());
}

/// What nobody can recompute, in full: values side by side, texts below their names.
pub(in crate::cli) fn uncovered(page: &mut Page, all: &[Uncovered]) {
    if all.is_empty() {
        return;
    }
    page.heading("no hash covers it: whoever commits has it sent as it stands here");
    for one in all {
        let before = one
            .before
            .as_ref()
            .map_or_else(String::new, |before| format!(", was {before}"));
        if one.after.contains('\n') {
            page.theirs_below(&format!("{}{before}", one.field), &one.after);
        } else {
            page.facts(&[(one.field, Some(format!("{}{before}", one.after)))]);
        }
    }
}

/// Which kind of change it is: who has to agree to it.
fn kind(plan: &Plan, code: &CodeChange) -> &'static str {
    let unchanged = code.expected_hash.is_some() && code.expected_hash == code.current_hash;
    if unchanged && code.target.is_new() {
        "another CVM that runs what this one runs"
    } else if plan.is_values_only() {
        "values of the environment only: nobody has to approve it on chain"
    } else if unchanged {
        "nothing that the compose hash covers: nobody has to approve it on chain"
    } else if plan.app_state.hash_allowed == Some(true) {
        "another compose hash, which the app allows already"
    } else {
        "another compose hash, which the app's owner has to allow"
    }
}

/// Images before and after, which is what most reviewers look for; what runs besides is among the remarks.
fn images(page: &mut Page, code: &CodeChange) {
    let (before, after) = (code.manifest.image_list(), code.manifest_after().image_list());
    let names = |list: &ImageList| -> BTreeSet<String> { list.images.iter().map(|image| image.name.clone()).collect() };
    let (was, is) = (names(&before), names(&after));
    let gone = before.images.iter().filter(|image| !is.contains(&image.name));
    let new = after.images.iter().filter(|image| !was.contains(&image.name));
    let lines = gone
        .map(|image| format!("- {image}"))
        .chain(new.map(|image| format!("+ {image}")));
    let lines: Vec<String> = lines.collect();
    if !lines.is_empty() {
        page.heading("images");
    }
    page.each(lines);
}

fn check(code: &CodeChange) -> String {
    match code.form {
        Some(_) => "recomputed here: the current manifest gives the current hash".to_owned(),
        None => "not possible: no known form of the current manifest gives the current hash".to_owned(),
    }
}

fn environment(code: &CodeChange) -> Option<String> {
    let environment = code.environment.as_ref()?;
    let names: Vec<&str> = environment.names.iter().map(crate::env::EnvName::as_str).collect();
    let Some(vouched) = &environment.vouched else {
        return Some(format!(
            "{} sealed elsewhere, for a key that was not checked here",
            names.join(", ")
        ));
    };
    let age = match vouched.dated {
        Dated::At(at) => format!("signed {at}"),
        Dated::Undated => "signed without a date".to_owned(),
    };
    Some(format!(
        "{} sealed for the key {}, {age} by the root key {} of the KMS",
        names.join(", "),
        vouched.recipient,
        vouched.root
    ))
}

/// A KMS contract, and whether it is one that everybody knows.
pub(in crate::cli) fn kms(chain_id: u64, kms: Address) -> String {
    match is_known_kms(chain_id, kms) {
        true => format!("{kms} (Phala's)"),
        false => format!("{kms} (not known to this version)"),
    }
}

fn notes(page: &mut Page, plan: &Plan) {
    let updates = plan
        .code
        .as_ref()
        .map(|code| code.pending_updates.as_slice())
        .unwrap_or_default();
    if !updates.is_empty() {
        page.heading("pending updates");
        for update in updates {
            let name = update
                .instance_name
                .as_deref()
                .or(update.vm_uuid.as_deref())
                .unwrap_or("?");
            let hash = update
                .compose_hash
                .map_or_else(|| "unknown hash".to_owned(), |hash| hash.to_string());
            page.block(&format!("{name}  {hash}"));
        }
    }
    remarks(page, "warnings", &plan.warnings);
    remarks(page, "blockers", &plan.blockers);
}

/// Remarks under a heading, if there are any.
pub(in crate::cli) fn remarks(page: &mut Page, title: &str, remarks: &[Warning]) {
    if !remarks.is_empty() {
        page.heading(title);
    }
    page.each(
        remarks
            .iter()
            .map(|remark| format!("{} ({})", remark.text, remark.code)),
    );
}

/// A Safe as the chain shows it.
pub(in crate::cli) fn safe(page: &mut Page, info: &SafeInfo) {
    let each = |name: &'static str, all: &[Address]| -> Vec<_> {
        all.iter().map(|one| (name, Some(one.to_string()))).collect()
    };
    let mut facts = vec![
        ("Safe", Some(format!("{} version {}", info.address, info.version))),
        ("owners", Some(format!("{} of {}", info.threshold, info.owners.len()))),
    ];
    facts.extend(each("owner", &info.owners));
    facts.extend([
        ("next nonce", Some(info.nonce.to_string())),
        ("singleton", Some(info.singleton.to_string())),
        ("guard", info.guard.map(|guard| guard.to_string())),
        ("module guard", info.module_guard.map(|guard| guard.to_string())),
    ]);
    facts.extend(each("module", &info.modules));
    facts.extend([
        (
            "fallback handler",
            info.fallback_handler.map(|handler| handler.to_string()),
        ),
        ("at block", Some(format!("{} {}", info.block.number, info.block.hash))),
    ]);
    page.facts(&facts);
}

/// Where Safe{Wallet} shows a transaction; gives the addresses for programs.
pub(in crate::cli) fn links(page: &mut Page, domain: &SafeDomain, hash: alloy::primitives::B256) -> serde_json::Value {
    let queue = links::queue(domain.chain_id, domain.safe);
    let transaction = links::transaction(domain.chain_id, domain.safe, hash);
    page.facts(&[
        ("safeTxHash", Some(hash.to_string())),
        ("Safe", Some(domain.safe.to_string())),
        ("queue", queue.as_ref().map(ToString::to_string)),
        ("transaction", transaction.as_ref().map(ToString::to_string)),
    ]);
    serde_json::json!({ "queue": queue, "transaction": transaction })
}

/// Who proposed it, as a service says: nobody has to have signed that.
pub(in crate::cli) fn proposer(owner: Option<Address>, delegate: Option<Address>) -> Option<String> {
    let owner = owner?;
    Some(match delegate {
        Some(delegate) => format!("{delegate} in the name of {owner}, as the service says"),
        None => format!("{owner}, as the service says"),
    })
}

/// What the Safe Transaction Service holds.
pub(in crate::cli) fn published(page: &mut Page, published: &Published) {
    for owner in published.record.agreed() {
        page.facts(&[("confirmed by", Some(owner.to_string()))]);
    }
    for owner in published
        .record
        .confirmed()
        .filter(|owner| !published.record.agreed().contains(owner))
    {
        page.facts(&[(
            "not confirmed",
            Some(format!(
                "{owner}, whom the service names without a signature of their key"
            )),
        )]);
    }
    for owner in &published.missing {
        page.facts(&[("not there", Some(owner.to_string()))]);
    }
    for (owner, why) in &published.refused {
        page.facts(&[("refused", Some(format!("{owner}: {why}")))]);
    }
    let record = &published.record;
    page.facts(&[("proposed by", proposer(record.proposer, record.delegate))]);
}

/// Owners whom a service names for signatures that are not theirs, for programs.
pub(in crate::cli) fn not_theirs(tx: &ServiceTx) -> Vec<Value> {
    let all = tx.not_theirs().into_iter();
    all.map(|(owner, why)| json!({ "owner": owner, "why": why.to_string() }))
        .collect()
}

/// What was signed, what was compared before, and what was not.
pub(in crate::cli) fn signed(page: &mut Page, signed_tx: &SignedSafeTx, checked: &Checked) {
    let digests = signed_tx.tx.digests();
    page.facts(&[
        ("Safe", Some(signed_tx.tx.domain().safe.to_string())),
        ("nonce", Some(signed_tx.tx.fields().nonce.to_string())),
        ("domain hash", Some(digests.domain.to_string())),
        ("message hash", Some(digests.message.to_string())),
        ("safeTxHash", Some(digests.safe_tx.to_string())),
    ]);
    let signed_by = signed_tx.signatures.proven();
    page.facts(
        &signed_by
            .map(|owner| ("signed by", Some(owner.to_string())))
            .collect::<Vec<_>>(),
    );
    page.facts(&[(
        "threshold",
        checked.look.as_ref().map(|look| look.info.threshold.to_string()),
    )]);
    if !checked.unchecked.is_empty() {
        page.heading("not checked, because no chain was asked");
        for what in &checked.unchecked {
            page.block(what);
        }
    }
}

/// The app's contract as the chain shows it.
pub(in crate::cli) fn app(page: &mut Page, app: &AppState) {
    page.facts(&[
        ("app", Some(app.app.to_string())),
        ("owner", Some(format!("{} ({})", app.owner, owner(app.owner_kind)))),
        (
            "pending owner",
            app.pending_owner
                .filter(|owner| !owner.is_zero())
                .map(|owner| owner.to_string()),
        ),
        (
            "ownership",
            Some(
                if app.pending_owner.is_some() {
                    "changes hands in two steps"
                } else {
                    "changes hands in one step"
                }
                .to_owned(),
            ),
        ),
        ("implementation", app.implementation.map(|address| address.to_string())),
        (
            "code hash",
            Some(app.implementation_code_hash.unwrap_or(app.code_hash).to_string()),
        ),
        ("version", app.version.map(|version| version.to_string())),
        ("any device", Some(yes_no(app.any_device))),
        ("device allowed", app.device_allowed.map(yes_no)),
        ("hash allowed", app.hash_allowed.map(yes_no)),
        ("needs fresh TCB", app.require_tcb_up_to_date.map(yes_no)),
        ("known to KMS", app.registered.map(yes_no)),
        ("OS image allowed", app.os_image_allowed.map(yes_no)),
        (
            "KMS would boot it",
            app.preflight.as_ref().map(|told| preflight(told, app)),
        ),
        ("at block", Some(format!("{} {}", app.block.number, app.block.hash))),
    ]);
}

fn preflight(preflight: &Preflight, app: &AppState) -> String {
    let supposed = if preflight.as_if_allowed && app.hash_allowed != Some(true) {
        ", once the hash is allowed"
    } else {
        ""
    };
    match preflight.allowed {
        true if app.require_tcb_up_to_date == Some(true) => format!("yes{supposed}, if the firmware is up to date"),
        true => format!("yes{supposed}"),
        false => format!("no{supposed}: {}", preflight.reason),
    }
}

pub(in crate::cli) const fn owner(kind: OwnerKind) -> &'static str {
    match kind {
        OwnerKind::Nobody => "nobody: ownership was given up",
        OwnerKind::Eoa => "a key",
        OwnerKind::DelegatedEoa => "a key that delegates to a contract",
        OwnerKind::Contract => "a contract",
    }
}

pub(in crate::cli) fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.to_owned()
}
