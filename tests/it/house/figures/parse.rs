//! One source file: its module, what it uses, the paths in its code, its public items. Read by words, without types.

use std::path::Path;

/// One source file without its tests.
pub struct File {
    pub path: String,
    /// `["upgrade", "fleet"]`; nothing for the crate itself.
    pub module: Vec<String>,
    pub lines: usize,
    pub text: String,
    pub uses: Vec<Use>,
    /// Paths in code, as they are written.
    pub paths: Vec<Vec<String>>,
    /// Names of public items, and of public modules.
    pub items: usize,
    pub public_modules: Vec<String>,
}

/// One name that a `use` brings in; `*` for all of them.
pub struct Use {
    pub name: String,
    pub path: Vec<String>,
    /// Visible to others: a re-export, which is no arrow.
    pub exported: bool,
    pub public: bool,
}

/// Words and marks of Rust without comments, texts and characters. `::` is one of them.
pub fn tokens(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if let Some(length) = raw_text(rest) {
            length
        } else if first == '"' {
            quoted(rest)
        } else if first == '\'' {
            character(rest)
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            found.push(rest.split_at(end).0.to_owned());
            end
        } else if rest.starts_with("::") {
            found.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                found.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = rest.split_at(length).1;
    }
    found
}

fn raw_text(text: &str) -> Option<usize> {
    let marks = text.strip_prefix('r').or_else(|| text.strip_prefix("br"))?;
    let count = marks.find(|c| c != '#')?;
    marks.split_at(count).1.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(count));
    let begin = text.find('"')? + 1;
    Some(begin + text.split_at(begin).1.find(&end)? + end.len())
}

fn quoted(text: &str) -> usize {
    let mut escaped = true;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character, or the tick of a lifetime.
fn character(text: &str) -> usize {
    let inner: Vec<(usize, char)> = text.char_indices().skip(1).take(2).collect();
    match inner.as_slice() {
        [(_, '\\'), (at, escaped)] => {
            let from = at + escaped.len_utf8();
            from + text.split_at(from).1.find('\'').map_or(0, |end| end + 1)
        }
        [_, (at, '\'')] => at + 1,
        _ => 1,
    }
}

/// The text before the tests.
fn without_tests(text: &str) -> &str {
    let begin = text.match_indices("#[cfg(test)]\nmod ").find(|(at, _)| {
        let line = text.split_at(*at).1.lines().nth(1).unwrap_or_default();
        line.ends_with('{')
    });
    begin.map_or(text, |(at, _)| text.split_at(at).0)
}

impl File {
    pub fn read(root: &Path, path: &Path) -> Option<Self> {
        let inner = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        // What only tests use stands in such files.
        let of_tests = inner.ends_with("tests.rs") || inner.ends_with("/sample.rs");
        if !inner.ends_with(".rs") || of_tests || inner == "main.rs" {
            return None;
        }
        let text = std::fs::read_to_string(path).unwrap();
        let text = without_tests(&text).to_owned();
        let plain = inner.trim_end_matches(".rs");
        let module = plain.trim_end_matches("lib").trim_end_matches("/mod");
        let module = module.split('/').filter(|part| !part.is_empty()).map(str::to_owned);
        let mut file = Self {
            module: module.collect(),
            lines: text.lines().count(),
            uses: Vec::new(),
            paths: Vec::new(),
            items: 0,
            public_modules: Vec::new(),
            path: inner,
            text,
        };
        file.parse();
        Some(file)
    }
    pub fn parse(&mut self) {
        let tokens = tokens(&self.text);
        let (mut at, mut depth) = (0, 0_usize);
        // Where a visibility reaches is no arrow.
        let reaches = |at: usize| at > 1 && tokens[at - 2] == "(" && tokens[at - 1] == "in";
        while let Some(token) = tokens.get(at) {
            match token.as_str() {
                "crate" if reaches(at) => {}
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                "use" if tokens.get(at + 1).is_some_and(|next| next != "<") => {
                    let end = tokens.iter().skip(at).position(|token| token == ";").unwrap_or(0) + at;
                    let public = at > 0 && tokens[at - 1] == "pub";
                    let exported = public || at > 0 && tokens[at - 1] == ")";
                    for path in tree(&mut tokens[at + 1..end].iter(), &[]) {
                        self.take(path, (exported, public));
                    }
                    at = end;
                }
                "pub" if depth == 0 => self.item(&tokens[at + 1..]),
                _ if tokens.get(at + 1).is_some_and(|next| next == "::") && (at == 0 || tokens[at - 1] != "::") => {
                    let rest = tokens[at..].chunks(2);
                    let whole = rest.take_while(|pair| is_name(&pair[0]));
                    let mut path = Vec::new();
                    for pair in whole {
                        path.push(pair[0].clone());
                        if pair.get(1).is_none_or(|mark| mark != "::") {
                            break;
                        }
                    }
                    self.paths.push(path);
                }
                _ => {}
            }
            at += 1;
        }
    }
    fn take(&mut self, (mut path, name): (Vec<String>, String), (exported, public): (bool, bool)) {
        if path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        self.uses.push(Use {
            name,
            path,
            exported,
            public,
        });
    }
    fn item(&mut self, rest: &[String]) {
        const ITEMS: [&str; 10] = [
            "struct", "enum", "trait", "type", "fn", "static", "const", "async", "unsafe", "union",
        ];
        match rest.first().map(String::as_str) {
            Some("mod") => self.public_modules.push(rest[1].clone()),
            Some(word) => self.items += usize::from(ITEMS.contains(&word)),
            None => {}
        }
    }
}

pub fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Every path of the tree of a `use`, with the name that it brings in.
fn tree(tokens: &mut std::slice::Iter<'_, String>, before: &[String]) -> Vec<(Vec<String>, String)> {
    let mut found = Vec::new();
    let mut path = before.to_vec();
    let mut name = None;
    while let Some(token) = tokens.next() {
        match token.as_str() {
            "{" => {
                found.extend(tree(tokens, &path));
                path.clear();
            }
            "}" | "," => {
                if let Some(last) = path.last().filter(|_| path.len() > before.len()) {
                    let last = if last == "self" {
                        path[path.len() - 2].clone()
                    } else {
                        last.clone()
                    };
                    found.push((path.clone(), name.take().unwrap_or(last)));
                }
                path = before.to_vec();
                if token == "}" {
                    return found;
                }
            }
            "as" => name = tokens.next().cloned(),
            "::" => {}
            word => path.push(word.to_owned()),
        }
    }
    if let Some(last) = path.last().filter(|_| path.len() > before.len()) {
        found.push((path.clone(), name.unwrap_or_else(|| last.clone())));
    }
    found
}
