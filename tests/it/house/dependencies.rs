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

/// Every feature of every package that a build with these arguments is made of, as `package feature "name"`.
fn features_of(arguments: &[&str]) -> BTreeSet<String> {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--offline", "--prefix", "none"]);
    cargo.args(["--edges", "normal,build,features"]).args(arguments);
    let done = cargo.current_dir(repository()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let lines = String::from_utf8(done.stdout).unwrap();
    let lines = lines.lines().filter(|line| line.contains(" feature \""));
    lines.map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
}

#[test]
fn what_judges_quotes_reorders_no_json_overrides_no_status_and_brings_no_client() {
    for arguments in [&[][..], &["--all-features"]] {
        let features = features_of(arguments);
        assert!(features.len() > 300, "only {} features were found", features.len());
        assert!(features.contains("serde_json feature \"raw_value\""));
        assert!(!features.contains("serde_json feature \"preserve_order\""));
        let of = features
            .iter()
            .filter_map(|line| line.strip_prefix("dcap-qvl feature "));
        let of: Vec<&str> = of.collect();
        assert_eq!(of, ["\"_anycrypto\"", "\"default-x509\"", "\"ring\""]);
    }
}

#[test]
fn only_a_build_that_says_so_takes_evidence_of_a_root_that_a_test_made() {
    const ASKED: &str = "#[cfg(any(test, feature = \"attest-test-root\"))]";
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let naming: Vec<&str> = manifest
        .lines()
        .filter(|line| line.contains("attest-test-root"))
        .collect();
    assert_eq!(naming, ["attest-test-root = []"]);
    let mut ways = Vec::new();
    for path in all("src") {
        let (program, _) = halves(&path);
        let lines: Vec<&str> = program.lines().map(str::trim).collect();
        for (at, line) in lines.iter().enumerate() {
            let opens = [
                "QuoteVerifier::new(",
                "new_with_config(",
                ".with_config",
                ".allow_debug(",
                ".allow_service_td(",
            ];
            let opens = opens.iter().any(|name| line.contains(name)) || line.starts_with("pub fn for_tests(");
            let is_asked = at.checked_sub(1).is_some_and(|before| lines[before] == ASKED);
            if opens && !line.starts_with("//") {
                ways.push((path.file_name().unwrap().to_owned(), is_asked));
            }
        }
    }
    assert_eq!(ways, [("root.rs".into(), true), ("root.rs".into(), true)]);
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
    let names: BTreeSet<&String> = fuzzed.iter().map(|(name, _)| name).collect();
    for name in names
        .into_iter()
        .filter(|name| direct.contains(&name.replace('-', "_")))
    {
        // The fuzzer's own packages may stand on other versions besides.
        let ours = fuzzed
            .iter()
            .filter(|(other, _)| other == name)
            .any(|entry| product.contains(entry));
        assert!(
            ours,
            "tests/fuzz/Cargo.lock has another {name}: copy the product's lock file there and run `make fuzz`"
        );
        shared += 1;
    }
    assert!(shared > 20, "only {shared} packages are in both lock files");
}
