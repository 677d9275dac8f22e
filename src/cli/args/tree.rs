//! The commands with their options, each made when it is asked for: all of them take longer to make than most commands run.
//! Pure.

use std::ffi::OsStr;
use std::sync::OnceLock;

use clap::{Command, CommandFactory};

use super::takes::{self, Takes};

/// Every command, and what of it was asked for until now.
#[derive(Debug)]
pub(in crate::cli) struct CommandTree {
    /// The names, and the options that every command has.
    outline: Command,
    /// By the order of the names.
    made: Vec<OnceLock<Command>>,
    whole: OnceLock<Command>,
}

impl CommandTree {
    /// The commands of `C`, which defers what they take.
    pub(in crate::cli) fn of<C: CommandFactory>() -> Self {
        Self::new(C::command())
    }

    pub(in crate::cli) fn new(outline: Command) -> Self {
        Self {
            made: outline.get_subcommands().map(|_| OnceLock::new()).collect(),
            whole: OnceLock::new(),
            outline,
        }
    }

    /// What arguments are read by: it makes the options of the command that they name.
    pub(in crate::cli) fn outline(&self) -> Command {
        self.outline.clone()
    }

    /// All of them with their options.
    pub(in crate::cli) fn whole(&self) -> &Command {
        self.whole.get_or_init(|| made(&self.outline))
    }

    /// The command of this name below another one, or below none.
    pub(in crate::cli) fn below<'t>(&'t self, above: Option<&'t Command>, name: &OsStr) -> Option<&'t Command> {
        if let Some(above) = above {
            // Making a group adds a command of this name, which the program has not.
            return above.find_subcommand(name).filter(|found| found.get_name() != "help");
        }
        let mut all = self.outline.get_subcommands().zip(&self.made);
        let (command, cell) = all.find(|(command, _)| command.get_name() == name)?;
        Some(cell.get_or_init(|| made(command)))
    }

    /// What the options of this name take in the command that `words` begin with, or in every one where they begin with none.
    pub(in crate::cli) fn taken<'w>(&self, mut words: impl Iterator<Item = &'w OsStr>, option: &str) -> Vec<Takes> {
        match words.find_map(|word| self.below(None, word)) {
            Some(command) => [takes::taken(&self.outline, option), takes::taken(command, option)].concat(),
            None => takes::taken(self.whole(), option),
        }
    }
}

fn made(command: &Command) -> Command {
    let mut made = command.clone();
    made.build();
    made
}
