//! The next command, with the user's own values in it, ready to paste. Pure.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use alloy::primitives::Address;
use url::Url;

use crate::chain::factory::DeployedApp;
use crate::cli::args::takes::{self, Takes};
use crate::cli::args::tree::CommandTree;
use crate::cli::failure::{Commands, Next};
use crate::compose::ComposeHash;
use crate::signer::Source;
use crate::text::{self, Word};

/// The program's name in commands.
const PROGRAM: &str = "countersign";
/// The one that every command has.
const REQUIRE_DIGESTS: &str = "--require-digests";
/// The service of a Safe's chain; its key is never in it, its path is.
const SERVICE_URL: &str = "--service-url";

/// The command line as it was typed, and the upgrade it turned out to be about.
#[derive(Debug, Clone)]
pub(in crate::cli) struct CommandLine {
    words: Vec<OsString>,
    /// Every command with its options.
    commands: &'static CommandTree,
    dir: Option<PathBuf>,
    /// The proposal, where it is about one by itself.
    file: Option<PathBuf>,
    /// Names of the keys in Foundry's folder.
    accounts: Vec<String>,
    /// What the variable for the endpoint holds.
    endpoint: Option<String>,
}

/// Most names of keys that a hint lists.
const MAX_ACCOUNTS: usize = 10;

impl CommandLine {
    /// Nothing was typed, as by whoever is told what to run.
    pub(in crate::cli) fn nothing() -> Self {
        static NONE: LazyLock<CommandTree> = LazyLock::new(|| CommandTree::new(clap::Command::new(PROGRAM)));
        Self::new(&[], &NONE)
    }

    /// Remembers the arguments, program name first, and the commands that there are.
    pub(in crate::cli) fn new(args: &[OsString], commands: &'static CommandTree) -> Self {
        // What looks like a secret is refused before it is used, and must not come back in the advice.
        let harmless = crate::cli::failure::arguments::refuse_secrets(args, commands).is_ok();
        let words = args
            .iter()
            .skip(1)
            .filter(|word| harmless || word.to_str().is_some_and(|word| is_command(commands.whole(), word)))
            .cloned()
            .collect();
        Self {
            words,
            commands,
            dir: None,
            file: None,
            accounts: Vec::new(),
            endpoint: None,
        }
    }

    /// Sets what the variable for the endpoint holds.
    pub(in crate::cli) fn with_endpoint(mut self, endpoint: Option<String>) -> Self {
        self.endpoint = endpoint;
        self
    }

    /// Sets the names of the keys in Foundry's folder.
    pub(in crate::cli) fn with_accounts(mut self, accounts: Vec<String>) -> Self {
        self.accounts = accounts;
        self
    }

    /// Sets the proposal file, where the command is about a proposal by itself.
    pub(in crate::cli) fn about_file(mut self, file: Option<PathBuf>) -> Self {
        self.file = file;
        self
    }

    /// Sets the directory of the upgrade that the command is about.
    pub(in crate::cli) fn within(mut self, dir: Option<&Path>) -> Self {
        self.dir = dir.map(Path::to_owned);
        self
    }

    /// Another command for the same upgrade.
    pub(in crate::cli) fn step(&self, command: &str) -> String {
        match (&self.dir, &self.file) {
            (Some(dir), _) => self.placed(command, vec![Word::from("--dir"), Word::from(dir)]),
            (None, Some(file)) => self.of_file(command, file),
            (None, None) => format!("{PROGRAM} {command}"),
        }
    }

    /// Another command for a proposal.
    pub(in crate::cli) fn of_file(&self, command: &str, file: &Path) -> String {
        self.placed(command, vec![file_word(file)])
    }

    /// A command that takes the signatures in `signatures` into the upgrade.
    pub(in crate::cli) fn import(&self, signatures: &Path) -> String {
        let place = match (&self.dir, &self.file) {
            (Some(dir), _) => vec![Word::from("--dir"), Word::from(dir)],
            (None, Some(file)) => vec![Word::from("--proposal"), Word::from(file)],
            (None, None) => Vec::new(),
        };
        self.placed("import", [vec![file_word(signatures)], place].concat())
    }

    fn placed(&self, command: &str, place: Vec<Word>) -> String {
        let mut words = vec![Word::from(PROGRAM)];
        words.extend(command.split(' ').map(Word::from));
        words.extend(place);
        words.extend(self.carried(command));
        text::command(&words)
    }

    const fn is_placed(&self) -> bool {
        self.dir.is_some() || self.file.is_some()
    }

    /// A command with a key that can be named here, where none was.
    pub(in crate::cli) fn with_key(&self, command: String) -> String {
        if self.value_of("--signer").is_some() {
            return command;
        }
        format!("{command} {}", self.key_option())
    }

    /// The key that is most likely somebody's: never one that stands in the open.
    fn key_option(&self) -> String {
        match self.accounts.first() {
            Some(name) => text::option("--signer", &format!("account:{name}")),
            None => "--signer keystore:PATH".to_owned(),
        }
    }

    /// The files that were typed to be read: by options that take one, keys among them, and what stands by itself.
    pub(in crate::cli) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut before = "";
        for word in &self.words {
            let text = word.to_str().unwrap_or_default();
            let (option, value) = match text.split_once('=') {
                Some((option, value)) if option.starts_with('-') => (option, value),
                _ => (before, text),
            };
            let path = match value.split_once(':') {
                Some(("keystore" | "file", path)) => PathBuf::from(path),
                _ if text.is_empty() => PathBuf::from(word),
                _ => PathBuf::from(value),
            };
            let taken = self.taken(option);
            let is_read = taken.contains(&Takes::File) || taken.contains(&Takes::Key);
            if is_read || !option.starts_with('-') {
                files.push(path);
            }
            before = text;
        }
        files
    }

    /// Whether an option was given.
    pub(in crate::cli) fn has(&self, option: &str) -> bool {
        self.value_of(option).is_some()
    }

    /// The arguments as typed, for the command `other` in place of `command`.
    pub(in crate::cli) fn instead_of(&self, command: &str, other: &str) -> String {
        let mut words = self.shown();
        let command = Word::from(command);
        if let Some(word) = words.iter_mut().find(|word| **word == command) {
            *word = Word::from(other);
        }
        join(&words)
    }

    fn again(&self, more: &str) -> String {
        let mut line = join(&self.shown());
        let flag = more.split(' ').next().unwrap_or_default();
        if !more.is_empty() && !self.words.iter().any(|word| name(word) == flag) {
            line.push(' ');
            line.push_str(more);
        }
        line
    }

    /// The command as typed, with one word, or the option that a word begins with, in place of another.
    fn corrected(&self, wrong: &str, right: &str) -> String {
        let words = self.words.iter().zip(self.shown()).map(|(word, shown)| {
            let value = |word: &str| {
                word.strip_prefix(wrong)
                    .filter(|rest| rest.starts_with('='))
                    .map(str::to_owned)
            };
            match word.to_str() {
                Some(word) if word == wrong => Word::from(right),
                Some(word) => match (value(word), word.split_once('=')) {
                    (Some(rest), _) => Word::from(format!("{right}{rest}")),
                    (None, Some((option, value))) if value == wrong => Word::from(format!("{option}={right}")),
                    _ => shown,
                },
                None => shown,
            }
        });
        join(&words.collect::<Vec<_>>())
    }

    /// The command as typed, without an option and its value.
    fn without(&self, option: &str) -> String {
        let is_flag = takes::is_flag(&self.taken(option));
        let mut words = self.words.iter().zip(self.shown());
        let mut kept = Vec::new();
        while let Some((word, shown)) = words.next() {
            match word.to_str() {
                Some(word) if word == option && is_flag => {}
                Some(word) if word == option => drop(words.next()),
                Some(_) if name(word) == option => {}
                _ => kept.push(shown),
            }
        }
        join(&kept)
    }

    /// The value that an option was given.
    pub(in crate::cli) fn value_of(&self, option: &str) -> Option<&str> {
        let at = self.words.iter().position(|word| name(word) == option)?;
        match self.words.get(at)?.to_str()?.split_once('=') {
            Some((_, value)) => Some(value),
            None => self.words.get(at.saturating_add(1))?.to_str(),
        }
    }

    /// The words with addresses cut to what may be shown: an RPC address often holds a key.
    fn shown(&self) -> Vec<Word> {
        let mut shown = Vec::new();
        let mut address = None;
        for word in &self.words {
            let joined = takes::ADDRESSES.iter().find_map(|name| {
                let value = word.to_str()?.strip_prefix(name)?.strip_prefix('=')?;
                Some(self.public(name, "=", value))
            });
            shown.push(match (joined, address) {
                (Some(joined), _) => joined,
                (None, Some(name)) => self.public(name, "", &word.to_string_lossy()),
                (None, None) => Word::from(word),
            });
            address = takes::ADDRESSES
                .iter()
                .find(|name| word == name.as_str())
                .map(String::as_str);
        }
        shown
    }

    /// The address, if it is nothing but scheme, host and port (and for a service a path); otherwise the variable that
    /// holds it, if one does, or a word for it. With its option in front where `between` joins the two.
    fn public(&self, option: &str, between: &str, address: &str) -> Word {
        let is_service = option == SERVICE_URL;
        let harmless = |url: &Url| {
            let nobody = url.username().is_empty() && url.password().is_none();
            nobody && (is_service || url.path() == "/") && url.query().is_none() && url.fragment().is_none()
        };
        let front = if between.is_empty() {
            String::new()
        } else {
            format!("{option}{between}")
        };
        match address.parse::<Url>() {
            Ok(url) if harmless(&url) => Word::from(format!("{front}{address}")),
            _ if !is_service && self.endpoint.as_deref() == Some(address) => Word::RpcUrl { option: front },
            _ => Word::from(format!("{front}URL")),
        }
    }

    fn carried(&self, command: &str) -> Vec<Word> {
        let mut carried = Vec::new();
        let mut words = self.words.iter().zip(self.shown());
        while let Some((word, shown)) = words.next() {
            let name = name(word);
            let is_kept = takes::CARRIED.iter().any(|one| one == name) && self.knows(command, name);
            // What was agreed to stands in a directory's journal, and nowhere for a file.
            let agreed = name == "--accept" && self.dir.is_none();
            // Reading goes without the service, and asks more with it; what is put there goes to the same one.
            let posts = name == SERVICE_URL && command == "propose";
            if !is_kept && !agreed && !posts && name != REQUIRE_DIGESTS {
                continue;
            }
            carried.push(shown);
            if word == name && !takes::is_flag(&self.taken(name)) {
                carried.extend(words.next().map(|(_, shown)| shown));
            }
        }
        carried
    }

    /// Whether a command takes an option.
    fn knows(&self, command: &str, option: &str) -> bool {
        let mut words = command.split(' ').filter(|word| !word.starts_with('-'));
        let found = words.try_fold(None, |above, name| {
            Some(Some(self.commands.below(above, OsStr::new(name))?))
        });
        // Parsing hands what is global to the commands on its way, and to no others.
        let takes = |arg: &clap::Arg| !arg.is_global_set() && arg.get_long() == Some(option.trim_start_matches('-'));
        found
            .flatten()
            .is_some_and(|command| command.get_arguments().any(takes))
    }

    /// What the options of this name take, in the command that was typed.
    fn taken(&self, option: &str) -> Vec<Takes> {
        self.commands.taken(self.words.iter().map(OsString::as_os_str), option)
    }

    /// The CVM that a command of `cvm` names by itself.
    fn cvm(&self) -> Option<&str> {
        let mut words = self.words.iter().filter_map(|word| word.to_str());
        words.by_ref().find(|word| *word == "cvm")?;
        let named = words.nth(1)?;
        (!named.starts_with('-')).then_some(named)
    }

    /// The command that was typed, as far as it was one, each word after a blank.
    fn subcommand(&self) -> String {
        let mut command = None;
        let mut path = String::new();
        for word in &self.words {
            if let Some(below) = self.commands.below(command, word) {
                command = Some(below);
                path.push(' ');
                path.push_str(below.get_name());
            }
        }
        path
    }
}

/// The command that makes the CVM of a new app; `by`: who made the app, where its event does not tell.
pub(in crate::cli) fn commit_provision(app: &DeployedApp, hash: ComposeHash, by: Address) -> String {
    let deployer = app.deployer.unwrap_or(by);
    format!(
        "{PROGRAM} cvm create --commit --app-id {} --compose-hash {hash} --deployer {deployer} --transaction-hash {}",
        app.app, app.transaction
    )
}

impl Commands for CommandLine {
    fn command(&self, next: &Next) -> String {
        match next {
            Next::Again => self.again(""),
            Next::With(more) => self.again(more),
            Next::Without(option) => self.without(option),
            Next::Instead(wrong, right) => self.corrected(wrong, right),
            Next::Signer => format!("{} {}", self.without("--signer"), self.key_option()),
            Next::ResumeWithKey => self.with_key(self.command(&Next::Resume)),
            Next::NewNonce if self.has("--safe-nonce") => self.without("--safe-nonce"),
            // Who has only the proposal waits for another one.
            Next::NewNonce if self.dir.is_none() => self.step("status"),
            Next::NewNonce => format!("{} --new-nonce", self.step("execute")),
            Next::Resume if self.dir.is_some() => self.step("resume"),
            Next::Resume => self.again(""),
            Next::Command("--help") => format!("{PROGRAM}{} --help", self.subcommand()),
            Next::Command(command) if self.is_placed() && self.knows(command, "--dir") => self.step(command),
            Next::Command(command) => format!("{PROGRAM} {command}"),
            Next::Step(command, more) => format!("{} {more}", self.step(command)),
            Next::Explain(code) => match code {
                Some(code) => format!("{PROGRAM} explain {code}"),
                None => format!("{PROGRAM} explain --all"),
            },
            Next::FleetStatus => self.step("fleet status"),
            Next::Look if self.is_placed() => self.step("status"),
            // A Safe's transaction may be of no upgrade.
            Next::Look if self.words.first().is_some_and(|word| word == "safe") => self.again(""),
            Next::Cvm => match self.value_of("--cvm").or_else(|| self.cvm()) {
                Some(id) => format!("{PROGRAM} cvm get {}", text::option("--cvm", id)),
                None => format!("{PROGRAM} cvm get"),
            },
            Next::Look | Next::List => format!("{PROGRAM} status"),
        }
    }

    fn sources(&self) -> String {
        let named = |name: &&String| format!("account:{name}").parse::<Source>().is_ok();
        let names: Vec<String> = self
            .accounts
            .iter()
            .filter(named)
            .map(|name| text::escape(name))
            .collect();
        let accounts = match names.as_slice() {
            [] => String::new(),
            names => {
                let shown: Vec<&str> = names.iter().take(MAX_ACCOUNTS).map(String::as_str).collect();
                let more = if names.len() > shown.len() { ", …" } else { "" };
                format!(" (in Foundry's folder: {}{more})", shown.join(", "))
            }
        };
        format!(
            "ledger[:PATH], keystore:PATH, account:NAME{accounts}, aws:KEY-ID, file:PATH, or prompt to type it here"
        )
    }
}

/// A file as an argument that is no option, whatever its name begins with.
fn file_word(file: &Path) -> Word {
    match file.as_os_str().as_encoded_bytes().starts_with(b"-") {
        true => Word::from(&Path::new(".").join(file)),
        false => Word::from(file),
    }
}

/// Whether a word is the name of a command, at any depth.
fn is_command(root: &clap::Command, word: &str) -> bool {
    root.get_subcommands()
        .any(|sub| sub.get_name() == word || is_command(sub, word))
}

/// The option that a word is or begins with.
fn name(word: &OsStr) -> &str {
    let text = word.to_str().unwrap_or_default();
    text.split_once('=').map_or(text, |(name, _)| name)
}

/// The program and these words.
fn join(words: &[Word]) -> String {
    text::command(std::iter::once(&Word::from(PROGRAM)).chain(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::root::Cli;

    fn typed(words: &[&str]) -> CommandLine {
        let words = std::iter::once("countersign").chain(words.iter().copied());
        CommandLine::new(
            &words.map(OsString::from).collect::<Vec<_>>(),
            Box::leak(Box::new(CommandTree::of::<Cli>())),
        )
    }

    #[test]
    fn the_same_command_comes_back_as_a_shell_reads_it() {
        let typed = typed(&["prepare", "--cvm", "my app", "-c", "it's.yml"]);
        assert_eq!(
            typed.command(&Next::Again),
            r"countersign prepare --cvm 'my app' -c 'it'\''s.yml'"
        );
        assert_eq!(
            typed.command(&Next::with("--yes")),
            r"countersign prepare --cvm 'my app' -c 'it'\''s.yml' --yes"
        );
    }

    #[test]
    fn v23_an_rpc_address_with_a_path_or_credentials_is_never_shown() {
        for secret in [
            "https://base.example/v2/CANARY",
            "https://u:CANARY@base.example",
            "https://base.example/?key=CANARY",
        ] {
            for words in [
                vec!["plan", "--rpc-url", secret],
                vec!["plan", &format!("--rpc-url={secret}")],
            ] {
                let typed = typed(&words).within(Some(Path::new("/u")));
                for next in [
                    Next::Again,
                    Next::with("--yes"),
                    Next::Resume,
                    Next::Command("execute"),
                    Next::Look,
                ] {
                    let line = typed.command(&next);
                    assert!(!line.contains("CANARY"), "{line}");
                }
            }
        }
        assert!(
            typed(&["plan", "--rpc-url", "http://127.0.0.1:8545"])
                .command(&Next::Again)
                .contains("http://127.0.0.1:8545")
        );
    }

    #[test]
    fn sec_h2_what_was_typed_stays_one_word_whatever_it_ends_with() {
        let evil = "a$(touch x)$ETH_RPC_URL";
        let at_place = typed(&["sign", evil]).within(Some(Path::new(evil)));
        assert_eq!(
            at_place.command(&Next::Again),
            "countersign sign 'a$(touch x)$ETH_RPC_URL'"
        );
        assert_eq!(
            at_place.step("status"),
            "countersign status --dir 'a$(touch x)$ETH_RPC_URL'"
        );
        let address = typed(&["plan", "--rpc-url=$(touch x)$ETH_RPC_URL", "--rpc-url", evil]);
        assert_eq!(
            address.command(&Next::Again),
            "countersign plan --rpc-url=URL --rpc-url URL"
        );
        assert_eq!(
            address.command(&Next::Cvm),
            "countersign cvm get",
            "an option that was not given has no value"
        );
    }

    #[test]
    fn following_steps_keep_endpoints_and_only_steps_that_sign_keep_the_key() {
        let typed = typed(&[
            "upgrade",
            "--cvm",
            "x",
            "--rpc-url",
            "http://127.0.0.1:1",
            "--signer=env:KEY",
        ])
        .within(Some(Path::new("/u")));
        assert_eq!(
            typed.step("execute"),
            "countersign execute --dir /u --rpc-url http://127.0.0.1:1 --signer=env:KEY"
        );
        assert_eq!(
            typed.step("wait"),
            "countersign wait --dir /u --rpc-url http://127.0.0.1:1"
        );
        assert_eq!(
            typed.step("status"),
            "countersign status --dir /u --rpc-url http://127.0.0.1:1"
        );
    }

    #[test]
    fn a_flag_is_left_out_alone_and_an_option_with_its_value() {
        let flag = typed(&[
            "review",
            "--offline",
            "p.json",
            "--service-url",
            "https://safe.example/api",
        ]);
        assert_eq!(
            flag.command(&Next::Without("--offline")),
            "countersign review p.json --service-url https://safe.example/api"
        );
        let option = typed(&["execute", "--safe-nonce", "7", "--json"]);
        assert_eq!(
            option.command(&Next::Without("--safe-nonce")),
            "countersign execute --json"
        );
    }

    #[test]
    fn what_is_proposed_goes_to_the_service_that_was_named_and_reading_asks_no_more_than_before() {
        let named = typed(&["prepare", "--cvm", "x", "--service-url", "https://safe.example/api"]);
        let named = named.within(Some(Path::new("/u")));
        assert_eq!(
            named.step("propose"),
            "countersign propose --dir /u --service-url https://safe.example/api"
        );
        assert_eq!(named.step("review"), "countersign review --dir /u");
    }

    #[test]
    fn a_failure_about_a_transaction_of_a_safe_does_not_lead_to_an_upgrade() {
        let typed = typed(&["safe", "hash", "batch.json", "--nonce", "7"]);
        assert_eq!(typed.command(&Next::Look), "countersign safe hash batch.json --nonce 7");
    }

    #[test]
    fn whoever_insists_on_digests_goes_on_insisting() {
        let bare = typed(&["review", "p.json"]);
        let insisting = typed(&["--require-digests", "review", "proposal.json", "--json"]);
        for command in ["sign", "execute", "commit"] {
            let next = insisting.of_file(command, Path::new("proposal.json"));
            assert!(next.contains(" --require-digests"), "{next}");
        }
        assert!(!bare.step("sign").contains("digests"));
    }

    #[test]
    fn every_following_command_is_one_that_this_program_takes() {
        let typed = typed(&[
            "upgrade",
            "--cvm",
            "x",
            "-c",
            "y",
            "--rpc-url=http://127.0.0.1:1",
            "--signer",
            "env:KEY",
            "--password-file",
            "p",
            "--max-fee",
            "1",
            "--max-cost",
            "0.1",
            "--timeout",
            "1h",
            "--finality",
            "safe",
            "--supersede",
            "--json",
        ])
        .within(Some(Path::new("/u")));
        let nexts = [
            Next::Resume,
            Next::Look,
            Next::List,
            Next::Command("wait"),
            Next::Command("execute"),
        ];
        let lines = nexts.iter().map(|next| typed.command(next));
        for line in lines.chain([typed.command(&Next::Step("execute", "--new-nonce"))]) {
            let parsed = <Cli as clap::Parser>::try_parse_from(line.split(' '));
            assert!(parsed.is_ok(), "{line}: {}", parsed.unwrap_err());
        }
    }
}
