//! What a shell is offered while a line is typed: CVMs that were met on this machine, directories of upgrades here, keys that
//! there are, and codes. Asks nobody.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Arg, Command};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};

use crate::cli::args::takes::Takes;
use crate::cli::session::environment::Environment;
use crate::cli::session::settings::ROOT;
use crate::code::Code;
use crate::fsutil;

/// The variable by which a shell's script asks.
pub(in crate::cli) const ASKED: &str = "COMPLETE";
/// Longest file of names, bytes; most of them that are kept.
const MAX_NAMES: u64 = 256 * 1024;
const KEPT: usize = 1_000;
/// Kinds of keys that need no name, and those that go on with one.
const KEYS: [&str; 7] = ["browser", "ledger", "prompt", "env:", "file:", "keystore:", "aws:"];

/// What is known on this machine.
#[derive(Debug)]
struct Known {
    cvms: Vec<String>,
    accounts: Vec<String>,
    directories: Vec<PathBuf>,
}

/// The commands, whose options and arguments offer what is known.
pub(in crate::cli) fn completing(command: &Command, env: &Environment) -> Command {
    let known = Known {
        cvms: names(env),
        accounts: env.accounts(),
        directories: fsutil::list(Path::new(ROOT)).unwrap_or_default(),
    };
    offering(command.clone(), &Arc::new(known))
}

/// Keeps the names of CVMs that were met, the newest first. Nothing depends on it.
pub(in crate::cli) fn remember<'n>(env: &Environment, met: impl IntoIterator<Item = &'n str>) {
    let Some(file) = env.cvm_names() else { return };
    let known = names(env);
    let mut all: Vec<&str> = met.into_iter().filter(|name| is_plain(name)).collect();
    all.extend(known.iter().map(String::as_str));
    let mut kept: Vec<&str> = Vec::new();
    for name in all {
        if kept.len() < KEPT && !kept.contains(&name) {
            kept.push(name);
        }
    }
    if kept == known {
        return;
    }
    let text: String = kept.iter().flat_map(|name| [*name, "\n"]).collect();
    let written = file
        .parent()
        .map(fsutil::create_private_dir)
        .transpose()
        .and_then(|_made| fsutil::note(&file, text.as_bytes(), 0o600));
    if let Err(error) = written {
        tracing::debug!(%error, "the names of CVMs are not kept for completion");
    }
}

/// The names that are kept.
fn names(env: &Environment) -> Vec<String> {
    let read = env.cvm_names().and_then(|file| fsutil::read(&file, MAX_NAMES).ok());
    let text = read.and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    text.lines().filter(|name| is_plain(name)).map(str::to_owned).collect()
}

/// Whether a shell takes it as it is: names are chosen by others, and what is completed is not quoted.
fn is_plain(name: &str) -> bool {
    let starts_well = name.chars().next().is_some_and(|c| c.is_ascii_alphanumeric());
    starts_well
        && name.len() <= 128
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

fn offering(command: Command, known: &Arc<Known>) -> Command {
    let args = Arc::clone(known);
    let command = command.mut_args(move |arg| {
        let offered = Offered::of(&arg);
        match offered {
            None => arg,
            Some(offered) => arg.add(ArgValueCompleter::new(Offer {
                offered,
                known: Arc::clone(&args),
            })),
        }
    });
    command.mut_subcommands(|below| offering(below, known))
}

/// What an argument is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Offered {
    Cvms,
    Directories,
    Keys,
    Codes,
}

impl Offered {
    fn of(arg: &Arg) -> Option<Self> {
        match Takes::of(arg) {
            Takes::Key => Some(Self::Keys),
            Takes::Cvm => Some(Self::Cvms),
            Takes::Code => Some(Self::Codes),
            _ if arg.get_long() == Some("dir") => Some(Self::Directories),
            _ if arg.get_id() == "code" => Some(Self::Codes),
            _ => None,
        }
    }
}

/// One argument's offer.
struct Offer {
    offered: Offered,
    known: Arc<Known>,
}

impl ValueCompleter for Offer {
    fn complete(&self, current: &OsStr) -> Vec<CompletionCandidate> {
        let typed = current.to_string_lossy();
        let beginning = |name: &str| name.starts_with(&*typed).then(|| CompletionCandidate::new(name));
        match self.offered {
            Offered::Cvms => self.known.cvms.iter().filter_map(|name| beginning(name)).collect(),
            Offered::Codes => Code::ALL.iter().filter_map(|code| beginning(code.name())).collect(),
            Offered::Keys => {
                let accounts = self.known.accounts.iter().filter(|name| is_plain(name));
                let accounts = accounts.filter_map(|name| beginning(&format!("account:{name}")));
                KEYS.iter().filter_map(|key| beginning(key)).chain(accounts).collect()
            }
            Offered::Directories => {
                let known = self.known.directories.iter().filter_map(|path| path.to_str());
                let known = known.filter(|path| path.split('/').all(|part| part == ROOT || is_plain(part)));
                let mut found: Vec<CompletionCandidate> = known.filter_map(beginning).collect();
                found.extend(PathCompleter::dir().complete(current));
                found
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_would_act_on_is_no_name() {
        for name in ["my-app", "payments.prod_2", "0x12"] {
            assert!(is_plain(name), "{name}");
        }
        for name in [
            "",
            "-rf",
            "a b",
            "a;b",
            "$(touch x)",
            "`x`",
            "a\nb",
            "é",
            "a\u{202e}b",
            "../x",
            &"x".repeat(129),
        ] {
            assert!(!is_plain(name), "{name:?}");
        }
    }
}
