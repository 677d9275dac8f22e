//! What manifests leave to whoever sets the environment or chooses the machine: every hash that an app allows counts, and one
//! whose manifest nobody showed leaves everything. Pure.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};

use super::model::{Class, Domain, Effect, Finding, Party, Rule};
use crate::code::Code;
use crate::compose::{ImageList, LaunchScript, Manifest};

/// Names of variables, by a part of them, that hold a secret more often than not.
const SECRETS: [&str; 5] = ["SECRET", "PASSWORD", "PRIVATE", "TOKEN", "KEY"];
/// Fields by which a manifest shows what runs inside to everybody.
const PUBLIC: [&str; 3] = ["public_logs", "public_sysinfo", "public_tcbinfo"];

/// What the manifests of an app leave to others.
#[derive(Debug, Clone, Default)]
pub(super) struct Inputs {
    /// What can be done, besides what the chain tells.
    pub(super) effects: Vec<Effect>,
    /// What a reader has to know.
    pub(super) findings: Vec<Finding>,
    /// Names that the environment may set and that read like secrets.
    pub(super) secrets: Vec<String>,
    /// What shows to everybody.
    pub(super) public: Vec<String>,
    /// Images whose name fixes nothing, or which the environment chooses.
    pub(super) loose: Vec<String>,
    /// Hashes that are allowed and whose manifest nobody showed.
    pub(super) unknown: Vec<B256>,
}

/// The hashes that an app allows.
pub(super) struct Allowed<'a> {
    pub(super) app: Address,
    pub(super) hashes: &'a [B256],
    /// Why there may be more of them.
    pub(super) incomplete: Option<&'a str>,
}

/// What the manifests leave to others, each by its hash; those of hashes that are not allowed count for nothing.
pub(super) fn inputs(allowed: &Allowed<'_>, manifests: &BTreeMap<B256, Manifest>) -> Inputs {
    let mut found = Inputs::default();
    let app = allowed.app;
    for hash in allowed.hashes {
        match manifests.get(hash) {
            Some(manifest) => found.take(app, *hash, manifest),
            None => found.unknown.push(*hash),
        }
    }
    for hash in found.unknown.clone() {
        let text = format!("{app} allows the hash {hash}, and nobody showed its manifest");
        found.find(Code::ManifestUnknown, app, text);
    }
    if let Some(why) = allowed.incomplete {
        let text = format!("{app} may allow hashes that are not known: {why}");
        found.find(Code::ManifestUnknown, app, text);
    }
    if !found.unknown.is_empty() || allowed.incomplete.is_some() {
        found.operator("set what a manifest that nobody showed leaves open", Class::AnyCode);
    }
    found
}

impl Inputs {
    fn take(&mut self, app: Address, hash: B256, manifest: &Manifest) {
        let list = manifest.image_list();
        let chosen = self.chosen(app, hash, &list);
        let loose: Vec<String> = list
            .images
            .iter()
            .filter(|image| !image.is_pinned() && image.chosen_by.iter().all(|choice| !choice.is_open))
            .map(|image| image.name.clone())
            .collect();
        for name in &loose {
            let text = format!("the manifest {hash} names the image `{name}` without a digest");
            self.find(Code::ImageNotPinned, app, text);
        }
        for one in &list.unlisted {
            let text = format!("the manifest {hash} runs what no list names: {}", one.text);
            self.find(Code::ImagesNotAllKnown, app, text);
        }
        if chosen {
            self.operator("set the environment that chooses what runs", Class::AnyCode);
        }
        if !loose.is_empty() || !list.unlisted.is_empty() {
            self.operator("have another image behind the same name", Class::AnyCode);
        }
        self.loose.extend(loose);
        let field = |name: &str| manifest.get(name).and_then(serde_json::Value::as_bool) == Some(true);
        self.public
            .extend(PUBLIC.into_iter().filter(|name| field(name)).map(str::to_owned));
        let names = manifest.get("allowed_envs").and_then(serde_json::Value::as_array);
        let names = names.into_iter().flatten().filter_map(serde_json::Value::as_str);
        let secret = |name: &&str| SECRETS.iter().any(|part| name.to_ascii_uppercase().contains(part));
        self.secrets.extend(names.filter(secret).map(str::to_owned));
        if matches!(manifest.launch_script(), LaunchScript::Unknown { .. }) {
            self.operator(
                "set the environment of a pre-launch script of the app's own",
                Class::Inputs,
            );
        }
    }

    /// Whether the environment chooses what runs.
    fn chosen(&mut self, app: Address, hash: B256, list: &ImageList) -> bool {
        let of_images = list.images.iter().flat_map(|image| &image.chosen_by);
        let open: Vec<&str> = of_images
            .chain(&list.besides)
            .filter(|choice| choice.is_open)
            .map(|choice| choice.variable.as_str())
            .collect();
        for name in &open {
            let text =
                format!("in the manifest {hash} the variable {name} chooses what runs, and the environment sets it");
            self.find(Code::EnvChoosesImage, app, text);
        }
        self.loose.extend(open.iter().map(|name| format!("${name}")));
        !open.is_empty()
    }

    fn find(&mut self, code: Code, address: Address, text: String) {
        let address = Some(address);
        self.findings.push(Finding { code, address, text });
    }

    fn operator(&mut self, call: &'static str, class: Class) {
        let effects = [Party::ApiKey, Party::Cloud].map(|party| Effect {
            domain: Domain::Operator,
            class,
            target: None,
            call,
            by: Rule::Party { party },
            names_the_hash: false,
            announced: None,
        });
        for effect in effects {
            if !self.effects.contains(&effect) {
                self.effects.push(effect);
            }
        }
    }
}
