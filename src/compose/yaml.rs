//! A YAML text as a tree, read as the reader of Docker Compose reads it (go-yaml 3 and 4 under compose-go).
//!
//! Pure. The text is read as a stream of events; an alias is the very node that it names, so a text of aliases to aliases stays
//! small, and every walk over the tree is as long as the text. Nodes are numbered as they end: what is inside a node, and
//! what it names by an alias, always has a lower number than the node itself.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, Tag};

/// A node of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NodeId(usize);

/// The documents of a text.
#[derive(Debug, Default)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    /// What stands at the top of each document.
    pub(super) roots: Vec<NodeId>,
    /// What a number of another tree names.
    nothing: Content,
    /// How much may still be handed out: bytes of texts, and keys. What many places share would make a short text long.
    left: Cell<usize>,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Content {
    Scalar {
        text: Rc<str>,
        /// Without quotes and without a block: `null` and `<<` mean something.
        is_plain: bool,
    },
    Sequence(Vec<NodeId>),
    Mapping(Vec<Pair>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Sequence(Vec::new())
    }
}

/// A key and its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pair {
    pub(super) key: NodeId,
    pub(super) value: NodeId,
}

/// A key as text, and its value.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) key: Rc<str>,
    pub(super) value: NodeId,
}

#[derive(Debug)]
struct Node {
    content: Content,
    tag: Mark,
    line: usize,
    /// Of a mapping: the values of keys that mean something to Compose, merged fragments taken in. Of a list: those of the
    /// fragments in it.
    fields: Vec<(Field, NodeId)>,
}

/// What a tag says of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// There is none.
    Plain,
    /// `!reset` of Compose: as if it were not there, here and in the documents before.
    Reset,
    /// `!override` of Compose: takes the place of what documents before it said.
    Override,
    /// `!!binary`: the text is not what it means.
    Binary,
    /// `!!merge`.
    Merge,
    /// Any other, `!!str` among them.
    Other,
}

/// Why no tree could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum YamlFault {
    #[error("line {line} is no YAML: {why}")]
    Syntax { line: usize, why: String },
    #[error("line {line} has a control character, which Compose refuses")]
    Control { line: usize },
    #[error("line {line} has a key that its mapping has already, which Compose refuses")]
    KeyTwice { line: usize },
    #[error("line {line} takes in what it is inside of")]
    InItself { line: usize },
    #[error("line {line} has a key that is no text")]
    KeyNoText { line: usize },
    #[error("line {line} has a key of more than 4096 bytes")]
    KeyTooLong { line: usize },
}

impl YamlFault {
    pub(super) const fn line(&self) -> usize {
        match self {
            Self::Syntax { line, .. }
            | Self::Control { line }
            | Self::KeyTwice { line }
            | Self::InItself { line }
            | Self::KeyNoText { line }
            | Self::KeyTooLong { line } => *line,
        }
    }
}

macro_rules! fields {
    ($($variant:ident = $name:literal,)*) => {
        /// A key that means something to Compose, wherever it stands.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Field { $($variant,)* }

        impl Field {
            fn of(key: &str) -> Option<Self> {
                match key {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

fields! {
    AdditionalContexts = "additional_contexts",
    Args = "args",
    Build = "build",
    CapAdd = "cap_add",
    Context = "context",
    Device = "device",
    Dockerfile = "dockerfile",
    DockerfileInline = "dockerfile_inline",
    DriverOpts = "driver_opts",
    EnvFile = "env_file",
    Environment = "environment",
    Extends = "extends",
    File = "file",
    Image = "image",
    Model = "model",
    Path = "path",
    Pid = "pid",
    PostStart = "post_start",
    PreStart = "pre_start",
    Privileged = "privileged",
    Provider = "provider",
    Service = "service",
    Source = "source",
    Type = "type",
    UseApiSocket = "use_api_socket",
    Volumes = "volumes",
}

/// So much may be handed out of the shortest text, and of each byte of a longer one. A text that shares little needs a
/// tenth of it.
const SMALL: usize = 0x10000;
const OF_A_BYTE: usize = 64;

/// Line ends of YAML 1.1 that YAML 1.2 knows for text (go-yaml `yamlprivateh.go`, `is_break`).
pub(super) const OLD_BREAKS: [char; 3] = ['\u{85}', '\u{2028}', '\u{2029}'];

impl Tree {
    /// Reads a text.
    pub(super) fn read(text: &str) -> Result<Self, YamlFault> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if let Some(at) = text.find(|character| !is_printable(character)) {
            let before = text.get(..at).unwrap_or_default();
            return Err(YamlFault::Control {
                line: before.matches('\n').count().saturating_add(1),
            });
        }
        // The parser below knows neither the old line ends nor a tab behind a colon; both stand for what they are replaced by.
        match text.contains(OLD_BREAKS) || text.contains(":\t") {
            true => Builder::run(&text.replace(OLD_BREAKS, "\n").replace(":\t", ": ")),
            false => Builder::run(text),
        }
        .inspect(|tree| {
            let of_its_length = text.len().saturating_mul(OF_A_BYTE);
            tree.left.set(of_its_length.saturating_add(SMALL));
        })
    }

    /// Whether more was asked for than a text of this length says: then some of it was left out.
    pub(super) fn is_exhausted(&self) -> bool {
        self.left.get() == 0
    }

    /// Takes `amount` from what may be handed out. Whether there was something left.
    fn spend(&self, amount: usize) -> bool {
        self.left.set(self.left.get().saturating_sub(amount));
        !self.is_exhausted()
    }

    /// What a node is.
    pub(super) fn content(&self, id: NodeId) -> &Content {
        self.nodes.get(id.0).map_or(&self.nothing, |node| &node.content)
    }

    pub(super) fn tag(&self, id: NodeId) -> Mark {
        self.nodes.get(id.0).map_or(Mark::Plain, |node| node.tag)
    }

    pub(super) fn line(&self, id: NodeId) -> usize {
        self.nodes.get(id.0).map_or(0, |node| node.line)
    }

    /// The text of a scalar that is not null.
    pub(super) fn text(&self, id: NodeId) -> Option<Rc<str>> {
        match self.content(id) {
            Content::Scalar { text, is_plain } if !(*is_plain && is_null(text)) => {
                self.spend(text.len()).then(|| Rc::clone(text))
            }
            _ => None,
        }
    }

    /// Whether it is a plain scalar that stands for nothing.
    pub(super) fn is_null(&self, id: NodeId) -> bool {
        matches!(self.content(id), Content::Scalar { text, is_plain: true } if is_null(text))
    }

    /// The members of a sequence.
    pub(super) fn items(&self, id: NodeId) -> &[NodeId] {
        match self.content(id) {
            Content::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The value of a key of a mapping, or of a fragment that it takes in.
    pub(super) fn field(&self, id: NodeId, field: Field) -> Option<NodeId> {
        let node = self.nodes.get(id.0)?;
        let fields = matches!(node.content, Content::Mapping(_)).then_some(&node.fields)?;
        fields.iter().find(|(own, _)| *own == field).map(|(_, value)| *value)
    }

    /// All keys of a mapping with their values, those of fragments that it takes in by `<<` among them: its own come before
    /// theirs, and of several fragments the first counts (go-yaml `decode.go`, `merge`).
    pub(super) fn entries(&self, id: NodeId) -> Vec<Entry> {
        let (mut found, mut known) = (Vec::new(), HashSet::new());
        let (mut looked_at, mut open) = (HashSet::new(), Vec::new());
        if matches!(self.content(id), Content::Mapping(_)) {
            open.push(id);
        }
        while let Some(next) = open.pop() {
            if !self.spend(1) {
                return found;
            }
            if !looked_at.insert(next) {
                continue;
            }
            match self.content(next) {
                Content::Mapping(pairs) => {
                    for pair in pairs.iter().filter(|pair| !self.merges(pair.key)) {
                        let Content::Scalar { text, .. } = self.content(pair.key) else {
                            continue;
                        };
                        if !self.spend(text.len().saturating_add(1)) {
                            return found;
                        }
                        if known.insert(Rc::clone(text)) {
                            found.push(Entry {
                                key: Rc::clone(text),
                                value: pair.value,
                            });
                        }
                    }
                    let taken_in = pairs.iter().rev().filter(|pair| self.merges(pair.key));
                    open.extend(taken_in.map(|pair| pair.value));
                }
                // The fragments of a list of them.
                Content::Sequence(items) => open.extend(items.iter().rev()),
                Content::Scalar { .. } => {}
            }
        }
        found
    }

    /// Every node, those inside before those around.
    pub(super) fn all(&self) -> impl Iterator<Item = NodeId> {
        (0..self.nodes.len()).map(NodeId)
    }

    /// Whether a key takes in fragments (go-yaml `decode.go`, `isMerge`): quoted it is a name as any other.
    pub(super) fn merges(&self, key: NodeId) -> bool {
        match self.content(key) {
            Content::Scalar { text, is_plain } => &**text == "<<" && (*is_plain || self.tag(key) == Mark::Merge),
            _ => false,
        }
    }

    fn push(&mut self, node: Node) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len().saturating_sub(1))
    }

    /// The fields of a mapping that just ended: own ones, then those of what it takes in.
    fn fields_of(&self, pairs: &[Pair]) -> Vec<(Field, NodeId)> {
        let mut fields: Vec<(Field, NodeId)> = Vec::new();
        let mut take = |field: Field, value: NodeId| {
            if !fields.iter().any(|(known, _)| *known == field) {
                fields.push((field, value));
            }
        };
        for pair in pairs.iter().filter(|pair| !self.merges(pair.key)) {
            if let Content::Scalar { text, .. } = self.content(pair.key)
                && let Some(field) = Field::of(text)
            {
                take(field, pair.value);
            }
        }
        let taken_in = pairs.iter().filter(|pair| self.merges(pair.key));
        for fragment in taken_in.filter_map(|pair| self.nodes.get(pair.value.0)) {
            fragment.fields.iter().for_each(|(field, value)| take(*field, *value));
        }
        fields
    }

    /// The fields of the fragments in a list that just ended; of several that have one the first counts.
    fn fields_within(&self, items: &[NodeId]) -> Vec<(Field, NodeId)> {
        let mut fields: Vec<(Field, NodeId)> = Vec::new();
        for fragment in items.iter().filter_map(|id| self.nodes.get(id.0)) {
            for (field, value) in &fragment.fields {
                if !fields.iter().any(|(known, _)| known == field) {
                    fields.push((*field, *value));
                }
            }
        }
        fields
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

/// What go-yaml's reader lets through (`readerc.go`); everything else it calls a control character.
const fn is_printable(character: char) -> bool {
    matches!(character,
        '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{a0}'..='\u{fefe}' | '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}

/// A collection that has not ended.
struct Open {
    is_mapping: bool,
    inside: Vec<NodeId>,
    anchor: usize,
    tag: Mark,
    line: usize,
}

#[derive(Default)]
struct Builder {
    tree: Tree,
    open: Vec<Open>,
    anchors: HashMap<usize, NodeId>,
}

impl Builder {
    fn run(text: &str) -> Result<Tree, YamlFault> {
        let mut builder = Self::default();
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| YamlFault::Syntax {
                line: error.marker().line(),
                why: error.info().to_owned(),
            })?;
            builder.event(event, span.start.line())?;
        }
        Ok(builder.tree)
    }

    fn event(&mut self, event: Event<'_>, line: usize) -> Result<(), YamlFault> {
        match event {
            Event::MappingStart(anchor, tag) => self.begin(true, anchor, (tag.as_deref(), line)),
            Event::SequenceStart(anchor, tag) => self.begin(false, anchor, (tag.as_deref(), line)),
            Event::MappingEnd | Event::SequenceEnd => self.end()?,
            Event::Scalar(text, style, anchor, tag) => {
                let tag = mark(tag.as_deref());
                let node = Node {
                    content: Content::Scalar {
                        text: Rc::from(text.as_ref()),
                        is_plain: style == ScalarStyle::Plain && tag == Mark::Plain,
                    },
                    tag,
                    line,
                    fields: Vec::new(),
                };
                self.complete(node, anchor);
            }
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).copied();
                self.place(known.ok_or(YamlFault::InItself { line })?);
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, is_mapping: bool, anchor: usize, about: (Option<&Tag>, usize)) {
        self.open.push(Open {
            is_mapping,
            inside: Vec::new(),
            anchor,
            tag: mark(about.0),
            line: about.1,
        });
    }

    fn end(&mut self) -> Result<(), YamlFault> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let fields;
        let content = if open.is_mapping {
            let pairs = open.inside.chunks_exact(2);
            let pairs: Vec<Pair> = pairs
                .filter_map(|pair| match pair {
                    [key, value] => Some(Pair {
                        key: *key,
                        value: *value,
                    }),
                    _ => None,
                })
                .collect();
            self.check_keys(&pairs)?;
            fields = self.tree.fields_of(&pairs);
            Content::Mapping(pairs)
        } else {
            fields = self.tree.fields_within(&open.inside);
            Content::Sequence(open.inside)
        };
        let node = Node {
            content,
            tag: open.tag,
            line: open.line,
            fields,
        };
        self.complete(node, open.anchor);
        Ok(())
    }

    /// A key is text and stands once (go-yaml `decode.go`, `mapping`; compose-go `loader/reset.go`, `resolveContainer`).
    fn check_keys(&self, pairs: &[Pair]) -> Result<(), YamlFault> {
        let mut known = HashSet::new();
        for pair in pairs {
            let line = self.tree.line(pair.key);
            let Content::Scalar { text, .. } = self.tree.content(pair.key) else {
                return Err(YamlFault::KeyNoText { line });
            };
            if text.len() > LONGEST_KEY {
                return Err(YamlFault::KeyTooLong { line });
            }
            if !known.insert(Rc::clone(text)) {
                return Err(YamlFault::KeyTwice { line });
            }
        }
        Ok(())
    }

    fn complete(&mut self, node: Node, anchor: usize) {
        let id = self.tree.push(node);
        if anchor > 0 {
            self.anchors.insert(anchor, id);
        }
        self.place(id);
    }

    /// Puts a node where it stands: into what is open, or at the top of a document.
    fn place(&mut self, id: NodeId) {
        match self.open.last_mut() {
            Some(open) => open.inside.push(id),
            None => self.tree.roots.push(id),
        }
    }
}

/// Longest key, bytes. A longer one that many mappings have by an alias would be compared in each of them.
const LONGEST_KEY: usize = 4096;

fn mark(tag: Option<&Tag>) -> Mark {
    let Some(tag) = tag else { return Mark::Plain };
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("!", "reset") => Mark::Reset,
        ("!", "override") => Mark::Override,
        ("tag:yaml.org,2002:", "binary") => Mark::Binary,
        ("tag:yaml.org,2002:", "merge") => Mark::Merge,
        _ => Mark::Other,
    }
}
