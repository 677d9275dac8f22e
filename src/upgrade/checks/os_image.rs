//! Another OS image for a CVM: whether the contract of its KMS allows it. That is for the KMS's owner to say, and not for the
//! app's. Reads only.

use alloy::primitives::{Address, B256};

use crate::cloud::{Client, CvmId, images::OsImage};
use crate::code::Code;
use crate::compose::Manifest;
use crate::upgrade::{UpgradeError, World, finding::Warning};

/// The release of dstack from which on images read version 3 of the manifest, and nodes measure fixed key providers anew.
const NEW_DSTACK: (u64, u64) = (0, 6);

/// An OS image that a CVM is to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::upgrade) struct NextImage {
    name: String,
    /// What the KMS's contract would know it by, or why that is not known.
    hash: Result<B256, String>,
}

impl NextImage {
    /// Asks Phala Cloud what hash the image has. One request; an answer that cannot be had is kept.
    pub(in crate::upgrade) async fn read(cloud: &Client, cvm: &CvmId, name: &str) -> Self {
        let hash = match cloud.available_os_images(cvm).await {
            Ok(images) => of(&images, name).ok_or_else(|| "Phala Cloud names no hash of it".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        Self {
            name: name.to_owned(),
            hash,
        }
    }

    /// What it is called.
    pub(in crate::upgrade) fn name(&self) -> &str {
        &self.name
    }

    /// What the contract would know it by.
    pub(in crate::upgrade) fn hash(&self) -> Option<B256> {
        self.hash.as_ref().ok().copied()
    }

    /// That the contract could not be asked about it.
    pub(in crate::upgrade) fn unknown(&self) -> Option<Warning> {
        let why = self.hash.as_ref().err()?;
        Warning::when(true, Code::KmsNotAsked, || {
            format!("whether the KMS allows the OS image {} is not known: {why}", self.name)
        })
    }
}

/// Major and minor number in a version, or at the end of an image's name: `0.5.7`, `v0.6.0`, `dstack-0.5.7`.
fn release(text: &str) -> Option<(u64, u64)> {
    let version = text
        .rsplit('-')
        .find(|part| part.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit()))?;
    let mut numbers = version.trim_start_matches('v').split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// What images before dstack 0.6 do not survive: a manifest of version 3, which they cannot read, and, on a node of 0.6 or
/// later, a key provider that is fixed, for which that node measures something else than they do. Nothing where the image's
/// name or version tells no release.
pub(in crate::upgrade) fn lost_on_image(image: &str, node: Option<&str>, manifest: &Manifest) -> Option<Warning> {
    let image = release(image).filter(|image| *image < NEW_DSTACK)?;
    let node = node.and_then(release);
    let of = |name: &str| manifest.get(name).cloned().unwrap_or_default();
    let version = of("manifest_version");
    let is_third = version.as_u64() == Some(3) || version.as_str() == Some("3");
    let fixed = of("key_provider_id").as_str().is_some_and(|id| !id.is_empty());
    let (major, minor) = image;
    Warning::when(is_third, Code::ImageTooOld, || {
        format!("the OS image is dstack {major}.{minor}, which cannot read a manifest of version 3: the CVM would not come up")
    })
    .or_else(|| {
        Warning::when(fixed && node.is_some_and(|node| node >= NEW_DSTACK), Code::ImageTooOld, || {
            format!(
                "the manifest fixes its key provider (key_provider_id), the OS image is dstack {major}.{minor} and the \
                 node's dstack is newer: the CVM would boot again and again and never come up"
            )
        })
    })
}

/// That the contract does not allow the image, and whose it is to change that.
pub(in crate::upgrade) fn not_allowed(name: &str, hash: Option<B256>, kms: Option<Address>) -> Warning {
    let hash = hash.map_or_else(|| "its hash".to_owned(), |hash| hash.to_string());
    let kms = kms.map(|kms| format!(" {kms}")).unwrap_or_default();
    Warning {
        code: Code::OsImageNotAllowed,
        text: format!(
            "the KMS{kms} does not allow the OS image {name}: the KMS's owner has to call addOsImageHash({hash}) on it, and \
             nothing that the app's owner approves replaces that"
        ),
    }
}

/// Refuses an OS image with which the CVM would not come up: its manifest cannot be read by it, or the contract of its KMS does
/// not allow it. What that contract says of it otherwise, in words; nothing is asked where no such KMS guards the CVM.
///
/// # Errors
/// It would not come up, or the CVM could not be read. That the contract could not be asked is an answer, and no error.
pub async fn check_image(world: &World<'_>, id: &CvmId, name: &str) -> Result<String, UpgradeError> {
    let cvm = world.cloud.cvm(id).await?;
    let manifest = world.cloud.manifest(id).await?;
    if let Some(lost) = lost_on_image(name, cvm.node_version.as_deref(), &manifest) {
        return Err(UpgradeError::decide(lost.code, lost.text));
    }
    let Some((chain_id, kms)) = cvm.kms.chain_id.zip(cvm.kms.kms_contract) else {
        return Ok("nobody asks: no KMS on a chain guards the CVM".to_owned());
    };
    let unknown = |why: &str| format!("not known: {why}");
    let hash = match NextImage::read(world.cloud, id, name).await.hash {
        Ok(hash) => hash,
        Err(why) => return Ok(unknown(&why)),
    };
    let asked = async {
        let chain = world.chain(chain_id).await?;
        Ok::<_, UpgradeError>(chain.os_image_allowed(kms, hash).await?)
    };
    match asked.await {
        Ok(Some(true)) => Ok("yes".to_owned()),
        Ok(Some(false)) => {
            let refused = not_allowed(name, Some(hash), Some(kms));
            Err(UpgradeError::decide(refused.code, refused.text))
        }
        Ok(None) => Ok(unknown("the KMS's contract keeps no list of images")),
        Err(error) => Ok(unknown(&error.to_string())),
    }
}

/// The hash of the image of this name, where all that bear it have the same.
fn of(images: &[OsImage], name: &str) -> Option<B256> {
    let is_meant = |image: &&OsImage| [&image.name, &image.slug].into_iter().flatten().any(|own| own == name);
    let mut hashes = images.iter().filter(is_meant).map(|image| image.os_image_hash);
    let first = hashes.next()??;
    hashes.all(|hash| hash == Some(first)).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str, slug: &str, hash: Option<u8>) -> OsImage {
        OsImage {
            name: Some(name.to_owned()),
            slug: Some(slug.to_owned()),
            version: None,
            os_image_hash: hash.map(B256::repeat_byte),
            is_dev: None,
            is_current: None,
        }
    }

    impl NextImage {
        /// One whose hash is known.
        pub(in crate::upgrade) fn known(name: &str, hash: B256) -> Self {
            Self {
                name: name.to_owned(),
                hash: Ok(hash),
            }
        }
    }

    #[test]
    fn a_release_is_read_from_the_end_of_a_name() {
        assert_eq!(release("nothing"), None);
        assert_eq!(release("dstack-nvidia-0.5.3.1"), Some((0, 5)));
    }

    #[test]
    fn an_image_is_known_by_its_name_or_slug_and_by_no_hash_that_two_of_one_name_dispute() {
        let images = [
            image("dstack-0.5.8", "dstack-0.5.8-aa", Some(1)),
            image("dstack-0.6.0", "dstack-0.6.0-aa", Some(2)),
            image("dstack-0.6.0", "dstack-0.6.0-bb", Some(3)),
            image("dstack-0.6.1", "dstack-0.6.1-aa", None),
        ];
        let hash = |name| of(&images, name);
        assert_eq!(hash("dstack-0.5.8"), Some(B256::repeat_byte(1)));
        assert_eq!(hash("dstack-0.6.0-bb"), Some(B256::repeat_byte(3)));
        for unknown in ["dstack-0.6.0", "dstack-0.6.1", "dstack-0.5"] {
            assert_eq!(hash(unknown), None, "{unknown}");
        }
    }
}
