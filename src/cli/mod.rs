//! The command line: arguments, settings, questions, output, exit codes.
//!
//! [`run()`] is the whole of it. Arguments become settings, a file of `commands` calls the library, and what comes back
//! becomes a report, which is printed. Only this room prints, prompts, reads the environment or exits.

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
