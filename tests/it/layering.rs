//! Who may use whom: the table of `src/lib.rs`, read from the sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Each room and the rooms it may name.
const MAY_USE: &[(&str, &[&str])] = &[
    ("abi", &[]),
    ("code", &[]),
    ("fsutil", &[]),
    ("json", &[]),
    ("text", &[]),
    ("http", &["text"]),
    ("compose", &["json", "text"]),
    ("env", &[]),
    ("webhook", &[]),
    ("cloud", &["compose", "http", "text"]),
    ("chain", &["abi", "http", "text"]),
    ("safe", &["abi", "chain", "http", "json", "text"]),
    ("signer", &["chain", "code", "fsutil", "safe", "text"]),
    (
        "upgrade",
        &[
            "chain", "cloud", "code", "compose", "env", "fsutil", "http", "safe", "signer", "text",
        ],
    ),
    (
        "cli",
        &[
            "chain", "cloud", "code", "compose", "env", "fsutil", "http", "safe", "signer", "text", "upgrade",
            "webhook",
        ],
    ),
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn room(path: &Path) -> String {
    let inner = path
        .strip_prefix(Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
        .unwrap();
    let first = inner.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// Rooms that follow `crate::` in `text`, also inside braces.
fn named(text: &str) -> BTreeSet<String> {
    let rooms: BTreeSet<&str> = MAY_USE.iter().map(|(room, _)| *room).collect();
    let mut found = BTreeSet::new();
    for rest in text.split("crate::").skip(1) {
        let inner = rest
            .strip_prefix('{')
            .and_then(|list| list.split_once("};"))
            .map_or(rest, |(list, _)| list);
        let words: Vec<&str> = if rest.starts_with('{') {
            inner.split(',').collect()
        } else {
            vec![inner]
        };
        for word in words {
            let name: String = word
                .trim()
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            if rooms.contains(name.as_str()) {
                found.insert(name);
            }
        }
    }
    found
}

#[test]
fn rooms_use_only_the_rooms_below_them() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    assert!(files.len() > 20, "the sources were not found");
    for file in files {
        let room = room(&file);
        // The map and the program name every room.
        if ["lib", "main"].contains(&room.as_str()) {
            continue;
        }
        let Some((_, allowed)) = MAY_USE.iter().find(|(name, _)| *name == room) else {
            panic!("{}: `{room}` is not in the map", file.display());
        };
        let text = std::fs::read_to_string(&file).unwrap();
        for other in named(&text).into_iter().filter(|other| *other != room) {
            assert!(allowed.contains(&other.as_str()), "{} uses `{other}`", file.display());
        }
    }
}

#[test]
fn every_source_file_says_what_it_is() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//!"), "{} has no head", file.display());
        let lines = text.lines().count();
        assert!(
            lines <= 600 || file.to_string_lossy().ends_with("tests.rs") || text.contains("mod tests {"),
            "{} has {lines} lines",
            file.display()
        );
    }
}

#[test]
fn the_map_holds_no_code() {
    let map = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    assert!(!map.lines().any(|line| !line.starts_with("//") && line.contains("fn ")));
}
