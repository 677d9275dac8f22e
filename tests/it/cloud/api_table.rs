//! `tests/vectors/api.json`, the methods, paths and errors of the API, against the doc comments and the published OpenAPI
//! file; the operations that the documents name, and the table of the book, against all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::harness::flow::BINARY;

fn table() -> Vec<(String, String, bool)> {
    let text = include_str!("../../vectors/api.json");
    let value: Value = serde_json::from_str(text).unwrap();
    let text = |row: &Value, name: &str| row[name].as_str().unwrap().to_owned();
    let row = |row: &Value| {
        let line = format!("{} {}", text(row, "method"), text(row, "path"));
        (text(row, "name"), line, row["openapi"].as_bool().unwrap())
    };
    value["operations"].as_array().unwrap().iter().map(row).collect()
}

/// Methods that are made of others, and have no wire line of their own.
const COMPOSED: &[&str] = &["all_cvms", "env_key", "env_key_of", "latest_operation", "settle"];

/// Method names and the wire lines of their doc comments, from the sources.
fn documented() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (_, text) in sources("src/cloud") {
        let mut first = None;
        for line in text.lines().map(str::trim) {
            if let Some(words) = line.strip_prefix("/// ") {
                first.get_or_insert_with(|| words.to_owned());
            } else if let Some(rest) = line.strip_prefix("pub async fn ") {
                let name = rest.split(['(', '<']).next().unwrap().to_owned();
                let words = first.take().unwrap_or_default();
                if COMPOSED.contains(&name.as_str()) {
                    continue;
                }
                let wire = words.strip_prefix('`').and_then(|words| words.split('`').next());
                let wire = wire.unwrap_or_else(|| panic!("{name} does not begin with its wire line: {words}"));
                assert!(found.insert(name.clone(), wire.to_owned()).is_none(), "{name} twice");
            } else if !line.starts_with("///") && !line.starts_with("#[") {
                first = None;
            }
        }
    }
    found
}

#[test]
fn every_public_operation_is_documented_with_the_line_of_the_table() {
    let table: BTreeMap<_, _> = table().into_iter().map(|(name, line, _)| (name, line)).collect();
    assert_eq!(documented(), table);
}

#[test]
fn every_operation_is_called_in_an_example_of_its_documentation() {
    let examples: Vec<String> = sources("src/cloud")
        .into_iter()
        .flat_map(|(_, text)| {
            text.lines()
                .filter(|line| line.starts_with("/// "))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    let composed = COMPOSED.iter().map(|name| (*name).to_owned());
    for name in table().into_iter().map(|(name, ..)| name).chain(composed) {
        let call = format!("client.{name}(");
        assert!(
            examples.iter().any(|line| line.contains(&call)),
            "{name} is in no example"
        );
    }
}

#[test]
fn the_table_is_what_the_published_openapi_file_says() {
    let Some(published) = crate::cloud::api_openapi::published() else {
        return;
    };
    let names = |path: &str| {
        let inside = path
            .split('/')
            .map(|part| if part.starts_with('{') { "{}" } else { part });
        inside.collect::<Vec<_>>().join("/")
    };
    let known: Vec<String> = published["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, verbs)| {
            let verbs = verbs.as_object().unwrap().keys();
            verbs.map(move |verb| format!("{} {}", verb.to_uppercase(), names(path)))
        })
        .collect();
    for (name, line, openapi) in table() {
        assert_eq!(known.contains(&names(&line)), openapi, "{name}: {line}");
    }
}

/// Statuses under `# Errors` of each method's doc comment.
fn told_errors() -> BTreeMap<String, BTreeSet<u64>> {
    let mut found = BTreeMap::new();
    for (_, text) in sources("src/cloud") {
        let mut block = String::new();
        for line in text.lines().map(str::trim) {
            if let Some(words) = line.strip_prefix("///") {
                block.push_str(words);
            } else if let Some(rest) = line.strip_prefix("pub async fn ") {
                let name = rest.split(['(', '<']).next().unwrap().to_owned();
                let errors = block.split("# Errors").nth(1).unwrap_or_default();
                let numbers = errors.split(|character: char| !character.is_ascii_digit());
                let statuses = numbers.filter(|run| run.len() == 3).map(|run| run.parse().unwrap());
                found.insert(name, statuses.filter(|status| (400..600).contains(status)).collect());
                block.clear();
            } else if !line.starts_with("#[") {
                block.clear();
            }
        }
    }
    found
}

/// The table's error statuses.
fn errors() -> BTreeMap<String, BTreeSet<u64>> {
    let value: Value = serde_json::from_str(include_str!("../../vectors/api.json")).unwrap();
    let rows = value["operations"].as_array().unwrap().clone();
    let each = rows.into_iter().map(|row| {
        let statuses = row["errors"]
            .as_array()
            .unwrap_or_else(|| panic!("{row} has no `errors`"));
        (
            row["name"].as_str().unwrap().to_owned(),
            statuses.iter().filter_map(Value::as_u64).collect(),
        )
    });
    each.collect()
}

/// Files of a folder and those below, with their text.
fn sources(folder: &str) -> Vec<(std::path::PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

#[test]
fn every_error_status_of_the_table_is_documented_at_its_method_and_no_other() {
    let told = told_errors();
    for (name, statuses) in errors() {
        assert_eq!(told[&name], statuses, "`# Errors` of {name}");
    }
}

#[test]
fn every_error_status_of_the_published_openapi_file_is_in_the_table() {
    let Some(published) = crate::cloud::api_openapi::published() else {
        return;
    };
    let errors = errors();
    // The second phase's statuses stand at the path that both phases share.
    let second = [466, 467, 468];
    for (name, line, _) in table() {
        let Some(answers) = answers(&published, &line) else {
            continue;
        };
        let first = matches!(name.as_str(), "patch" | "prepare");
        for status in answers
            .into_iter()
            .filter(|status| *status >= 400 && !(first && second.contains(status)))
        {
            assert!(errors[&name].contains(&status), "{name}: {status}");
        }
    }
}

/// Statuses that the published file has for a wire line.
fn answers(published: &Value, line: &str) -> Option<Vec<u64>> {
    let (verb, path) = line.split_once(' ').unwrap();
    let paths = published["paths"].as_object().unwrap();
    let found = paths
        .iter()
        .find(|(template, _)| without_names(template) == without_names(path))?
        .1;
    let answers = found.get(verb.to_lowercase())?["responses"].as_object().unwrap();
    Some(answers.keys().filter_map(|status| status.parse().ok()).collect())
}

/// A path whose variables have no names.
fn without_names(path: &str) -> String {
    let inside = path
        .split('/')
        .map(|part| if part.starts_with('{') { "{}" } else { part });
    inside.collect::<Vec<_>>().join("/")
}

// ---- the table of the book ----

/// One row: what the documents call it, wire lines, methods, commands, test.
struct Row {
    documented: Vec<String>,
    wire: Vec<String>,
    methods: Vec<String>,
    commands: Vec<String>,
    test: String,
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn rows() -> Vec<Row> {
    let page = include_str!("../../../docs/src/reference/cloud-operations.md");
    let lines = page
        .lines()
        .skip_while(|line| !line.starts_with("| documented as |"))
        .skip(2);
    let mut rows: Vec<Row> = Vec::new();
    for line in lines.take_while(|line| line.starts_with('|')) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [documented, wire, methods, commands, test] = cells[..] else {
            panic!("five cells: {line}")
        };
        let test = match test {
            "the same" => rows.last().unwrap().test.clone(),
            _ => quoted(test).remove(0),
        };
        rows.push(Row {
            documented: quoted(documented),
            wire: quoted(wire),
            methods: quoted(methods),
            commands: quoted(commands),
            test,
        });
    }
    rows
}

#[test]
fn every_operation_that_the_documents_name_is_in_the_book_with_its_methods() {
    let vector: Value = serde_json::from_str(include_str!("../../vectors/documented.json")).unwrap();
    let rows = rows();
    let mut named = BTreeSet::new();
    for operation in vector["operations"].as_array().unwrap() {
        let name = operation["name"].as_str().unwrap();
        named.insert(name.to_owned());
        let of_it: Vec<&Row> = rows
            .iter()
            .filter(|row| row.documented.iter().any(|one| one == name))
            .collect();
        assert!(!of_it.is_empty(), "{name} is not in the book");
        for method in operation["methods"].as_array().unwrap() {
            let method = method.as_str().unwrap();
            assert!(
                of_it.iter().any(|row| row.methods.iter().any(|one| one == method)),
                "{name}: {method}"
            );
        }
    }
    // A name in the book that no document has would be somebody's invention. `listed` is a field.
    for row in &rows {
        for name in row.documented.iter().filter(|name| *name != "listed") {
            assert!(named.contains(name), "no document names {name}");
        }
    }
}

#[test]
fn every_row_of_the_book_names_wire_methods_commands_and_a_test_that_exist() {
    let lines: BTreeMap<String, String> = table().into_iter().map(|(name, line, _)| (name, line)).collect();
    let tests: Vec<_> = sources("src").into_iter().chain(sources("tests/it")).collect();
    let (mut methods, mut wrong) = (BTreeSet::new(), Vec::new());
    for row in rows() {
        let wire: BTreeSet<String> = row
            .wire
            .iter()
            .map(|line| line.replacen(" /", " /api/v1/", 1))
            .collect();
        let wire: BTreeSet<String> = wire.iter().map(|line| without_names(line)).collect();
        let mut of_methods = BTreeSet::new();
        for method in row.methods.iter().filter(|method| !COMPOSED.contains(&method.as_str())) {
            match lines.get(method) {
                Some(line) => drop(of_methods.insert(without_names(line))),
                None => wrong.push(format!("there is no method {method}")),
            }
            methods.insert(method.clone());
        }
        if wire != of_methods {
            wrong.push(format!(
                "{:?}: {wire:?} on the wire, {of_methods:?} by its methods",
                row.methods
            ));
        }
        for command in &row.commands {
            let words = command.split(' ');
            let (options, words): (Vec<_>, Vec<_>) = words.partition(|word| word.starts_with("--"));
            let output = std::process::Command::new(BINARY)
                .args(words)
                .arg("--help")
                .output()
                .unwrap();
            let help = String::from_utf8_lossy(&output.stdout).into_owned();
            if !output.status.success() || !options.iter().all(|option| help.contains(option)) {
                wrong.push(format!("there is no command `{command}`"));
            }
        }
        let (file, name) = row.test.rsplit_once("::").unwrap();
        let place = format!("{}.rs", file.rsplit("::").next().unwrap());
        let there = |(path, text): &(std::path::PathBuf, String)| {
            path.ends_with(&place) && text.contains(&format!("fn {name}()"))
        };
        if !tests.iter().any(there) {
            wrong.push(format!("there is no test {}", row.test));
        }
    }
    for name in lines.keys().filter(|name| !methods.contains(*name)) {
        wrong.push(format!("{name} is in no row"));
    }
    assert_eq!(wrong, Vec::<String>::new());
}
