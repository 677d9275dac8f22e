//! `man`: manual pages from the same definition as the help.

mod markdown;

use std::path::PathBuf;

use clap::Args;
use clap::builder::Resettable;

use crate::cli::failure::error::CliError;
use crate::cli::session::out_file::OutFile;
use crate::cli::show::report::Report;

/// Mode of a manual page.
const MODE: u32 = 0o644;
/// What every page of this program holds.
const OWN: &[u8] = b".TH countersign";

/// Print the manual page, or write all of them into a directory
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  countersign man | man -l -\n  countersign man ~/.local/share/man/man1")]
pub(in crate::cli) struct Man {
    /// Directory (it has to exist) for the pages of every command
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Print the commands as one page of Markdown instead
    #[arg(long, conflicts_with = "dir")]
    markdown: bool,
}

impl Man {
    pub(in crate::cli) fn run(self, mut root: clap::Command) -> Result<Report, CliError> {
        let mut report = Report::done("man", "made");
        if self.markdown {
            let page = markdown::page(root);
            report.data = Some(serde_json::json!({ "page": page }));
            report.raw = Some(page);
            return Ok(report);
        }
        root.build();
        let Some(dir) = self.dir else {
            let page = render(root)?;
            report.data = Some(serde_json::json!({ "page": page }));
            report.raw = Some(page);
            return Ok(report);
        };
        let mut files = Vec::new();
        for (name, command) in pages(root, "") {
            let path = dir.join(format!("{name}.1"));
            // Pages of another version are replaced, and nothing else is.
            let is_page = |found: &[u8]| found.windows(OWN.len()).any(|part| part.eq_ignore_ascii_case(OWN));
            OutFile::strict(&path).write(render(command)?.as_bytes(), MODE, is_page)?;
            files.push(path.display().to_string());
        }
        report.page.block(&files.join("\n"));
        report.data = Some(serde_json::json!({ "files": files }));
        Ok(report)
    }
}

/// Every command below `command`, with the name of its page.
fn pages(command: clap::Command, above: &str) -> Vec<(String, clap::Command)> {
    let name = if above.is_empty() {
        command.get_name().to_owned()
    } else {
        format!("{above}-{}", command.get_name())
    };
    let below: Vec<_> = command.get_subcommands().cloned().collect();
    let command = command.name(name.clone());
    std::iter::once((name.clone(), command))
        .chain(below.into_iter().flat_map(|command| pages(command, &name)))
        .collect()
}

fn render(mut command: clap::Command) -> Result<String, CliError> {
    let after = command
        .get_after_long_help()
        .or_else(|| command.get_after_help())
        .map(ToString::to_string);
    command = command.after_help(Resettable::Reset).after_long_help(Resettable::Reset);
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(CliError::Output)?;
    let mut page = String::from_utf8_lossy(&page).into_owned();
    for block in after.iter().flat_map(|text| text.split("\n\n")) {
        page.push_str(&section(block));
    }
    Ok(page)
}

/// A block of the help as a section of its own, its lines kept: the first names it.
fn section(block: &str) -> String {
    let (name, lines) = block.split_once('\n').unwrap_or((block, ""));
    let name = name.trim().trim_end_matches(':').to_uppercase();
    let lines: String = lines.lines().map(|line| format!("{}\n", roff(line))).collect();
    format!(".SH {name}\n.nf\n{lines}.fi\n")
}

/// A line of text as roff reads it: no escapes, no request at its start.
fn roff(line: &str) -> String {
    let line = line.replace('\\', "\\e").replace('-', "\\-");
    if line.starts_with(['.', '\'']) {
        format!("\\&{line}")
    } else {
        line
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::root::Cli;

    #[test]
    fn every_command_has_a_page_of_its_own() {
        let mut root = Cli::command();
        root.build();
        let names: Vec<_> = pages(root, "").into_iter().map(|(name, _)| name).collect();
        for name in [
            "countersign",
            "countersign-upgrade",
            "countersign-app",
            "countersign-app-show",
        ] {
            assert!(names.iter().any(|found| found == name), "{name} in {names:?}");
        }
        let mut unique = names.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), names.len(), "{names:?}");
    }

    #[test]
    fn sections_keep_their_lines_and_no_line_is_a_request() {
        let made = section("Exit codes:\n  1  a-b\n.SH evil\n\\n");
        assert_eq!(made, ".SH EXIT CODES\n.nf\n  1  a\\-b\n\\&.SH evil\n\\en\n.fi\n");
    }
}
