//! The one place where errors become sentences: stable code, exit code, hint and next command.
//!
//! Every error of the library is matched here, variant by variant; a new one does not compile until it has its place.

mod api;
pub(super) mod arguments;
pub(super) mod cvms;
pub(super) mod error;
mod hints;
mod inside;
mod outside;
mod verdict;
mod webhook;

use std::error::Error;

use hints::{about, said};
pub(super) use hints::{by_code, decision, doubt, ended, signal};
use inside::{ask, journal, signer, storage, user_file};
use outside::{chain, cloud, proof, service, transaction};
use verdict::verdict;
pub(super) use verdict::{CONSENT_FLAG, Commands, Next, Verdict};

use crate::cli::exit::Exit;
use crate::cli::failure::error::CliError;
use crate::cli::show::report::{Facts, Report};
use crate::cli::show::text::each_cause;
pub(super) use crate::cli::show::text::told;
use crate::code::Code;
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
    let next = commands.command(&verdict.next);
    // Whoever declined agrees by the same command.
    let is_repeated = verdict.exit.is_repeated() || verdict.code == Code::Declined;
    let repeats = !is_repeated && next == commands.command(&Next::Again);
    report.next = Some(match repeats {
        true => commands.command(&Next::Explain(Some(verdict.code.name()))),
        false => next,
    });
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
        CliError::NoCvm { named, known, .. } => cvms::sentence(named, known),
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
        CliError::Secret { .. } => said(Code::UsageSecretArgument),
        CliError::NoCvm { named, known, refusal } => Verdict {
            next: cvms::next(named, known),
            ..judge(refusal)
        },
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
        CliError::Signal(exit) => ended(*exit, signal_code(*exit)),
        CliError::Output(_) => said(Code::StorageStdout),
        CliError::Defect { .. } => said(Code::Defect),
        CliError::Start(_) => said(Code::StartFailed),
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
        UpgradeError::Decide { code, .. } | UpgradeError::Blocked { code, .. } => decision(*code),
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
        UpgradeError::Later { code, .. } => ended(Exit::Later, *code),
        UpgradeError::Cloud(error) => cloud(error),
        UpgradeError::Service(error) => service(error),
        UpgradeError::Chain(error) => chain(error),
        UpgradeError::Tx(error) => transaction(error),
        UpgradeError::Proof(error) => proof(error),
        UpgradeError::Signer(error) => signer(error),
        UpgradeError::Ask(error) => ask(error),
        UpgradeError::Declined { .. } => said(Code::Declined),
        UpgradeError::Journal(error) => journal(error),
        UpgradeError::File(error) => storage(error),
        UpgradeError::Compose(_) => said(Code::InputCompose),
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

/// What can be done about a mismatch.
fn mismatch(stop: &Stop) -> Verdict {
    if stop.code == Code::HashMismatch && stop.origin == Some(Origin::Proposal) {
        return verdict(
            Exit::Verify,
            stop.code,
            Next::Again,
            "do not sign; get the file again by another way, and tell the others what this one says",
        );
    }
    let values = [("expected", &*stop.expected), ("found", &*stop.found)];
    Verdict {
        exit: Exit::Verify,
        ..about(stop.code, &values)
    }
}

#[cfg(test)]
mod tests;
