//! Whether a file that was named as the Docker Compose text is one, and what it looks like where it is not. Pure; only
//! whoever reads a user's own file calls it, since a text of somebody else is shown and not refused.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::listed::{ImageList, unusable};
use super::manifest::MAX_MANIFEST_BYTES;
use super::services::{Model, Service};
use super::strict::strict_json;
use super::yaml::{Field, Mark, NodeId, Tree};

/// Longest line that a server answers in the place of a file.
const LONGEST_ANSWER: usize = 200;

/// Why a file is not taken for a Docker Compose text. Each says what the file looks like, and never what stands in it where
/// that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoComposeText {
    /// A manifest, whose compose text is one of its fields.
    #[error("it is a manifest (`app-compose.json`), not the Docker Compose text in it")]
    Manifest,
    /// Assignments.
    #[error("it holds NAME=VALUE lines, as a file with an environment does")]
    Dotenv,
    /// A page of a browser.
    #[error("it is a web page")]
    Html,
    /// The answer of a server that did not have the file.
    #[error("it is one line as a server answers when it does not have a file")]
    Answer,
    /// A merge that nobody finished.
    #[error("line {line} is the mark of a merge that nobody finished")]
    Conflict {
        /// Line, from 1.
        line: usize,
    },
    /// Indented by a tab, which YAML forbids.
    #[error("line {line} is indented by a tab, and YAML takes only spaces")]
    Tab {
        /// Line, from 1.
        line: usize,
    },
    /// It ends inside of something.
    #[error("it ends before it is complete, as a file does that was cut: {why}")]
    Cut {
        /// What is missing.
        why: String,
    },
    /// Compose does not read it.
    #[error("Compose does not read it: {why}")]
    Unreadable {
        /// Where, and why not.
        why: String,
    },
    /// Nothing would run.
    #[error("it is no Docker Compose text: {why}")]
    NothingRuns {
        /// What is missing.
        why: String,
    },
    /// An image that no registry has.
    #[error("the image `{image}` cannot be pulled: {why}")]
    Image {
        /// Its name, shortened.
        image: String,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// Takes a text that Compose runs as it stands.
///
/// # Errors
/// [`NoComposeText`]: it is another file, or Compose refuses it.
pub fn check_compose_text(text: &str) -> Result<(), NoComposeText> {
    let tree = Tree::read(text)
        .map_err(|fault| looks_like(text).unwrap_or_else(|| unreadable(text, fault.line(), fault.to_string())))?;
    let model = Model::of(&tree)
        .map_err(|fault| looks_like(text).unwrap_or_else(|| NoComposeText::NothingRuns { why: fault.to_string() }))?;
    if let Some(name) = without_code(&tree, &model) {
        let why = format!("the service `{name}` has neither an image nor a build section");
        return Err(match text.ends_with(['\n', '\r']) {
            true => NoComposeText::NothingRuns { why },
            false => NoComposeText::Cut { why },
        });
    }
    let list = ImageList::of(text, &BTreeSet::new());
    let bad = list
        .images
        .iter()
        .find_map(|image| unusable(&image.name).map(|why| (image, why)));
    bad.map_or(Ok(()), |(image, why)| {
        Err(NoComposeText::Image {
            image: image.name.chars().take(LONGEST_ANSWER).collect(),
            why,
        })
    })
}

/// What a text that Compose does not read looks like.
fn looks_like(text: &str) -> Option<NoComposeText> {
    if let Some(line) = conflict(text) {
        return Some(NoComposeText::Conflict { line });
    }
    let trimmed = text.trim_start();
    let looks = [
        (
            trimmed.starts_with('{') && is_manifest(trimmed),
            NoComposeText::Manifest,
        ),
        (trimmed.starts_with('<'), NoComposeText::Html),
        (is_answer(text), NoComposeText::Answer),
        (is_dotenv(text), NoComposeText::Dotenv),
    ];
    looks.into_iter().find_map(|(is_so, what)| is_so.then_some(what))
}

/// The first service that Compose starts nothing for (compose-go `loader/validate.go` and `loader/extends.go`).
fn without_code(tree: &Tree, model: &Model) -> Option<String> {
    if !model.includes.is_empty() {
        return None;
    }
    let places: BTreeMap<&str, usize> = model
        .services
        .iter()
        .enumerate()
        .map(|(at, service)| (&*service.name, at))
        .collect();
    let mut known: Vec<Option<bool>> = vec![None; model.services.len()];
    for first in 0..known.len() {
        let (mut way, mut at) = (Vec::new(), first);
        let runs = loop {
            // A service that is met again on its own way is made from itself.
            if let Some(runs) = known.get(at).copied().flatten() {
                break runs;
            }
            set(&mut known, at, false);
            way.push(at);
            match model.services.get(at).map(|service| code_of(tree, service)) {
                Some(Made::Itself) => break true,
                Some(Made::From(name)) => match places.get(&*name) {
                    Some(next) => at = *next,
                    // The environment may choose one of those that are here.
                    None => break name.contains('$') && model.services.len() > way.len(),
                },
                Some(Made::Nothing) | None => break false,
            }
        };
        way.into_iter().for_each(|at| set(&mut known, at, runs));
    }
    let empty = model.services.iter().zip(known).find(|(_, runs)| *runs != Some(true));
    empty.map(|(service, _)| service.name.chars().take(60).collect())
}

fn set(known: &mut [Option<bool>], at: usize, runs: bool) {
    if let Some(one) = known.get_mut(at) {
        *one = Some(runs);
    }
}

/// Where the code of a service comes from.
enum Made {
    /// It names an image, a build, a program, or a service of another text.
    Itself,
    /// From the service of this name.
    From(Rc<str>),
    Nothing,
}

fn code_of(tree: &Tree, service: &Service) -> Made {
    // Of several documents the last that says something of it counts, and what is reset is not there.
    let last = |field| {
        let mut said = service.bodies.iter().rev().filter_map(|body| tree.field(*body, field));
        let is_reset = |value: NodeId| tree.tag(value) == Mark::Reset;
        let last = said.find(|value| is_reset(*value) || !tree.is_null(*value));
        last.filter(|value| !is_reset(*value))
    };
    let mut names = service.images.iter().filter_map(|image| tree.text(*image));
    if names.any(|name| !name.is_empty())
        || [Field::Build, Field::Provider]
            .into_iter()
            .any(|field| last(field).is_some())
    {
        return Made::Itself;
    }
    let Some(extends) = last(Field::Extends) else {
        return Made::Nothing;
    };
    let file = tree.field(extends, Field::File).filter(|file| !tree.is_null(*file));
    let name = tree.field(extends, Field::Service).unwrap_or(extends);
    match (file, tree.text(name)) {
        (Some(_), _) => Made::Itself,
        (None, Some(name)) => Made::From(name),
        (None, None) => Made::Nothing,
    }
}

/// The first line that a merge leaves: such marks stand at the start of a line, where no value of a mapping does.
fn conflict(text: &str) -> Option<usize> {
    let marks = ["<<<<<<< ", "||||||| ", ">>>>>>> "];
    let is_mark = |line: &str| marks.iter().any(|mark| line.starts_with(mark)) || line.trim_end() == "=======";
    text.lines().position(is_mark).map(|index| index.saturating_add(1))
}

fn is_manifest(text: &str) -> bool {
    let read = strict_json(text.trim_end().as_bytes(), MAX_MANIFEST_BYTES);
    let names = ["docker_compose_file", "manifest_version", "app_compose", "tcb_info"];
    read.is_ok_and(|value| names.iter().any(|name| value.get(name).is_some()))
}

/// One short line that names no service: `404: Not Found`, `Not Found`, `Access denied`.
fn is_answer(text: &str) -> bool {
    let line = text.trim();
    let says = [
        "not found",
        "forbidden",
        "unauthorized",
        "access denied",
        "bad gateway",
        "error",
    ];
    let lower = line.to_ascii_lowercase();
    line.len() <= LONGEST_ANSWER && !line.contains('\n') && says.iter().any(|word| lower.contains(word))
}

/// Whether every line that says something is an assignment.
fn is_dotenv(text: &str) -> bool {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (assigned, others): (Vec<&str>, Vec<&str>) = lines.partition(|line| is_assignment(line));
    // A value of several lines is in quotes.
    !assigned.is_empty()
        && (others.is_empty() || (assigned.len() > others.len() && text.contains(['"', '\''])))
        && !text.lines().any(|line| line.trim_end() == "services:")
}

fn is_assignment(line: &str) -> bool {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let inside = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '-');
    let name = line.split_once('=').map(|(name, _)| name.trim_end());
    name.is_some_and(|name| !name.is_empty() && name.chars().all(inside) && !name.starts_with('-'))
}

/// A text that is no YAML: indented by tabs, cut, or something else.
fn unreadable(text: &str, line: usize, why: String) -> NoComposeText {
    let is_tab = |line: &str| line.trim_start_matches(' ').starts_with('\t') && !line.trim().is_empty();
    let tab = text.lines().take(line.saturating_add(1)).position(is_tab);
    if let Some(tab) = tab {
        return NoComposeText::Tab {
            line: tab.saturating_add(1),
        };
    }
    // Whoever stops at the end was looking for more.
    match line >= text.lines().count() {
        true => NoComposeText::Cut { why },
        false => NoComposeText::Unreadable { why },
    }
}
