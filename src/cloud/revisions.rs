//! Revisions: the cloud's own history of what an app's CVMs were made to run, with the manifest of each.

use alloy::primitives::Address;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::apps::segment;
use super::read::{self, Malformed};
use super::{Client, CloudError, CvmId, Key, Page, Paged};
use crate::compose::{ComposeHash, Manifest};
use crate::http::Retry;

/// Largest answers that are read, bytes: a thousand entries, and a manifest with both of its texts escaped.
const LIST: usize = 8 << 20;
const ONE: usize = 4 << 20;

/// One time that a CVM was made to run something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// Its name, as it came.
    pub id: String,
    /// The CVM, dashes as the server writes them.
    pub vm_uuid: Option<String>,
    /// The CVM's name.
    pub cvm: Option<String>,
    /// What it was to run.
    pub compose_hash: Option<ComposeHash>,
    /// When, as the server writes it.
    pub created_at: Option<String>,
    /// By what kind of order, for example `compose_update`.
    pub operation: Option<String>,
    /// By whom.
    pub by: Option<String>,
}

/// A revision with its manifest.
#[derive(Debug, Clone)]
pub struct RevisionDetail {
    /// What the list says of it.
    pub revision: Revision,
    /// The manifest as the server wrote it; nothing proves that it is the one that ran but its hash.
    pub manifest: Option<Manifest>,
    /// Text that the guest is given as it is, which no hash covers; nothing where it is empty.
    pub user_config: Option<String>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, Page};
/// # async fn example(client: &Client, app: alloy::primitives::Address) -> Result<(), CloudError> {
/// for revision in client.revisions(app, Page { number: Some(1), size: Some(100) }).await?.items {
///     let detail = client.revision(app, &revision.id).await?;
///     println!("{:?} {:?}", revision.created_at, detail.manifest.map(|manifest| manifest.images()));
/// }
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `GET /api/v1/apps/{app_id}/revisions`: one page, at most 1,000 entries.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn revisions(&self, app: Address, page: Page) -> Result<Paged<Revision>, CloudError> {
        let mut call = self.call(Method::GET, &["apps", &segment(app), "revisions"], Retry::Read)?;
        page.ask(&mut call);
        call.request.body_limit = Some(LIST);
        let reply = self.send(call, Key::Needed).await?;
        let answer = reply.object()?;
        let list = answer.get("revisions").or_else(|| answer.get("items"));
        let list = list.ok_or_else(|| reply.unexpected("no list of revisions"))?;
        Ok(Paged {
            items: reply.items(list, Revision::read)?,
            total: read::number(&answer, &["/total"]),
            page: read::number(&answer, &["/page"]),
            pages: read::number(&answer, &["/total_pages", "/pages"]),
        })
    }
    /// `GET /api/v1/apps/{app_id}/revisions/{revision_id}`: a revision with its manifest.
    ///
    /// The answer also holds the sealed environment of that time, which is not read.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422; a manifest that is none.
    pub async fn revision(&self, app: Address, id: &str) -> Result<RevisionDetail, CloudError> {
        // The name came from outside and may be anything; it has to be one segment of the path.
        let id: CvmId = id.parse()?;
        let path = ["apps", &segment(app), "revisions", id.as_str()];
        let mut call = self.call(Method::GET, &path, Retry::Read)?;
        call.query("raw_compose_file", "true");
        call.request.body_limit = Some(ONE);
        let reply = self.send(call, Key::Needed).await?;
        let answer = reply.object()?;
        let manifest = match answer.get("compose_file") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Manifest::parse(text.as_bytes()).map(Some),
            Some(Value::Object(map)) => Ok(Some(Manifest::from_map(map.clone()))),
            Some(_) => return Err(reply.unexpected("`compose_file` is no manifest")),
        };
        Ok(RevisionDetail {
            revision: reply.sound(Revision::read(&answer))?,
            manifest: manifest.map_err(|error| reply.unexpected(&super::chain(&error)))?,
            user_config: read::document(&answer, "/user_config").filter(|text| !text.is_empty()),
        })
    }
}

impl Revision {
    fn read(item: &Value) -> Result<Self, Malformed> {
        let id = read::exact(item, "/revision_id").or_else(|| read::exact(item, "/id"));
        Ok(Self {
            id: id.ok_or_else(|| Malformed::Shape("a revision without `revision_id`".to_owned()))?,
            vm_uuid: read::text(item, &["/vm_uuid", "/cvm/vm_uuid"]),
            cvm: read::text(item, &["/cvm/name"]),
            compose_hash: read::hash(item, &["/compose_hash"])?,
            created_at: read::text(item, &["/created_at"]),
            operation: read::text(item, &["/operation_type"]),
            by: read::text(item, &["/triggered_by/username", "/triggered_by/id"]),
        })
    }
}
