//! What the records say of a new app. Pure.

use crate::chain::DeployedApp;
use crate::upgrade::{State, model::deployment::Deployment, record::event::Event};

impl State {
    /// The new app that is intended, if one is.
    pub fn deployment(&self) -> Option<&Deployment> {
        self.deployment.as_deref()
    }

    /// The new app, once it is made and proved.
    pub fn deployed(&self) -> Option<&DeployedApp> {
        self.deployed.as_deref()
    }

    pub(in crate::upgrade) fn deploy_objection(&self, event: &Event) -> Option<&'static str> {
        match event {
            Event::Deploy(_) if self.plan.is_some() || self.deployment.is_some() => {
                Some("something is planned already")
            }
            Event::Deployed(_) if self.deployment.is_none() => Some("no app was to be made"),
            Event::Deployed(_) if self.deployed.is_some() => Some("the app was made before"),
            _ => None,
        }
    }
}
