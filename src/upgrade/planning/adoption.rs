//! An update that somebody else prepared: which one waits at the cloud, and the change that gives its hash. Reads only.
//!
//! Phala Cloud shows the texts of a waiting update, and nothing else of it. A manifest of those texts that has its hash is the
//! one that will run; what no hash covers is not shown by anybody.

use std::path::{Path, PathBuf};

use alloy::primitives::B256;
use jiff::Timestamp;

use crate::cloud::{CloudError, CvmId, apps::Preview, updates::CommitToken};
use crate::code::Code;
use crate::compose::{Changes, ComposeHash, Form, Manifest};
use crate::upgrade::{
    UpgradeError, World,
    model::{actor::token_life, environment::allowed, plan::is_of, target::same_uuid},
    planning::{
        neighbours::Neighbours,
        pending_updates::known_pending,
        read::{guarded, read_cvm},
    },
};

/// Which update is meant, and what is known of it.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The CVM.
    pub cvm: &'a CvmId,
    /// Its hash; without one, the only one that waits.
    pub hash: Option<ComposeHash>,
    /// Texts and names that are expected of it.
    pub expected: &'a Changes,
}

/// An update that waits at the cloud for its commit.
#[derive(Debug, Clone)]
pub struct WaitingUpdate {
    /// Its hash.
    pub hash: ComposeHash,
    /// The change that gives it.
    pub changes: Changes,
    /// Whether it is the only one of its CVM.
    pub alone: bool,
}

/// The commit token of an update that somebody else prepared, and how long it is good.
#[derive(Debug, Clone)]
pub struct Received {
    /// The update's hash.
    pub hash: ComposeHash,
    /// Its token, where it was given on.
    pub token: Option<CommitToken>,
    /// When it was prepared, as far as anybody says; otherwise when it was taken on.
    pub at: Timestamp,
    /// When its token expires at the latest.
    pub expires: Timestamp,
}

impl Received {
    /// An update of which nobody says when it was prepared: its token lives for two weeks from now at the latest.
    pub fn now(hash: ComposeHash, token: Option<CommitToken>) -> Self {
        let at = Timestamp::now();
        let expires = at.saturating_add(token_life()).unwrap_or(at);
        Self {
            hash,
            token,
            at,
            expires,
        }
    }
}

/// Finds the update that waits, and the change that gives its hash.
///
/// # Errors
/// Nothing waits, several do, it was prepared here, or no manifest of the texts that are shown has its hash.
pub async fn waiting(world: &World<'_>, question: &Question<'_>) -> Result<WaitingUpdate, UpgradeError> {
    let (cvm, manifest) = read_cvm(world, question.cvm).await?;
    let manifest = manifest?;
    let (app, _) = guarded(question.cvm, &cvm)?;
    let uuid = cvm
        .uuid
        .clone()
        .ok_or_else(|| nothing("Phala Cloud names no UUID of the CVM".to_owned()))?;
    let unsaid = || nothing("Phala Cloud does not say which updates of the app wait for their commit".to_owned());
    let pending = known_pending(world.cloud.pending_updates(app).await)?.ok_or_else(unsaid)?;
    let ours = pending.iter().filter(|update| is_of(update, Some(&uuid)));
    let mut hashes: Vec<ComposeHash> = ours.filter_map(|update| update.compose_hash).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let hash = choose(&hashes, question.hash)?;
    refuse_own(world, &uuid, hash)?;
    let shown = match world.cloud.preview(app, &uuid, hash).await {
        Err(CloudError::NotFound(_)) => Preview::default(),
        shown => shown?,
    };
    let form = cvm.compose_hash.and_then(|runs| manifest.calibrate(runs));
    let texts = Texts {
        now: &manifest,
        form,
        shown: &shown,
        expected: question.expected,
    };
    Ok(WaitingUpdate {
        hash,
        changes: texts.changes(hash)?,
        alone: hashes.len() == 1,
    })
}

/// The one that is meant.
fn choose(hashes: &[ComposeHash], wanted: Option<ComposeHash>) -> Result<ComposeHash, UpgradeError> {
    let told = || hashes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match (wanted, hashes) {
        (Some(wanted), _) if hashes.contains(&wanted) => Ok(wanted),
        (Some(wanted), []) => Err(nothing(format!(
            "no update of the CVM waits for its commit, and none with {wanted}"
        ))),
        (Some(wanted), _) => Err(nothing(format!(
            "no update with {wanted} waits for its commit, only {}",
            told()
        ))),
        (None, [one]) => Ok(*one),
        (None, []) => Err(nothing("no update of the CVM waits for its commit".to_owned())),
        (None, _) => Err(UpgradeError::decide(
            Code::AdoptWhich,
            format!("several updates of the CVM wait for their commit: {}", told()),
        )),
    }
}

fn nothing(text: String) -> UpgradeError {
    UpgradeError::decide(Code::AdoptNothing, text)
}

/// The directory below `root` that took on this update of a CVM as somebody else prepared it, and has not committed it.
pub fn taken_on(root: &Path, cvm: &CvmId, hash: ComposeHash) -> Option<PathBuf> {
    let neighbours = Neighbours::below(root);
    let found = neighbours.states().find(|(_, state)| {
        state.code().is_some_and(|code| code.cvm == cvm.as_str())
            && (state.prepare.answer.as_ref()).is_some_and(|answer| answer.adopted && answer.hash == hash)
            && state.commit.committed.is_none()
            && state.abandoned.is_none()
    });
    found.map(|(dir, _)| dir.to_owned())
}

/// What was prepared here has a directory, and its token.
fn refuse_own(world: &World<'_>, uuid: &str, hash: ComposeHash) -> Result<(), UpgradeError> {
    let neighbours = Neighbours::below(world.root);
    let own = neighbours.states().find(|(_, state)| {
        let of_cvm = state.code().and_then(|code| code.cvm_uuid.as_deref());
        let prepared = state.prepare.answer.as_ref().filter(|_| !state.prepare.imported);
        of_cvm.is_some_and(|own| same_uuid(own, uuid))
            && prepared.is_some_and(|prepared| prepared.hash == hash && prepared.expires > Timestamp::now())
            && state.commit.committed.is_none()
            && state.abandoned.is_none()
    });
    match own {
        None => Ok(()),
        Some((dir, _)) => Err(UpgradeError::decide(
            Code::AdoptOwn,
            format!("`{}` prepared this update: go on there", dir.display()),
        )),
    }
}

/// What is shown of an update, and what is known here.
struct Texts<'a> {
    now: &'a Manifest,
    form: Option<Form>,
    shown: &'a Preview,
    expected: &'a Changes,
}

impl Texts<'_> {
    /// The change that gives the hash.
    fn changes(&self, hash: ComposeHash) -> Result<Changes, UpgradeError> {
        let form = self.form.ok_or_else(|| {
            let text =
                format!("{hash} cannot be recomputed, since no known form of the manifest gives the hash that runs");
            UpgradeError::decide(Code::AdoptNoText, text)
        })?;
        let texts = self.texts(hash)?;
        if texts.docker_compose_file.is_none() && texts.pre_launch_script.is_none() {
            let text = format!("Phala Cloud shows no text of the update with {hash}, and no file was named");
            return Err(UpgradeError::decide(Code::AdoptNoText, text));
        }
        let gives = |changes: &Changes| self.now.with(changes).hash(form) == hash;
        if let Some(changes) = self.candidates(&texts).find(gives) {
            return Ok(changes);
        }
        let computed = self.now.with(&texts).hash(form);
        Err(UpgradeError::stop(
            Code::HashMismatch,
            "compose hash of the update that waits (its texts, as Phala Cloud shows them, with every public flag; it may have \
             names of variables that are neither live nor named by --allowed-env)",
            computed,
            hash,
        ))
    }

    /// The texts: those that are shown, or files where nothing is; a file that says another thing is what was found out.
    fn texts(&self, hash: ComposeHash) -> Result<Changes, UpgradeError> {
        let one = |name: &str, shown: &Option<String>, own: &Option<String>| match (shown, own) {
            (Some(shown), Some(own)) if shown != own => Err(UpgradeError::stop(
                Code::HashMismatch,
                format!("{name} of the update with {hash}"),
                "your file",
                "another text, as Phala Cloud shows it",
            )),
            (shown, own) => Ok(shown.clone().or_else(|| own.clone())),
        };
        let (shown, own) = (self.shown, self.expected);
        Ok(Changes {
            docker_compose_file: one(
                "Docker Compose text",
                &shown.pending_docker_compose,
                &own.docker_compose_file,
            )?,
            pre_launch_script: one(
                "pre-launch script",
                &shown.pending_pre_launch_script,
                &own.pre_launch_script,
            )?,
            allowed_envs: own.allowed_envs.clone(),
            ..Changes::default()
        })
    }

    /// Every change that those texts may be a part of: with each value of the flags, and with the names that are known.
    fn candidates<'c>(&'c self, texts: &'c Changes) -> impl Iterator<Item = Changes> + 'c {
        let flags = [None, Some(true), Some(false)];
        let named = texts.allowed_envs.clone();
        let names = [named, Some(allowed(self.now)), None];
        let texts = self.needed(texts);
        names.into_iter().flat_map(move |allowed_envs| {
            let texts = texts.clone();
            (0..27_usize).map(move |number| {
                let flag = |step: usize| flags.get(number / step % 3).copied().flatten();
                Changes {
                    allowed_envs: allowed_envs.clone(),
                    public_logs: flag(1),
                    public_sysinfo: flag(3),
                    public_tcbinfo: flag(9),
                    ..texts.clone()
                }
            })
        })
    }

    /// Of the texts those that differ from what runs.
    fn needed(&self, texts: &Changes) -> Changes {
        let live = |field: &str| self.now.get(field).and_then(|value| value.as_str());
        let other = |field: &str, text: &Option<String>| text.clone().filter(|text| live(field) != Some(text));
        Changes {
            docker_compose_file: other("docker_compose_file", &texts.docker_compose_file),
            pre_launch_script: other("pre_launch_script", &texts.pre_launch_script),
            ..Changes::default()
        }
    }
}

/// What the server says of a token, as far as it says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenTold {
    /// Good until then.
    pub expires: Option<Timestamp>,
    /// Whether it can still be committed; nothing where the server does not say.
    pub live: Option<bool>,
}

/// Asks the server about a token that was given on; nothing where none was.
///
/// # Errors
/// It is the token of another update, or nothing could be asked now.
pub async fn ask_about(world: &World<'_>, cvm: &CvmId, received: &Received) -> Result<Option<TokenTold>, UpgradeError> {
    let Some(token) = &received.token else { return Ok(None) };
    let told = world.cloud.token_info(cvm, token).await?.unwrap_or_default();
    let text = |name: &str| told.get(name).and_then(|value| value.as_str());
    if let Some(other) = text("compose_hash").and_then(|text| text.parse::<B256>().ok())
        && other != B256::from(*received.hash.as_bytes())
    {
        return Err(UpgradeError::stop(
            Code::AdoptTokenOther,
            "update of the commit token",
            received.hash,
            other,
        ));
    }
    Ok(Some(TokenTold {
        expires: text("expires_at").and_then(|text| text.parse().ok()),
        live: text("status").map(|status| matches!(status, "pending" | "live" | "active")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::sample;

    fn now() -> Manifest {
        sample::plan().code.unwrap().manifest
    }

    fn found(shown: &Preview, expected: &Changes, hash: ComposeHash) -> Result<Changes, UpgradeError> {
        let now = now();
        let texts = Texts {
            now: &now,
            form: Some(Form::Sorted),
            shown,
            expected,
        };
        texts.changes(hash)
    }

    fn update(changes: &Changes) -> (Preview, ComposeHash) {
        let shown = Preview {
            pending_docker_compose: changes.docker_compose_file.clone(),
            ..Preview::default()
        };
        (shown, now().with(changes).hash(Form::Sorted))
    }

    fn changes() -> Changes {
        Changes {
            docker_compose_file: Some("services: {}\n".to_owned()),
            ..Changes::default()
        }
    }

    #[test]
    fn the_change_is_found_by_the_hash_whatever_the_flags_and_never_guessed() {
        for flag in [None, Some(true), Some(false)] {
            let wanted = Changes {
                public_logs: flag,
                public_tcbinfo: flag,
                ..changes()
            };
            let (shown, hash) = update(&wanted);
            let given = found(&shown, &Changes::default(), hash).unwrap();
            assert_eq!(now().with(&given).hash(Form::Sorted), hash);
        }
        let named = Changes {
            allowed_envs: Some(vec!["NEW".to_owned()]),
            ..changes()
        };
        let (shown, hash) = update(&named);
        let stop = found(&shown, &Changes::default(), hash).unwrap_err();
        assert!(matches!(stop, UpgradeError::Stop(stop) if stop.code == Code::HashMismatch));
        let own = Changes {
            allowed_envs: named.allowed_envs.clone(),
            ..Changes::default()
        };
        assert_eq!(found(&shown, &own, hash).unwrap(), named);
    }

    #[test]
    fn a_preview_without_texts_needs_files_and_one_that_lies_is_a_stop() {
        let (_, hash) = update(&changes());
        let nothing = found(&Preview::default(), &Changes::default(), hash).unwrap_err();
        assert!(matches!(
            nothing,
            UpgradeError::Decide {
                code: Code::AdoptNoText,
                ..
            }
        ));
        assert_eq!(found(&Preview::default(), &changes(), hash).unwrap(), changes());
        let lie = Preview {
            pending_docker_compose: Some("services:\n  nice:\n    image: nice\n".to_owned()),
            ..Preview::default()
        };
        for own in [Changes::default(), changes()] {
            let stop = found(&lie, &own, hash).unwrap_err();
            assert!(matches!(stop, UpgradeError::Stop(stop) if stop.code == Code::HashMismatch));
        }
    }

    #[test]
    fn of_several_that_wait_one_is_named() {
        let [one, other] = [1, 2].map(|byte| ComposeHash::new([byte; 32]));
        assert_eq!(choose(&[one], None).unwrap(), one);
        assert_eq!(choose(&[one, other], Some(other)).unwrap(), other);
        let code = |found: Result<ComposeHash, UpgradeError>| match found {
            Err(UpgradeError::Decide { code, .. }) => code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code(choose(&[one, other], None)), Code::AdoptWhich);
        assert_eq!(code(choose(&[], None)), Code::AdoptNothing);
        assert_eq!(code(choose(&[one], Some(other))), Code::AdoptNothing);
    }
}
