//! What of a change no digest fixes, where somebody insists on digests, and which values of an environment choose what runs.
//! Pure.

use std::collections::BTreeSet;

use crate::code::Code;
use crate::compose::{ImageList, Manifest};
use crate::upgrade::{
    finding::Finding,
    model::{
        Proposal,
        environment::{Sealing, allowed},
        plan::CodeChange,
    },
};

/// What runs by the manifest of a proposal and no digest fixes.
pub(in crate::upgrade) fn of_proposal(one: &Proposal) -> Vec<Finding> {
    one.code()
        .map(|(_, after, _)| without_digest(after))
        .unwrap_or_default()
}

/// What runs by `manifest` and no digest fixes, each by its name.
pub(in crate::upgrade) fn without_digest(manifest: &Manifest) -> Vec<Finding> {
    let list = manifest.image_list();
    let loose = list.images.iter().filter(|image| !image.is_pinned());
    let loose = loose.map(|image| {
        let why = match image.chosen_by.is_empty() {
            true => "its name does not end in `@sha256:` and 64 hex digits",
            false => "variables choose it",
        };
        let text = format!("no digest fixes the image {image}: {why}");
        Finding::decision(Code::DigestRequired, Some(image.name.clone()), text)
    });
    let ways: BTreeSet<_> = list.unlisted.iter().map(|one| one.way).collect();
    let besides = ways.into_iter().map(|way| {
        let texts = list.unlisted.iter().filter(|one| one.way == way);
        let texts: Vec<&str> = texts.map(|one| one.text.as_str()).collect();
        let text = format!("no digest fixes what runs besides the images: {}", texts.join("; "));
        Finding::decision(Code::DigestRequired, Some(way.to_string()), text)
    });
    loose.chain(besides).collect()
}

/// Where only values change: the variables among them that choose what runs, which is other code that nobody approves.
pub(in crate::upgrade) fn chosen_by_values(code: &CodeChange) -> Vec<Finding> {
    let named = code.environment.iter().flat_map(|environment| &environment.names);
    chosen_by(&code.manifest_after(), named.map(ToString::to_string).collect())
}

/// Which of `names` choose what runs by `manifest`; without names, those in force.
pub(in crate::upgrade) fn chosen_by(manifest: &Manifest, mut names: BTreeSet<String>) -> Vec<Finding> {
    if names.is_empty() {
        names.extend(allowed(manifest));
    }
    choosing(&manifest.image_list(), &names)
}

/// Where only values change: those that are empty, which take the place of what is there, and nobody can read that back.
pub(in crate::upgrade) fn blank_values(sealing: &Sealing) -> impl Iterator<Item = Finding> {
    sealing.blank().into_iter().map(|name| {
        let text = format!("the value of {name} is empty, and would take the place of the one that is there, which nobody can read back");
        Finding::decision(Code::EnvValuesBlank, Some(name.to_string()), text)
    })
}

/// The variables of `names` that choose what a text runs.
fn choosing(list: &ImageList, names: &BTreeSet<String>) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    let mut known = BTreeSet::new();
    for image in &list.images {
        for choice in image.chosen_by.iter().filter(|choice| names.contains(&choice.variable)) {
            if known.insert(choice.variable.clone()) {
                let text = format!(
                    "the value of {} chooses the image {image}: sending it is other code that nobody approves",
                    choice.variable
                );
                found.push(Finding::decision(
                    Code::EnvChoosesImage,
                    Some(choice.variable.clone()),
                    text,
                ));
            }
        }
    }
    const OTHER_TEXT: &str = "COMPOSE_FILE";
    if names.contains(OTHER_TEXT) {
        let text = format!(
            "the value of {OTHER_TEXT} names the text that Compose reads: sending it is other code that nobody approves"
        );
        found.push(Finding::decision(
            Code::EnvChoosesImage,
            Some(OTHER_TEXT.to_owned()),
            text,
        ));
    }
    found
}
