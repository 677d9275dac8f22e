//! OS images: what a CVM may run, and what there is.

use alloy::primitives::B256;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::read::{self, Malformed};
use super::{Client, CloudError, CvmId, Key, Page, Paged};
use crate::http::Retry;

/// An OS image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OsImage {
    /// Name, for example `dstack-0.5.7`.
    pub name: Option<String>,
    /// Name that no other image has.
    pub slug: Option<String>,
    /// Version, its parts joined by dots.
    pub version: Option<String>,
    /// What the KMS contract knows it by.
    pub os_image_hash: Option<B256>,
    /// A development image, which lets people log in.
    pub is_dev: Option<bool>,
    /// Whether the CVM runs it now; only in a CVM's own list.
    pub is_current: Option<bool>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId, Page};
/// # async fn example(client: &Client, id: &CvmId) -> Result<(), CloudError> {
/// println!("{:?}", client.available_os_images(id).await?);
/// println!("{:?}", client.os_images(Page::default()).await?.items);
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `GET /api/v1/cvms/{cvm_id}/available-os-images`: what this CVM may be given.
    ///
    /// Documented as `getAvailableOsImages`, there with the path of [`Self::os_images`], which knows no CVM.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn available_os_images(&self, id: &CvmId) -> Result<Vec<OsImage>, CloudError> {
        let (reply, answer) = self.get(&["cvms", id.as_str(), "available-os-images"]).await?;
        let versions = reply.items(&answer, OsImage::variants)?;
        Ok(versions.into_iter().flatten().collect())
    }
    /// `GET /api/v1/os-images`: one page of all images.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 422.
    pub async fn os_images(&self, page: Page) -> Result<Paged<OsImage>, CloudError> {
        let mut call = self.call(Method::GET, &["os-images"], Retry::Read)?;
        page.ask(&mut call);
        let reply = self.send(call, Key::Needed).await?;
        let answer = reply.value()?;
        reply.paged(&answer, OsImage::read)
    }
}

impl OsImage {
    pub(super) fn read(item: &Value) -> Result<Self, Malformed> {
        Ok(Self {
            name: read::text(item, &["/name"]),
            slug: read::text(item, &["/slug"]),
            version: version(item),
            os_image_hash: read::word(item, &["/os_image_hash"])?,
            is_dev: read::flag(item, &["/is_dev"]),
            is_current: read::flag(item, &["/is_current"]),
        })
    }

    /// The production and the development image of one version.
    fn variants(item: &Value) -> Result<Vec<Self>, Malformed> {
        let named = [("prod", false), ("dev", true)];
        let there = named
            .into_iter()
            .filter_map(|(name, dev)| Some((item.get(name).filter(|image| image.is_object())?, dev)));
        there
            .map(|(image, dev)| {
                let image = Self::read(image)?;
                Ok(Self {
                    version: image.version.clone().or_else(|| version(item)),
                    is_dev: Some(image.is_dev.unwrap_or(dev)),
                    ..image
                })
            })
            .collect()
    }
}

/// A version is a text, or a list of numbers.
fn version(item: &Value) -> Option<String> {
    match item.get("version")? {
        Value::Array(parts) => {
            let parts: Vec<_> = parts.iter().filter_map(|part| read::text(part, &[""])).collect();
            Some(parts.join(".")).filter(|version| !version.is_empty())
        }
        _ => read::text(item, &["/version"]),
    }
}
