//! What an upgrade is about. Data only.

use crate::chain::factory::DeployedApp;
use crate::upgrade::model::{deployment::Deployment, plan::Plan};

/// What is intended.
#[derive(Debug, Clone)]
pub(in crate::upgrade) enum About {
    /// A change of what an app allows, and mostly of the code that its CVM runs.
    Upgrade(Box<Plan>),
    /// A new app.
    NewApp {
        intended: Box<Deployment>,
        /// The app, once it is made and proved.
        made: Option<Box<DeployedApp>>,
    },
}
