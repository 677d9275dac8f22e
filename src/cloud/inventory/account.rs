//! Whom an API key stands for, what a workspace may use, its apps, and what instances there are.

use alloy::primitives::Address;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cloud::apps::segment;
use crate::cloud::id::WorkspaceSlug;
use crate::cloud::read::{self, Malformed};
use crate::cloud::{Client, CloudError, Key, Page, Paged};
use crate::http::Retry;

/// Whom an API key stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The user's name.
    pub username: Option<String>,
    /// The user's address.
    pub email: Option<String>,
    /// Whether the user has a second factor.
    pub totp_enabled: Option<bool>,
    /// Name of the workspace.
    pub workspace: Option<String>,
    /// What paths call the workspace.
    pub workspace_slug: Option<String>,
    /// Its tier.
    pub tier: Option<String>,
    /// What the user may do in it.
    pub role: Option<String>,
    /// What is left to spend, as the server writes it.
    pub balance: Option<String>,
}

/// An app, as a workspace lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppRecord {
    /// Its id = address of its contract, where one guards it.
    pub app_id: Option<Address>,
    /// Its name.
    pub name: Option<String>,
    /// Kind of its KMS, as the server writes it.
    pub kms_type: Option<String>,
    /// When it was made.
    pub created_at: Option<String>,
    /// How many CVMs it has.
    pub cvm_count: Option<u64>,
}

/// A size that CVMs come in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceType {
    /// Its id, for example `tdx.small`.
    pub id: Option<String>,
    /// Its name for people.
    pub name: Option<String>,
    /// `cpu` or `gpu`.
    pub family: Option<String>,
    /// Virtual CPUs.
    pub vcpu: Option<u64>,
    /// Memory, MB.
    pub memory: Option<u64>,
    /// Disk unless another is asked for, GB.
    pub disk_size: Option<u64>,
    /// What an hour costs, as the server writes it.
    pub hourly_rate: Option<String>,
    /// Whether it has a GPU.
    pub requires_gpu: Option<bool>,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, Page};
/// # async fn example(client: &Client, app: alloy::primitives::Address) -> Result<(), CloudError> {
/// println!("{:?}", client.account().await?);
/// println!("{}", client.quotas(&"my-workspace".parse()?).await?);
/// println!("{:?} {:?}", client.apps(Page::default()).await?.items, client.app(app).await?);
/// println!("{:?}", client.instance_types().await?);
/// client.revoke_token().await?; // the key of this very client
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `GET /api/v1/auth/me`: whom the key stands for. Shapes of both kinds of version: `go/types_auth.go` and
    /// `python/tests/test_client_sync.py` of Phala-Network/phala-cloud.
    ///
    /// # Errors
    /// See [`CloudError`]: 401.
    pub async fn account(&self) -> Result<Account, CloudError> {
        let (reply, _) = self.get(&["auth", "me"]).await?;
        let said = reply.object()?;
        let text = |places: &[&str]| read::text(&said, places);
        Ok(Account {
            username: text(&["/user/username", "/username"]),
            email: text(&["/user/email", "/email"]),
            totp_enabled: read::flag(&said, &["/user/totp_enabled"]),
            workspace: text(&["/workspace/name", "/team_name"]),
            workspace_slug: text(&["/workspace/slug"]),
            tier: text(&["/workspace/tier", "/team_tier"]),
            role: text(&["/workspace/role"]),
            balance: text(&["/credits/balance", "/credits"]),
        })
    }
    /// `GET /api/v1/workspaces/{workspace}/quotas`: what a workspace may use, in the server's own shape: no document or client has
    /// one (`go/workspaces.go` of Phala-Network/phala-cloud).
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn quotas(&self, workspace: &WorkspaceSlug) -> Result<Value, CloudError> {
        let (reply, _) = self.get(&["workspaces", workspace.as_str(), "quotas"]).await?;
        reply.object()
    }
    /// `GET /api/v1/apps`: one page of the workspace's apps.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 422.
    pub async fn apps(&self, page: Page) -> Result<Paged<AppRecord>, CloudError> {
        let mut call = self.call(Method::GET, &["apps"], Retry::Read)?;
        page.ask(&mut call);
        call.request.body_limit = Some(8 << 20);
        let reply = self.send(call, Key::Needed).await?;
        let answer = reply.value()?;
        let items = answer.get("dstack_apps").unwrap_or(&answer);
        Ok(Paged {
            items: reply.items(items, AppRecord::read)?,
            total: read::number(&answer, &["/total"]),
            page: read::number(&answer, &["/page"]),
            pages: read::number(&answer, &["/total_pages", "/pages"]),
        })
    }
    /// `GET /api/v1/apps/{app_id}`
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn app(&self, app: Address) -> Result<AppRecord, CloudError> {
        let (reply, _) = self.get(&["apps", &segment(app)]).await?;
        reply.sound(AppRecord::read(&reply.object()?))
    }
    /// `GET /api/v1/instance-types`: the sizes that CVMs come in; needs no API key.
    ///
    /// # Errors
    /// See [`CloudError`]: 500.
    pub async fn instance_types(&self) -> Result<Vec<InstanceType>, CloudError> {
        let call = self.call(Method::GET, &["instance-types"], Retry::Read)?;
        let reply = self.send(call, Key::IfGiven).await?;
        let said = reply.object()?;
        let families = said
            .get("result")
            .ok_or_else(|| reply.unexpected("no list of families"))?;
        let families = reply.items(families, |family| {
            let types = family.get("items").and_then(Value::as_array).into_iter().flatten();
            Ok(types.map(InstanceType::read).collect::<Vec<_>>())
        })?;
        Ok(families.into_iter().flatten().collect())
    }
    /// `DELETE /api/v1/tokens/self`: the API key of this client is worth nothing from then on, for good. Shape:
    /// `js/src/actions/api_tokens/revoke_current_api_token.ts` of Phala-Network/phala-cloud.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404.
    pub async fn revoke_token(&self) -> Result<(), CloudError> {
        let call = self.call(Method::DELETE, &["tokens", "self"], Retry::Write)?;
        self.send(call, Key::Needed).await?.done()
    }
}

impl AppRecord {
    fn read(item: &Value) -> Result<Self, Malformed> {
        Ok(Self {
            app_id: read::address(item, &["/app_id"])?,
            name: read::text(item, &["/name"]),
            kms_type: read::text(item, &["/kms_type"]),
            created_at: read::text(item, &["/created_at"]),
            cvm_count: read::number(item, &["/cvm_count"]),
        })
    }
}

impl InstanceType {
    fn read(item: &Value) -> Self {
        Self {
            id: read::text(item, &["/id"]),
            name: read::text(item, &["/name"]),
            family: read::text(item, &["/family"]),
            vcpu: read::number(item, &["/vcpu"]),
            memory: read::number(item, &["/memory_mb"]),
            disk_size: read::number(item, &["/default_disk_size_gb"]),
            hourly_rate: read::text(item, &["/hourly_rate"]),
            requires_gpu: read::flag(item, &["/requires_gpu"]),
        }
    }
}
