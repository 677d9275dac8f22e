//! Arguments that clap refuses, and arguments that must not be there at all: secrets.

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::path::Path;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::cli::args::groups::grouped;
use crate::cli::args::takes::{self, Takes};
use crate::cli::args::tree::CommandTree;
use crate::cli::failure::error::CliError;
use crate::cli::failure::hints::said;
use crate::cli::failure::{Next, Verdict};
use crate::cli::show::output;
use crate::code::Code;
use crate::env::EnvName;
use crate::fsutil;
use crate::text;

/// Options that other tools have and that this one must not have.
const SECRET_OPTIONS: [&str; 9] = [
    "--private-key",
    "--privatekey",
    "--private_key",
    "--mnemonic",
    "--password",
    "--api-key",
    "--api-token",
    "--token",
    "--secret",
];
/// Options whose malformed values are not repeated, since they may hold a key, and what they take.
const SENSITIVE_OPTIONS: [(&str, &str); 13] = [
    (
        "--signer",
        "valid are browser[:ADDRESS], ledger[:PATH], keystore:PATH, account:NAME, aws:KEY-ID, file:PATH, env:NAME and prompt",
    ),
    ("--rpc-url", WEB_ADDRESS),
    ("--logs-rpc-url", WEB_ADDRESS),
    ("--service-url", WEB_ADDRESS),
    ("--url", WEB_ADDRESS),
    ("--pccs", WEB_ADDRESS),
    ("--guest-url", WEB_ADDRESS),
    ("--attest-url", WEB_ADDRESS),
    ("--kms-url", WEB_ADDRESS),
    ("--gateway-url", WEB_ADDRESS),
    (
        "--probe",
        "valid is http:// or https:// and a host, plain http on this machine only",
    ),
    ("--secret-from", "valid are env:NAME, file:PATH and prompt"),
    ("--second-factor-from", "valid are env:NAME, file:PATH and prompt"),
];
const WEB_ADDRESS: &str = "valid is http:// or https:// and a host, for example https://mainnet.base.org";

/// Refuses arguments that are secrets, before anything can repeat them: other users of the machine see arguments, and
/// shells keep them.
pub(in crate::cli) fn refuse_secrets(args: &[OsString], commands: &CommandTree) -> Result<(), CliError> {
    let mut before = "";
    for arg in args.iter().skip(1) {
        let arg = arg.to_str().unwrap_or_default();
        let (name, value) = match arg.split_once('=') {
            Some((name, value)) if name.starts_with("--") => (name, Some(value)),
            _ if arg.starts_with('-') => (arg, None),
            _ => (before, Some(arg)),
        };
        if gives_value(before, arg) {
            return Err(CliError::Usage {
                code: Code::UsageEnvValue,
                message: "the value of a variable stands in the arguments, which others can see; it is not repeated here"
                    .to_owned(),
                hint: "write NAME=VALUE into a file (chmod 600) and name it by --env-file, or export the variable and name \
                       it by --env NAME"
                    .to_owned(),
                next: Next::Command("--help"),
            });
        }
        if name.starts_with('-') && looks_secret(name.trim_start_matches('-')) {
            return Err(secret_argument(
                "an argument looks like a secret; it is not repeated here",
            ));
        }
        if SECRET_OPTIONS.contains(&name) && arg.starts_with("--") {
            return Err(secret_argument(&format!(
                "there is no `{name}`, because arguments are visible to others"
            )));
        }
        let by_itself = || {
            let is_behind =
                before.starts_with('-') && before != "--" && !takes::is_flag(&takes::taken(commands.whole(), before));
            name == before && !is_behind && lists_hashes(args, commands)
        };
        let is_public = |value: &str| {
            let of_hex = || {
                let typed = args.iter().skip(1).map(OsString::as_os_str);
                let is_hex = |taken: Vec<Takes>| taken.iter().any(Takes::is_public);
                is_hex(commands.taken(typed, name)) || is_hex(takes::taken(commands.whole(), name))
            };
            (is_hash(value) && by_itself()) || (!is_marked(value) && of_hex()) || is_address(value)
        };
        if value.is_some_and(|value| looks_secret(value) && !is_public(value)) {
            return Err(secret_argument(
                "an argument looks like a secret; it is not repeated here",
            ));
        }
        before = arg;
    }
    Ok(())
}

/// The command that the arguments name. Options of every command have no value, so that its words are the first that are
/// no options.
fn named<'t>(args: &[OsString], commands: &'t CommandTree) -> Option<&'t clap::Command> {
    let words = args.iter().skip(1).filter_map(|arg| arg.to_str());
    let mut command = None;
    for word in words.filter(|word| !word.starts_with('-')) {
        match commands.below(command, OsStr::new(word)) {
            Some(below) => command = Some(below),
            None => break,
        }
    }
    command
}

/// Whether the command is one whose own arguments are hashes.
fn lists_hashes(args: &[OsString], commands: &CommandTree) -> bool {
    let command = named(args, commands);
    let takes_hex = |command: &clap::Command| command.get_positionals().any(|arg| Takes::of(arg).is_public());
    command.is_some_and(takes_hex)
}

/// Whether an argument is `NAME=VALUE` for the guest's environment, as the official CLI takes it.
fn gives_value(before: &str, arg: &str) -> bool {
    let attached = ["--env-file=", "--env=", "-e=", "-e"]
        .into_iter()
        .find_map(|option| arg.strip_prefix(option));
    let value = match attached {
        _ if matches!(before, "-e" | "--env" | "--env-file") => arg,
        Some(value) => value,
        None => return false,
    };
    value
        .split_once('=')
        .is_some_and(|(name, _)| EnvName::new(name).is_ok())
}

fn secret_argument(message: &str) -> CliError {
    CliError::Secret {
        message: message.to_owned(),
    }
}

fn is_hash(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A private key or most of one, an API key, a webhook's secret, or the words of a seed phrase; also behind `name:`, and
/// with something around it, such as the ending of a file. A file that is there is named, whatever it is called.
pub(in crate::cli) fn looks_secret(text: &str) -> bool {
    let last = text.rsplit(':').next().unwrap_or_default();
    is_hash(last) || is_marked(last) || (text::may_hold_secret(text) && !fsutil::is_there(Path::new(text)))
}

/// An API key or a webhook's secret, by its first characters.
fn is_marked(text: &str) -> bool {
    ["phak_", "whsec_"].into_iter().any(|mark| text.starts_with(mark))
}

/// A key in the address of an endpoint has its place there, and is never shown.
fn is_address(text: &str) -> bool {
    ["http://", "https://"]
        .into_iter()
        .any(|scheme| text.starts_with(scheme))
}

/// Whether one JSON object is asked for, as far as that can be known when the arguments are wrong.
pub(in crate::cli) fn wants_json(args: &[OsString]) -> bool {
    args.iter()
        .skip(1)
        .take_while(|arg| *arg != "--")
        .any(|arg| arg == "--json")
}

/// What clap found wrong, in one sentence without its decoration.
pub(in crate::cli) fn sentence(error: &clap::Error) -> String {
    let valid = |argument: &str| {
        SENSITIVE_OPTIONS
            .iter()
            .find(|(name, _)| argument.split(' ').next() == Some(name))
    };
    let is_about = |kind, unknown: &str| {
        let wrong = texts(error, kind).pop()?;
        let near = nearest(error).map_or_else(String::new, |(_, near)| format!("; the nearest is `{near}`"));
        Some(format!("there is no {unknown} `{wrong}`{near}"))
    };
    let told = match error.kind() {
        ErrorKind::InvalidSubcommand => is_about(ContextKind::InvalidSubcommand, "command"),
        ErrorKind::UnknownArgument => is_about(ContextKind::InvalidArg, "argument"),
        _ if is_command_missing(error) => Some("one of its commands has to follow".to_owned()),
        _ => None,
    };
    if let Some(told) = told {
        let valid = texts(error, ContextKind::ValidSubcommand).join(", ");
        return if valid.is_empty() {
            told
        } else {
            format!("{told}: {valid}")
        };
    }
    let value = matches!(error.kind(), ErrorKind::ValueValidation | ErrorKind::InvalidValue);
    let argument = invalid_argument(error).filter(|_| value);
    if let Some((argument, (_, valid))) = argument.and_then(|argument| Some((argument, valid(argument)?))) {
        return format!("the value of {argument} is not one it can have; {valid}");
    }
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let mut sentence = String::new();
    let own = text
        .lines()
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    for line in own
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("tip:"))
    {
        // Writing to a string cannot fail.
        let _written = write!(sentence, "{}{line}", if sentence.is_empty() { "" } else { " " });
    }
    let valid = texts(error, ContextKind::ValidValue);
    let is_said = valid.iter().all(|one| sentence.contains(one.as_str()));
    match (nearest(error), is_said) {
        (Some((_, near)), _) => format!("{sentence}; the nearest is `{near}`"),
        (None, false) => format!("{sentence}; valid are {}", valid.join(", ")),
        (None, true) => sentence,
    }
}

/// What was typed, and what of all that is valid is nearest to it, if anything is near.
fn nearest(error: &clap::Error) -> Option<(String, String)> {
    let (typed, near) = match error.kind() {
        ErrorKind::InvalidSubcommand => (ContextKind::InvalidSubcommand, ContextKind::SuggestedSubcommand),
        ErrorKind::UnknownArgument => (ContextKind::InvalidArg, ContextKind::SuggestedArg),
        ErrorKind::InvalidValue => (ContextKind::InvalidValue, ContextKind::SuggestedValue),
        _ => return None,
    };
    // The last of several is the nearest.
    Some((texts(error, typed).pop()?, texts(error, near).pop()?))
}

/// What a refusal of clap's says under a name.
fn texts(error: &clap::Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(all)) => all.clone(),
        _ => Vec::new(),
    }
}

/// With what could stand where something is missing: a command of the group, a value of the option.
pub(in crate::cli) fn with_valid(mut error: clap::Error, args: &[OsString], commands: &CommandTree) -> clap::Error {
    let command = named(args, commands);
    if is_command_missing(&error) {
        let names = command
            .unwrap_or(commands.whole())
            .get_subcommands()
            .map(clap::Command::get_name);
        let names = names.filter(|name| *name != "help").map(str::to_owned).collect();
        error.insert(ContextKind::ValidSubcommand, ContextValue::Strings(names));
    }
    if error.kind() == ErrorKind::MissingRequiredArgument {
        let missing = texts(&error, ContextKind::InvalidArg);
        let all = command.into_iter().flat_map(clap::Command::get_arguments);
        let all = all.filter(|arg| missing.contains(&arg.to_string()));
        let valid = all
            .flat_map(clap::Arg::get_possible_values)
            .map(|value| value.get_name().to_owned());
        let valid: Vec<String> = valid.collect();
        if !valid.is_empty() {
            error.insert(ContextKind::ValidValue, ContextValue::Strings(valid));
        }
    }
    error
}

/// The help of a group without a command; nothing where something else is wrong.
pub(in crate::cli) fn help(error: &clap::Error, args: &[OsString], commands: &CommandTree) -> Option<String> {
    let asked = Some(args).filter(|_| is_command_missing(error))?;
    let whole = grouped(commands.whole().clone(), output::columns(), true);
    let words = asked.iter().skip(1).filter_map(|arg| arg.to_str());
    let mut group = words
        .fold(&whole, |group, word| group.find_subcommand(word).unwrap_or(group))
        .clone();
    Some(group.render_help().to_string())
}

/// clap then shows the help, whose first line is no sentence about what is wrong.
fn is_command_missing(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    )
}

fn invalid_argument(error: &clap::Error) -> Option<&str> {
    match error.get(ContextKind::InvalidArg)? {
        ContextValue::String(name) => Some(name),
        _ => None,
    }
}

/// What a refusal of clap's means.
pub(in crate::cli) fn verdict(error: &clap::Error) -> Verdict {
    let code = match error.kind() {
        ErrorKind::UnknownArgument => Code::UsageUnknownArgument,
        ErrorKind::InvalidSubcommand => Code::UsageUnknownCommand,
        _ if is_command_missing(error) => Code::UsageMissingCommand,
        ErrorKind::MissingRequiredArgument => Code::UsageMissingArgument,
        ErrorKind::ArgumentConflict => Code::UsageConflict,
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => Code::UsageInvalidValue,
        _ => Code::UsageArguments,
    };
    let said = said(code);
    match nearest(error) {
        Some((typed, near)) => Verdict {
            next: Next::Instead(typed, near),
            ..said
        },
        None => said,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use std::collections::BTreeSet;

    use super::*;
    use crate::cli::root::Cli;

    const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    #[test]
    fn a_group_without_a_command_says_that_one_is_missing() {
        for group in ["cvm", "kms", "webhook", "app", "safe", "fleet"] {
            let error = Cli::try_parse_from(["countersign", group]).unwrap_err();
            assert_eq!(sentence(&error), "one of its commands has to follow", "{group}");
            assert_eq!(verdict(&error).code, "USAGE_MISSING_COMMAND", "{group}");
        }
    }

    /// Every option whose value may hold a key, a secret or an address is one whose value is not repeated.
    #[test]
    fn no_option_that_may_hold_a_secret_repeats_its_value() {
        fn sensitive(command: &clap::Command, found: &mut BTreeSet<String>) {
            let kinds = [Takes::Key, Takes::Secret, Takes::Address];
            let args = command.get_arguments().filter(|arg| kinds.contains(&Takes::of(arg)));
            found.extend(args.filter_map(|arg| Some(format!("--{}", arg.get_long()?))));
            command.get_subcommands().for_each(|below| sensitive(below, found));
        }
        let mut found = BTreeSet::new();
        sensitive(CommandTree::of::<Cli>().whole(), &mut found);
        let known: BTreeSet<String> = SENSITIVE_OPTIONS.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(found, known);
    }

    fn refused(words: &[&str]) -> bool {
        refuse_secrets(&arguments(words), &CommandTree::of::<Cli>()).is_err()
    }

    fn arguments(words: &[&str]) -> Vec<OsString> {
        std::iter::once("countersign")
            .chain(words.iter().copied())
            .map(OsString::from)
            .collect()
    }

    #[test]
    fn n5_a_secret_in_the_arguments_is_refused_wherever_it_stands() {
        let prefixed = format!("0x{KEY}");
        let phrase = "test test test test test test test test test test test junk";
        for secret in [KEY, &prefixed, "phak_abcdef", "whsec_abcdef", phrase] {
            for words in [
                vec!["execute", "--signer", secret],
                vec!["execute", secret],
                vec!["execute", "--dir", secret],
                vec!["hash", "x.json", "--known", "0x00", secret],
                vec!["execute", &format!("--signer={secret}")],
                vec!["execute", "--signer", &format!("env:{secret}")],
                vec!["execute", &format!("--unknown={secret}")],
            ] {
                assert!(refused(&words), "{words:?}");
            }
        }
        for option in SECRET_OPTIONS {
            assert!(
                refused(&["execute", option, "x"]) && refused(&["execute", &format!("{option}=x")]),
                "{option}"
            );
        }
    }

    #[test]
    fn se2_low_a_key_pasted_with_an_ending_or_anything_around_it_is_refused_and_not_repeated() {
        let part: String = KEY.chars().take(50).collect();
        let upper = KEY.to_uppercase();
        let pasted = [
            format!("0x{KEY}.txt"),
            format!("{KEY}.json"),
            format!("/x/{part}"),
            format!("./0X{upper}"),
            format!("'0x{KEY}'"),
            format!("\"{upper}\" "),
            format!(" {KEY}\n"),
            format!("{KEY}/"),
        ];
        for text in &pasted {
            let mut all = vec![vec!["sign".to_owned(), text.clone()]];
            for kind in ["file", "keystore", "account", "env", "aws", "ledger", "nothing"] {
                all.push(
                    ["execute", "--signer"]
                        .map(str::to_owned)
                        .into_iter()
                        .chain([format!("{kind}:{text}")])
                        .collect(),
                );
                all.push(vec!["execute".to_owned(), format!("--signer={kind}:{text}")]);
            }
            for option in [
                "--password-file",
                "--out",
                "--dir",
                "-c",
                "--env-file",
                "--signer",
                "--format",
                "--unknown",
            ] {
                all.push(vec!["export".to_owned(), option.to_owned(), text.clone()]);
            }
            for words in all {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let error = refuse_secrets(&arguments(&words), &CommandTree::of::<Cli>()).unwrap_err();
                let CliError::Secret { message } = error else {
                    panic!("another error")
                };
                assert!(!message.contains("ac0974") && !message.contains("AC0974"));
            }
            let error = format!("{text}.txt")
                .parse::<crate::signer::Source>()
                .unwrap_err()
                .to_string();
            assert!(!error.to_lowercase().contains("ac0974"), "{error}");
            for kind in ["file", "keystore", "account", "env", "aws", "ledger"] {
                let error = format!("{kind}:{text}")
                    .parse::<crate::signer::Source>()
                    .unwrap_err()
                    .to_string();
                assert!(!error.to_lowercase().contains("ac0974"), "{error}");
            }
        }
    }

    #[test]
    fn a_file_that_is_there_may_have_a_hash_in_its_name() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(format!("sha256-{KEY}.json"));
        let word = path.to_str().unwrap();
        assert!(refused(&["hash", word]));
        fsutil::write(&path, b"{}", 0o600).unwrap();
        assert!(!refused(&["hash", word]));
    }

    #[test]
    fn hashes_addresses_and_names_are_no_secrets() {
        let hash = format!("0x{KEY}");
        let address = format!("0x{}", "1a".repeat(20));
        for words in [
            vec!["hash", "x.json", "--known", &hash],
            vec!["hash", "x.json", &format!("--known={hash}")],
            vec!["app", "check", "--hash", &hash, "--device", KEY],
            vec!["app", "show", &address],
            vec!["execute", "--accept", &format!("SAFE_CODE_UNKNOWN={hash}")],
            vec!["app", "deploy", "--kms-root-key", &format!("04{KEY}{KEY}")],
            vec!["safe", "hash", "--data", &format!("0x{KEY}{KEY}{KEY}")],
            vec!["webhook", "verify", "--header", &format!("X-Signature: sha256={KEY}")],
            vec!["plan", "--rpc-url", &format!("https://base.example/v2/{KEY}")],
            vec!["execute", "--signer", "env:DEPLOY_KEY", "--password-file", "p"],
        ] {
            assert!(!refused(&words), "{words:?}");
        }
    }

    #[test]
    fn n5_hashes_stand_by_themselves_only_where_a_list_of_them_is_changed() {
        let hash = format!("0x{KEY}");
        for words in [
            vec!["app", "devices", "add", &hash],
            vec!["--json", "app", "hashes", "remove", "--cvm", "x", "--json", &hash, KEY],
            vec!["app", "hashes", "add", "--remove-in-use", &hash],
            vec!["app", "change", "--remove-device", &hash, "--add-hash", &hash],
        ] {
            assert!(!refused(&words), "{words:?}");
        }
        for words in [
            vec!["app", "devices", "list", &hash],
            vec!["app", "owner", "transfer", &hash],
            vec!["app", "devices", "add", "--dir", &hash],
            vec!["app", "devices", "add", "--rpc-url", &hash],
            vec!["app", "devices", "add", &format!("--dir={hash}")],
            vec!["app", "devices", "add", &format!("x:{hash}")],
            vec!["app", "devices", "add", "phak_abcdef"],
            vec!["execute", "app", "devices", "add", &hash],
        ] {
            assert!(refused(&words), "{words:?}");
        }
    }

    #[test]
    fn n5_no_refusal_repeats_what_it_refuses() {
        let CliError::Secret { message } =
            refuse_secrets(&arguments(&["execute", "--signer", KEY]), &CommandTree::of::<Cli>()).unwrap_err()
        else {
            panic!("another error")
        };
        assert!(!message.contains("ac0974"));
        let verify = Cli::try_parse_from(arguments(&["webhook", "verify", "--secret-from", "CANARY"])).unwrap_err();
        assert!(!sentence(&verify).contains("CANARY"));
        for (option, value) in [("--signer", "CANARY"), ("--rpc-url", "CANARY")] {
            for words in [
                vec!["execute", option, value],
                vec!["execute", &format!("{option}={value}")],
            ] {
                let error = Cli::try_parse_from(arguments(&words)).unwrap_err();
                let said = sentence(&error);
                assert!(!said.contains("CANARY") && said.contains(option), "{said}");
            }
        }
    }

    #[test]
    fn n5_a_value_of_the_environment_in_the_arguments_is_refused_and_not_repeated() {
        for words in [
            vec!["prepare", "-e", "A=CANARY"],
            vec!["prepare", "-eA=CANARY"],
            vec!["prepare", "-e=A=CANARY"],
            vec!["upgrade", "--env", "A_1=CANARY"],
            vec!["upgrade", "--env=A=CANARY"],
            vec!["upgrade", "--env-file", "A=CANARY"],
            vec!["upgrade", "--env-file=A=CANARY"],
        ] {
            let error = refuse_secrets(&arguments(&words), &CommandTree::of::<Cli>()).unwrap_err();
            assert!(
                matches!(
                    error,
                    CliError::Usage {
                        code: Code::UsageEnvValue,
                        ..
                    }
                ),
                "{words:?}"
            );
            assert!(!format!("{error:?}").contains("CANARY"));
        }
        for words in [
            vec!["prepare", "-e", ".env"],
            vec!["prepare", "-e", "./A=b"],
            vec!["prepare", "--env", "A,B"],
            vec!["prepare", "--compose", "A=b"],
        ] {
            assert!(!refused(&words), "{words:?}");
        }
    }

    #[test]
    fn json_is_recognised_although_the_arguments_are_wrong() {
        assert!(wants_json(&arguments(&["frobnicate", "--json"])));
        assert!(!wants_json(&arguments(&["frobnicate", "--", "--json"])));
        assert!(!wants_json(&arguments(&["frobnicate"])));
    }

    #[test]
    fn a_refusal_of_claps_is_one_line() {
        for words in [
            vec!["plan", "--timeout"],
            vec!["plan", "--timeout", "x"],
            vec!["wait", "p", "--dir", "d"],
            vec!["app", "show", "0x1"],
        ] {
            let said = sentence(&Cli::try_parse_from(arguments(&words)).unwrap_err());
            assert!(
                !said.is_empty() && !said.contains('\n') && !said.starts_with("error"),
                "{said}"
            );
        }
    }
}
