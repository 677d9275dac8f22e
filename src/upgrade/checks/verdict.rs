//! The verdict: whether something may be signed, by one pure function over what is to be signed, what stands in the
//! proposal, the reader's own files and what the chain said. Every command that signs, or shows what is signed, asks it.

use alloy::primitives::{B256, U256};

use crate::chain::{AppState, PolicyChange};
use crate::code::{Code, Severity};
use crate::compose::Verification;
use crate::safe::{
    Look,
    approvals::SignatureSet,
    info::{Change, SafeInfo, Trust},
    strangers::Obedient,
};
use crate::upgrade::{
    Accepted, Limits, Stop, UpgradeError,
    accepted::Acceptance,
    checks::{
        consent::{decisions, effects_of},
        findings, images, kms,
        new_owner::{NewOwner, of_new_owner},
        safe_findings::{Targets, obeying, of_safe_finding},
        timelock::{self, TimelockFound},
    },
    finding::{Finding, Verdict},
    model::{Plan, Proposal},
    model::{
        baseline::{Baseline, Past},
        in_use::InUse,
        safe_approval::{SafeApproval, SafeTxRole, SignedSafeTx, Stage},
        storage_note::Storages,
    },
    record::State,
};

/// What the chain said of one app.
#[derive(Debug, Clone)]
pub(in crate::upgrade) struct AppKnown {
    pub(in crate::upgrade) state: AppState,
    pub(in crate::upgrade) base: Baseline,
    pub(in crate::upgrade) past: Past,
    /// To whom the app is given.
    pub(in crate::upgrade) new_owners: Vec<NewOwner>,
}

/// What the chain said.
#[derive(Debug, Clone, Default)]
pub(in crate::upgrade) struct Known {
    /// Of each app, in the order of the proposal.
    pub(in crate::upgrade) apps: Vec<AppKnown>,
    /// All that is asked for is in force.
    pub(in crate::upgrade) in_force: bool,
    /// Of the Safe and its transaction; nothing where no Safe acts.
    pub(in crate::upgrade) look: Option<Look>,
    /// Why there is no such Safe.
    pub(in crate::upgrade) no_safe: Option<Stop>,
    /// Of the timelock; nothing where none acts.
    pub(in crate::upgrade) timelock: Option<TimelockFound>,
    /// Why there is no such timelock.
    pub(in crate::upgrade) no_timelock: Option<Stop>,
    /// Of the owner that is a Safe itself, where it is to agree.
    pub(in crate::upgrade) child: Option<Look>,
    /// What is known of the contracts' storage.
    pub(in crate::upgrade) storages: Storages,
}

/// What is examined: one Safe transaction of a proposal, and whether that was prepared on another machine.
#[derive(Debug, Clone, Copy)]
pub(in crate::upgrade) struct Subject<'a> {
    pub(in crate::upgrade) role: SafeTxRole,
    pub(in crate::upgrade) proposal: &'a Proposal,
    pub(in crate::upgrade) ceremony: Option<&'a SafeApproval>,
    /// Somebody else prepared it: then it is looked whether a hash comes back that was taken away. Whoever prepared it
    /// knows what runs from the cloud, and asks no logs.
    pub(in crate::upgrade) from_elsewhere: bool,
}

impl<'a> Subject<'a> {
    /// What `state` is about.
    pub(in crate::upgrade) fn of(
        state: &State,
        role: SafeTxRole,
        proposal: &'a Proposal,
        ceremony: Option<&'a SafeApproval>,
    ) -> Self {
        let prepared = state.prepare.answer.as_ref();
        Self {
            role,
            proposal,
            ceremony,
            from_elsewhere: prepared.is_some_and(|prepared| prepared.token_sha256.is_none() || prepared.adopted),
        }
    }

    /// Whether it only takes something away.
    pub(in crate::upgrade) fn only_takes_away(&self) -> bool {
        takes_away(self.role, self.proposal)
    }

    /// The verdict over it.
    pub(in crate::upgrade) fn judge(&self, known: Option<&Known>, limits: &Limits, before: &[Acceptance]) -> Verdict {
        self.verdict(known, &limits.trust, &limits.accepted.with(before))
    }

    /// Whether it may be signed. `known` is what the chain said, nothing where none was asked.
    fn verdict(&self, known: Option<&Known>, trust: &Trust, accepted: &Accepted) -> Verdict {
        let Self {
            role,
            proposal,
            ceremony,
            ..
        } = *self;
        let mut findings = Vec::new();
        let mut not_checked = Vec::new();
        let in_force = known.is_some_and(|known| known.in_force);
        if !takes_away(role, proposal) {
            for (found, open) in [of_apps(proposal, known), of_timelock(proposal, known)] {
                findings.extend(found);
                not_checked.extend(open);
            }
            if let Some(known) = known {
                findings.extend(of_storage(&known.storages));
                findings.extend(of_approvals(&known.storages, ceremony));
                not_checked.extend(known.storages.not_checked.iter().cloned());
            }
        }
        if let (Some(ceremony), Some(_)) = (ceremony, &proposal.plan.safe) {
            findings.extend(self.of_safe(ceremony, known, trust));
            if known.is_none() {
                not_checked.extend(OF_THE_SAFE.map(str::to_owned));
                not_checked.extend(unproven(ceremony, role));
            }
        }
        if !in_force {
            let signed_tx = ceremony.and_then(|ceremony| ceremony.role(role));
            let effects = effects_of(proposal, signed_tx.map(|(signed_tx, _)| signed_tx), ceremony);
            let named = decisions(&effects, &Accepted::default());
            findings.extend(named.into_iter().map(Finding::named));
        }
        if ceremony.is_none() && proposal.plan.safe.is_some() {
            not_checked
                .push("what the Safe's owners would sign: the proposal holds no Safe transaction yet".to_owned());
        }
        if known.is_none() {
            not_checked.extend(OFFLINE.map(str::to_owned));
        }
        if !takes_away(role, proposal) {
            findings.extend(of_each(proposal, |_, one| images_of(one, accepted)));
        }
        Verdict::new(findings, not_checked, accepted)
    }

    /// What stands against the Safe and its transaction.
    fn of_safe(&self, ceremony: &SafeApproval, known: Option<&Known>, trust: &Trust) -> Vec<Finding> {
        let Self { role, proposal, .. } = *self;
        let mut findings = Vec::new();
        let Some(pinned) = &proposal.plan.safe else {
            return findings;
        };
        let look = known.and_then(|known| known.look.as_ref());
        let now = look.map_or(pinned, |look| &look.info);
        // Of a proposal that is wrong, what it says of the Safe is nobody's word either.
        let pinned = if proposal.changes().changes.is_empty() {
            now
        } else {
            pinned
        };
        findings.extend(of_safe(pinned, now, trust));
        findings.extend(proposal.apps().filter_map(|one| of_handler(&one.plan, now)));
        let signed_tx = ceremony.signed_tx(role == SafeTxRole::Rejection);
        findings.extend(look.and_then(|look| of_hash(look, signed_tx)));
        findings.extend(
            look.and_then(|look| of_nonce(look, signed_tx))
                .filter(|_| role != SafeTxRole::Rejection),
        );
        findings.extend(known.and_then(|known| known.no_safe.clone()).map(Finding::stop));
        if let Some((signed_tx, Some(pinned))) = ceremony.role(role) {
            let look = known.and_then(|known| known.child.as_ref());
            findings.extend(of_safe(pinned, look.map_or(pinned, |look| &look.info), trust));
            findings.extend(look.and_then(|look| of_hash(look, signed_tx)));
            findings.extend(look.and_then(|look| of_nonce(look, signed_tx)));
        }
        findings
    }
}

/// So many transactions before a nonce are nothing to ask about.
const FEW: u64 = 5;
/// What only a chain says of a Safe.
const OF_THE_SAFE: [&str; 3] = [
    "whether the Safe still has these owners, this threshold and this nonce",
    "whether the Safe computes the same hash",
    "whether a stranger can act for the Safe",
];
/// What only a chain says of everything that is signed.
const OFFLINE: [&str; 4] = [
    "whether the app still has this owner and this code",
    "whether the app ever allowed what the change is shown against",
    "whether the change is in force already",
    "whether the transaction would succeed, and the KMS let the CVM boot",
];
/// What only the cloud knows of a change that takes something away.
const IN_USE: &str = "which CVM needs what is taken away, and does not boot again without it: Phala Cloud knows, and was asked \
                      only where this was prepared";
/// What is not known where nobody looked far enough into the past.
const PAST: &str = "whether the app allowed this hash before and took it away again";
/// What stands for a hash that nobody can recompute.
const NOT_RECOMPUTED: &str =
    "whether the compose hash is that of the manifest shown: no known form of the manifest before gives its hash";

/// Whether a Safe transaction only takes something away. A wrong proposal has to be rejectable, and what was scheduled by it
/// cancellable, so only the Safe matters for that.
pub(in crate::upgrade) fn takes_away(role: SafeTxRole, proposal: &Proposal) -> bool {
    let stage = proposal.safe.as_ref().map(|section| section.frozen.stage);
    role == SafeTxRole::Rejection || stage == Some(Stage::Cancel)
}

fn dedup(list: &mut Vec<String>) {
    let mut seen = std::collections::BTreeSet::new();
    list.retain(|text| seen.insert(text.clone()));
}

/// What a plan means before there is a proposal of it.
pub(in crate::upgrade) fn of_plan(plan: &Plan, base: &Baseline, past: Past, limits: &Limits) -> Verdict {
    let mut findings: Vec<Finding> = base.finding(plan).into_iter().collect();
    findings.extend(kms::doubt(plan));
    let mut not_checked = Vec::new();
    if let Some(code) = &plan.code {
        if code.form.is_none() {
            findings.push(unverifiable(code.told_current_hash()));
            not_checked.push(NOT_RECOMPUTED.to_owned());
        }
        not_checked.extend(base.not_checked(plan));
        let hash = code.expected_hash.map(|hash| B256::from(*hash.as_bytes()));
        findings.extend(hash.and_then(|hash| past.finding(hash)));
        if past == Past::NotKnown {
            not_checked.push(PAST.to_owned());
        }
    }
    let pins = crate::upgrade::checks::app::check_pins(plan, &plan.app_state);
    findings.extend(pins.err().as_ref().and_then(Finding::of));
    if let Some(safe) = &plan.safe {
        findings.extend(of_safe(safe, safe, &limits.trust));
        findings.extend(of_handler(plan, safe));
    }
    findings.extend(timelock::of_plan(plan));
    findings.extend(of_storage(&plan.storages));
    findings.extend(of_approvals(&plan.storages, None));
    not_checked.extend(plan.storages.not_checked.iter().cloned());
    if let Some(code) = &plan.code {
        findings.extend(images::where_needed(&code.manifest_after(), &limits.accepted));
        // Owners who are asked for an approval see what values may choose; where the hash is allowed, nobody is asked.
        if plan.app_state.hash_allowed == Some(true) {
            findings.extend(images::chosen_by_values(code));
        }
    }
    Verdict::new(findings, not_checked, &limits.accepted)
}

/// What was found of the contracts' storage that is a doubt.
pub(in crate::upgrade) fn of_storage(storages: &Storages) -> impl Iterator<Item = Finding> + '_ {
    storages.doubts.iter().filter_map(|note| {
        let value = Some(note.contract.to_string());
        Some(Finding::decision(Code::StorageNotClosed, value, note.doubt()?))
    })
}

/// Approvals that stand in the Safes, other than of what is to be signed or takes it back.
pub(in crate::upgrade) fn of_approvals(storages: &Storages, ceremony: Option<&SafeApproval>) -> Vec<Finding> {
    let ours = ceremony.map_or_else(Vec::new, SafeApproval::hashes);
    let open = storages.standing.iter().filter(|(_, one)| !ours.contains(&one.hash));
    open.map(|(safe, one)| {
        let text = one.told(*safe);
        Finding::decision(Code::SafeStandingApproval, Some(one.hash.to_string()), text)
    })
    .collect()
}

pub(in crate::upgrade) fn unverifiable(value: String) -> Finding {
    Finding::decision(
        Code::HashUnverifiable,
        Some(value),
        "the compose hash cannot be recomputed, so nobody knows that it is that of the manifest shown, nor that what stands \
         before the change is what was approved; read the whole manifest"
            .to_owned(),
    )
}

/// Findings in all apps of a proposal, and what was not checked; each names its app where there are several.
fn of_apps(proposal: &Proposal, known: Option<&Known>) -> (Vec<Finding>, Vec<String>) {
    let mut not_checked = Vec::new();
    let findings = of_each(proposal, |index, one| {
        let (found, open) = of_app(one, known.and_then(|known| known.apps.get(index)));
        not_checked.extend(open);
        found
    });
    dedup(&mut not_checked);
    (findings, not_checked)
}

/// What `find` finds in each app of a proposal; each names its app where there are several.
fn of_each(proposal: &Proposal, mut find: impl FnMut(usize, &Proposal) -> Vec<Finding>) -> Vec<Finding> {
    let several = !proposal.others.is_empty();
    let each = proposal.apps().enumerate().flat_map(|(index, one)| {
        let name = one.name();
        let found = find(index, one).into_iter();
        found.map(move |finding| match several {
            true => finding.of_app(&name),
            false => finding,
        })
    });
    each.collect()
}

fn images_of(one: &Proposal, accepted: &Accepted) -> Vec<Finding> {
    let code = one.code();
    code.map_or_else(Vec::new, |(_, after, _)| images::where_needed(after, accepted))
}

/// What stands in the proposal of one app, and what the chain said of it.
pub(in crate::upgrade) fn of_app(one: &Proposal, known: Option<&AppKnown>) -> (Vec<Finding>, Vec<String>) {
    let mut findings = Vec::new();
    let mut not_checked = Vec::new();
    let plan = &one.plan;
    if let Some((_, _, (hash, verified))) = one.code() {
        match verified {
            Verification::Verified { .. } => {}
            Verification::Uncomputable => {
                findings.push(unverifiable(hash.to_string()));
                not_checked.push(NOT_RECOMPUTED.to_owned());
            }
            Verification::Mismatch { computed, .. } => findings.push(Finding::stop(Stop {
                code: Code::HashMismatch,
                what: "compose hash".to_owned(),
                expected: format!("{computed} (computed from the text in this proposal)"),
                found: format!("{hash} (written in this proposal)"),
                details: Vec::new(),
                origin: None,
            })),
        }
    }
    findings.extend(kms::unknown(plan));
    findings.extend(of_changes(one, known));
    not_checked.extend(unexplained(one));
    if let Some(known) = known {
        findings.extend(kms::of_boot(plan, &known.state));
        let pins = crate::upgrade::checks::app::check_pins(plan, &known.state);
        findings.extend(pins.err().as_ref().and_then(Finding::of));
        for new_owner in &known.new_owners {
            findings.extend(of_new_owner(&targets(plan), Some(&known.state), new_owner));
        }
        findings.extend(known.base.finding(plan));
        not_checked.extend(known.base.not_checked(plan));
        for hash in added(one) {
            findings.extend(known.past.finding(hash));
            if known.past == Past::NotKnown {
                not_checked.push(PAST.to_owned());
            }
        }
    }
    (findings, not_checked)
}

/// Changes of an app's policy that contradict each other, or that the CVM would not boot again after.
fn of_changes(one: &Proposal, known: Option<&AppKnown>) -> Vec<Finding> {
    let changes = one.changes().changes;
    let mut findings: Vec<Finding> = Vec::new();
    if let Some(conflict) = findings::policy_conflict(&changes) {
        findings.extend(Finding::of(&UpgradeError::decide(conflict.code, conflict.text)));
    }
    if changes.contains(&PolicyChange::RequireTcbUpToDate(true)) {
        let text = "whether the firmware of the machines is up to date is not known here: where it is not, the KMS refuses the next \
                    boot";
        findings.push(Finding::note(Code::TcbNotKnown, text.to_owned()));
    }
    let device = one.plan.code.as_ref().and_then(|code| code.device);
    let in_use = InUse {
        cvm: Some(one.name()),
        hash: None,
        device,
    };
    let state = known.map_or(&one.plan.app_state, |known| &known.state);
    let broken = in_use.remarks(state, &changes, state.device_allowed);
    findings.extend(
        broken
            .into_iter()
            .map(|remark| Finding::decision(remark.code, device.map(|device| device.to_string()), remark.text)),
    );
    findings
}

/// What nobody can check since the proposal does not show it, or does not say whom to ask.
fn unexplained(one: &Proposal) -> Vec<String> {
    let shown = one.code().map(|(_, _, (hash, _))| B256::from(*hash.as_bytes()));
    let bare = added(one).filter(|hash| Some(*hash) != shown);
    let mut open: Vec<String> = bare
        .map(|hash| format!("what runs by {hash}, which is allowed as well: the proposal shows no manifest of it"))
        .collect();
    let Some(code) = &one.plan.code else {
        let takes = one.changes().changes.iter().any(InUse::is_taken);
        open.extend(takes.then(|| IN_USE.to_owned()));
        return open;
    };
    if one.plan.kms.is_none() {
        open.push("whether a KMS lets the CVM boot: the proposal names none".to_owned());
    }
    if code.device.is_none() && !code.target.is_new() {
        open.push("whether the app lets the CVM's device in: the proposal names none".to_owned());
    }
    open
}

/// Hashes that a proposal allows for its own app.
pub(in crate::upgrade) fn added(one: &Proposal) -> impl Iterator<Item = B256> {
    one.changes().changes.into_iter().filter_map(|change| match change {
        PolicyChange::AddComposeHash(hash) => Some(hash),
        _ => None,
    })
}

/// What is found about the timelock that has to act, by what the chain said or, where none was asked, by the proposal.
fn of_timelock(proposal: &Proposal, known: Option<&Known>) -> (Vec<Finding>, Vec<String>) {
    let Some(plan) = &proposal.plan.timelock else {
        return (Vec::new(), Vec::new());
    };
    let Some(known) = known else {
        return (timelock::of_plan(&proposal.plan), vec![timelock::OFFLINE.to_owned()]);
    };
    let gone = known.no_timelock.clone().map(Finding::stop);
    let found = known.timelock.as_ref();
    let unread = found.and_then(|found| found.roles.incomplete.as_ref());
    let unread = unread.map(|why| format!("whether others may act for the timelock: {why}"));
    let found = found.map(|found| timelock::of_found(proposal, plan, found));
    (
        gone.into_iter().chain(found.into_iter().flatten()).collect(),
        unread.into_iter().collect(),
    )
}

/// What is found about a Safe, and how it differs from what was read when its transaction was chosen.
pub(in crate::upgrade) fn of_safe(pinned: &SafeInfo, now: &SafeInfo, trust: &Trust) -> Vec<Finding> {
    // What somebody vouches for is found all the same, and counts as agreed to.
    let untrusting = Trust::default();
    let found = now.findings(&untrusting);
    let mut findings: Vec<Finding> = found
        .iter()
        .filter_map(|finding| of_safe_finding(now, finding))
        .collect();
    for finding in &mut findings {
        finding.accepted = is_vouched_for(finding, trust);
    }
    findings.extend(now.changes_since(pinned).iter().map(|change| of_change(now, change)));
    // What is wrong with the file alone is wrong whatever the chain says; what both have is said once.
    let of_file = pinned.findings(&untrusting).into_iter();
    for finding in of_file.filter_map(|finding| of_safe_finding(pinned, &finding)) {
        let is_new = findings
            .iter()
            .all(|known| (known.code, &known.value) != (finding.code, &finding.value));
        if finding.severity == Severity::Stop && is_new {
            findings.push(finding);
        }
    }
    findings
}

/// A fallback handler that is one of the contracts that the change is about, whatever it answers: everybody calls it in the
/// Safe's name.
fn of_handler(plan: &Plan, safe: &SafeInfo) -> Option<Finding> {
    obeying(&targets(plan), safe)
}

/// The contracts that a change is about.
fn targets(plan: &Plan) -> Targets {
    let timelock = plan.timelock.as_ref().map(|timelock| timelock.info.address);
    [
        (Obedient::App, Some(plan.app)),
        (Obedient::Kms, plan.kms),
        (Obedient::Timelock, timelock),
    ]
}

/// The library's own way to vouch for code and old versions, without the command line's.
fn is_vouched_for(finding: &Finding, trust: &Trust) -> bool {
    match finding.code {
        Code::SafeOldVersion => trust.old_versions,
        Code::SafeUnknownCode | Code::SafeOwnerUnknown => {
            let value = finding.value.as_deref().and_then(|value| value.parse::<B256>().ok());
            value.is_some_and(|hash| trust.code.contains(&hash))
        }
        _ => false,
    }
}

fn of_change(safe: &SafeInfo, change: &Change) -> Finding {
    let text = || format!("Safe {} changed since it was read: {change}", safe.address);
    match change {
        Change::Identity | Change::Code { .. } => Finding::stop(Stop {
            code: Code::SafeChanged,
            what: format!("Safe {}", safe.address),
            expected: "the code that was read before".to_owned(),
            found: change.to_string(),
            details: Vec::new(),
            origin: None,
        }),
        Change::OwnerAdded { .. } | Change::OwnerRemoved { .. } | Change::Threshold { .. } => {
            Finding::decision(Code::SafeOwnersChanged, None, text())
        }
        _ => Finding::decision(Code::SafeHelpersChanged, None, text()),
    }
}

fn of_hash(look: &Look, signed_tx: &SignedSafeTx) -> Option<Finding> {
    let wrong = same_hash(look, signed_tx).err()?;
    Finding::of(&wrong)
}

/// Owners of whom the proposal has what only a chain can confirm.
fn unproven(ceremony: &SafeApproval, role: SafeTxRole) -> impl Iterator<Item = String> {
    let signed = ceremony.role(role).map(|(signed_tx, _)| &signed_tx.signatures);
    let unproven = signed.into_iter().flat_map(SignatureSet::unproven);
    unproven.map(|owner| {
        format!("whether {owner} agreed, of whom the proposal has what only a chain can confirm; it is not counted")
    })
}

fn of_nonce(look: &Look, signed_tx: &SignedSafeTx) -> Option<Finding> {
    let nonce = signed_tx.tx.fields().nonce;
    let text = far_ahead(look.info.nonce, nonce)?;
    Some(Finding::decision(Code::SafeNonceFar, Some(nonce.to_string()), text))
}

/// That it is the turn of `nonce` only after more than a few others, where the Safe is at `next`: what is signed for it stays good
/// for as long as it takes the Safe to get there.
pub(in crate::upgrade) fn far_ahead(next: U256, nonce: U256) -> Option<String> {
    let before = nonce.saturating_sub(next);
    (before > U256::from(FEW))
        .then(|| format!("the Safe is at nonce {next}, and nonce {nonce} is its turn only after {before} others"))
}

/// The Safe has to compute the hash that its owners sign.
///
/// # Errors
/// Another one, or none.
pub(in crate::upgrade) fn same_hash(look: &Look, signed_tx: &SignedSafeTx) -> Result<(), UpgradeError> {
    let hash = signed_tx.tx.hash();
    // Once its nonce is used up, a Safe may have moved to code that hashes otherwise.
    if look.hash_on_chain == Some(hash) || look.info.nonce > signed_tx.tx.fields().nonce {
        return Ok(());
    }
    Err(UpgradeError::stop(
        Code::SafeTxHash,
        "hash of the Safe transaction",
        hash,
        look.hash_on_chain
            .map_or_else(|| "no answer of the Safe".to_owned(), |found| found.to_string()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::PolicyChange::{AddDevice, AllowAnyDevice, RemoveComposeHash, RemoveDevice};
    use crate::upgrade::record::State;
    use crate::upgrade::sample;

    /// Codes that forbid an upgrade with these changes of the app's policy besides.
    fn forbidding(changes: &[PolicyChange]) -> Vec<String> {
        let state = State::fold(sample::story()).unwrap();
        let mut proposal = Proposal::of(&state).unwrap();
        proposal.plan.policy = changes.to_vec();
        let (trust, accepted) = (Trust::default(), Accepted::default());
        let subject = Subject::of(&state, SafeTxRole::Approval, &proposal, None);
        let verdict = subject.verdict(None, &trust, &accepted);
        let forbids = verdict.findings.iter().filter(|finding| finding.forbids());
        forbids.map(|finding| finding.code.name().to_owned()).collect()
    }

    #[test]
    fn changes_that_undo_each_other_or_the_boot_of_the_cvm_forbid_it() {
        let plan = sample::plan();
        let device = plan.code.as_ref().and_then(|code| code.device).unwrap();
        let new = B256::from(*sample::hash().as_bytes());
        assert_eq!(forbidding(&[]), Vec::<String>::new());
        assert_eq!(forbidding(&[AddDevice(B256::repeat_byte(9))]), Vec::<String>::new());
        assert_eq!(forbidding(&[RemoveComposeHash(new)]), ["POLICY_CONFLICT"]);
        assert_eq!(
            forbidding(&[AllowAnyDevice(true), AllowAnyDevice(false)]),
            ["POLICY_CONFLICT"]
        );
        assert_eq!(forbidding(&[RemoveDevice(device)]), ["DEVICE_IN_USE"]);
        assert_eq!(forbidding(&[RemoveDevice(B256::repeat_byte(9))]), Vec::<String>::new());
    }

    #[test]
    fn a_stop_that_file_and_chain_both_show_is_said_once() {
        let mut pinned = sample::safe();
        pinned.owners.push(pinned.owners[0]);
        let mut now = pinned.clone();
        now.nonce += U256::ONE;
        let stops = |pinned: &SafeInfo, now: &SafeInfo| {
            let found = of_safe(pinned, now, &Trust::default());
            found.iter().filter(|one| one.severity == Severity::Stop).count()
        };
        assert_eq!((stops(&pinned, &pinned), stops(&pinned, &now)), (1, 1));
        // The file alone is wrong.
        assert!(stops(&pinned, &sample::safe()) > 0);
    }
}
