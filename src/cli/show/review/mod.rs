//! A review on one screen, in the order in which a signer needs it: who asks for what, what changes, the call, the Safe,
//! the hashes that devices show, and the verdict last. Makes text, prints nothing.

mod app;
mod digests;

use app::OneApp;

use crate::chain::timelock::OperationState;
use crate::cli::show::consent;
use crate::cli::show::manifest::whole;
use crate::cli::show::text::{Mood, Page, escape};
use crate::cli::show::view;
use crate::cli::show::words::{chain, moment};
use crate::code::Code;
use crate::safe::decode::Decoded;
use crate::text;
use crate::upgrade::Warning;
use crate::upgrade::review::{
    Agreement, CallShown, Found, FoundTx, Owner, OwnerIs, Problem, Review, SafeNow, Singleton, Source, TimelockNow,
    Trial, Turn,
};

/// What a review ends with when nothing stands against it.
pub(in crate::cli) const CLEAN: &str = "Everything that could be checked matches";

/// Closing line of a review that nothing stands against; where `unchecked` is not 0, it does not say that all matches.
pub(in crate::cli) fn clean(unchecked: usize) -> String {
    match unchecked {
        0 => CLEAN.to_owned(),
        1 => "Matches as far as the file goes; 1 thing was not checked".to_owned(),
        several => format!("Matches as far as the file goes; {several} things were not checked"),
    }
}

/// The whole page.
pub(in crate::cli) fn page(page: &mut Page, review: &Review) {
    let first = OneApp::first(review);
    // Of a wrong proposal nothing was read of any app, so nothing is shown of one.
    let only_rejected = review
        .warnings
        .iter()
        .find(|one| one.code == Code::ProposalOnlyRejected);
    let apps: Vec<OneApp<'_>> = std::iter::once(first)
        .chain(review.others.iter().map(OneApp::other))
        .collect();
    for (index, one) in apps.iter().enumerate() {
        if apps.len() > 1 {
            page.heading(&format!("APP {} OF {}, all by one transaction", index + 1, apps.len()));
        }
        if let Some(why) = only_rejected {
            page.heading(&why.text);
        } else {
            one.content(page);
        }
    }
    for one in &review.whole {
        whole(page, Some(&one.cvm).filter(|_| apps.len() > 1), &one.manifest);
    }
    transaction(page, review);
    for one in apps.iter().filter(|_| only_rejected.is_none()) {
        one.contract(page, apps.len() > 1);
    }
    if let Some(timelock) = &review.timelock {
        self::timelock(page, timelock);
    }
    if let Some(safe) = &review.safe {
        self::safe(page, safe);
    }
    digests::hashes(page, review);
    simulation(page, &review.simulation);
    if let Some(found) = &review.found {
        self::found(page, found);
    }
    notes(page, &review.warnings, &review.unchecked, &review.problems);
}

/// A page about a transaction that no upgrade was named for.
pub(in crate::cli) fn found_alone(page: &mut Page, found: &Found) {
    self::found(page, found);
    notes(page, &found.warnings, &found.unchecked, &found.problems);
}

fn transaction(page: &mut Page, review: &Review) {
    let transaction = &review.transaction;
    let timelock = review.timelock.as_ref().map(|timelock| timelock.address);
    page.heading(if transaction.rejects {
        "the transaction: it only uses up its nonce"
    } else {
        "the transaction"
    });
    let to = if transaction.to == review.asked.app {
        format!("the app {}", transaction.to)
    } else if transaction.rejects {
        format!("the Safe itself, {}", transaction.to)
    } else if Some(transaction.to) == timelock {
        format!("the timelock {}", transaction.to)
    } else {
        format!("{} (the Safe team's library for batches)", transaction.to)
    };
    page.facts(&[
        ("to", Some(to)),
        ("value", Some(transaction.value.to_string())),
        (
            "operation",
            Some(match transaction.operation {
                0 => "0 (call)".to_owned(),
                other => format!("{other} (delegate call)"),
            }),
        ),
    ]);
    if !transaction.effects.is_empty() {
        page.heading("what takes effect, by the bytes that are signed");
        consent::effects(page, &transaction.effects);
    }
    if !transaction.rejects {
        for (index, call) in transaction.calls.iter().enumerate() {
            let name = name_of(index, transaction.calls.len());
            self::call(page, &name, call, &target(review, call));
        }
    }
    match transaction.besides.as_slice() {
        [] => page.heading("changes besides: nothing"),
        several => page.heading("changes besides:").each(several),
    };
    consent::decisions(page, &transaction.decisions);
}

/// What a call goes to; with its CVM where there are several apps.
fn target(review: &Review, call: &CallShown) -> String {
    let timelock = review.timelock.as_ref().map(|timelock| timelock.address);
    if Some(call.to) == timelock {
        return "the timelock".to_owned();
    }
    if !call.to_the_app {
        return "ANOTHER CONTRACT".to_owned();
    }
    let others = review.others.iter().map(|other| &other.asked);
    let asked = std::iter::once(&review.asked)
        .chain(others)
        .find(|asked| asked.app == call.to);
    match asked
        .and_then(|asked| asked.cvm.as_deref())
        .filter(|_| !review.others.is_empty())
    {
        Some(cvm) => format!("the app of {}", text::name(cvm)),
        None => "the app".to_owned(),
    }
}

fn name_of(index: usize, all: usize) -> String {
    match all {
        0 | 1 => "call".to_owned(),
        _ => format!("call {} of {all}", index + 1),
    }
}

fn call(page: &mut Page, name: &str, call: &CallShown, target: &str) {
    let function = call.decoded.as_ref().map_or_else(
        || "UNKNOWN: this build does not know the function".to_owned(),
        |decoded| format!("{}: {}", decoded.function, decoded.meaning),
    );
    page.heading(&format!("{name}: {function}"));
    let mut facts = vec![("target".to_owned(), Some(format!("{target}, {}", call.to)))];
    let arguments = call.decoded.iter().flat_map(|decoded| &decoded.arguments);
    facts.extend(arguments.map(|one| (one.name.clone(), Some(one.value.clone()))));
    facts.extend([
        (
            "VALUE".to_owned(),
            Some(call.value.to_string()).filter(|_| !call.value.is_zero()),
        ),
        ("calldata".to_owned(), Some(call.data.to_string())),
        ("digest".to_owned(), Some(format!("{} (ERC-8213)", call.digest))),
        ("keccak256".to_owned(), Some(call.keccak256.to_string())),
    ]);
    page.facts(&facts);
    if let Some(decoded) = &call.decoded {
        inside(page, decoded);
    }
}

/// What a timelock is to do, to the last call, and a word about what nobody should agree to without thought.
fn inside(page: &mut Page, decoded: &Decoded) {
    if decoded.dangerous {
        page.remark("DANGER: it gives or takes power, or what it does cannot be told", true);
    }
    for (index, inner) in decoded.inner.iter().enumerate() {
        let function = inner.decoded.as_ref().map_or_else(
            || "UNKNOWN: this build does not know the function".to_owned(),
            |decoded| format!("{}: {}", decoded.function, decoded.meaning),
        );
        page.heading(&format!(
            "the timelock's call {} of {}: {function}",
            index + 1,
            decoded.inner.len()
        ));
        let mut facts = vec![("target".to_owned(), Some(inner.call.to.to_string()))];
        let arguments = inner.decoded.iter().flat_map(|decoded| &decoded.arguments);
        facts.extend(arguments.map(|one| (one.name.clone(), Some(one.value.clone()))));
        facts.extend([
            (
                "VALUE".to_owned(),
                Some(inner.call.value.to_string()).filter(|_| !inner.call.value.is_zero()),
            ),
            ("calldata".to_owned(), Some(inner.call.data.to_string())),
            ("digest".to_owned(), Some(format!("{} (ERC-8213)", inner.call.digest()))),
        ]);
        page.facts(&facts);
        if let Some(decoded) = &inner.decoded {
            inside(page, decoded);
        }
    }
}

fn timelock(page: &mut Page, timelock: &TimelockNow) {
    page.heading(if timelock.now {
        "the timelock"
    } else {
        "the timelock, as the proposal says it was when this was prepared"
    });
    let seconds = |seconds: u64| {
        format!(
            "{seconds} seconds ({:#})",
            jiff::SignedDuration::from_secs(seconds.try_into().unwrap_or(i64::MAX))
        )
    };
    let when = |seconds: u64| {
        let time = seconds
            .try_into()
            .ok()
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        time.map_or_else(|| seconds.to_string(), moment)
    };
    let executed = if timelock.open_executor {
        "anybody"
    } else {
        "whoever has the role"
    };
    page.facts(&[
        ("timelock", Some(timelock.address.to_string())),
        ("operation", Some(timelock.id.to_string())),
        ("code", Some(code(timelock))),
        ("proposed by", Some(timelock.proposer.to_string())),
        (
            "others propose",
            more(timelock.proposers.len().saturating_sub(1), "can too"),
        ),
        ("administered by", Some(administered(timelock))),
        ("delay", Some(seconds(timelock.delay))),
        (
            "least delay",
            Some(seconds(timelock.min_delay)).filter(|_| timelock.min_delay != timelock.delay),
        ),
        ("executed by", Some(executed.to_owned())),
        (
            "waiting there",
            more(timelock.waiting.unwrap_or_default(), "other operations"),
        ),
        (
            "stands",
            timelock.state.map(|state| match state {
                OperationState::Unset => "not scheduled".to_owned(),
                OperationState::Waiting { ready_at } => format!("scheduled, ready at {}", when(ready_at)),
                OperationState::Ready { since } => {
                    format!("READY since {}: executable until it is cancelled", when(since))
                }
                OperationState::Done => "executed".to_owned(),
            }),
        ),
    ]);
}

/// What is known of a timelock's code.
fn code(timelock: &TimelockNow) -> String {
    match timelock.release {
        Some(release) => format!("that of OpenZeppelin's {release}"),
        None if timelock.now => format!("{}, which is no known timelock's", timelock.code_hash),
        None => timelock.code_hash.to_string(),
    }
}

/// Who changes a timelock's roles without its delay.
fn administered(timelock: &TimelockNow) -> String {
    let names: Vec<String> = timelock.admins.iter().map(ToString::to_string).collect();
    match names.as_slice() {
        [] => "nobody else, as far as is known".to_owned(),
        names => format!("{}: without its delay", names.join(", ")),
    }
}

fn more(count: usize, what: &str) -> Option<String> {
    (count > 0).then(|| format!("{count} {what}"))
}

fn safe(page: &mut Page, safe: &SafeNow) {
    let info = &safe.info;
    page.heading(if safe.now {
        "the Safe, now"
    } else {
        "the Safe, as it was when the update was prepared"
    });
    let known = match safe.singleton {
        Singleton::Known => "known",
        Singleton::Unlisted => "known code, UNLISTED address",
        Singleton::Unknown => "UNKNOWN",
    };
    let turn = match safe.turn {
        Turn::Next => format!("{}, the Safe's next one", safe.nonce),
        Turn::Queued => format!(
            "{}, queued: the Safe is at {}, those before it come first",
            safe.nonce, info.nonce
        ),
        Turn::Used => format!("{}, USED UP: the Safe is at {}", safe.nonce, info.nonce),
    };
    let none = |address: Option<alloy::primitives::Address>| {
        Some(address.map_or_else(|| "none".to_owned(), |address| address.to_string()))
    };
    let modules: Vec<String> = info.modules.iter().map(ToString::to_string).collect();
    page.facts(&[
        ("Safe", Some(info.address.to_string())),
        ("version", Some(info.version.to_string())),
        ("singleton", Some(format!("{} ({known})", info.singleton))),
        ("nonce", Some(turn)),
        (
            "signed",
            Some(format!(
                "{} of the {} signatures it asks for",
                safe.counted, info.threshold
            )),
        ),
        ("guard", none(info.guard)),
        ("module guard", none(info.module_guard)),
        (
            "modules",
            Some(if modules.is_empty() {
                "none".to_owned()
            } else {
                modules.join(", ")
            }),
        ),
        ("fallback handler", none(info.fallback_handler)),
        ("at block", Some(format!("{} {}", info.block.number, info.block.hash))),
    ]);
    page.heading("owners");
    let rows: Vec<(String, Option<String>)> = safe
        .owners
        .iter()
        .map(|one| (one.address.to_string(), Some(stands(one, safe.now))))
        .collect();
    page.facts(&rows);
    view::remarks(page, "about the Safe", &safe.findings);
    if !safe.changes.is_empty() {
        page.heading("changed since the update was prepared");
        page.each(&safe.changes);
    }
}

fn stands(owner: &Owner, now: bool) -> String {
    let agreed = match (owner.agreed, &owner.doubt) {
        (Some(Agreement::Signature), _) => "signed".to_owned(),
        (Some(Agreement::Contract), _) => "signed, as its contract confirms".to_owned(),
        (Some(Agreement::OnChain), _) => "approved on chain".to_owned(),
        (None, Some(_)) if !now => "signed, in a way that only the chain can check".to_owned(),
        (None, Some(doubt)) => format!("DOES NOT COUNT: {doubt}"),
        (None, None) => "not signed".to_owned(),
    };
    let kind = match owner.kind {
        None | Some(OwnerIs::Key) => return agreed,
        Some(OwnerIs::DelegatedKey) => "a key that delegates to a contract".to_owned(),
        Some(OwnerIs::Contract) => "a contract".to_owned(),
        Some(OwnerIs::Safe { threshold, owners }) => format!("itself a Safe, {threshold} of {owners}"),
    };
    format!("{agreed} ({kind})")
}

fn simulation(page: &mut Page, trial: &Trial) {
    let told = match trial {
        Trial::Succeeds { sender, queued: false } => format!("succeeds, sent by {sender}"),
        Trial::Succeeds { sender, queued: true } => {
            format!("succeeds, sent by {sender}, if it were its turn now")
        }
        Trial::Refused { sender, why } => format!("WOULD FAIL, sent by {sender}: {why}"),
        Trial::NotOffered => "not done: no endpoint offers it".to_owned(),
        Trial::NotAsked { why } => format!("not done: {why}"),
    };
    page.heading("simulation");
    page.block(&told);
}

fn found(page: &mut Page, found: &Found) {
    let safe = found
        .safe
        .map_or_else(|| "it names none".to_owned(), |safe| safe.to_string());
    match &found.source {
        Source::BuilderFile { name, checksum } => {
            page.heading("the Transaction Builder's file");
            page.facts(&[
                ("calls itself", Some(name.clone())),
                ("chain", Some(chain(found.chain_id))),
                ("Safe", Some(safe)),
                ("checksum", Some(if *checksum { "right" } else { "MISSING" }.to_owned())),
            ]);
        }
        Source::Service { host } => {
            page.heading("what the Safe Transaction Service shows");
            page.facts(&[
                ("service", Some(host.clone())),
                ("chain", Some(chain(found.chain_id))),
                ("Safe", Some(safe)),
                ("transactions", Some(found.transactions.len().to_string())),
            ]);
        }
    }
    for tx in &found.transactions {
        one(page, tx, found.safe);
    }
}

fn one(page: &mut Page, tx: &FoundTx, safe: Option<alloy::primitives::Address>) {
    if let Some(hashes) = &tx.hashes {
        page.heading(&format!("Safe transaction {}", hashes.safe_tx));
    }
    let told = match (tx.ours, &tx.difference) {
        _ if tx.rejects() => "ONLY USES UP ITS NONCE: it is a rejection".to_owned(),
        (Some(true), _) => "makes exactly the calls of the proposal, and nothing else".to_owned(),
        (Some(false), Some(difference)) => format!("IS NOT THE PROPOSAL: {difference}"),
        (_, Some(difference)) => format!("IS REFUSED: {difference}"),
        _ => "was compared with no proposal".to_owned(),
    };
    page.block(&told);
    posted(page, tx);
    for (index, call) in tx.calls.iter().enumerate() {
        let target = match call.to_the_app {
            true => "the app",
            false if Some(call.to) == safe => "THE SAFE ITSELF",
            false => "ANOTHER CONTRACT",
        };
        self::call(page, &name_of(index, tx.calls.len()), call, target);
    }
}

/// What a service says of it, beside what was computed here.
fn posted(page: &mut Page, tx: &FoundTx) {
    let (Some(fields), Some(hashes), Some(posted)) = (&tx.fields, &tx.hashes, &tx.posted) else {
        return;
    };
    let list = |all: &[alloy::primitives::Address]| {
        let names: Vec<String> = all.iter().map(ToString::to_string).collect();
        (!names.is_empty()).then(|| names.join(", "))
    };
    let other = tx.claimed_hash.filter(|claimed| *claimed != hashes.safe_tx);
    page.facts(&[
        ("SAID TO BE", other.map(|claimed| format!("{claimed}, WHICH IT IS NOT"))),
        ("nonce", Some(fields.nonce.to_string())),
        ("to", Some(fields.to.to_string())),
        ("value", Some(fields.value.to_string())),
        ("operation", Some(u8::from(fields.operation).to_string())),
        ("domain hash", Some(hashes.domain.to_string())),
        ("message hash", Some(hashes.message.to_string())),
        (
            "signed by",
            list(&posted.signed_by).or_else(|| Some("nobody whose signature counts".to_owned())),
        ),
        ("NOT THEIRS", list(&posted.not_theirs)),
        ("NOT CONFIRMED by the chain", list(&posted.unconfirmed)),
        ("proposed by", view::proposer(posted.proposer, posted.delegate)),
        ("says of itself", posted.origin.clone()),
        (
            "executed",
            posted.said_executed.then(|| "the service says so".to_owned()),
        ),
    ]);
}

/// What was not checked, what stands against it, and the verdict in the last line.
fn notes(page: &mut Page, warnings: &[Warning], unchecked: &[String], problems: &[Problem]) {
    view::remarks(page, "worth knowing", warnings);
    if !unchecked.is_empty() {
        page.heading("not checked");
        page.each(unchecked);
    }
    if let Some((_, others)) = problems.split_first().filter(|(_, others)| !others.is_empty()) {
        page.heading("besides what the last line says");
        for problem in others {
            page.block(&escape(&told(problem)));
        }
    }
    match problems.first() {
        None => {
            let mood = if unchecked.is_empty() {
                Mood::Clean
            } else {
                Mood::Unchecked
            };
            page.verdict(mood, &clean(unchecked.len()))
        }
        Some(problem @ Problem::Stop(_)) => page.verdict(Mood::Stop, &format!("STOP: {}", told(problem))),
        Some(problem) => page.verdict(Mood::NotNow, &format!("NOT NOW: {}", told(problem))),
    };
}

fn told(problem: &Problem) -> String {
    match problem {
        Problem::Stop(stop) => format!("{stop} ({})", stop.code),
        Problem::Decide { code, message } => format!("{message} ({code})"),
    }
}
