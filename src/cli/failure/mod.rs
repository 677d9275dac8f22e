//! The one place where errors become sentences: stable code, exit code, hint and next command.
//!
//! Every error of the library is matched here, variant by variant; a new one does not compile until it has its place.

mod api;
pub(super) mod arguments;
pub(super) mod error;
mod general;
mod governance;
mod inside;
mod outside;
mod table;
mod verdict;
mod webhook;

use std::error::Error;

pub(super) use general::{by_code, signal};
use inside::{ask, journal, signer, storage, user_file};
use outside::{chain, cloud, proof, service, transaction};
use verdict::verdict;
pub(super) use verdict::{CONSENT_FLAG, Commands, Next, Verdict};

use crate::cli::exit::Exit;
use crate::cli::failure::error::CliError;
use crate::cli::show::report::{Facts, Report};
use crate::cli::show::text::shorten;
use crate::code::{Code, Kind};
use crate::upgrade::{self, Origin, Stop, UpgradeError};

/// Turns an error into a report.
pub(super) fn report(error: &CliError, command: &str, commands: &dyn Commands) -> Report {
    let verdict = api::about(command, error, judge(error));
    let mut report = Report::done(command, message(error));
    report.exit = verdict.exit;
    report.code = verdict.code;
    report.causes = causes(error);
    report.stop = stop(error).cloned().map(Box::new);
    report.data = report.stop.as_deref().map(compared);
    if let CliError::Upgrade(error) = error
        && let UpgradeError::Forbidden(verdict) = error.as_ref()
    {
        report.set_verdict(verdict);
    }
    report.hint = Some(match verdict.next {
        Next::Signer => format!("{}: {}", verdict.hint, commands.sources()),
        _ => verdict.hint,
    })
    .filter(|hint| !hint.is_empty());
    report.next = Some(commands.command(&verdict.next));
    if let Some(problem) = api::problem(error) {
        report.facts = Facts {
            vendor_code: problem.code.clone(),
            request_id: problem.request_id.clone(),
            ..Facts::default()
        };
    }
    report
}

/// What did not match, part by part, for programs that show it to somebody.
fn compared(stop: &Stop) -> serde_json::Value {
    serde_json::json!({
        "what": stop.what,
        "expected": stop.expected,
        "found": stop.found,
        "details": stop.details,
    })
}

fn message(error: &CliError) -> String {
    match error {
        CliError::Usage { message, .. } | CliError::Secret { message } | CliError::Input { message, .. } => {
            message.clone()
        }
        CliError::Arguments(error) => crate::cli::failure::arguments::sentence(error),
        CliError::UserFile(error) => error.to_string(),
        CliError::FileExists { path, .. } => {
            format!("`{}` is there already, and holds something else", path.display())
        }
        CliError::NotThisHash { .. } => "no form of this manifest has that hash".to_owned(),
        CliError::Webhook(error) => error.to_string(),
        CliError::Upgrade(error) => error.to_string(),
        CliError::Service(error) => error.to_string(),
        CliError::Signal(Exit::Hangup) => "stopped: the terminal went away".to_owned(),
        CliError::Signal(Exit::Terminate) => "stopped on request".to_owned(),
        CliError::Signal(_) => "interrupted".to_owned(),
        CliError::Output(_) => "the result could not be printed".to_owned(),
        CliError::Defect { place } => format!("countersign has a defect, met at {place}"),
        CliError::Start(_) => "countersign could not start".to_owned(),
    }
}

/// An error and its causes on one line.
pub(super) fn told(error: &dyn Error) -> String {
    let mut parts = vec![shorten(&error.to_string())];
    parts.extend(error.source().into_iter().flat_map(each_cause));
    parts.dedup();
    parts.join(": ")
}

fn causes(error: &CliError) -> Vec<String> {
    let first: Option<&(dyn Error + 'static)> = match error {
        CliError::UserFile(error) => error.source(),
        CliError::Upgrade(error) => error.source(),
        CliError::Service(error) => error.source(),
        CliError::Output(error) | CliError::Start(error) => Some(error),
        _ => None,
    };
    let mut causes: Vec<String> = first.into_iter().flat_map(each_cause).collect();
    causes.dedup();
    causes
}

/// An error, then its cause, then the cause of that.
fn each_cause<'e>(first: &'e (dyn Error + 'static)) -> impl Iterator<Item = String> + 'e {
    eyre::Chain::new(first).map(|error| shorten(&error.to_string()))
}

fn stop(error: &CliError) -> Option<&Stop> {
    match error {
        CliError::Upgrade(error) => match error.as_ref() {
            UpgradeError::Stop(stop) => Some(stop),
            UpgradeError::Forbidden(verdict) => verdict.forbidding().and_then(|finding| finding.stop.as_deref()),
            _ => None,
        },
        _ => None,
    }
}

/// What an error means; pure.
pub(super) fn judge(error: &CliError) -> Verdict {
    match error {
        CliError::Usage { code, hint, next, .. } => verdict(Exit::Usage, *code, next.clone(), hint.clone()),
        CliError::Secret { .. } => table::said(Code::UsageSecretArgument),
        CliError::Arguments(error) => crate::cli::failure::arguments::verdict(error),
        CliError::Input { code, hint, .. } => verdict(Exit::Input, *code, Next::Again, hint.clone()),
        CliError::UserFile(error) => user_file(error),
        CliError::FileExists {
            can_overwrite: true, ..
        } => verdict(
            Exit::Input,
            Code::InputFileExists,
            Next::with("--overwrite"),
            "name another file, or replace this one by --overwrite".to_owned(),
        ),
        CliError::FileExists { .. } => verdict(
            Exit::Input,
            Code::InputFileExists,
            Next::Again,
            "name another file, or put this one elsewhere".to_owned(),
        ),
        CliError::NotThisHash { expected, found } => verdict(
            Exit::Verify,
            Code::HashMismatch,
            Next::Again,
            format!(
                "Phala Cloud's form gives {found}, not {expected}: compare the file with the one that was approved"
            ),
        ),
        CliError::Webhook(error) => webhook::delivery(error),
        CliError::Upgrade(error) => upgrade(error),
        CliError::Service(error) => service(error),
        CliError::Signal(exit) => verdict(*exit, signal_code(*exit), Next::Resume, ""),
        CliError::Output(_) => table::said(Code::StorageStdout),
        CliError::Defect { .. } => table::said(Code::Defect),
        CliError::Start(_) => table::said(Code::StartFailed),
    }
}

const fn signal_code(exit: Exit) -> Code {
    match exit {
        Exit::Hangup => Code::SignalHangup,
        Exit::Quit => Code::SignalQuit,
        Exit::Terminate => Code::SignalTerminate,
        _ => Code::SignalInterrupt,
    }
}

fn upgrade(error: &UpgradeError) -> Verdict {
    match error {
        UpgradeError::Stop(stop) => mismatch(stop),
        UpgradeError::Forbidden(verdict) => forbidden(verdict),
        UpgradeError::Decide { code, .. } => decision(Exit::State, *code),
        UpgradeError::Blocked { code, .. } => decision(Exit::State, *code),
        // Preparing takes the change again, which only `resume` knows by itself.
        UpgradeError::TooEarly { command: "prepare", .. } => verdict(
            Exit::State,
            Code::StepTooEarly,
            Next::Resume,
            "the update has to be prepared and verified first",
        ),
        UpgradeError::TooEarly { command, .. } => verdict(
            Exit::State,
            Code::StepTooEarly,
            Next::Command(command),
            format!("`{command}` comes first"),
        ),
        UpgradeError::Failed { code, .. } => ended(Exit::Failed, *code),
        UpgradeError::Unknown { code, .. } => ended(Exit::Unknown, *code),
        UpgradeError::Later { code, .. } => later(*code),
        UpgradeError::Cloud(error) => cloud(error),
        UpgradeError::Service(error) => service(error),
        UpgradeError::Chain(error) => chain(error),
        UpgradeError::Tx(error) => transaction(error),
        UpgradeError::Proof(error) => proof(error),
        UpgradeError::Signer(error) => signer(error),
        UpgradeError::Ask(error) => ask(error),
        UpgradeError::Declined { .. } => table::said(Code::Declined),
        UpgradeError::Journal(error) => journal(error),
        UpgradeError::File(error) => storage(error),
        UpgradeError::Compose(_) => table::said(Code::InputCompose),
        UpgradeError::Proposal { path, .. } => verdict(
            Exit::Input,
            Code::InputProposal,
            Next::List,
            format!(
                "ask for `{}` again from whoever made it; nothing in it can be repaired by hand",
                path.display()
            ),
        ),
    }
}

fn later(code: Code) -> Verdict {
    verdict(Exit::Later, code, Next::Resume, "run again later")
}

/// What can be done about what failed for good, or whose end is not known: that is read by the next run, of the upgrade, or
/// of the same command where no upgrade goes on with it.
pub(super) fn ended(exit: Exit, code: Code) -> Verdict {
    let usual = match (exit, code) {
        (Exit::Failed, Code::SafeTxFailed) => (
            Next::NewNonce,
            "read why the call failed; once that no longer holds, choose a new nonce with --new-nonce, and the owners sign \
             again",
        ),
        (Exit::Failed, _) => (Next::Look, "read the reason; running the same again gives the same"),
        (_, Code::EnvValuesUnknown) => (
            Next::Again,
            "run again: it looks whether they were taken, and sends them only if not",
        ),
        _ => (
            Next::Resume,
            "run again: it reads what became of it and repeats nothing",
        ),
    };
    let (next, hint) = governance::ended(code).unwrap_or(usual);
    verdict(exit, code, next, hint)
}

/// What can be done about a state that needs a decision, by its code.
pub(super) fn decision(exit: Exit, code: Code) -> Verdict {
    let (next, hint) = match code {
        Code::TxGone | Code::TxReplaced | Code::JournalRolledBack => (
            Next::Step("execute", "--new-nonce"),
            "if nothing of this upgrade can still be mined, agree to a new nonce with --new-nonce",
        ),
        Code::UpdatePending | Code::OwnUpdatePending => (
            Next::with("--supersede"),
            "if the other update may end by this one, agree to it with --supersede",
        ),
        Code::HashUnverifiable => (
            Next::with("--accept-unverified-hash"),
            "if you have checked the hash by other means, agree to it with --accept-unverified-hash",
        ),
        Code::SignerNeeded => (Next::Signer, "name the owner's key by --signer"),
        Code::ServiceNotProposer => (Next::Signer, "name the key of who proposed it by --signer"),
        Code::Funds => (Next::Resume, "send the key what is missing"),
        Code::FleetMemberUnnamed => (
            Next::Look,
            "name the CVMs that belong to it one by one, by --also, or run again once Phala Cloud lists them whole",
        ),
        Code::OperationInProgress => (Next::Again, "wait until the other operation of this CVM is over"),
        Code::CommitRejected466 => (
            Next::Resume,
            "go on: it prepares again with the same change and asks for the same hash",
        ),
        Code::TokenExpired => (
            Next::Step("resume", CONSENT_FLAG),
            "agree to preparing again by --yes: the hash has to come out the same, and no new signature is needed",
        ),
        Code::OwnerRenounced => (Next::Look, "nobody can allow a new hash for this app: deploy a new one"),
        Code::DeviceNotAllowed => (
            Next::Look,
            "the owner has to let the device in: first by `countersign app devices add DEVICE`, or in the same approval by \
             --add-device DEVICE, where that is all that is missing, or a Safe or a timelock owns the app",
        ),
        Code::OlderHashesAllowed => (
            Next::Look,
            "the owner has to take them away: by `countersign app hashes remove HASH`, or, where a Safe or a timelock owns \
             the app, in the same approval by --revoke-old",
        ),
        Code::NotASafe => (
            Next::Again,
            "check address and chain id: what is a Safe on one chain can be nothing, or somebody else's, on another",
        ),
        Code::SafeRejecting => (
            Next::Command("reject"),
            "go on with the rejection by `countersign reject`; other owners sign it by `countersign sign --reject`",
        ),
        Code::KmsOffchain => (Next::Look, "use Phala Cloud's own tools for this CVM"),
        Code::NothingToApprove => (
            Next::Again,
            "change something that the compose hash covers, or use Phala Cloud's own tools",
        ),
        _ => governance::decision(code).unwrap_or_else(|| environment_decision(code)),
    };
    verdict(exit, code, next, hint)
}

/// Next command and hint for a decision about the guest's environment, and for every code that has no hint of its own.
fn environment_decision(code: Code) -> (Next, &'static str) {
    match code {
        Code::EnvNeeded => (
            Next::Step("prepare", "--env-file FILE"),
            "prepare again with the same change and the file with the environment",
        ),
        Code::EnvNameNotAllowed => (
            Next::Again,
            "name these variables by --allowed-env as well, or leave --allowed-env out",
        ),
        Code::EnvValuesLate => (
            Next::Command("resume"),
            "take the update to its end, then give the other values to `countersign upgrade`: they need no approval",
        ),
        Code::EnvValuesOnly => (
            Next::Again,
            "send them with `countersign upgrade`, or change something that the compose hash covers as well",
        ),
        _ => table::whole(code).unwrap_or((Next::Look, "decide what is right, then go on with `countersign resume`")),
    }
}

/// What can be done about what a verdict forbids.
pub(super) fn forbidden(found: &upgrade::Verdict) -> Verdict {
    let Some(finding) = found.forbidding() else {
        return verdict(
            Exit::State,
            Code::Declined,
            Next::Look,
            "look at where the upgrade stands",
        );
    };
    match &finding.stop {
        Some(stop) => mismatch(stop),
        None => doubt(finding.code, finding.value.as_deref()),
    }
}

/// The option that agrees to a doubt, with the value that it is about.
pub(super) fn doubt(code: Code, value: Option<&str>) -> Verdict {
    let usual = decision(Exit::State, code);
    // What is no decision stands until the world changes: no option answers it.
    if code.kind() != Kind::Decision {
        return usual;
    }
    if !matches!(usual.next, Next::Look | Next::Again) && !code.needs_value() {
        return usual;
    }
    let option = match value {
        Some(value) => format!("--accept {code}={value}"),
        None => format!("--accept {code}"),
    };
    verdict(
        Exit::State,
        code,
        Next::with(option.clone()),
        format!("find out by other means whether it is right; if it is, agree to it with {option}"),
    )
}

/// What can be done about a mismatch, by its code.
fn mismatch(stop: &Stop) -> Verdict {
    let (next, hint) = match stop.code {
        Code::SignerNotOwner | Code::SignerNotSender => {
            (Next::Signer, format!("name the key of {} by --signer", stop.expected))
        }
        Code::CloudMismatch => (
            Next::Again,
            format!(
                "the upgrade was begun at {}: set PHALA_CLOUD_API_PREFIX to that",
                stop.expected
            ),
        ),
        Code::AppsMismatch => (
            Next::Look,
            "one transaction is for apps of one owner on one chain: name only such; where somebody's proposal says otherwise, \
             approve nothing of it"
                .to_owned(),
        ),
        Code::SignatureRefused => (
            Next::Look,
            "ask whoever sent it what they signed; those that count are kept, and what is to be signed is unchanged"
                .to_owned(),
        ),
        Code::ChainNotTrustworthy => (
            Next::Look,
            "commit nothing; ask other endpoints with --rpc-url whether the chain itself went back".to_owned(),
        ),
        Code::HashMismatch if stop.origin == Some(Origin::Proposal) => (
            Next::Again,
            "do not sign; get the file again by another way, and tell the others what this one says".to_owned(),
        ),
        Code::HashMismatch | Code::HashChanged => (
            Next::Look,
            format!(
                "do not approve {}; find out who changed what, before anything else",
                stop.found
            ),
        ),
        Code::DeployMismatch => (
            Next::Look,
            "do not use such an app: find out what the KMS's contract and the transaction did, before anything else"
                .to_owned(),
        ),
        code => (
            Next::Look,
            governance::mismatch(code)
                .unwrap_or("approve nothing; find out who changed it, and why, before anything else")
                .to_owned(),
        ),
    };
    verdict(Exit::Verify, stop.code, next, hint)
}

#[cfg(test)]
mod tests;
