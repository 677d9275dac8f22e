//! What runs inside a CVM and what its guest was given, as the cloud passes it on: containers with their images, and what is in
//! no hash. Nothing here is verified.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cloud::read;
use crate::cloud::{Client, CloudError, CvmId};

/// What a CVM's Docker says that it runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Composition {
    /// Whether the CVM could be asked.
    pub is_online: Option<bool>,
    /// Whether its owner lets anybody ask.
    pub is_public: Option<bool>,
    /// Why there is nothing.
    pub error: Option<String>,
    /// The containers.
    pub containers: Vec<Container>,
    /// The answer as it came, its Docker Compose text in it.
    #[serde(skip)]
    pub raw: Value,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its id.
    pub id: Option<String>,
    /// Its names, as Docker has them.
    pub names: Vec<String>,
    /// Its image, as the Docker Compose text names it.
    pub image: Option<String>,
    /// The image that was found for that name, `sha256:…` of its configuration; another thing than a digest of a registry.
    pub image_id: Option<String>,
    /// `running`, `exited`, as Docker writes it.
    pub state: Option<String>,
    /// Since when, and how it ended, free text.
    pub status: Option<String>,
}

/// What the guest is given beside its manifest, and no hash covers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserConfig {
    /// Name of the host.
    pub hostname: Option<String>,
    /// Keys that may log in where the OS image lets anybody, OpenSSH's form.
    pub ssh_authorized_keys: Vec<String>,
    /// Domain of the gateway.
    pub default_gateway_domain: Option<String>,
    /// The answer as it came.
    #[serde(skip)]
    pub raw: Value,
}

/// ```no_run
/// # use countersign::cloud::{Client, CloudError, CvmId};
/// # async fn example(client: &Client, id: &CvmId) -> Result<(), CloudError> {
/// println!("{:?}", client.composition(id).await?.containers);
/// println!("{:?}", client.user_config(id).await?.ssh_authorized_keys);
/// # Ok(())
/// # }
/// ```
impl Client {
    /// `GET /api/v1/cvms/{cvm_id}/composition`. Shape: `js/src/actions/cvms/get_cvm_containers_stats.ts` of
    /// Phala-Network/phala-cloud.
    ///
    /// # Errors
    /// See [`CloudError`]: 401, 403, 404, 422.
    pub async fn composition(&self, id: &CvmId) -> Result<Composition, CloudError> {
        let (reply, _) = self.get(&["cvms", id.as_str(), "composition"]).await?;
        let said = reply.object()?;
        let containers = said.get("containers").and_then(Value::as_array).into_iter().flatten();
        Ok(Composition {
            is_online: read::flag(&said, &["/is_online"]),
            is_public: read::flag(&said, &["/is_public"]),
            error: read::text(&said, &["/error"]),
            containers: containers.map(Container::read).collect(),
            raw: said,
        })
    }
    /// `GET /api/v1/cvms/{cvm_id}/user_config`: what the running guest has, keys for logging in among it.
    ///
    /// # Errors
    /// See [`CloudError`]: 400, 401, 404, 422, 502 the node does not answer.
    pub async fn user_config(&self, id: &CvmId) -> Result<UserConfig, CloudError> {
        let (reply, _) = self.get(&["cvms", id.as_str(), "user_config"]).await?;
        let said = reply.object()?;
        let keys = said
            .get("ssh_authorized_keys")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        Ok(UserConfig {
            hostname: read::text(&said, &["/hostname"]),
            // A key is longer than a line, and is nothing when it is cut.
            ssh_authorized_keys: keys.filter_map(Value::as_str).map(str::to_owned).collect(),
            default_gateway_domain: read::text(&said, &["/default_gateway_domain"]),
            raw: said,
        })
    }
}

impl Container {
    fn read(item: &Value) -> Self {
        Self {
            id: read::text(item, &["/id"]),
            names: read::texts(item, "/names"),
            image: read::text(item, &["/image"]),
            image_id: read::text(item, &["/image_id"]),
            state: read::text(item, &["/state"]),
            status: read::text(item, &["/status"]),
        }
    }
}
