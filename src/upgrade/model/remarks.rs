//! What a person should know of facts that a plan holds. Pure.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::chain::{AppState, OwnerKind, governance::OtherPolicy};
use crate::code::Code;
use crate::compose::{Form, ImageList, Manifest, NamedImage, Unsupplied};
use crate::env::NameChange;
use crate::safe::info::{Finding, SafeInfo, Severity, Trust};
use crate::upgrade::{
    finding::Warning,
    model::{environment::allowed, plan::CodeChange},
};

/// What a person should know of the contracts and of a change of the code: follows from a plan alone.
pub(in crate::upgrade) fn derived_warnings(app: &AppState, code: Option<&CodeChange>) -> Vec<Warning> {
    let of_code = code.map(|code| manifest_warnings(&code.manifest, &code.manifest_after(), code.form));
    let of_chain = chain_warnings(app).into_iter().flatten();
    of_chain.chain(of_code.into_iter().flatten()).collect()
}

fn chain_warnings(app: &AppState) -> [Option<Warning>; 5] {
    let pending = app.pending_owner.filter(|pending| !pending.is_zero());
    [
        Warning::when(app.hash_allowed == Some(true), Code::HashAlreadyAllowed, || {
            "the hash is allowed already: nothing has to be sent for it".to_owned()
        }),
        pending.and_then(|pending| {
            Warning::when(true, Code::OwnerPending, || {
                format!("an ownership transfer to {pending} is under way")
            })
        }),
        Warning::when(app.owner_kind == OwnerKind::DelegatedEoa, Code::OwnerDelegates, || {
            format!("the owner {} delegates to a contract by EIP-7702", app.owner)
        }),
        Warning::when(app.owner_kind == OwnerKind::Contract, Code::OwnerIsAContract, || {
            format!(
                "the owner {} is a contract: its own rules decide who may approve",
                app.owner
            )
        }),
        Warning::when(app.require_tcb_up_to_date == Some(true), Code::TcbNotKnown, || {
            "the app asks for firmware that is up to date, and whether the machine's is nobody here knows: the KMS is asked as \
             if it were"
                .to_owned()
        }),
    ]
}

pub(in crate::upgrade) fn manifest_warnings(before: &Manifest, after: &Manifest, form: Option<Form>) -> Vec<Warning> {
    let live = allowed(before);
    let names = NameChange::between(&allowed(after), &live, None);
    let of_names = [
        Warning::when(form.is_none(), Code::HashUnverifiable, || {
            "no known canonical form reproduces the CVM's current compose hash, so the new one cannot be recomputed here"
                .to_owned()
        }),
        Warning::when(!names.vanish.is_empty(), Code::EnvNamesRemoved, || {
            format!(
                "these environment variables would no longer reach the guest: {}",
                names.vanish.join(", ")
            )
        }),
        Warning::when(!names.appear.is_empty(), Code::EnvNamesAdded, || {
            format!(
                "these environment variables would reach the guest for the first time: {}",
                names.appear.join(", ")
            )
        }),
        Warning::when(names.reordered, Code::EnvNamesReordered, || {
            format!(
                "the environment variables are the same in another order, which alone needs an approval; the order now is {}",
                live.join(",")
            )
        }),
    ];
    let script = |manifest: &Manifest| {
        manifest
            .get("pre_launch_script")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let has_crlf = script(after).is_some_and(|text| text.contains("\r\n")) && script(before) != script(after);
    let of_script = Warning::when(has_crlf, Code::ScriptLineEnds, || {
        "the pre-launch script has line ends of Windows (CRLF): the guest's shell takes the CR for a part of each command"
            .to_owned()
    });
    let of_images = image_warnings(&after.image_list()).into_iter().chain(of_script);
    let of_images = of_images.chain(variable_warnings(before, after));
    of_names.into_iter().flatten().chain(of_images).collect()
}

/// Names that the guest or its shell sets by itself, so nobody has to supply them.
const OF_THE_GUEST: [&str; 6] = ["HOME", "HOSTNAME", "PATH", "PWD", "USER", "COMPOSE_PROJECT_NAME"];

/// Whether somebody else than the environment supplies or uses a variable: the guest, or the script that runs before.
fn is_known_elsewhere(name: &str, script: &str) -> bool {
    let inside = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let mut words = script.split(|character| !inside(character));
    OF_THE_GUEST.contains(&name) || name.starts_with("DSTACK_") || words.any(|word| word == name)
}

/// Variables that the text refers to and nobody supplies, and names that it never refers to.
fn variable_warnings(before: &Manifest, after: &Manifest) -> Vec<Warning> {
    let Some(variables) = after.text_variables() else {
        return Vec::new();
    };
    let script = after
        .get("pre_launch_script")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let supplied: BTreeSet<String> = allowed(after).into_iter().collect();
    let missing = variables
        .all
        .iter()
        .filter(|(name, _)| !supplied.contains(*name) && !is_known_elsewhere(name, script));
    let (mut blank, mut hidden) = (Vec::new(), Vec::new());
    for (name, becomes) in missing {
        match becomes {
            Unsupplied::Refused => blank.push(format!("{name} (Compose does not start without it)")),
            Unsupplied::Blank => blank.push(name.clone()),
            Unsupplied::Default(value) if !value.is_empty() => hidden.push(format!("{name} (`{value}`)")),
            Unsupplied::Default(_) => {}
        }
    }
    let others = match hidden.is_empty() {
        true => String::new(),
        false => format!("; defaults stand in for {}", hidden.join(", ")),
    };
    let unused = match variables.reads_a_file {
        true => Vec::new(),
        false => unused(before, after),
    };
    let found = [
        Warning::when(!blank.is_empty(), Code::EnvNamesUnsupplied, || {
            format!(
                "the Docker Compose text refers to variables that are not in allowed_envs, so they are empty on the guest: {}{others}",
                blank.join(", ")
            )
        }),
        Warning::when(!unused.is_empty(), Code::EnvNamesUnused, || {
            format!(
                "neither the Docker Compose text nor the pre-launch script refers to these names of allowed_envs: {}",
                unused.join(", ")
            )
        }),
    ];
    found.into_iter().flatten().collect()
}

/// Names that come in and nothing refers to, and those that nothing refers to any more.
fn unused(before: &Manifest, after: &Manifest) -> Vec<String> {
    let of = |manifest: &Manifest| -> BTreeSet<String> {
        let script = manifest
            .get("pre_launch_script")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let Some(variables) = manifest.text_variables() else {
            return BTreeSet::new();
        };
        let mut names: BTreeSet<String> = allowed(manifest).into_iter().collect();
        names.retain(|name| {
            let is_ours = name.starts_with("COMPOSE_") || name.starts_with("DOCKER_");
            !is_ours && !variables.all.contains_key(name) && !is_known_elsewhere(name, script)
        });
        names
    };
    let known = of(before);
    of(after).into_iter().filter(|name| !known.contains(name)).collect()
}

/// What the compose hash does not fix of what runs.
fn image_warnings(list: &ImageList) -> Vec<Warning> {
    let names = |of: &dyn Fn(&&NamedImage) -> bool| -> Vec<String> {
        list.images.iter().filter(of).map(ToString::to_string).collect()
    };
    let loose = names(&|image| !image.is_pinned() && image.chosen_by.is_empty());
    let chosen = list.images.iter().filter(|image| !image.chosen_by.is_empty());
    let chosen: Vec<String> = chosen
        .map(|image| {
            let by: Vec<String> = image.chosen_by.iter().map(ToString::to_string).collect();
            format!("{image} by {}", by.join("; by "))
        })
        .collect();
    let unlisted: Vec<&str> = list.unlisted.iter().map(|one| one.text.as_str()).collect();
    let found = [
        Warning::when(!loose.is_empty(), Code::ImageNotPinned, || {
            format!(
                "without a digest the compose hash does not fix what runs: {}",
                loose.join(", ")
            )
        }),
        Warning::when(!chosen.is_empty(), Code::EnvChoosesImage, || {
            format!("variables choose what runs: {}", chosen.join("; "))
        }),
        Warning::when(!unlisted.is_empty(), Code::ImagesNotAllKnown, || {
            format!("more runs than the images that are listed: {}", unlisted.join("; "))
        }),
    ];
    found.into_iter().flatten().collect()
}

/// What is remarkable about the Safe that owns the app: what forbids going on, and what a person should know.
pub(in crate::upgrade) fn safe_remarks(safe: &SafeInfo, trust: &Trust) -> (Vec<Warning>, Vec<Warning>) {
    let remark = |finding: &Finding| Warning {
        code: safe_code(finding).to_owned(),
        text: format!("Safe {}: {finding}", safe.address),
    };
    let found = safe.findings(trust);
    let (stops, others): (Vec<_>, Vec<_>) = found.iter().partition(|finding| finding.severity() == Severity::Stop);
    (
        stops.into_iter().map(remark).collect(),
        others.into_iter().map(remark).collect(),
    )
}

/// The stable code of an app that is no DstackApp.
pub const fn policy_code(policy: &OtherPolicy) -> Code {
    match policy {
        OtherPolicy::Cluster { .. } => Code::AppPassthrough,
        OtherPolicy::Notice { .. } => Code::AppNoticePeriod,
    }
}

/// The stable code of a finding.
pub const fn safe_code(finding: &Finding) -> Code {
    match finding {
        Finding::OldVersion { .. } => Code::SafeOldVersion,
        Finding::UnknownVersion { .. } => Code::SafeVersion,
        Finding::OtherVersion { .. } => Code::SafeCodeContradicted,
        Finding::NotASingleton { .. } => Code::SafeNotASingleton,
        Finding::UnknownSingleton { .. } | Finding::UnknownProxy { .. } => Code::SafeUnknownCode,
        Finding::UnlistedSingleton { .. } => Code::SafeUnlisted,
        Finding::NotIndexed { .. } => Code::SafeNotIndexed,
        Finding::ImpossibleOwners { .. } => Code::SafeOwners,
        Finding::Module { .. } => Code::SafeModule,
        Finding::Guard { .. } | Finding::ModuleGuard { .. } => Code::SafeGuard,
        Finding::UnknownFallbackHandler { .. } | Finding::NoFallbackHandler => Code::SafeHandler,
        Finding::ObedientHandler { .. } => Code::SafeHandlerObeys,
        Finding::OwnerTakesAnything { .. } => Code::SafeOwnerTakesAnything,
        Finding::OwnerUnknown { .. } => Code::SafeOwnerUnknown,
        _ => Code::SafeNote,
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, B256};

    use super::*;

    #[test]
    fn what_forbids_nothing_of_a_safe_is_a_note_and_what_forbids_is_none() {
        let (address, code_hash) = (Address::repeat_byte(1), B256::repeat_byte(2));
        let cases = [
            (Finding::NotIndexed { address }, "SAFE_NOT_INDEXED"),
            (Finding::UnlistedSingleton { address, code_hash }, "SAFE_UNLISTED"),
            (Finding::Module { address }, "SAFE_MODULE"),
            (Finding::NotASingleton { address }, "SAFE_NOT_A_SINGLETON"),
        ];
        for (finding, code) in cases {
            assert_eq!(safe_code(&finding), code);
            let forbids = finding.severity() == Severity::Stop;
            assert_eq!(forbids, safe_code(&finding).kind() != crate::code::Kind::Note, "{code}");
        }
    }
}
