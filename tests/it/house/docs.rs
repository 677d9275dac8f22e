//! The README and the book under `docs`: one page, every page listed, every link and anchor there, nothing generated stale,
//! and every test that a page names.
//!
//! `DOCS=overwrite` writes the generated pages anew instead of comparing them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use countersign::code::{Code, Kind};

use crate::harness::flow::BINARY;
use crate::support::command::run;
use crate::support::world::{CVM, NEW_COMPOSE};
use crate::support::{World, repository};

/// Most lines of the README.
const MAX_README: usize = 150;

/// The README and every page of the book, by their paths in the repository.
fn pages() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("README.md"), PathBuf::from("CHANGELOG.md")];
    let mut folders = vec![PathBuf::from("docs/src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(repository().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            // Pictures are no pages.
            let is_page = path.extension().is_some_and(|kind| kind == "md");
            match repository().join(&path).is_dir() {
                true => folders.push(path),
                false => found.extend(Some(path).filter(|_| is_page)),
            }
        }
    }
    found.sort();
    found
}

/// Every source file below these folders, one behind the other.
fn sources(folders: &[&str]) -> String {
    let mut sources = String::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| repository().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => sources.push_str(&String::from_utf8_lossy(&std::fs::read(path).unwrap())),
            }
        }
    }
    sources
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

/// Lines outside of blocks of code, with whatever stands between backticks taken out.
fn prose(text: &str) -> Vec<String> {
    let mut block = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            block = !block;
        } else if !block {
            lines.push(line.split('`').step_by(2).collect::<Vec<_>>().join("`"));
        }
    }
    lines
}

/// What `](…)` holds, in order.
fn links(text: &str) -> Vec<String> {
    let lines = prose(text).join("\n");
    let ends = lines.split("](").skip(1);
    ends.filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// The anchor that GitHub and mdBook give a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let mut block = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            block = !block;
        } else if let Some(heading) = line.strip_prefix('#').filter(|_| !block) {
            found.insert(anchor(heading.trim_start_matches('#')));
        }
    }
    found
}

/// `a/../b` as `b`.
fn plain(path: &Path) -> PathBuf {
    let mut parts: Vec<Component<'_>> = Vec::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(parts.pop()),
            Component::CurDir => {}
            part => parts.push(part),
        }
    }
    parts.iter().collect()
}

#[test]
fn the_readme_is_one_page() {
    let lines = text(Path::new("README.md")).lines().count();
    assert!(lines <= MAX_README, "{lines} lines");
}

#[test]
fn the_summary_lists_every_page_once_and_no_other() {
    let listed = links(&text(Path::new("docs/src/SUMMARY.md")));
    let unique: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), unique.len(), "a page is listed twice");
    let there = pages().into_iter().filter_map(|path| {
        let inside = path.strip_prefix("docs/src").ok()?.to_str()?.to_owned();
        (inside != "SUMMARY.md").then_some(inside)
    });
    assert_eq!(there.collect::<BTreeSet<_>>(), unique);
}

#[test]
fn every_page_begins_with_its_name_and_with_whom_it_is_for() {
    for path in pages().into_iter().filter(|path| path.starts_with("docs/src")) {
        if path.ends_with("SUMMARY.md") {
            continue;
        }
        let text = text(&path);
        let begin: Vec<&str> = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with("<!--"))
            .take(2)
            .collect();
        assert!(begin[0].starts_with("# "), "{}: {}", path.display(), begin[0]);
        assert!(begin[1].starts_with("For "), "{}: {}", path.display(), begin[1]);
    }
}

#[test]
fn every_relative_link_leads_to_a_file_and_every_anchor_to_a_heading() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    for path in pages() {
        for link in links(&text(&path)) {
            if link.starts_with("http") {
                continue;
            }
            seen += 1;
            let (file, to) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => path.clone(),
                file => plain(&path.parent().unwrap().join(file)),
            };
            // mdBook knows nothing outside of its folder.
            if path.starts_with("docs/src") && !target.starts_with("docs/src") {
                wrong.push(format!("{}: leaves the book: {link}", path.display()));
            } else if !repository().join(&target).is_file() {
                wrong.push(format!("{}: no file {link}", path.display()));
            } else if !to.is_empty() && !anchors(&text(&target)).contains(to) {
                wrong.push(format!("{}: no heading {link}", path.display()));
            }
        }
    }
    assert!(seen > 50, "only {seen} links were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Commands that a page shows: lines of blocks, and what stands between backticks.
fn commands(text: &str) -> Vec<String> {
    let mut block: Option<String> = None;
    let mut found = Vec::new();
    for line in text.replace(" \\\n", " ").lines() {
        let line = line.trim();
        match (line.strip_prefix("```"), block.as_deref()) {
            (Some(kind), None) => block = Some(kind.to_owned()),
            (Some(_), Some(_)) => block = None,
            (None, Some("sh" | "bash" | "console")) => {
                let line = line.strip_prefix("$ ").unwrap_or(line);
                let line = line.split(" # ").next().unwrap_or_default();
                found.extend(line.split("&&").map(|one| one.trim().to_owned()));
            }
            (None, None) => found.extend(line.split('`').skip(1).step_by(2).map(str::to_owned)),
            _ => {}
        }
    }
    let calls = |line: &String| line.starts_with("countersign ");
    found.into_iter().filter(calls).collect()
}

#[test]
fn every_command_that_a_page_shows_exists_with_its_options() {
    let reference = text(Path::new("docs/src/reference/commands.md"));
    let sections: BTreeMap<&str, &str> = reference
        .split("\n## ")
        .filter_map(|part| part.split_once('\n'))
        .collect();
    let root = sections["countersign"];
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for path in pages() {
        if path.ends_with("reference/commands.md") || path.ends_with("CHANGELOG.md") {
            continue;
        }
        for command in commands(&text(&path)) {
            seen += 1;
            let words: Vec<&str> = command.split_whitespace().collect();
            let named = |count: &usize| sections.get(words[..*count].join(" ").as_str());
            let found = (2..=words.len().min(4)).rev().find(|count| named(count).is_some());
            // A group takes one of its own commands, or nothing but options.
            let group = found.map(|count| format!("{} ", words[..count].join(" ")));
            let is_group = group.is_some_and(|group| sections.keys().any(|name| name.starts_with(&group)));
            let after = found.and_then(|count| words.get(count)).filter(|_| is_group);
            if after
                .is_some_and(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-'))
            {
                wrong.push(format!("{}: no command: {command}", path.display()));
            }
            let Some(section) = found.and_then(|count| named(&count)) else {
                let placeholder = words
                    .get(1)
                    .is_some_and(|word| word.starts_with('-') || *word == "COMMAND");
                if !placeholder {
                    wrong.push(format!("{}: no command: {command}", path.display()));
                }
                continue;
            };
            for option in words.iter().filter(|word| word.starts_with("--")) {
                let option = option.split('=').next().unwrap().trim_end_matches([',', ';', '.']);
                let has = |section: &str| {
                    [' ', '`', ',']
                        .iter()
                        .any(|end| section.contains(&format!("{option}{end}")))
                };
                if !has(section) && !has(root) {
                    wrong.push(format!("{}: no {option}: {command}", path.display()));
                }
            }
        }
    }
    assert!(seen > 150, "only {seen} commands were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Compares a page with what the program prints, or writes it anew.
fn is_current(page: &str, arguments: &[&str]) {
    let output = Command::new(BINARY).args(arguments).env_clear().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let made = String::from_utf8(output.stdout).unwrap();
    let path = repository().join(page);
    if std::env::var_os("DOCS").is_some_and(|value| value == "overwrite") {
        std::fs::write(&path, &made).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = made.lines().zip(there.lines()).find(|(made, there)| made != there);
    assert!(
        made == there,
        "{page} is stale, DOCS=overwrite writes it anew: {differs:?}"
    );
}

#[test]
fn the_reference_of_commands_is_what_the_program_says() {
    is_current("docs/src/reference/commands.md", &["man", "--markdown"]);
}

#[test]
fn the_reference_of_codes_is_what_the_program_says() {
    is_current("docs/src/reference/codes.md", &["explain", "--all"]);
}

/// Codes that one place raises as another kind than their page names.
const RAISED_ELSEWHERE_AS: [(&str, Kind); 2] = [("HASH_UNVERIFIABLE", Kind::Stop), ("NOT_A_SAFE", Kind::Stop)];

#[test]
fn a_run_ends_with_the_number_that_the_page_of_its_code_names() {
    let kinds: [(&str, &[Kind]); 9] = [
        ("Usage", &[Kind::Usage]),
        ("Input", &[Kind::Input]),
        ("Decide", &[Kind::Decision, Kind::State]),
        ("Failed", &[Kind::Failed]),
        ("Unknown", &[Kind::Unknown]),
        ("Later", &[Kind::Later]),
        ("decide", &[Kind::Decision, Kind::State]),
        ("stop", &[Kind::Stop]),
        ("failed", &[Kind::Failed]),
    ];
    let sources = sources(&["src"]);
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for rest in sources.split("Error::").skip(1) {
        let Some((name, rest)) = rest.split_once([' ', '(']) else {
            continue;
        };
        let rest = rest.trim_start_matches('{').trim_start();
        let rest = rest.strip_prefix("code:").unwrap_or(rest).trim_start();
        let Some(code) = rest.strip_prefix("Code::") else {
            continue;
        };
        let Some((_, kinds)) = kinds.iter().find(|(of, _)| *of == name) else {
            continue;
        };
        let code = code.split(|c: char| !c.is_alphanumeric()).next().unwrap();
        let code = Code::ALL
            .iter()
            .find(|one| one.name().replace('_', "") == code.to_uppercase());
        let code = code.unwrap();
        seen += 1;
        let elsewhere = RAISED_ELSEWHERE_AS
            .iter()
            .any(|(of, kind)| *of == code.name() && kinds.contains(kind));
        if !kinds.contains(&code.kind()) && !elsewhere {
            wrong.push(format!("{code} is {:?} and raised as {name}", code.kind()));
        }
    }
    assert!(seen > 150, "only {seen} places were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Codes that some runs show with another number than their page names: where only values change, the goal can be reached
/// without an approval, and `safe check` ends with 5 at code that nobody vouched for.
const ENDS_OTHERWISE: [(&str, u8); 2] = [("ENV_VALUES_ONLY", 0), ("SAFE_UNKNOWN_CODE", 5)];

#[test]
fn no_run_shows_a_code_with_another_number_than_its_page_names() {
    let compact: String = sources(&["tests/it"]).split_whitespace().collect();
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for rest in compact.split(".exits(").skip(1) {
        let Some((number, rest)) = rest.split_once(").says(\"") else {
            continue;
        };
        let (Ok(number), Some((name, _))) = (number.parse::<u8>(), rest.split_once('"')) else {
            continue;
        };
        seen += 1;
        let named = name.parse::<Code>().ok().and_then(|code| code.kind().exit());
        if named != Some(number) && !ENDS_OTHERWISE.contains(&(name, number)) {
            wrong.push(format!("{name} is shown with {number}, its page names {named:?}"));
        }
    }
    assert!(seen > 200, "only {seen} runs were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Names in capitals that are no codes.
const NO_CODES: [&str; 21] = [
    "ANY_TOOLCHAIN",
    "ECC_SECG_P256K1",
    "ETH_RPC_QUORUM",
    "ETH_RPC_URL",
    "SSL_CERT_DIR",
    "NO_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "GITHUB_OUTPUT",
    "GITHUB_STEP_SUMMARY",
    "OWNER_KEY",
    "PHALA_CLOUD_API_KEY",
    "PHALA_CLOUD_API_PREFIX",
    "SAFE_TRANSACTION_SERVICE_API_KEY",
    "SIGNER_0",
    "SIGNER_2",
    "SIGNER_4",
    "SIGN_VERIFY",
    "SOURCE_DATE_EPOCH",
    "SSL_CERT_FILE",
    "XDG_STATE_HOME",
];

#[test]
fn every_code_that_a_page_names_exists() {
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for path in pages() {
        for quoted in text(&path).lines().flat_map(|line| line.split('`').skip(1).step_by(2)) {
            let words = quoted.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            let capitals = |word: &&str| word.contains('_') && !word.contains(|c: char| c.is_ascii_lowercase());
            for word in words.filter(capitals).filter(|word| !NO_CODES.contains(word)) {
                seen += 1;
                if word.parse::<Code>().is_err() {
                    wrong.push(format!("{}: {word}", path.display()));
                }
            }
        }
    }
    assert!(seen > 100, "only {seen} names were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_refusal_that_the_readme_shows_is_what_the_program_says() {
    let world = World::start();
    world.file("docker-compose.yml", &NEW_COMPOSE.replace("1.28", "1.29"));
    world.cloud.lie(|lies| lies.hash = Some("ab".repeat(32)));
    let output =
        run(world
            .countersign(BINARY)
            .args(["prepare", "--cvm", CVM, "-c", "docker-compose.yml", "--dir", "refused"]));
    assert_eq!(output.status.code(), Some(5));
    let said = String::from_utf8(output.stderr).unwrap();
    let readme = text(Path::new("README.md"));
    let shown = readme
        .lines()
        .map(str::trim)
        .skip_while(|line| !line.starts_with("STOP"));
    let shown: Vec<&str> = shown.take_while(|line| !line.starts_with("```")).collect();
    assert!(shown.len() > 3, "{shown:?}");
    let said: Vec<&str> = said.lines().map(str::trim).collect();
    assert!(said.windows(shown.len()).any(|lines| lines == shown), "{said:#?}");
}

#[test]
fn the_table_of_exit_codes_has_each_number_once() {
    let page = text(Path::new("docs/src/reference/exit-codes.md"));
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let numbers = rows
        .flat_map(|cell| cell.split(", "))
        .filter_map(|number| number.parse::<u8>().ok());
    let told: Vec<u8> = numbers.collect();
    let all: Vec<u8> = countersign::cli::Exit::ALL.iter().map(|exit| exit.code()).collect();
    assert_eq!(told, all);
}

#[test]
fn every_test_and_file_that_the_verification_pages_name_exists() {
    let sources = sources(&["src", "tests/it"]);
    let (mut wrong, mut seen) = (Vec::new(), 0);
    for page in ["docs/src/verification/checks.md", "docs/src/verification/faults.md"] {
        for named in text(Path::new(page)).split('`').skip(1).step_by(2) {
            let is_path = named.starts_with("tests/") || named.starts_with("src/");
            let name = named.rsplit("::").next().unwrap();
            let is_test = (named.contains("::") || name.matches('_').count() > 3) && !name.contains([' ', '=']);
            let there = match (is_path, is_test) {
                (true, _) => repository().join(named).exists(),
                (_, true) => match name.strip_suffix('…') {
                    Some(begin) => sources.contains(&format!("fn {begin}")),
                    None => sources.contains(&format!("fn {name}()")),
                },
                _ => continue,
            };
            seen += 1;
            if !there {
                wrong.push(format!("{page}: {named}"));
            }
        }
    }
    assert!(seen > 60, "only {seen} names were found");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
