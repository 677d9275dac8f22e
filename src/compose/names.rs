//! The variables that a Docker Compose text refers to, wherever it does. Pure; takes as long as the text.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::variables::{self, Otherwise};
use super::yaml::{Content, Field, NodeId, Tree};

/// The variables of a text, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextVariables {
    /// What becomes of each where nobody supplies it.
    pub all: BTreeMap<String, Unsupplied>,
    /// A container reads a file with an environment, so names that the text does not refer to may be used all the same.
    pub reads_a_file: bool,
}

/// What becomes of a variable that nobody supplies, the gravest of all its places.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unsupplied {
    /// A default takes its place.
    Default(String),
    /// It is empty, or not there.
    Blank,
    /// Compose does not start.
    Refused,
}

impl TextVariables {
    /// Of a text; nothing where it is none that Compose reads.
    pub(super) fn of(compose: &str) -> Option<Self> {
        let tree = Tree::read(compose).ok()?;
        let mut found = Self::default();
        let mut seen = HashSet::new();
        for id in tree.all() {
            match tree.content(id) {
                Content::Mapping(pairs) => {
                    for pair in pairs {
                        found.take(&tree, pair.value, &mut seen);
                    }
                }
                Content::Sequence(items) => items.iter().for_each(|item| found.take(&tree, *item, &mut seen)),
                Content::Scalar { .. } => {}
            }
        }
        let mut looked_at = HashSet::new();
        for id in tree.all() {
            found.reads_a_file |= tree.field(id, Field::EnvFile).is_some();
            for field in [Field::Environment, Field::Args] {
                if let Some(section) = tree.field(id, field) {
                    found.take_bare(&tree, section, &mut looked_at);
                }
            }
        }
        Some(found)
    }

    /// The references in one value.
    fn take(&mut self, tree: &Tree, id: NodeId, seen: &mut HashSet<NodeId>) {
        let Content::Scalar { text, .. } = tree.content(id) else {
            return;
        };
        if !text.contains('$') || !seen.insert(id) {
            return;
        }
        for reference in variables::references(text) {
            let becomes = match reference.otherwise {
                Otherwise::Default(value) if !value.is_empty() => Unsupplied::Default(value.chars().take(80).collect()),
                Otherwise::Refused => Unsupplied::Refused,
                // What is there only where the variable is set is meant to be absent.
                Otherwise::Default(_) | Otherwise::Dropped => Unsupplied::Default(String::new()),
                Otherwise::Blank => Unsupplied::Blank,
            };
            self.note(reference.name, becomes);
        }
    }

    /// Names without a value under `environment` and `args`, which take the value of the variable of the same name
    /// (compose-go `loader/environment.go`, `loader/normalize.go`): in a list, as keys without a value, or alone, as configs
    /// and secrets have it.
    fn take_bare(&mut self, tree: &Tree, section: NodeId, looked_at: &mut HashSet<NodeId>) {
        let mut open = vec![section];
        while let Some(id) = open.pop() {
            if !looked_at.insert(id) {
                continue;
            }
            match tree.content(id) {
                Content::Scalar { .. } => {
                    if let Some(name) = tree.text(id).filter(|text| is_name(text)) {
                        self.note(&name, Unsupplied::Blank);
                    }
                }
                Content::Sequence(items) => open.extend(items),
                Content::Mapping(pairs) => {
                    for pair in pairs {
                        if tree.merges(pair.key) {
                            open.push(pair.value);
                        } else if tree.is_null(pair.value)
                            && let Content::Scalar { text, .. } = tree.content(pair.key)
                            && is_name(text)
                        {
                            self.note(text, Unsupplied::Blank);
                        }
                    }
                }
            }
        }
    }

    fn note(&mut self, name: &str, becomes: Unsupplied) {
        match self.all.get_mut(name) {
            Some(known) if *known >= becomes => {}
            Some(known) => *known = becomes,
            None => {
                self.all.insert(name.to_owned(), becomes);
            }
        }
    }

    /// The names, for whoever looks for them.
    pub fn names(&self) -> BTreeSet<&str> {
        self.all.keys().map(String::as_str).collect()
    }
}

fn is_name(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.bytes().next().is_some_and(|first| !first.is_ascii_digit()) && text.bytes().all(inside)
}
