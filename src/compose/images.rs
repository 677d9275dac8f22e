//! The images that a Docker Compose text runs, and the ways on which it runs something that no such list can name.
//!
//! Pure. It names what Compose would run, and more where two documents of a text extend each other; it never names less. The
//! work grows with the text's length, however deep it nests and however often it names the same.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::rc::Rc;

use serde::Serialize;

use super::dockerfile;
use super::services::{Model, Service};
use super::socket;
use super::variables::{self, Otherwise};
use super::yaml::{Field, Mark, NodeId, Tree};

/// So much of a value is shown with the way that it opens.
const LONGEST_EXCERPT: usize = 120;

/// An image that the text names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NamedImage {
    /// As the text names it.
    pub name: String,
    /// What it is for.
    pub role: ImageRole,
    /// The services that it is for.
    pub services: Vec<String>,
    /// The variables in its name, each once.
    pub chosen_by: Vec<Choice>,
}

/// What an image is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageRole {
    /// Containers run it: of a service, or of what runs before one.
    Runs,
    /// Its files are mounted into a container.
    Mounted,
    /// An image that the guest builds is made from it.
    Base,
}

/// A variable in the name of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// Its name.
    pub variable: String,
    /// What stands there when nobody sets it; nothing where that is an empty text, or Compose refuses to start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The manifest lets the environment set it, so whoever seals the environment chooses; otherwise the owners who approve
    /// the text do.
    pub is_open: bool,
}

/// A way on which something runs that the list of images does not name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// The text is none that Compose reads, so that any list of it is a guess.
    Unreadable,
    /// The guest builds an image.
    Build,
    /// Services come from another text.
    Include,
    /// A service is made from one of another text.
    Extends,
    /// A program of the guest makes the service.
    Provider,
    /// A language model is fetched.
    Model,
    /// A container speaks to the container engine, and can start others.
    Engine,
    /// A container has the rights of the guest itself.
    Privileged,
    /// The environment names the text that Compose reads.
    OtherText,
    /// The name of an image is encoded.
    Encoded,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreadable => "unreadable",
            Self::Build => "build",
            Self::Include => "include",
            Self::Extends => "extends",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Engine => "engine",
            Self::Privileged => "privileged",
            Self::OtherText => "other-text",
            Self::Encoded => "encoded",
        })
    }
}

/// Something that runs and is on no list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unlisted {
    /// How.
    pub way: Way,
    /// One sentence with the piece of the text that says so.
    pub text: String,
}

/// What a Docker Compose text runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImageList {
    /// Every image that it names, each once, in order of appearance.
    pub images: Vec<NamedImage>,
    /// What runs besides; empty where the images are all.
    pub unlisted: Vec<Unlisted>,
}

impl NamedImage {
    /// Whether the name fixes what runs: it ends in `@sha256:` and 64 lower-case hex digits, and holds no variable.
    pub fn is_pinned(&self) -> bool {
        is_pinned(&self.name)
    }

    /// The digest of a pinned image, `sha256:…`.
    pub fn digest(&self) -> Option<&str> {
        let (_, digest) = self.name.rsplit_once('@').filter(|_| self.is_pinned())?;
        Some(digest)
    }
}

impl fmt::Display for NamedImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let what = match self.role {
            ImageRole::Runs => return Ok(()),
            ImageRole::Mounted => "mounted",
            ImageRole::Base => "what is built on the guest is made from it",
        };
        write!(f, " ({what})")
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.variable;
        match (self.is_open, &self.default) {
            (true, Some(default)) => write!(
                f,
                "{name}, which whoever seals the environment sets without an approval; `{default}` where nobody does"
            ),
            (true, None) => write!(
                f,
                "{name}, which whoever seals the environment sets without an approval"
            ),
            (false, Some(default)) => write!(
                f,
                "{name}, which the environment cannot set (it is not in allowed_envs): it is `{default}` unless the \
                 pre-launch script says otherwise"
            ),
            (false, None) => write!(
                f,
                "{name}, which the environment cannot set (it is not in allowed_envs): it is empty unless the pre-launch \
                 script says otherwise"
            ),
        }
    }
}

/// Whether a name ends in a whole digest and holds nothing that is filled in later.
fn is_pinned(name: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let whole = name
        .split_once("@sha256:")
        .filter(|(image, digest)| !image.is_empty() && digest.len() == 64 && digest.bytes().all(is_digit));
    whole.is_some() && !name.contains(['$', '{', '}']) && !name.contains(char::is_whitespace)
}

/// What stands in a name that no registry takes, where that is sure: a template that nobody filled in, or a digest that is
/// none.
pub(super) fn unusable(name: &str) -> Option<&'static str> {
    if name.contains("{{") {
        return Some("it holds a template that nobody filled in");
    }
    let digest = name.contains('@') && !variables::has_any(name) && !is_pinned(name);
    (digest && name.contains("@sha256:")).then_some("its digest is not `sha256:` and 64 lower-case hex digits")
}

impl ImageList {
    /// What `compose` runs, where the environment may set the variables of `open`.
    pub(super) fn of(compose: &str, open: &BTreeSet<&str>) -> Self {
        let mut list = match Tree::read(compose) {
            Ok(tree) => match Model::of(&tree) {
                Ok(model) => Lister::new(&tree).run(&model),
                Err(fault) => guessed(compose, &fault.to_string()),
            },
            Err(fault) => guessed(compose, &fault.to_string()),
        };
        for image in &mut list.images {
            image.chosen_by = choices(&image.name, open);
        }
        if open.contains("COMPOSE_FILE") {
            list.unlisted.push(Unlisted {
                way: Way::OtherText,
                text: "the environment may set COMPOSE_FILE, which names the text that Compose reads".to_owned(),
            });
        }
        list
    }
}

/// The variables of a name. The default is shown of the outer one alone, since the name shows the rest.
fn choices(name: &str, open: &BTreeSet<&str>) -> Vec<Choice> {
    let mut known = BTreeSet::new();
    let all = variables::references(name);
    let each = all.iter().filter(|reference| known.insert(reference.name));
    each.map(|reference| Choice {
        variable: reference.name.to_owned(),
        default: match reference.otherwise {
            Otherwise::Default(value) if !value.is_empty() => Some(excerpt(value)),
            _ => None,
        },
        is_open: open.contains(reference.name),
    })
    .collect()
}

/// For a text that Compose does not read: whatever stands behind a key `image` anywhere, and that this is a guess.
fn guessed(compose: &str, why: &str) -> ImageList {
    let mut known = BTreeSet::new();
    let lines = compose.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']);
    let values = lines.flat_map(|line| line.split("image").skip(1)).filter_map(|behind| {
        let value = behind.trim_start_matches(['"', '\'', ' ', '\t']).strip_prefix(':')?;
        let value = value.trim_start().trim_start_matches(['"', '\'']);
        let end = value.find(['"', '\'', ',', '}']).unwrap_or(value.len());
        value.get(..end).map(str::trim).filter(|value| !value.is_empty())
    });
    let images = values
        .filter(|value| known.insert((*value).to_owned()))
        .map(|value| NamedImage {
            name: value.to_owned(),
            role: ImageRole::Runs,
            services: Vec::new(),
            chosen_by: Vec::new(),
        });
    ImageList {
        images: images.collect(),
        unlisted: vec![Unlisted {
            way: Way::Unreadable,
            text: format!("the text is none that Compose reads, so what runs is not known: {why}"),
        }],
    }
}

/// A value in one line, cut where it is long.
fn excerpt(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST_EXCERPT) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

/// Makes the list. What several services share is looked at once.
struct Lister<'t> {
    tree: &'t Tree,
    images: Vec<NamedImage>,
    /// The place in the list of each name.
    known: HashMap<Rc<str>, usize>,
    /// The place in the list of each node that names an image.
    of_node: HashMap<NodeId, usize>,
    /// Sections that were looked at.
    seen: BTreeSet<NodeId>,
    unlisted: Vec<Unlisted>,
}

impl<'t> Lister<'t> {
    fn new(tree: &'t Tree) -> Self {
        Self {
            tree,
            images: Vec::new(),
            known: HashMap::new(),
            of_node: HashMap::new(),
            seen: BTreeSet::new(),
            unlisted: Vec::new(),
        }
    }

    fn run(mut self, model: &Model) -> ImageList {
        for include in &model.includes {
            let text = self.shown(*include);
            self.way(Way::Include, format!("services come from another text: include {text}"));
        }
        for service in &model.services {
            self.service(service);
        }
        for entry in &model.models {
            let text = self.tree.field(entry.value, Field::Model).map(|id| self.shown(id));
            let name = excerpt(&entry.key);
            let text = text.unwrap_or_default();
            self.way(Way::Model, format!("the language model `{name}` is fetched: {text}"));
        }
        for place in &model.places {
            if self
                .tree
                .text(place.value)
                .is_some_and(|text| socket::reaches_engine(&text))
            {
                let (name, text) = (excerpt(&place.key), self.shown(place.value));
                self.way(
                    Way::Engine,
                    format!("`{name}` holds the container engine's socket, by which containers start others: {text}"),
                );
            }
        }
        ImageList {
            images: self.images,
            unlisted: self.unlisted,
        }
    }

    fn service(&mut self, service: &Service) {
        let name = excerpt(&service.name);
        for image in &service.images {
            self.image(*image, ImageRole::Runs, &name);
        }
        for body in &service.bodies {
            self.ways_out(*body, &name);
            let field = |field| self.tree.field(*body, field);
            let (build, volumes, hooks) = (field(Field::Build), field(Field::Volumes), field(Field::PreStart));
            if let Some(build) = build {
                self.build(build, &name);
            }
            if let Some(hooks) = hooks.filter(|id| self.seen.insert(*id)) {
                self.hooks(hooks, &name);
            }
            if let Some(volumes) = volumes.filter(|id| self.seen.insert(*id)) {
                self.volumes(volumes, &name);
            }
        }
    }

    /// What runs in containers of its own before a service does (compose-go `loader/normalize.go`, `inheritPreStartImage`).
    fn hooks(&mut self, hooks: NodeId, service: &str) {
        let tree = self.tree;
        for image in tree
            .items(hooks)
            .iter()
            .filter_map(|hook| tree.field(*hook, Field::Image))
        {
            self.image(image, ImageRole::Runs, service);
        }
    }

    /// What of a service runs something else than its image.
    fn ways_out(&mut self, body: NodeId, name: &str) {
        let field = |field| self.tree.field(body, field);
        let (extends, provider) = (field(Field::Extends), field(Field::Provider));
        let (socket, privileged) = (field(Field::UseApiSocket), field(Field::Privileged));
        let other = extends.and_then(|extends| self.tree.field(extends, Field::File));
        if let Some(file) = other.filter(|file| !self.tree.is_null(*file)) {
            let text = self.shown(file);
            self.way(
                Way::Extends,
                format!("`{name}` is made from a service of another text: {text}"),
            );
        }
        if let Some(provider) = provider {
            let kind = self.tree.field(provider, Field::Type).map(|id| self.shown(id));
            let text = kind.unwrap_or_default();
            self.way(
                Way::Provider,
                format!("a program of the guest makes `{name}`: provider {text}"),
            );
        }
        if socket.is_some_and(|id| self.is_on(id)) {
            let text = format!("`{name}` speaks to the container engine and can start others: use_api_socket");
            self.way(Way::Engine, text);
        }
        if privileged.is_some_and(|id| self.is_on(id)) {
            let text = format!("`{name}` has the rights of the guest itself and can start others: privileged");
            self.way(Way::Privileged, text);
        }
    }

    fn way(&mut self, way: Way, text: String) {
        self.unlisted.push(Unlisted { way, text });
    }

    /// A switch that is on, or that a variable may turn on.
    fn is_on(&self, id: NodeId) -> bool {
        let off = ["", "false", "False", "FALSE", "no", "No", "off", "Off", "0"];
        self.tree.text(id).is_some_and(|text| !off.contains(&&*text))
    }

    /// An image that a node names.
    fn image(&mut self, id: NodeId, role: ImageRole, service: &str) {
        if let Some(known) = self.of_node.get(&id).and_then(|index| self.images.get_mut(*index)) {
            serves(known, service);
            return;
        }
        if self.tree.tag(id) == Mark::Binary {
            let text = format!("the image of `{service}` is encoded: {}", self.shown(id));
            self.way(Way::Encoded, text);
            return;
        }
        let Some(text) = self.tree.text(id).filter(|text| !text.is_empty()) else {
            return;
        };
        let index = self.named(&text, role, service);
        self.of_node.insert(id, index);
    }

    /// Puts a name on the list, once. Gives its place.
    fn named(&mut self, name: &Rc<str>, role: ImageRole, service: &str) -> usize {
        let index = *self.known.entry(Rc::clone(name)).or_insert(self.images.len());
        match self.images.get_mut(index) {
            Some(known) => serves(known, service),
            None => self.images.push(NamedImage {
                name: (**name).to_owned(),
                role,
                services: vec![service.to_owned()],
                chosen_by: Vec::new(),
            }),
        }
        index
    }

    /// What is built: from which images, where the Dockerfile stands in the text, and from which place.
    fn build(&mut self, build: NodeId, service: &str) {
        if !self.seen.insert(build) {
            self.way(
                Way::Build,
                format!("`{service}` is built on the guest, as another service is"),
            );
            return;
        }
        let field = |field| self.tree.field(build, field).and_then(|id| self.tree.text(id));
        let context = self.tree.text(build).or_else(|| field(Field::Context));
        let context = context.map_or_else(|| ".".to_owned(), |text| excerpt(&text));
        let inline = field(Field::DockerfileInline);
        let place = match (&inline, field(Field::Dockerfile)) {
            (Some(_), _) => "a Dockerfile in the text".to_owned(),
            (None, Some(file)) => format!("`{}` in `{context}`", excerpt(&file)),
            (None, None) => format!("`{context}`"),
        };
        let bases = inline.map(|text| dockerfile::images(&text)).unwrap_or_default();
        let from = match bases.is_empty() {
            true => String::new(),
            false => format!(", which starts from {}", excerpt(&bases.join(", "))),
        };
        self.way(
            Way::Build,
            format!("`{service}` is built on the guest from {place}{from}"),
        );
        for base in bases {
            self.named(&Rc::from(base), ImageRole::Base, service);
        }
        let contexts = self.tree.field(build, Field::AdditionalContexts);
        if let Some(contexts) = contexts.filter(|id| self.seen.insert(*id)) {
            self.contexts(contexts, service);
        }
    }

    /// Places that a build takes files from besides: `name: place`, or a list of `name=place`.
    fn contexts(&mut self, contexts: NodeId, service: &str) {
        let of_map = self.tree.entries(contexts).into_iter().map(|entry| entry.value);
        let all: Vec<NodeId> = of_map.chain(self.tree.items(contexts).iter().copied()).collect();
        for text in all.into_iter().filter_map(|id| self.tree.text(id)) {
            match text.split_once("docker-image://") {
                Some((_, image)) => {
                    self.named(&Rc::from(image), ImageRole::Base, service);
                }
                None if text.contains("service:") => {}
                None => self.way(
                    Way::Build,
                    format!("`{service}` is built on the guest with files from `{}`", excerpt(&text)),
                ),
            }
        }
    }

    fn volumes(&mut self, volumes: NodeId, service: &str) {
        let tree = self.tree;
        for volume in tree.items(volumes).iter().copied() {
            if !self.seen.insert(volume) {
                continue;
            }
            let kind = self.tree.field(volume, Field::Type).and_then(|id| self.tree.text(id));
            let source = self.tree.field(volume, Field::Source);
            // A variable may make any kind of it.
            let is_image = kind.is_some_and(|kind| kind.contains("image") || kind.contains('$'));
            if let Some(image) = source.filter(|_| is_image) {
                self.image(image, ImageRole::Mounted, service);
            }
            let text = source.or(Some(volume)).and_then(|id| self.tree.text(id));
            if text.is_some_and(|text| socket::reaches_engine(&text)) {
                let shown = self.shown(source.unwrap_or(volume));
                self.way(
                    Way::Engine,
                    format!("`{service}` has the container engine's socket and can start others: {shown}"),
                );
            }
        }
    }

    /// A value for people: texts as they stand, the texts in a collection one after the other.
    fn shown(&self, id: NodeId) -> String {
        let mut parts: Vec<Rc<str>> = Vec::new();
        parts.extend(self.tree.text(id));
        parts.extend(
            self.tree
                .items(id)
                .iter()
                .take(3)
                .filter_map(|item| self.tree.text(*item)),
        );
        for field in [Field::Path, Field::Service] {
            let Some(value) = self.tree.field(id, field) else {
                continue;
            };
            parts.extend(self.tree.text(value));
            parts.extend(
                self.tree
                    .items(value)
                    .iter()
                    .take(3)
                    .filter_map(|item| self.tree.text(*item)),
            );
        }
        format!("`{}`", excerpt(&parts.join(", ")))
    }
}

fn serves(image: &mut NamedImage, service: &str) {
    if image.services.last().is_none_or(|last| last != service) {
        image.services.push(service.to_owned());
    }
}
