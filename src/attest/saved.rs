//! All that a verdict was made of, in one file (`attestation.json`), from which it can be made again by anybody, for ever.
//! Pure.
//!
//! Quote, log, certificate and collateral prove themselves. What the contracts said, and what was expected, is the word of
//! whoever wrote the file: a reader who has a chain to ask asks it again.

use std::collections::BTreeSet;

use alloy::primitives::{Address, B256, Bytes};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::collateral::Collateral;
use super::expected::{BootInfo, DevicePolicy, Expected, ExpectedInstance};
use super::platform::TcbPolicy;
use super::root::Root;
use super::verdict::{Evidence, Verdict};
use crate::compose::ComposeHash;
use crate::json;

/// Name of the file.
pub const FILE: &str = "attestation.json";
/// Name and version of its format.
const FORMAT: &str = "countersign.attestation/1";
/// Longest file that is read, bytes: what its parts may have together.
pub const MAX_BYTES: usize = 24 << 20;

/// All that a verdict was made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Saved {
    /// Name and version of this format.
    format: String,
    /// When it was judged.
    pub at: Timestamp,
    /// The CVM, as it was named.
    pub cvm: String,
    /// What it should be.
    pub wanted: Wanted,
    /// What was gathered of it.
    pub gathered: Gathered,
    /// What the contracts said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contracts: Option<Contracts>,
}

/// What a CVM should be, and who says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The manifest, by its hash.
    pub compose_hash: ComposeHash,
    /// Who named it.
    pub named_by: NamedBy,
    /// What ran before, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_compose_hash: Option<ComposeHash>,
    /// The transaction by which the app allowed it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transaction: Option<B256>,
    /// The chain of the contracts.
    pub chain_id: u64,
    /// The app's contract.
    pub app: Address,
    /// The KMS's contract.
    pub kms: Address,
    /// The instance, as Phala Cloud records it.
    pub instance: ExpectedInstance,
    /// The machine, as Phala Cloud records it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<B256>,
}

/// Who named the hash that should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NamedBy {
    /// The upgrade, whose owners approved it.
    Upgrade,
    /// Whoever asked.
    Person,
    /// Phala Cloud's record of the CVM; that the app allows it is the contracts' word.
    PhalaCloud,
}

/// What was gathered of a CVM; nothing of it is believed.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gathered {
    /// The certificate chain of its guest, PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// A quote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<Bytes>,
    /// An event log, JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Whether its events are of the second version though they do not say so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub log_is_second_version: bool,
    /// The manifest that the guest says it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// The CVM's configuration as its host wrote it, JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vm_config: Option<String>,
    /// Intel's collateral.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "collateral")]
    pub collateral: Option<Collateral>,
    /// A number that was sent to the app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Bytes>,
    /// The quote that it answered with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Bytes>,
}

/// What the contracts said, all at one block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contracts {
    /// Number of the block.
    pub block: u64,
    /// Its hash.
    pub block_hash: B256,
    /// `kmsInfo().caPubkey`.
    pub kms_key: Bytes,
    /// `allowedComposeHashes` of the hash that should run.
    pub hash_allowed: bool,
    /// `allowAnyDevice()`.
    pub any_device: bool,
    /// The machine that was measured, if `allowedDeviceIds` has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_device: Option<B256>,
    /// `requireTcbUpToDate()`; older apps have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub require_tcb_up_to_date: Option<bool>,
    /// Images that `allowedOsImages` has, of those that were asked about.
    pub images: BTreeSet<B256>,
    /// What `isAppAllowed` was asked about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<BootInfo>,
    /// Its answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_allowed: Option<bool>,
    /// Its reason, where it has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Why a file holds no attestation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SavedError {
    /// More than is read.
    #[error("it has {found} bytes, and at most {MAX_BYTES} are read")]
    TooLong {
        /// Bytes found.
        found: usize,
    },
    /// No JSON of this format.
    #[error("it is no attestation of the format `{FORMAT}`")]
    Json(#[source] serde_json::Error),
    /// Another format.
    #[error("it is of another format than `{FORMAT}`")]
    Format,
}

/// By what a saved attestation is judged.
#[derive(Debug, Clone)]
pub struct Measure<'a> {
    /// Which machines are safe enough.
    pub tcb: &'a TcbPolicy,
    /// Whom the quote has to come from.
    pub root: &'a Root,
    /// When.
    pub at: Timestamp,
}

impl Saved {
    /// What was gathered of a CVM, and nothing from the contracts yet.
    pub fn new(at: Timestamp, cvm: String, wanted: Wanted, gathered: Gathered) -> Self {
        Self {
            format: FORMAT.to_owned(),
            at,
            cvm,
            wanted,
            gathered,
            contracts: None,
        }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// It is none of this format.
    pub fn parse(bytes: &[u8]) -> Result<Self, SavedError> {
        if bytes.len() > MAX_BYTES {
            return Err(SavedError::TooLong { found: bytes.len() });
        }
        let saved: Self = serde_json::from_slice(bytes).map_err(SavedError::Json)?;
        match saved.is_of_this_format() {
            true => Ok(saved),
            false => Err(SavedError::Format),
        }
    }

    /// Whether it says that it is of the format that is read here.
    pub fn is_of_this_format(&self) -> bool {
        self.format == FORMAT
    }

    /// The file.
    ///
    /// # Errors
    /// Never, for what was read or gathered.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }

    /// What it should be, as far as that is known.
    pub fn expected(&self, tcb: &TcbPolicy) -> Expected {
        let (wanted, said) = (&self.wanted, self.contracts.as_ref());
        Expected {
            compose_hash: wanted.compose_hash,
            app_id: wanted.app,
            instance: wanted.instance,
            device_id: wanted.device_id,
            devices: said.map(Contracts::devices),
            kms_key: said.map(|said| said.kms_key.to_vec()).filter(|key| !key.is_empty()),
            allowed_images: said.map(|said| said.images.clone()).unwrap_or_default(),
            asked: said.and_then(|said| said.asked.clone()),
            is_allowed: said.and_then(|said| said.is_allowed),
            tcb: tcb.clone(),
            requires_tcb: said.is_some_and(|said| said.require_tcb_up_to_date == Some(true)),
            reference: None,
        }
    }

    /// The verdict.
    pub fn judge(&self, by: &Measure<'_>) -> Verdict {
        Verdict::of(&self.gathered.evidence(), &self.expected(by.tcb), by.root, by.at)
    }

    /// The verdict, were `hash` what should run.
    pub fn judge_as(&self, hash: ComposeHash, by: &Measure<'_>) -> Verdict {
        let expected = Expected {
            compose_hash: hash,
            ..self.expected(by.tcb)
        };
        Verdict::of(&self.gathered.evidence(), &expected, by.root, by.at)
    }
}

impl Contracts {
    fn devices(&self) -> DevicePolicy {
        match self.any_device {
            true => DevicePolicy::Any,
            false => DevicePolicy::Listed(self.allowed_device.into_iter().collect()),
        }
    }
}

impl Gathered {
    /// As the verdict takes it.
    pub fn evidence(&self) -> Evidence<'_> {
        Evidence {
            certificate: self.certificate.as_deref().map(str::as_bytes),
            quote: self.quote.as_ref().map(AsRef::as_ref),
            log: self.log.as_deref().map(str::as_bytes),
            log_is_second_version: self.log_is_second_version,
            manifest: self.manifest.as_deref().map(str::as_bytes),
            vm_config: self.vm_config.as_deref().map(str::as_bytes),
            config_document: None,
            collateral: self.collateral.as_ref(),
            nonce: self.nonce.as_ref().map(AsRef::as_ref),
            answer: self.answer.as_ref().map(AsRef::as_ref),
        }
    }

    /// A member of the manifest, if it is that of `hash`: then it is what the guest runs, whoever showed it.
    pub fn member_of(&self, hash: ComposeHash, name: &str) -> Option<Value> {
        let manifest = self.manifest.as_ref()?;
        let is_that = ComposeHash::of(manifest.as_bytes()) == hash;
        let value = json::parse(manifest).ok().filter(|_| is_that)?;
        value.get(name).cloned()
    }
}

fn collateral<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Collateral>, D::Error> {
    let Some(written) = Option::<Box<RawValue>>::deserialize(from)? else {
        return Ok(None);
    };
    let read = Collateral::parse(written.get().as_bytes());
    read.map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::synthetic::{Cvm, NOW, written};
    use super::super::{Link, Standing};
    use super::*;

    fn saved(cvm: &mut Cvm) -> Saved {
        let log = cvm.log.clone();
        let wanted = Wanted {
            compose_hash: ComposeHash::of(&cvm.manifest),
            named_by: NamedBy::Person,
            previous_compose_hash: None,
            transaction: None,
            chain_id: 1,
            app: cvm.chain.app_id.into(),
            kms: Address::repeat_byte(1),
            instance: ExpectedInstance::Is([0xbb; 20].into()),
            device_id: None,
        };
        let gathered = Gathered {
            certificate: Some(cvm.certificate(&log)),
            quote: Some(cvm.quote().into()),
            log: Some(String::from_utf8(written(&log)).unwrap()),
            manifest: Some(String::from_utf8(cvm.manifest.clone()).unwrap()),
            collateral: Collateral::parse(cvm.intel.collateral().to_string().as_bytes()).ok(),
            ..Gathered::default()
        };
        let at = Timestamp::from_second(NOW).unwrap();
        let mut saved = Saved::new(at, "my-app".to_owned(), wanted, gathered);
        let root = Root::for_tests(cvm.intel.root()).unwrap();
        let asked = saved.judge(&by(&root, at)).boot_info();
        saved.contracts = Some(Contracts {
            block: 7,
            block_hash: B256::repeat_byte(7),
            kms_key: cvm.chain.kms_key().into(),
            hash_allowed: true,
            any_device: true,
            allowed_device: None,
            require_tcb_up_to_date: None,
            images: BTreeSet::new(),
            asked,
            is_allowed: Some(true),
            reason: String::new(),
        });
        saved
    }

    fn by<'a>(root: &'a Root, at: Timestamp) -> Measure<'a> {
        static TCB: std::sync::LazyLock<TcbPolicy> = std::sync::LazyLock::new(TcbPolicy::default);
        Measure { tcb: &TCB, root, at }
    }

    #[test]
    fn what_is_read_again_is_judged_as_it_was_and_nothing_that_is_left_out_raises_it() {
        let mut cvm = Cvm::default();
        let (saved, root) = (saved(&mut cvm), Root::for_tests(cvm.intel.root()).unwrap());
        let bytes = saved.to_json().unwrap();
        let again = Saved::parse(&bytes).unwrap();
        assert_eq!(again.to_json().unwrap(), bytes);
        let standings = |saved: &Saved| -> Vec<Standing> {
            let verdict = saved.judge(&by(&root, saved.at));
            verdict.findings.iter().map(|one| one.standing).collect()
        };
        let whole = standings(&again);
        assert_eq!(whole, standings(&saved));
        assert_eq!(again.judge(&by(&root, again.at)).standing(), Standing::Holds);
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        for place in ["certificate", "quote", "log", "manifest", "collateral"] {
            let mut less = value.clone();
            less["gathered"].as_object_mut().unwrap().remove(place);
            let less = Saved::parse(less.to_string().as_bytes()).unwrap();
            for ((before, after), link) in whole.iter().zip(standings(&less)).zip(Link::ALL) {
                assert!(after >= *before, "{place}: {link}");
            }
        }
        let mut alone = value;
        alone.as_object_mut().unwrap().remove("contracts");
        let alone = Saved::parse(alone.to_string().as_bytes()).unwrap();
        let verdict = alone.judge(&by(&root, alone.at));
        assert_eq!(verdict.first().map(|one| one.link), Some(Link::Device));
    }

    #[test]
    fn another_format_and_members_that_nobody_knows_are_refused() {
        let mut cvm = Cvm::default();
        let value: Value = serde_json::from_slice(&saved(&mut cvm).to_json().unwrap()).unwrap();
        let changed = |place: &str, to: Value| {
            let mut value = value.clone();
            *value.pointer_mut(place).unwrap() = to;
            Saved::parse(value.to_string().as_bytes())
        };
        assert!(matches!(
            changed("/format", json!("countersign.attestation/2")),
            Err(SavedError::Format)
        ));
        for (place, to) in [
            ("/gathered/collateral", json!({})),
            ("/gathered/quote", json!("0x1")),
            ("/wanted/instance", json!("nobody")),
            ("/at", json!("yesterday")),
        ] {
            assert!(matches!(changed(place, to), Err(SavedError::Json(_))), "{place}");
        }
        let mut more = value.clone();
        more["gathered"]["verified"] = json!(true);
        assert!(matches!(
            Saved::parse(more.to_string().as_bytes()),
            Err(SavedError::Json(_))
        ));
        assert!(matches!(
            Saved::parse(&vec![b' '; MAX_BYTES + 1]),
            Err(SavedError::TooLong { .. })
        ));
    }
}
