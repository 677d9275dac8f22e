//! The commands in groups, as the help lists them. Pure.

use std::fmt::Write as _;

use clap::Command;

use crate::text::wrap;

/// Columns of help where the terminal has as many; more are hard to read.
const WIDEST: usize = 100;
/// What a command without a place in a group is listed under.
const REST: &str = "Tools";

/// A group: the commands that the short help describes, and those that it only names.
struct Group {
    name: &'static str,
    first: &'static [&'static str],
    more: &'static [&'static str],
}

const GROUPS: [Group; 6] = [
    Group {
        name: "Upgrade",
        first: &[
            "plan", "prepare", "execute", "wait", "commit", "attest", "upgrade", "resume", "status",
        ],
        more: &["adopt", "reject", "rollback"],
    },
    Group {
        name: "Owners",
        first: &["review", "sign", "export", "import", "propose", "safe"],
        more: &[],
    },
    Group {
        name: "Many",
        first: &["fleet"],
        more: &[],
    },
    Group {
        name: "The app",
        first: &["app", "power"],
        more: &[],
    },
    Group {
        name: "Phala Cloud",
        first: &["cvm", "webhook"],
        more: &["nodes", "kms", "instance-types", "attestations", "workspace"],
    },
    Group {
        name: REST,
        first: &["init", "verify", "explain", "help"],
        more: &["hash", "completions", "man", "schema"],
    },
];

/// The whole command with its help in groups, for so many columns; `short`: one screen.
pub(in crate::cli) fn grouped(root: Command, columns: Option<usize>, short: bool) -> Command {
    let columns = columns.unwrap_or(WIDEST).min(WIDEST);
    let header = *root.get_styles().get_header();
    let mut text = String::new();
    for group in &GROUPS {
        // Writing to a string cannot fail.
        let _written = writeln!(text, "{header}{}:{header:#}", group.name);
        let known = group.first.iter().chain(group.more).copied();
        let others = root.get_subcommands().map(Command::get_name);
        let others = others.filter(|name| group.name == REST && !is_placed(name));
        let names: Vec<&str> = match short {
            true => group.first.to_vec(),
            false => known.chain(others).collect(),
        };
        let listed = names.iter().filter_map(|name| root.find_subcommand(name));
        let lines: String = listed.map(|command| line(&root, command, columns)).collect();
        text.push_str(&lines);
        if short && !group.more.is_empty() {
            let more = format!("  also: {}", group.more.join(", "));
            let _written = writeln!(text, "{}", wrap(&more, columns, "        ", false));
        }
        text.push_str(if short { "" } else { "\n" });
    }
    text.push_str(if short { "\n" } else { "" });
    root.help_template(format!(
        "{{before-help}}{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{text}{header}Options:{header:#}\n{{options}}{{after-help}}"
    ))
}

/// A command and what it is for, with a hanging indent.
fn line(root: &Command, command: &Command, columns: usize) -> String {
    let all = root.get_subcommands().map(|command| command.get_name().len());
    let column = all.max().unwrap_or_default();
    let literal = *root.get_styles().get_literal();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let name = command.get_name();
    let plain = format!("  {name:column$}  {about}");
    let wrapped = wrap(&plain, columns, &" ".repeat(column.saturating_add(4)), false);
    format!(
        "{}\n",
        wrapped.replacen(name, &format!("{literal}{name}{literal:#}"), 1)
    )
}

fn is_placed(name: &str) -> bool {
    GROUPS
        .iter()
        .any(|group| group.first.contains(&name) || group.more.contains(&name))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::cli::args::tree::CommandTree;
    use crate::cli::root::Cli;

    #[test]
    fn every_command_that_a_group_names_is_there_and_is_named_once() {
        let tree = CommandTree::of::<Cli>();
        let mut seen = Vec::new();
        for name in GROUPS.iter().flat_map(|group| group.first.iter().chain(group.more)) {
            assert!(tree.below(None, OsStr::new(name)).is_some(), "{name}");
            assert!(!seen.contains(&name), "{name} is named twice");
            seen.push(name);
        }
        let whole = tree.whole().get_subcommands();
        let text = grouped(tree.whole().clone(), Some(80), false)
            .render_long_help()
            .to_string();
        for command in whole {
            let line = format!("\n  {} ", command.get_name());
            assert!(text.contains(&line), "{line} is in no group");
        }
    }

    #[test]
    fn a_short_help_is_one_screen_and_shows_an_example() {
        let tree = CommandTree::of::<Cli>();
        let short = grouped(tree.whole().clone(), Some(80), true).render_help().to_string();
        assert!(
            short.lines().count() <= SCREEN,
            "{} lines:\n{short}",
            short.lines().count()
        );
        let mut long = Vec::new();
        each(tree.whole(), &mut |command| {
            let help = command.clone().term_width(100).render_help().to_string();
            let is_group = command.has_subcommands();
            if help.lines().count() > SCREEN && !is_group {
                long.push(format!(
                    "{}: {} lines",
                    command.get_bin_name().unwrap_or_default(),
                    help.lines().count()
                ));
            }
            if !help.contains("Example") && !is_group && command.get_name() != "schema" {
                long.push(format!("{}: no example", command.get_bin_name().unwrap_or_default()));
            }
        });
        assert!(long.is_empty(), "{}", long.join("\n"));
    }

    /// Lines of a screen.
    const SCREEN: usize = 50;

    fn each(command: &Command, look: &mut impl FnMut(&Command)) {
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            look(below);
            each(below, look);
        }
    }
}
