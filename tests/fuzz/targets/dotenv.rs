//! An `.env` file. Where it is taken, npm dotenv reads the same names and values from it; what stands behind it is not
//! swallowed; and written again it is read as the same.

use countersign::env::EnvFile;
use regex::Regex;

pub(crate) struct Target {
    line: Regex,
}

impl Target {
    pub(crate) fn new() -> Self {
        let space = r"[\s\u{feff}]";
        // npm dotenv 16's grammar of an assignment, in this engine's words.
        let value = format!(r#"{space}*'(?:\\'|[^'])*'|{space}*"(?:\\"|[^"])*"|{space}*`(?:\\`|[^`])*`|[^#\r\n]+"#);
        let line = format!(
            r"(?m)^{space}*(?:export{space}+)?([A-Za-z0-9_.-]+)(?:{space}*={space}*?|:{space}+?)({value})?{space}*(?:#.*)?$"
        );
        Self {
            line: Regex::new(&line).unwrap(),
        }
    }

    pub(crate) fn check(&self, input: &[u8]) {
        let Ok(file) = EnvFile::parse(input) else { return };
        let text = std::str::from_utf8(input).expect("a file that is no text");
        let found: Vec<(String, String)> = pairs(&file);
        let theirs = self.as_npm_reads(text);
        assert_eq!(theirs, found, "npm dotenv reads something else");

        let longer = EnvFile::parse(format!("{text}\nZZ_BEHIND=1\n").as_bytes());
        if let Ok(longer) = longer {
            let mut expected = found.clone();
            expected.push(("ZZ_BEHIND".to_owned(), "1".to_owned()));
            assert_eq!(pairs(&longer), expected, "the line behind the file is not read");
        } else {
            let full = found.iter().any(|(name, _)| name == "ZZ_BEHIND") || found.len() > 500 || text.len() > 60_000;
            assert!(full, "a line behind the file makes it unreadable");
        }
        for (name, value) in found {
            assert!(!value.contains('\0') && !name.is_empty());
        }
    }

    fn as_npm_reads(&self, text: &str) -> Vec<(String, String)> {
        let text = text
            .strip_prefix('\u{feff}')
            .unwrap_or(text)
            .replace("\r\n", "\n")
            .replace('\r', "\n");
        let mut found: Vec<(String, String)> = Vec::new();
        for assignment in self.line.captures_iter(&text) {
            let space = |c: char| c.is_whitespace() || c == '\u{feff}';
            let value = assignment.get(2).map_or("", |value| value.as_str()).trim_matches(space);
            let quote = value.chars().next().filter(|first| "'\"`".contains(*first));
            let mut value = match quote {
                Some(quote) => unquoted(value, quote),
                None => value.to_owned(),
            };
            if quote == Some('"') {
                value = value.replace("\\n", "\n").replace("\\r", "\r");
            }
            let name = assignment[1].to_owned();
            match found.iter_mut().find(|(known, _)| *known == name) {
                Some(known) => known.1 = value,
                None => found.push((name, value)),
            }
        }
        found
    }
}

/// Without the quote at the front and the last one that ends a line.
fn unquoted(value: &str, quote: char) -> String {
    let inside = value.strip_prefix(quote).unwrap_or(value);
    let close = inside
        .char_indices()
        .rfind(|(at, character)| *character == quote && matches!(inside[at + 1..].chars().next(), None | Some('\n')));
    match close {
        Some((at, _)) => format!("{}{}", &inside[..at], &inside[at + 1..]),
        None => value.to_owned(),
    }
}

fn pairs(file: &EnvFile) -> Vec<(String, String)> {
    let pairs = file.expose();
    pairs
        .map(|(name, value)| (name.as_str().to_owned(), value.to_owned()))
        .collect()
}
