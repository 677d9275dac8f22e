//! The images that a Docker Compose text runs, and the ways on which it runs something that no such list can name.
//!
//! Pure. It names what Compose would run, and more where two documents of a text extend each other; it never names less. The
//! work grows with the text's length, however deep it nests and however often it names the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::rc::Rc;

use super::dockerfile;
use super::excerpt::excerpt;
use super::listed::{Choice, ImageList, ImageRole, NamedImage, Unlisted, Way};
use super::services::{Model, Service};
use super::socket;
use super::variables::{self, Otherwise};
use super::yaml::{Entry, Field, Mark, NodeId, Tree};

/// Variables by which Compose itself is told what to read and where to run it.
const OF_COMPOSE: [(&str, &str); 5] = [
    ("COMPOSE_FILE", "the text that Compose reads"),
    ("COMPOSE_ENV_FILES", "the file that Compose fills the text in from"),
    ("DOCKER_CONFIG", "the folder from which Compose takes its plug-ins"),
    ("DOCKER_CONTEXT", "the container engine that Compose speaks to"),
    ("DOCKER_HOST", "the container engine that Compose speaks to"),
];
/// Capabilities with which a container reaches the guest's disks, memory or processes, and the guest's own processes (`pid: host`).
const STRONG: [&str; 7] = [
    "ALL",
    "SYS_ADMIN",
    "SYS_MODULE",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "DAC_READ_SEARCH",
    "HOST",
];
/// Longest name of an image, bytes: a registry takes 255 and 128 for the tag, and a default may stand in it.
const LONGEST_NAME: usize = 1024;
/// No kind of a volume is longer.
const LONGEST_KIND: usize = 100;

impl ImageList {
    /// Of a manifest that says of no Docker Compose text that it runs.
    pub(super) fn without_text(way: Way, why: String) -> Self {
        Self {
            unlisted: vec![Unlisted { way, text: why }],
            ..Self::default()
        }
    }

    /// What `compose` runs, where the environment may set the variables of `open`.
    pub(super) fn of(compose: &str, open: &BTreeSet<&str>) -> Self {
        let mut list = match Tree::read(compose) {
            Ok(tree) => match Model::of(&tree) {
                Ok(model) => {
                    let mut list = Lister::new(&tree).run(&model);
                    if tree.is_exhausted() {
                        let guess = guessed(
                            compose,
                            "the text says the same so often that not all of it was followed, so what runs is not known",
                        );
                        let known: BTreeSet<String> = list.images.iter().map(|image| image.name.clone()).collect();
                        let more = guess.images.into_iter().filter(|image| !known.contains(&image.name));
                        list.images.extend(more);
                        list.unlisted.extend(guess.unlisted);
                        list.besides = guess.besides;
                    }
                    list
                }
                Err(fault) => guessed(compose, &unread(&fault)),
            },
            Err(fault) => guessed(compose, &unread(&fault)),
        };
        for image in &mut list.images {
            image.chosen_by = choices(&image.name, open);
        }
        for (name, what) in OF_COMPOSE.into_iter().filter(|(name, _)| open.contains(name)) {
            list.unlisted.push(Unlisted {
                way: Way::OtherText,
                text: format!("the environment may set {name}, which names {what}"),
            });
            list.besides.push(choice(name, Otherwise::Blank, open));
        }
        for one in &mut list.besides {
            one.is_open = open.contains(&*one.variable);
        }
        list
    }
}

/// The variables of a name. The default is shown of the outer one alone, since the name shows the rest.
fn choices(name: &str, open: &BTreeSet<&str>) -> Vec<Choice> {
    let mut known = BTreeSet::new();
    let all = variables::references(name);
    let each = all.iter().filter(|reference| known.insert(reference.name));
    each.map(|reference| choice(reference.name, reference.otherwise, open))
        .collect()
}

fn choice(variable: &str, otherwise: Otherwise<'_>, open: &BTreeSet<&str>) -> Choice {
    Choice {
        variable: variable.to_owned(),
        default: match otherwise {
            Otherwise::Default(value) if !value.is_empty() => Some(excerpt(value)),
            _ => None,
        },
        is_open: open.contains(variable),
    }
}

/// That Compose does not read a text.
fn unread(fault: &dyn fmt::Display) -> String {
    format!("the text is none that Compose reads, so what runs is not known: {fault}")
}

/// For a text that Compose does not read, or that is not followed to its end: whatever stands behind a key `image` anywhere,
/// `why` this is a guess, and that any variable may choose what runs.
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
            text: why.to_owned(),
        }],
        besides: choices(compose, &BTreeSet::new()),
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
    /// Whether each node that was asked for it leads to the container engine.
    of_engine: HashMap<NodeId, bool>,
    /// Sections that were looked at.
    seen: BTreeSet<NodeId>,
    unlisted: Vec<Unlisted>,
    /// The variables in what runs besides the images, and the nodes in which they were looked for.
    besides: BTreeMap<String, Choice>,
    searched: BTreeSet<NodeId>,
}

impl<'t> Lister<'t> {
    fn new(tree: &'t Tree) -> Self {
        Self {
            tree,
            images: Vec::new(),
            known: HashMap::new(),
            of_node: HashMap::new(),
            of_engine: HashMap::new(),
            seen: BTreeSet::new(),
            unlisted: Vec::new(),
            besides: BTreeMap::new(),
            searched: BTreeSet::new(),
        }
    }

    fn run(mut self, model: &Model) -> ImageList {
        for include in &model.includes {
            let text = self.shown(*include);
            self.search(*include);
            self.way(Way::Include, format!("services come from another text: include {text}"));
        }
        for service in &model.services {
            self.service(service);
        }
        for entry in &model.models {
            let text = self.tree.field(entry.value, Field::Model).map(|id| self.shown(id));
            self.search(entry.value);
            let name = excerpt(&entry.key);
            let text = text.unwrap_or_default();
            self.way(Way::Model, format!("the language model `{name}` is fetched: {text}"));
        }
        for place in &model.places {
            self.search_source(place.value);
            if self.reaches_engine(place.value) {
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
            besides: self.besides.into_values().collect(),
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
        let socket = field(Field::UseApiSocket);
        let other = extends.and_then(|extends| self.tree.field(extends, Field::File));
        if let Some(file) = other.filter(|file| !self.tree.is_null(*file)) {
            let text = self.shown(file);
            self.search(file);
            self.way(
                Way::Extends,
                format!("`{name}` is made from a service of another text: {text}"),
            );
        }
        if let Some(provider) = provider {
            let kind = self.tree.field(provider, Field::Type).map(|id| self.shown(id));
            let text = kind.unwrap_or_default();
            self.search(provider);
            self.way(
                Way::Provider,
                format!("a program of the guest makes `{name}`: provider {text}"),
            );
        }
        if let Some(switch) = socket {
            self.search(switch);
            if self.is_on(switch) {
                let text = format!("`{name}` speaks to the container engine and can start others: use_api_socket");
                self.way(Way::Engine, text);
            }
        }
        self.rights(body, name);
    }

    /// Rights of the guest itself: `privileged`, of the service or of what runs in it after its start, its processes, and
    /// capabilities by which a container leaves itself.
    fn rights(&mut self, body: NodeId, name: &str) {
        let tree = self.tree;
        let field = |field| tree.field(body, field);
        let hooks = field(Field::PostStart).filter(|id| self.seen.insert(*id));
        let hooks = hooks.into_iter().flat_map(|hooks| tree.items(hooks).iter().copied());
        for privileged in std::iter::once(body)
            .chain(hooks)
            .filter_map(|id| tree.field(id, Field::Privileged))
        {
            self.search(privileged);
            if self.is_on(privileged) {
                let text = format!("`{name}` has the rights of the guest itself and can start others: privileged");
                self.way(Way::Privileged, text);
            }
        }
        let capabilities = field(Field::CapAdd).filter(|id| self.seen.insert(*id));
        let capabilities = capabilities
            .into_iter()
            .flat_map(|list| tree.items(list).iter().copied());
        for id in capabilities.chain(field(Field::Pid)) {
            let Some(text) = tree.text(id) else { continue };
            self.search(id);
            let right = text.trim().to_ascii_uppercase();
            let right = right.strip_prefix("CAP_").unwrap_or(&right);
            if right.contains('$') || STRONG.contains(&right) {
                let text = format!(
                    "`{name}` has rights by which it can leave its container and start others: {}",
                    self.shown(id)
                );
                self.way(Way::Privileged, text);
            }
        }
    }

    /// Takes down the variables of a node and of everything in it, and those whose names alone stand under `args`.
    fn search(&mut self, id: NodeId) {
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if !self.searched.insert(id) {
                continue;
            }
            let tree = self.tree;
            if let Some(text) = tree.text(id) {
                for reference in variables::references(&text) {
                    self.besides(reference.name, reference.otherwise);
                }
            }
            open.extend(tree.items(id));
            open.extend(tree.entries(id).into_iter().map(|entry| entry.value));
            if let Some(args) = tree.field(id, Field::Args) {
                let listed = tree.items(args).iter().filter_map(|item| tree.text(*item));
                let empty = tree.entries(args).into_iter().filter(|entry| tree.is_null(entry.value));
                for name in listed
                    .filter(|item| !item.contains('='))
                    .chain(empty.map(|entry| entry.key))
                {
                    self.besides(&name, Otherwise::Blank);
                }
            }
        }
    }

    fn besides(&mut self, variable: &str, otherwise: Otherwise<'_>) {
        if !self.besides.contains_key(variable) {
            let choice = choice(variable, otherwise, &BTreeSet::new());
            self.besides.insert(variable.to_owned(), choice);
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
            if !self.tree.is_null(id) && !self.tree.is_exhausted() {
                let text = format!("the image of `{service}` is no name, and Compose refuses such a text");
                self.way(Way::Unreadable, text);
            }
            return;
        };
        if let Some(index) = self.named(&text, role, service) {
            self.of_node.insert(id, index);
        } else {
            self.search(id);
        }
    }

    /// Puts a name on the list, once. Gives its place; none has a name that is longer than any that is meant.
    fn named(&mut self, name: &Rc<str>, role: ImageRole, service: &str) -> Option<usize> {
        if name.len() > LONGEST_NAME {
            let name = excerpt(name);
            let text = format!("the name of an image of `{service}` is longer than any registry takes: `{name}`");
            self.way(Way::Unreadable, text);
            return None;
        }
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
        Some(index)
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
        self.search(build);
        let field = |field| self.tree.field(build, field).and_then(|id| self.tree.text(id));
        let context = self.tree.text(build).or_else(|| field(Field::Context));
        let context = context.map_or_else(|| ".".to_owned(), |text| excerpt(&text));
        let inline = self.tree.field(build, Field::DockerfileInline);
        let is_new = inline.is_some_and(|id| self.seen.insert(id));
        let inline = inline.and_then(|id| self.tree.text(id));
        let place = match (&inline, field(Field::Dockerfile)) {
            (Some(_), _) => "a Dockerfile in the text".to_owned(),
            (None, Some(file)) => format!("`{}` in `{context}`", excerpt(&file)),
            (None, None) => format!("`{context}`"),
        };
        let inline = inline.filter(|_| is_new);
        let bases = inline.map(|text| dockerfile::images(&text)).unwrap_or_default();
        let from = match bases.is_empty() {
            true => String::new(),
            false => format!(", which starts from {}", excerpt(&bases.join(", "))),
        };
        self.way(
            Way::Build,
            format!("`{service}` is built on the guest from {place}{from}"),
        );
        let front_end = self.front_end(build);
        for base in bases.into_iter().chain(front_end) {
            self.named(&Rc::from(base), ImageRole::Base, service);
        }
        let contexts = self.tree.field(build, Field::AdditionalContexts);
        if let Some(contexts) = contexts.filter(|id| self.seen.insert(*id)) {
            self.contexts(contexts, service);
        }
    }

    /// The image that reads the Dockerfile, where an argument of the build names it (BuildKit `frontend/dockerui/config.go`).
    fn front_end(&self, build: NodeId) -> Option<String> {
        let args = self.tree.field(build, Field::Args)?;
        let of_list = |id: &NodeId| {
            let text = self.tree.text(*id)?;
            text.strip_prefix("BUILDKIT_SYNTAX=").map(str::to_owned)
        };
        let of_map = |entry: Entry| self.tree.text(entry.value).filter(|_| &*entry.key == "BUILDKIT_SYNTAX");
        let listed = self.tree.items(args).iter().find_map(of_list);
        listed.or_else(|| Some(self.tree.entries(args).into_iter().find_map(of_map)?.to_string()))
    }

    /// Places that a build takes files from besides: `name: place`, or a list of `name=place`.
    fn contexts(&mut self, contexts: NodeId, service: &str) {
        let of_map = self.tree.entries(contexts).into_iter().map(|entry| entry.value);
        let all: Vec<NodeId> = of_map.chain(self.tree.items(contexts).iter().copied()).collect();
        let new = all.into_iter().filter(|id| self.seen.insert(*id));
        let texts: Vec<Rc<str>> = new.filter_map(|id| self.tree.text(id)).collect();
        for text in texts {
            match text.split_once("docker-image://") {
                Some((_, image)) => {
                    self.named(&Rc::from(image), ImageRole::Base, service);
                }
                None if text.starts_with("service:") || text.contains("=service:") => {}
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
            let is_image =
                kind.is_some_and(|kind| kind.len() > LONGEST_KIND || kind.contains("image") || kind.contains('$'));
            if let Some(image) = source.filter(|_| is_image) {
                self.image(image, ImageRole::Mounted, service);
            }
            let place = source.unwrap_or(volume);
            self.search_source(place);
            if self.reaches_engine(place) {
                let shown = self.shown(place);
                self.way(
                    Way::Engine,
                    format!("`{service}` has the container engine's socket and can start others: {shown}"),
                );
            }
        }
    }

    /// Whether what a node names leads to the container engine; each is looked at once.
    fn reaches_engine(&mut self, id: NodeId) -> bool {
        let tree = self.tree;
        let reaches = || tree.text(id).is_some_and(|text| socket::reaches_engine(&text));
        *self.of_engine.entry(id).or_insert_with(reaches)
    }

    /// Of what is mounted: a variable at its beginning may make it any place of the guest.
    fn search_source(&mut self, id: NodeId) {
        if self.tree.text(id).is_some_and(|text| text.starts_with('$')) {
            self.search(id);
        }
    }

    /// A value for people: texts as they stand, the texts in a collection one after the other.
    fn shown(&self, id: NodeId) -> String {
        let inner = [Field::Path, Field::Service].into_iter();
        let inner = inner.filter_map(|field| self.tree.field(id, field));
        let nodes = std::iter::once(id).chain(inner);
        let nodes = nodes.flat_map(|id| std::iter::once(id).chain(self.tree.items(id).iter().take(3).copied()));
        let parts: Vec<String> = nodes
            .filter_map(|id| self.tree.text(id))
            .map(|text| excerpt(&text))
            .collect();
        format!("`{}`", excerpt(&parts.join(", ")))
    }
}

fn serves(image: &mut NamedImage, service: &str) {
    if image.services.last().is_none_or(|last| last != service) {
        image.services.push(service.to_owned());
    }
}
