//! What a CVM could be put back to: hashes that the cloud's history, evidence and given files name, with the manifest that has
//! the hash, and what keeps each from being put back. Reads only.
//!
//! Nothing is believed of a manifest but its hash, and nothing of a list but what the app's contract allows now.

use std::fmt;
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256};
use futures_util::StreamExt as _;
use serde::Serialize;

use crate::chain::{AppQuery, AppState, Chain};
use crate::cloud::{CloudError, Cvm, CvmId, Page, patch::Patch, revisions::Revision};
use crate::code::Code;
use crate::compose::{Changes, ComposeHash, Form, Manifest};
use crate::evidence::{self, Evidence};
use crate::text::escape;
use crate::upgrade::{
    UpgradeError, World,
    checks::kms,
    finding::Warning,
    model::{environment::allowed, target::same_uuid},
    planning::{
        neighbours::Neighbours,
        read::{guarded, read_cvm},
    },
};

/// Revisions that are read: as many as the server lists at once. It does not say in which order it lists them.
const MOST: u32 = 1000;
/// Hashes that are looked at by themselves, unless one is named.
const LOOKED_AT: usize = 20;
/// Manifests that are asked for at once.
const AT_ONCE: usize = 4;

/// What to go back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Earlier {
    /// This compose hash.
    Hash(ComposeHash),
    /// What this revision names.
    Revision(String),
}

/// Where a manifest comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// A revision of the cloud.
    Revision(String),
    /// A document of an earlier upgrade here.
    Evidence(PathBuf),
    /// A file that was named.
    File(PathBuf),
}

/// Something that the CVM or another one of its app ran, or that a file names.
#[derive(Debug, Clone, Serialize)]
pub struct Version {
    /// Its hash.
    pub compose_hash: ComposeHash,
    /// The newest revision with it, of this CVM where there is one.
    pub revision: Option<Revision>,
    /// Whether this CVM ran it, as the cloud says.
    pub of_this_cvm: bool,
    /// Where its manifest was found.
    pub source: Option<Source>,
    /// Whether the app allows it now.
    pub allowed: bool,
    /// What keeps the CVM from being put back to it; none: it can be.
    pub obstacles: Vec<Warning>,
    /// The manifest that has the hash.
    #[serde(skip)]
    pub manifest: Option<Manifest>,
}

/// What a CVM could be put back to, the newest first.
#[derive(Debug, Clone)]
pub struct Versions {
    /// App id = contract.
    pub app: Address,
    /// Chain.
    pub chain_id: u64,
    /// What the CVM runs, where the cloud says.
    pub runs: Option<ComposeHash>,
    /// Each hash once; what runs is not among them.
    pub list: Vec<Version>,
    /// How many more hashes the history names than were looked at.
    pub more: usize,
    /// Whether all of the history was read.
    pub whole: bool,
    manifest: Manifest,
    before: Option<RanBefore>,
}

/// What the CVM ran before, by the document of the upgrade to what runs now.
#[derive(Debug, Clone)]
struct RanBefore {
    hash: ComposeHash,
    place: PathBuf,
}

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The CVM.
    pub cvm: &'a CvmId,
    /// What to go back to; without it, to what it ran before.
    pub to: Option<&'a Earlier>,
    /// Manifests and evidence that were named.
    pub files: &'a [(PathBuf, Manifest)],
    /// Variables that come with it.
    pub env: &'a [String],
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision(id) => write!(f, "revision {id}"),
            Self::Evidence(path) | Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Finds what a CVM could be put back to, and asks the contracts about each.
///
/// # Errors
/// Something could not be read, or the CVM is not one that this tool upgrades.
pub async fn versions(world: &World<'_>, question: &Question<'_>) -> Result<Versions, UpgradeError> {
    let (cvm, manifest) = read_cvm(world, question.cvm).await?;
    let manifest = manifest?;
    let (app, chain_id) = guarded(question.cvm, &cvm)?;
    let page = Page {
        number: Some(1),
        size: Some(MOST),
    };
    let (chain, revisions) = tokio::join!(world.chain(chain_id), world.cloud.revisions(app, page));
    let (chain, revisions) = (chain?, revisions?);
    let all_came = |total: u64| u64::try_from(revisions.items.len()).is_ok_and(|came| came >= total);
    let whole = !revisions.goes_on() && revisions.total.is_none_or(all_came);
    let documents = documents(world.root);
    let before = ran_before(&documents, question.cvm, cvm.compose_hash);
    let mut list = listed(&cvm, revisions.items, question);
    let all = list.len();
    if question.to.is_none() {
        list.truncate(LOOKED_AT);
    }
    let more = all - list.len();
    let forgotten = before.iter().filter(|_| question.to.is_none());
    let forgotten = forgotten.filter(|before| list.iter().all(|version| version.compose_hash != before.hash));
    let forgotten: Vec<Version> = forgotten.map(|before| Version::ran(before.hash)).collect();
    list.extend(forgotten);
    let here = kept(&documents);
    find_manifests(
        world,
        app,
        &mut list,
        &here.iter().chain(&known(question)).collect::<Vec<_>>(),
    )
    .await?;
    let now = Now {
        form: cvm.compose_hash.and_then(|hash| manifest.calibrate(hash)),
        manifest: &manifest,
    };
    let query = AppQuery {
        app,
        kms: cvm.kms.kms_contract,
        hash: None,
        running: None,
        device: cvm.device_id,
        os_image: cvm.os_image_hash,
        kind: false,
    };
    now.judge(&chain, (&query, question.env), &mut list).await?;
    Ok(Versions {
        app,
        chain_id,
        runs: cvm.compose_hash,
        list,
        more,
        whole,
        manifest,
        before,
    })
}

/// A rollback of this machine that has put, or is about to put, the CVM where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnRollback {
    /// Its directory.
    pub dir: PathBuf,
    /// What it goes back to.
    pub to: ComposeHash,
    /// Its commit was sent, and it is not at its end: it goes on.
    pub goes_on: bool,
}

/// A rollback of this CVM below `root` whose commit was sent: one that is not at its end, or else one after which the CVM was
/// not made to run anything else by this machine. Whoever asks for a rollback again means this one.
pub fn own_rollback(root: &Path, cvm: &CvmId) -> Option<OwnRollback> {
    let neighbours = Neighbours::below(root);
    let of_cvm = neighbours.states().filter_map(|(dir, state)| {
        let code = state.code().filter(|code| code.cvm == cvm.as_str())?;
        let (at, _) = state.commit.at.zip(state.abandoned.is_none().then_some(()))?;
        Some((at, dir, state, code))
    });
    let (_, dir, state, code) = of_cvm.max_by_key(|(at, ..)| *at)?;
    let is_rollback = state
        .plan()?
        .warnings
        .iter()
        .any(|warning| warning.code == Code::RollbackTo);
    let to = code.expected_hash.filter(|_| is_rollback)?;
    Some(OwnRollback {
        dir: dir.to_owned(),
        to,
        goes_on: state.commit.confirmed.is_none(),
    })
}

/// Each hash of the history once, the newest first, and what was asked for where the history does not name it.
fn listed(cvm: &Cvm, mut revisions: Vec<Revision>, question: &Question<'_>) -> Vec<Version> {
    revisions.sort_by(|one, other| other.created_at.cmp(&one.created_at));
    let ours = |revision: &Revision| {
        let named = revision.vm_uuid.as_deref().zip(cvm.uuid.as_deref());
        named.is_some_and(|(one, other)| same_uuid(one, other))
    };
    let (own, others): (Vec<_>, Vec<_>) = revisions.into_iter().partition(ours);
    let mut list: Vec<Version> = Vec::new();
    for (revision, of_this_cvm) in own
        .into_iter()
        .map(|one| (one, true))
        .chain(others.into_iter().map(|one| (one, false)))
    {
        let Some(hash) = revision.compose_hash else { continue };
        let named = matches!(question.to, Some(Earlier::Revision(id)) if *id == revision.id);
        match list.iter_mut().find(|known| known.compose_hash == hash) {
            // The one that was named speaks for its hash.
            Some(known) if named => known.revision = Some(revision),
            Some(_) => {}
            None => list.push(Version {
                revision: Some(revision),
                of_this_cvm,
                ..Version::of(hash)
            }),
        }
    }
    match question.to {
        Some(Earlier::Hash(hash)) => {
            list.retain(|version| version.compose_hash == *hash);
            if list.is_empty() {
                list.push(Version::of(*hash));
            }
        }
        Some(Earlier::Revision(id)) => {
            list.retain(|version| version.revision.as_ref().is_some_and(|revision| revision.id == *id));
        }
        None => list.retain(|version| Some(version.compose_hash) != cvm.compose_hash),
    }
    list
}

/// A manifest, and where it comes from.
type Found = (Source, Manifest);

/// Those that were named.
fn known(question: &Question<'_>) -> Vec<Found> {
    let files = question.files.iter().cloned();
    files.map(|(path, manifest)| (Source::File(path), manifest)).collect()
}

/// A document of evidence, and its file.
type Document = (PathBuf, Evidence);

/// The evidence below `root`.
fn documents(root: &Path) -> Vec<Document> {
    let dirs = crate::fsutil::list(root).unwrap_or_default();
    let read = dirs
        .iter()
        .filter_map(|dir| Some((dir.join(evidence::FILE), evidence::read(dir)?)));
    read.collect()
}

/// What the newest document about the CVM says that it ran before, if that document is about what runs now.
fn ran_before(documents: &[Document], cvm: &CvmId, runs: Option<ComposeHash>) -> Option<RanBefore> {
    let of_cvm = documents.iter().filter_map(|(place, document)| {
        let said = &document.said;
        let cloud = &said.cloud;
        let at = cloud.committed_at.or(cloud.live_at).or(cloud.found_running_at)?;
        let ours = said.cvm.as_deref() == Some(cvm.as_str()) && said.makes.is_none();
        Some((at, place, document.code.as_ref().filter(|_| ours)?))
    });
    let (_, place, code) = of_cvm.max_by_key(|(at, ..)| *at)?;
    let hash = code.previous_compose_hash.filter(|_| Some(code.compose_hash) == runs)?;
    Some(RanBefore {
        hash,
        place: place.clone(),
    })
}

/// The manifests of evidence, before and after.
fn kept(documents: &[Document]) -> Vec<Found> {
    let read = documents
        .iter()
        .filter_map(|(place, document)| Some((place, document.code.as_ref()?)));
    read.flat_map(|(place, code)| {
        let texts = [&code.manifest, &code.previous_manifest].into_iter().flatten();
        texts.filter_map(move |text| Some((Source::Evidence(place.clone()), Manifest::parse(text.as_bytes()).ok()?)))
    })
    .collect()
}

/// Gives each version the manifest that has its hash: one that is here, or else that of its revision.
async fn find_manifests(
    world: &World<'_>,
    app: Address,
    list: &mut [Version],
    here: &[&Found],
) -> Result<(), UpgradeError> {
    for version in list.iter_mut() {
        let fits = |found: &&&Found| found.1.calibrate(version.compose_hash).is_some();
        if let Some((source, manifest)) = here.iter().find(fits) {
            version.source = Some(source.clone());
            version.manifest = Some(manifest.clone());
        }
    }
    let missing = list.iter_mut().filter(|version| version.manifest.is_none());
    let asked = missing.filter_map(|version| {
        let id = version.revision.as_ref()?.id.clone();
        Some(async move {
            let detail = match world.cloud.revision(app, &id).await {
                // A revision that is listed and gone has no text.
                Err(CloudError::NotFound(_)) => return Ok(()),
                detail => detail?,
            };
            let hash = version.compose_hash;
            let fits = detail.manifest.filter(|manifest| manifest.calibrate(hash).is_some());
            version.source = fits.as_ref().map(|_| Source::Revision(id));
            version.manifest = fits;
            Ok::<(), UpgradeError>(())
        })
    });
    let asked: Vec<_> = asked.collect();
    let mut asked = futures_util::stream::iter(asked).buffer_unordered(AT_ONCE);
    while let Some(answer) = asked.next().await {
        answer?;
    }
    Ok(())
}

/// What the contracts have against it.
fn refusals(version: &Version, app: &AppState) -> Vec<Warning> {
    let hash = version.compose_hash;
    let not_allowed = Warning::when(!version.allowed, Code::RollbackNotAllowed, || {
        format!("the app does not allow {hash}: going back to it needs an approval, like any upgrade")
    });
    if not_allowed.is_some() {
        return not_allowed.into_iter().collect();
    }
    let device_refused = app.device_allowed == Some(false) && !app.any_device;
    let device = Warning::when(device_refused, Code::DeviceNotAllowed, || {
        "the app does not allow the device that runs the CVM".to_owned()
    });
    let of_boot = kms::boot(app, None).into_iter().map(|found| Warning {
        code: found.code,
        text: found.message,
    });
    device.into_iter().chain(of_boot).collect()
}

/// What runs now.
struct Now<'a> {
    manifest: &'a Manifest,
    form: Option<Form>,
}

impl Now<'_> {
    /// Asks the app's contract about each version, all at one block, and finds what keeps the CVM from it.
    async fn judge(
        &self,
        chain: &Chain,
        asked: (&AppQuery, &[String]),
        list: &mut [Version],
    ) -> Result<(), UpgradeError> {
        let (of_app, env) = asked;
        let mut first: Option<AppState> = None;
        for version in list {
            let query = AppQuery {
                hash: Some(B256::from(*version.compose_hash.as_bytes())),
                ..*of_app
            };
            let state = match &first {
                None => chain.app(&query).await?,
                Some(first) => chain.app_at(&query, first, first.block).await?,
            };
            version.allowed = state.hash_allowed == Some(true);
            version.obstacles.extend(refusals(version, &state));
            version.obstacles.extend(self.obstacles(version, env));
            first.get_or_insert(state);
        }
        Ok(())
    }

    /// What keeps an update from making the CVM run a version.
    fn obstacles(&self, version: &Version, env: &[String]) -> Vec<Warning> {
        let Some(then) = &version.manifest else {
            let text = format!(
                "neither Phala Cloud's history nor the evidence here has a manifest whose hash is {}",
                version.compose_hash
            );
            return vec![Warning {
                code: Code::RollbackNoText,
                text,
            }];
        };
        let after = self.manifest.with(&changes(self.manifest, then));
        let differing: Vec<String> = after.diff(then).into_iter().map(|change| change.field).collect();
        let gives = self.form.map(|form| after.hash(form));
        let fields = Warning::when(!differing.is_empty(), Code::RollbackOtherFields, || {
            format!(
                "no update changes these fields of the manifest, which differ: {}",
                differing.join(", ")
            )
        });
        let other = Warning::when(
            differing.is_empty() && gives != Some(version.compose_hash),
            Code::RollbackOtherFields,
            || {
                "an update would give the same manifest another hash, since Phala Cloud writes it in another form now"
                    .to_owned()
            },
        );
        let has = allowed(self.manifest);
        let lacking: Vec<String> = allowed(then)
            .into_iter()
            .filter(|name| !has.contains(name) && !env.contains(name))
            .collect();
        let values = Warning::when(!lacking.is_empty(), Code::RollbackEnvironment, || {
            format!(
                "it is given variables that the CVM has no values for now: {}",
                lacking.join(", ")
            )
        });
        [fields, other, values].into_iter().flatten().collect()
    }
}

/// What an update has to change of `now` for the fields of `then`, as far as an update can.
fn changes(now: &Manifest, then: &Manifest) -> Changes {
    let differs = |field: &str| then.get(field).filter(|value| now.get(field) != Some(*value));
    let text = |field: &str| differs(field).and_then(|value| value.as_str()).map(ToOwned::to_owned);
    let flag = |field: &str| differs(field).and_then(serde_json::Value::as_bool);
    Changes {
        docker_compose_file: text("docker_compose_file"),
        pre_launch_script: text("pre_launch_script"),
        allowed_envs: differs("allowed_envs").map(|_| allowed(then)),
        public_logs: flag("public_logs"),
        public_sysinfo: flag("public_sysinfo"),
        public_tcbinfo: flag("public_tcbinfo"),
    }
}

impl Version {
    /// One that this CVM ran, as evidence says.
    fn ran(compose_hash: ComposeHash) -> Self {
        Self {
            of_this_cvm: true,
            ..Self::of(compose_hash)
        }
    }

    const fn of(compose_hash: ComposeHash) -> Self {
        Self {
            compose_hash,
            revision: None,
            of_this_cvm: false,
            source: None,
            allowed: false,
            obstacles: Vec::new(),
            manifest: None,
        }
    }

    /// What the upgrade is, for whoever reads its plan.
    pub fn remark(&self) -> Warning {
        let told = |revision: &Revision| {
            let word = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!(" {name} {value}"));
            let more = [word("of", &revision.created_at), word("by", &revision.by)];
            format!(
                "revision {}{}",
                escape(&revision.id),
                more.into_iter().flatten().collect::<String>()
            )
        };
        let named = self
            .revision
            .as_ref()
            .map_or_else(|| self.compose_hash.to_string(), told);
        let source = self.source.as_ref().map(ToString::to_string).unwrap_or_default();
        Warning {
            code: Code::RollbackTo,
            text: format!(
                "the CVM goes back to {named}: the app allows that hash now, so nobody approves it again; its manifest is that \
                 of {source}"
            ),
        }
    }
}

impl Versions {
    /// The one to go back to.
    ///
    /// # Errors
    /// There is none, or something keeps the CVM from being put back to it; nothing older is taken in its place.
    pub fn choose(&self, to: Option<&Earlier>) -> Result<&Version, UpgradeError> {
        if to.is_none() && !self.whole {
            return Err(UpgradeError::decide(
                Code::RollbackNothing,
                format!(
                    "Phala Cloud did not give all of the app's revisions, at most {MOST} at once, so that which one came \
                     before is not known: name it by --to"
                ),
            ));
        }
        let own = |version: &&Version| to.is_some() || version.of_this_cvm;
        let chosen = self.list.iter().find(own).ok_or_else(|| {
            let text = match to {
                Some(Earlier::Revision(id)) => format!("Phala Cloud's history of the app names no revision `{id}`"),
                _ => "Phala Cloud's history names nothing that this CVM ran before".to_owned(),
            };
            UpgradeError::decide(Code::RollbackNothing, text)
        })?;
        if let Some(before) = self.before.as_ref().filter(|_| to.is_none())
            && before.hash != chosen.compose_hash
        {
            return Err(UpgradeError::decide(
                Code::RollbackNothing,
                format!(
                    "Phala Cloud's history names {} as what the CVM ran before, and `{}` names {}: name which by --to",
                    chosen.compose_hash,
                    before.place.display(),
                    before.hash
                ),
            ));
        }
        if Some(chosen.compose_hash) == self.runs {
            return Err(UpgradeError::decide(
                Code::NothingToApprove,
                format!("the CVM runs {} already", chosen.compose_hash),
            ));
        }
        match chosen.obstacles.first() {
            None => Ok(chosen),
            Some(obstacle) => Err(UpgradeError::decide(obstacle.code, obstacle.text.clone())),
        }
    }

    /// The update that puts the CVM back to a version; with an environment it names that version's variables.
    pub fn patch(&self, version: &Version, with_env: bool) -> Patch {
        let then = version.manifest.as_ref();
        let mut changes = then.map(|then| changes(&self.manifest, then)).unwrap_or_default();
        if with_env {
            changes.allowed_envs = then.map(allowed);
        }
        Patch {
            changes,
            ..Patch::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upgrade::sample;

    fn now() -> Manifest {
        sample::plan().code.unwrap().manifest
    }

    fn version(manifest: Manifest) -> Version {
        Version {
            manifest: Some(manifest.clone()),
            allowed: true,
            ..Version::of(manifest.hash(Form::Sorted))
        }
    }

    fn codes(now: &Manifest, then: &Version, env: &[&str]) -> Vec<Code> {
        let env: Vec<String> = env.iter().map(|name| (*name).to_owned()).collect();
        let now = Now {
            manifest: now,
            form: Some(Form::Sorted),
        };
        now.obstacles(then, &env).into_iter().map(|found| found.code).collect()
    }

    #[test]
    fn an_update_puts_back_what_an_update_can_change_and_names_the_rest() {
        let then = now().with(&Changes {
            docker_compose_file: Some("services:\n  old:\n    image: old:1\n".to_owned()),
            public_logs: Some(false),
            ..Changes::default()
        });
        let given = changes(&now(), &then);
        assert_eq!(now().with(&given), then);
        assert!(codes(&now(), &version(then), &[]).is_empty());
        let mut map: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&now().canonical(Form::Sorted)).unwrap();
        map.insert("secure_time".to_owned(), serde_json::json!(true));
        assert_eq!(
            codes(&now(), &version(Manifest::from_map(map.clone())), &[]),
            [Code::RollbackOtherFields]
        );
        map.remove("docker_compose_file");
        assert_eq!(
            codes(&now(), &version(Manifest::from_map(map)), &[]),
            [Code::RollbackOtherFields]
        );
    }

    #[test]
    fn names_that_the_cvm_has_no_values_for_need_some() {
        let mut names = allowed(&now());
        names.push("OLD".to_owned());
        let then = version(now().with(&Changes {
            allowed_envs: Some(names),
            ..Changes::default()
        }));
        assert_eq!(codes(&now(), &then, &[]), [Code::RollbackEnvironment]);
        assert!(codes(&now(), &then, &["OLD"]).is_empty());
        let fewer = version(now().with(&Changes {
            allowed_envs: Some(Vec::new()),
            ..Changes::default()
        }));
        assert!(
            codes(&now(), &fewer, &[]).is_empty(),
            "the guest leaves out what it may not have"
        );
    }

    #[test]
    fn a_manifest_of_another_hash_is_no_text() {
        let lost = Version::of(ComposeHash::new([7; 32]));
        assert_eq!(codes(&now(), &lost, &[]), [Code::RollbackNoText]);
    }
}
