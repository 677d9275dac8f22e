//! How a command ended, for a runner of GitHub Actions: outputs of the step, marks in the log, a page for the summary. Makes
//! text, prints nothing.

use serde_json::Value;

use crate::cli::exit::Exit;
use crate::cli::show::report::Report;
use crate::text::{annotation, output};

/// Longest page that a summary takes with the pages of other steps beside it, bytes; a runner drops a summary of more than a
/// mebibyte.
const MAX_SUMMARY: usize = 512 * 1024;
/// What of the object for programs is an output; the rest is prose.
const OUTPUTS: [&str; 4] = ["ok", "exit", "code", "step"];

/// The outputs: what programs decide by, every fact and every effect, each by its own name. A list has an entry on each
/// line; what is neither a text nor a number nor a list of them is JSON.
pub(in crate::cli) fn outputs(report: &Report, delimiter: &str) -> String {
    let all: Value = serde_json::from_str(&report.json()).unwrap_or_default();
    let named = OUTPUTS.iter().filter_map(|name| Some((*name, all.get(name)?)));
    let parts = ["facts", "effects"]
        .into_iter()
        .filter_map(|part| all.get(part)?.as_object());
    let below = parts.flatten().map(|(name, value)| (name.as_str(), value));
    named
        .chain(below)
        .map(|(name, value)| output(name, &lines(value), delimiter))
        .collect()
}

fn lines(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Array(items) if items.iter().all(|item| !item.is_object() && !item.is_array()) => {
            items.iter().flat_map(lines).collect()
        }
        other => vec![other.to_string()],
    }
}

/// The marks: what failed or is waited for, and each warning. `file`: the Docker Compose file that it is about.
pub(in crate::cli) fn annotations(report: &Report, file: Option<&str>) -> String {
    let about = |code: &str| -> Vec<(&'static str, String)> {
        let file = file.map(|file| ("file", file.to_owned()));
        file.into_iter()
            .chain([("title", format!("countersign {code}"))])
            .collect()
    };
    let mark = |kind: &str, code: &str, message: &str| {
        let properties = about(code);
        let properties: Vec<(&str, &str)> = properties.iter().map(|(name, value)| (*name, value.as_str())).collect();
        annotation(kind, &properties, message)
    };
    let ended = match report.exit {
        Exit::Done => None,
        Exit::Pending => Some("notice"),
        _ => Some("error"),
    };
    let ended = ended.map(|kind| mark(kind, report.code.name(), &report.sentence()));
    let warnings = report
        .warnings
        .iter()
        .map(|warning| mark("warning", warning.code.name(), &warning.text));
    ended.into_iter().chain(warnings).collect()
}

/// The page for the summary.
pub(in crate::cli) fn summary(report: &Report) -> String {
    let page = report.markdown_page();
    if page.len() <= MAX_SUMMARY {
        return page + "\n";
    }
    let mut short = report.clone();
    short.page = crate::cli::show::text::Page::default();
    short
        .page
        .line("The page is longer than a summary may be; `--format markdown` prints it.");
    short.markdown_page() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Code;

    const EVIL: &str = "x\n::add-mask::y\nDELIMITER\nsafe_tx_hash<<E\n0x00\nE\n##[set-output name=z;]%0A::error::q";

    fn hostile(exit: Exit) -> Report {
        let mut report = Report::done("plan", EVIL);
        report.exit = exit;
        report.code = Code::HashMismatch;
        report.facts.upgrade.cvm = Some(EVIL.to_owned());
        report.facts.dir = Some(EVIL.to_owned());
        report.facts.upgrade.compose_hash = Some(crate::compose::ComposeHash::new([7; 32]));
        report.warn(Code::ImageNotPinned, EVIL);
        report.page.line(EVIL);
        report
    }

    /// Names and values as a runner reads its file.
    fn read(text: &str) -> Vec<(String, String)> {
        let (mut read, mut lines) = (Vec::new(), text.lines());
        while let Some(line) = lines.next() {
            let (name, delimiter) = line.split_once("<<").unwrap();
            let value: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
            read.push((name.to_owned(), value.join("\n")));
        }
        read
    }

    #[test]
    fn outputs_are_the_facts_by_their_own_names_whatever_a_stranger_wrote() {
        let report = hostile(Exit::Verify);
        let read = read(&outputs(&report, "DELIMITER"));
        let value = |name: &str| {
            read.iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(
            (value("ok"), value("exit"), value("code")),
            (Some("false"), Some("5"), Some("HASH_MISMATCH"))
        );
        assert_eq!(value("compose_hash"), Some(&*format!("0x{}", "07".repeat(32))));
        assert_eq!((value("live"), value("safe_tx_hash")), (Some("none"), None));
        let names: std::collections::BTreeSet<&str> = read.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names.len(), read.len(), "a name stands twice: {read:?}");
        assert!(value("cvm").unwrap().lines().count() == 1 && value("message").is_none());
    }

    #[test]
    fn each_mark_is_one_command_and_says_what_it_is_about() {
        let told = annotations(&hostile(Exit::Verify), Some("a:b,c.yml"));
        assert_eq!(told.lines().count(), 2, "{told}");
        assert!(
            told.starts_with("::error file=a%3Ab%2Cc.yml,title=countersign HASH_MISMATCH::x"),
            "{told}"
        );
        assert!(told.contains("\n::warning file="), "{told}");
        let pending = annotations(&hostile(Exit::Pending), None);
        assert!(
            pending.starts_with("::notice title=countersign HASH_MISMATCH::"),
            "{pending}"
        );
        assert_eq!(annotations(&hostile(Exit::Done), None).lines().count(), 1);
    }

    #[test]
    fn a_page_that_no_summary_takes_says_where_it_is() {
        let mut report = hostile(Exit::State);
        report.page.theirs(&"+x\n".repeat(MAX_SUMMARY));
        let told = summary(&report);
        assert!(
            told.len() < 4_096 && told.contains("\\-\\-format markdown") || told.contains("--format markdown"),
            "{told}"
        );
        assert!(
            summary(&hostile(Exit::State)).contains("HASH\\_MISMATCH")
                || summary(&hostile(Exit::State)).contains("HASH_MISMATCH")
        );
    }
}
