//! Who may use whom: the table in the head of `src/lib.rs`, compared with the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each room and the rooms it may name, by the table in the head of `src/lib.rs`.
fn may_use() -> BTreeMap<String, BTreeSet<String>> {
    let map = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let rows: Vec<(String, String)> = map
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "))
        .filter_map(|row| {
            let cells: Vec<&str> = row.trim_end_matches('|').split(" |").collect();
            let room = quoted(cells.first()?).into_iter().next()?;
            Some((room, (*cells.get(2)?).to_owned()))
        })
        .collect();
    let all: BTreeSet<String> = rows.iter().map(|(room, _)| room.clone()).collect();
    let of = |room: &str, cell: &str| -> BTreeSet<String> {
        let named: BTreeSet<String> = quoted(cell).into_iter().collect();
        let unknown: Vec<&String> = named.difference(&all).collect();
        assert!(unknown.is_empty(), "`{room}` may use {unknown:?}, which is no room");
        match cell.contains("all but") {
            true => all.difference(&named).cloned().collect(),
            false => named,
        }
    };
    rows.iter().map(|(room, cell)| (room.clone(), of(room, cell))).collect()
}

/// What stands between backticks, without the word that only tells rustdoc what it is.
fn quoted(cell: &str) -> Vec<String> {
    let parts = cell.split('`').skip(1).step_by(2);
    parts.map(|part| part.trim_start_matches("mod@").to_owned()).collect()
}

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
fn named(text: &str, rooms: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
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
            if rooms.contains_key(&name) {
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
    let rooms = may_use();
    assert!(rooms.len() > 10, "the map was not found");
    for file in files {
        let room = room(&file);
        // The map and the program name every room.
        if ["lib", "main"].contains(&room.as_str()) {
            continue;
        }
        let Some(allowed) = rooms.get(&room) else {
            panic!("{}: `{room}` is not in the map", file.display());
        };
        let text = std::fs::read_to_string(&file).unwrap();
        for other in named(&text, &rooms).into_iter().filter(|other| *other != room) {
            assert!(allowed.contains(&other), "{} uses `{other}`", file.display());
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

/// The rooms that `lib.rs` opens, with the file that says what each is.
fn open_rooms() -> Vec<(String, PathBuf)> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let map = std::fs::read_to_string(source.join("lib.rs")).unwrap();
    let names = map
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    let rooms: Vec<_> = names
        .filter(|name| *name != "cli")
        .map(|name| {
            let folder = source.join(name).join("mod.rs");
            let file = if folder.is_file() {
                folder
            } else {
                source.join(format!("{name}.rs"))
            };
            (name.to_owned(), file)
        })
        .collect();
    assert!(rooms.len() > 10, "the rooms were not found");
    rooms
}

/// Names that a file offers to everybody: its own, and what it passes on.
fn offered(text: &str) -> usize {
    let own = [
        "mod", "fn", "async fn", "const fn", "struct", "enum", "trait", "type", "const", "static",
    ];
    let is_own = |line: &&str| own.iter().any(|kind| line.starts_with(&format!("pub {kind} ")));
    let passed_on = text.split("\npub use ").skip(1).map(|rest| {
        let path = rest.split(';').next().unwrap();
        let names = path.rsplit("::{").next().unwrap().trim_end_matches('}');
        names.split(',').filter(|name| !name.trim().is_empty()).count()
    });
    text.lines().filter(is_own).count() + passed_on.sum::<usize>()
}

#[test]
fn a_front_door_has_at_most_forty_names() {
    assert_eq!(
        offered("pub mod a;\nmod b;\n\npub use b::{C, D};\npub use b::E;\npub(crate) use b::F;\npub fn g() {}\n"),
        5
    );
    for (room, file) in open_rooms() {
        let names = offered(&std::fs::read_to_string(file).unwrap());
        assert!((1..=40).contains(&names), "`{room}` offers {names} names");
    }
}

#[test]
fn every_room_shows_an_example_that_is_run() {
    for (room, file) in open_rooms() {
        let text = std::fs::read_to_string(file).unwrap();
        let mut head = text.lines().take_while(|line| line.starts_with("//!"));
        assert!(head.any(|line| line == "//! ```"), "`{room}` shows no example");
    }
}
