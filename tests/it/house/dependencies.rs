//! What `Cargo.toml` asks for: each dependency is used where its section says, and says in a line what it is for.
//!
//! That an optional one is used only behind its feature is what the builds of `.ci/run` without features show.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::house::sources::{Token, files, halves, tokens};
use crate::support::repository;

/// One line of a section of dependencies, and the line above it.
struct Entry {
    section: String,
    /// As code writes it.
    name: String,
    above: String,
}

fn entries(manifest: &str) -> Vec<Entry> {
    let (mut section, mut above) = ("", "");
    let mut found = Vec::new();
    for line in manifest.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']');
        } else if let Some((name, _)) = line.split_once(" = ")
            && section.ends_with("dependencies")
        {
            found.push(Entry {
                section: section.to_owned(),
                name: name.trim().replace('-', "_"),
                above: above.to_owned(),
            });
        }
        above = line;
    }
    found
}

/// Crates that a source names: the first word of each path, and of each `use`.
fn crates(source: &str) -> BTreeSet<String> {
    let tokens = tokens(source);
    let mut found = BTreeSet::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        let is_inside = before == Some(&Token::Mark(':'));
        let is_path = matches!(tokens.get(at + 1..at + 3), Some([Token::Mark(':'), Token::Mark(':')]));
        if !is_inside && (is_path || before == Some(&Token::Word("use"))) {
            found.insert((*word).to_owned());
        }
    }
    found
}

fn named(sources: impl Iterator<Item = String>) -> BTreeSet<String> {
    sources.flat_map(|source| crates(&source)).collect()
}

fn all(folder: &str) -> Vec<PathBuf> {
    files(folder, ".rs")
}

#[test]
fn every_dependency_is_used_and_says_what_for() {
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let entries = entries(&manifest);
    assert!(entries.len() > 40, "only {} dependencies were found", entries.len());
    let program = named(all("src").iter().map(|path| halves(path).0));
    let folders = ["tests/it", "benches", "examples"].into_iter().flat_map(all);
    let whole = folders.map(|path| std::fs::read_to_string(path).unwrap());
    let tests = named(whole.chain(all("src").iter().map(|path| halves(path).1)));
    let mut wrong = Vec::new();
    for Entry { section, name, above } in entries {
        let is_used = match section.as_str() {
            "dependencies" => program.contains(&name),
            "dev-dependencies" => tests.contains(&name),
            other => panic!("nobody looks at the dependencies in [{other}]"),
        };
        if !is_used {
            wrong.push(format!("nothing names {name} of [{section}]"));
        }
        if above.strip_prefix("# ").is_none_or(|reason| !reason.ends_with('.')) {
            wrong.push(format!("{name} of [{section}] does not say what it is for"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_crate_is_named_by_a_path_or_a_use_and_not_by_a_word_or_a_comment() {
    let source = "// serde::x\nuse hex;\nuse std::{io};\nlet serde = a::toml; uuid::Uuid::new(\"url::Url\"); b.rand();";
    let found = crates(source);
    let named: Vec<&str> = found.iter().map(String::as_str).collect();
    assert_eq!(named, ["a", "hex", "std", "uuid"]);
}

#[test]
fn a_test_that_needs_a_feature_says_so_in_a_build_without_it() {
    let (begin, mut seen) = (
        [
            "#[cfg(feature",
            "#[cfg(not(feature",
            "#[cfg(any(feature",
            "#[cfg(all(feature",
        ],
        0,
    );
    for path in all("tests/it")
        .into_iter()
        .filter(|path| !path.ends_with("dependencies.rs"))
    {
        let text = std::fs::read_to_string(&path).unwrap();
        seen += text.matches("ignore = \"needs ").count();
        let hidden = begin.iter().any(|attribute| text.contains(attribute));
        assert!(!hidden, "{} hides something where a feature is missing", path.display());
    }
    assert!(seen > 50, "only {seen} tests say what they need");
}

/// Packages of a lock file with their versions.
fn locked(path: &str) -> BTreeSet<(String, String)> {
    let text = std::fs::read_to_string(repository().join(path)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let value = |line: &str, key: &str| {
        let quoted = line.strip_prefix(key)?.strip_prefix(" = \"")?;
        Some(quoted.trim_end_matches('"').to_owned())
    };
    let pairs = lines.windows(2);
    pairs
        .filter_map(|pair| Some((value(pair[0], "name")?, value(pair[1], "version")?)))
        .collect()
}

#[test]
fn what_is_fuzzed_stands_on_the_versions_of_the_product() {
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let direct = entries(&manifest).into_iter();
    let direct: BTreeSet<String> = direct
        .filter(|entry| entry.section == "dependencies")
        .map(|entry| entry.name)
        .collect();
    let (product, fuzzed) = (locked("Cargo.lock"), locked("tests/fuzz/Cargo.lock"));
    let mut shared = 0;
    for (name, version) in fuzzed
        .iter()
        .filter(|(name, _)| direct.contains(&name.replace('-', "_")))
    {
        let ours = product.contains(&(name.clone(), version.clone()));
        assert!(
            ours,
            "tests/fuzz/Cargo.lock has {name} {version}: copy the product's lock file there and run `make fuzz`"
        );
        shared += 1;
    }
    assert!(shared > 20, "only {shared} packages are in both lock files");
}
