//! The whole command line: every command with its options, and which function runs it.

use std::path::PathBuf;

use alloy::primitives::B256;
use clap::{ArgAction, Args, CommandFactory as _, Parser, Subcommand};

use crate::cli::commands;
use crate::cli::exit::Exit;
use crate::cli::failure::error::CliError;
use crate::cli::session::Session;
use crate::cli::show::output::Color;
use crate::cli::show::report::Report;
use crate::cloud::DEFAULT_PREFIX;
use crate::http::Rate;
use crate::upgrade::Acceptance;

const ABOUT: &str = "Upgrade confidential VMs on Phala Cloud whose code an on-chain KMS guards";

/// An example for the first look; the long help has one that needs no explanation of its options.
const EXAMPLE: &str = "\
Example:
  countersign plan    --cvm my-app -c docker-compose.yml
  countersign upgrade --cvm my-app -c docker-compose.yml --signer account:alice";

const LONG_ABOUT: &str = "\
Upgrade confidential VMs (CVMs) on Phala Cloud whose code an on-chain KMS guards.

An upgrade is prepared (compose hash and commit token), approved on chain by the app's owner (addComposeHash), proved \
(receipt, event and state, in a block that stays) and committed with that proof. The compose hash is recomputed from \
your own files before anybody is asked to approve it. Every run can be interrupted and repeated: it goes on where it \
stood, and nothing is sent twice.

Example, an app that one key owns:

  export PHALA_CLOUD_API_KEY=phak_...  ETH_RPC_URL=https://mainnet.base.org
  countersign plan    --cvm my-app -c docker-compose.yml
  countersign upgrade --cvm my-app -c docker-compose.yml --signer keystore:~/key.json";

fn after_help() -> String {
    format!(
        "Environment:\n  \
         PHALA_CLOUD_API_KEY     API key of the workspace that owns the CVM\n  \
         PHALA_CLOUD_API_PREFIX  API address [default: {}]\n  \
         ETH_RPC_URL             JSON-RPC endpoint, when no --rpc-url is given\n  \
         ETH_RPC_QUORUM          how many endpoints have to agree, when no --quorum is given\n  \
         SAFE_TRANSACTION_SERVICE_API_KEY\n                          \
         API key of the Safe Transaction Service; it answers slowly without one\n  \
         HTTPS_PROXY, NO_PROXY   proxy to servers, and which are reached without (also ALL_PROXY, and in small letters)\n  \
         SSL_CERT_FILE           authorities that are trusted instead of the system's\n  \
         NO_COLOR                no colour\n  \
         CLICOLOR_FORCE          colour where there is no terminal too\n  \
         phala.toml              names the CVM and the compose file when no flag does\n  \
         An empty variable counts as one that is not set.\n\n\
         Exit codes:\n{}",
        DEFAULT_PREFIX,
        Exit::table()
    )
}

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, about = ABOUT, long_about = LONG_ABOUT, after_help = EXAMPLE, after_long_help = after_help())]
#[command(max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
#[command(disable_help_subcommand = true)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: Global,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Args)]
pub(super) struct Global {
    /// Print exactly one JSON object on stdout, for failures too
    #[arg(long, global = true, display_order = 900)]
    pub(super) json: bool,
    /// Say more on stderr (-v what is done, -vv how); stdout stays the same
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 901)]
    pub(super) verbose: u8,
    /// Say nothing on stderr but questions, warnings and what is wrong
    #[arg(short, long, global = true, conflicts_with = "verbose", display_order = 901)]
    pub(super) quiet: bool,
    /// Colours: on terminals (unless NO_COLOR is set, or CLICOLOR_FORCE), always, or never; none in what is for programs
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        value_enum,
        default_value = "auto",
        hide_default_value = true,
        hide_possible_values = true,
        display_order = 906,
        hide_short_help = true
    )]
    pub(super) color: Color,
    /// Agree to a doubt that a refusal names, and to nothing else; repeat it. --yes answers none of them
    #[arg(long, global = true, value_name = "CODE[=VALUE]", display_order = 902)]
    pub(super) accept: Vec<Acceptance>,
    /// Most requests that the cloud, an endpoint or any other server gets, for example 5/s or 30/m [default: no limit]
    #[arg(long, global = true, value_name = "N/s", display_order = 905, hide_short_help = true)]
    pub(super) rate: Option<Rate>,
    /// File (PEM) with certificates of authorities that are trusted besides those of the system
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        display_order = 906,
        hide_short_help = true
    )]
    pub(super) ca_file: Option<PathBuf>,
    /// Whatever runs and no digest fixes is a doubt: an image without one, one that a variable chooses, what is built
    #[arg(long, global = true, display_order = 904, hide_short_help = true)]
    pub(super) require_digests: bool,
    /// End with 0 where it would end with 8, since something is waited for; `code` says what, and `ok` stays false
    #[arg(long, global = true, display_order = 906, hide_short_help = true)]
    pub(super) pending_ok: bool,
    /// Tell a runner of GitHub Actions: outputs, a page for the summary, marks in the log
    #[arg(long, global = true, display_order = 907, hide_short_help = true)]
    pub(super) github: bool,
    /// Transaction in which the app allowed what runs now, where the endpoints do not tell; its receipt decides
    #[arg(
        long,
        global = true,
        value_name = "HASH",
        display_order = 903,
        hide_short_help = true
    )]
    pub(super) base_tx: Option<B256>,
}

/// The commands. The options of one are made once it is asked for: those of all of them take longer to make than most
/// commands run.
#[derive(Debug, Subcommand)]
#[command(defer = true)]
pub(super) enum Command {
    Plan(commands::plan::Plan),
    Prepare(commands::prepare::Prepare),
    Review(commands::review::Review),
    Sign(commands::sign::Sign),
    Export(commands::export::Export),
    Import(commands::import::Import),
    Adopt(Box<commands::adopt::Adopt>),
    Execute(commands::execute::Execute),
    Wait(commands::wait::Wait),
    Commit(commands::commit::Commit),
    Attest(Box<commands::attest::Attest>),
    Verify(Box<commands::verify::Verify>),
    Upgrade(Box<commands::upgrade::Upgrade>),
    Resume(commands::resume::Resume),
    Rollback(Box<commands::rollback::Rollback>),
    Reject(commands::reject::Reject),
    Propose(commands::propose::Propose),
    Status(commands::status::Status),
    Fleet(commands::fleet::Fleet),
    Init(Box<commands::init::Init>),
    Hash(commands::hash::Hash),
    Explain(commands::explain::Explain),
    App(commands::app::App),
    Power(Box<commands::power::Power>),
    Cvm(Box<commands::cvm::Cvm>),
    Nodes(commands::nodes::Nodes),
    Kms(commands::kms::Kms),
    InstanceTypes(commands::instance_types::InstanceTypes),
    Attestations(commands::attestations::Attestations),
    Workspace(commands::workspace::Workspace),
    Webhook(commands::webhook::Webhook),
    Safe(commands::safe::Safe),
    Completions(commands::completions::Completions),
    Man(commands::man::Man),
    Schema(commands::schema::Schema),
    Help(commands::help::Help),
}

impl Command {
    /// The command's name as it is typed.
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Plan(_) => "plan",
            Self::Prepare(_) => "prepare",
            Self::Review(_) => "review",
            Self::Sign(_) => "sign",
            Self::Export(_) => "export",
            Self::Import(_) => "import",
            Self::Adopt(_) => "adopt",
            Self::Execute(_) => "execute",
            Self::Wait(_) => "wait",
            Self::Commit(_) => "commit",
            Self::Attest(_) => "attest",
            Self::Verify(_) => "verify",
            Self::Upgrade(_) => "upgrade",
            Self::Resume(_) => "resume",
            Self::Rollback(_) => "rollback",
            Self::Reject(_) => "reject",
            Self::Propose(_) => "propose",
            Self::Status(_) => "status",
            Self::Fleet(_) => "fleet",
            Self::Init(_) => "init",
            Self::Hash(_) => "hash",
            Self::Explain(_) => "explain",
            Self::App(_) => "app",
            Self::Power(_) => "power",
            Self::Cvm(_) => "cvm",
            Self::Nodes(_) => "nodes",
            Self::Kms(_) => "kms",
            Self::InstanceTypes(_) => "instance-types",
            Self::Attestations(_) => "attestations",
            Self::Workspace(_) => "workspace",
            Self::Webhook(_) => "webhook",
            Self::Safe(_) => "safe",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
            Self::Schema(_) => "schema",
            Self::Help(_) => "help",
        }
    }

    /// Runs it.
    pub(super) async fn run(self, session: &Session) -> Result<Report, CliError> {
        match self {
            Self::Plan(args) => args.run(session).await,
            Self::Prepare(args) => args.run(session).await,
            Self::Review(args) => args.run(session).await,
            Self::Sign(args) => args.run(session).await,
            Self::Export(args) => args.run(session),
            Self::Import(args) => args.run(session),
            Self::Adopt(args) => args.run(session).await,
            Self::Execute(args) => args.run(session).await,
            Self::Wait(args) => args.run(session).await,
            Self::Commit(args) => args.run(session).await,
            Self::Attest(args) => args.run(session).await,
            Self::Verify(args) => args.run(session).await,
            Self::Upgrade(args) => args.run(session).await,
            Self::Resume(args) => args.run(session).await,
            Self::Rollback(args) => args.run(session).await,
            Self::Reject(args) => args.run(session).await,
            Self::Propose(args) => args.run(session).await,
            Self::Status(args) => args.run(session).await,
            Self::Fleet(args) => args.run(session).await,
            Self::Init(init) => init.run(session).await,
            Self::Hash(args) => args.run(),
            Self::Explain(args) => args.run(),
            Self::App(args) => args.run(session).await,
            Self::Power(args) => args.run(session).await,
            Self::Cvm(args) => args.run(session).await,
            Self::Nodes(args) => args.run(session).await,
            Self::Kms(args) => args.run(session).await,
            Self::InstanceTypes(args) => args.run(session).await,
            Self::Attestations(args) => args.run(session).await,
            Self::Workspace(args) => args.run(session).await,
            Self::Webhook(args) => args.run(session).await,
            Self::Safe(args) => args.run(session).await,
            Self::Completions(args) => Ok(args.run()),
            Self::Man(args) => args.run(Cli::command()),
            Self::Schema(args) => Ok(args.run()),
            Self::Help(args) => args.run(Cli::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::tree::CommandTree;

    /// Commands that change something and have no `--wait`, each with the reason.
    const WITHOUT_WAIT: &[(&str, &str)] = &[
        ("prepare", "nothing is applied: what is prepared waits for its approval"),
        ("adopt", "as prepare"),
        ("import", "the signatures are taken in at once"),
        ("fleet prepare", "as prepare"),
        ("app hashes", "the change waits for its approval; `wait` waits for that"),
        ("app devices", "as app hashes"),
        ("app instances add", "as prepare"),
        ("app allow-any-device", "as app hashes"),
        ("app require-tcb-up-to-date", "as app hashes"),
        ("app change", "as app hashes"),
        ("app owner", "as app hashes"),
        (
            "execute",
            "it waits for the transaction by itself, at most --timeout; `wait` goes on",
        ),
        ("commit", "it waits for the CVM by itself; --no-wait returns at once"),
        (
            "app deploy",
            "it waits by itself until the app is made in a block that stays",
        ),
        ("upgrade", "as commit"),
        ("resume", "as commit"),
        ("rollback", "as commit"),
        ("init", "a file is written at once"),
        (
            "fleet commit",
            "it waits for every CVM by itself: the next wave needs it",
        ),
        ("sign", "a signature is there at once"),
        (
            "reject",
            "it ends with 8 until the nonce is used up or the operation cancelled; running it again looks",
        ),
        ("propose", "the service has it when it answers"),
        ("safe delegates", "the service has it when it answers"),
        (
            "cvm ports",
            "the ports are so when the answer comes; no operation begins",
        ),
        ("cvm name", "the name is so when the answer comes; no operation begins"),
        (
            "cvm scheduled-delete",
            "the time is so when the answer comes; no operation begins",
        ),
        ("cvm batch-stop", "`cvm status` tells of all of them in one request"),
        (
            "app redeploy",
            "`app instances list` tells of all of them in one request",
        ),
        ("attestations verify", "the answer is all there is"),
        ("workspace revoke-key", "the key is gone when the answer comes"),
        (
            "webhook",
            "a webhook is there, changed or gone when the answer comes; no CVM changes",
        ),
    ];

    /// Every command without commands of its own, by its words.
    fn leaves(command: &clap::Command, words: &str, found: &mut Vec<(String, clap::Command)>) {
        for inner in command.get_subcommands() {
            let words = format!("{words} {}", inner.get_name());
            match inner.has_subcommands() {
                true => leaves(inner, &words, found),
                false => found.push((words.trim_start().to_owned(), inner.clone())),
            }
        }
    }

    #[test]
    fn every_command_that_changes_something_can_wait_or_has_a_reason_not_to() {
        let mut all = Vec::new();
        leaves(CommandTree::of::<Cli>().whole(), "", &mut all);
        let has = |command: &clap::Command, name: &str| command.get_arguments().any(|arg| arg.get_id() == name);
        let (mut wrong, mut met) = (Vec::new(), Vec::new());
        for (words, command) in all.iter().filter(|(_, command)| has(command, "yes")) {
            let reason = WITHOUT_WAIT.iter().find(|(prefix, _)| {
                words == prefix || words.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(' '))
            });
            match (has(command, "wait"), reason) {
                (true, None) => {}
                (false, Some((prefix, _))) => met.push(*prefix),
                (true, Some(_)) => wrong.push(format!("{words} can wait and has a reason not to")),
                (false, None) => wrong.push(format!("{words} cannot wait")),
            }
        }
        assert_eq!(wrong, Vec::<String>::new());
        for (prefix, reason) in WITHOUT_WAIT {
            assert!(
                met.contains(prefix),
                "{prefix}: there is no such command any more ({reason})"
            );
        }
        let waiting = all.iter().filter(|(_, command)| has(command, "wait")).count();
        assert!(waiting >= 19, "only {waiting} commands can wait");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
