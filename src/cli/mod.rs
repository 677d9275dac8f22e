//! The command line: arguments, settings, questions, output, exit codes.
//!
//! | floor | what stands there |
//! |---|---|
//! | `exit` | the numbers that the program ends with |
//! | `show` | pages and reports, and the one place that prints |
//! | `args` | what was typed |
//! | `failure` | what a failure means: code, hint, next step |
//! | `session` | one run: settings, environment, person, which upgrade is meant |
//! | `act` | what several commands do |
//! | `commands` | one file each |
//! | `root` | every command with its options, and which function runs it |
//! | `run` | from the arguments to the exit code, through signals and defects |
//!
//! Each may use the floors above it in this table, and none below. [`run()`] is the whole of it. Only this room prints,
//! prompts, reads the environment or exits.

mod act;
mod args;
mod commands;
mod exit;
mod failure;
mod root;
mod run;
mod session;
mod show;

pub use exit::Exit;
pub use run::run;
