//! What Compose makes of the documents of a text: its services, and what else brings in code. Pure.

use std::collections::HashMap;
use std::rc::Rc;

use super::yaml::{Content, Entry, Field, Mark, NodeId, Tree};

/// What a text describes.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) services: Vec<Service>,
    /// Other texts that are taken in.
    pub(super) includes: Vec<NodeId>,
    /// Language models.
    pub(super) models: Vec<Entry>,
    /// Files and devices of the guest behind volumes, configs and secrets, by their name.
    pub(super) places: Vec<Entry>,
}

/// A service.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: Rc<str>,
    /// What each document names as its image, as far as a later one does not take its place.
    pub(super) images: Vec<NodeId>,
    /// Its mapping in each document.
    pub(super) bodies: Vec<NodeId>,
    /// A later document takes it away.
    is_gone: bool,
}

/// Why Compose makes nothing of a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ModelFault {
    #[error("no mapping stands at the top of it")]
    NoMapping,
    #[error("`services` is no mapping")]
    ServicesNoMapping,
    #[error("the service `{name}` is no mapping")]
    ServiceNoMapping { name: String },
    #[error("there is no service in it")]
    NoService,
}

/// A key at the top of a document.
struct Section {
    key: Rc<str>,
    value: NodeId,
}

impl Model {
    /// Reads a tree. Documents come one after the other, and a later one goes before an earlier one, value by value (compose-go
    /// `loader/loader.go`, `loadYamlFile`; `override/merge.go`).
    pub(super) fn of(tree: &Tree) -> Result<Self, ModelFault> {
        let mut sections: Vec<Section> = Vec::new();
        for root in tree.roots.iter().filter(|root| !tree.is_null(**root)) {
            if !matches!(tree.content(*root), Content::Mapping(_)) {
                return Err(ModelFault::NoMapping);
            }
            let entries = tree.entries(*root).into_iter();
            sections.extend(entries.map(|entry| Section {
                key: entry.key,
                value: entry.value,
            }));
        }
        if sections.is_empty() {
            return Err(ModelFault::NoMapping);
        }
        let mut model = Self::default();
        model.take_services(tree, &sections)?;
        for section in &sections {
            match &*section.key {
                "include" => {
                    let listed = tree.items(section.value);
                    let alone = tree.text(section.value).is_some().then_some(section.value);
                    model.includes.extend(listed.iter().copied().chain(alone));
                }
                "models" => model.models.extend(tree.entries(section.value)),
                "volumes" | "configs" | "secrets" => model.take_places(tree, section.value),
                _ => {}
            }
        }
        if model.services.is_empty() && model.includes.is_empty() {
            return Err(ModelFault::NoService);
        }
        Ok(model)
    }

    fn take_services(&mut self, tree: &Tree, sections: &[Section]) -> Result<(), ModelFault> {
        let all: Vec<NodeId> = sections
            .iter()
            .filter(|section| &*section.key == "services" && !tree.is_null(section.value))
            .map(|section| section.value)
            .collect();
        if all.iter().any(|id| !matches!(tree.content(*id), Content::Mapping(_))) {
            return Err(ModelFault::ServicesNoMapping);
        }
        let documents: Vec<Vec<Entry>> = all.iter().map(|id| tree.entries(*id)).collect();
        // Where a service is made from another one, the image that a later document replaces went into the other before.
        let extends = |entry: &Entry| tree.field(entry.value, Field::Extends).is_some();
        let keeps_all = documents.iter().flatten().any(extends);
        let mut places: HashMap<Rc<str>, usize> = HashMap::new();
        for (services, entries) in all.iter().zip(documents) {
            if matches!(tree.tag(*services), Mark::Reset | Mark::Override) && !keeps_all {
                self.services.clear();
                places.clear();
            }
            for entry in entries.into_iter().filter(|_| tree.tag(*services) != Mark::Reset) {
                let index = *places.entry(Rc::clone(&entry.key)).or_insert(self.services.len());
                if self.services.get(index).is_none() {
                    self.services.push(Service {
                        name: Rc::clone(&entry.key),
                        images: Vec::new(),
                        bodies: Vec::new(),
                        is_gone: false,
                    });
                }
                if let Some(service) = self.services.get_mut(index) {
                    service.take(tree, entry.value, keeps_all)?;
                }
            }
        }
        // Where nothing is left out, what was taken away may have gone into another service before.
        self.services.retain(|service| !service.is_gone || keeps_all);
        Ok(())
    }

    /// Where something of the guest is behind a name.
    fn take_places(&mut self, tree: &Tree, section: NodeId) {
        for entry in tree.entries(section) {
            let options = tree.field(entry.value, Field::DriverOpts);
            let device = options.and_then(|options| tree.field(options, Field::Device));
            let file = tree.field(entry.value, Field::File);
            self.places.extend(device.into_iter().chain(file).map(|value| Entry {
                key: Rc::clone(&entry.key),
                value,
            }));
        }
    }
}

impl Service {
    /// Takes in what one document says of it.
    fn take(&mut self, tree: &Tree, body: NodeId, keeps_all: bool) -> Result<(), ModelFault> {
        let tag = tree.tag(body);
        if matches!(tag, Mark::Reset | Mark::Override) && !keeps_all {
            self.images.clear();
            self.bodies.clear();
        }
        self.is_gone = tag == Mark::Reset;
        if self.is_gone || tree.is_null(body) {
            return Ok(());
        }
        if !matches!(tree.content(body), Content::Mapping(_)) {
            return Err(ModelFault::ServiceNoMapping {
                name: self.name.chars().take(60).collect(),
            });
        }
        if let Some(image) = tree.field(body, Field::Image) {
            // Whether nothing takes the place of a name is not for this list to say.
            let is_reset = tree.tag(image) == Mark::Reset;
            if !keeps_all && (is_reset || !tree.is_null(image)) {
                self.images.clear();
            }
            if !is_reset {
                self.images.push(image);
            }
        }
        self.bodies.push(body);
        Ok(())
    }
}
