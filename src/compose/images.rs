//! The container images that a Docker Compose text names.
//!
//! Pure. The text is read as a stream of YAML events, never expanded: a text of aliases to aliases stays small. It
//! names too many images rather than too few, because a person decides by the list. The work grows with the text's length,
//! however deep it nests and however often it names the same.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use saphyr_parser::{Event, Parser};

/// Images of the services, each once, in order of appearance.
pub(super) fn named(compose: &str) -> Vec<String> {
    let mut walk = Walk::default();
    let readable = Parser::new_from_str(compose).try_for_each(|event| event.map(|(event, _)| walk.event(event)));
    if readable.is_err() {
        line_by_line(compose, &mut walk.images);
    }
    let mut known = HashSet::new();
    walk.images.retain(|image| known.insert(Rc::clone(image)));
    walk.images.iter().map(|image| image.as_ref().to_owned()).collect()
}

/// For a text that is no YAML: whatever stands behind `image:` at the start of a line.
fn line_by_line(compose: &str, images: &mut Vec<Rc<str>>) {
    let values = compose
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("image:"));
    images.extend(values.map(|value| Rc::from(value.trim().trim_matches(['"', '\'']))));
}

/// Where in the document the next event stands.
#[derive(Default)]
struct Walk {
    open: Vec<Node>,
    scalars: BTreeMap<usize, Anchored>,
    images: Vec<Rc<str>>,
}

/// A text that can be taken in by its anchor.
#[derive(Clone)]
struct Anchored {
    text: Rc<str>,
    /// It is among the images.
    is_listed: bool,
}

/// A collection that has not ended, and where it stands.
struct Node {
    place: Place,
    /// The key whose value comes next, or none when a key comes next; none of either in a sequence.
    key: Option<Rc<str>>,
    is_mapping: bool,
}

/// What the keys on the way to a node say of it. Sequences and merged fragments (`<<`) are no step.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The first key.
    under: Under,
    /// How many keys.
    depth: usize,
    /// The last key is `image`.
    is_image: bool,
}

/// What stands at the top of a document.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Under {
    Services,
    Extension,
    Else,
}

impl Place {
    const TOP: Self = Self {
        under: Under::Else,
        depth: 0,
        is_image: false,
    };

    /// One key further.
    fn within(self, key: &str) -> Self {
        if key == "<<" {
            return self;
        }
        let under = match self.depth {
            0 if key == "services" => Under::Services,
            0 if key.starts_with("x-") => Under::Extension,
            0 => Under::Else,
            _ => self.under,
        };
        Self {
            under,
            depth: self.depth.saturating_add(1),
            is_image: key == "image",
        }
    }

    /// Whether a value here is the image of a service, or of a fragment that services may take in.
    const fn names_an_image(self) -> bool {
        self.is_image
            && match self.under {
                Under::Services => self.depth == 3,
                Under::Extension => self.depth > 1,
                Under::Else => false,
            }
    }
}

impl Node {
    /// Where its next value stands.
    fn inside(&self) -> Place {
        self.key.as_deref().map_or(self.place, |key| self.place.within(key))
    }
}

impl Walk {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::DocumentStart(_) => self.open.clear(),
            Event::MappingStart(..) => self.begin(true),
            Event::SequenceStart(..) => self.begin(false),
            Event::MappingEnd | Event::SequenceEnd => {
                self.open.pop();
                self.complete(Rc::from(""));
            }
            Event::Scalar(text, _, anchor, _) => {
                let mut scalar = Anchored {
                    text: Rc::from(text.as_ref()),
                    is_listed: false,
                };
                self.scalar(&mut scalar);
                if anchor > 0 {
                    self.scalars.insert(anchor, scalar);
                }
            }
            Event::Alias(anchor) => {
                let known = self.scalars.get(&anchor).cloned();
                let mut scalar = known.unwrap_or_else(|| Anchored {
                    text: Rc::from(""),
                    is_listed: false,
                });
                self.scalar(&mut scalar);
                self.scalars.insert(anchor, scalar);
            }
            _ => {}
        }
    }

    fn begin(&mut self, is_mapping: bool) {
        let place = self.open.last().map_or(Place::TOP, Node::inside);
        self.open.push(Node {
            place,
            key: None,
            is_mapping,
        });
    }

    /// A long text that many aliases name is listed once.
    fn scalar(&mut self, scalar: &mut Anchored) {
        if self.is_image() && !scalar.text.is_empty() && !scalar.is_listed {
            self.images.push(Rc::clone(&scalar.text));
            scalar.is_listed = true;
        }
        self.complete(Rc::clone(&scalar.text));
    }

    /// A node ended: as a key it names what comes next, as a value it makes room for the next key.
    fn complete(&mut self, text: Rc<str>) {
        if let Some(node) = self.open.last_mut().filter(|node| node.is_mapping) {
            node.key = match node.key {
                None => Some(text),
                Some(_) => None,
            };
        }
    }

    fn is_image(&self) -> bool {
        let Some(node) = self.open.last() else { return false };
        node.key.is_some() && node.inside().names_an_image()
    }
}
