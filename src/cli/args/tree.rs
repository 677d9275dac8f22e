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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::root::Cli;

    /// What a command takes, and those below it.
    fn own(command: &Command) -> Vec<String> {
        let args = command.get_arguments().filter(|arg| !arg.is_global_set());
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        let below = below.flat_map(|below| own(below).into_iter().map(|arg| format!("{} {arg}", below.get_name())));
        let mut all: Vec<String> = args.map(|arg| arg.get_id().to_string()).chain(below).collect();
        all.sort();
        all
    }

    #[test]
    fn a_command_alone_takes_what_it_takes_among_all() {
        let (tree, mut options) = (CommandTree::of::<Cli>(), 0);
        for command in tree.whole().get_subcommands() {
            let alone = tree.below(None, OsStr::new(command.get_name())).unwrap();
            assert_eq!(own(alone), own(command), "{}", command.get_name());
            options += own(alone).len();
        }
        assert!(options > 1_000, "only {options} options");
        let outline: usize = tree.outline().get_subcommands().map(|command| own(command).len()).sum();
        assert_eq!(outline, 0, "none of them is made before it is asked for");
    }

    #[test]
    fn what_only_making_a_command_adds_is_no_command() {
        let tree = CommandTree::of::<Cli>();
        let group = tree.below(None, OsStr::new("app"));
        let is_there = |name: &str| tree.below(group, OsStr::new(name)).is_some();
        assert!(group.is_some() && is_there("hashes") && !is_there("help"));
    }
}
