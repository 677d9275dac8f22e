//! The environment of an upgrade: sealed once for a key that the KMS's contract vouches for, kept beside the journal.
//!
//! Journal and proposal hold names and the SHA-256 of the sealed bytes, never a value. The sealed bytes stay in a file
//! of their own, so that what was begun goes on without the values.

use alloy::primitives::{Address, B256, Bytes};
use jiff::Timestamp;

use crate::chain::Chain;
use crate::cloud::{CvmId, EnvKey, KmsId, patch::Patch};
use crate::code::Code;
use crate::compose::Manifest;
use crate::env::{Caution, EnvFile, EnvName, KeyError, Names, RecipientKey, RootKey, UncheckedKey};
use crate::upgrade::{
    UpgradeError, World,
    finding::Warning,
    model::Intent,
    model::environment::{EnvRequest, Environment, Sealing, Vouched, allowed, not_sealed},
};

/// Longest file with sealed bytes: what the guest takes, with everything escaped, as hex digits.
pub(in crate::upgrade) const MAX_SEALED: u64 = 16 << 20;
/// The patch with the names that the environment needs: those of the file, in its order, as the official CLI sends
/// them, unless a list was given.
pub(in crate::upgrade) fn complete(intent: &Intent) -> Result<Patch, UpgradeError> {
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
pub(in crate::upgrade) fn refuse_skipped(intent: &Intent, source: &Manifest) -> Result<(), UpgradeError> {
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
pub(in crate::upgrade) struct Recipient<'a> {
    pub(in crate::upgrade) cvm: &'a CvmId,
    pub(in crate::upgrade) app: Address,
    pub(in crate::upgrade) kms: Option<Address>,
}

/// Reads the recipient key, believes it or stops, and seals.
pub(in crate::upgrade) async fn seal(
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
    let told = Told {
        app: to.app,
        kms,
        published: published?,
        said: said?,
    };
    told.seal(file, root)
}

/// An app that has no CVM yet: its key is the one that `kms_id` gives and the contract `kms` vouches for.
#[derive(Debug, Clone, Copy)]
pub struct NewRecipient<'a> {
    /// Name of the KMS, as Phala Cloud has it.
    pub kms_id: &'a KmsId,
    /// The KMS's contract.
    pub kms: Address,
    /// The app.
    pub app: Address,
}

/// Seals the environment of an app that has no CVM yet; gives what records may hold of it, and the sealed bytes, hex. Two requests.
///
/// # Errors
/// The key is not the app's by the contract's word (V24), the contract publishes no root key, or something could not be
/// read.
pub async fn seal_new(
    world: &World<'_>,
    chain: &Chain,
    to: NewRecipient<'_>,
    request: &EnvRequest,
) -> Result<(Environment, String), UpgradeError> {
    let (file, root) = match request {
        EnvRequest::Values { file, root } => (file, *root),
        EnvRequest::Sealed { blob, names } => return Ok((elsewhere(blob, names).0, blob.clone())),
    };
    let NewRecipient { kms_id, kms, app } = to;
    let (said, published) = tokio::join!(world.cloud.env_key_of(kms_id, app), chain.kms_root_key(kms));
    let told = Told {
        app,
        kms,
        published: published?,
        said: said?,
    };
    let (environment, sealing) = told.seal(file, root)?;
    Ok((environment, sealing.blob().to_owned()))
}

/// Bytes that nobody here can look into.
fn elsewhere(blob: &str, names: &Names) -> (Environment, Sealing) {
    let environment = Environment {
        names: names.clone(),
        vouched: None,
    };
    let sealing = Sealing::new(blob, None);
    (environment, sealing)
}

/// What is said of an app's key: by the KMS's contract, and by Phala Cloud.
struct Told {
    app: Address,
    kms: Address,
    published: Bytes,
    said: EnvKey,
}

impl Told {
    /// Believes the key or stops, and seals for it.
    fn seal(&self, file: &EnvFile, pinned: Option<RootKey>) -> Result<(Environment, Sealing), UpgradeError> {
        let Self {
            app,
            kms,
            published,
            said,
        } = self;
        if published.is_empty() {
            return Err(UpgradeError::decide(
                Code::EnvKmsKeyMissing,
                format!(
                    "the KMS contract {kms} publishes no root key, so the key for the environment cannot be checked"
                ),
            ));
        }
        let root = RootKey::from_bytes(published).map_err(|error| distrust(&error, "a public key of secp256k1"))?;
        if let Some(pinned) = pinned.filter(|pinned| *pinned != root) {
            return Err(UpgradeError::stop(
                Code::KmsRootMismatch,
                "root key of the KMS contract",
                pinned,
                root,
            ));
        }
        let key = believe(said, *app, &root)?;
        let sealed = file.seal(&key).map_err(not_sealed)?;
        let environment = Environment {
            names: sealed.names().clone(),
            vouched: Some(Vouched {
                kms: *kms,
                root,
                recipient: B256::from(*key.as_bytes()),
                dated: key.dated(),
            }),
        };
        let sealing = Sealing::new(sealed.blob(), Some(file.clone()));
        Ok((environment, sealing))
    }
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
pub(in crate::upgrade) fn remarks(request: &EnvRequest, sealed: &Environment, after: &Manifest) -> Vec<Warning> {
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
    let altered: Vec<String> = [Caution::Backslash, Caution::CarriageReturn]
        .into_iter()
        .flat_map(|caution| with_caution(file, caution))
        .collect();
    let shell = with_caution(file, Caution::ShellName);
    let blank = texts(&file.blank());
    [
        (
            !blank.is_empty(),
            Code::EnvValuesBlank,
            format!("these variables are set to nothing: {}", blank.join(", ")),
        ),
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

/// Names of the variables that the guest does this to.
fn with_caution(file: &EnvFile, wanted: Caution) -> Vec<String> {
    let all = file.cautions().into_iter();
    all.filter(|(_, caution)| *caution == wanted)
        .map(|(name, _)| name.to_string())
        .collect()
}

fn texts(names: &[EnvName]) -> Vec<String> {
    names.iter().map(|name| name.as_str().to_owned()).collect()
}
