//! What of a change no digest fixes, where somebody insists on digests, and which values of an environment choose what runs.
//! Pure.

use std::collections::BTreeSet;

use crate::code::Code;
use crate::compose::{ImageList, Manifest};
use crate::env::EnvName;
use crate::upgrade::{
    Accepted, UpgradeError,
    finding::{Finding, Verdict},
    model::{
        environment::{Sealing, allowed},
        plan::CodeChange,
    },
};

/// What runs by `manifest` and no digest fixes, each by its name.
fn without_digest(manifest: &Manifest) -> Vec<Finding> {
    let list = manifest.image_list();
    let loose = list.images.iter().filter(|image| !image.is_pinned());
    let loose = loose.map(|image| {
        let why = match image.chosen_by.is_empty() {
            true => "its name does not end in `@sha256:` and 64 hex digits",
            false => "variables choose it",
        };
        let text = format!("no digest fixes the image {image}: {why}");
        Finding::decision(Code::DigestRequired, Some(as_value(&image.name)), text)
    });
    let ways: BTreeSet<_> = list.unlisted.iter().map(|one| one.way).collect();
    let besides = ways.into_iter().map(|way| {
        let texts = list.unlisted.iter().filter(|one| one.way == way);
        let texts: Vec<&str> = texts.map(|one| one.text.as_str()).collect();
        let text = format!("no digest fixes what runs besides the images: {}", texts.join("; "));
        Finding::decision(Code::DigestRequired, Some(format!("{WAY}{way}")), text)
    });
    loose.chain(besides).collect()
}

/// What a doubt about a way is about; an image of that name has [`IMAGE`] before it.
const WAY: &str = "way:";
const IMAGE: &str = "image:";

/// What a doubt about an image is about: its name, and no blanks around it, since no option takes them.
fn as_value(name: &str) -> String {
    let name = name.trim();
    match name.starts_with(WAY) || name.starts_with(IMAGE) {
        true => format!("{IMAGE}{name}"),
        false => name.to_owned(),
    }
}

/// Where values are sent that no approval covers: the variables among them that choose what runs, which is other code that
/// nobody approves.
pub(in crate::upgrade) fn chosen_by_values(code: &CodeChange) -> Vec<Finding> {
    let Some(environment) = &code.environment else {
        return Vec::new();
    };
    let names = environment.names.iter().map(ToString::to_string).collect();
    match environment.vouched {
        Some(_) => choosing(&code.manifest_after().image_list(), &names),
        None => chosen_unseen(&code.manifest_after(), names),
    }
}

/// Where an environment is sent that was sealed elsewhere: it may set all that the manifest lets it set, whatever `names` say.
fn chosen_unseen(manifest: &Manifest, mut names: BTreeSet<String>) -> Vec<Finding> {
    names.extend(allowed(manifest));
    choosing(&manifest.image_list(), &names)
}

/// What is sent to a CVM as it is, without an upgrade: whether digests fix what runs by `manifest`, where `accepted` insists on
/// it, and whether somebody agreed to what an environment that was sealed elsewhere may choose; nothing is asked where none
/// is sent.
///
/// # Errors
/// Somebody has to agree by name.
pub fn check_sent(manifest: &Manifest, sealed: Option<&[EnvName]>, accepted: &Accepted) -> Result<(), UpgradeError> {
    let names = sealed.map(|names| names.iter().map(ToString::to_string).collect());
    let mut findings = names.map_or_else(Vec::new, |names| chosen_unseen(manifest, names));
    findings.extend(where_needed(manifest, accepted));
    Verdict::new(findings, Vec::new(), accepted).check()
}

/// What runs by `manifest` and no digest fixes, where somebody insists on digests.
pub(in crate::upgrade) fn where_needed(manifest: &Manifest, accepted: &Accepted) -> Vec<Finding> {
    match accepted.needs_digests() {
        true => without_digest(manifest),
        false => Vec::new(),
    }
}

/// Where only values change: those that are empty, which take the place of what is there, and nobody can read that back.
pub(in crate::upgrade) fn blank_values(sealing: &Sealing) -> impl Iterator<Item = Finding> {
    sealing.blank().into_iter().map(|name| {
        let text = format!("the value of {name} is empty, and would take the place of the one that is there, which nobody can read back");
        Finding::decision(Code::EnvValuesBlank, Some(name.to_string()), text)
    })
}

/// The variables of `names` that choose what a text runs, each once.
fn choosing(list: &ImageList, names: &BTreeSet<String>) -> Vec<Finding> {
    let of_images = list.images.iter().flat_map(|image| {
        let what = format!("the image {image}");
        image.chosen_by.iter().map(move |choice| (choice, what.clone()))
    });
    let besides = list.besides.iter();
    let besides = besides.map(|choice| (choice, "what runs besides the images".to_owned()));
    let mut known = BTreeSet::new();
    let all = of_images.chain(besides);
    all.filter(|(choice, _)| names.contains(&choice.variable) && known.insert(&choice.variable))
        .map(|(choice, what)| {
            let name = &choice.variable;
            let text = format!("the value of {name} chooses {what}: sending it is other code that nobody approves");
            Finding::decision(Code::EnvChoosesImage, Some(name.clone()), text)
        })
        .collect()
}
