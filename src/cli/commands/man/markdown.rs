//! The reference of commands as one page of Markdown, from the same definition as the help.

use std::fmt::Write as _;

use clap::{Arg, Command};

const HEAD: &str = "\
# Commands

For whoever looks up a command or an option. Made from the program itself by `countersign man --markdown`;
`countersign COMMAND --help` says the same, and `countersign man DIR` writes manual pages.
";

/// Heading of options that have no heading of their own.
const OPTIONS: &str = "Options";

/// The whole page.
pub(super) fn page(mut root: Command) -> String {
    root.build();
    let mut page = HEAD.to_owned();
    command(&mut page, &root, "", true);
    page
}

/// One command, then those below it. Options of every command stand with the first only.
fn command(page: &mut String, command: &Command, above: &str, first: bool) {
    let name = format!("{above} {}", command.get_name());
    let name = name.trim();
    let about = command.get_long_about().or_else(|| command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    let _infallible = write!(page, "\n## {name}\n\n{}\n", paragraphs(&about));
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let _infallible = write!(page, "\n```text\n{}\n```\n", lines(usage));
    let mut headings: Vec<(&str, Vec<&Arg>)> = Vec::new();
    let shown = |arg: &&Arg| !arg.is_hide_set() && (first || !arg.is_global_set()) && arg.get_id() != "help";
    for arg in command.get_arguments().filter(shown) {
        let heading = arg.get_help_heading().unwrap_or(match arg.is_positional() {
            true => "Arguments",
            false => OPTIONS,
        });
        match headings.iter_mut().find(|(of, _)| *of == heading) {
            Some((_, args)) => args.push(arg),
            None => headings.push((heading, vec![arg])),
        }
    }
    for (heading, args) in headings {
        let _infallible = write!(page, "\n{heading}:\n\n");
        args.into_iter().for_each(|arg| argument(page, arg));
    }
    let after = command.get_after_long_help().or_else(|| command.get_after_help());
    if let Some(after) = after {
        let _infallible = write!(page, "\n```text\n{}\n```\n", lines(&after.to_string()));
    }
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        self::command(page, below, name, false);
    }
}

fn argument(page: &mut String, arg: &Arg) {
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let help = help
        .map(|help| plain(&help.to_string().replace('\n', " ")))
        .unwrap_or_default();
    let _infallible = write!(page, "- `{}`: {help}", names(arg));
    let takes_value = arg.get_action().takes_values();
    let values = arg.get_possible_values();
    let values: Vec<_> = values
        .iter()
        .filter(|value| takes_value && !value.is_hide_set())
        .collect();
    if !values.is_empty() {
        let values: Vec<String> = values.iter().map(|value| format!("`{}`", value.get_name())).collect();
        let _infallible = write!(page, "; one of {}", values.join(", "));
    }
    let defaults: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    if takes_value && !defaults.is_empty() && !arg.is_hide_default_value_set() {
        let _infallible = write!(page, "; default `{}`", defaults.join(" "));
    }
    page.push('\n');
}

/// How an argument is typed.
fn names(arg: &Arg) -> String {
    let values = arg.get_value_names().unwrap_or_default();
    let values: Vec<String> = values.iter().map(|name| format!("<{name}>")).collect();
    let more = match arg.get_num_args() {
        Some(range) if range.max_values() > 1 => "...",
        _ if matches!(arg.get_action(), clap::ArgAction::Append) && arg.is_positional() => "...",
        _ => "",
    };
    let value = format!("{}{more}", values.join(" "));
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let name: Vec<String> = short.into_iter().chain(long).collect();
    match (name.is_empty(), arg.get_action().takes_values()) {
        (true, _) => value,
        (false, true) => format!("{} {value}", name.join(", ")),
        (false, false) => name.join(", "),
    }
}

/// Text with examples indented in it: what is indented becomes a block.
fn paragraphs(text: &str) -> String {
    let blocks = text.split("\n\n").map(|block| match block.starts_with("  ") {
        true => format!("```text\n{}\n```", lines(block)),
        false => plain(block),
    });
    blocks.collect::<Vec<_>>().join("\n\n")
}

/// Lines without blanks at their ends.
fn lines(text: &str) -> String {
    text.trim_end()
        .lines()
        .map(str::trim_end)
        .collect::<Vec<_>>()
        .join("\n")
}

/// Text as Markdown reads it: no tag, no emphasis.
fn plain(text: &str) -> String {
    text.trim_end().replace('<', "\\<").replace('*', "\\*")
}
