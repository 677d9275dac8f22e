//! What an update may change of a manifest.

use serde::{Deserialize, Serialize};

use super::error::ComposeError;

/// Longest Docker Compose text and pre-launch script together, UTF-8 bytes, that Phala Cloud takes.
pub const MAX_CHANGE_BYTES: usize = 200 * 1024;

/// The manifest fields that an update may change. Absent means unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changes {
    /// Docker Compose text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub docker_compose_file: Option<String>,
    /// Script that runs before the containers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pre_launch_script: Option<String>,
    /// Names of environment variables the guest may receive, in this order.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub allowed_envs: Option<Vec<String>>,
    /// Whether logs are public.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub public_logs: Option<bool>,
    /// Whether system information is public.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub public_sysinfo: Option<bool>,
    /// Whether TCB information is public.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub public_tcbinfo: Option<bool>,
}

impl Changes {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }
    /// Whether Phala Cloud takes this much text.
    ///
    /// # Errors
    /// More than [`MAX_CHANGE_BYTES`].
    pub fn check_size(&self) -> Result<(), ComposeError> {
        let len = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let found = len(&self.docker_compose_file).saturating_add(len(&self.pre_launch_script));
        if found > MAX_CHANGE_BYTES {
            return Err(ComposeError::ChangesTooLong {
                found,
                max: MAX_CHANGE_BYTES,
            });
        }
        Ok(())
    }
}
