//! The container images that a Docker Compose text names.
//!
//! Pure. The text is read as a stream of YAML events, never expanded: a text of aliases to aliases stays small. It
//! names too many images rather than too few, because a person decides by the list.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser};

/// Images of the services, each once, in order of appearance.
pub(super) fn named(compose: &str) -> Vec<String> {
    let mut walk = Walk::default();
    let readable = Parser::new_from_str(compose).try_for_each(|event| event.map(|(event, _)| walk.event(event)));
    if readable.is_err() {
        line_by_line(compose, &mut walk.images);
    }
    let mut once = Vec::new();
    for image in walk.images {
        if !once.contains(&image) {
            once.push(image);
        }
    }
    once
}

/// For a text that is no YAML: whatever stands behind `image:` at the start of a line.
fn line_by_line(compose: &str, images: &mut Vec<String>) {
    let values = compose
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("image:"));
    images.extend(values.map(|value| value.trim().trim_matches(['"', '\'']).to_owned()));
}

/// Where in the document the next event stands.
#[derive(Default)]
struct Walk {
    open: Vec<Node>,
    scalars: BTreeMap<usize, String>,
    images: Vec<String>,
}

/// A collection that has not ended.
enum Node {
    Sequence,
    /// The key whose value comes next, or none when a key comes next.
    Mapping(Option<String>),
}

impl Walk {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::DocumentStart(_) => self.open.clear(),
            Event::MappingStart(..) => self.open.push(Node::Mapping(None)),
            Event::SequenceStart(..) => self.open.push(Node::Sequence),
            Event::MappingEnd | Event::SequenceEnd => {
                self.open.pop();
                self.complete(String::new());
            }
            Event::Scalar(text, _, anchor, _) => {
                if anchor > 0 {
                    self.scalars.insert(anchor, text.clone().into_owned());
                }
                self.scalar(text.into_owned());
            }
            Event::Alias(anchor) => {
                let text = self.scalars.get(&anchor).cloned().unwrap_or_default();
                self.scalar(text);
            }
            _ => {}
        }
    }

    fn scalar(&mut self, text: String) {
        if self.is_image() && !text.is_empty() {
            self.images.push(text.clone());
        }
        self.complete(text);
    }

    /// A node ended: as a key it names what comes next, as a value it makes room for the next key.
    fn complete(&mut self, text: String) {
        if let Some(Node::Mapping(key)) = self.open.last_mut() {
            *key = match key {
                None => Some(text),
                Some(_) => None,
            };
        }
    }

    /// Whether the next value is the image of a service, or of a fragment that services may take in.
    fn is_image(&self) -> bool {
        let path: Vec<&str> = self
            .open
            .iter()
            .filter_map(|node| match node {
                Node::Mapping(key) => key.as_deref(),
                Node::Sequence => None,
            })
            .filter(|key| *key != "<<")
            .collect();
        let inside_value = matches!(self.open.last(), Some(Node::Mapping(Some(_))));
        inside_value
            && match path.as_slice() {
                ["services", _, "image"] => true,
                [extension, .., "image"] => extension.starts_with("x-"),
                _ => false,
            }
    }
}
