//! `tests/vectors/api.json`, the methods and paths of the API, against the doc comments and the published OpenAPI file.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

fn table() -> Vec<(String, String, bool)> {
    let text = include_str!("../vectors/api.json");
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cloud");
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
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
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cloud");
    let texts = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
    let examples: Vec<String> = texts
        .flat_map(|text| {
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
    let Some(published) = crate::api_openapi::published() else {
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
