//! Names of the environment in the update that waits for its commit: the third side beside the local names and the live
//! ones.
//!
//! Phala Cloud does not name them. It shows the texts of the waiting update, and its hash covers the names: a manifest of
//! those texts that has this hash has the right names, and nothing else counts. An upgrade of this machine that was
//! prepared for the same hash knows them too.

use std::path::Path;

use crate::cloud::{
    CloudError,
    apps::{PendingUpdate, Preview},
};
use crate::code::Code;
use crate::compose::{Changes, ComposeHash};
use crate::env::NameChange;
use crate::upgrade::{
    UpgradeError, World,
    finding::Warning,
    model::environment::allowed,
    model::{CodeChange, Plan},
};

/// Whose names nobody here knows.
const UNKNOWN: Code = Code::EnvNamesPendingUnknown;

/// Reads what the waiting updates of the plan's CVM show, and says what the plan would take from them.
pub(in crate::upgrade) async fn compare(world: &World<'_>, mut plan: Plan) -> Plan {
    let Some(code) = &plan.code else { return plan };
    for hash in waiting(code) {
        let shown = match &code.cvm_uuid {
            Some(uuid) => world.cloud.preview(plan.app, uuid, hash).await.ok(),
            None => None,
        };
        let names = shown.and_then(|shown| names_of(code, hash, &shown));
        plan.warnings.extend(remark(code, hash, names.as_deref()));
    }
    plan
}

/// Lets upgrades of this machine, below `root`, name what the cloud does not, where it does not. Reads journals only; one that
/// cannot be read says nothing.
///
/// # Errors
/// `root` cannot be read.
pub fn recall(plan: &mut Plan, root: &Path) -> Result<(), UpgradeError> {
    let Some(code) = &plan.code else { return Ok(()) };
    for hash in waiting(code) {
        let about = |warning: &Warning| warning.code == UNKNOWN && warning.text.contains(&hash.to_string());
        if !plan.warnings.iter().any(about) {
            continue;
        }
        let names = crate::upgrade::each(root)?.find_map(|(_, state)| {
            let state = state.ok()?;
            let ours = state.plan().is_some_and(|theirs| theirs.app == plan.app);
            let (verified, _) = state.verified()?;
            let names = allowed(&state.code()?.manifest_after());
            (ours && *verified == hash).then_some(names)
        });
        if let Some(names) = names {
            let known = remark(code, hash, Some(&names));
            plan.warnings.retain(|warning| !about(warning));
            plan.warnings.extend(known);
        }
    }
    Ok(())
}

fn waiting(code: &CodeChange) -> impl Iterator<Item = ComposeHash> {
    let ours = code.pending_updates.iter().filter(|update| code.is_of_this_cvm(update));
    ours.filter_map(|update| update.compose_hash)
}

/// The names that give `hash` together with the texts that are shown. Pure.
fn names_of(code: &CodeChange, hash: ComposeHash, shown: &Preview) -> Option<Vec<String>> {
    let form = code.form?;
    let texts = Changes {
        docker_compose_file: shown.pending_docker_compose.clone(),
        pre_launch_script: shown.pending_pre_launch_script.clone(),
        ..Changes::default()
    };
    let after = code.manifest_after();
    let lists = [allowed(&code.manifest), allowed(&after)];
    let tried = [&code.manifest, &after].into_iter().flat_map(|base| {
        lists.iter().map(|names| {
            let changes = Changes {
                allowed_envs: Some(names.clone()),
                ..texts.clone()
            };
            (base.with(&changes), names)
        })
    });
    let fits = |manifest: &crate::compose::Manifest| manifest.hash(form) == hash;
    tried
        .into_iter()
        .find(|(manifest, _)| fits(manifest))
        .map(|(_, names)| names.clone())
}

/// What a person should know before the waiting update is replaced. Pure.
fn remark(code: &CodeChange, hash: ComposeHash, names: Option<&[String]>) -> Option<Warning> {
    let local = allowed(&code.manifest_after());
    let live = allowed(&code.manifest);
    let Some(names) = names else {
        return Some(Warning {
            code: UNKNOWN.to_owned(),
            text: format!(
                "the names of environment variables of the update that waits for its commit ({hash}) cannot be told: it \
                 may have some that are neither live nor yours"
            ),
        });
    };
    let change = NameChange::between(&local, &live, Some(names));
    (!change.lost_from_pending.is_empty()).then(|| Warning {
        code: Code::EnvNamesPending,
        text: format!(
            "the update that waits for its commit ({hash}) lets the guest have these environment variables, and this one \
             does not: {}",
            change.lost_from_pending.join(", ")
        ),
    })
}

/// `None` when the API does not offer the list.
pub(in crate::upgrade) fn known_pending(
    answer: Result<Vec<PendingUpdate>, CloudError>,
) -> Result<Option<Vec<PendingUpdate>>, UpgradeError> {
    match answer {
        Ok(list) => Ok(Some(list)),
        Err(CloudError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::sample;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// The sample's CVM has `A` and `B`; the local change leaves `A`.
    fn code() -> CodeChange {
        let mut code = sample::plan().code.unwrap();
        code.patch.changes.allowed_envs = Some(list(&["A"]));
        code
    }

    fn pending(changes: &Changes) -> (ComposeHash, Preview) {
        let code = code();
        let after = code.manifest.with(changes);
        let text = |field: &str| after.get(field).and_then(|value| value.as_str()).map(ToOwned::to_owned);
        let shown = Preview {
            pending_docker_compose: text("docker_compose_file"),
            pending_pre_launch_script: text("pre_launch_script"),
            ..Preview::default()
        };
        (after.hash(code.form.unwrap()), shown)
    }

    fn with(names: &[&str]) -> Changes {
        Changes {
            docker_compose_file: Some("services: {}\n".to_owned()),
            allowed_envs: Some(list(names)),
            ..Changes::default()
        }
    }

    #[test]
    fn names_of_a_waiting_update_are_those_that_give_its_hash() {
        for names in [&["A", "B"][..], &["A"]] {
            let (hash, shown) = pending(&with(names));
            assert_eq!(names_of(&code(), hash, &shown), Some(list(names)));
        }
        let (hash, shown) = pending(&with(&["A", "B", "P"]));
        assert_eq!(
            names_of(&code(), hash, &shown),
            None,
            "a name that only they have is never guessed"
        );
        let mut uncomputable = code();
        uncomputable.form = None;
        let (hash, shown) = pending(&with(&["A"]));
        assert_eq!(names_of(&uncomputable, hash, &shown), None);
    }

    #[test]
    fn what_a_waiting_update_would_lose_is_told_by_name_or_said_to_be_unknown() {
        let hash = ComposeHash::new([7; 32]);
        let told = |names: Option<&[String]>| remark(&code(), hash, names).map(|warning| (warning.code, warning.text));
        assert_eq!(told(Some(&list(&["A"]))), None, "nothing is lost");
        let (lost, text) = told(Some(&list(&["A", "P"]))).unwrap();
        assert!(lost == "ENV_NAMES_PENDING" && text.ends_with(": P"), "{text}");
        let (unknown, text) = told(None).unwrap();
        assert!(unknown == UNKNOWN && text.contains(&hash.to_string()), "{text}");
    }
}
