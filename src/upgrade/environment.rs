//! The environment of an upgrade: sealed once for a key that the KMS's contract vouches for, kept beside the journal.
//!
//! Journal and proposal hold names and the SHA-256 of the sealed bytes, never a value. The sealed bytes stay in a file
//! of their own, so that what was begun goes on without the values.

use std::fmt;
use std::path::{Path, PathBuf};

use alloy::primitives::{Address, B256, Bytes};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::drive::{Run, Upgrade};
use super::event::Event;
use super::findings::Warning;
use super::target::Request;
use super::{CodeChange, Intent, UpgradeError, World};
use crate::chain::Chain;
use crate::cloud::{CvmId, EnvKey, KmsId, Patch};
use crate::code::Code;
use crate::compose::Manifest;
use crate::env::{
    Caution, Dated, EnvFile, EnvName, KeyError, MarkKey, Names, RecipientKey, RootKey, SealError, UncheckedKey,
};
use crate::fsutil;

/// Longest file with sealed bytes: what the guest takes, with everything escaped, as hex digits.
const MAX_SEALED: u64 = 16 << 20;
/// The key under which values are told from others (private). It stays as long as the directory does: a later run has to
/// know whether its values are those that were sent.
const KEY_FILE: &str = "environment.key";
/// A key, and nothing else.
const KEY_MAX: u64 = 32;

/// What the guests are to have as environment.
#[derive(Clone)]
pub enum EnvRequest {
    /// Variables, to be sealed for a key that is checked.
    Values {
        /// The variables.
        file: EnvFile,
        /// The KMS's root key, where it is known by other means: the contract has to name the same.
        root: Option<RootKey>,
    },
    /// Bytes that were sealed elsewhere, for a key that nobody checks here.
    Sealed {
        /// Hex digits.
        blob: String,
        /// Names of the variables in them; none where the names in force stay.
        names: Names,
    },
}
impl fmt::Debug for EnvRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, names) = match self {
            Self::Values { file, .. } => ("Values", file.names()),
            Self::Sealed { names, .. } => ("Sealed", names.clone()),
        };
        f.debug_struct(kind).field("names", &names).finish_non_exhaustive()
    }
}

/// Sealed bytes, and the values in them where they are known: what tells whether a later run has the same.
#[derive(Clone)]
pub(super) struct Sealing {
    blob: String,
    values: Option<EnvFile>,
}

impl Sealing {
    /// The sealed bytes, hex.
    pub(super) fn blob(&self) -> &str {
        &self.blob
    }
    /// Their SHA-256.
    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.blob.as_bytes()).into()
    }
    /// What tells these values from others: under a key where they are known, otherwise by the bytes.
    fn mark(&self, key: &MarkKey) -> Result<B256, UpgradeError> {
        let mark = self.values.as_ref().map(|values| values.mark(key)).transpose();
        Ok(B256::from(mark.map_err(not_sealed)?.unwrap_or_else(|| self.digest())))
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing")
            .field("digest", &hex::encode(self.digest()))
            .finish_non_exhaustive()
    }
}

impl PartialEq for Sealing {
    fn eq(&self, other: &Self) -> bool {
        self.blob == other.blob
    }
}

/// An environment as records have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Names of the sealed variables, in order.
    pub names: Names,
    /// Who vouches for the key; nobody where it was sealed elsewhere.
    #[serde(flatten)]
    pub vouched: Option<Vouched>,
}

/// The key that an environment was sealed for, and whose word it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vouched {
    /// The KMS's contract.
    pub kms: Address,
    /// Its root key.
    pub root: RootKey,
    /// The key that it is sealed for.
    pub recipient: B256,
    /// How old the root key's word is.
    pub dated: Dated,
}

/// The patch with the names that the environment needs: those of the file, in its order, as the official CLI sends
/// them, unless a list was given.
pub(super) fn complete(intent: &Intent) -> Result<Patch, UpgradeError> {
    let mut patch = intent.patch.clone();
    // A new CVM's names are its source's.
    let Some(request) = intent.env.as_ref().filter(|_| !intent.target.is_new()) else {
        return Ok(patch);
    };
    let own = names_of(request);
    if own.is_empty() && matches!(request, EnvRequest::Sealed { .. }) {
        return Ok(patch);
    }
    let listed = patch.changes.allowed_envs.get_or_insert_with(|| own.clone());
    let skipped: Vec<_> = own.into_iter().filter(|name| !listed.contains(name)).collect();
    refuse_names(&skipped).map(|()| patch)
}

/// What a new CVM is given has to be on its source's list.
pub(super) fn refuse_skipped(intent: &Intent, source: &Manifest) -> Result<(), UpgradeError> {
    let Some(request) = &intent.env else { return Ok(()) };
    let allowed = allowed(source);
    let mut names = names_of(request);
    names.retain(|name| !allowed.contains(name));
    refuse_names(&names)
}

fn names_of(request: &EnvRequest) -> Vec<String> {
    match request {
        EnvRequest::Values { file, .. } => texts(&file.names()),
        EnvRequest::Sealed { names, .. } => texts(names),
    }
}

fn refuse_names(skipped: &[String]) -> Result<(), UpgradeError> {
    if skipped.is_empty() {
        return Ok(());
    }
    Err(UpgradeError::decide(
        Code::EnvNameNotAllowed,
        format!(
            "the guest would skip these variables, since the list of allowed names lacks them: {}",
            skipped.join(", ")
        ),
    ))
}

/// Whom an environment is sealed for.
pub(super) struct Recipient<'a> {
    pub(super) cvm: &'a CvmId,
    pub(super) app: Address,
    pub(super) kms: Option<Address>,
}

/// Reads the recipient key, believes it or stops, and seals.
pub(super) async fn seal(
    world: &World<'_>,
    chain: &Chain,
    to: &Recipient<'_>,
    request: &EnvRequest,
) -> Result<(Environment, Sealing), UpgradeError> {
    let (file, root) = match request {
        EnvRequest::Values { file, root } => (file, *root),
        EnvRequest::Sealed { blob, names } => return Ok(elsewhere(blob, names)),
    };
    let kms = to.kms.ok_or_else(|| {
        UpgradeError::decide(
            Code::EnvKmsUnknown,
            "Phala Cloud names no KMS contract, so nobody vouches for the key that the environment would be sealed for",
        )
    })?;
    let (said, published) = tokio::join!(world.cloud.env_key(to.cvm, to.app), chain.kms_root_key(kms));
    seal_with((published?, said?), (to.app, kms), (file, root))
}

/// Seals the environment of an app that has no CVM yet, for the key that `kms_id` gives and the contract `kms` vouches
/// for; gives what records may hold of it, and the sealed bytes, hex. Two requests.
///
/// # Errors
/// The key is not the app's by the contract's word (V24), the contract publishes no root key, or something could not be
/// read.
pub async fn seal_new(
    world: &World<'_>,
    chain: &Chain,
    (kms_id, kms, app): (&KmsId, Address, Address),
    request: &EnvRequest,
) -> Result<(Environment, String), UpgradeError> {
    let (file, root) = match request {
        EnvRequest::Values { file, root } => (file, *root),
        EnvRequest::Sealed { blob, names } => return Ok((elsewhere(blob, names).0, blob.clone())),
    };
    let (said, published) = tokio::join!(world.cloud.env_key_of(kms_id, app), chain.kms_root_key(kms));
    let (environment, sealing) = seal_with((published?, said?), (app, kms), (file, root))?;
    Ok((environment, sealing.blob().to_owned()))
}

/// Bytes that nobody here can look into.
fn elsewhere(blob: &str, names: &Names) -> (Environment, Sealing) {
    let environment = Environment {
        names: names.clone(),
        vouched: None,
    };
    let sealing = Sealing {
        blob: blob.to_owned(),
        values: None,
    };
    (environment, sealing)
}

/// Believes the key or stops, and seals for it.
fn seal_with(
    (published, said): (Bytes, EnvKey),
    (app, kms): (Address, Address),
    (file, pinned): (&EnvFile, Option<RootKey>),
) -> Result<(Environment, Sealing), UpgradeError> {
    if published.is_empty() {
        return Err(UpgradeError::decide(
            Code::EnvKmsKeyMissing,
            format!("the KMS contract {kms} publishes no root key, so the key for the environment cannot be checked"),
        ));
    }
    let root = RootKey::from_bytes(&published).map_err(|error| distrust(&error, "a public key of secp256k1"))?;
    if let Some(pinned) = pinned.filter(|pinned| *pinned != root) {
        return Err(UpgradeError::stop(
            Code::KmsRootMismatch,
            "root key of the KMS contract",
            pinned,
            root,
        ));
    }
    let key = believe(&said, app, &root)?;
    let sealed = file.seal(&key).map_err(not_sealed)?;
    let environment = Environment {
        names: sealed.names().clone(),
        vouched: Some(Vouched {
            kms,
            root,
            recipient: B256::from(*key.as_bytes()),
            dated: key.dated(),
        }),
    };
    let sealing = Sealing {
        blob: sealed.blob().to_owned(),
        values: Some(file.clone()),
    };
    Ok((environment, sealing))
}

fn believe(said: &EnvKey, app: Address, root: &RootKey) -> Result<RecipientKey, UpgradeError> {
    let read = || {
        let key = UncheckedKey::new(&said.key)?.signed_at(said.signature_v1.as_deref(), said.timestamp)?;
        let key = match &said.signature {
            Some(signature) => key.signed(signature)?,
            None => key,
        };
        key.check(app, root, Timestamp::now())
    };
    read().map_err(|error| distrust(&error, &format!("signed by {root}")))
}

/// V24: values sealed for a key that is not the app's are values given away.
fn distrust(error: &KeyError, expected: &str) -> UpgradeError {
    UpgradeError::stop(
        Code::EnvKeyMismatch,
        "key that the environment would be sealed for",
        expected,
        error,
    )
}

/// What a person should know of an environment before it replaces the one that is live.
pub(super) fn remarks(request: &EnvRequest, sealed: &Environment, after: &Manifest) -> Vec<Warning> {
    let EnvRequest::Values { file, .. } = request else {
        return vec![Warning {
            code: Code::EnvSealedElsewhere,
            text:
                "the environment was sealed elsewhere: neither its names nor the key that it was sealed for could be \
                   checked here"
                    .to_owned(),
        }];
    };
    let names = allowed(after);
    let left: Vec<_> = names
        .into_iter()
        .filter(|name| !sealed.names.iter().any(|own| own.as_str() == name))
        .collect();
    let with = |wanted: Caution| -> Vec<String> {
        let all = file.cautions().into_iter();
        all.filter(|(_, caution)| *caution == wanted)
            .map(|(name, _)| name.to_string())
            .collect()
    };
    let altered: Vec<String> = [Caution::Backslash, Caution::CarriageReturn]
        .into_iter()
        .flat_map(with)
        .collect();
    let shell = with(Caution::ShellName);
    [
        (
            !left.is_empty(),
            Code::EnvValuesMissing,
            format!(
                "the environment is replaced as a whole, and these names get no value: {}",
                left.join(", ")
            ),
        ),
        (
            !altered.is_empty(),
            Code::EnvValuesAltered,
            format!(
                "the guest may change backslashes and carriage returns in the values of: {}",
                altered.join(", ")
            ),
        ),
        (
            !shell.is_empty(),
            Code::EnvShellNames,
            format!(
                "these names change what the guest's own shell does: {}",
                shell.join(", ")
            ),
        ),
    ]
    .into_iter()
    .filter(|(is_so, ..)| *is_so)
    .map(|(_, code, text)| Warning {
        code: code.to_owned(),
        text,
    })
    .collect()
}

/// Names that a manifest lets the guest have.
pub(super) fn allowed(manifest: &Manifest) -> Vec<String> {
    let list = manifest.get("allowed_envs").and_then(|value| value.as_array());
    let names = list.into_iter().flatten();
    names.filter_map(|name| name.as_str().map(ToOwned::to_owned)).collect()
}

fn texts(names: &[EnvName]) -> Vec<String> {
    names.iter().map(|name| name.as_str().to_owned()).collect()
}

impl Upgrade {
    /// Keeps sealed bytes for the prepare that comes. What was prepared with other values is prepared again with these,
    /// as long as no commit was sent; what was prepared with the same ones stays.
    pub(super) fn keep_sealed(&mut self, sealing: &Sealing) -> Result<(), UpgradeError> {
        let (values, same) = self.compare(sealing)?;
        let state = self.state();
        let replaces = match same {
            _ if state.is_new() => false,
            Some(false) if state.committed.is_some() => return Err(too_late("the update was committed")),
            Some(false) if state.committing => {
                return Err(too_late("a commit was sent, and its outcome is not known yet,"));
            }
            _ if state.committed.is_some() => return Ok(()),
            Some(true) if self.sealed().is_ok() => return Ok(()),
            Some(true) => false,
            // Without anything to compare with they count as others, unless they are the first on this machine.
            _ => state.may_prepare_again() && state.sealed.is_some(),
        };
        let before = self.sealed_file();
        let sha256 = B256::from(sealing.digest());
        fsutil::write(&self.dir().join(name_of(sha256)), sealing.blob().as_bytes(), 0o600)?;
        self.record(Event::Sealed {
            sha256,
            values: Some(values),
            replaces,
        })?;
        match before.filter(|path| *path != self.dir().join(name_of(sha256))) {
            Some(old) => Ok(fsutil::remove(&old)?),
            None => Ok(()),
        }
    }

    /// What tells these values from others, and whether they are those that were sealed last; `None` when nothing tells.
    pub(super) fn compare(&self, sealing: &Sealing) -> Result<(B256, Option<bool>), UpgradeError> {
        let (mark, comparable) = mark_in(self.dir(), sealing)?;
        let known = self.state().values.filter(|_| comparable);
        Ok((mark, known.map(|known| known == mark)))
    }

    /// Where the sealed bytes are, if there should be any.
    pub(super) fn sealed_file(&self) -> Option<PathBuf> {
        self.state().sealed.map(|sha256| self.dir().join(name_of(sha256)))
    }

    /// The sealed bytes as they were recorded.
    fn sealed(&self) -> Result<String, UpgradeError> {
        let gone = || {
            UpgradeError::decide(
                Code::EnvNeeded,
                "the sealed environment is not on this machine, and preparing without it would leave the guest with the \
                 old values",
            )
        };
        let (Some(path), Some(sha256)) = (self.sealed_file(), self.state().sealed) else {
            return Err(gone());
        };
        let bytes = match fsutil::read_own_secret(&path, MAX_SEALED) {
            Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => return Err(gone()),
            other => other?,
        };
        let found = B256::from(<[u8; 32]>::from(Sha256::digest(&bytes)));
        if found != sha256 {
            return Err(UpgradeError::stop(
                Code::EnvChanged,
                "SHA-256 of the sealed environment",
                sha256,
                found,
            ));
        }
        std::str::from_utf8(&bytes).map(ToOwned::to_owned).ok().ok_or_else(gone)
    }
}

/// What tells these values from others in records of `dir`, and whether earlier marks there can be compared with it: the
/// key under which they were made is kept beside them, and made where there is none.
pub(super) fn mark_in(dir: &Path, sealing: &Sealing) -> Result<(B256, bool), UpgradeError> {
    let path = dir.join(KEY_FILE);
    let found = match fsutil::read_own_secret(&path, KEY_MAX) {
        Err(error) if error.source.kind() == std::io::ErrorKind::NotFound => None,
        other => MarkKey::from_bytes(&other?),
    };
    if let Some(key) = found {
        return Ok((sealing.mark(&key)?, true));
    }
    let key = MarkKey::random().map_err(not_sealed)?;
    fsutil::write(&path, key.expose(), 0o600)?;
    Ok((sealing.mark(&key)?, false))
}

impl Run<'_> {
    /// What prepare sends, with the sealed environment where one belongs to it.
    pub(super) fn request(&self, code: &CodeChange) -> Result<Request, UpgradeError> {
        // Sealed bytes are those that this machine keeps; a plan or a proposal cannot hold any.
        let sealed = code.environment.as_ref().map(|_| self.upgrade.sealed()).transpose()?;
        Ok(code.request(code.patch.clone().sealed(sealed)))
    }
}

fn not_sealed(error: SealError) -> UpgradeError {
    UpgradeError::Later {
        code: Code::EnvNotSealed,
        message: "the environment could not be sealed".to_owned(),
        source: Some(Box::new(error)),
    }
}

/// The guest gets, or has, the earlier values; other ones are a change by themselves.
fn too_late(what: &str) -> UpgradeError {
    UpgradeError::decide(
        Code::EnvValuesLate,
        format!("{what} with other values than these; nothing was sent"),
    )
}

/// SHA-256 of a body that prepare sends, with a sealed environment or before there is one.
pub(super) fn patch_digest(patch: &impl Serialize) -> [u8; 32] {
    Sha256::digest(serde_json::to_vec(patch).unwrap_or_default()).into()
}

fn name_of(sha256: B256) -> String {
    let digits = hex::encode(sha256);
    format!("environment-{}", digits.chars().take(8).collect::<String>())
}
