//! One run of the program: from the arguments to the exit code.

mod defect;
mod runner;
mod signals;
mod trace;
mod version;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use clap::FromArgMatches as _;
use clap::error::ErrorKind;
use clap_complete::CompleteEnv;

use crate::cli::act::cvms::with_cvms;
use crate::cli::act::failed::failed;
use crate::cli::args::groups::grouped;
use crate::cli::args::tree::CommandTree;
use crate::cli::exit::Exit;
use crate::cli::failure::{self, arguments, error::CliError};
use crate::cli::root::{Cli, Command};
use crate::cli::run::runner::Runner;
use crate::cli::session::Session;
use crate::cli::session::completion::{ASKED, completing};
use crate::cli::session::environment::Environment;
use crate::cli::session::next::CommandLine;
use crate::cli::show::output::{self, Color, Output, Style};
use crate::cli::show::report::Report;

/// Runs one command line, program name first, to its end; prints the result and returns the exit code.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    keep_memory_private();
    let args: Vec<OsString> = args.into_iter().collect();
    let env = Environment::process();
    // Advice reads it to the end of the run, and taking it apart costs more than making it.
    let commands: &'static CommandTree = Box::leak(Box::new(CommandTree::of::<Cli>()));
    if let Some(exit) = completed(&args, commands, &env) {
        return exit.into();
    }
    let parsed = arguments::refuse_secrets(&args, commands).and_then(|()| parse(commands, &args));
    match parsed {
        Ok(cli) => start(cli, CommandLine::new(&args, commands), env).into(),
        Err(CliError::Arguments(error)) if !error.use_stderr() => shown(&error, &args).into(),
        Err(error) => {
            if let Some(help) = group_help(&error, &args, commands) {
                output::aside(&help);
                return Exit::Usage.into();
            }
            let style = Style {
                json: arguments::wants_json(&args),
                verbose: 0,
                quiet: false,
                color: env.color(Color::Auto),
                runner: false,
            };
            let out = Output::new(style);
            let report = failure::report(&error, "arguments", &CommandLine::new(&args, commands));
            finish(&out, &report).into()
        }
    }
}

/// Answers a shell that asks what could be typed; nothing where none does.
fn completed(args: &[OsString], commands: &CommandTree, env: &Environment) -> Option<Exit> {
    env.text(ASKED)?;
    let offered = CompleteEnv::with_factory(|| completing(commands.whole(), env));
    match offered.try_complete(args, Some(Path::new("."))) {
        Ok(true) => Some(Exit::Done),
        Ok(false) => None,
        Err(_) => Some(Exit::Usage),
    }
}

fn parse(commands: &CommandTree, args: &[OsString]) -> Result<Cli, CliError> {
    let parse = |mut commands: clap::Command| {
        let mut matches = commands.try_get_matches_from_mut(args)?;
        Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut commands))
    };
    let parsed = match parse(commands.outline()) {
        // Help, and what is wrong, may be about commands that were not typed.
        Err(error) if error.kind() != ErrorKind::DisplayVersion => {
            let is_short = !args.iter().any(|arg| arg == "--help");
            parse(grouped(commands.whole().clone(), output::columns(), is_short))
        }
        parsed => parsed,
    };
    parsed.map_err(|error| CliError::Arguments(Box::new(arguments::with_valid(error, args, commands))))
}

/// The help of a group that was typed without a command, for people.
fn group_help(error: &CliError, args: &[OsString], commands: &CommandTree) -> Option<String> {
    match error {
        CliError::Arguments(error) if !arguments::wants_json(args) => arguments::help(error, args, commands),
        _ => None,
    }
}

/// Keys and passwords pass through this memory: no core of it is written, and no other program of the user looks into it.
/// Where the system refuses, the rest is as safe as it was.
fn keep_memory_private() {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _refused = setrlimit(Resource::Core, none);
    #[cfg(target_os = "linux")]
    let _refused = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
}

/// Help and version: wanted text, not a failure.
fn shown(error: &clap::Error, args: &[OsString]) -> Exit {
    let is_version = error.kind() == ErrorKind::DisplayVersion;
    let says_more = args.iter().any(|word| word == "-v" || word == "--verbose");
    if is_version && says_more {
        output::aside(&version::details());
    }
    match error.print() {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Exit::Storage,
        _ => Exit::Done,
    }
}

fn start(cli: Cli, typed: CommandLine, env: Environment) -> Exit {
    let style = Style {
        json: cli.global.json,
        verbose: cli.global.verbose,
        quiet: cli.global.quiet,
        color: env.color(cli.global.color),
        runner: cli.global.github,
    };
    trace::start(cli.global.verbose);
    let runner = cli.global.github.then(|| Runner::of(&env)).transpose();
    let session = Session::new(Output::new(style), env, typed, cli.command.name());
    let session = session.with(cli.global.accept, cli.global.base_tx);
    let session = session.at_most(cli.global.rate).trusting(cli.global.ca_file);
    let session = Arc::new(session.insisting_on_digests(cli.global.require_digests));
    let (runner, ended) = match runner {
        Ok(runner) => (runner, defect::caught(|| drive(cli.command, &session))),
        Err(error) => (None, Err(error)),
    };
    let mut report = ended.unwrap_or_else(|error| failed(&session, &error));
    report.pending_ok = cli.global.pending_ok;
    session.tell_endpoints(&mut report);
    session.tell_version(&mut report);
    session.tell_settings(&mut report);
    session.pages.farewell(&report.ending(), !report.is_failure());
    let exit = finish(&session.out, &report);
    let typed = session.typed();
    let file = typed.value_of("--compose").or_else(|| typed.value_of("-c"));
    match runner.map_or(Ok(()), |runner| runner.tell(&report, file)) {
        Ok(()) => exit,
        Err(error) => unheard(exit, &error),
    }
}

/// Runs the command until it ends or a signal comes; a signal drops it between two of its waits.
fn drive(command: Command, session: &Arc<Session>) -> Result<Report, CliError> {
    let mut stop = signals::listen(Arc::clone(session)).map_err(CliError::Start)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::Start)?;
    let ended = runtime.block_on(async {
        tokio::select! {
            biased;
            exit = stop.requested() => Err(CliError::Signal(exit)),
            ended = ended(command, session) => ended,
        }
    });
    runtime.shutdown_background();
    ended
}

/// How a command ended; one that names an unknown CVM, with those that there are.
async fn ended(command: Command, session: &Session) -> Result<Report, CliError> {
    match command.run(session).await {
        Err(error) => Err(with_cvms(session, error).await),
        report => report,
    }
}

fn finish(out: &Output, report: &Report) -> Exit {
    match out.finish(report) {
        Ok(()) => report.status(),
        Err(error) => unheard(report.status(), &error),
    }
}

/// What a run ends with whose result could not be told; a failure stays the one it was.
fn unheard(exit: Exit, error: &dyn std::error::Error) -> Exit {
    output::aside(&format!(
        "error: the result could not be printed: {}\n",
        failure::told(error)
    ));
    match exit {
        Exit::Done => Exit::Storage,
        exit => exit,
    }
}
